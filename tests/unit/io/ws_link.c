#include "ws_peer.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/counters.h"

enum { FLOOD_MESSAGES = 8000, FLOOD_BYTES = 1000, FLOOD_BATCH = 100 };

/* The server's side: what a client says is a command, or is echoed. */
struct host {
    struct ws_link *link;
    unsigned flooded; /* messages sent of a flood; FLOOD_MESSAGES: none is on */
    struct deflate_params deflate;
};

static struct server server;
static atomic_int opened, gone, drains, blocked, marks;

static void flood(struct host *h)
{
    struct sink *sink = ws_link_sink(h->link);

    while (h->flooded < FLOOD_MESSAGES) {
        struct msg *messages[FLOOD_BATCH];
        for (unsigned i = 0; i < FLOOD_BATCH; i++) {
            char text[FLOOD_BYTES];
            struct buf frame;
            memset(text, 'f', sizeof(text));
            snprintf(text, sizeof(text), "%u", h->flooded + i);
            buf_init(&frame, FLOOD_BYTES + WS_HEAD_MAX);
            ws_append_frame(&frame, WS_FIN | WS_TEXT, text, sizeof(text) - (h->flooded + i) % 7);
            messages[i] = msg_new(frame.data, frame.len);
            buf_deinit(&frame);
        }
        unsigned want = FLOOD_MESSAGES - h->flooded;
        unsigned took = sink->ops->send(sink, messages, want < FLOOD_BATCH ? want : FLOOD_BATCH);
        for (unsigned i = 0; i < FLOOD_BATCH; i++)
            msg_unref(&messages[i]);
        h->flooded += took;
        if (took < FLOOD_BATCH && h->flooded < FLOOD_MESSAGES) {
            atomic_fetch_add(&blocked, 1);
            return;
        }
    }
}

static void echo(struct host *h, enum ws_opcode type, struct str message)
{
    struct buf frame;

    buf_init(&frame, message.len + WS_HEAD_MAX);
    ws_append_frame(&frame, (uint8_t)(WS_FIN | type), message.at, message.len);
    ws_link_write(h->link, frame.data, frame.len, 200000);
    buf_deinit(&frame);
}

/* More than any socket takes. */
static void overfill(struct host *h)
{
    char text[60000];
    struct buf frame;

    memset(text, 'o', sizeof(text));
    buf_init(&frame, sizeof(text) + WS_HEAD_MAX);
    ws_append_frame(&frame, WS_FIN | WS_TEXT, text, sizeof(text));
    while (ws_link_write(h->link, frame.data, frame.len, 200000))
        ;
    buf_deinit(&frame);
    atomic_fetch_add(&blocked, 1);
}

static void on_message(void *context, enum ws_opcode type, struct str message)
{
    struct host *h = context;

    if (str_equal(message, STR("close me"))) {
        ws_link_close(h->link, WS_CLOSE_UNAUTHORIZED, "not you");
        ws_link_close(h->link, WS_CLOSE_NORMAL, "only the first counts");
        return;
    }
    if (str_equal(message, STR("mark"))) {
        atomic_fetch_add(&marks, 1);
        return;
    }
    if (str_equal(message, STR("flood me"))) {
        h->flooded = 0;
        flood(h);
        return;
    }
    if (str_equal(message, STR("overfill me"))) {
        overfill(h);
        return;
    }
    echo(h, type, message);
}

static void on_drain(void *context)
{
    atomic_fetch_add(&drains, 1);
    flood(context);
}

static void on_gone(void *context)
{
    atomic_fetch_add(&gone, 1);
    mem_free(context);
}

static const struct ws_link_events events = { on_message, on_drain, on_gone };

static void upgrade(void *context)
{
    struct exchange *x = context;
    struct host *h = mem_new(struct host);
    char accept[WS_ACCEPT_SIZE];
    struct ws_answer answer = { .accept = accept };

    assert(ws_handshake(exchange_request(x), accept) == 0);
    if (deflate_negotiate(exchange_request(x), &h->deflate))
        answer.deflate = &h->deflate;
    h->flooded = FLOOD_MESSAGES;
    h->link = ws_link_open(x, &answer, &events, h);
    atomic_fetch_add(&opened, 1);
}

static void rest(void *context)
{
    (void)context;
    harness_breathe();
}

static _Atomic(struct exchange *) kept;

static void handle(void *context, struct exchange *x)
{
    struct str path = exchange_request(x)->path;

    (void)context;
    if (str_equal(path, STR("/ws")))
        upgrade(x);
    else if (str_equal(path, STR("/late")))
        io_offload(io_thread_loop(exchange_thread(x)), rest, upgrade, x);
    else
        atomic_store(&kept, x);
}

static int start_with(struct io_settings settings)
{
    atomic_store(&opened, 0);
    atomic_store(&gone, 0);
    atomic_store(&drains, 0);
    atomic_store(&blocked, 0);
    atomic_store(&marks, 0);
    atomic_store(&kept, NULL);
    server_start(&server, settings, NULL, handle);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with((struct io_settings){ 0 });
}

static int start_quick(void **state)
{
    (void)state;
    return start_with((struct io_settings){ .timeouts = &quick_timeouts });
}

static int start_frugal(void **state)
{
    (void)state;
    return start_with((struct io_settings){ .messages = { .per_second = 1, .burst = 10 } });
}

static int start_pinging(void **state)
{
    static struct io_timeouts timeouts;

    (void)state;
    timeouts = quick_timeouts;
    timeouts.ws_ping = 50;
    timeouts.ws_dead = 1000;
    return start_with((struct io_settings){ .timeouts = &timeouts });
}

/* However a connection ended, its host heard of it exactly once. */
static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return atomic_load(&gone) == atomic_load(&opened) ? 0 : -1;
}

static void open_peer(struct ws_peer *p)
{
    ws_peer_open(p, client_open(&server), "/ws", NULL, STR(""));
}

static void messages_of_both_kinds_come_back(void **state)
{
    struct ws_peer p;

    (void)state;
    open_peer(&p);
    ws_peer_text(&p, "hello");
    ws_peer_expect(&p, "hello");
    ws_peer_say(&p, WS_FIN | WS_BINARY, "\0\xff", 2);
    ws_peer_until_message(&p);
    assert_int_equal(p.type, WS_BINARY);
    assert_int_equal(p.message.len, 2);
    ws_peer_deinit(&p);
}

static void a_message_comes_in_fragments_around_a_ping(void **state)
{
    struct ws_peer p;

    (void)state;
    open_peer(&p);
    ws_peer_say(&p, WS_TEXT, "one ", 4);
    ws_peer_say(&p, WS_FIN | WS_PING, "p", 1);
    ws_peer_say(&p, WS_CONTINUATION, "two ", 4);
    ws_peer_say(&p, WS_FIN | WS_CONTINUATION, "three", 5);
    ws_peer_expect(&p, "one two three");
    assert_int_equal(p.pongs, 1);
    assert_string_equal(buf_text(&p.pong), "p");
    ws_peer_deinit(&p);
}

static void what_comes_behind_the_handshake_is_not_lost(void **state)
{
    struct ws_peer p;
    struct buf behind;

    (void)state;
    buf_init(&behind, 1024);
    ws_append_masked(&behind, WS_FIN | WS_TEXT, "early", 5);
    ws_peer_open(&p, client_open(&server), "/ws", NULL, buf_str(&behind));
    ws_peer_expect(&p, "early");
    ws_peer_deinit(&p);
    ws_peer_open(&p, client_open(&server), "/late", NULL, buf_str(&behind));
    ws_peer_expect(&p, "early");
    ws_peer_text(&p, "more");
    ws_peer_expect(&p, "more");
    ws_peer_deinit(&p);
    buf_deinit(&behind);
}

static void a_close_is_answered_with_its_code(void **state)
{
    struct ws_peer p;

    (void)state;
    open_peer(&p);
    ws_peer_say(&p, WS_FIN | WS_CLOSE,
                "\x0b\xb9"
                "bye",
                5);
    ws_peer_expect_close(&p, 3001, false);
    open_peer(&p);
    ws_peer_say(&p, WS_FIN | WS_CLOSE, "", 0);
    ws_peer_expect_close(&p, WS_CLOSE_EMPTY, false);
    WAIT_FOR(atomic_load(&gone) == 2);
}

static void a_close_of_ours_waits_for_the_peers(void **state)
{
    struct ws_peer p;

    (void)state;
    open_peer(&p);
    ws_peer_text(&p, "close me");
    while (p.close_code < 0)
        ws_peer_receive(&p);
    assert_string_equal(buf_text(&p.reason), "not you");
    ws_peer_text(&p, "what is said now is not heard");
    ws_peer_expect_close(&p, WS_CLOSE_UNAUTHORIZED, true);
    assert_int_equal(p.messages, 0);
    WAIT_FOR(atomic_load(&gone) == 1);
}

static void a_peer_that_ignores_our_close_is_cut(void **state)
{
    struct ws_peer p;

    (void)state;
    open_peer(&p);
    ws_peer_text(&p, "close me");
    ws_peer_expect_close(&p, WS_CLOSE_UNAUTHORIZED, false);
    WAIT_FOR(atomic_load(&gone) == 1);
}

static void a_broken_frame_is_closed_with_its_code(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } broken[] = {
        { "\x81\x05hello", 7, WS_CLOSE_PROTOCOL },    /* not masked */
        { "\xf1\x80\0\0\0\0", 6, WS_CLOSE_PROTOCOL }, /* reserved bits */
        { "\x81\x81\0\0\0\0\xff", 7, WS_CLOSE_NOT_UTF8 },
        { "\x81\xff\0\0\0\0\x10\0\0\0\0\0\0\0", 14, WS_CLOSE_TOO_BIG },
    };
    struct ws_peer p;

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        open_peer(&p);
        client_send(p.fd, broken[i].bytes, broken[i].len);
        ws_peer_expect_close(&p, broken[i].code, false);
    }
    WAIT_FOR(atomic_load(&gone) == 4);
}

static void a_silent_peer_is_pinged_and_lives_as_long_as_it_answers(void **state)
{
    struct ws_peer p;

    (void)state;
    open_peer(&p);
    for (unsigned i = 1; i <= 30; i++) { /* well past the time of death */
        while (p.pings < i)
            assert_true(ws_peer_receive(&p));
        ws_peer_say(&p, WS_FIN | WS_PONG, "", 0);
    }
    ws_peer_text(&p, "still here");
    ws_peer_expect(&p, "still here");
    while (ws_peer_receive(&p)) /* now without an answer: the end */
        ;
    ws_peer_deinit(&p);
    WAIT_FOR(atomic_load(&gone) == 1);
}

static void who_says_too_much_is_closed(void **state)
{
    int64_t counted = counter_sum(COUNT_LIMITED_MESSAGES);
    struct ws_peer loud, quiet;

    (void)state;
    open_peer(&quiet);
    for (int kind = 0; kind < 3; kind++) {
        open_peer(&loud);
        for (int i = 0; i < 20; i++) {
            if (kind == 0)
                ws_peer_text(&loud, "x");
            else if (kind == 1)
                ws_peer_say(&loud, WS_FIN | WS_PING, "x", 1);
            else
                ws_peer_say(&loud, WS_FIN | WS_BINARY, "x", 1);
        }
        while (loud.close_code < 0)
            assert_true(ws_peer_receive(&loud));
        assert_string_equal(buf_text(&loud.reason), "too many messages");
        assert_int_equal(kind == 1 ? loud.pongs : loud.messages, 10);
        ws_peer_expect_close(&loud, WS_CLOSE_POLICY, true);
        assert_int_equal(counter_sum(COUNT_LIMITED_MESSAGES), counted + kind + 1);
    }
    ws_peer_text(&quiet, "still here");
    ws_peer_expect(&quiet, "still here");
    ws_peer_deinit(&quiet);
}

static void pongs_and_fragments_cost_nothing(void **state)
{
    struct ws_peer p;

    (void)state;
    open_peer(&p);
    for (int i = 0; i < 100; i++)
        ws_peer_say(&p, WS_FIN | WS_PONG, "", 0);
    ws_peer_say(&p, WS_TEXT, "a", 1);
    for (int i = 0; i < 100; i++)
        ws_peer_say(&p, WS_CONTINUATION, "", 0);
    ws_peer_say(&p, WS_FIN | WS_CONTINUATION, "b", 1);
    ws_peer_expect(&p, "ab");
    ws_peer_deinit(&p);
}

static unsigned flood_seen;

static void check_flood(struct ws_peer *p)
{
    if (strtoul(buf_text(&p->message), NULL, 10) != flood_seen ||
        p->message.len != FLOOD_BYTES - flood_seen % 7)
        fail_msg("message %u is not whole or not in its place", flood_seen);
    flood_seen++;
}

static void a_flood_to_a_slow_reader_arrives_whole_and_in_order(void **state)
{
    struct ws_peer p;

    (void)state;
    ws_peer_open(&p, client_open_slow(&server), "/ws", NULL, STR(""));
    flood_seen = 0;
    p.each = check_flood;
    ws_peer_text(&p, "flood me");
    WAIT_FOR(atomic_load(&blocked) > 0);
    while (flood_seen < FLOOD_MESSAGES)
        assert_true(ws_peer_receive(&p));
    assert_true(atomic_load(&drains) > 0);
    p.each = NULL;
    ws_peer_text(&p, "and then");
    ws_peer_expect(&p, "and then");
    ws_peer_deinit(&p);
}

static void pings_while_blocked_get_the_latest_pong(void **state)
{
    struct ws_peer p;
    char text[8];

    (void)state;
    ws_peer_open(&p, client_open_slow(&server), "/ws", NULL, STR(""));
    flood_seen = 0;
    p.each = check_flood;
    ws_peer_text(&p, "flood me");
    WAIT_FOR(atomic_load(&blocked) > 0);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "%d", i);
        ws_peer_say(&p, WS_FIN | WS_PING, text, strlen(text));
    }
    ws_peer_text(&p, "mark");
    WAIT_FOR(atomic_load(&marks) == 1);
    while (flood_seen < FLOOD_MESSAGES || p.pongs == 0)
        assert_true(ws_peer_receive(&p));
    assert_int_equal(p.pongs, 1);
    assert_string_equal(buf_text(&p.pong), "99");
    ws_peer_deinit(&p);
}

static void a_close_comes_behind_what_was_taken(void **state)
{
    struct ws_peer p;

    (void)state;
    ws_peer_open(&p, client_open_slow(&server), "/ws", NULL, STR(""));
    flood_seen = 0;
    p.each = check_flood;
    ws_peer_text(&p, "flood me");
    WAIT_FOR(atomic_load(&blocked) > 0);
    ws_peer_say(&p, WS_FIN | WS_PING, "", 0);
    ws_peer_text(&p, "close me");
    /* The Pong may have found the socket free in between, but nothing comes
     * behind the Close. */
    ws_peer_expect_close(&p, WS_CLOSE_UNAUTHORIZED, true);
    assert_true(flood_seen > 0);
    assert_true(p.pongs <= 1);
}

static void who_lets_too_much_wait_is_closed(void **state)
{
    struct ws_peer p;

    (void)state;
    ws_peer_open(&p, client_open_slow(&server), "/ws", NULL, STR(""));
    ws_peer_text(&p, "overfill me");
    WAIT_FOR(atomic_load(&blocked) == 1);
    ws_peer_expect_close(&p, WS_CLOSE_POLICY, true);
    assert_true(p.messages > 0);
}

static void a_peer_that_is_stuck_is_cut(void **state)
{
    struct ws_peer p;

    (void)state;
    ws_peer_open(&p, client_open_slow(&server), "/ws", NULL, STR(""));
    ws_peer_text(&p, "flood me");
    WAIT_FOR(atomic_load(&gone) == 1);
    ws_peer_deinit(&p);
}

static void draining_says_1001(void **state)
{
    struct ws_peer p[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        open_peer(&p[i]);
    io_pool_drain(server.pool);
    for (int i = 0; i < 3; i++)
        ws_peer_expect_close(&p[i], WS_CLOSE_GOING_AWAY, true);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

static void compression_is_negotiated_and_read(void **state)
{
    struct ws_peer p;
    struct buf packed;

    (void)state;
    ws_peer_open(&p, client_open(&server), "/ws", "permessage-deflate", STR(""));
    buf_init(&packed, 1000);
    assert_int_equal(deflate_message("compressed", 10, 15, &packed), 0);
    ws_peer_say(&p, WS_FIN | WS_RSV1 | WS_TEXT, packed.data, packed.len);
    ws_peer_expect(&p, "compressed");
    buf_deinit(&packed);
    ws_peer_deinit(&p);
}

static void upgrade_kept(struct mail *mail)
{
    (void)mail;
    assert(exchange_is_gone(kept));
    upgrade(kept);
    assert(atomic_load(&gone) == 0);
}

static void an_upgrade_for_a_client_that_left_is_gone_at_once(void **state)
{
    struct mail mail = { .open = upgrade_kept };
    struct linger now = { .l_onoff = 1 };
    int fd = client_open(&server);

    (void)state;
    client_say(fd, "GET /kept HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "\r\n");
    WAIT_FOR(atomic_load(&kept) != NULL);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
    mailbox_post(io_thread_mailbox(exchange_thread(kept)), &mail);
    WAIT_FOR(atomic_load(&gone) == 1);
}

static void peers_vanish_in_every_state(void **state)
{
    static const char *const said[] = { "", "hello", "close me", "flood me", "overfill me" };

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct ws_peer p;
        struct linger now = { .l_onoff = i % 2 };
        ws_peer_open(&p, client_open_slow(&server), "/ws", NULL, STR(""));
        setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        ws_peer_text(&p, said[i % 5]);
        if (i % 3 == 0)
            client_send(p.fd, "\x01\x85half", 6); /* a frame that never ends */
        if (i % 4 == 0)
            ws_peer_receive(&p);
        ws_peer_deinit(&p);
    }
    WAIT_FOR(atomic_load(&gone) == 20);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

static void a_thousand_connections_live_side_by_side(void **state)
{
    enum { PEERS = 1000 };
    struct ws_peer *p = mem_zalloc(PEERS * sizeof(*p));
    struct rlimit files;
    char text[16];

    (void)state;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < PEERS; i++)
        open_peer(&p[i]);
    assert_int_equal(io_pool_connections(server.pool), PEERS);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PEERS; i++) {
            snprintf(text, sizeof(text), "%d/%d", round, i);
            ws_peer_text(&p[i], text);
        }
        for (int i = 0; i < PEERS; i++) {
            snprintf(text, sizeof(text), "%d/%d", round, i);
            ws_peer_expect(&p[i], text);
        }
    }
    for (int i = 0; i < PEERS; i++)
        ws_peer_deinit(&p[i]);
    mem_free(p);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

#define USUAL(name)  cmocka_unit_test_setup_teardown(name, start, stop)
#define FRUGAL(name) cmocka_unit_test_setup_teardown(name, start_frugal, stop)
#define QUICK(name)  cmocka_unit_test_setup_teardown(name, start_quick, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        USUAL(messages_of_both_kinds_come_back),
        USUAL(a_message_comes_in_fragments_around_a_ping),
        USUAL(what_comes_behind_the_handshake_is_not_lost),
        USUAL(a_close_is_answered_with_its_code),
        USUAL(a_close_of_ours_waits_for_the_peers),
        QUICK(a_peer_that_ignores_our_close_is_cut),
        USUAL(a_broken_frame_is_closed_with_its_code),
        cmocka_unit_test_setup_teardown(a_silent_peer_is_pinged_and_lives_as_long_as_it_answers,
                                        start_pinging, stop),
        FRUGAL(who_says_too_much_is_closed),
        FRUGAL(pongs_and_fragments_cost_nothing),
        USUAL(a_flood_to_a_slow_reader_arrives_whole_and_in_order),
        USUAL(pings_while_blocked_get_the_latest_pong),
        USUAL(a_close_comes_behind_what_was_taken),
        USUAL(who_lets_too_much_wait_is_closed),
        QUICK(a_peer_that_is_stuck_is_cut),
        USUAL(draining_says_1001),
        USUAL(compression_is_negotiated_and_read),
        USUAL(an_upgrade_for_a_client_that_left_is_gone_at_once),
        USUAL(peers_vanish_in_every_state),
        USUAL(a_thousand_connections_live_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
