/* Bodies that go into files, and what comes before them: heads, ranges, redirects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/fetch.h"
#include "io/fetch_internal.h"
#include "io/guard.h"
#include "scripted.h"

#define ANSWER(status, fields, body)                                                               \
    "HTTP/1.1 " status "\r\nConnection: close\r\n" fields "\r\n" body

struct seen {
    int calls, begun, released, err, status, begun_status, refuse_with;
    char why[256], body[64], tag[64], md5[33], url[128];
    int64_t length, begun_length;
    uint64_t received;
};

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

static int tear_down(void **state)
{
    struct world *w = *state;

    fetcher_close(w->fetcher);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    mem_free(w);
    return 0;
}

static void on_done(void *context, const struct fetch_answer *a)
{
    struct seen *seen = context;
    const char *tag = fetch_header_of(a, "x-TAG");

    seen->calls++;
    seen->err = a->err;
    seen->status = a->status;
    seen->length = a->length;
    seen->received = fetch_received(a->of);
    if (a->md5 != NULL)
        encode_hex(a->md5, 16, seen->md5);
    snprintf(seen->why, sizeof(seen->why), "%s", a->why ? a->why : "");
    snprintf(seen->tag, sizeof(seen->tag), "%s", tag ? tag : "");
    snprintf(seen->url, sizeof(seen->url), "%s", a->url ? a->url : "");
    snprintf(seen->body, sizeof(seen->body), "%.*s", STR_ARG(a->body));
}

static int on_begun(void *context, const struct fetch_answer *a)
{
    struct seen *seen = context;

    seen->begun++;
    seen->begun_status = a->status;
    seen->begun_length = a->length;
    return seen->refuse_with;
}

static void on_released(void *context)
{
    ((struct seen *)context)->released++;
}

static struct fetch_request with(struct fetch_request request, struct seen *seen)
{
    request.done = on_done;
    request.begun = on_begun;
    request.released = on_released;
    request.context = seen;
    if (request.method == NULL)
        request.method = "GET";
    if (request.answer_max == 0)
        request.answer_max = 1000;
    return request;
}

static void run(struct world *w, struct fetch_request request, struct seen *seen)
{
    int refuse_with = seen->refuse_with;

    memset(seen, 0, sizeof(*seen));
    seen->refuse_with = refuse_with;
    request = with(request, seen);
    fetch_start(w->fetcher, &request);
    assert_int_equal(seen->calls, 0);
    while (seen->calls == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(seen->calls, 1);
    assert_int_equal(seen->released, 0);
}

static int empty_file(void)
{
    char name[] = "/tmp/reelay-fetch-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

/* An answer that carries `len` bytes: 0, 1, ... 250, 0, ... */
static struct scripted_answer answer_with(size_t len, size_t announced)
{
    char head[128];
    int head_len = snprintf(head, sizeof(head),
                            "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Tag: %zu\r\n"
                            "Content-Length: %zu\r\n\r\n",
                            len, announced);
    char *text = mem_zalloc((size_t)head_len + len + 1);

    memcpy(text, head, (size_t)head_len);
    for (size_t i = 0; i < len; i++)
        text[(size_t)head_len + i] = (char)(i % 251);
    return (struct scripted_answer){ .text = text, .len = (size_t)head_len + len };
}

static void assert_file_holds(int fd, size_t at, size_t len)
{
    unsigned char *bytes = mem_alloc(len + 1);

    assert_int_equal(pread(fd, bytes, len + 1, (off_t)at), len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], i % 251);
    mem_free(bytes);
}

static void a_body_goes_into_a_file_with_its_checksum(void **state)
{
    enum { SIZE = 3 * 1000 * 1000 + 7 };
    struct scripted_answer script[] = { answer_with(SIZE, SIZE) };
    struct scripted server;
    struct seen seen = { 0 };
    int fd = empty_file();

    scripted_start(&server, script, 1);
    run(*state,
        (struct fetch_request){
            .url = server.url, .has_sink = true, .sink = fd, .sink_at = 1000, .has_md5 = true },
        &seen);
    assert_int_equal(seen.err, OK);
    assert_int_equal(seen.received, SIZE);
    assert_int_equal(seen.length, SIZE);
    assert_int_equal(seen.begun, 1);
    assert_int_equal(seen.begun_status, 200);
    assert_int_equal(seen.begun_length, SIZE);
    assert_string_equal(seen.tag, "3000007");
    assert_file_holds(fd, 1000, SIZE);
    /* md5sum of the same bytes */
    assert_string_equal(seen.md5, "87894e633e607d881c8f06b1019ec4da");
    scripted_stop(&server);
    close(fd);
    mem_free((void *)script[0].text);
}

static void what_came_before_a_break_is_in_the_file(void **state)
{
    enum { SIZE = 700 * 1000 };
    struct scripted_answer script[] = { answer_with(SIZE, SIZE + 1) };
    struct scripted server;
    struct seen seen = { 0 };
    int fd = empty_file();

    scripted_start(&server, script, 1);
    run(*state, (struct fetch_request){ .url = server.url, .has_sink = true, .sink = fd }, &seen);
    assert_int_equal(seen.err, FAIL_IO);
    assert_int_equal(seen.received, SIZE);
    assert_file_holds(fd, 0, SIZE);
    scripted_stop(&server);
    close(fd);
    mem_free((void *)script[0].text);
}

static void an_error_does_not_go_into_the_file(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("404 Not Found", "Content-Length: 4\r\n", "none") },
        { .text = ANSWER("206 Partial Content", "Content-Length: 4\r\n", "part") },
    };
    struct scripted server;
    struct seen seen = { 0 };
    int fd = empty_file();

    scripted_start(&server, script, 2);
    run(*state, (struct fetch_request){ .url = server.url, .has_sink = true, .sink = fd }, &seen);
    assert_int_equal(seen.status, 404);
    assert_string_equal(seen.body, "none");
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    run(*state,
        (struct fetch_request){ .url = server.url,
                                .has_sink = true,
                                .sink = fd,
                                .is_range = true,
                                .range_from = 7,
                                .range_to = UINT64_MAX },
        &seen);
    assert_int_equal(seen.status, 206);
    assert_string_equal(seen.body, "");
    assert_int_equal(lseek(fd, 0, SEEK_END), 4);
    assert_null(strstr(server.heard[0], "Range"));
    assert_non_null(strstr(server.heard[1], "\r\nRange: bytes=7-\r\n"));
    scripted_stop(&server);
    close(fd);
}

static void a_body_beyond_its_limit_ends(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\n", "hello world") },
        { .text = ANSWER("200 OK", "", "hello world") },
        { .text = ANSWER("200 OK", "", "hello worl") },
    };
    struct scripted server;
    struct seen seen = { 0 };
    int fd = empty_file();

    scripted_start(&server, script, 3);
    for (int i = 0; i < 3; i++) {
        run(*state,
            (struct fetch_request){
                .url = server.url, .has_sink = true, .sink = fd, .sink_max = 10 },
            &seen);
        assert_int_equal(seen.err, i < 2 ? FAIL_LIMIT : OK);
        assert_int_equal(seen.begun_length, i == 0 ? 11 : -1);
    }
    assert_int_equal(lseek(fd, 0, SEEK_END), 10);
    scripted_stop(&server);
    close(fd);
}

static void a_full_disk_is_said(void **state)
{
    struct scripted_answer script[] = { answer_with(2000000, 2000000), answer_with(10, 10) };
    struct scripted server;
    struct seen seen = { 0 };
    int fd = open("/dev/full", O_WRONLY);

    assert_true(fd >= 0);
    scripted_start(&server, script, 2);
    for (int i = 0; i < 2; i++) {
        run(*state, (struct fetch_request){ .url = server.url, .has_sink = true, .sink = fd },
            &seen);
        assert_int_equal(seen.err, FAIL_FULL);
        assert_string_equal(seen.why, "the disk is full");
    }
    scripted_stop(&server);
    close(fd);
    mem_free((void *)script[0].text);
    mem_free((void *)script[1].text);
}

static void who_sees_the_head_may_refuse_the_rest(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 5\r\n", "hello") },
        { .text = ANSWER("200 OK", "Content-Length: 0\r\n", "") },
    };
    struct scripted server;
    struct seen seen = { .refuse_with = FAIL_UNSUPPORTED };

    scripted_start(&server, script, 2);
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    assert_int_equal(seen.err, FAIL_UNSUPPORTED);
    run(*state, (struct fetch_request){ .url = server.url }, &seen);
    assert_int_equal(seen.err, FAIL_UNSUPPORTED);
    assert_int_equal(seen.begun, 1);
    scripted_stop(&server);
}

static void a_file_is_released_behind_a_cancellation(void **state)
{
    struct scripted_answer script[] = { answer_with(2000000, 2000001), answer_with(0, 1) };
    struct world *w = *state;
    struct scripted server;
    int fd = empty_file();

    script[0].keeps_open = script[1].keeps_open = true;
    scripted_start(&server, script, 2);
    for (int i = 0; i < 2; i++) {
        struct seen seen = { 0 };
        struct fetch_request request =
            with((struct fetch_request){ .url = server.url, .has_sink = true, .sink = fd }, &seen);
        struct fetch *fetch = fetch_start(w->fetcher, &request);
        while (i == 0 && fetch_received(fetch) == 0)
            uv_run(&w->loop, UV_RUN_ONCE);
        for (int n = 0; i == 1 && n < 20; n++) /* connected, so that the server goes on */
            uv_run(&w->loop, UV_RUN_NOWAIT);
        fetch_cancel(fetch);
        assert_int_equal(seen.released, 0);
        while (seen.released == 0)
            uv_run(&w->loop, UV_RUN_ONCE);
        assert_int_equal(seen.calls, 0);
    }
    scripted_stop(&server);
    close(fd);
    mem_free((void *)script[0].text);
    mem_free((void *)script[1].text);
}

static void a_head_is_asked_for_without_its_body(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 123456789012\r\nX-Tag: a\r\n", "") },
    };
    struct scripted server;
    struct seen seen = { 0 };

    scripted_start(&server, script, 1);
    run(*state, (struct fetch_request){ .url = server.url, .method = "HEAD" }, &seen);
    assert_int_equal(seen.err, OK);
    assert_int_equal(seen.length, 123456789012);
    assert_string_equal(seen.tag, "a");
    assert_memory_equal(server.heard[0], "HEAD / HTTP/1.1\r\n", 17);
    scripted_stop(&server);
}

static void further_headers_go_along(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 0\r\n", "") },
    };
    static const struct fetch_header headers[] = { { "If-Match", "\"abc\"" }, { "X-Empty", "" } };
    struct scripted server;
    struct seen seen = { 0 };
    int fd = empty_file();

    assert_int_equal(ftruncate(fd, 100000), 0);
    scripted_start(&server, script, 1);
    run(*state,
        (struct fetch_request){ .url = server.url,
                                .method = "PUT",
                                .has_file = true,
                                .file = fd,
                                .length = 100000,
                                .has_md5 = true,
                                .headers = headers,
                                .header_count = 2 },
        &seen);
    assert_int_equal(seen.err, OK);
    assert_string_equal(seen.md5, "0019d23bef56a136a1891211d7007f6f");
    assert_non_null(strstr(server.heard[0], "\r\nIf-Match: \"abc\"\r\n"));
    assert_non_null(strstr(server.heard[0], "\r\nX-Empty:\r\n"));
    assert_null(strcasestr(server.heard[0], "\r\nExpect:"));
    assert_null(strcasestr(server.heard[0], "\r\nContent-Type:"));
    scripted_stop(&server);
    close(fd);
}

static void redirects_are_followed_as_far_as_allowed(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("302 Found", "Location: /a\r\nContent-Length: 3\r\n", "one") },
        { .text = ANSWER("301 Moved", "Location: /b\r\nContent-Length: 3\r\n", "two") },
        { .text = ANSWER("200 OK", "Content-Length: 5\r\nX-Tag: end\r\n", "three") },
        { .text = ANSWER("302 Found", "Location: /a\r\nContent-Length: 3\r\n", "one") },
        { .text = ANSWER("302 Found", "Location: /b\r\nContent-Length: 3\r\n", "two") },
        { .text =
              ANSWER("302 Found", "Location: file:///etc/passwd\r\nContent-Length: 0\r\n", "") },
    };
    struct scripted server;
    struct seen seen = { 0 };
    char expected[128];

    scripted_start(&server, script, 6);
    run(*state, (struct fetch_request){ .url = server.url, .redirects_max = 2 }, &seen);
    assert_int_equal(seen.err, OK);
    assert_int_equal(seen.begun, 1);
    assert_int_equal(seen.begun_status, 200);
    assert_string_equal(seen.body, "three");
    assert_string_equal(seen.tag, "end");
    snprintf(expected, sizeof(expected), "%s/b", server.url);
    assert_string_equal(seen.url, expected);
    run(*state, (struct fetch_request){ .url = server.url, .redirects_max = 1 }, &seen);
    assert_int_equal(seen.err, FAIL_LIMIT);
    assert_int_equal(seen.begun, 0);
    run(*state, (struct fetch_request){ .url = server.url, .redirects_max = 5 }, &seen);
    assert_int_equal(seen.err, FAIL_SYNTAX);
    scripted_stop(&server);
}

struct gate {
    int asked;
    char hosts[4][64];
    bool admits[4];
};

static bool ask_gate(const void *context, const char *host, const struct sockaddr *to)
{
    struct gate *gate = (struct gate *)context;

    if (to->sa_family != AF_INET)
        return false;
    snprintf(gate->hosts[gate->asked], sizeof(*gate->hosts), "%s", host);
    return gate->admits[gate->asked++];
}

static void every_connection_passes_the_gate(void **state)
{
    char script_text[256];
    struct scripted_answer script[] = { { .text = script_text } };
    struct gate gate = { .admits = { false, true, false } };
    struct world *w = *state;
    struct scripted server;
    struct seen seen = { 0 };

    scripted_start(&server, script, 1);
    snprintf(script_text, sizeof(script_text),
             ANSWER("302 Found", "Location: http://localhost:%u/\r\nContent-Length: 0\r\n", ""),
             server.port);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nothing is there */
    fetcher_set_gate(w->fetcher, ask_gate, &gate);
    run(w, (struct fetch_request){ .url = server.url, .redirects_max = 3 }, &seen);
    assert_int_equal(seen.err, FAIL_DENIED);
    assert_string_equal(seen.why, "it leads to an address that is not public (127.0.0.1)");
    assert_string_equal(gate.hosts[0], "127.0.0.1");
    run(w, (struct fetch_request){ .url = server.url, .redirects_max = 3 }, &seen);
    assert_int_equal(seen.err, FAIL_DENIED);
    assert_int_equal(gate.asked, 3);
    assert_string_equal(gate.hosts[2], "localhost");
    unsetenv("http_proxy");
    scripted_stop(&server);
}

static void a_guarded_fetcher_goes_where_it_may(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 2\r\n", "ok") },
    };
    static const char *const allow[] = { "127.0.0.1" };
    struct world *w = *state;
    struct scripted server;
    struct seen seen = { 0 };
    struct buf why;

    buf_init(&why, 100);
    scripted_start(&server, script, 1);
    for (size_t allowed = 0; allowed < 2; allowed++) {
        struct guard_rules rules = { .allow = allow, .allow_count = allowed };
        struct guard *guard;
        assert_int_equal(guard_new(&rules, &guard, &why), OK);
        fetcher_close(w->fetcher);
        w->fetcher = fetcher_new_guarded(&w->loop, NULL, guard);
        run(w, (struct fetch_request){ .url = server.url }, &seen);
        assert_int_equal(seen.err, allowed ? OK : FAIL_DENIED);
        fetcher_close(w->fetcher);
        w->fetcher = fetcher_new(&w->loop, NULL);
        guard_free(guard);
    }
    scripted_stop(&server);
    buf_deinit(&why);
}

static void on_done_and_close(void *context, const struct fetch_answer *a)
{
    struct world *w = context;

    assert_int_equal(a->status, 200);
    fetcher_close(w->fetcher);
    w->fetcher = NULL;
}

static void a_fetcher_may_be_closed_by_what_it_calls(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 0\r\n", "") },
    };
    struct world *w = *state;
    struct scripted server;

    scripted_start(&server, script, 1);
    fetch_start(w->fetcher, &(struct fetch_request){ .method = "GET",
                                                     .url = server.url,
                                                     .answer_max = 10,
                                                     .done = on_done_and_close,
                                                     .context = w });
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_null(w->fetcher);
    w->fetcher = fetcher_new(&w->loop, NULL);
    scripted_stop(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_body_goes_into_a_file_with_its_checksum),
        TEST(what_came_before_a_break_is_in_the_file),
        TEST(an_error_does_not_go_into_the_file),
        TEST(a_body_beyond_its_limit_ends),
        TEST(a_full_disk_is_said),
        TEST(who_sees_the_head_may_refuse_the_rest),
        TEST(a_file_is_released_behind_a_cancellation),
        TEST(a_head_is_asked_for_without_its_body),
        TEST(further_headers_go_along),
        TEST(redirects_are_followed_as_far_as_allowed),
        TEST(every_connection_passes_the_gate),
        TEST(a_guarded_fetcher_goes_where_it_may),
        TEST(a_fetcher_may_be_closed_by_what_it_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
