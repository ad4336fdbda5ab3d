#include "harness.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "ws_peer.h"

enum { THREADS = 4, BODY_MAX = 1 << 20 };

static struct server server;
static atomic_int attached, released, left, waiting;
static atomic_int came_from; /* the thread that "/x/" came to; -1: not yet */

static void on_release(void *state)
{
    assert(state == &server);
    atomic_fetch_add(&released, 1);
}

static void reply_thread(struct exchange *x)
{
    char text[16];

    snprintf(text, sizeof(text), "on %u", io_thread_index(exchange_thread(x)));
    exchange_reply(x, 200, "text/plain", msg_new(text, strlen(text)));
}

static void echo(struct exchange *x, struct str body)
{
    exchange_reply(x, 200, NULL, msg_new(body.at, body.len));
}

static void on_left(struct exchange *x, void *watcher)
{
    assert(watcher == &server);
    atomic_fetch_add(&left, 1);
    exchange_reply(x, 200, NULL, NULL);
}

static void wait_here(struct exchange *x)
{
    exchange_watch(x, on_left, &server);
    atomic_fetch_add(&waiting, 1);
}

struct echo {
    struct ws_link *link;
};

static void on_message(void *context, enum ws_opcode type, struct str message)
{
    struct echo *e = context;
    struct buf frame;

    buf_init(&frame, 4096);
    ws_append_frame(&frame, (uint8_t)(WS_FIN | type), message.at, message.len);
    ws_link_write(e->link, frame.data, frame.len, 4096);
    buf_deinit(&frame);
}

static void on_drain(void *context)
{
    (void)context;
}

static const struct ws_link_events link_events = { on_message, on_drain, mem_free };

static void open_link(struct exchange *x)
{
    char accept[WS_ACCEPT_SIZE];
    struct ws_answer answer = { .accept = accept };
    struct echo *e = mem_new(struct echo);

    int status = ws_handshake(exchange_request(x), accept);
    assert(status == 0);
    (void)status;
    e->link = ws_link_open(x, &answer, &link_events, e);
}

static void move_later(void *context)
{
    struct exchange *x = context;
    unsigned to = (io_thread_index(exchange_thread(x)) + 1) % THREADS;

    exchange_move(x, to);
}

static void rest(void *context)
{
    (void)context;
    harness_breathe();
}

/* "/2/t": over to thread 2, and there its number. "/x/t": over to another one,
 * by a call that comes later. */
static void handle(void *context, struct exchange *x)
{
    const char *path = exchange_request(x)->path.at;
    unsigned here = io_thread_index(exchange_thread(x));

    (void)context;
    exchange_attach(x, &server, on_release);
    atomic_fetch_add(&attached, 1);
    if (path[1] == 'x' && atomic_exchange(&came_from, (int)here) < 0) {
        exchange_header(x, "X-Old", "1"); /* of an answer that never comes */
        io_offload(io_thread_loop(exchange_thread(x)), rest, move_later, x);
    } else if (path[1] >= '0' && path[1] <= '9' && (unsigned)(path[1] - '0') != here) {
        exchange_header(x, "X-Old", "1");
        exchange_move(x, (unsigned)(path[1] - '0'));
    } else if (path[3] == 't') {
        reply_thread(x);
    } else if (path[3] == 'e') {
        exchange_read(x, BODY_MAX, echo);
    } else if (path[3] == 'w') {
        wait_here(x);
    } else {
        open_link(x);
    }
}

static int start(void **state)
{
    (void)state;
    atomic_store(&attached, 0);
    atomic_store(&released, 0);
    atomic_store(&left, 0);
    atomic_store(&waiting, 0);
    atomic_store(&came_from, -1);
    server_start(&server, (struct io_settings){ .threads = THREADS }, NULL, handle);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (server.pool != NULL)
        server_stop(&server);
    assert_int_equal(atomic_load(&attached), atomic_load(&released));
    return 0;
}

#define GET(path)        "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, rest) "POST " path " HTTP/1.1\r\nHost: a\r\n" rest

static void expect_next(int fd, const char *body)
{
    struct answer a;

    answer_read(&a, fd, true);
    assert_int_equal(a.status, 200);
    assert_null(answer_field(&a, "X-Old"));
    assert_string_equal(buf_text(&a.body), body);
    answer_deinit(&a);
}

static void a_request_is_answered_where_it_was_moved(void **state)
{
    int fd = client_open(&server);

    (void)state;
    for (int round = 0; round < 3; round++) {
        expect_answer(fd, GET("/0/t"), 200, "on 0");
        expect_answer(fd, GET("/1/t"), 200, "on 1");
        expect_answer(fd, GET("/2/t"), 200, "on 2");
        expect_answer(fd, GET("/3/t"), 200, "on 3");
    }
    assert_int_equal(io_pool_connections(server.pool), 1);
    close(fd);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
    assert_true(atomic_load(&attached) >= 12 + 9);
}

static void a_request_may_be_moved_later(void **state)
{
    int fd = client_open(&server);

    (void)state;
    client_say(fd, GET("/x/t") GET("/0/t"));
    struct answer a;
    answer_read(&a, fd, true);
    assert_int_equal(a.status, 200);
    answer_deinit(&a);
    expect_next(fd, "on 0");
    close(fd);
}

static void what_was_sent_behind_it_goes_along(void **state)
{
    int fd = client_open(&server);

    (void)state;
    client_say(fd, GET("/0/t") POST("/1/e", "Content-Length: 5\r\n\r\nfirst") GET("/3/t")
                       POST("/0/e",
                            "Transfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n")
                           GET("/2/t"));
    expect_next(fd, "on 0");
    expect_next(fd, "first");
    expect_next(fd, "on 3");
    expect_next(fd, "second");
    expect_next(fd, "on 2");
    close(fd);
}

static void a_body_is_read_behind_the_move(void **state)
{
    char *body = mem_alloc(BODY_MAX), head[128];
    struct answer a;

    (void)state;
    for (size_t i = 0; i < BODY_MAX; i++)
        body[i] = (char)('a' + i % 23);
    int fd = client_open(&server);
    for (int to = 0; to < THREADS; to++) {
        snprintf(head, sizeof(head), "POST /%d/e HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                 to, BODY_MAX);
        client_say(fd, head);
        client_send(fd, body, BODY_MAX);
        answer_read(&a, fd, true);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body.len, BODY_MAX);
        assert_memory_equal(a.body.data, body, BODY_MAX);
        answer_deinit(&a);
    }
    close(fd);
    mem_free(body);
}

static void the_body_is_invited_only_once(void **state)
{
    static const char invitation[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char got[sizeof(invitation)] = "";

    (void)state;
    for (int to = 0; to < THREADS; to++) {
        char head[128];
        int fd = client_open(&server);
        snprintf(head, sizeof(head),
                 "POST /%d/e HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                 "Expect: 100-continue\r\n\r\n",
                 to);
        client_say(fd, head);
        client_take(fd, got, sizeof(got) - 1);
        assert_string_equal(got, invitation);
        client_say(fd, "ok");
        expect_next(fd, "ok");
        close(fd);
    }
}

static void a_websocket_opens_where_it_was_moved(void **state)
{
    static char frame[] = "\x81\x83\0\0\0\0one";
    static const char *const paths[] = { "/0/s", "/1/s", "/2/s", "/3/s" };
    struct ws_peer p;

    (void)state;
    for (int to = 0; to < THREADS; to++) {
        ws_peer_open(&p, client_open(&server), paths[to], NULL,
                     (struct str){ frame, sizeof(frame) - 1 });
        ws_peer_expect(&p, "one");
        ws_peer_text(&p, "two");
        ws_peer_expect(&p, "two");
        ws_peer_deinit(&p);
    }
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

static void a_client_that_leaves_is_noticed(void **state)
{
    int cut, halved;

    (void)state;
    for (int to = 0; to < THREADS; to++) {
        char text[64];
        snprintf(text, sizeof(text), "GET /%d/w HTTP/1.1\r\nHost: a\r\n\r\n", to);
        cut = client_open(&server);
        halved = client_open(&server);
        client_say(cut, text);
        client_say(halved, text);
        WAIT_FOR(atomic_load(&waiting) == 2 * to + 2);
        close(cut);
        shutdown(halved, SHUT_WR);
        WAIT_FOR(atomic_load(&left) == 2 * to + 2);
        close(halved);
    }
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

static void a_client_may_leave_on_the_way(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        int fd = client_open(&server);
        client_say(fd, GET("/0/t") GET("/1/t") GET("/2/w"));
        close(fd);
    }
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

static atomic_bool is_stopping;

static bool ask_once(const char *text)
{
    char byte;
    int fd = client_open(&server);
    bool is_well = send(fd, text, strlen(text), MSG_NOSIGNAL) > 0 && recv(fd, &byte, 1, 0) == 1;

    close(fd);
    return is_well;
}

static void *ask_on(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_stopping))
        ask_once(GET("/0/t") GET("/1/t") GET("/2/t") GET("/3/t"));
    return NULL;
}

/* Threads end in any order while connections are on their way between them. */
static void the_pool_stops_under_moving_connections(void **state)
{
    enum { CLIENTS = 4, HELD = 32 };
    pthread_t clients[CLIENTS];
    int held[HELD];

    (void)state;
    atomic_store(&is_stopping, false);
    for (int i = 0; i < HELD; i++)
        held[i] = client_open(&server);
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, ask_on, NULL);
    WAIT_FOR(atomic_load(&attached) > 200);
    for (int i = 0; i < HELD; i++)
        client_say(held[i], GET("/0/t") GET("/1/t") GET("/2/t") GET("/3/t") GET("/0/t"));
    atomic_store(&is_stopping, true);
    io_pool_stop(server.pool, 0);
    server.pool = NULL;
    for (int i = 0; i < HELD; i++)
        close(held[i]);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_is_answered_where_it_was_moved),
        CASE(a_request_may_be_moved_later),
        CASE(what_was_sent_behind_it_goes_along),
        CASE(a_body_is_read_behind_the_move),
        CASE(the_body_is_invited_only_once),
        CASE(a_websocket_opens_where_it_was_moved),
        CASE(a_client_that_leaves_is_noticed),
        CASE(a_client_may_leave_on_the_way),
        CASE(the_pool_stops_under_moving_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
