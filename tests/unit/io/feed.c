#include "harness.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/limits.h"
#include "proto/http.h"

enum { FLOOD_LINES = 40000, FLOOD_BATCH = 100, LINE_MAX_BYTES = 400 };

/* The server's side of a feed. */
struct host {
    struct feed *feed;
    int flooded; /* lines taken; FLOOD_LINES: no flood is on */
    bool ends;   /* as soon as it is blocked */
};

static struct server server;
static atomic_int opened, gone, drains, blocked, taken;
static _Atomic(struct host *) kept;
static _Atomic(struct exchange *) kept_exchange;

static unsigned say(struct host *h, const char *text)
{
    struct sink *sink = feed_sink(h->feed);
    struct msg *m = msg_new(text, strlen(text));
    unsigned took = sink->ops->send(sink, &m, 1);

    msg_unref(&m);
    return took;
}

/* "17.....\n": a number and as many dots as it says, within limits. */
static size_t put_line(char out[LINE_MAX_BYTES], int number)
{
    size_t len = (size_t)snprintf(out, LINE_MAX_BYTES, "%d", number);

    memset(out + len, '.', (size_t)number % 300);
    len += (size_t)number % 300;
    out[len++] = '\n';
    return len;
}

static void flood(struct host *h)
{
    struct sink *sink = feed_sink(h->feed);

    while (h->flooded < FLOOD_LINES) {
        struct msg *messages[FLOOD_BATCH];
        for (int i = 0; i < FLOOD_BATCH; i++) {
            char line[LINE_MAX_BYTES];
            messages[i] = msg_new(line, put_line(line, h->flooded + i));
        }
        unsigned left = (unsigned)(FLOOD_LINES - h->flooded);
        unsigned count = left < FLOOD_BATCH ? left : FLOOD_BATCH;
        unsigned took = sink->ops->send(sink, messages, count);
        for (int i = 0; i < FLOOD_BATCH; i++)
            msg_unref(&messages[i]);
        h->flooded += (int)took;
        atomic_store(&taken, h->flooded);
        if (took < count) {
            atomic_fetch_add(&blocked, 1);
            return;
        }
    }
    feed_end(h->feed);
}

static void on_drain(void *context)
{
    atomic_fetch_add(&drains, 1);
    flood(context);
}

static void on_gone(void *context)
{
    atomic_fetch_add(&gone, 1);
    atomic_store(&kept, NULL);
    mem_free(context);
}

static const struct feed_events events = { on_drain, on_gone };

static struct host *begin(struct exchange *x)
{
    struct host *h = mem_new(struct host);

    h->flooded = FLOOD_LINES;
    exchange_header(x, "X-Field", "yes");
    h->feed = feed_open(x, "text/event-stream", &events, h);
    atomic_fetch_add(&opened, 1);
    return h;
}

static void handle(void *context, struct exchange *x)
{
    struct str path = exchange_request(x)->path;

    (void)context;
    if (str_equal(path, STR("/later"))) {
        atomic_store(&kept_exchange, x);
        return;
    }
    struct host *h = begin(x);
    if (str_equal(path, STR("/end"))) {
        say(h, "one\n");
        say(h, "two\n");
        feed_end(h->feed);
        assert(say(h, "three\n") == 0);
    } else if (str_equal(path, STR("/nothing"))) {
        feed_end(h->feed);
    } else if (str_equal(path, STR("/close"))) {
        feed_sink(h->feed)->ops->close(feed_sink(h->feed), 1008, "too much");
    } else if (str_starts(path, STR("/flood"))) {
        h->flooded = 0;
        flood(h);
        if (str_equal(path, STR("/flood-end")))
            feed_end(h->feed);
    } else {
        say(h, "hello\n");
        atomic_store(&kept, h);
    }
}

static int start_with(const struct io_timeouts *timeouts)
{
    atomic_store(&opened, 0);
    atomic_store(&gone, 0);
    atomic_store(&drains, 0);
    atomic_store(&blocked, 0);
    atomic_store(&taken, 0);
    atomic_store(&kept, NULL);
    atomic_store(&kept_exchange, NULL);
    server_start(&server, (struct io_settings){ .timeouts = timeouts }, NULL, handle);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(NULL);
}

static int start_quick(void **state)
{
    (void)state;
    return start_with(&quick_timeouts);
}

/* However a connection ended, its host heard of it exactly once. */
static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return atomic_load(&gone) == atomic_load(&opened) ? 0 : -1;
}

static void on_its_thread(struct mail *mail)
{
    WAIT_FOR(atomic_load(&kept) != NULL);
    mailbox_post(io_thread_mailbox(feed_thread(kept->feed)), mail);
}

static void begin_with(int fd, const char *request)
{
    struct answer a;

    client_say(fd, request);
    answer_read(&a, fd, true);
    assert_int_equal(a.status, 200);
    answer_deinit(&a);
}

static void take_text(int fd, const char *expected)
{
    char text[64];
    size_t len = strlen(expected);

    client_take(fd, text, len);
    assert_memory_equal(text, expected, len);
}

/* Reads lines 0, 1, ... and returns how many were whole when it ended. */
static int take_flood(int fd, int most)
{
    static char bytes[64 * 1024];
    char line[LINE_MAX_BYTES];
    size_t at = 0, len = put_line(line, 0);
    int count = 0;
    ssize_t got = 1;

    while (count < most && (got = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] != line[at])
                fail_msg("line %d is not whole or not in its place", count);
            if (++at < len)
                continue;
            at = 0;
            len = put_line(line, ++count);
        }
    }
    assert_true(got >= 0);
    assert_int_equal(at, 0);
    return count;
}

static void a_feed_ends_with_its_connection(void **state)
{
    static const char *const requests[] = {
        "GET /end HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /end HTTP/1.0\r\n\r\n",
        "GET /end HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct answer a;
        int fd = client_open(&server);
        client_say(fd, requests[i]);
        answer_read(&a, fd, true);
        assert_int_equal(a.status, 200);
        assert_null(answer_field(&a, "Content-Length"));
        assert_null(answer_field(&a, "Transfer-Encoding"));
        assert_string_equal(answer_field(&a, "Connection"), "close");
        assert_string_equal(answer_field(&a, "Content-Type"), "text/event-stream");
        assert_string_equal(answer_field(&a, "X-Field"), "yes");
        take_text(fd, "one\ntwo\n");
        client_expect_end(fd);
        answer_deinit(&a);
    }
    WAIT_FOR(atomic_load(&gone) == 3);
}

static void a_feed_may_end_before_it_said_anything(void **state)
{
    int fd = client_open(&server);

    (void)state;
    begin_with(fd, "HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_end(fd);
    WAIT_FOR(atomic_load(&gone) == 1);
}

static void a_closed_sink_is_an_orderly_end(void **state)
{
    int fd = client_open(&server);

    (void)state;
    begin_with(fd, "GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_end(fd);
}

static void a_flood_to_a_slow_reader_arrives_whole_and_in_order(void **state)
{
    int fd = client_open_slow(&server);

    (void)state;
    begin_with(fd, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT_FOR(atomic_load(&blocked) > 0);
    assert_int_equal(take_flood(fd, FLOOD_LINES), FLOOD_LINES);
    assert_true(atomic_load(&drains) > 0);
    client_expect_end(fd);
}

static void the_end_comes_behind_what_was_taken(void **state)
{
    int fd = client_open_slow(&server);

    (void)state;
    begin_with(fd, "GET /flood-end HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT_FOR(atomic_load(&blocked) > 0);
    int whole = take_flood(fd, FLOOD_LINES);
    assert_true(whole > 0 && whole < FLOOD_LINES);
    assert_int_equal(whole, atomic_load(&taken));
    assert_int_equal(atomic_load(&drains), 0);
    client_expect_end(fd);
}

static void a_reader_that_takes_nothing_is_cut(void **state)
{
    int fds[2] = { client_open_slow(&server), client_open_slow(&server) };

    (void)state;
    begin_with(fds[0], "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    begin_with(fds[1], "GET /flood-end HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT_FOR(atomic_load(&gone) == 2);
    close(fds[0]);
    close(fds[1]);
}

static void say_hello_again(struct mail *mail)
{
    (void)mail;
    assert(say(kept, "and again\n") == 1);
}

static void a_quiet_feed_lives_and_can_be_said_more_to(void **state)
{
    struct mail mail = { .open = say_hello_again };
    int fd = client_open(&server), other = client_open(&server);

    (void)state;
    begin_with(fd, "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n");
    take_text(fd, "hello\n");
    client_expect_end(other); /* head, idle, write: all deadlines but ours have passed */
    on_its_thread(&mail);
    take_text(fd, "and again\n");
    close(fd);
    WAIT_FOR(atomic_load(&gone) == 1);
}

static void what_a_client_says_is_thrown_away(void **state)
{
    struct mail mail = { .open = say_hello_again };
    int fd = client_open(&server);

    (void)state;
    begin_with(fd,
               "GET /feed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /end HTTP/1.1"
               "\r\nHost: a\r\n\r\n");
    take_text(fd, "hello\n");
    client_say(fd, "nobody hears this");
    on_its_thread(&mail);
    take_text(fd, "and again\n");
    assert_int_equal(atomic_load(&opened), 1);
    close(fd);
}

static void who_says_too_much_is_cut(void **state)
{
    static const char nonsense[FEED_IGNORED_MAX + 1];
    int fd = client_open(&server);

    (void)state;
    begin_with(fd, "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n");
    client_send(fd, nonsense, sizeof(nonsense));
    WAIT_FOR(atomic_load(&gone) == 1);
    close(fd);
}

static void who_leaves_is_noticed_at_once(void **state)
{
    int fd = client_open(&server), half = client_open(&server);

    (void)state;
    begin_with(fd, "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n");
    close(fd);
    WAIT_FOR(atomic_load(&gone) == 1);
    begin_with(half, "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(half, SHUT_WR);
    WAIT_FOR(atomic_load(&gone) == 2);
    close(half);
}

static void draining_ends_a_feed_in_order(void **state)
{
    int fd = client_open(&server), slow = client_open_slow(&server);

    (void)state;
    begin_with(fd, "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n");
    take_text(fd, "hello\n");
    begin_with(slow, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT_FOR(atomic_load(&blocked) > 0);
    io_pool_drain(server.pool);
    client_expect_end(fd);
    assert_int_equal(take_flood(slow, FLOOD_LINES), atomic_load(&taken));
    close(slow);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

static void draining_does_not_wait_for_a_reader_that_takes_nothing(void **state)
{
    int slow = client_open_slow(&server);

    (void)state;
    begin_with(slow, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT_FOR(atomic_load(&blocked) > 0);
    io_pool_drain(server.pool);
    WAIT_FOR(atomic_load(&gone) == 1);
    close(slow);
}

static void begin_kept(struct mail *mail)
{
    (void)mail;
    assert(exchange_is_gone(kept_exchange));
    struct host *h = begin(kept_exchange);
    assert(say(h, "nobody hears this\n") == 0);
    assert(atomic_load(&gone) == 0);
}

static void a_feed_for_a_client_that_left_is_gone_at_once(void **state)
{
    struct mail mail = { .open = begin_kept };
    struct linger now = { .l_onoff = 1 };
    int fd = client_open(&server);

    (void)state;
    client_say(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT_FOR(atomic_load(&kept_exchange) != NULL);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
    mailbox_post(io_thread_mailbox(exchange_thread(kept_exchange)), &mail);
    WAIT_FOR(atomic_load(&gone) == 1);
}

static void readers_vanish_in_every_state(void **state)
{
    static const char *const paths[] = { "/end", "/nothing", "/flood", "/flood-end", "/feed" };
    char request[64];

    (void)state;
    for (int i = 0; i < 40; i++) {
        struct linger now = { .l_onoff = i % 2 };
        int fd = client_open_slow(&server);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i % 5]);
        if (i % 3 == 0)
            begin_with(fd, request);
        else
            client_say(fd, request);
        if (i % 4 == 0)
            client_say(fd, "more");
        close(fd);
    }
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

#define USUAL(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define QUICK(name) cmocka_unit_test_setup_teardown(name, start_quick, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        USUAL(a_feed_ends_with_its_connection),
        USUAL(a_feed_may_end_before_it_said_anything),
        USUAL(a_closed_sink_is_an_orderly_end),
        USUAL(a_flood_to_a_slow_reader_arrives_whole_and_in_order),
        USUAL(the_end_comes_behind_what_was_taken),
        QUICK(a_reader_that_takes_nothing_is_cut),
        QUICK(a_quiet_feed_lives_and_can_be_said_more_to),
        USUAL(what_a_client_says_is_thrown_away),
        USUAL(who_says_too_much_is_cut),
        USUAL(who_leaves_is_noticed_at_once),
        USUAL(draining_ends_a_feed_in_order),
        QUICK(draining_does_not_wait_for_a_reader_that_takes_nothing),
        USUAL(a_feed_for_a_client_that_left_is_gone_at_once),
        USUAL(readers_vanish_in_every_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
