#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/counters.h"

enum { THREADS = 24, ADDS = 20000 }; /* more threads than stripes */

static const struct dialect dialect = { .name = "spoken", .index = 2 };

static bool is_written(const char *line)
{
    struct buf out;

    buf_init(&out, 65536);
    counters_write(&out);
    bool is_there = strstr(buf_text(&out), line) != NULL;
    buf_deinit(&out);
    return is_there;
}

static void *add_many(void *unused)
{
    for (int i = 0; i < ADDS; i++) {
        counter_add(COUNT_UPDATES, 1);
        counter_add(COUNT_OPEN_HTTP, i % 2 ? -1 : 1);
    }
    return unused;
}

static void what_many_threads_add_is_summed(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counter_sum(COUNT_UPDATES), THREADS * ADDS);
    assert_int_equal(counter_sum(COUNT_OPEN_HTTP), 0);
    assert_true(is_written("\nreelay_updates_total 480000\n"));
}

static void a_gauge_that_one_thread_raises_and_another_lowers_is_right(void **state)
{
    pthread_t thread;

    (void)state;
    counter_session(&dialect, 1);
    counter_session(&dialect, 1);
    assert_int_equal(pthread_create(&thread, NULL, add_many, NULL), 0);
    pthread_join(thread, NULL);
    counter_session(&dialect, -1);
    assert_true(is_written("\nreelay_sessions{dialect=\"spoken\"} 1\n"));
    counter_session(&dialect, -1);
    assert_true(is_written("\nreelay_sessions{dialect=\"spoken\"} 0\n"));
}

static void a_close_is_counted_by_its_code(void **state)
{
    (void)state;
    counter_close(COUNT_SERVER_CLOSES, 1008);
    counter_close(COUNT_SERVER_CLOSES, 4001);
    counter_close(COUNT_SERVER_CLOSES, 4999);
    counter_close(COUNT_CLIENT_CLOSES, 0);
    counter_close(COUNT_CLIENT_CLOSES, 3000);
    counter_close(COUNT_CLIENT_CLOSES, 1006);
    assert_true(is_written("\nreelay_websocket_server_closes_total{code=\"1008\"} 1\n"));
    assert_true(is_written("\nreelay_websocket_server_closes_total{code=\"4001\"} 1\n"));
    assert_true(is_written("\nreelay_websocket_server_closes_total{code=\"other\"} 1\n"));
    assert_true(is_written("\nreelay_websocket_client_closes_total{code=\"1005\"} 1\n"));
    assert_true(is_written("\nreelay_websocket_client_closes_total{code=\"other\"} 2\n"));
    assert_true(is_written("\nreelay_websocket_client_closes_total{code=\"1008\"} 0\n"));
}

/* A row that is one off would show a counter under its neighbour's name. */
static void every_counter_is_written_once_under_its_own_name(void **state)
{
    static const struct {
        enum counter which;
        const char *name;
    } named[] = {
        { COUNT_OPEN_WEBSOCKET, "reelay_connections{kind=\"websocket\"}" },
        { COUNT_OPENED_HTTP, "reelay_connections_opened_total{kind=\"http\"}" },
        { COUNT_LIMITED_CONNECTIONS, "reelay_limited_total{limit=\"max_connections\"}" },
        { COUNT_LIMITED_ADDRESS, "reelay_limited_total{limit=\"max_connections_per_address\"}" },
        { COUNT_LIMITED_MESSAGES, "reelay_limited_total{limit=\"max_messages\"}" },
        { COUNT_LIMITED_SUBSCRIPTIONS, "reelay_limited_total{limit=\"max_subscriptions\"}" },
        { COUNT_LIMITED_MESSAGE_SIZE, "reelay_limited_total{limit=\"max_message\"}" },
        { COUNT_LIMITED_HANDSHAKE_TIME, "reelay_limited_total{limit=\"handshake_timeout\"}" },
        { COUNT_LIMITED_BODY_TIME, "reelay_limited_total{limit=\"body_timeout\"}" },
        { COUNT_LIMITED_WRITE_TIME, "reelay_limited_total{limit=\"write_timeout\"}" },
        { COUNT_LIMITED_IDLE_TIME, "reelay_limited_total{limit=\"idle_timeout\"}" },
        { COUNT_LIMITED_WS_TIME, "reelay_limited_total{limit=\"ws_timeout\"}" },
        { COUNT_LIMITED_HEAD_SIZE, "reelay_limited_total{limit=\"head_size\"}" },
        { COUNT_LIMITED_BODY_SIZE, "reelay_limited_total{limit=\"body_size\"}" },
        { COUNT_LIMITED_REPLIES, "reelay_limited_total{limit=\"replies\"}" },
        { COUNT_ANSWERS_LAST, "reelay_http_answers_total{code=\"5xx\"}" },
        { COUNT_LOST_WEBSOCKETS, "reelay_websocket_lost_total" },
        { COUNT_ENDED_LAST, "reelay_jobs_ended_total{state=\"cancelled\"}" },
        { COUNT_DOWNLOADS_ENDED, "reelay_downloads_ended_total{state=\"completed\"}" },
        { COUNT_DOWNLOADS_ENDED_LAST, "reelay_downloads_ended_total{state=\"cancelled\"}" },
        { COUNT_UPLOADED_CHUNKS, "reelay_upload_bytes_total{door=\"chunks\"}" },
        { COUNT_UPLOADED_RPC, "reelay_upload_bytes_total{door=\"rpc\"}" },
        { COUNT_UPLOADED_TUS, "reelay_upload_bytes_total{door=\"tus\"}" },
        { COUNT_DOWNLOADED, "reelay_download_bytes_total" },
        { COUNT_DELIVERIES, "reelay_deliveries_total" },
    };
    char line[128];

    (void)state;
    for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++) {
        counter_add(named[i].which, 1000003 + (int64_t)i);
        snprintf(line, sizeof(line), "\n%s %lld\n", named[i].name,
                 (long long)counter_sum(named[i].which));
        assert_true(is_written(line));
        counter_add(named[i].which, -1000003 - (int64_t)i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_many_threads_add_is_summed),
        cmocka_unit_test(a_gauge_that_one_thread_raises_and_another_lowers_is_right),
        cmocka_unit_test(a_close_is_counted_by_its_code),
        cmocka_unit_test(every_counter_is_written_once_under_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
