/* Document 002. */
#include "spoken.h"

#define STATUS(data) "{\"type\":\"status\",\"data\":{\"jobId\":\"abc123\"," data "}}"

static void every_state_has_a_status(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "abc123", JOB_QUEUED);
    shows(&dialect_download, STATUS("\"status\":\"queued\",\"progress\":0"));
    begins(JOB_DOWNLOAD, "abc123", JOB_PROCESSING);
    shows(&dialect_download, STATUS("\"status\":\"processing\",\"progress\":0"));
    begins(JOB_DOWNLOAD, "abc123", JOB_COMPLETED);
    shows(&dialect_download, STATUS("\"status\":\"completed\",\"progress\":100"));
    begins(JOB_DOWNLOAD, "abc123", JOB_FAILED);
    shows(&dialect_download,
          STATUS("\"status\":\"failed\",\"progress\":0,\"error\":\"Processing failed\""));
    begins(JOB_DOWNLOAD, "abc123", JOB_CANCELLED);
    shows(&dialect_download,
          STATUS("\"status\":\"failed\",\"progress\":0,\"error\":\"Cancelled\""));
}

static void progress_is_the_whole_percent_of_the_job(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "abc123", JOB_PROCESSING);
    c.fraction = 0.459;
    c.stage_fraction = 0.9;
    c.text[TEXT_VIDEO_INFO] =
        "{\"id\":\"dQw4w9WgXcQ\",\"title\":\"Video Title\",\"thumbnail\":\"https://...\","
        "\"duration\":60,\"quality\":\"1080p\"}";
    happens();
    shows(&dialect_download,
          STATUS("\"status\":\"processing\",\"progress\":45,\"videoInfo\":{\"id\":\"dQw4w9WgXcQ\","
                 "\"title\":\"Video Title\",\"thumbnail\":\"https://...\",\"duration\":60,"
                 "\"quality\":\"1080p\"}"));
}

static void ids_are_always_texts(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "123", JOB_QUEUED);
    shows(&dialect_download, "{\"type\":\"status\",\"data\":{\"jobId\":\"123\","
                             "\"status\":\"queued\",\"progress\":0}}");
}

static void completion_tells_where_and_how_large_the_file_is(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "abc123", JOB_PROCESSING);
    c.state = JOB_COMPLETED;
    c.text[TEXT_URL] = "/videos/abc.mp4";
    c.text[TEXT_STORAGE] = "s3";
    c.file_size = 0;
    happens();
    shows(&dialect_download,
          STATUS("\"status\":\"completed\",\"progress\":100,\"downloadUrl\":\"/videos/abc.mp4\","
                 "\"storageProvider\":\"s3\",\"fileSize\":0"));
}

static void what_belongs_to_an_end_is_not_shown_before_it(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "abc123", JOB_PROCESSING);
    c.fraction = 0.5;
    c.text[TEXT_URL] = "/videos/abc.mp4";
    c.text[TEXT_STORAGE] = "s3";
    c.text[TEXT_ERROR] = "a hiccup";
    c.file_size = 7;
    happens();
    shows(&dialect_download, STATUS("\"status\":\"processing\",\"progress\":50"));
    c.state = JOB_FAILED;
    c.text[TEXT_ERROR] = "Video unavailable";
    happens();
    shows(&dialect_download,
          STATUS("\"status\":\"failed\",\"progress\":50,\"error\":\"Video unavailable\""));
}

static void the_http_answer_is_the_same_data(void **state)
{
    struct buf out;

    (void)state;
    begins(JOB_DOWNLOAD, "abc123", JOB_QUEUED);
    buf_init(&out, 1024);
    download_data(job, &out);
    assert_string_equal(buf_text(&out),
                        "{\"jobId\":\"abc123\",\"status\":\"queued\",\"progress\":0}");
    buf_deinit(&out);
}

static void ping_is_answered_and_nothing_else(void **state)
{
    (void)state;
    answers(&dialect_download, "ping", "{\"type\":\"pong\"}");
    answers(&dialect_download, " ping\t", "{\"type\":\"pong\"}");
    answers(&dialect_download, "Ping", "");
    answers(&dialect_download, "", "");
    answers(&dialect_download, "pingping", "");
}

static void there_is_no_greeting(void **state)
{
    (void)state;
    assert_null(dialect_download.greet);
    assert_int_equal(dialect_download.keepalive_ms, 0);
    assert_false(dialect_download.hears_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEAKS(every_state_has_a_status),
        SPEAKS(progress_is_the_whole_percent_of_the_job),
        SPEAKS(ids_are_always_texts),
        SPEAKS(completion_tells_where_and_how_large_the_file_is),
        SPEAKS(what_belongs_to_an_end_is_not_shown_before_it),
        SPEAKS(the_http_answer_is_the_same_data),
        SPEAKS(ping_is_answered_and_nothing_else),
        SPEAKS(there_is_no_greeting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
