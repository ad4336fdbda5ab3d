#include "harness.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/http.h"

static struct server server;
static atomic_int parked, overs, lost, releases;
static _Atomic(struct exchange *) kept;

static void reply(struct exchange *x, const char *text)
{
    exchange_reply(x, 200, "text/plain", msg_new(text, strlen(text)));
}

static void count_release(void *state)
{
    (void)state;
    atomic_fetch_add(&releases, 1);
}

static void over(struct exchange *x)
{
    atomic_fetch_add(&overs, 1);
    if (exchange_is_gone(x))
        atomic_fetch_add(&lost, 1);
    exchange_unpark(x); /* has no meaning any more */
    reply(x, "over");
}

static void answer_late(void *context)
{
    reply(context, "late");
}

static void rest(void *context)
{
    (void)context;
    harness_breathe();
}

static void over_and_later(struct exchange *x)
{
    atomic_fetch_add(&overs, 1);
    io_offload(io_thread_loop(exchange_thread(x)), rest, answer_late, x);
}

static void park_late(void *context)
{
    exchange_park(context, 50, over);
    atomic_fetch_add(&parked, 1);
}

static void handle(void *context, struct exchange *x)
{
    struct str path = exchange_request(x)->path;

    (void)context;
    exchange_attach(x, &server, count_release);
    if (str_equal(path, STR("/hello"))) {
        reply(x, "hello");
        return;
    }
    if (str_equal(path, STR("/late"))) {
        io_offload(io_thread_loop(exchange_thread(x)), rest, park_late, x);
        return;
    }
    bool is_short = str_equal(path, STR("/short"));
    exchange_park(x, is_short ? 50 : 3600 * 1000,
                  str_equal(path, STR("/twice")) ? over_and_later : over);
    atomic_store(&kept, x);
    atomic_fetch_add(&parked, 1);
}

static int start(void **state)
{
    (void)state;
    atomic_store(&parked, 0);
    atomic_store(&overs, 0);
    atomic_store(&lost, 0);
    atomic_store(&releases, 0);
    atomic_store(&kept, NULL);
    server_start(&server, (struct io_settings){ .timeouts = &quick_timeouts }, NULL, handle);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return atomic_load(&overs) == atomic_load(&parked) ? 0 : -1;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void unpark_kept(struct mail *mail)
{
    (void)mail;
    exchange_unpark(kept);
    exchange_unpark(kept);
}

static void unpark_there(struct mail *mail)
{
    mailbox_post(io_thread_mailbox(exchange_thread(kept)), mail);
}

static void an_unparked_exchange_is_answered_and_the_connection_goes_on(void **state)
{
    struct mail mail = { .open = unpark_kept };
    int fd = client_open(&server);

    (void)state;
    client_say(fd, GET("/park") GET("/hello"));
    WAIT_FOR(atomic_load(&parked) == 1);
    unpark_there(&mail);
    expect_answer(fd, "", 200, "over");
    expect_answer(fd, "", 200, "hello");
    assert_int_equal(atomic_load(&overs), 1);
    close(fd);
    WAIT_FOR(atomic_load(&releases) == 2);
}

static void the_answer_may_take_its_time_then(void **state)
{
    struct mail mail = { .open = unpark_kept };
    int fd = client_open(&server);

    (void)state;
    client_say(fd, GET("/twice"));
    WAIT_FOR(atomic_load(&parked) == 1);
    unpark_there(&mail);
    expect_answer(fd, "", 200, "late");
    close(fd);
}

static void time_that_is_up_is_over(void **state)
{
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, GET("/short"), 200, "over");
    expect_answer(fd, GET("/late"), 200, "over");
    expect_answer(fd, GET("/short"), 200, "over");
    close(fd);
}

static void a_parked_exchange_outlives_every_other_deadline(void **state)
{
    struct mail mail = { .open = unpark_kept };
    int fd = client_open(&server), idle = client_open(&server);

    (void)state;
    client_say(fd, GET("/park"));
    WAIT_FOR(atomic_load(&parked) == 1);
    expect_answer(idle, GET("/hello"), 200, "hello");
    client_expect_end(idle);
    unpark_there(&mail);
    expect_answer(fd, "", 200, "over");
    client_expect_end(fd); /* and is an idle connection again */
}

static void who_leaves_is_noticed_at_once(void **state)
{
    struct linger now = { .l_onoff = 1 };
    int fd = client_open(&server);

    (void)state;
    client_say(fd, GET("/park"));
    WAIT_FOR(atomic_load(&parked) == 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    WAIT_FOR(atomic_load(&releases) == 1);
    assert_int_equal(atomic_load(&lost), 1);
}

static void who_has_said_its_last_is_answered_at_once(void **state)
{
    int fd = client_open(&server);

    (void)state;
    client_say(fd, GET("/park"));
    shutdown(fd, SHUT_WR);
    expect_answer(fd, "", 200, "over");
    client_expect_end(fd);
}

static void draining_answers_those_who_wait_and_those_who_come_to_wait(void **state)
{
    int fd = client_open(&server), late = client_open(&server);

    (void)state;
    client_say(fd, GET("/park"));
    client_say(late, "GET /park HTTP/1.1\r\n");
    WAIT_FOR(atomic_load(&parked) == 1);
    WAIT_FOR(io_pool_connections(server.pool) == 2);
    io_pool_drain(server.pool);
    expect_answer(fd, "", 200, "over");
    client_expect_end(fd);
    expect_answer(late, "Host: a\r\n\r\n", 200, "over");
    client_expect_end(late);
}

#define QUICK(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUICK(an_unparked_exchange_is_answered_and_the_connection_goes_on),
        QUICK(the_answer_may_take_its_time_then),
        QUICK(time_that_is_up_is_over),
        QUICK(a_parked_exchange_outlives_every_other_deadline),
        QUICK(who_leaves_is_noticed_at_once),
        QUICK(who_has_said_its_last_is_answered_at_once),
        QUICK(draining_answers_those_who_wait_and_those_who_come_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
