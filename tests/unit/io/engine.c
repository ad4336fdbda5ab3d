#include "io/engine.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/hub.h"
#include "core/ledger.h"
#include "harness.h"
#include "ws_peer.h"

enum { THREADS = 4, QUEUE_MAX = 1000, SID_MAX = 32 };

static struct server server;
static struct engine *engine;
static struct ledger *ledger;
static struct bucket_limit limit; /* of messages, for the next start */
static atomic_int opened, gone, upgraded, polls_begun;

/* A door that shows the message of the state, and answers what it is told. */
static void render(const struct update *u, struct words *out)
{
    buf_putc(&out->bytes, '4');
    buf_puts(&out->bytes, update_text(u, TEXT_MESSAGE));
    words_end(out);
}

static void answer_message(struct str message, struct words *out, struct request *request)
{
    (void)request;
    buf_printf(&out->bytes, "4re:%.*s", STR_ARG(message));
    words_end(out);
}

static const struct dialect dialect = {
    .name = "test", .index = 0, .render = render, .receive = answer_message
};

/* At "/echo/" a client hears its own words, at "/watch/" a job's. */
struct client {
    struct engine_socket *socket;
    struct session session;
    bool is_watching;
};

static void on_message(void *context, bool is_binary, struct str message)
{
    struct client *c = context;
    struct request request;

    if (c->is_watching) {
        session_receive(&c->session, message, &request);
    } else if (str_equal(message, STR("bye"))) {
        engine_socket_send(c->socket, false, STR("last"), QUEUE_MAX);
        engine_socket_close(c->socket);
        engine_socket_close(c->socket);
        bool is_sent = engine_socket_send(c->socket, false, STR("too late"), QUEUE_MAX);
        assert(!is_sent);
        (void)is_sent;
    } else {
        engine_socket_send(c->socket, is_binary, message, QUEUE_MAX);
    }
}

static void on_drain(void *context)
{
    struct client *c = context;

    if (c->is_watching)
        session_drain(&c->session);
}

static void on_upgraded(void *context)
{
    struct client *c = context;

    atomic_fetch_add(&upgraded, 1);
    c->session.framing = (uint8_t)engine_socket_framing(c->socket);
}

static void on_gone(void *context)
{
    struct client *c = context;

    if (c->is_watching)
        session_close(&c->session);
    mem_free(c);
    atomic_fetch_add(&gone, 1);
}

static const struct engine_events events = { on_message, on_drain, on_upgraded, on_gone };

static void *open_client(void *argument, struct engine_socket *s, const struct engine_events **out)
{
    struct client *c = mem_new(struct client);

    *out = &events;
    c->socket = s;
    c->is_watching = *(bool *)argument;
    atomic_fetch_add(&opened, 1);
    if (!c->is_watching)
        return c;
    struct hub *hub = io_thread_hub(engine_socket_thread(s));
    struct viewer *viewer = viewer_new("", true, 0);
    session_open(&c->session, hub, &dialect, engine_socket_sink(s), engine_socket_framing(s),
                 viewer);
    viewer_unref(&viewer);
    int rc = hub_subscribe(hub, &c->session, "job");
    assert(rc == OK);
    (void)rc;
    return c;
}

static bool is_poll_at_home(struct exchange *x)
{
    struct str query = exchange_request(x)->query;
    const char *sid = memmem(query.at, query.len, "polling&sid=", 12);

    return sid != NULL && exchange_request(x)->method == HTTP_GET &&
           sid[12] == (char)('A' + io_thread_index(exchange_thread(x)));
}

static void handle(void *context, struct exchange *x)
{
    bool is_watching = str_starts(exchange_request(x)->path, STR("/watch/"));
    bool is_poll = is_poll_at_home(x);

    (void)context;
    engine_request(engine, x, open_client, &is_watching);
    if (is_poll)
        atomic_fetch_add(&polls_begun, 1);
}

static void end_thread(void *context, struct io_thread *t)
{
    (void)context;
    engine_thread_end(engine, t);
}

static void report(const char *message)
{
    static double fraction;
    struct change c;

    change_init(&c);
    c.state = JOB_PROCESSING;
    c.text[TEXT_MESSAGE] = message;
    c.fraction = fraction += 1e-6;
    assert_int_equal(ledger_apply(ledger, "job", &c, true, NULL), OK);
}

static void start_with(uint32_t interval_ms, uint32_t timeout_ms, uint32_t sockets_max)
{
    struct engine_settings settings = { interval_ms, timeout_ms, 10000, sockets_max, false };

    atomic_store(&opened, 0);
    atomic_store(&gone, 0);
    atomic_store(&upgraded, 0);
    atomic_store(&polls_begun, 0);
    engine = engine_new(&settings);
    ledger = ledger_new(NULL, 0);
    report("present");
    server_start(&server,
                 (struct io_settings){
                     .threads = THREADS, .messages = limit, .thread_end = end_thread },
                 ledger, handle);
}

static int start(void **state)
{
    (void)state;
    start_with(25000, 20000, 1000);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    assert_int_equal(atomic_load(&gone), atomic_load(&opened));
    engine_free(engine);
    ledger_free(ledger);
    return 0;
}

/* A request on a connection of its own, so on any thread. */
static int ask(const char *method, const char *door, const char *sid, const char *body)
{
    char head[512];
    int fd = client_open(&server);

    snprintf(head, sizeof(head),
             "%s /%s/?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: a\r\n"
             "Content-Length: %zu\r\n\r\n",
             method, door, sid[0] != '\0' ? "&sid=" : "", sid, strlen(body));
    client_say(fd, head);
    client_say(fd, body);
    return fd;
}

static void expect(int fd, int status, const char *body)
{
    struct answer a;

    answer_read(&a, fd, true);
    assert_int_equal(a.status, status);
    if (body != NULL)
        assert_string_equal(buf_text(&a.body), body);
    answer_deinit(&a);
    close(fd);
}

static void handshake(const char *door, char sid[SID_MAX])
{
    struct answer a;
    int fd = ask("GET", door, "", "");

    answer_read(&a, fd, true);
    assert_int_equal(a.status, 200);
    assert_int_equal(sscanf(buf_text(&a.body), "0{\"sid\":\"%21[^\"]\"", sid), 1);
    answer_deinit(&a);
    close(fd);
}

static void post(const char *door, const char *sid, const char *body)
{
    expect(ask("POST", door, sid, body), 200, "ok");
}

static void expect_poll(const char *door, const char *sid, const char *body)
{
    expect(ask("GET", door, sid, ""), 200, body);
}

static void expect_unknown(const char *sid)
{
    expect(ask("GET", "echo", sid, ""), 400, "{\"code\":1,\"message\":\"Session ID unknown\"}");
}

static void probe(struct ws_peer *p, const char *door, const char *sid, const char *extensions)
{
    char path[256];

    snprintf(path, sizeof(path), "/%s/?EIO=4&transport=websocket&sid=%s", door, sid);
    ws_peer_open(p, client_open(&server), path, extensions, STR(""));
    ws_peer_text(p, "2probe");
    ws_peer_expect(p, "3probe");
}

/* Everything that peers have heard, however it was cut on its way. */
static struct buf heard;

static void note(struct ws_peer *p)
{
    if (p->type == WS_BINARY)
        buf_printf(&heard, "[%zu bytes]", p->message.len);
    else
        buf_puts(&heard, buf_text(&p->message));
    buf_putc(&heard, '|');
}

static void begin_notes(struct ws_peer *p)
{
    p->each = note;
    buf_deinit(&heard);
    buf_init(&heard, 65536);
}

static void expect_notes(struct ws_peer *p, const char *words)
{
    while (heard.len < strlen(words))
        assert_true(ws_peer_receive(p));
    assert_string_equal(buf_text(&heard), words);
    buf_deinit(&heard);
    p->each = NULL;
}

static void until(struct ws_peer *p, const char *words)
{
    while (strcmp(buf_text(&p->message), words) != 0)
        ws_peer_until_message(p);
}

static void what_is_said_comes_back_on_any_connection(void **state)
{
    char sid[SID_MAX];

    (void)state;
    for (int i = 0; i < 20; i++) {
        handshake("echo", sid);
        post("echo", sid,
             "4one\x1e"
             "4two");
        expect_poll("echo", sid,
                    "4one\x1e"
                    "4two");
        int fd = ask("GET", "echo", sid, "");
        post("echo", sid, "bAQID");
        expect(fd, 200, "bAQID");
        post("echo", sid, "1");
        expect_unknown(sid);
    }
    WAIT_FOR(atomic_load(&gone) == 20);
}

static void a_waiting_poll_hears_every_update(void **state)
{
    char sid[SID_MAX], text[16];

    (void)state;
    handshake("watch", sid);
    expect_poll("watch", sid, "4present");
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "4%d", i);
        int fd = ask("GET", "watch", sid, "");
        report(text + 1);
        expect(fd, 200, text);
    }
}

static void a_slow_poller_hears_the_latest(void **state)
{
    char sid[SID_MAX], text[16];

    (void)state;
    handshake("watch", sid);
    expect_poll("watch", sid, "4present");
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "%d", i);
        report(text);
    }
    /* The thread has heard of the last when its watcher by WebSocket has. */
    struct ws_peer p[8];
    for (int i = 0; i < 8; i++) {
        ws_peer_open(&p[i], client_open(&server), "/watch/?EIO=4&transport=websocket", NULL,
                     STR(""));
        until(&p[i], "4499");
    }
    struct answer a;
    int fd = ask("GET", "watch", sid, "");
    answer_read(&a, fd, true);
    assert_int_equal(a.status, 200);
    assert_null(strchr(buf_text(&a.body), '\x1e')); /* one state, not five hundred */
    answer_deinit(&a);
    close(fd);
    for (int i = 0; i < 8; i++)
        ws_peer_deinit(&p[i]);
}

static void an_upgrade_takes_along_what_waits(void **state)
{
    char sid[SID_MAX];
    struct ws_peer p;

    (void)state;
    for (int i = 0; i < 8; i++) {
        handshake("echo", sid);
        post("echo", sid,
             "4one\x1e"
             "bAQI=\x1e"
             "4three");
        probe(&p, "echo", sid, NULL);
        post("echo", sid, "4four");
        begin_notes(&p);
        ws_peer_text(&p, "5");
        ws_peer_text(&p, "4five");
        expect_notes(&p, "4one|[2 bytes]|4three|4four|4five|");
        expect(ask("GET", "echo", sid, ""), 400, "{\"code\":3,\"message\":\"Bad request\"}");
        ws_peer_deinit(&p);
    }
    assert_int_equal(atomic_load(&upgraded), 8);
}

/* A session frames its answers when it makes them, and that was before. */
static void an_upgrade_frames_anew_what_a_session_had_framed(void **state)
{
    char sid[SID_MAX];
    struct ws_peer p;

    (void)state;
    for (int i = 0; i < 2; i++) {
        handshake("watch", sid);
        expect_poll("watch", sid, "4present");
        post("watch", sid,
             "4a\x1e"
             "4b");
        probe(&p, "watch", sid, i == 0 ? NULL : "permessage-deflate");
        post("watch", sid, "4c");
        begin_notes(&p);
        ws_peer_text(&p, "5");
        expect_notes(&p, "4re:a|4re:b|4re:c|");
        report("present"); /* so that the next round begins like this one */
        ws_peer_expect(&p, "4present");
        ws_peer_deinit(&p);
    }
}

static void a_poll_is_let_go_for_the_upgrade(void **state)
{
    char sid[SID_MAX];
    struct ws_peer p;

    (void)state;
    handshake("watch", sid);
    expect_poll("watch", sid, "4present");
    int fd = ask("GET", "watch", sid, "");
    probe(&p, "watch", sid, NULL);
    expect(fd, 200, "6");
    expect_poll("watch", sid, "6");
    report("meanwhile"); /* waits for the new transport */
    expect_poll("watch", sid, "6");
    ws_peer_text(&p, "5");
    ws_peer_expect(&p, "4meanwhile");
    ws_peer_deinit(&p);
}

static void a_failed_upgrade_leaves_the_polling_as_it_was(void **state)
{
    char sid[SID_MAX];
    struct ws_peer p;

    (void)state;
    handshake("echo", sid);
    for (int i = 0; i < 3; i++) {
        probe(&p, "echo", sid, NULL);
        if (i == 0)
            ws_peer_text(&p, "nonsense");
        if (i == 0)
            ws_peer_expect_close(&p, WS_CLOSE_PROTOCOL, true);
        else
            ws_peer_deinit(&p); /* which just leaves */
        int fd = ask("POST", "echo", sid, "4still here");
        expect(fd, 200, "ok");
        /* Until the loss is noticed polls are let go. */
        struct answer a;
        do {
            fd = ask("GET", "echo", sid, "");
            answer_read(&a, fd, true);
            assert_int_equal(a.status, 200);
            bool is_noop = strcmp(buf_text(&a.body), "6") == 0;
            if (!is_noop)
                assert_string_equal(buf_text(&a.body), "4still here");
            answer_deinit(&a);
            close(fd);
            if (!is_noop)
                break;
        } while (true);
    }
}

static void the_last_words_are_fetched_before_the_end(void **state)
{
    char sid[SID_MAX];

    (void)state;
    handshake("echo", sid);
    post("echo", sid,
         "4bye\x1e"
         "4ignored");
    expect_poll("echo", sid,
                "4last\x1e"
                "1");
    expect_unknown(sid);
    handshake("echo", sid);
    int fd = ask("GET", "echo", sid, "");
    post("echo", sid, "4bye");
    expect(fd, 200,
           "4last\x1e"
           "1");
    expect_unknown(sid);
    WAIT_FOR(atomic_load(&gone) == 2);
}

static void a_client_that_reads_too_slowly_is_let_go(void **state)
{
    char sid[SID_MAX], body[QUEUE_MAX];

    (void)state;
    memset(body, 'x', sizeof(body));
    body[0] = '4';
    body[QUEUE_MAX - 100] = '\0';
    handshake("echo", sid);
    post("echo", sid, body);
    post("echo", sid, body);
    expect_unknown(sid);
    WAIT_FOR(atomic_load(&gone) == 1);
}

static void a_client_that_leaves_its_poll_has_left(void **state)
{
    char sid[SID_MAX];

    (void)state;
    for (int i = 1; i <= 20; i++) {
        handshake("watch", sid);
        expect_poll("watch", sid, "4present");
        int fd = ask("GET", "watch", sid, "");
        if (i % 2 == 0)
            harness_breathe();
        close(fd);
        WAIT_FOR(atomic_load(&gone) == i);
        expect_unknown(sid);
    }
}

/* Both are under way at once, and may be taken up in either order. */
static void a_poll_sent_together_with_the_close_is_let_go(void **state)
{
    char sid[SID_MAX];

    (void)state;
    for (int i = 1; i <= 40; i++) {
        handshake("echo", sid);
        int first = ask(i % 2 == 0 ? "GET" : "POST", "echo", sid, i % 2 == 0 ? "" : "1");
        int second = ask(i % 2 == 0 ? "POST" : "GET", "echo", sid, i % 2 == 0 ? "1" : "");
        expect(i % 2 == 0 ? first : second, 200, "6");
        expect(i % 2 == 0 ? second : first, 200, "ok");
        expect_unknown(sid);
        WAIT_FOR(atomic_load(&gone) == i);
    }
}

static void a_poll_sent_after_the_close_finds_nobody(void **state)
{
    char sid[SID_MAX];

    (void)state;
    handshake("echo", sid);
    post("echo", sid, "1");
    expect_unknown(sid);
    handshake("echo", sid);
    close(ask("POST", "echo", sid, "1")); /* leaves without its answer, too */
    WAIT_FOR(atomic_load(&gone) == 2);
    expect_unknown(sid);
}

static void sockets_without_a_connection_end_with_the_pool(void **state)
{
    char sid[SID_MAX];

    (void)state;
    for (int i = 0; i < 40; i++)
        handshake(i % 2 == 0 ? "echo" : "watch", sid);
    assert_int_equal(atomic_load(&opened), 40);
}

static void draining_answers_the_polls_and_closes_the_rest(void **state)
{
    enum { EACH = 16 };
    char sid[SID_MAX];
    struct ws_peer direct[EACH], moved[EACH];
    int polls[EACH];

    (void)state;
    for (int i = 0; i < EACH; i++) {
        ws_peer_open(&direct[i], client_open(&server), "/watch/?EIO=4&transport=websocket", NULL,
                     STR(""));
        until(&direct[i], "4present");
        handshake("watch", sid);
        expect_poll("watch", sid, "4present");
        polls[i] = ask("GET", "watch", sid, "");
        handshake("watch", sid);
        expect_poll("watch", sid, "4present");
        probe(&moved[i], "watch", sid, NULL);
        ws_peer_text(&moved[i], "5");
    }
    report("next");
    for (int i = 0; i < EACH; i++) {
        ws_peer_expect(&direct[i], "4next");
        ws_peer_expect(&moved[i], "4next");
        expect(polls[i], 200, "4next");
    }
    handshake("watch", sid);
    expect_poll("watch", sid, "4next");
    polls[0] = ask("GET", "watch", sid, "");
    report("last");
    expect(polls[0], 200, "4last");
    polls[0] = ask("GET", "watch", sid, "");
    ws_peer_expect(&direct[0], "4last");
    WAIT_FOR(atomic_load(&polls_begun) == 3 * EACH + 3);
    io_pool_drain(server.pool);
    expect(polls[0], 200, "1");
    for (int i = 0; i < EACH; i++) {
        ws_peer_expect_close(&direct[i], WS_CLOSE_GOING_AWAY, true);
        ws_peer_expect_close(&moved[i], WS_CLOSE_GOING_AWAY, true);
    }
}

static int start_small(void **state)
{
    (void)state;
    start_with(25000, 20000, 2);
    return 0;
}

static void a_socket_too_many_is_answered_503(void **state)
{
    char sid[SID_MAX];
    struct answer a;

    (void)state;
    handshake("echo", sid);
    handshake("echo", sid);
    int fd = ask("GET", "echo", "", "");
    answer_read(&a, fd, true);
    assert_int_equal(a.status, 503);
    assert_string_equal(answer_field(&a, "Retry-After"), "1");
    answer_deinit(&a);
    close(fd);
    post("echo", sid, "1");
    WAIT_FOR(atomic_load(&gone) == 1);
    handshake("echo", sid);
}

static void an_older_client_is_refused_unless_it_is_wanted(void **state)
{
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, "GET /echo/?EIO=3&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n", 400,
                  "{\"code\":5,\"message\":\"Unsupported protocol version\"}");
    close(fd);
}

static int start_limited(void **state)
{
    (void)state;
    limit = (struct bucket_limit){ .per_second = 1, .burst = 10 };
    start_with(25000, 20000, 100);
    limit = (struct bucket_limit){ 0 };
    return 0;
}

static void who_says_too_much_is_let_go(void **state)
{
    static const char ten[] = "4\x1e"
                              "4\x1e"
                              "4\x1e"
                              "4\x1e"
                              "4\x1e"
                              "4\x1e"
                              "4\x1e"
                              "4\x1e"
                              "4\x1e"
                              "4";
    char sid[SID_MAX];

    (void)state;
    handshake("echo", sid);
    post("echo", sid, ten);
    expect(ask("POST", "echo", sid, ten), 429, NULL);
    expect_unknown(sid);
}

static int start_quick(void **state)
{
    (void)state;
    start_with(40, 40, 100);
    return 0;
}

static void who_does_not_answer_a_ping_is_gone(void **state)
{
    char sid[SID_MAX];
    struct ws_peer p;

    (void)state;
    for (int i = 0; i < 8; i++)
        handshake(i % 2 == 0 ? "echo" : "watch", sid);
    ws_peer_open(&p, client_open(&server), "/echo/?EIO=4&transport=websocket", NULL, STR(""));
    until(&p, "2");
    ws_peer_expect_close(&p, WS_CLOSE_POLICY, true);
    WAIT_FOR(atomic_load(&gone) == 9);
    expect_unknown(sid);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_said_comes_back_on_any_connection),
        CASE(a_waiting_poll_hears_every_update),
        CASE(a_slow_poller_hears_the_latest),
        CASE(an_upgrade_takes_along_what_waits),
        CASE(an_upgrade_frames_anew_what_a_session_had_framed),
        CASE(a_poll_is_let_go_for_the_upgrade),
        CASE(a_failed_upgrade_leaves_the_polling_as_it_was),
        CASE(the_last_words_are_fetched_before_the_end),
        CASE(a_client_that_reads_too_slowly_is_let_go),
        CASE(a_client_that_leaves_its_poll_has_left),
        CASE(a_poll_sent_together_with_the_close_is_let_go),
        CASE(a_poll_sent_after_the_close_finds_nobody),
        CASE(sockets_without_a_connection_end_with_the_pool),
        CASE(draining_answers_the_polls_and_closes_the_rest),
        CASE(an_older_client_is_refused_unless_it_is_wanted),
        cmocka_unit_test_setup_teardown(who_says_too_much_is_let_go, start_limited, stop),
        cmocka_unit_test_setup_teardown(a_socket_too_many_is_answered_503, start_small, stop),
        cmocka_unit_test_setup_teardown(who_does_not_answer_a_ping_is_gone, start_quick, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
