#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/ws_answer.h"
#include "io/ws_client.h"
#include "scripted.h"

#define HELLO                                                                                      \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: %s\r\n\r\n"

struct seen {
    int opens, texts, ends;
    char text[256];
    int err, status;
    unsigned code;
    char why[128];
    struct ws_client *close_on_text, *close_on_open;
};

struct world {
    uv_loop_t loop;
    struct fetcher *fetcher;
};

static void on_open(void *context)
{
    struct seen *seen = context;

    seen->opens++;
    if (seen->close_on_open)
        ws_client_close(seen->close_on_open);
}

static void on_text(void *context, struct str message)
{
    struct seen *seen = context;

    seen->texts++;
    snprintf(seen->text, sizeof(seen->text), "%.*s", STR_ARG(message));
    if (seen->close_on_text)
        ws_client_close(seen->close_on_text);
}

static void on_end(void *context, const struct ws_client_end *end)
{
    struct seen *seen = context;

    seen->ends++;
    seen->err = end->err;
    seen->status = end->status;
    seen->code = end->code;
    snprintf(seen->why, sizeof(seen->why), "%s", end->why ? end->why : "");
}

static const struct ws_client_events events = { .open = on_open, .text = on_text, .end = on_end };

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

static void run(struct world *w, const struct scripted_answer *answer, struct seen *seen,
                struct scripted *server)
{
    char url[128];

    memset(seen, 0, sizeof(*seen));
    scripted_start(server, answer, 1);
    snprintf(url, sizeof(url), "%s/ws/jobs/a%%20b?x=1", server->url);
    assert_non_null(ws_client_new(w->fetcher, url, "tok", &events, seen));
    assert_int_equal(seen->ends, 0);
    while (seen->ends == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(seen->ends, 1);
}

static void expect_end(struct world *w, const char *text, size_t len, int err, int status,
                       unsigned code)
{
    const struct scripted_answer answer = { .text = text, .len = len };
    struct scripted server;
    struct seen seen;

    run(w, &answer, &seen, &server);
    assert_int_equal(seen.err, err);
    assert_int_equal(seen.status, status);
    assert_int_equal(seen.code, code);
    scripted_stop(&server);
}

static void messages_arrive_and_the_close_is_told(void **state)
{
    static const struct scripted_answer answer = {
        .text = HELLO "\x81\x02hi\x82\x01x\x89\x02pi\x01\x03"
                      "ein\x80\x01s\x88\x05\x0f\xa1"
                      "bye",
    };
    struct scripted server;
    struct seen seen;

    run(*state, &answer, &seen, &server);
    assert_int_equal(seen.opens, 1);
    assert_int_equal(seen.texts, 2); /* binary is passed over */
    assert_string_equal(seen.text, "eins");
    assert_int_equal(seen.err, OK);
    assert_int_equal(seen.code, 4001);
    assert_string_equal(seen.why, "bye");
    scripted_stop(&server);
}

static void the_request_is_that_of_rfc6455(void **state)
{
    static const struct scripted_answer answer = { .text = HELLO };
    struct scripted server;
    struct seen seen;
    char host[64];

    run(*state, &answer, &seen, &server);
    assert_int_equal(seen.opens, 1);
    assert_int_equal(seen.err, FAIL_IO);
    assert_memory_equal(server.heard[0], "GET /ws/jobs/a%20b?x=1 HTTP/1.1\r\n", 33);
    snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n", server.port);
    assert_non_null(strstr(server.heard[0], host));
    assert_non_null(strstr(server.heard[0], "\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(server.heard[0], "\r\nConnection: Upgrade\r\n"));
    assert_non_null(strstr(server.heard[0], "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(server.heard[0], "\r\nAuthorization: Bearer tok\r\n"));
    scripted_stop(&server);
}

/* What the client sends behind its request: masked frames. */
static size_t frames_of(const struct scripted *server, const uint8_t **frames)
{
    const char *end = strstr(server->heard[0], "\r\n\r\n") + 4;

    *frames = (const uint8_t *)end;
    return server->heard_len[0] - (size_t)(end - server->heard[0]);
}

static void a_ping_is_answered_and_a_close_is_returned(void **state)
{
    static const struct scripted_answer answer = {
        .text = HELLO "\x89\x02pi\x88\x02\x03\xe9",
        .keeps_open = true,
    };
    struct scripted server;
    struct seen seen;
    const uint8_t *frames;

    run(*state, &answer, &seen, &server);
    assert_int_equal(seen.code, 1001);
    for (int i = 0; i < 5; i++)
        uv_run(&((struct world *)*state)->loop, UV_RUN_NOWAIT);
    scripted_wait(&server);
    assert_int_equal(frames_of(&server, &frames), 8 + 8);
    assert_int_equal(frames[0], 0x8a);
    assert_int_equal(frames[1], 0x82);
    assert_int_equal(frames[6] ^ frames[2], 'p');
    assert_int_equal(frames[7] ^ frames[3], 'i');
    assert_int_equal(frames[8], 0x88);
    assert_int_equal((frames[14] ^ frames[10]) << 8 | (frames[15] ^ frames[11]), 1001);
    scripted_stop(&server);
}

static void an_answer_that_is_no_handshake_is_told(void **state)
{
    expect_end(*state, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 0, OK, 401, 0);
    expect_end(*state, "HTTP/1.1 502 Bad\r\n\r\n", 0, OK, 502, 0);
    expect_end(*state, "HTTP/1.0 101 Old\r\n\r\n", 0, FAIL_SYNTAX, 0, 0);
    expect_end(*state, "hello\r\n\r\n", 0, FAIL_SYNTAX, 0, 0);
    expect_end(*state, "HTTP/1.1 101 x\r\n\r\n", 0, FAIL_SYNTAX, 0, 0);
    expect_end(*state,
               "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
               0, FAIL_SYNTAX, 0, 0);
    expect_end(*state,
               "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
               0, FAIL_SYNTAX, 0, 0);
    expect_end(*state, "HTTP/1.1 101 x\r\nUpgr", 0, FAIL_IO, 0, 0);
    expect_end(*state, NULL, 0, FAIL_IO, 0, 0);
}

static void a_server_that_breaks_the_protocol_is_left(void **state)
{
    expect_end(*state, HELLO "\x81\x82zzzzab", 0, FAIL_SYNTAX, 0, 0); /* masked */
    expect_end(*state, HELLO "\x81\x01\xff", 0, FAIL_SYNTAX, 0, 0);   /* not UTF-8 */
    expect_end(*state, HELLO "\xc1\x01x", 0, FAIL_SYNTAX, 0, 0);      /* compressed, unasked */
    expect_end(*state, HELLO "\x81\x7f\x01\x01\x01\x01\x01\x01\x01\x01", 0, FAIL_SYNTAX, 0, 0);
}

static void a_head_without_end_is_given_up(void **state)
{
    char *head = mem_alloc(20001);

    memset(head, 'x', 20000);
    memcpy(head, "HTTP/1.1 101 ", 13);
    head[20000] = '\0';
    expect_end(*state, head, 0, FAIL_LIMIT, 0, 0);
    mem_free(head);
}

static void nobody_there_is_told_apart(void **state)
{
    struct world *w = *state;
    struct seen seen = { 0 };

    ws_client_new(w->fetcher, "http://127.0.0.1:1/", NULL, &events, &seen);
    while (seen.ends == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(seen.err, FAIL_CLOSED);
}

static void one_may_leave_at_any_time(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = HELLO "\x81\x01x\x81\x01y", .keeps_open = true },
        { .text = HELLO "\x81\x01x\x81\x01y", .keeps_open = true },
        { .text = HELLO, .keeps_open = true },
    };
    struct world *w = *state;
    struct seen seen[2] = { 0 };
    struct scripted server;

    scripted_start(&server, script, 3);
    seen[0].close_on_text = ws_client_new(w->fetcher, server.url, NULL, &events, &seen[0]);
    while (seen[0].texts == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    seen[1].close_on_open = ws_client_new(w->fetcher, server.url, NULL, &events, &seen[1]);
    while (seen[1].opens == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    ws_client_close(ws_client_new(w->fetcher, server.url, NULL, &events, &seen[1]));
    struct ws_client *last = ws_client_new(w->fetcher, server.url, NULL, &events, &seen[1]);
    while (seen[1].opens == 1 && seen[1].ends == 0) {
        seen[1].close_on_open = last;
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(seen[0].texts, 1);
    assert_int_equal(seen[1].texts, 0);
    assert_int_equal(seen[0].ends + seen[1].ends, 0);
    scripted_stop(&server);
}

static void an_open_one_goes_with_its_fetcher(void **state)
{
    static const struct scripted_answer script[] = { { .text = HELLO, .keeps_open = true } };
    struct world *w = *state;
    struct seen seen = { 0 };
    struct scripted server;

    scripted_start(&server, script, 1);
    ws_client_new(w->fetcher, server.url, NULL, &events, &seen);
    while (seen.opens == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    tear_down(state);
    assert_int_equal(seen.ends, 0);
    scripted_stop(&server);
    set_up(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_arrive_and_the_close_is_told),
        TEST(the_request_is_that_of_rfc6455),
        TEST(a_ping_is_answered_and_a_close_is_returned),
        TEST(an_answer_that_is_no_handshake_is_told),
        TEST(a_server_that_breaks_the_protocol_is_left),
        TEST(a_head_without_end_is_given_up),
        TEST(nobody_there_is_told_apart),
        TEST(one_may_leave_at_any_time),
        TEST(an_open_one_goes_with_its_fetcher),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
