/* The API against a real Redis that is well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis.h"
#include "reelay/reelay.h"

static struct redis server;
static struct listener listener;
static struct reelay *reporter;

static struct reelay *opened(int timeout_ms)
{
    struct reelay_options o = { .redis_url = server.url, .timeout_ms = timeout_ms };
    struct reelay *r = reelay_open(&o);

    assert_non_null(r);
    return r;
}

static void set_config(const char *name, const char *value)
{
    char command[64];

    snprintf(command, sizeof(command), "redis-cli -p %d CONFIG SET %s %s >/dev/null", server.port,
             name, value);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    (void)state;
    redis_start(&server);
    listener_open(&listener, &server, "job_progress:*");
    reporter = opened(5000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(reelay_close(reporter), REELAY_OK);
    listener_close(&listener);
    redis_stop(&server);
    return 0;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("%s is not in %s", part, text);
}

static void a_report_is_published_and_kept(void **state)
{
    (void)state;
    assert_int_equal(reelay_report(reporter, "a", "rendering", 0.75, "Rendering frame 1500/2000",
                                   "{ \"current_frame\": 1500 }"),
                     REELAY_OK);
    assert_int_equal(reelay_flush(reporter), REELAY_OK);
    assert_true(listener_wait(&listener, "rendering"));
    has(listener.heard[0],
        "{\"job_id\":\"a\",\"status\":\"processing\",\"stage\":\"rendering\","
        "\"progress\":0.75,\"message\":\"Rendering frame 1500/2000\",\"timestamp\":\"20");
    has(listener.heard[0], "Z\",\"metadata\":{\"current_frame\":1500}}");
    char *status = redis_ask(&server, "GET", "job_status:a", NULL);
    assert_string_equal(status, listener.heard[0]);
    free(status);
    int64_t ttl = redis_ask_int(&server, "TTL", "job_status:a");
    assert_in_range(ttl, 3590, 3600);
}

static void the_ttl_is_an_option(void **state)
{
    struct reelay_options o = { .redis_url = server.url, .status_ttl_s = 77 };
    struct reelay *r = reelay_open(&o);

    (void)state;
    reelay_report(r, "a", NULL, 0, NULL, NULL);
    assert_int_equal(reelay_close(r), REELAY_OK);
    assert_in_range(redis_ask_int(&server, "TTL", "job_status:a"), 70, 77);
}

static void stages_come_in_order_and_at_once(void **state)
{
    static const char *const stages[] = { "upload", "process", "render", "caption", "publish" };

    (void)state;
    int64_t begin = test_now_ms();
    for (int i = 0; i < 5; i++)
        assert_int_equal(reelay_report(reporter, "a", stages[i], 0.1, "", NULL), REELAY_OK);
    assert_int_equal(reelay_report_complete(reporter, "a", "{\"frames\":2000}", NULL), REELAY_OK);
    assert_true(test_now_ms() - begin < 1000);
    assert_true(listener_wait(&listener, "\"completed\""));
    assert_int_equal(listener.count, 6);
    for (int i = 0; i < 5; i++)
        has(listener.heard[i], stages[i]);
    has(listener.heard[5], "\"stage\":\"complete\",\"progress\":1.0,\"message\":\"Job completed\","
                           "\"result\":{\"frames\":2000},\"timestamp\"");
}

static void ten_thousand_reports_in_a_second_are_few_messages(void **state)
{
    int64_t begin = test_now_ms();
    char message[32];

    (void)state;
    for (int i = 0; i < 10000; i++) {
        snprintf(message, sizeof(message), "frame %d.", i);
        assert_int_equal(reelay_report(reporter, "a", "rendering", i / 10000.0, message, NULL),
                         REELAY_OK);
        while (test_now_ms() - begin < i / 10)
            poll(NULL, 0, 1);
    }
    int64_t took_ms = test_now_ms() - begin;
    assert_int_equal(reelay_flush(reporter), REELAY_OK);
    assert_true(listener_wait(&listener, "frame 9999."));
    has(listener.heard[0], "frame 0.");
    print_message("%d messages for 10000 reports in %d ms\n", listener.count, (int)took_ms);
    assert_true(listener.count >= 5);
    assert_true(listener.count <= 3 + took_ms / 100);
    if (took_ms < 2000)
        assert_true(listener.count < 30);
}

static void each_job_has_its_own_pace(void **state)
{
    char id[16];

    (void)state;
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof(id), "job-%d.", i);
        for (int k = 0; k < 3; k++)
            assert_int_equal(reelay_report(reporter, id, "s", 0.1 * k, "", NULL), REELAY_OK);
    }
    char *last;
    assert_int_equal(reelay_get_status(reporter, "job-299.", &last), REELAY_OK);
    has(last, "\"progress\":0.2");
    reelay_free(last);
    assert_int_equal(reelay_flush(reporter), REELAY_OK);
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof(id), "job-%d.", i);
        assert_true(listener_wait(&listener, id));
    }
    assert_int_equal(redis_ask_int(&server, "DBSIZE", NULL), 300);
}

static void a_failure_keeps_stage_and_progress(void **state)
{
    (void)state;
    assert_int_equal(reelay_report(reporter, "a", "rendering", 0.5, "", NULL), REELAY_OK);
    assert_int_equal(reelay_report_error(reporter, "a", "Out of memory", NULL), REELAY_OK);
    assert_true(listener_wait(&listener, "\"failed\""));
    has(listener.heard[1],
        "{\"job_id\":\"a\",\"status\":\"failed\",\"stage\":\"rendering\",\"progress\":0.5,"
        "\"message\":\"Error: Out of memory\",\"error\":\"Out of memory\",\"timestamp\"");
    assert_int_equal(reelay_report_error(reporter, "b", NULL, NULL), REELAY_OK);
    assert_true(listener_wait(&listener, "\"b\""));
    has(listener.heard[2],
        "\"stage\":\"error\",\"progress\":0.0,\"message\":\"Error: Processing failed\"");
}

static void a_failed_job_may_be_tried_again_and_a_completed_one_not(void **state)
{
    (void)state;
    assert_int_equal(reelay_report_error(reporter, "a", "x", NULL), REELAY_OK);
    assert_int_equal(reelay_report(reporter, "a", "again", 0, "", NULL), REELAY_OK);
    assert_int_equal(reelay_report_complete(reporter, "a", NULL, NULL), REELAY_OK);
    assert_int_equal(reelay_report(reporter, "a", "late", 0, "", NULL), REELAY_COMPLETED);
    assert_int_equal(reelay_report_error(reporter, "a", "late", NULL), REELAY_COMPLETED);
    assert_int_equal(reelay_report_complete(reporter, "a", NULL, NULL), REELAY_COMPLETED);
    assert_true(listener_wait(&listener, "\"result\":{}"));
    assert_int_equal(listener.count, 3);
}

static void progress_is_clamped_and_has_to_be_a_number(void **state)
{
    char error[64];

    (void)state;
    assert_int_equal(reelay_report(reporter, "a", "one", -3, "", NULL), REELAY_OK);
    assert_int_equal(reelay_report(reporter, "a", "two", INFINITY, "", NULL), REELAY_OK);
    assert_int_equal(reelay_report(reporter, "a", "three", NAN, "", NULL), REELAY_INVALID);
    reelay_last_error(reporter, error, sizeof(error));
    assert_string_equal(error, "progress: not a number");
    assert_int_equal(reelay_flush(reporter), REELAY_OK);
    assert_true(listener_wait(&listener, "two"));
    has(listener.heard[0], "\"progress\":0.0,");
    has(listener.heard[1], "\"progress\":1.0,");
}

static void refused(int result, int expected, const char *name)
{
    char error[256];

    assert_int_equal(result, expected);
    reelay_last_error(reporter, error, sizeof(error));
    assert_memory_equal(error, name, strlen(name));
}

static void what_is_wrong_is_named(void **state)
{
    static char text[REELAY_TEXT_MAX + 2], json[REELAY_JSON_MAX + 3];
    char id[REELAY_JOB_ID_MAX + 2] = "", *status = NULL;
    struct reelay *r = reporter;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    memset(json, 'x', sizeof(json) - 1);
    memset(id, 'x', sizeof(id) - 1);
    json[0] = json[sizeof(json) - 2] = '"';
    refused(reelay_report(r, NULL, "s", 0, "", NULL), REELAY_INVALID, "job_id: ");
    refused(reelay_report(r, "", "s", 0, "", NULL), REELAY_INVALID, "job_id: ");
    refused(reelay_report(r, ".a", "s", 0, "", NULL), REELAY_INVALID, "job_id: ");
    refused(reelay_report(r, "a b", "s", 0, "", NULL), REELAY_INVALID, "job_id: ");
    refused(reelay_report(r, "a*", "s", 0, "", NULL), REELAY_INVALID, "job_id: ");
    refused(reelay_report(r, id, "s", 0, "", NULL), REELAY_INVALID, "job_id: ");
    refused(reelay_report(r, "a", text, 0, "", NULL), REELAY_TOO_LONG, "stage: ");
    refused(reelay_report(r, "a", "s", 0, text, NULL), REELAY_TOO_LONG, "message: ");
    refused(reelay_report(r, "a", "s", 0, "", "[]"), REELAY_INVALID, "metadata: not a JSON object");
    refused(reelay_report(r, "a", "s", 0, "", "{\"a\":}"), REELAY_INVALID, "metadata: ");
    refused(reelay_report_error(r, "a", text, NULL), REELAY_TOO_LONG, "error: ");
    refused(reelay_report_error(r, "a", "", text), REELAY_TOO_LONG, "stage: ");
    refused(reelay_report_complete(r, "a", "nope", NULL), REELAY_INVALID, "result: not valid JSON");
    refused(reelay_report_complete(r, "a", json, NULL), REELAY_TOO_LONG, "result: ");
    refused(reelay_get_status(r, "a", NULL), REELAY_INVALID, "json: ");
    assert_int_equal(reelay_get_status(r, "a", &status), REELAY_NO_STATUS);
    assert_null(status);
    assert_int_equal(redis_ask_int(&server, "DBSIZE", NULL), 0);
    assert_int_equal(reelay_report(NULL, "a", "s", 0, "", NULL), REELAY_INVALID);
    assert_int_equal(reelay_close(NULL), REELAY_OK);
}

static void the_longest_of_everything_arrives(void **state)
{
    static char text[REELAY_TEXT_MAX + 1], json[REELAY_JSON_MAX + 1];
    char id[REELAY_JOB_ID_MAX + 1] = "", *status;

    (void)state;
    memset(text, '\x01', sizeof(text) - 1); /* each becomes six bytes */
    memset(id, 'x', sizeof(id) - 1);
    memset(json, 'x', sizeof(json) - 1);
    memcpy(json, "{\"a\":\"", 6);
    memcpy(json + sizeof(json) - 3, "\"}", 2);
    assert_int_equal(reelay_report(reporter, id, text, 1, text, json), REELAY_OK);
    assert_int_equal(reelay_get_status(reporter, id, &status), REELAY_OK);
    has(status, "\"}}");
    assert_true(strlen(status) > 2 * 6 * REELAY_TEXT_MAX + REELAY_JSON_MAX);
    reelay_free(status);
}

/* A server takes no text that is longer, and with it not the end either. */
static void no_text_is_longer_than_a_server_takes(void **state)
{
    static char text[REELAY_TEXT_MAX + 1], expected[REELAY_TEXT_MAX + 64];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text + sizeof(text) - 9, "\xc3\xa9", 2); /* where the prefix cuts it */
    assert_int_equal(reelay_report_error(reporter, "a", text, NULL), REELAY_OK);
    assert_true(listener_wait(&listener, "\"failed\""));
    snprintf(expected, sizeof(expected), "\"message\":\"Error: %.*s\",", REELAY_TEXT_MAX - 8, text);
    has(listener.heard[0], expected);

    memset(text, 0xff, sizeof(text) - 1);
    assert_int_equal(reelay_report(reporter, "b", text, 0, "", NULL), REELAY_OK);
    assert_int_equal(reelay_flush(reporter), REELAY_OK);
    assert_true(listener_wait(&listener, "\"b\""));
    const char *stage = strstr(listener.heard[1], "\"stage\":\"") + strlen("\"stage\":\"");
    assert_int_equal(strcspn(stage, "\""), REELAY_TEXT_MAX / 3 * 3);
}

static void a_status_is_what_was_said_last_by_anybody(void **state)
{
    char *status = NULL;

    (void)state;
    for (int i = 0; i < 5; i++)
        reelay_report(reporter, "a", "s", i / 10.0, "", NULL); /* the last ones are not due yet */
    assert_int_equal(reelay_get_status(reporter, "a", &status), REELAY_OK);
    has(status, "\"progress\":0.4");
    reelay_free(status);
    free(redis_ask(&server, "SET", "job_status:other", "{\"by\":\"python\"}"));
    assert_int_equal(reelay_get_status(reporter, "other", &status), REELAY_OK);
    assert_string_equal(status, "{\"by\":\"python\"}");
    reelay_free(status);
    free(redis_ask(&server, "LPUSH", "job_status:list", "x"));
    refused(reelay_get_status(reporter, "list", &status), REELAY_REFUSED, "");
    assert_int_equal(reelay_get_status(reporter, "other", &status), REELAY_OK);
    reelay_free(status);
    static char huge[300 * 1024];
    memset(huge, 'x', sizeof(huge) - 1);
    free(redis_ask(&server, "SET", "job_status:huge", huge));
    assert_int_equal(reelay_get_status(reporter, "huge", &status), REELAY_TOO_LONG);
}

static void jobs_are_bounded_and_idle_ones_make_room(void **state)
{
    struct reelay_options o = { .redis_url = server.url, .jobs_max = 3, .timeout_ms = 5000 };
    struct reelay *r = reelay_open(&o);
    char id[16];

    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        assert_int_equal(reelay_report(r, id, "s", 0, "", NULL), REELAY_OK);
        assert_int_equal(reelay_flush(r), REELAY_OK);
    }
    assert_int_equal(redis_ask_int(&server, "DBSIZE", NULL), 20);
    assert_int_equal(reelay_close(r), REELAY_OK);
}

enum { RIVALS = 6, RIVAL_REPORTS = 40 };

static void *reports_on_its_own(void *number)
{
    struct reelay *r = opened(20000);
    char stage[32];

    /* Each stage is new and so goes out at once. */
    for (int i = 0; i < RIVAL_REPORTS; i++) {
        snprintf(stage, sizeof(stage), "stage-%d-%d", *(int *)number, i);
        reelay_report(r, "a", stage, 0.5, "", NULL);
        if (i % 8 == 0)
            reelay_flush(r);
    }
    return (void *)(intptr_t)reelay_close(r);
}

static void of_many_reporters_the_same_is_last_in_channel_and_key(void **state)
{
    pthread_t threads[RIVALS];
    int numbers[RIVALS];
    void *result;

    (void)state;
    for (int i = 0; i < RIVALS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, reports_on_its_own, &numbers[i]), 0);
    }
    for (int i = 0; i < RIVALS; i++) {
        pthread_join(threads[i], &result);
        assert_int_equal((intptr_t)result, REELAY_OK);
    }
    char *status = redis_ask(&server, "GET", "job_status:a", NULL);
    free(redis_ask(&server, "PUBLISH", "job_progress:a", "the end"));
    assert_true(listener_wait(&listener, "the end"));
    assert_string_equal(listener.heard[listener.count - 2], status);
    free(status);
}

static void what_cannot_be_kept_is_not_published(void **state)
{
    char error[256];

    (void)state;
    set_config("maxmemory", "1");
    struct reelay *r = opened(300);
    assert_int_equal(reelay_report_complete(r, "a", NULL, "kept"), REELAY_REFUSED);
    reelay_last_error(r, error, sizeof(error));
    has(error, "Redis: OOM");
    free(redis_ask(&server, "PUBLISH", "job_progress:a", "nothing came before"));
    assert_true(listener_wait(&listener, "nothing came before"));
    assert_int_equal(listener.count, 1);

    set_config("maxmemory", "0");
    while (reelay_flush(r) != REELAY_OK)
        continue;
    assert_true(listener_wait(&listener, "kept"));
    assert_int_equal(reelay_close(r), REELAY_OK);
}

static void options_are_checked(void **state)
{
    static const struct reelay_options wrong[] = {
        { .timeout_ms = -1 },  { .status_ttl_s = -1 },      { .interval_ms = 60001 },
        { .jobs_max = 10001 }, { .redis_url = "http://x" }, { .reserved = { "x" } },
    };
    struct reelay_options tls = { .redis_url = "rediss://localhost" };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        errno = 0;
        assert_null(reelay_open(&wrong[i]));
        assert_int_equal(errno, EINVAL);
    }
    assert_null(reelay_open(&tls));
    assert_int_equal(errno, ENOTSUP);
}

static void the_url_may_come_from_the_environment(void **state)
{
    (void)state;
    setenv("REDIS_URL", server.url, 1);
    struct reelay *r = reelay_open(NULL);
    unsetenv("REDIS_URL");
    assert_int_equal(reelay_report_complete(r, "env", NULL, NULL), REELAY_OK);
    assert_int_equal(reelay_close(r), REELAY_OK);
    assert_int_equal(redis_ask_int(&server, "EXISTS", "job_status:env"), 1);
}

static void it_logs_in_and_chooses_its_database(void **state)
{
    struct reelay_options o = { .redis_url = NULL, .timeout_ms = 5000 };
    char url[128], error[256];

    (void)state;
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d/5", server.port);
    o.redis_url = url;
    struct reelay *r = reelay_open(&o);
    assert_int_equal(reelay_report_complete(r, "five", NULL, NULL), REELAY_OK);
    assert_int_equal(reelay_close(r), REELAY_OK);
    assert_int_equal(redis_ask_int(&server, "DBSIZE", NULL), 0);
    char *info = redis_ask(&server, "INFO", "keyspace", NULL);
    has(info, "db5:keys=1");
    free(info);

    o.timeout_ms = 500;
    snprintf(url, sizeof(url), "redis://me:hush@127.0.0.1:%d", server.port);
    r = reelay_open(&o);
    assert_int_equal(reelay_report_complete(r, "no", NULL, NULL), REELAY_REFUSED);
    reelay_last_error(r, error, sizeof(error));
    assert_string_equal(error, "Redis: WRONGPASS");
    assert_int_equal(reelay_close(r), REELAY_REFUSED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_report_is_published_and_kept),
        TEST(the_ttl_is_an_option),
        TEST(stages_come_in_order_and_at_once),
        TEST(ten_thousand_reports_in_a_second_are_few_messages),
        TEST(each_job_has_its_own_pace),
        TEST(a_failure_keeps_stage_and_progress),
        TEST(a_failed_job_may_be_tried_again_and_a_completed_one_not),
        TEST(progress_is_clamped_and_has_to_be_a_number),
        TEST(what_is_wrong_is_named),
        TEST(the_longest_of_everything_arrives),
        TEST(no_text_is_longer_than_a_server_takes),
        TEST(a_status_is_what_was_said_last_by_anybody),
        TEST(jobs_are_bounded_and_idle_ones_make_room),
        TEST(of_many_reporters_the_same_is_last_in_channel_and_key),
        TEST(what_cannot_be_kept_is_not_published),
        TEST(options_are_checked),
        TEST(the_url_may_come_from_the_environment),
        TEST(it_logs_in_and_chooses_its_database),
    };

    return cmocka_run_group_tests_name("lib/report", tests, NULL, NULL);
}
