#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/keys.h"
#include "work_node.h"

enum { NODES = 3 };

/* Three nodes on one Redis. */
struct fleet {
    uv_loop_t loop;
    struct server server;
    struct node a, b, c;
};

static int setup(void **state)
{
    struct fleet *f = mem_new(struct fleet);

    uv_loop_init(&f->loop);
    server_start(&f->server, NULL);
    node_open(&f->a, &f->loop, &f->server, "a", 3);
    node_open(&f->b, &f->loop, &f->server, "b", 3);
    node_open(&f->c, &f->loop, &f->server, "c", 3);
    *state = f;
    return 0;
}

/* Nothing is left of it in Redis. */
static int teardown(void **state)
{
    struct fleet *f = *state;

    node_serve(&f->a, 0);
    node_serve(&f->b, 0);
    node_serve(&f->c, 0);
    node_redis(&f->a, "DEL " FLEET_WORK "over"); /* see what_was_taken_over_... */
    WAIT_FOR(&f->loop, node_redis(&f->a, "KEYS *") == 0);
    node_close(&f->a);
    node_close(&f->b);
    node_close(&f->c);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    server_stop(&f->server);
    mem_free(f);
    return 0;
}

static void pass(struct fleet *f, uint64_t ms)
{
    uint64_t end = clock_mono_ms() + ms;

    WAIT_FOR(&f->loop, clock_mono_ms() >= end);
}

/* The last it has claimed. */
static struct told *last(struct node *n)
{
    assert_true(n->claimed > 0);
    return &n->claims[n->claimed - 1];
}

/* `job` is put, and `n`, who alone works, has it. */
static struct told *held_by(struct node *n, const char *job)
{
    unsigned before = n->claimed;

    node_serve(n, 1);
    assert_int_equal(node_put(n, job, FLEET_NORMAL), OK);
    WAIT_FOR(n->loop, n->claimed == before + 1);
    assert_string_equal(last(n)->job, job);
    return last(n);
}

static void an_upload_is_open_then_queued_then_leased_then_gone(void **state)
{
    struct fleet *f = *state;

    assert_int_equal(node_find(&f->a, "j").err, FAIL_MISSING);
    assert_int_equal(node_create(&f->a, "j", "{}"), OK);
    assert_int_equal(node_create(&f->b, "j", "{}"), FAIL_EXISTS);
    assert_true(node_find(&f->b, "j").is_open);
    assert_string_equal(node_find(&f->b, "j").spec, "{}");
    assert_int_equal(node_enqueue(&f->b, "j", FLEET_NORMAL), OK);
    assert_int_equal(node_enqueue(&f->a, "j", FLEET_NORMAL), FAIL_STATE);
    assert_int_equal(node_enqueue(&f->a, "k", FLEET_NORMAL), FAIL_MISSING);
    assert_false(node_find(&f->b, "j").is_open);
    assert_int_equal(node_plan(&f->b, "j", 3).err, FAIL_STATE);
    node_serve(&f->c, 1);
    WAIT_FOR(&f->loop, f->c.claimed == 1);
    assert_true(node_find(&f->b, "j").is_leased);
    assert_int_equal(f->c.claims[0].attempt, 1);
    assert_string_equal(f->c.claims[0].step, "assemble");
    assert_string_equal(f->c.claims[0].spec, "{\"n\":1}");
    assert_int_equal(node_checkpoint(&f->c, last(&f->c), "convert", "{\"n\":2}"), OK);
    assert_string_equal(node_find(&f->b, "j").step, "convert");
    assert_string_equal(node_find(&f->b, "j").spec, "{\"n\":2}");
    assert_int_equal(node_finish(&f->c, last(&f->c)), OK);
    assert_int_equal(node_find(&f->b, "j").err, FAIL_MISSING);
}

static void each_job_goes_to_exactly_one_of_three_nodes(void **state)
{
    struct fleet *f = *state;
    struct node *nodes[NODES] = { &f->a, &f->b, &f->c };
    enum { JOBS = 12 };
    unsigned seen[JOBS] = { 0 };
    char job[16];

    for (int i = 0; i < NODES; i++)
        node_serve(nodes[i], 4);
    for (int i = 0; i < JOBS; i++) {
        snprintf(job, sizeof(job), "j%d", i);
        assert_int_equal(node_put(&f->a, job, i % FLEET_PRIORITIES), OK);
    }
    WAIT_FOR(&f->loop, f->a.claimed + f->b.claimed + f->c.claimed >= JOBS);
    pass(f, LEASE_MS);
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(nodes[i]->claimed, 4);
        assert_int_equal(nodes[i]->lost, 0);
        for (unsigned k = 0; k < nodes[i]->claimed; k++) {
            seen[nodes[i]->claims[k].job[1] - '0' + (nodes[i]->claims[k].job[2] ? 9 : 0) +
                 (nodes[i]->claims[k].job[2] == '1')]++;
            assert_int_equal(node_finish(nodes[i], &nodes[i]->claims[k]), OK);
        }
    }
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(seen[i], 1);
}

static void heartbeats_keep_a_lease(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    node_serve(&f->b, 4);
    pass(f, 6 * LEASE_MS);
    assert_int_equal(f->b.claimed, 0);
    assert_int_equal(f->a.lost, 0);
    assert_int_equal(node_finish(&f->a, lease), OK);
}

static void a_lease_that_ran_out_is_taken_over_and_its_old_holder_can_do_nothing(void **state)
{
    struct fleet *f = *state;
    struct told *old = held_by(&f->a, "j");

    assert_int_equal(node_checkpoint(&f->a, old, "convert", "{\"at\":1}"), OK);
    f->a.is_frozen = true;
    node_serve(&f->b, 1);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_true(last(&f->b)->is_takeover);
    assert_true(last(&f->b)->token > old->token);
    assert_int_equal(last(&f->b)->attempt, 2);
    assert_string_equal(last(&f->b)->step, "convert");
    assert_string_equal(last(&f->b)->spec, "{\"at\":1}");
    assert_int_equal(f->a.lost, 0);
    f->a.is_frozen = false;
    assert_int_equal(node_checkpoint(&f->a, old, "convert", "{\"at\":2}"), FAIL_STALE);
    WAIT_FOR(&f->loop, f->a.lost == 1);
    assert_int_equal(f->a.losses[0].token, old->token);
    assert_int_equal(node_checkpoint(&f->a, old, "convert", "{\"at\":2}"), FAIL_STALE);
    assert_int_equal(node_retry(&f->a, old, "no"), FAIL_STALE);
    assert_int_equal(node_release(&f->a, old), FAIL_STALE);
    assert_int_equal(node_reopen(&f->a, old, "{}"), FAIL_STALE);
    assert_int_equal(node_finish(&f->a, old), FAIL_STALE);
    assert_int_equal(f->a.lost, 1);
    assert_string_equal(node_find(&f->a, "j").spec, "{\"at\":1}");
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
}

static void who_slept_past_its_lease_learns_of_it_from_its_heartbeat(void **state)
{
    struct fleet *f = *state;
    struct told *old = held_by(&f->a, "j");

    f->a.is_frozen = true;
    node_serve(&f->b, 1);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    f->a.is_frozen = false;
    WAIT_FOR(&f->loop, f->a.lost == 1);
    assert_int_equal(f->a.losses[0].token, old->token);
    pass(f, LEASE_MS);
    assert_int_equal(f->a.lost, 1);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
}

static void what_was_taken_over_and_finished_is_not_put_back_by_who_slept(void **state)
{
    struct fleet *f = *state;

    held_by(&f->a, "j");
    f->a.is_frozen = true;
    node_serve(&f->b, 1);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
    f->a.is_frozen = false;
    WAIT_FOR(&f->loop, f->a.lost == 1);
    assert_int_equal(node_find(&f->b, "j").err, FAIL_MISSING);
    assert_int_equal(node_checkpoint(&f->a, &f->a.claims[0], "s", "{}"), FAIL_STALE);
    assert_int_equal(node_redis(&f->a, "ZCARD " FLEET_WORK "over"), 1);
    /* The name is free again. */
    assert_int_equal(node_create(&f->a, "j", "{}"), OK);
    assert_int_equal(node_checkpoint(&f->a, &f->a.claims[0], "s", "{}"), FAIL_STALE);
    assert_int_equal(node_redis(&f->a, "ZCARD " FLEET_WORK "over"), 0);
    assert_int_equal(node_cancel(&f->a, "j"), FAIL_STATE);
}

static void a_node_that_takes_over_from_itself_loses_the_older_lease(void **state)
{
    struct fleet *f = *state;

    held_by(&f->a, "j");
    node_serve(&f->a, 2);
    /* Nobody renews it: Redis is told that it is idle. */
    f->a.loses = 1000;
    WAIT_FOR(&f->loop, f->a.loses < 1000);
    f->a.is_frozen = true;
    pass(f, LEASE_MS + 50);
    f->a.loses = 0;
    fleet_work_push(f->a.work, &(struct redis_push){ .channel = STR(FLEET_WORK "wake") });
    WAIT_FOR(&f->loop, f->a.claimed == 2);
    f->a.is_frozen = false;
    assert_int_equal(f->a.lost, 1);
    assert_int_equal(f->a.losses[0].token, f->a.claims[0].token);
    assert_int_equal(node_finish(&f->a, last(&f->a)), OK);
}

static void a_failed_one_is_tried_again_after_a_while_until_it_is_exhausted(void **state)
{
    struct fleet *f = *state;
    uint64_t before;

    held_by(&f->a, "j");
    for (unsigned attempt = 1; attempt <= 3; attempt++) {
        assert_int_equal(last(&f->a)->attempt, attempt);
        assert_false(last(&f->a)->is_exhausted);
        before = clock_mono_ms();
        assert_int_equal(node_retry(&f->a, last(&f->a), "it broke"), OK);
        WAIT_FOR(&f->loop, f->a.claimed == attempt + 1);
        assert_true(last(&f->a)->at_ms - before >= 25u << (attempt - 1));
        assert_string_equal(last(&f->a)->why, "it broke");
        assert_false(last(&f->a)->is_takeover);
    }
    assert_true(last(&f->a)->is_exhausted);
    assert_int_equal(node_reopen(&f->a, last(&f->a), "{\"again\":1}"), OK);
    assert_true(node_find(&f->b, "j").is_open);
    assert_string_equal(node_find(&f->b, "j").spec, "{\"again\":1}");
    assert_int_equal(node_enqueue(&f->b, "j", FLEET_NORMAL), OK);
    WAIT_FOR(&f->loop, f->a.claimed == 5);
    assert_int_equal(last(&f->a)->attempt, 1);
    assert_string_equal(last(&f->a)->why, "");
    assert_int_equal(node_finish(&f->a, last(&f->a)), OK);
}

static void what_kills_its_workers_is_exhausted_too(void **state)
{
    struct fleet *f = *state;
    struct node *turns[] = { &f->b, &f->c, &f->a };

    held_by(&f->a, "j");
    for (unsigned i = 0; i < 3; i++) {
        struct node *from = i == 0 ? &f->a : turns[i - 1];
        unsigned before = turns[i]->claimed;
        from->is_frozen = true;
        turns[i]->is_frozen = false;
        node_serve(turns[i], 2);
        WAIT_FOR(&f->loop, turns[i]->claimed == before + 1);
        assert_int_equal(last(turns[i])->attempt, i + 2);
        assert_int_equal(last(turns[i])->is_exhausted, i == 2);
    }
    f->b.is_frozen = f->c.is_frozen = false;
    assert_int_equal(node_finish(&f->a, last(&f->a)), OK);
    WAIT_FOR(&f->loop, f->a.lost == 1 && f->b.lost == 1 && f->c.lost == 1);
}

static void high_goes_before_normal_before_low(void **state)
{
    struct fleet *f = *state;
    static const char *const order[] = { "h1", "h2", "n1", "n2", "l1", "l2" };

    assert_int_equal(node_put(&f->a, "l1", FLEET_LOW), OK);
    assert_int_equal(node_put(&f->a, "n1", FLEET_NORMAL), OK);
    assert_int_equal(node_put(&f->a, "h1", FLEET_HIGH), OK);
    assert_int_equal(node_put(&f->a, "l2", FLEET_LOW), OK);
    assert_int_equal(node_put(&f->a, "n2", FLEET_NORMAL), OK);
    assert_int_equal(node_put(&f->a, "h2", FLEET_HIGH), OK);
    node_serve(&f->b, 1);
    for (unsigned i = 0; i < 6; i++) {
        WAIT_FOR(&f->loop, f->b.claimed == i + 1);
        assert_string_equal(last(&f->b)->job, order[i]);
        assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
    }
}

static void a_node_never_holds_more_than_its_slots(void **state)
{
    struct fleet *f = *state;
    char job[16];

    for (int i = 0; i < 9; i++) {
        snprintf(job, sizeof(job), "j%d", i);
        assert_int_equal(node_put(&f->a, job, FLEET_NORMAL), OK);
    }
    node_serve(&f->b, 6);
    WAIT_FOR(&f->loop, f->b.claimed == 6);
    pass(f, 2 * LEASE_MS);
    assert_int_equal(f->b.claimed, 6);
    for (unsigned i = 0; i < 9; i++) {
        WAIT_FOR(&f->loop, f->b.claimed > i);
        assert_int_equal(node_finish(&f->b, &f->b.claims[i]), OK);
    }
}

static void one_that_is_given_back_goes_to_another_at_once_and_counts_no_attempt(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    assert_int_equal(node_put(&f->c, "behind", FLEET_NORMAL), OK);
    node_serve(&f->a, 0);
    assert_int_equal(node_release(&f->a, lease), OK);
    node_serve(&f->b, 1);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_string_equal(last(&f->b)->job, "j");
    assert_int_equal(last(&f->b)->attempt, 1);
    assert_false(last(&f->b)->is_takeover);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
    WAIT_FOR(&f->loop, f->b.claimed == 2);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
    assert_int_equal(f->a.claimed, 1);
}

static void a_claim_that_comes_back_after_the_drain_began_is_given_back(void **state)
{
    struct fleet *f = *state;

    assert_int_equal(node_put(&f->a, "j", FLEET_NORMAL), OK);
    node_serve(&f->b, 1); /* asks */
    node_serve(&f->b, 0);
    WAIT_FOR(&f->loop, node_redis(&f->a, "XLEN " FLEET_WORK "queue:high") == 1);
    assert_int_equal(f->b.claimed, 0);
    node_serve(&f->a, 1);
    WAIT_FOR(&f->loop, f->a.claimed == 1);
    assert_int_equal(last(&f->a)->attempt, 1);
    assert_int_equal(node_finish(&f->a, last(&f->a)), OK);
}

static void an_open_one_is_cancelled_by_being_dropped(void **state)
{
    struct fleet *f = *state;

    assert_int_equal(node_cancel(&f->a, "j"), FAIL_MISSING);
    assert_int_equal(node_create(&f->a, "j", "{}"), OK);
    assert_int_equal(node_cancel(&f->b, "j"), FAIL_STATE);
    assert_int_equal(node_find(&f->a, "j").err, FAIL_MISSING);
}

static void a_queued_one_that_is_cancelled_comes_to_a_worker_as_such(void **state)
{
    struct fleet *f = *state;

    assert_int_equal(node_put(&f->a, "before", FLEET_HIGH), OK);
    assert_int_equal(node_put(&f->a, "j", FLEET_LOW), OK);
    assert_int_equal(node_cancel(&f->a, "j"), OK);
    assert_int_equal(node_cancel(&f->b, "j"), OK);
    node_serve(&f->b, 2);
    WAIT_FOR(&f->loop, f->b.claimed == 2);
    assert_string_equal(f->b.claims[1].job, "j");
    assert_true(f->b.claims[1].is_cancelled);
    assert_false(f->b.claims[0].is_cancelled);
    assert_int_equal(node_finish(&f->b, &f->b.claims[0]), OK);
    assert_int_equal(node_finish(&f->b, &f->b.claims[1]), OK);
    assert_int_equal(f->b.cancelled, 0);
}

static void a_delayed_one_that_is_cancelled_does_not_wait_for_its_turn(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    node_serve(&f->a, 0);
    assert_int_equal(node_retry(&f->a, lease, "no"), OK);
    assert_int_equal(node_redis(&f->a, "ZCARD " FLEET_WORK "delayed"), 1);
    assert_int_equal(node_cancel(&f->a, "j"), OK);
    assert_int_equal(node_redis(&f->a, "ZCARD " FLEET_WORK "delayed"), 0);
    node_serve(&f->b, 1);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_true(last(&f->b)->is_cancelled);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
}

static void the_holder_of_a_cancelled_one_is_told_once(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    assert_int_equal(node_cancel(&f->b, "j"), OK);
    WAIT_FOR(&f->loop, f->a.cancelled == 1);
    assert_int_equal(f->a.cancels[0].token, lease->token);
    pass(f, 2 * LEASE_MS);
    assert_int_equal(f->a.cancelled, 1);
    assert_int_equal(node_finish(&f->a, lease), OK);
}

static void a_holder_that_missed_the_word_hears_it_with_its_heartbeat(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    f->a.is_deaf = true;
    assert_int_equal(node_cancel(&f->b, "j"), OK);
    WAIT_FOR(&f->loop, f->a.cancelled == 1);
    assert_int_equal(node_finish(&f->a, lease), OK);
}

static void a_cancelled_one_whose_holder_died_is_taken_over_as_cancelled(void **state)
{
    struct fleet *f = *state;

    held_by(&f->a, "j");
    f->a.is_frozen = true;
    assert_int_equal(node_cancel(&f->b, "j"), OK);
    node_serve(&f->b, 1);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_true(last(&f->b)->is_takeover);
    assert_true(last(&f->b)->is_cancelled);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
    f->a.is_frozen = false;
    WAIT_FOR(&f->loop, f->a.lost == 1);
    assert_int_equal(f->a.cancelled, 0);
}

static void on_stale(void *context, int err, const char *const *jobs, size_t count)
{
    struct outcome *o = context;

    assert_int_equal(err, OK);
    for (size_t i = 0; i < count; i++)
        assert_true(jobs[i][0] == 's');
    o->err += (int)count;
    o->is_done = true;
}

static void one_that_is_cancelled_while_it_fails_is_not_open_again(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "s");
    struct outcome o = { .is_done = false };

    f->a.is_deaf = f->a.is_frozen = true;
    assert_int_equal(node_cancel(&f->b, "s"), OK);
    f->a.is_frozen = false;
    assert_int_equal(node_reopen(&f->a, lease, "{}"), OK);
    assert_false(node_find(&f->b, "s").is_open);
    assert_int_equal(node_plan(&f->b, "s", 1).err, FAIL_STATE);
    assert_int_equal(node_cancel(&f->b, "s"), OK);
    fleet_work_stale(f->b.work, 1, 10, on_stale, &o);
    WAIT_FOR(&f->loop, o.is_done);
    assert_int_equal(o.err, 1);
}

static void a_cancelled_one_is_not_delayed(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    f->a.is_deaf = f->a.is_frozen = true;
    assert_int_equal(node_cancel(&f->b, "j"), OK);
    f->a.is_frozen = false;
    node_serve(&f->a, 0);
    assert_int_equal(node_retry(&f->a, lease, "no"), OK);
    assert_int_equal(node_redis(&f->a, "ZCARD " FLEET_WORK "delayed"), 0);
    node_serve(&f->b, 1);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_true(last(&f->b)->is_cancelled);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
}

static void parts_of_uploads_are_so_many_at_all_nodes_together(void **state)
{
    struct fleet *f = *state;
    struct outcome o = { .is_done = false };

    assert_int_equal(node_create(&f->a, "s", "{}"), OK); /* does not count */
    assert_int_equal(node_create_part(&f->a, "s1", 3), OK);
    assert_int_equal(node_create_part(&f->b, "s2", 3), OK);
    assert_int_equal(node_create_part(&f->b, "s2", 3), FAIL_EXISTS);
    assert_int_equal(node_create_part(&f->a, "s3", 3), OK);
    assert_int_equal(node_create_part(&f->b, "s4", 3), FAIL_LIMIT);
    assert_int_equal(node_find(&f->b, "s4").err, FAIL_MISSING);
    assert_int_equal(node_create(&f->b, "so", "{}"), OK);
    assert_int_equal(node_cancel(&f->a, "s1"), FAIL_STATE); /* there is room for one */
    assert_int_equal(node_create_part(&f->b, "s4", 3), OK);
    assert_int_equal(node_create_part(&f->b, "s5", 3), FAIL_LIMIT);
    assert_int_equal(node_redis(&f->a, "DEL " FLEET_WORK "job:s2"), 1); /* its memory was full */
    assert_int_equal(node_create_part(&f->b, "s5", 3), OK);
    assert_int_equal(node_create_part(&f->b, "s6", 3), FAIL_LIMIT);
    fleet_work_stale(f->a.work, INT64_MAX / 2, 10, on_stale, &o);
    WAIT_FOR(&f->loop, o.is_done);
    assert_int_equal(node_redis(&f->a, "EXISTS " FLEET_WORK "parts"), 0);
    assert_int_equal(node_create_part(&f->b, "s6", 3), OK);
    assert_int_equal(node_cancel(&f->b, "s6"), FAIL_STATE);
}

static void stale_uploads_are_given_to_one_node_each(void **state)
{
    struct fleet *f = *state;
    struct outcome o[NODES] = { { .is_done = false } };
    struct node *nodes[NODES] = { &f->a, &f->b, &f->c };
    int64_t later;
    char job[16];

    for (int i = 0; i < 9; i++) {
        snprintf(job, sizeof(job), "s%d", i);
        assert_int_equal(node_create(&f->a, job, "{}"), OK);
    }
    later = node_find(&f->a, job).touched_ms + 1;
    pass(f, 5);
    assert_int_equal(node_create(&f->a, "young", "{}"), OK);
    assert_int_equal(node_plan(&f->a, "s0", 2).err, OK); /* a sign of life */
    fleet_work_touch(f->a.work, "s1");
    WAIT_FOR(&f->loop, node_find(&f->a, "s1").touched_ms > later);
    for (int i = 0; i < NODES; i++)
        fleet_work_stale(nodes[i]->work, later, 4, on_stale, &o[i]);
    WAIT_FOR(&f->loop, o[0].is_done && o[1].is_done && o[2].is_done);
    assert_int_equal(o[0].err + o[1].err + o[2].err, 7);
    assert_true(o[0].err <= 4 && o[1].err <= 4 && o[2].err <= 4);
    assert_int_equal(node_redis(&f->a, "ZCARD " FLEET_WORK "open"), 3);
    assert_int_equal(node_cancel(&f->a, "young"), FAIL_STATE);
    assert_int_equal(node_cancel(&f->a, "s0"), FAIL_STATE);
    assert_int_equal(node_cancel(&f->a, "s1"), FAIL_STATE);
}

struct idle_told {
    bool is_done;
    int err;
    size_t count;
    int64_t reached_ms;
    char first[JOB_ID_MAX + 1];
};

static void on_idle(void *context, int err, const struct fleet_work_idle *idle)
{
    struct idle_told *told = context;

    told->is_done = true;
    told->err = err;
    told->count = err == OK ? idle->count : 0;
    told->reached_ms = err == OK ? idle->reached_ms : -1;
    snprintf(told->first, sizeof(told->first), "%s", told->count > 0 ? idle->jobs[0] : "");
}

static struct idle_told node_idle(struct node *n, int64_t since_ms, int64_t before_ms)
{
    struct idle_told told = { .is_done = false };

    fleet_work_idle(n->work, since_ms, before_ms, on_idle, &told);
    WAIT_FOR(n->loop, told.is_done);
    return told;
}

static int node_drop(struct node *n, int64_t before_ms)
{
    struct outcome o = { .is_done = false };

    fleet_work_stale(n->work, before_ms, 64, on_stale, &o);
    WAIT_FOR(n->loop, o.is_done);
    return o.err;
}

static void idle_uploads_are_told_and_stay(void **state)
{
    struct fleet *f = *state;
    char job[16];

    assert_int_equal(node_create(&f->a, "s-old", "{}"), OK);
    int64_t touched = node_find(&f->a, "s-old").touched_ms;
    pass(f, 5);
    assert_int_equal(node_create(&f->a, "s-young", "{}"), OK);
    int64_t later = node_find(&f->a, "s-young").touched_ms;

    struct idle_told told = node_idle(&f->b, 0, later);
    assert_int_equal(told.err, OK);
    assert_int_equal(told.count, 1);
    assert_string_equal(told.first, "s-old");
    assert_int_equal(told.reached_ms, later);
    assert_int_equal(node_idle(&f->c, 0, later + 1).count, 2);
    assert_string_equal(node_idle(&f->c, touched + 1, later + 1).first, "s-young");
    for (int i = 0; i < 70; i++) {
        snprintf(job, sizeof(job), "s%d", i);
        assert_int_equal(node_create(&f->a, job, "{}"), OK);
    }
    told = node_idle(&f->b, 0, INT64_MAX / 2);
    assert_int_equal(told.count, 64);
    assert_true(told.reached_ms >= later && told.reached_ms < INT64_MAX / 2);
    assert_int_equal(node_drop(&f->a, INT64_MAX / 2), 64);
    assert_int_equal(node_drop(&f->a, INT64_MAX / 2), 8);
}

static void what_grows_at_its_end_has_no_number_of_chunks(void **state)
{
    struct fleet *f = *state;

    assert_int_equal(node_create(&f->a, "s-grows", "{\"is_tus\":true}"), OK);
    assert_int_equal(node_plan(&f->b, "s-grows", 3).err, FAIL_STATE);
    assert_int_equal(node_find(&f->a, "s-grows").chunks, 0);
    assert_int_equal(node_create(&f->a, "s-other", "{\"title\":\"\\\"is_tus\\\":true\"}"), OK);
    assert_int_equal(node_plan(&f->b, "s-other", 3).err, OK);
    assert_int_equal(node_drop(&f->a, INT64_MAX / 2), 2);
}

static void the_first_word_on_the_number_of_chunks_counts(void **state)
{
    struct fleet *f = *state;
    struct found a = { .is_done = false }, b = { .is_done = false };

    assert_int_equal(node_plan(&f->a, "j", 3).err, FAIL_MISSING);
    assert_int_equal(node_create(&f->a, "j", "{}"), OK);
    assert_int_equal(node_find(&f->a, "j").chunks, 0);
    fleet_work_plan(f->a.work, "j", 3, node_on_found, &a);
    fleet_work_plan(f->b.work, "j", 4, node_on_found, &b);
    WAIT_FOR(&f->loop, a.is_done && b.is_done);
    assert_true((a.err == OK && b.err == FAIL_EXISTS) || (a.err == FAIL_EXISTS && b.err == OK));
    assert_int_equal(a.chunks, b.chunks);
    assert_int_equal(node_plan(&f->c, "j", a.chunks).err, OK);
    assert_int_equal(node_find(&f->c, "j").chunks, a.err == OK ? 3 : 4);
    /* It is still so when processing has failed. */
    assert_int_equal(node_enqueue(&f->a, "j", FLEET_NORMAL), OK);
    node_serve(&f->a, 1);
    WAIT_FOR(&f->loop, f->a.claimed == 1);
    assert_int_equal(node_reopen(&f->a, last(&f->a), "{}"), OK);
    assert_int_equal(node_find(&f->c, "j").chunks, a.chunks);
    assert_int_equal(node_cancel(&f->a, "j"), FAIL_STATE);
}

struct outcome_of_place {
    bool is_done;
    int err;
};

static void on_place(void *context, int err)
{
    struct outcome_of_place *o = context;

    o->is_done = true;
    o->err = err;
}

static int put_place(struct fleet *f, struct node *n, const char *before, const char *after)
{
    struct outcome_of_place o = { .is_done = false };

    fleet_work_place(n->work, "j", before, after, on_place, &o);
    WAIT_FOR(&f->loop, o.is_done);
    return o.err;
}

static void of_two_who_place_chunks_the_first_counts(void **state)
{
    struct outcome_of_place a = { .is_done = false }, b = { .is_done = false };
    struct fleet *f = *state;

    assert_int_equal(put_place(f, &f->a, "undecided ", "parts x"), FAIL_MISSING);
    assert_int_equal(node_create(&f->a, "j", "{\"place\":\"undecided \"}"), OK);
    assert_int_equal(put_place(f, &f->a, "objects ", "parts x"), FAIL_EXISTS);
    fleet_work_place(f->a.work, "j", "undecided ", "parts a", on_place, &a);
    fleet_work_place(f->b.work, "j", "undecided ", "parts b", on_place, &b);
    WAIT_FOR(&f->loop, a.is_done && b.is_done);
    assert_true((a.err == OK && b.err == FAIL_EXISTS) || (a.err == FAIL_EXISTS && b.err == OK));
    const char *there = a.err == OK ? "parts a" : "parts b";
    assert_int_equal(put_place(f, &f->c, "undecided ", there), OK); /* repeated */
    assert_int_equal(put_place(f, &f->c, there, "objects c"), OK);
    assert_int_equal(put_place(f, &f->a, there, "objects a"), FAIL_EXISTS);
    assert_int_equal(node_enqueue(&f->a, "j", FLEET_NORMAL), OK);
    assert_int_equal(put_place(f, &f->a, "objects c", "objects "), FAIL_STATE);
    /* Opened again, it is as its spec says. */
    node_serve(&f->a, 1);
    WAIT_FOR(&f->loop, f->a.claimed == 1);
    assert_int_equal(node_reopen(&f->a, last(&f->a), "{\"place\":\"parts \"}"), OK);
    assert_int_equal(put_place(f, &f->b, "objects c", "parts d"), FAIL_EXISTS);
    assert_int_equal(put_place(f, &f->b, "parts ", "parts d"), OK);
    assert_int_equal(node_cancel(&f->a, "j"), FAIL_STATE);
}

static int declare_size(struct fleet *f, struct node *n, uint64_t bytes)
{
    struct outcome_of_place o = { .is_done = false };

    fleet_work_declare(n->work, "j", bytes, on_place, &o);
    WAIT_FOR(&f->loop, o.is_done);
    return o.err;
}

static void the_first_word_on_the_size_counts(void **state)
{
    static const char begun[] = "{\"size\":-1,\"file_name\":\"a \\\"size\\\":-1 b\"}";
    static const char known[] = "{\"size\":77,\"file_name\":\"a \\\"size\\\":-1 b\"}";
    struct fleet *f = *state;

    assert_int_equal(declare_size(f, &f->a, 77), FAIL_MISSING);
    assert_int_equal(node_create(&f->a, "j", begun), OK);
    assert_int_equal(declare_size(f, &f->a, 77), OK);
    assert_string_equal(node_find(&f->b, "j").spec, known);
    assert_int_equal(declare_size(f, &f->b, 77), OK); /* repeated */
    assert_int_equal(declare_size(f, &f->b, 78), FAIL_EXISTS);
    assert_string_equal(node_find(&f->a, "j").spec, known);
    assert_int_equal(node_enqueue(&f->a, "j", FLEET_NORMAL), OK);
    assert_int_equal(declare_size(f, &f->a, 77), FAIL_STATE);
    node_serve(&f->a, 1);
    WAIT_FOR(&f->loop, f->a.claimed == 1);
    assert_int_equal(node_reopen(&f->a, last(&f->a), begun), OK);
    assert_int_equal(declare_size(f, &f->a, 78), OK);
    assert_int_equal(node_cancel(&f->a, "j"), FAIL_STATE);
}

static void what_redis_forgets_its_holder_puts_back(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    assert_int_equal(node_checkpoint(&f->a, lease, "convert", "{\"at\":5}"), OK);
    node_serve(&f->b, 1);
    node_redis(&f->b, "FLUSHALL");
    WAIT_FOR(&f->loop, node_find(&f->b, "j").is_leased);
    assert_string_equal(node_find(&f->b, "j").step, "convert");
    assert_string_equal(node_find(&f->b, "j").spec, "{\"at\":5}");
    pass(f, 4 * LEASE_MS);
    assert_int_equal(f->b.claimed, 0);
    assert_int_equal(f->a.lost, 0);
    assert_int_equal(node_checkpoint(&f->a, lease, "convert", "{\"at\":6}"), OK);
    assert_int_equal(node_finish(&f->a, lease), OK);
}

static void what_was_put_back_is_taken_over_when_its_holder_dies(void **state)
{
    struct fleet *f = *state;
    struct told *old = held_by(&f->a, "j");

    node_redis(&f->b, "FLUSHALL");
    assert_int_equal(node_checkpoint(&f->a, old, "convert", "{\"at\":7}"), OK);
    f->a.is_frozen = true;
    node_serve(&f->b, 1);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_true(last(&f->b)->is_takeover);
    assert_true(last(&f->b)->token > old->token);
    assert_int_equal(last(&f->b)->attempt, 2);
    assert_string_equal(last(&f->b)->spec, "{\"at\":7}");
    f->a.is_frozen = false;
    WAIT_FOR(&f->loop, f->a.lost == 1);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
}

static void what_a_holder_wants_is_done_also_to_what_redis_forgot(void **state)
{
    struct fleet *f = *state;

    held_by(&f->a, "j");
    f->a.is_frozen = true;
    node_redis(&f->b, "FLUSHALL");
    assert_int_equal(node_retry(&f->a, last(&f->a), "it broke"), OK);
    f->a.is_frozen = false;
    WAIT_FOR(&f->loop, f->a.claimed == 2);
    assert_int_equal(last(&f->a)->attempt, 2);
    f->a.is_frozen = true;
    node_redis(&f->b, "FLUSHALL");
    assert_int_equal(node_reopen(&f->a, last(&f->a), "{\"o\":1}"), OK);
    assert_true(node_find(&f->b, "j").is_open);
    f->a.is_frozen = false;
    assert_int_equal(node_enqueue(&f->a, "j", FLEET_LOW), OK);
    WAIT_FOR(&f->loop, f->a.claimed == 3);
    f->a.is_frozen = true;
    node_redis(&f->b, "FLUSHALL");
    assert_int_equal(node_finish(&f->a, last(&f->a)), OK);
    f->a.is_frozen = false;
    assert_int_equal(node_find(&f->b, "j").err, FAIL_MISSING);
}

static bool all_up(const struct fleet *f)
{
    return f->a.is_up && f->b.is_up && f->c.is_up;
}

static void a_redis_that_comes_back_empty_gets_the_work_back_from_its_holder(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");
    struct outcome o = { .is_done = false };

    node_serve(&f->b, 1);
    server_kill(&f->server);
    WAIT_FOR(&f->loop, !f->a.is_up && !f->b.is_up && !f->c.is_up);
    fleet_work_checkpoint(f->a.work, "j", lease->token, "convert", "{\"at\":9}", node_on_done, &o);
    pass(f, 2 * LEASE_MS);
    assert_false(o.is_done);
    server_start_again(&f->server);
    WAIT_FOR(&f->loop, o.is_done && all_up(f));
    assert_int_equal(o.err, OK);
    assert_string_equal(node_find(&f->b, "j").spec, "{\"at\":9}");
    pass(f, 3 * LEASE_MS);
    assert_int_equal(f->b.claimed, 0);
    assert_int_equal(f->a.lost, 0);
    assert_int_equal(node_finish(&f->a, lease), OK);
    assert_int_equal(node_put(&f->c, "k", FLEET_NORMAL), OK);
    WAIT_FOR(&f->loop, f->a.claimed + f->b.claimed == 2);
    struct node *n = f->b.claimed == 1 ? &f->b : &f->a;
    assert_int_equal(node_finish(n, last(n)), OK);
}

static void a_redis_that_comes_back_older_is_made_good_by_the_holder(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    assert_int_equal(node_put(&f->c, "queued-then", FLEET_NORMAL), OK);
    assert_int_equal(node_checkpoint(&f->a, lease, "convert", "{\"at\":1}"), OK);
    node_redis(&f->a, "SAVE");
    assert_int_equal(node_checkpoint(&f->a, lease, "convert", "{\"at\":2}"), OK);
    node_serve(&f->a, 2);
    WAIT_FOR(&f->loop, f->a.claimed == 2);
    server_kill(&f->server);
    WAIT_FOR(&f->loop, !f->a.is_up && !f->b.is_up && !f->c.is_up);
    server_start_again(&f->server);
    WAIT_FOR(&f->loop, all_up(f));
    WAIT_FOR(&f->loop, strcmp(node_find(&f->b, "j").spec, "{\"at\":2}") == 0);
    WAIT_FOR(&f->loop, node_find(&f->b, "queued-then").is_leased);
    node_serve(&f->b, 2);
    pass(f, 4 * LEASE_MS);
    assert_int_equal(f->b.claimed, 0);
    assert_int_equal(f->a.lost, 0);
    assert_int_equal(f->a.claimed, 2);
    assert_int_equal(node_finish(&f->a, &f->a.claims[0]), OK);
    assert_int_equal(node_finish(&f->a, &f->a.claims[1]), OK);
}

static void holders_have_time_to_renew_after_redis_was_away(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    node_serve(&f->b, 1);
    node_redis(&f->a, "SAVE");
    server_kill(&f->server);
    WAIT_FOR(&f->loop, !f->a.is_up && !f->b.is_up);
    pass(f, 3 * LEASE_MS);
    server_start_again(&f->server);
    WAIT_FOR(&f->loop, all_up(f));
    pass(f, 3 * LEASE_MS);
    assert_int_equal(f->b.claimed, 0);
    assert_int_equal(f->a.lost, 0);
    assert_int_equal(node_finish(&f->a, lease), OK);
}

static void the_end_of_a_lease_waits_for_a_redis_that_is_away(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");
    struct outcome o = { .is_done = false };

    node_redis(&f->a, "SAVE");
    server_kill(&f->server);
    WAIT_FOR(&f->loop, !f->a.is_up && !f->b.is_up && !f->c.is_up);
    fleet_work_finish(f->a.work, "j", lease->token, node_on_done, &o);
    assert_int_equal(node_create(&f->a, "k", "{}"), FAIL_CLOSED);
    assert_int_equal(node_find(&f->a, "k").err, FAIL_CLOSED);
    assert_false(o.is_done);
    server_start_again(&f->server);
    WAIT_FOR(&f->loop, o.is_done && all_up(f));
    assert_int_equal(o.err, OK);
    assert_int_equal(node_find(&f->a, "j").err, FAIL_MISSING);
}

/* What was done and whose answer was lost is asked for again. */
static void nothing_is_done_twice_when_an_answer_is_lost(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");

    f->a.loses = 1;
    assert_int_equal(node_checkpoint(&f->a, lease, "convert", "{\"at\":1}"), OK);
    f->a.loses = 1;
    assert_int_equal(node_checkpoint(&f->a, lease, "convert", "{\"at\":2}"), OK);
    assert_string_equal(node_find(&f->a, "j").spec, "{\"at\":2}");
    node_serve(&f->a, 0);
    f->a.loses = 1;
    assert_int_equal(node_retry(&f->a, lease, "no"), OK);
    assert_int_equal(node_redis(&f->a, "ZCARD " FLEET_WORK "delayed"), 1);
    node_serve(&f->a, 1);
    WAIT_FOR(&f->loop, f->a.claimed == 2);
    node_serve(&f->a, 0);
    f->a.loses = 1;
    assert_int_equal(node_release(&f->a, last(&f->a)), OK);
    assert_int_equal(node_redis(&f->a, "XLEN " FLEET_WORK "queue:high"), 1);
    node_serve(&f->a, 1);
    WAIT_FOR(&f->loop, f->a.claimed == 3);
    assert_int_equal(last(&f->a)->attempt, 2);
    f->a.loses = 1;
    assert_int_equal(node_reopen(&f->a, last(&f->a), "{}"), OK);
    assert_true(node_find(&f->a, "j").is_open);
    assert_int_equal(node_enqueue(&f->a, "j", FLEET_HIGH), OK);
    WAIT_FOR(&f->loop, f->a.claimed == 4);
    f->a.loses = 1;
    assert_int_equal(node_finish(&f->a, last(&f->a)), OK);
    assert_int_equal(node_find(&f->a, "j").err, FAIL_MISSING);
}

static void a_claim_whose_answer_is_lost_is_taken_over(void **state)
{
    struct fleet *f = *state;

    node_serve(&f->a, 1);
    f->a.loses = 1000;
    assert_int_equal(node_put(&f->b, "j", FLEET_NORMAL), OK);
    WAIT_FOR(&f->loop, node_find(&f->b, "j").is_leased);
    node_redis(&f->a, "PING"); /* whose answer comes behind that of the claim */
    f->a.loses = 0;
    assert_int_equal(f->a.claimed, 0);
    WAIT_FOR(&f->loop, f->a.claimed == 1);
    assert_true(last(&f->a)->is_takeover);
    assert_true(last(&f->a)->attempt >= 2);
    assert_int_equal(node_finish(&f->a, last(&f->a)), OK);
}

static void entries_that_nobody_knows_are_cleared_away(void **state)
{
    struct fleet *f = *state;

    assert_int_equal(node_put(&f->a, "gone", FLEET_NORMAL), OK);
    assert_int_equal(node_put(&f->a, "twice", FLEET_NORMAL), OK);
    node_redis(&f->a, "DEL " FLEET_WORK "job:gone");
    node_redis(&f->a, "XADD " FLEET_WORK "queue:normal * job twice");
    node_redis(&f->a, "XADD " FLEET_WORK "queue:high * nothing else");
    node_redis(&f->a, "ZADD " FLEET_WORK "delayed 1 gone");
    node_redis(&f->a, "ZADD " FLEET_WORK "open 1 gone");
    struct outcome o = { .is_done = false };
    fleet_work_stale(f->a.work, 2, 10, on_stale, &o);
    WAIT_FOR(&f->loop, o.is_done);
    assert_int_equal(o.err, 0);
    node_serve(&f->b, 4);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_string_equal(last(&f->b)->job, "twice");
    assert_int_equal(node_redis(&f->a, "XLEN " FLEET_WORK "queue:normal"), 1);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
    assert_int_equal(f->b.claimed, 1);
}

static void a_node_that_died_is_forgotten(void **state)
{
    struct fleet *f = *state;
    struct node n;

    node_open(&n, &f->loop, &f->server, "n", 3);
    held_by(&n, "j");
    node_close(&n);
    node_serve(&f->b, 2);
    WAIT_FOR(&f->loop, f->b.claimed == 1);
    assert_int_equal(node_redis(&f->a, "ZCARD " FLEET_WORK "workers"), 2);
    assert_int_equal(node_redis(&f->a, "XINFO CONSUMERS " FLEET_WORK "queue:normal workers"), 2);
    WAIT_FOR(&f->loop, node_redis(&f->a, "ZCARD " FLEET_WORK "workers") == 1);
    assert_int_equal(node_redis(&f->a, "XINFO CONSUMERS " FLEET_WORK "queue:normal workers"), 1);
    assert_true(node_find(&f->a, "j").is_leased);
    assert_int_equal(node_finish(&f->b, last(&f->b)), OK);
}

static void be_away_for_days(struct fleet *f, uint64_t ms, int64_t wall_ms)
{
    unsigned lost = f->a.lost;
    struct told *lease = held_by(&f->a, "j");

    f->a.is_frozen = true;
    pass(f, LEASE_MS); /* what was under way is answered */
    node_redis(&f->b, "FLUSHALL");
    f->a.ahead_ms += ms;
    f->a.wall_ahead_ms += wall_ms;
    f->a.is_frozen = false;
    WAIT_FOR(&f->loop, f->a.lost == lost + 1);
    assert_int_equal(f->a.losses[lost].token, lease->token);
    assert_int_equal(node_find(&f->b, "j").err, FAIL_MISSING);
}

static void who_was_away_for_longer_than_ends_are_known_gives_up(void **state)
{
    const int days = 8 * 86400 * 1000;

    be_away_for_days(*state, days, 0);
    be_away_for_days(*state, 0, days); /* the machine was suspended */
}

static void what_is_too_large_or_has_no_name_is_refused(void **state)
{
    struct fleet *f = *state;
    char *large = mem_alloc(FLEET_SPEC_MAX + 2);
    struct told *lease = held_by(&f->a, "j");

    memset(large, 'x', FLEET_SPEC_MAX + 1);
    large[FLEET_SPEC_MAX + 1] = '\0';
    assert_int_equal(node_create(&f->a, "k", large), FAIL_LIMIT);
    assert_int_equal(node_create(&f->a, "", "{}"), FAIL_SYNTAX);
    assert_int_equal(node_create(&f->a, "a b", "{}"), FAIL_SYNTAX);
    assert_int_equal(node_find(&f->a, "a b").err, FAIL_MISSING);
    assert_int_equal(node_checkpoint(&f->a, lease, "s", large), FAIL_LIMIT);
    assert_int_equal(node_reopen(&f->a, lease, large), FAIL_LIMIT);
    assert_int_equal(node_checkpoint(&f->a, lease, "s", large + 1), OK); /* it is still held */
    assert_int_equal(node_finish(&f->a, lease), OK);
    mem_free(large);
}

static void what_waits_at_the_end_is_answered(void **state)
{
    struct fleet *f = *state;
    struct outcome a = { .is_done = false }, b = a, c = a;
    struct node n;

    node_open(&n, &f->loop, &f->server, "n", 3);
    struct told *lease = held_by(&n, "j");
    fleet_work_create(n.work, "k", "{}", node_on_done, &a);
    fleet_work_checkpoint(n.work, "j", lease->token, "s", "{}", node_on_done, &b);
    fleet_work_finish(n.work, "j", lease->token, node_on_done, &c);
    node_close(&n);
    assert_true(a.is_done && b.is_done && c.is_done);
    assert_int_equal(a.err, FAIL_CANCELLED);
    assert_int_equal(b.err, FAIL_CANCELLED);
    assert_int_equal(c.err, FAIL_CANCELLED);
    node_redis(&f->a, "FLUSHALL");
}

static struct fleet_work_count count_of(struct node *n)
{
    struct fleet_work_count count;

    fleet_work_count(n->work, &count);
    return count;
}

static void what_there_is_to_do_is_counted(void **state)
{
    struct fleet *f = *state;
    struct told *lease = held_by(&f->a, "j");
    struct fleet_work_count count;

    assert_int_equal(node_put(&f->a, "k", FLEET_LOW), OK);
    assert_int_equal(node_put(&f->a, "l", FLEET_HIGH), OK);
    assert_int_equal(node_create(&f->a, "m", "{}"), OK);
    f->b.ahead_ms = 10 * 1000; /* so it looks now */
    WAIT_FOR(&f->loop, count_of(&f->b).leased == 1);
    count = count_of(&f->b);
    assert_int_equal(count.queued, 2);
    assert_int_equal(count.delayed, 0);
    assert_int_equal(count.open, 1);
    assert_int_equal(count.workers, 1);
    assert_int_equal(node_cancel(&f->a, "m"), FAIL_STATE);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(node_finish(&f->a, lease), OK);
        WAIT_FOR(&f->loop, i == 3 || f->a.claimed > i);
        lease = last(&f->a);
    }
}

static void on_dropped(void *context, int err, const char *const *jobs, size_t count)
{
    (void)jobs;
    node_on_done(context, err == OK ? (int)count : err);
}

/* A cluster's node listens also 10000 ports above its own. */
static void cluster_start(struct server *s, const char *const *options)
{
    unsigned above = free_port();

    assert_true(above > 20000);
    memset(s, 0, sizeof(*s));
    snprintf(s->folder, sizeof(s->folder), "/tmp/reelay-redis-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    s->options = options;
    s->port = above - 10000;
    snprintf(s->url, sizeof(s->url), "redis://127.0.0.1:%u", s->port);
    server_start_again(s);
}

static void every_script_keeps_to_one_slot_of_a_cluster(void **state)
{
    static const char *const options[] = { "--cluster-enabled", "yes",
                                           "--cluster-require-full-coverage", "no", NULL };
    struct fleet *f = *state;
    struct server server;
    struct node n;
    char words[64], path[96];

    cluster_start(&server, options);
    node_open(&n, &f->loop, &server, "n", 3);
    snprintf(words, sizeof(words), "CLUSTER ADDSLOTS %d",
             (int)node_redis(&n, "CLUSTER KEYSLOT " FLEET_WORK));
    node_redis(&n, words);
    WAIT_FOR(&f->loop, node_create(&n, "i", "{}") == OK); /* it makes up its mind */
    assert_int_equal(node_plan(&n, "i", 2).err, OK);
    struct told *lease = held_by(&n, "j");
    assert_int_equal(node_checkpoint(&n, lease, "convert", "{}"), OK);
    assert_int_equal(node_cancel(&n, "j"), OK);
    WAIT_FOR(&f->loop, n.cancelled == 1); /* its heartbeats pass, or its channel */
    assert_int_equal(node_retry(&n, lease, "no"), OK);
    WAIT_FOR(&f->loop, n.claimed == 2);
    assert_int_equal(node_finish(&n, last(&n)), OK);
    struct outcome o = { .is_done = false };
    fleet_work_stale(n.work, INT64_MAX, 10, on_dropped, &o);
    WAIT_FOR(&f->loop, o.is_done);
    assert_int_equal(o.err, 1);
    n.ahead_ms = 10 * 1000; /* so it counts now */
    WAIT_FOR(&f->loop, count_of(&n).open == 0);
    node_serve(&n, 0);
    node_redis(&n, "DEL {reelay}:over"); /* who gave it back is remembered */
    WAIT_FOR(&f->loop, node_redis(&n, "KEYS *") == 0);
    node_close(&n);
    snprintf(path, sizeof(path), "%s/nodes.conf", server.folder);
    unlink(path);
    server_stop(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_upload_is_open_then_queued_then_leased_then_gone),
        TEST(each_job_goes_to_exactly_one_of_three_nodes),
        TEST(heartbeats_keep_a_lease),
        TEST(a_lease_that_ran_out_is_taken_over_and_its_old_holder_can_do_nothing),
        TEST(who_slept_past_its_lease_learns_of_it_from_its_heartbeat),
        TEST(what_was_taken_over_and_finished_is_not_put_back_by_who_slept),
        TEST(a_node_that_takes_over_from_itself_loses_the_older_lease),
        TEST(a_failed_one_is_tried_again_after_a_while_until_it_is_exhausted),
        TEST(what_kills_its_workers_is_exhausted_too),
        TEST(high_goes_before_normal_before_low),
        TEST(a_node_never_holds_more_than_its_slots),
        TEST(one_that_is_given_back_goes_to_another_at_once_and_counts_no_attempt),
        TEST(a_claim_that_comes_back_after_the_drain_began_is_given_back),
        TEST(an_open_one_is_cancelled_by_being_dropped),
        TEST(a_queued_one_that_is_cancelled_comes_to_a_worker_as_such),
        TEST(a_delayed_one_that_is_cancelled_does_not_wait_for_its_turn),
        TEST(the_holder_of_a_cancelled_one_is_told_once),
        TEST(a_holder_that_missed_the_word_hears_it_with_its_heartbeat),
        TEST(a_cancelled_one_whose_holder_died_is_taken_over_as_cancelled),
        TEST(one_that_is_cancelled_while_it_fails_is_not_open_again),
        TEST(a_cancelled_one_is_not_delayed),
        TEST(parts_of_uploads_are_so_many_at_all_nodes_together),
        TEST(stale_uploads_are_given_to_one_node_each),
        TEST(idle_uploads_are_told_and_stay),
        TEST(what_grows_at_its_end_has_no_number_of_chunks),
        TEST(the_first_word_on_the_number_of_chunks_counts),
        TEST(the_first_word_on_the_size_counts),
        TEST(of_two_who_place_chunks_the_first_counts),
        TEST(what_redis_forgets_its_holder_puts_back),
        TEST(what_was_put_back_is_taken_over_when_its_holder_dies),
        TEST(what_a_holder_wants_is_done_also_to_what_redis_forgot),
        TEST(a_redis_that_comes_back_empty_gets_the_work_back_from_its_holder),
        TEST(a_redis_that_comes_back_older_is_made_good_by_the_holder),
        TEST(holders_have_time_to_renew_after_redis_was_away),
        TEST(the_end_of_a_lease_waits_for_a_redis_that_is_away),
        TEST(nothing_is_done_twice_when_an_answer_is_lost),
        TEST(a_claim_whose_answer_is_lost_is_taken_over),
        TEST(entries_that_nobody_knows_are_cleared_away),
        TEST(a_node_that_died_is_forgotten),
        TEST(who_was_away_for_longer_than_ends_are_known_gives_up),
        TEST(what_is_too_large_or_has_no_name_is_refused),
        TEST(what_waits_at_the_end_is_answered),
        TEST(what_there_is_to_do_is_counted),
        TEST(every_script_keeps_to_one_slot_of_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
