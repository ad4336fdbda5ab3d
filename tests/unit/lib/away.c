/* The API while Redis is not well: stopped, killed, never there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis.h"
#include "reelay/reelay.h"

enum { TIMEOUT_MS = 400, SLACK_MS = 2500 }; /* of a busy machine under a sanitizer */

static struct redis server;
static struct reelay *reporter;

static int set_up(void **state)
{
    struct reelay_options o = { .redis_url = server.url, .timeout_ms = TIMEOUT_MS, .jobs_max = 50 };

    (void)state;
    redis_start(&server);
    reporter = reelay_open(&o);
    assert_non_null(reporter);
    assert_int_equal(reelay_report(reporter, "first", "s", 0, "", NULL), REELAY_OK);
    assert_int_equal(reelay_flush(reporter), REELAY_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reelay_close(reporter);
    redis_stop(&server);
    return 0;
}

/* Once Redis is back it may take some attempts, each bounded. */
static void flushes_in_the_end(void)
{
    int64_t deadline = test_now_ms() + 20000;

    while (reelay_flush(reporter) != REELAY_OK)
        assert_true(test_now_ms() < deadline);
}

static void status_has(const char *id, const char *part)
{
    char key[64];

    snprintf(key, sizeof(key), "job_status:%s", id);
    char *status = redis_ask(&server, "GET", key, NULL);
    assert_non_null(status);
    if (strstr(status, part) == NULL)
        fail_msg("%s is not in %s", part, status);
    free(status);
}

static void a_stopped_redis_blocks_nobody(void **state)
{
    char *status = NULL;

    (void)state;
    kill(server.pid, SIGSTOP);
    int64_t begin = test_now_ms();
    for (int i = 0; i < 10000; i++)
        assert_int_equal(reelay_report(reporter, "a", "s", i / 1e4, "", NULL), REELAY_OK);
    int64_t reported = test_now_ms();
    assert_true(reported - begin < SLACK_MS);

    assert_int_equal(reelay_report_complete(reporter, "a", "1", NULL), REELAY_TIMEOUT);
    int64_t completed = test_now_ms();
    assert_in_range(completed - reported, TIMEOUT_MS - 5, TIMEOUT_MS + SLACK_MS);
    assert_int_equal(reelay_flush(reporter), REELAY_TIMEOUT);
    assert_int_equal(reelay_get_status(reporter, "a", &status), REELAY_TIMEOUT);
    assert_true(test_now_ms() - completed < 2 * TIMEOUT_MS + SLACK_MS);
    assert_null(status);
    print_message("10000 reports to a stopped Redis: %d ms\n", (int)(reported - begin));

    kill(server.pid, SIGCONT);
    flushes_in_the_end();
    status_has("a", "\"status\":\"completed\"");
}

static void closing_does_not_wait_for_a_stopped_redis(void **state)
{
    (void)state;
    kill(server.pid, SIGSTOP);
    reelay_report(reporter, "a", "s", 0, "", NULL);
    int64_t begin = test_now_ms();
    assert_int_equal(reelay_close(reporter), REELAY_TIMEOUT);
    assert_true(test_now_ms() - begin < TIMEOUT_MS + SLACK_MS);
    reporter = NULL;
    kill(server.pid, SIGCONT);
}

static void the_latest_of_each_job_is_sent_when_redis_is_back(void **state)
{
    (void)state;
    redis_kill(&server);
    for (int i = 0; i < 100; i++) {
        char stage[16];
        snprintf(stage, sizeof(stage), "stage-%d.", i);
        assert_int_equal(reelay_report(reporter, "a", stage, i / 100.0, "", NULL), REELAY_OK);
        assert_int_equal(reelay_report(reporter, "b", stage, i / 100.0, "", NULL), REELAY_OK);
    }
    assert_int_equal(reelay_flush(reporter), REELAY_UNREACHABLE);
    for (int i = 100; i < 200; i++)
        assert_int_equal(reelay_report(reporter, "a", "later", i / 200.0, "", NULL), REELAY_OK);
    redis_restart(&server);
    flushes_in_the_end();
    status_has("a", "\"stage\":\"later\",\"progress\":0.995");
    status_has("b", "\"stage\":\"stage-99.\"");
}

static int first_heard(const struct listener *l, const char *part)
{
    for (int i = 0; i < l->count; i++)
        if (strstr(l->heard[i], part) != NULL)
            return i;
    return l->count;
}

static void an_ending_is_kept_and_precedes_what_follows_it(void **state)
{
    struct listener l;

    (void)state;
    listener_open(&l, &server, "job_progress:a");
    kill(server.pid, SIGSTOP);
    assert_int_equal(reelay_report_error(reporter, "a", "broke", NULL), REELAY_TIMEOUT);
    for (int i = 0; i < 100; i++)
        assert_int_equal(reelay_report(reporter, "a", "again", i / 100.0, "", NULL), REELAY_OK);
    assert_int_equal(reelay_report_complete(reporter, "a", NULL, "done."), REELAY_TIMEOUT);
    assert_int_equal(reelay_report(reporter, "a", "late", 0, "", NULL), REELAY_COMPLETED);
    kill(server.pid, SIGCONT);
    flushes_in_the_end();
    assert_true(listener_wait(&l, "done."));
    assert_true(first_heard(&l, "\"failed\"") < first_heard(&l, "done."));
    status_has("a", "done.");
    listener_close(&l);
}

static void an_ending_outlives_a_dead_redis(void **state)
{
    (void)state;
    redis_kill(&server);
    assert_int_equal(reelay_report_complete(reporter, "a", "[1]", NULL), REELAY_UNREACHABLE);
    redis_restart(&server);
    flushes_in_the_end();
    status_has("a", "\"result\":[1]");
}

static void too_many_jobs_are_refused_and_none_is_lost(void **state)
{
    char id[32];

    (void)state;
    redis_kill(&server);
    for (int i = 0; i < 50; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        assert_int_equal(reelay_report(reporter, id, "s", 0, "", NULL), REELAY_OK);
    }
    assert_int_equal(reelay_report(reporter, "one-more", "s", 0, "", NULL), REELAY_FULL);
    assert_int_equal(reelay_report(reporter, "job-7", "t", 0, "", NULL), REELAY_OK);
    redis_restart(&server);
    flushes_in_the_end();
    assert_int_equal(redis_ask_int(&server, "DBSIZE", NULL), 50);
    status_has("job-7", "\"stage\":\"t\"");
    assert_int_equal(reelay_report(reporter, "one-more", "s", 0, "", NULL), REELAY_OK);
}

static void a_broken_pipe_is_no_signal(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        redis_kill(&server);
        reelay_report(reporter, "a", "s", 0.1 * i, "", NULL);
        redis_restart(&server);
        flushes_in_the_end();
    }
    status_has("a", "\"progress\":0.4");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_stopped_redis_blocks_nobody),
        TEST(closing_does_not_wait_for_a_stopped_redis),
        TEST(the_latest_of_each_job_is_sent_when_redis_is_back),
        TEST(an_ending_is_kept_and_precedes_what_follows_it),
        TEST(an_ending_outlives_a_dead_redis),
        TEST(too_many_jobs_are_refused_and_none_is_lost),
        TEST(a_broken_pipe_is_no_signal),
    };

    return cmocka_run_group_tests_name("lib/away", tests, NULL, NULL);
}
