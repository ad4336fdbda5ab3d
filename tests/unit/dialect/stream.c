/* Document 000. */
#include "spoken.h"

static void the_greeting_is_the_documents(void **state)
{
    (void)state;
    dialect_stream.greet("123", &words);
    said("{\"type\":\"connection\",\"status\":\"connected\","
         "\"message\":\"Connected to video progress stream\",\"video_id\":123}");
}

static void only_a_canonical_number_is_shown_as_a_number(void **state)
{
    (void)state;
    dialect_stream.greet("0123", &words);
    said("{\"type\":\"connection\",\"status\":\"connected\","
         "\"message\":\"Connected to video progress stream\",\"video_id\":\"0123\"}");
    dialect_stream.greet("9007199254740992", &words);
    said("{\"type\":\"connection\",\"status\":\"connected\","
         "\"message\":\"Connected to video progress stream\",\"video_id\":\"9007199254740992\"}");
    begins(JOB_UPLOAD, "abc-1", JOB_PROCESSING);
    c.text[TEXT_STAGE] = "assembling";
    c.text[TEXT_MESSAGE] = "Starting";
    happens();
    shows(&dialect_stream,
          "{\"type\":\"progress\",\"stage\":\"assembling\",\"progress\":0,"
          "\"message\":\"Starting\",\"video_id\":\"abc-1\",\"status\":\"processing\"}");
}

static void a_queued_job_is_not_mentioned(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "123", JOB_QUEUED);
    shows(&dialect_stream, "");
}

static void progress_is_the_percent_of_the_stage(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "123", JOB_PROCESSING);
    c.text[TEXT_STAGE] = "assembling";
    c.text[TEXT_MESSAGE] = "Reading chunk 5/10";
    c.fraction = 0.09;
    c.stage_fraction = 0.45;
    happens();
    shows(&dialect_stream,
          "{\"type\":\"progress\",\"stage\":\"assembling\",\"progress\":45,"
          "\"message\":\"Reading chunk 5/10\",\"video_id\":123,\"status\":\"processing\"}");
    c.stage_fraction = 0.999;
    happens();
    shows(&dialect_stream,
          "{\"type\":\"progress\",\"stage\":\"assembling\",\"progress\":99,"
          "\"message\":\"Reading chunk 5/10\",\"video_id\":123,\"status\":\"processing\"}");
}

static void a_job_that_has_said_nothing_yet_has_words_all_the_same(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "123", JOB_PROCESSING);
    shows(&dialect_stream, "{\"type\":\"progress\",\"stage\":\"processing\",\"progress\":0,"
                           "\"message\":\"\",\"video_id\":123,\"status\":\"processing\"}");
}

static void completion_tells_where_the_playlist_is(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "123", JOB_PROCESSING);
    c.state = JOB_COMPLETED;
    c.text[TEXT_HLS_PATH] = "videos/hls/abc123-uid";
    happens();
    shows(&dialect_stream, "{\"type\":\"complete\",\"status\":\"completed\","
                           "\"message\":\"Video processing completed successfully\","
                           "\"video_id\":123,\"hls_path\":\"videos/hls/abc123-uid\"}");
}

static void what_another_worker_completed_has_no_playlist(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "123", JOB_PROCESSING);
    c.state = JOB_COMPLETED;
    c.text[TEXT_MESSAGE] = "Job completed";
    happens();
    shows(&dialect_stream, "{\"type\":\"complete\",\"status\":\"completed\","
                           "\"message\":\"Job completed\",\"video_id\":123,\"hls_path\":null}");
}

static void an_error_tells_what_went_wrong(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "123", JOB_PROCESSING);
    c.state = JOB_FAILED;
    c.text[TEXT_MESSAGE] = "HLS conversion failed";
    c.text[TEXT_ERROR] = "FFmpeg error: \"x\"";
    happens();
    shows(&dialect_stream, "{\"type\":\"error\",\"status\":\"failed\","
                           "\"message\":\"HLS conversion failed\",\"video_id\":123,"
                           "\"error\":\"FFmpeg error: \\\"x\\\"\"}");
}

static void a_cancelled_job_is_a_failed_one(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "123", JOB_PROCESSING);
    c.state = JOB_CANCELLED;
    happens();
    shows(&dialect_stream, "{\"type\":\"error\",\"status\":\"failed\","
                           "\"message\":\"Video processing failed\",\"video_id\":123,"
                           "\"error\":\"Cancelled\"}");
}

static void it_follows_one_job_and_does_not_listen(void **state)
{
    (void)state;
    assert_null(dialect_stream.receive);
    assert_false(dialect_stream.hears_all);
    assert_int_equal(dialect_stream.keepalive_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEAKS(the_greeting_is_the_documents),
        SPEAKS(only_a_canonical_number_is_shown_as_a_number),
        SPEAKS(a_queued_job_is_not_mentioned),
        SPEAKS(progress_is_the_percent_of_the_stage),
        SPEAKS(a_job_that_has_said_nothing_yet_has_words_all_the_same),
        SPEAKS(completion_tells_where_the_playlist_is),
        SPEAKS(what_another_worker_completed_has_no_playlist),
        SPEAKS(an_error_tells_what_went_wrong),
        SPEAKS(a_cancelled_job_is_a_failed_one),
        SPEAKS(it_follows_one_job_and_does_not_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
