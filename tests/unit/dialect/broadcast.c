/* Document 004. */
#include "spoken.h"

static void a_queued_job_is_not_mentioned(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "test123", JOB_QUEUED);
    shows(&dialect_broadcast, "");
}

static void progress_tells_percent_and_bytes(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "test123", JOB_PROCESSING);
    c.fraction = 0.42;
    c.bytes_done = 0;
    c.bytes_total = INT64_C(5000000000);
    happens();
    shows(&dialect_broadcast, "{\"type\":\"progress\",\"video_id\":\"test123\",\"percent\":42,"
                              "\"downloaded_bytes\":0,\"total_bytes\":5000000000}");
}

static void bytes_that_are_not_known_are_null(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "123", JOB_PROCESSING);
    shows(&dialect_broadcast, "{\"type\":\"progress\",\"video_id\":\"123\",\"percent\":0,"
                              "\"downloaded_bytes\":null,\"total_bytes\":null}");
}

static void percents(double reported, const char *shown)
{
    char expected[128];

    begins(JOB_EXTERNAL, "a", JOB_PROCESSING);
    c.fraction = reported / 100;
    happens();
    snprintf(expected, sizeof(expected),
             "{\"type\":\"progress\",\"video_id\":\"a\",\"percent\":%s,"
             "\"downloaded_bytes\":null,\"total_bytes\":null}",
             shown);
    shows(&dialect_broadcast, expected);
}

static void a_percent_is_shown_as_it_was_reported(void **state)
{
    (void)state;
    percents(0, "0");
    percents(1, "1");
    percents(29, "29");
    percents(57, "57");
    percents(42.5, "42.5");
    percents(33.33, "33.33");
    percents(100, "100");
    percents(UNKNOWN_FRACTION * 100, "0");
}

static void an_end_is_a_status(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "a", JOB_COMPLETED);
    shows(&dialect_broadcast, "{\"type\":\"status\",\"video_id\":\"a\",\"status\":\"complete\"}");
    begins(JOB_DOWNLOAD, "a", JOB_FAILED);
    shows(&dialect_broadcast, "{\"type\":\"status\",\"video_id\":\"a\",\"status\":\"failed\"}");
    begins(JOB_DOWNLOAD, "a", JOB_CANCELLED);
    shows(&dialect_broadcast, "{\"type\":\"status\",\"video_id\":\"a\",\"status\":\"failed\"}");
}

static void ping_is_answered_with_the_bare_word(void **state)
{
    (void)state;
    answers(&dialect_broadcast, "ping", "pong");
    answers(&dialect_broadcast, "{\"type\":\"ping\"}", "");
    answers(&dialect_broadcast, "pong", "");
}

static void it_hears_every_job_and_does_not_greet(void **state)
{
    (void)state;
    assert_true(dialect_broadcast.hears_all);
    assert_null(dialect_broadcast.greet);
    assert_int_equal(dialect_broadcast.keepalive_ms, 0);
}

static void every_dialect_has_a_place_of_its_own_in_the_cache(void **state)
{
    const struct dialect *all[] = { &dialect_stream, &dialect_download, &dialect_jobs,
                                    &dialect_broadcast };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_true(all[i]->index < DIALECTS_MAX);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(all[i]->index, all[k]->index);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEAKS(a_queued_job_is_not_mentioned),
        SPEAKS(progress_tells_percent_and_bytes),
        SPEAKS(bytes_that_are_not_known_are_null),
        SPEAKS(a_percent_is_shown_as_it_was_reported),
        SPEAKS(an_end_is_a_status),
        SPEAKS(ping_is_answered_with_the_bare_word),
        SPEAKS(it_hears_every_job_and_does_not_greet),
        SPEAKS(every_dialect_has_a_place_of_its_own_in_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
