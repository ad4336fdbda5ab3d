#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/fetch.h"
#include "scripted.h"

struct seen {
    int calls, err, status, head_status;
    char body[256], why[256], location[256];
    int64_t retry_after_s;
};

static void on_done(void *context, const struct fetch_answer *a)
{
    struct seen *seen = context;

    seen->calls++;
    seen->err = a->err;
    seen->status = a->status;
    seen->head_status = a->head_status;
    seen->retry_after_s = a->retry_after_s;
    snprintf(seen->body, sizeof(seen->body), "%.*s", STR_ARG(a->body));
    snprintf(seen->why, sizeof(seen->why), "%s", a->why ? a->why : "");
    snprintf(seen->location, sizeof(seen->location), "%s", a->location ? a->location : "");
}

struct world {
    uv_loop_t loop;
    struct fetcher *fetcher;
};

static int set_up(void **state)
{
    struct world *w = mem_new(struct world);

    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->fetcher = fetcher_new(&w->loop, NULL);
    *state = w;
    return 0;
}

/* The loop closes clean: no handle was forgotten. */
static int tear_down(void **state)
{
    struct world *w = *state;

    fetcher_close(w->fetcher);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    mem_free(w);
    return 0;
}

static void run(struct world *w, struct fetch_request request, struct seen *seen)
{
    memset(seen, 0, sizeof(*seen));
    request.done = on_done;
    request.context = seen;
    if (request.method == NULL)
        request.method = "GET";
    if (request.answer_max == 0)
        request.answer_max = 1000;
    fetch_start(w->fetcher, &request);
    assert_int_equal(seen->calls, 0);
    while (seen->calls == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(seen->calls, 1);
}

#define ANSWER(status, fields, body)                                                               \
    "HTTP/1.1 " status "\r\nConnection: close\r\n" fields "\r\n" body

static void an_answer_is_handed_over_whatever_its_status(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 5\r\n", "hello") },
        { .text = ANSWER("404 Not Found", "Content-Length: 4\r\n", "none") },
        { .text = ANSWER("503 Busy", "Retry-After: 7\r\nContent-Length: 0\r\n", "") },
        { .text = ANSWER("301 Moved", "Location: /other\r\nContent-Length: 0\r\n", "") },
    };
    struct scripted server;
    struct seen seen;
    char other[128];

    scripted_start(&server, script, 4);
    run(*state, (struct fetch_request){ .url = server.url, .token = "abc" }, &seen);
    assert_int_equal(seen.err, OK);
    assert_int_equal(seen.status, 200);
    assert_string_equal(seen.body, "hello");
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    assert_int_equal(seen.status, 404);
    assert_string_equal(seen.body, "none");
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    assert_int_equal(seen.status, 503);
    assert_int_equal(seen.retry_after_s, 7);
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    assert_int_equal(seen.status, 301);
    snprintf(other, sizeof(other), "%s/other", server.url);
    assert_string_equal(seen.location, other);
    assert_non_null(strstr(server.heard[0], "\r\nAuthorization: Bearer abc\r\n"));
    assert_null(strstr(server.heard[1], "Authorization"));
    scripted_stop(&server);
}

static void a_body_is_sent_from_memory(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 0\r\n", "") },
        { .text = ANSWER("200 OK", "Content-Length: 0\r\n", "") },
    };
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 2);
    run(*state,
        (struct fetch_request){ .url = server.url,
                                .method = "POST",
                                .content_type = "application/json",
                                .body = STR("{\"a\":1}") },
        &seen);
    assert_int_equal(seen.status, 200);
    run(*state, (struct fetch_request){ .url = server.url, .method = "POST" }, &seen);
    assert_int_equal(seen.status, 200);
    assert_memory_equal(server.heard[0], "POST / HTTP/1.1\r\n", 17);
    assert_non_null(strstr(server.heard[0], "\r\nContent-Type: application/json\r\n"));
    assert_string_equal(strstr(server.heard[0], "\r\n\r\n") + 4, "{\"a\":1}");
    assert_non_null(strstr(server.heard[1], "\r\nContent-Length: 0\r\n"));
    scripted_stop(&server);
}

static int file_of(size_t size)
{
    char name[] = "/tmp/reelay-fetch-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(pwrite(fd, &(char){ (char)('a' + i % 23) }, 1, (off_t)i), 1);
    return fd;
}

static void a_files_range_is_sent(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("201 Created", "Content-Length: 0\r\n", "") },
    };
    int fd = file_of(300000);
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 1);
    run(*state,
        (struct fetch_request){ .url = server.url,
                                .method = "PUT",
                                .has_file = true,
                                .file = fd,
                                .offset = 23 * 1000 + 1,
                                .length = 200000 },
        &seen);
    assert_int_equal(seen.status, 201);
    char *body = strstr(server.heard[0], "\r\n\r\n") + 4;
    assert_int_equal(server.heard_len[0] - (size_t)(body - server.heard[0]), 200000);
    for (size_t i = 0; i < 200000; i++)
        assert_int_equal(body[i], 'a' + (i + 1) % 23);
    scripted_stop(&server);
    close(fd);
}

static void a_file_that_ends_too_early_is_said(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 0\r\n", "") },
    };
    int fd = file_of(1000);
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 1);
    run(*state,
        (struct fetch_request){
            .url = server.url, .method = "PUT", .has_file = true, .file = fd, .length = 2000 },
        &seen);
    assert_int_equal(seen.err, FAIL_STATE);
    scripted_stop(&server);
    close(fd);
}

static void an_answer_longer_than_its_limit_ends(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\n", "hello world") },
        { .text = ANSWER("200 OK", "Content-Length: 11\r\n", "hello world") },
    };
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 2);
    run(*state, (struct fetch_request){ .url = server.url, .answer_max = 10 }, &seen);
    assert_int_equal(seen.err, FAIL_LIMIT);
    run(*state, (struct fetch_request){ .url = server.url, .answer_max = 11 }, &seen);
    assert_int_equal(seen.err, OK);
    assert_string_equal(seen.body, "hello world");
    scripted_stop(&server);
}

static void broken_connections_are_told_from_none(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = NULL },
        { .text = ANSWER("200 OK", "Content-Length: 99\r\n", "hello") },
        { .text = "SMTP ready\r\n" },
        { .text = "HTTP/3.7 200 OK\r\n\r\n" },
        { .text = ANSWER("301 There", "Location: ftp://127.0.0.1/\r\nContent-Length: 0\r\n", "") },
    };
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 5);
    for (int i = 0; i < 4; i++) {
        run(*state, (struct fetch_request){ .url = server.url }, &seen);
        assert_int_equal(seen.err, FAIL_IO);
        assert_true(strlen(seen.why) > 0);
    }
    run(*state, (struct fetch_request){ .url = server.url, .redirects_max = 1 }, &seen);
    assert_int_equal(seen.err, FAIL_SYNTAX);
    scripted_stop(&server);
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    assert_int_equal(seen.err, FAIL_CLOSED);
    run(*state, (struct fetch_request){ .url = "http://name.invalid/" }, &seen);
    assert_int_equal(seen.err, FAIL_CLOSED);
    run(*state, (struct fetch_request){ .url = "file:///etc/passwd" }, &seen);
    assert_int_equal(seen.err, FAIL_SYNTAX);
    run(*state, (struct fetch_request){ .url = "http://" }, &seen);
    assert_int_equal(seen.err, FAIL_SYNTAX);
}

static void an_answer_that_does_not_come_is_given_up(void **state)
{
    static const struct scripted_answer script[] = { { .text = "HTTP/1.1 ", .keeps_open = true } };
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 1);
    run(*state, (struct fetch_request){ .url = server.url, .timeout_ms = 50 }, &seen);
    assert_int_equal(seen.err, FAIL_TIMEOUT);
    scripted_stop(&server);
}

static void never(void *context, const struct fetch_answer *a)
{
    (void)context;
    (void)a;
    fail();
}

static void what_was_cancelled_says_nothing(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = "HTTP/1.1 200 OK\r\n", .keeps_open = true },
        { .text = "HTTP/1.1 200 OK\r\n", .keeps_open = true },
    };
    struct world *w = *state;
    struct scripted server;

    scripted_start(&server, script, 2);
    struct fetch_request request = {
        .method = "GET", .url = server.url, .answer_max = 10, .done = never
    };
    fetch_cancel(fetch_start(w->fetcher, &request)); /* before anything has moved */
    struct fetch *first = fetch_start(w->fetcher, &request);
    fetch_start(w->fetcher, &request); /* is left to fetcher_close */
    for (int i = 0; i < 20; i++)
        uv_run(&w->loop, UV_RUN_NOWAIT);
    fetch_cancel(first);
    tear_down(state);
    scripted_stop(&server);
    set_up(state);
}

static void only_this_machine_is_local(void **state)
{
    static const char *const local[] = {
        "http://127.0.0.1",   "http://127.1.2.3:80/x", "https://localhost:3001",
        "http://[::1]:3001/", "http://LOCALHOST/",     "http://bucket.s3.LocalHost:9000/"
    };
    static const char *const remote[] = { "http://127.0.0.1.example.org/",
                                          "http://10.0.0.1",
                                          "http://128.0.0.1",
                                          "http://[::2]/",
                                          "http://localhost.example.org",
                                          "http://notlocalhost/",
                                          "http://127.0.0.1@evil/",
                                          "" };

    (void)state;
    for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++)
        assert_true(fetch_is_local(local[i]));
    for (size_t i = 0; i < sizeof(remote) / sizeof(*remote); i++)
        assert_false(fetch_is_local(remote[i]));
}

static void a_proxy_is_not_asked_about_this_machine(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 2\r\n", "ok") },
    };
    struct scripted server;
    struct seen seen;

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    scripted_start(&server, script, 1);
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    unsetenv("http_proxy");
    assert_string_equal(seen.body, "ok");
    scripted_stop(&server);
}

/* What a proxy says of the way to it is not what the server says. */
static void a_proxy_does_not_answer_for_the_server(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = "HTTP/1.1 200 Connection established\r\nETag: \"p\"\r\n\r\n" },
        { .text = ANSWER("407 Who are you", "Content-Length: 4\r\n", "none") },
    };
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 2);
    setenv("https_proxy", server.url, 1);
    for (int i = 0; i < 2; i++) {
        run(*state, (struct fetch_request){ .url = "https://example.com/", .method = "POST" },
            &seen);
        assert_int_not_equal(seen.err, OK);
        assert_int_equal(seen.head_status, 0);
    }
    unsetenv("https_proxy");
    assert_memory_equal(server.heard[0], "CONNECT example.com:443 HTTP/1.1\r\n", 34);
    scripted_stop(&server);
}

/* Not the next one's answer, either. */
static void what_comes_behind_an_answer_without_a_body_is_none(void **state)
{
    static const char wrong[] = "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n"
                                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong";
    static const char gone[] = "HTTP/1.1 204 No Content\r\nContent-Length: 43\r\n\r\n"
                               "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong";
    static const struct scripted_answer right = { .text = ANSWER("200 OK", "Content-Length: 5\r\n",
                                                                 "right") };
    const struct scripted_answer script[] = {
        { .text = wrong, .keeps_open = true }, right, { .text = gone, .keeps_open = true }, right
    };
    static const char *const methods[] = { "HEAD", "DELETE" };
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 4);
    for (int i = 0; i < 2; i++) {
        run(*state, (struct fetch_request){ .url = server.url, .method = methods[i] }, &seen);
        assert_int_equal(seen.err, OK);
        assert_string_equal(seen.body, "");
        run(*state, (struct fetch_request){ .url = server.url, .timeout_ms = 3000 }, &seen);
        assert_int_equal(seen.err, OK);
        assert_string_equal(seen.body, "right");
    }
    scripted_stop(&server);
}

static void trailers_without_an_end_end_it(void **state)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    static const char field[] = "X-More: 0123456789012345678901234567890123456789012345678\r\n";
    struct buf text;
    struct scripted server;
    struct seen seen;

    buf_init(&text, 4 << 20);
    buf_puts(&text, head);
    while (text.len < (2 << 20))
        buf_puts(&text, field);
    assert_false(text.failed);
    const struct scripted_answer script[] = {
        { .text = text.data, .len = text.len, .keeps_open = true },
        { .text = text.data, .len = sizeof(head) - 1 + 100 * (sizeof(field) - 1) },
    };
    scripted_start(&server, script, 2);
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    assert_int_equal(seen.err, FAIL_LIMIT);
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    assert_int_not_equal(seen.err, FAIL_LIMIT); /* it broke off */
    scripted_stop(&server);
    buf_deinit(&text);
}

static void the_head_is_known_though_the_body_breaks_off(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 5\r\n", "") },
        { .text = "HTTP/1.1 103 Early Hints\r\n\r\n" },
        { .text = "HTTP/1.1 103 Early Hints\r\n\r\n" ANSWER("410 Gone", "", "") },
    };
    static const int statuses[] = { 200, 0, 410 };
    struct scripted server;
    struct seen seen;

    scripted_start(&server, script, 3);
    for (int i = 0; i < 3; i++) {
        run(*state, (struct fetch_request){ .url = server.url }, &seen);
        assert_int_equal(seen.err == OK, i == 2);
        assert_int_equal(seen.head_status, statuses[i]);
    }
    scripted_stop(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_handed_over_whatever_its_status),
        TEST(a_body_is_sent_from_memory),
        TEST(a_files_range_is_sent),
        TEST(a_file_that_ends_too_early_is_said),
        TEST(an_answer_longer_than_its_limit_ends),
        TEST(trailers_without_an_end_end_it),
        TEST(the_head_is_known_though_the_body_breaks_off),
        TEST(broken_connections_are_told_from_none),
        TEST(an_answer_that_does_not_come_is_given_up),
        TEST(what_was_cancelled_says_nothing),
        TEST(only_this_machine_is_local),
        TEST(a_proxy_is_not_asked_about_this_machine),
        TEST(a_proxy_does_not_answer_for_the_server),
        TEST(what_comes_behind_an_answer_without_a_body_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
