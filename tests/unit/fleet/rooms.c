/* Clients that come back to another node: three nodes and a real Redis between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "../io/redis_harness.h"
#include "base/err.h"
#include "fleet/port_redis.h"
#include "fleet/rooms.h"

enum { LIFETIME_MS = 60 * 1000, REFRESH_MS = 200, PATIENCE_MS = 500, ROOMS_MAX = 2000 };

#define ANN "ann-0123456789_ABCDEFG"
#define BOB "bob-0123456789_ABCDEFG"
#define KEY "reelay:room:" ANN

struct node {
    struct fleet_link *link;
    struct fleet_rooms *rooms;
};

static uv_loop_t loop;
static struct server server;
static struct relay relay; /* the way of node c */
static struct node a, b, c;
static redisContext *direct;

static void up(void *context)
{
    fleet_rooms_up(((struct node *)context)->rooms);
}

static void down(void *context, const struct redis_down *why)
{
    (void)context;
    (void)why;
}

static void heard(void *context, struct str name, enum redis_topic kind)
{
    (void)context;
    (void)name;
    (void)kind;
}

static void push(void *context, const struct redis_push *p)
{
    (void)context;
    (void)p;
}

static void tick(void *context)
{
    fleet_rooms_tick(((struct node *)context)->rooms);
}

static const struct fleet_link_events events = {
    .up = up, .down = down, .heard = heard, .push = push, .tick = tick
};

static const struct fleet_rooms_settings settings = {
    .lifetime_ms = LIFETIME_MS,
    .refresh_ms = REFRESH_MS,
    .patience_ms = PATIENCE_MS,
    .rooms_max = ROOMS_MAX,
    .claims_max = 10,
};

static bool is_up(const struct node *n)
{
    struct fleet_port *port = fleet_link_port(n->link);

    return port->ops->is_up(port);
}

static void node_start(struct node *n, unsigned port)
{
    char url[64];
    struct buf why;

    buf_init(&why, 256);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u/0", port);
    assert_int_equal(fleet_link_open(&loop, url, &(struct fleet_link_settings){ .name = "test" },
                                     &events, n, &n->link, &why),
                     OK);
    buf_deinit(&why);
    n->rooms = fleet_rooms_new(fleet_link_port(n->link), &settings);
}

/* As kill -9 leaves it: nothing more is said. */
static void node_stop(struct node *n)
{
    if (n->link == NULL)
        return;
    fleet_rooms_close(n->rooms);
    fleet_link_close(n->link);
    uv_run(&loop, UV_RUN_NOWAIT);
    fleet_rooms_free(n->rooms);
    *n = (struct node){ 0 };
}

static void connect_directly(void)
{
    direct = redisConnect("127.0.0.1", (int)server.port);
    assert_int_equal(direct->err, 0);
}

static int begin(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    server_start(&server, NULL);
    relay_start(&relay, &loop, server.port);
    connect_directly();
    node_start(&a, server.port);
    node_start(&b, server.port);
    node_start(&c, relay.port);
    WAIT_FOR(&loop, is_up(&a) && is_up(&b) && is_up(&c));
    return 0;
}

static int end(void **state)
{
    (void)state;
    node_stop(&a);
    node_stop(&b);
    node_stop(&c);
    relay_stop(&relay);
    redisFree(direct);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    server_stop(&server);
    return 0;
}

static long long ask(const char *command)
{
    redisReply *reply = redisCommand(direct, command);

    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    long long answer =
        reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : reply->integer;
    freeReplyObject(reply);
    return answer;
}

static bool has_job(const char *job)
{
    char command[256];

    snprintf(command, sizeof(command), "HEXISTS " KEY " job:%s", job);
    return ask(command) == 1;
}

static struct fleet_hold hold_of(const char *pid, uint64_t number)
{
    return (struct fleet_hold){ pid, "sid-0123456789_ABCDE", "ann", number };
}

static void join(struct node *n, uint64_t number, const char *job)
{
    struct fleet_hold hold = hold_of(ANN, number);

    fleet_rooms_join(n->rooms, &hold, job);
}

static void part(struct node *n, uint64_t number, const char *job)
{
    struct fleet_hold hold = hold_of(ANN, number);

    fleet_rooms_part(n->rooms, &hold, job);
}

struct outcome {
    bool is_there, is_known;
    uint64_t number;
    size_t count;
    char sid[FLEET_SID_SIZE];
    char jobs[256];
};

static void note(void *context, const struct fleet_rooms_found *found)
{
    struct outcome *o = context;

    assert_false(o->is_there);
    o->is_there = true;
    o->is_known = found != NULL;
    if (found == NULL)
        return;
    o->number = found->number;
    o->count = found->count;
    memcpy(o->sid, found->sid, sizeof(o->sid));
    const char *job = found->jobs;
    size_t len = 0;
    for (size_t i = 0; i < found->count && i < 10; i++, job += strlen(job) + 1)
        len += (size_t)snprintf(o->jobs + len, sizeof(o->jobs) - len, "%s ", job);
}

static struct outcome claim_as(struct node *n, const char *pid, const char *subject)
{
    struct outcome o = { 0 };

    fleet_rooms_claim(n->rooms, pid, subject, note, &o);
    WAIT_FOR(&loop, o.is_there);
    return o;
}

/* Gives the new hold's number. */
static uint64_t finds(struct node *n, const char *jobs)
{
    struct outcome o = claim_as(n, ANN, "ann");

    assert_true(o.is_known);
    assert_string_equal(o.jobs, jobs);
    assert_string_equal(o.sid, "sid-0123456789_ABCDE");
    assert_true(o.number > 0);
    return o.number;
}

static size_t clients(const struct node *n)
{
    size_t count, rooms;

    fleet_rooms_count(n->rooms, &count, &rooms);
    return count;
}

static void at_node_a(const char *one, const char *two)
{
    join(&a, 0, one);
    join(&a, 0, two);
    WAIT_FOR(&loop, has_job(one) && has_job(two));
}

static void who_loses_a_node_finds_its_jobs_at_another(void **state)
{
    (void)state;
    at_node_a("one", "two");
    part(&a, 0, "one");
    join(&a, 0, "three");
    WAIT_FOR(&loop, has_job("three") && !has_job("one"));
    node_stop(&a);
    uint64_t number = finds(&b, "two three ");
    join(&b, number, "four");
    WAIT_FOR(&loop, has_job("four"));
    node_stop(&b);
    finds(&c, "two three four ");
}

static void jobs_live_while_the_client_is_here_and_a_while_longer(void **state)
{
    struct fleet_hold hold = hold_of(ANN, 0);

    (void)state;
    at_node_a("one", "two");
    ask("PEXPIRE " KEY " 5000");
    WAIT_FOR(&loop, ask("PTTL " KEY) > LIFETIME_MS);
    assert_true(ask("PTTL " KEY) <= LIFETIME_MS + 2 * REFRESH_MS);
    fleet_rooms_lose(a.rooms, &hold);
    WAIT_FOR(&loop, ask("PTTL " KEY) <= LIFETIME_MS);
    assert_true(ask("PTTL " KEY) > LIFETIME_MS / 2);
    finds(&b, "one two ");
}

static void who_left_is_known_nowhere(void **state)
{
    struct fleet_hold hold = hold_of(ANN, 0);

    (void)state;
    at_node_a("one", "two");
    hold.number = finds(&b, "one two ");
    fleet_rooms_forget(b.rooms, &hold);
    WAIT_FOR(&loop, clients(&b) == 0);
    /* Node a still believes it to be its own, and does not put it back. */
    WAIT_FOR(&loop, clients(&a) == 0);
    assert_int_equal(ask("HEXISTS " KEY " sid"), 0);
    assert_false(claim_as(&b, ANN, "ann").is_known);
    assert_false(claim_as(&a, ANN, "ann").is_known);
}

static void who_left_its_first_node_leaves_no_trace(void **state)
{
    struct fleet_hold hold = hold_of(ANN, 0);

    (void)state;
    join(&a, 0, "one");
    fleet_rooms_forget(a.rooms, &hold); /* while it is being told */
    WAIT_FOR(&loop, clients(&a) == 0);
    assert_int_equal(ask("EXISTS " KEY), 0);
}

static void nobody_is_given_what_is_somebody_elses(void **state)
{
    (void)state;
    at_node_a("one", "two");
    assert_false(claim_as(&b, ANN, "bob").is_known);
    assert_false(claim_as(&a, ANN, "bob").is_known);
    assert_false(claim_as(&b, BOB, "ann").is_known);
    assert_false(claim_as(&b, "*", "ann").is_known);
    assert_false(claim_as(&b, "", "ann").is_known);
    finds(&b, "one two ");
}

static void the_last_claim_wins_and_the_node_before_forgets(void **state)
{
    (void)state;
    at_node_a("one", "two");
    uint64_t number = finds(&b, "one two ");
    join(&a, 0, "stale");
    join(&b, number, "three");
    WAIT_FOR(&loop, clients(&a) == 0);
    WAIT_FOR(&loop, has_job("three"));
    assert_false(has_job("stale"));
    number = finds(&a, "one two three ");
    part(&b, 1, "two");
    WAIT_FOR(&loop, clients(&b) == 0);
    finds(&a, "one two three ");
    join(&a, number, "of-an-older-hold");
    finds(&a, "one two three ");
    assert_false(has_job("of-an-older-hold"));
}

static void what_redis_has_lost_is_told_again(void **state)
{
    (void)state;
    at_node_a("one", "two");
    ask("FLUSHALL");
    WAIT_FOR(&loop, has_job("one") && has_job("two"));
    finds(&b, "one two ");
    ask("FLUSHALL");
    WAIT_FOR(&loop, has_job("one") && ask("HGET " KEY " token") > 1);
    finds(&c, "one two ");
}

static void redis_comes_back_empty_and_is_told_again(void **state)
{
    (void)state;
    at_node_a("one", "two");
    redisFree(direct);
    server_kill(&server);
    WAIT_FOR(&loop, !is_up(&a));
    join(&a, 0, "three");
    part(&a, 0, "one");
    server_start_again(&server);
    connect_directly();
    WAIT_FOR(&loop, has_job("two") && has_job("three"));
    assert_false(has_job("one"));
    WAIT_FOR(&loop, is_up(&b));
    finds(&b, "two three ");
}

static void without_redis_a_node_knows_its_own(void **state)
{
    (void)state;
    at_node_a("one", "two");
    server_kill(&server);
    WAIT_FOR(&loop, !is_up(&a) && !is_up(&b));
    finds(&a, "one two ");
    assert_false(claim_as(&b, ANN, "ann").is_known); /* after its patience */
    redisFree(direct);
    server_start_again(&server);
    connect_directly();
    WAIT_FOR(&loop, has_job("one"));
}

static void a_claim_waits_for_a_redis_that_comes_in_time(void **state)
{
    struct outcome o = { 0 };

    (void)state;
    at_node_a("one", "two");
    node_stop(&b);
    node_start(&b, server.port); /* has just begun */
    fleet_rooms_claim(b.rooms, ANN, "ann", note, &o);
    assert_false(is_up(&b));
    WAIT_FOR(&loop, o.is_there);
    assert_true(o.is_known);
    assert_string_equal(o.jobs, "one two ");
}

static void a_silent_redis_is_waited_for_only_so_long(void **state)
{
    struct outcome o = { 0 };

    (void)state;
    at_node_a("one", "two");
    relay.is_silent = true;
    uint64_t begun_ms = uv_now(&loop);
    fleet_rooms_claim(c.rooms, ANN, "ann", note, &o);
    WAIT_FOR(&loop, o.is_there);
    assert_false(o.is_known);
    assert_true(uv_now(&loop) - begun_ms >= PATIENCE_MS - 100);
    assert_true(uv_now(&loop) - begun_ms < 4 * PATIENCE_MS);
}

static void what_waits_at_the_end_is_told(void **state)
{
    struct outcome o = { 0 };

    (void)state;
    relay.is_silent = true;
    fleet_rooms_claim(c.rooms, ANN, "ann", note, &o);
    node_stop(&c);
    assert_true(o.is_there);
    assert_false(o.is_known);
}

static void there_is_an_end_to_what_is_kept(void **state)
{
    size_t count, rooms;
    char job[24];

    (void)state;
    for (int i = 0; i < ROOMS_MAX + 10; i++) {
        snprintf(job, sizeof(job), "job%d", i);
        join(&a, 0, job);
    }
    fleet_rooms_count(a.rooms, &count, &rooms);
    assert_int_equal(rooms, ROOMS_MAX);
    snprintf(job, sizeof(job), "job%d", ROOMS_MAX - 1);
    WAIT_FOR(&loop, has_job(job));
    assert_int_equal(ask("HLEN " KEY), ROOMS_MAX + 3);
    struct outcome o = claim_as(&b, ANN, "ann");
    assert_int_equal(o.count, ROOMS_MAX);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(who_loses_a_node_finds_its_jobs_at_another),
        CASE(jobs_live_while_the_client_is_here_and_a_while_longer),
        CASE(who_left_is_known_nowhere),
        CASE(who_left_its_first_node_leaves_no_trace),
        CASE(nobody_is_given_what_is_somebody_elses),
        CASE(the_last_claim_wins_and_the_node_before_forgets),
        CASE(what_redis_has_lost_is_told_again),
        CASE(redis_comes_back_empty_and_is_told_again),
        CASE(without_redis_a_node_knows_its_own),
        CASE(a_claim_waits_for_a_redis_that_comes_in_time),
        CASE(a_silent_redis_is_waited_for_only_so_long),
        CASE(what_waits_at_the_end_is_told),
        CASE(there_is_an_end_to_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
