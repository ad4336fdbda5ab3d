/* Document 003. */
#include "spoken.h"

#include "core/limits.h"

#define TIME ",\"timestamp\":\"2024-01-01T00:00:00.000Z\""

static void a_queued_job_is_not_mentioned(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "job_12345", JOB_QUEUED);
    shows(&dialect_jobs, "");
}

static void progress_is_the_fraction_of_the_job(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "job_12345", JOB_PROCESSING);
    c.fraction = 0.75;
    c.text[TEXT_STAGE] = "rendering";
    c.text[TEXT_MESSAGE] = "Rendering frame 1500/2000";
    c.text[TEXT_METADATA] = "{\"current_frame\":1500,\"total_frames\":2000}";
    happens();
    shows(&dialect_jobs,
          "{\"job_id\":\"job_12345\",\"status\":\"processing\",\"stage\":\"rendering\","
          "\"progress\":0.75,\"message\":\"Rendering frame 1500/2000\"" TIME
          ",\"metadata\":{\"current_frame\":1500,\"total_frames\":2000}}");
}

static void a_job_that_has_said_little_has_every_field(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "7", JOB_PROCESSING);
    shows(&dialect_jobs, "{\"job_id\":\"7\",\"status\":\"processing\",\"stage\":\"processing\","
                         "\"progress\":0.0,\"message\":\"\"" TIME "}");
    begins(JOB_EXTERNAL, "7", JOB_PROCESSING);
    update_unref(&job);
    c.text[TEXT_ID] = "7";
    c.fraction = UNKNOWN_FRACTION;
    c.state = JOB_PROCESSING;
    happens();
    shows(&dialect_jobs, "{\"job_id\":\"7\",\"status\":\"processing\",\"stage\":\"processing\","
                         "\"progress\":0.0,\"message\":\"\"" TIME "}");
}

static void completion_carries_the_result(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "job_12345", JOB_PROCESSING);
    c.state = JOB_COMPLETED;
    c.text[TEXT_MESSAGE] = "Job completed successfully";
    c.text[TEXT_RESULT] =
        "{\"video_url\":\"https://cdn.example.com/video.mp4\",\"duration\":66.67}";
    happens();
    shows(&dialect_jobs,
          "{\"job_id\":\"job_12345\",\"status\":\"completed\",\"stage\":\"complete\","
          "\"progress\":1.0,\"message\":\"Job completed successfully\",\"result\":{\"video_url\":"
          "\"https://cdn.example.com/video.mp4\",\"duration\":66.67}" TIME "}");
}

static void without_a_result_it_is_an_empty_one(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "7", JOB_COMPLETED);
    shows(&dialect_jobs, "{\"job_id\":\"7\",\"status\":\"completed\",\"stage\":\"complete\","
                         "\"progress\":1.0,\"message\":\"\",\"result\":{}" TIME "}");
}

static void a_failure_keeps_the_stage_and_progress_it_happened_at(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "job_12345", JOB_PROCESSING);
    c.fraction = 0.5;
    c.text[TEXT_STAGE] = "rendering";
    happens();
    c.state = JOB_FAILED;
    c.text[TEXT_ERROR] = "Out of memory";
    happens();
    shows(&dialect_jobs, "{\"job_id\":\"job_12345\",\"status\":\"failed\",\"stage\":\"rendering\","
                         "\"progress\":0.5,\"message\":\"Error: Out of memory\","
                         "\"error\":\"Out of memory\"" TIME "}");
}

static void a_reporter_may_word_its_own_failure(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "7", JOB_PROCESSING);
    c.state = JOB_FAILED;
    c.text[TEXT_ERROR] = "Out of memory";
    c.text[TEXT_MESSAGE] = "It broke";
    happens();
    shows(&dialect_jobs,
          "{\"job_id\":\"7\",\"status\":\"failed\",\"stage\":\"processing\","
          "\"progress\":0.0,\"message\":\"It broke\",\"error\":\"Out of memory\"" TIME "}");
}

static void a_failed_upload_speaks_like_the_document(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "7", JOB_PROCESSING);
    c.state = JOB_FAILED;
    c.text[TEXT_MESSAGE] = "HLS conversion failed";
    c.text[TEXT_ERROR] = "FFmpeg error: x";
    happens();
    shows(&dialect_jobs, "{\"job_id\":\"7\",\"status\":\"failed\",\"stage\":\"processing\","
                         "\"progress\":0.0,\"message\":\"Error: FFmpeg error: x\","
                         "\"error\":\"FFmpeg error: x\"" TIME "}");
}

static void a_cancelled_job_is_a_failed_one(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "7", JOB_CANCELLED);
    shows(&dialect_jobs, "{\"job_id\":\"7\",\"status\":\"failed\",\"stage\":\"processing\","
                         "\"progress\":0.0,\"message\":\"Error: Cancelled\","
                         "\"error\":\"Cancelled\"" TIME "}");
}

static void our_own_pipelines_tell_more_in_the_metadata(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "7", JOB_PROCESSING);
    c.fraction = 0.3;
    c.stage_fraction = 0.123456;
    c.speed = 2.5;
    c.eta_ms = 1001;
    c.text[TEXT_STAGE] = "converting";
    c.text[TEXT_MESSAGE] = "FFmpeg conversion running";
    happens();
    shows(&dialect_jobs,
          "{\"job_id\":\"7\",\"status\":\"processing\",\"stage\":\"converting\",\"progress\":0.3,"
          "\"message\":\"FFmpeg conversion running\"" TIME
          ",\"metadata\":{\"stage_progress\":0.1235,\"speed\":2.5,\"eta_seconds\":2}}");
}

static void what_is_not_known_is_left_out_of_the_metadata(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "7", JOB_PROCESSING);
    c.speed = NAN;
    c.text[TEXT_STAGE] = "converting";
    happens();
    shows(&dialect_jobs,
          "{\"job_id\":\"7\",\"status\":\"processing\",\"stage\":\"converting\",\"progress\":0.0,"
          "\"message\":\"\"" TIME ",\"metadata\":{\"stage_progress\":0.0}}");
}

static void the_longest_texts_and_the_worst_characters_fit(void **state)
{
    static char text[JOB_TEXT_MAX + 1], json[JOB_JSON_MAX + 1];

    (void)state;
    memset(text, '\x01', JOB_TEXT_MAX); /* each is written as six */
    memset(json, ' ', JOB_JSON_MAX);
    memcpy(json, "{}", 2);
    begins(JOB_EXTERNAL, "7", JOB_PROCESSING);
    c.state = JOB_FAILED;
    c.text[TEXT_STAGE] = c.text[TEXT_MESSAGE] = c.text[TEXT_ERROR] = text;
    c.text[TEXT_METADATA] = c.text[TEXT_RESULT] = c.text[TEXT_VIDEO_INFO] = json;
    c.text[TEXT_URL] = c.text[TEXT_HLS_PATH] = c.text[TEXT_STORAGE] = text;
    happens();
    const struct dialect *all[] = { &dialect_jobs,      &dialect_stream,   &dialect_download,
                                    &dialect_broadcast, &dialect_socketio, &dialect_plain };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        all[i]->render(job, &words);
        assert_false(words.bytes.failed);
        words_reset(&words);
    }
}

/* `text` up to its "timestamp", which is now. */
static void said_now(const char *text)
{
    const char *at = strstr(buf_text(&words.bytes), ",\"timestamp\":\"20");

    assert_int_equal(words.count, 1);
    assert_non_null(at);
    assert_int_equal(strlen(at), strlen(TIME "}\n"));
    assert_int_equal(at - words.bytes.data, strlen(text));
    assert_memory_equal(words.bytes.data, text, strlen(text));
    words_reset(&words);
}

static void the_greeting_is_the_documents(void **state)
{
    (void)state;
    dialect_jobs.greet("job_12345", &words);
    said_now("{\"type\":\"connected\",\"job_id\":\"job_12345\","
             "\"message\":\"Connected to job progress stream\"");
}

static void the_keepalive_is_the_documents_every_30_seconds(void **state)
{
    (void)state;
    dialect_jobs.keepalive("job_12345", &words);
    said_now("{\"type\":\"ping\",\"message\":\"keepalive\",\"job_id\":\"job_12345\"");
    assert_int_equal(dialect_jobs.keepalive_ms, 30000);
    assert_null(dialect_jobs.receive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEAKS(a_queued_job_is_not_mentioned),
        SPEAKS(progress_is_the_fraction_of_the_job),
        SPEAKS(a_job_that_has_said_little_has_every_field),
        SPEAKS(completion_carries_the_result),
        SPEAKS(without_a_result_it_is_an_empty_one),
        SPEAKS(a_failure_keeps_the_stage_and_progress_it_happened_at),
        SPEAKS(a_reporter_may_word_its_own_failure),
        SPEAKS(a_failed_upload_speaks_like_the_document),
        SPEAKS(a_cancelled_job_is_a_failed_one),
        SPEAKS(our_own_pipelines_tell_more_in_the_metadata),
        SPEAKS(what_is_not_known_is_left_out_of_the_metadata),
        SPEAKS(the_longest_texts_and_the_worst_characters_fit),
        SPEAKS(the_greeting_is_the_documents),
        SPEAKS(the_keepalive_is_the_documents_every_30_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
