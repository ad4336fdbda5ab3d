#include "ws_peer.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/counters.h"
#include "core/hub.h"
#include "core/ledger.h"

static struct server server;
static atomic_int asked, sessions;
static atomic_uint threads_seen; /* one bit each */

/* A door that shows the message of the state and nothing else. */
static void render(const struct update *u, struct words *out)
{
    buf_puts(&out->bytes, update_text(u, TEXT_MESSAGE));
    words_end(out);
}

static const struct dialect dialect = { .name = "test", .index = 0, .render = render };

struct watcher {
    struct session session;
    struct ws_link *link;
};

static void on_message(void *context, enum ws_opcode type, struct str message)
{
    (void)context;
    (void)type;
    (void)message;
}

static void on_drain(void *context)
{
    struct watcher *w = context;

    session_drain(&w->session);
}

static void on_gone(void *context)
{
    struct watcher *w = context;

    session_close(&w->session);
    mem_free(w);
    atomic_fetch_sub(&sessions, 1);
}

static const struct ws_link_events events = { on_message, on_drain, on_gone };

static void watch(struct exchange *x)
{
    struct hub *hub = io_thread_hub(exchange_thread(x));
    struct watcher *w = mem_new(struct watcher);
    struct viewer *viewer = viewer_new("", true, 0);
    char accept[WS_ACCEPT_SIZE];
    struct ws_answer answer = { .accept = accept };

    assert(ws_handshake(exchange_request(x), accept) == 0);
    w->link = ws_link_open(x, &answer, &events, w);
    session_open(&w->session, hub, &dialect, ws_link_sink(w->link), ws_link_framing(w->link),
                 viewer);
    viewer_unref(&viewer);
    int rc = hub_subscribe(hub, &w->session, "job");
    assert(rc == OK);
    (void)rc;
    atomic_fetch_add(&sessions, 1);
}

static void rest(void *context)
{
    (void)context;
    for (int i = 0; i < 50; i++)
        harness_breathe();
}

static void reply(void *context)
{
    exchange_reply(context, 200, "text/plain", msg_new("done", 4));
}

static void handle(void *context, struct exchange *x)
{
    uv_loop_t *loop = io_thread_loop(exchange_thread(x));

    (void)context;
    atomic_fetch_or(&threads_seen, 1u << ((uintptr_t)loop / sizeof(uv_loop_t) % 32));
    atomic_fetch_add(&asked, 1);
    if (str_equal(exchange_request(x)->path, STR("/watch")))
        watch(x);
    else if (str_equal(exchange_request(x)->path, STR("/slow")))
        io_offload(loop, rest, reply, x);
    else if (!str_equal(exchange_request(x)->path, STR("/never")))
        reply(x);
}

static void start_with(struct io_settings settings, struct ledger *ledger)
{
    atomic_store(&asked, 0);
    atomic_store(&threads_seen, 0);
    server_start(&server, settings, ledger, handle);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void every_thread_listens_on_the_one_port(void **state)
{
    (void)state;
    start_with((struct io_settings){ .threads = 3 }, NULL);
    for (int i = 0; __builtin_popcount(atomic_load(&threads_seen)) < 2; i++) {
        assert_true(i < 1000);
        int fd = client_open(&server);
        expect_answer(fd, GET("/"), 200, "done");
        close(fd);
    }
    server_stop(&server);
}

static void a_connection_too_many_is_answered_503(void **state)
{
    struct answer a;

    (void)state;
    start_with((struct io_settings){ .connections_max = 2 }, NULL);
    int one = client_open(&server), two = client_open(&server);
    expect_answer(one, GET("/"), 200, "done");
    expect_answer(two, GET("/"), 200, "done");
    int three = client_open(&server);
    client_say(three, GET("/"));
    answer_read(&a, three, true);
    assert_int_equal(a.status, 503);
    assert_string_equal(answer_field(&a, "Retry-After"), "1");
    assert_string_equal(answer_field(&a, "Connection"), "close");
    assert_int_equal(a.body.data[a.body.len - 1], '}');
    answer_deinit(&a);
    client_expect_end(three);
    close(one);
    WAIT_FOR(io_pool_connections(server.pool) == 1);
    three = client_open(&server);
    expect_answer(three, GET("/"), 200, "done");
    close(two);
    close(three);
    server_stop(&server);
}

/* Ends it as a client that dies: with a reset. */
static void reset(int fd)
{
    struct linger now = { .l_onoff = 1 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void expect_refusal(int status, const char *words)
{
    struct answer a;
    int fd = client_open(&server);

    client_say(fd, GET("/"));
    answer_read(&a, fd, true);
    assert_int_equal(a.status, status);
    assert_string_equal(buf_text(&a.body), words);
    answer_deinit(&a);
    client_expect_end(fd);
}

static void an_addresss_connection_too_many_is_answered_429(void **state)
{
    int64_t refused = counter_sum(COUNT_LIMITED_ADDRESS);

    (void)state;
    start_with((struct io_settings){ .threads = 3, .peers.per_address = 2 }, NULL);
    int one = client_open(&server), two = client_open(&server);
    expect_answer(one, GET("/"), 200, "done");
    expect_answer(two, GET("/"), 200, "done");
    expect_refusal(429, "{\"error\":{\"code\":\"TOO_MANY_REQUESTS\","
                        "\"message\":\"Too many connections from this address\"}}");
    assert_int_equal(counter_sum(COUNT_LIMITED_ADDRESS), refused + 1);
    /* Its place comes back, whichever way it ends. */
    close(one);
    WAIT_FOR(io_pool_connections(server.pool) == 1);
    one = client_open(&server);
    expect_answer(one, GET("/"), 200, "done");
    reset(one);
    WAIT_FOR(io_pool_connections(server.pool) == 1);
    one = client_open(&server);
    expect_answer(one, GET("/"), 200, "done");
    io_pool_stop(server.pool, 0); /* with both: peers_free sees to it that none is left */
    client_expect_end(one);
    close(two);
}

static void starting_tells_what_is_wrong_with(const char *address, const char *word)
{
    struct io_settings settings = {
        .threads = 2,
        .connections_max = 10,
        .addresses = &address,
        .address_count = 1,
    };
    struct io_pool *pool = NULL;
    struct buf why;

    buf_init(&why, 1000);
    assert_int_not_equal(io_pool_start(&settings, NULL, handle, NULL, &pool, &why), OK);
    assert_null(pool);
    assert_non_null(strstr(buf_text(&why), address));
    assert_non_null(strstr(buf_text(&why), word));
    buf_deinit(&why);
}

static void an_address_in_use_is_refused(void **state)
{
    char address[64];

    (void)state;
    start_with((struct io_settings){ 0 }, NULL);
    snprintf(address, sizeof(address), "127.0.0.1:%u", server.port);
    starting_tells_what_is_wrong_with(address, "in use");
    server_stop(&server);
}

static void an_address_that_is_none_is_refused(void **state)
{
    (void)state;
    starting_tells_what_is_wrong_with("nonsense", "malformed");
    starting_tells_what_is_wrong_with("127.0.0.1:", "malformed");
    starting_tells_what_is_wrong_with("127.0.0.1:99999", "malformed");
    starting_tells_what_is_wrong_with("::1:80", "malformed");
    starting_tells_what_is_wrong_with("no such host:80", "not found");
}

static void draining_finishes_what_is_under_way(void **state)
{
    struct answer a;

    (void)state;
    start_with((struct io_settings){ 0 }, NULL);
    int idle = client_open(&server), busy = client_open(&server);
    expect_answer(idle, GET("/"), 200, "done");
    client_say(busy, GET("/slow") GET("/"));
    WAIT_FOR(atomic_load(&asked) == 2);
    io_pool_drain(server.pool);
    client_expect_end(idle);
    answer_read(&a, busy, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_field(&a, "Connection"), "close");
    answer_deinit(&a);
    client_expect_end(busy);
    assert_int_equal(atomic_load(&asked), 2);
    server_stop(&server);
}

static void stopping_cuts_what_does_not_end(void **state)
{
    (void)state;
    start_with((struct io_settings){ 0 }, NULL);
    int fd = client_open(&server);
    client_say(fd, GET("/never"));
    WAIT_FOR(atomic_load(&asked) == 1);
    io_pool_stop(server.pool, 20);
    client_expect_end(fd);
}

static void stopping_waits_for_work_but_not_for_its_answer(void **state)
{
    (void)state;
    start_with((struct io_settings){ 0 }, NULL);
    int fd = client_open(&server);
    client_say(fd, GET("/slow"));
    WAIT_FOR(atomic_load(&asked) == 1);
    io_pool_stop(server.pool, 0);
    client_expect_end(fd);
}

static atomic_int ended_threads;

static void count_end(void *context, struct io_thread *t)
{
    (void)context;
    assert(io_thread_loop(t) != NULL);
    atomic_fetch_add(&ended_threads, 1);
}

static void every_thread_tells_that_it_ends(void **state)
{
    (void)state;
    atomic_store(&ended_threads, 0);
    start_with((struct io_settings){ .threads = 3, .thread_end = count_end }, NULL);
    server_stop(&server);
    assert_int_equal(atomic_load(&ended_threads), 3);
}

static void report(struct ledger *ledger, const char *message, double fraction)
{
    struct change c;

    change_init(&c);
    c.state = JOB_PROCESSING;
    c.text[TEXT_MESSAGE] = message;
    c.fraction = fraction;
    assert_int_equal(ledger_apply(ledger, "job", &c, true, NULL), OK);
}

static void an_update_reaches_every_viewer_on_every_thread(void **state)
{
    enum { PEERS = 16, UPDATES = 100 };
    struct ledger *ledger = ledger_new(NULL, 0);
    struct ws_peer p[PEERS];
    char text[16];

    (void)state;
    atomic_store(&sessions, 0);
    start_with((struct io_settings){ .threads = 2 }, ledger);
    report(ledger, "present", 0.0);
    for (int i = 0; i < PEERS; i++) {
        ws_peer_open(&p[i], client_open(&server), "/watch", NULL, STR(""));
        ws_peer_expect(&p[i], "present");
    }
    for (int i = 1; i <= UPDATES; i++) {
        snprintf(text, sizeof(text), "%d", i);
        report(ledger, text, (double)i / (UPDATES + 1));
        for (int k = 0; k < PEERS; k++)
            ws_peer_expect(&p[k], text);
    }
    /* Some leave, some stay to the end. */
    for (int i = 0; i < PEERS / 2; i++)
        ws_peer_deinit(&p[i]);
    WAIT_FOR(atomic_load(&sessions) == PEERS / 2);
    report(ledger, "last", 0.999);
    for (int i = PEERS / 2; i < PEERS; i++)
        ws_peer_expect(&p[i], "last");
    io_pool_drain(server.pool);
    for (int i = PEERS / 2; i < PEERS; i++)
        ws_peer_expect_close(&p[i], WS_CLOSE_GOING_AWAY, true);
    server_stop(&server);
    assert_int_equal(atomic_load(&sessions), 0);
    report(ledger, "nobody is listening", 0.9999);
    ledger_free(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_listens_on_the_one_port),
        cmocka_unit_test(a_connection_too_many_is_answered_503),
        cmocka_unit_test(an_addresss_connection_too_many_is_answered_429),
        cmocka_unit_test(an_address_in_use_is_refused),
        cmocka_unit_test(an_address_that_is_none_is_refused),
        cmocka_unit_test(draining_finishes_what_is_under_way),
        cmocka_unit_test(stopping_cuts_what_does_not_end),
        cmocka_unit_test(stopping_waits_for_work_but_not_for_its_answer),
        cmocka_unit_test(every_thread_tells_that_it_ends),
        cmocka_unit_test(an_update_reaches_every_viewer_on_every_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
