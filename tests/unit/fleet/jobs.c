/* Two nodes and a real Redis between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "../io/redis_harness.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/jobs.h"
#include "fleet/jobs_room.h"
#include "fleet/port_redis.h"
#include "fleet/record.h"

enum { SEEN_MAX = 4096 };

struct node {
    struct observer observer;
    struct listener listener;
    struct fleet_link *link;
    struct fleet_jobs *jobs;
    struct ledger *ledger;
    unsigned index;
    struct update *seen[SEEN_MAX];
    size_t count, dropped;
};

static uv_loop_t loop;
static struct server server;
static struct node a, b;
static redisContext *direct;

static struct node *of_observer(struct observer *o)
{
    return (struct node *)o;
}

static void watched(struct observer *o, const char *id)
{
    fleet_jobs_watch(of_observer(o)->jobs, id);
}

static void unwatched(struct observer *o, const char *id)
{
    fleet_jobs_unwatch(of_observer(o)->jobs, id);
}

static void watched_all(struct observer *o, bool is_watched)
{
    if (is_watched)
        fleet_jobs_watch_all(of_observer(o)->jobs);
    else
        fleet_jobs_unwatch_all(of_observer(o)->jobs);
}

static void post(struct listener *l, struct update *u)
{
    struct node *n = (struct node *)((char *)l - offsetof(struct node, listener));

    assert_true(n->count < SEEN_MAX);
    n->seen[n->count++] = update_ref(u);
}

static void up(void *context)
{
    fleet_jobs_up(((struct node *)context)->jobs);
}

static void down(void *context, const struct redis_down *why)
{
    (void)why;
    fleet_jobs_down(((struct node *)context)->jobs);
}

static void heard(void *context, struct str name, enum redis_topic kind)
{
    fleet_jobs_heard(((struct node *)context)->jobs, name, kind);
}

static void push(void *context, const struct redis_push *p)
{
    fleet_jobs_push(((struct node *)context)->jobs, p);
}

static void refused(void *context, struct str name, enum redis_topic kind, const char *why)
{
    fleet_jobs_refused(((struct node *)context)->jobs, name, kind, why);
}

static void dropped(void *context, struct str channel)
{
    struct node *n = context;

    n->dropped++;
    fleet_jobs_dropped(n->jobs, channel);
}

static void tick(void *context)
{
    fleet_jobs_tick(((struct node *)context)->jobs);
}

static const struct fleet_link_events events = {
    .up = up,
    .down = down,
    .heard = heard,
    .push = push,
    .refused = refused,
    .dropped = dropped,
    .tick = tick,
};

static void report(const struct update *u, struct buf *out)
{
    if (u->state == JOB_QUEUED)
        return;
    emit_open(out, '{');
    emit_field_string(out, "job_id", u->text[TEXT_ID]);
    emit_field_string(out, "status", job_state_name(u->state));
    emit_field_real(out, "progress", u->fraction, 4);
    emit_close(out, '}');
}

static void bytes(const struct update *u, struct buf *out)
{
    emit_open(out, '{');
    emit_field_int(out, "percent", percent_of(u->fraction));
    emit_close(out, '}');
}

static const struct fleet_jobs_settings settings = {
    .report = report,
    .bytes = bytes,
    .status_ttl_s = 3600,
    .job_ttl_ms = 60 * 1000,
    .report_ttl_ms = 60 * 1000,
    .pending_max = 10000,
};

/* The ledger calls its observer with its lock held, so what the observer does must not
 * call back: a running node goes by mail, this one keeps the ledger apart. */
static void node_start(struct node *n)
{
    struct buf why;

    buf_init(&why, 256);
    n->observer = (struct observer){ watched, unwatched, watched_all };
    n->listener.post = post;
    assert_int_equal(fleet_link_open(&loop, server.url,
                                     &(struct fleet_link_settings){ .name = "test" }, &events, n,
                                     &n->link, &why),
                     OK);
    buf_deinit(&why);
    n->ledger = ledger_new_mirror(NULL);
    assert_int_equal(ledger_listen(n->ledger, &n->listener, &n->index), OK);
    n->jobs = fleet_jobs_new(fleet_link_port(n->link), n->ledger, &settings);
}

static void node_stop(struct node *n)
{
    fleet_link_close(n->link);
    fleet_jobs_free(n->jobs);
    uv_run(&loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < n->count; i++)
        update_unref(&n->seen[i]);
    ledger_free(n->ledger);
    *n = (struct node){ 0 };
}

static int begin(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    server_start(&server, NULL);
    direct = redisConnect("127.0.0.1", (int)server.port);
    assert_int_equal(direct->err, 0);
    node_start(&a);
    node_start(&b);
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs) && fleet_jobs_is_ready(b.jobs));
    return 0;
}

static int end(void **state)
{
    (void)state;
    node_stop(&a);
    node_stop(&b);
    redisFree(direct);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    server_stop(&server);
    return 0;
}

static void watch(struct node *n, const char *id)
{
    struct update *u = ledger_watch(n->ledger, id, n->index);

    update_unref(&u);
    fleet_jobs_watch(n->jobs, id);
}

struct outcome {
    bool is_there;
    int err;
    struct update *u;
};

static void note(void *context, int err, struct update *u)
{
    struct outcome *o = context;

    assert_false(o->is_there);
    o->is_there = true;
    o->err = err;
    o->u = u ? update_ref(u) : NULL;
}

static int say(struct node *n, const char *id, enum fleet_when when, int job_state, double fraction,
               const char *stage)
{
    struct outcome o = { 0 };
    struct change c;

    change_init(&c);
    c.state = job_state;
    c.kind = JOB_EXTERNAL;
    if (fraction >= 0)
        c.fraction = fraction;
    c.text[TEXT_STAGE] = stage;
    fleet_jobs_apply(n->jobs,
                     &(struct fleet_apply){
                         .id = id, .change = &c, .when = when, .patience_ms = 5000 },
                     note, &o);
    WAIT_FOR(&loop, o.is_there);
    update_unref(&o.u);
    return o.err;
}

static struct update *last(const struct node *n)
{
    return n->count > 0 ? n->seen[n->count - 1] : NULL;
}

static bool has_heard(const struct node *n, enum job_state job_state, double fraction)
{
    const struct update *u = last(n);

    return u != NULL && u->state == job_state && u->fraction == fraction;
}

static void numbers_grow(const struct node *n)
{
    for (size_t i = 1; i < n->count; i++)
        assert_true(n->seen[i]->seq > n->seen[i - 1]->seq);
}

static void run(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    redisReply *reply = redisvCommand(direct, format, args);
    va_end(args);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

static void text_of_key(const char *key, char *out, size_t size)
{
    redisReply *reply = redisCommand(direct, "GET %s", key);

    snprintf(out, size, "%s", reply->type == REDIS_REPLY_STRING ? reply->str : "");
    freeReplyObject(reply);
}

/* The second of what it answers. */
static long long count_of(const char *command)
{
    redisReply *reply = redisCommand(direct, command);
    long long count = reply->element[1]->integer;

    freeReplyObject(reply);
    return count;
}

static void both_nodes_hear_one_order(void **state)
{
    (void)state;
    watch(&a, "j1");
    watch(&b, "j1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs) && fleet_jobs_is_ready(b.jobs));
    assert_int_equal(say(&a, "j1", FLEET_IF_NEW, JOB_QUEUED, -1, NULL), OK);
    assert_int_equal(say(&b, "j1", FLEET_IF_NEW, JOB_QUEUED, -1, NULL), FAIL_EXISTS);
    for (int i = 1; i < 50; i++)
        assert_int_equal(say(i % 2 ? &a : &b, "j1", FLEET_IF_THERE, JOB_PROCESSING, i / 64.0,
                             "rendering"),
                         OK);
    assert_int_equal(say(&b, "j1", FLEET_IF_THERE, JOB_COMPLETED, -1, NULL), OK);
    assert_int_equal(say(&a, "j1", FLEET_IF_THERE, JOB_PROCESSING, 0.1, NULL), FAIL_STATE);
    WAIT_FOR(&loop, has_heard(&a, JOB_COMPLETED, 1) && has_heard(&b, JOB_COMPLETED, 1));
    numbers_grow(&a);
    numbers_grow(&b);
    assert_int_equal(a.count, 51);
    assert_int_equal(b.count, 51);
    for (size_t i = 0; i < a.count; i++)
        assert_int_equal(a.seen[i]->seq, b.seen[i]->seq);
}

static void a_program_that_subscribes_hears_our_jobs(void **state)
{
    char text[512];

    (void)state;
    redisContext *ear = redisConnect("127.0.0.1", (int)server.port);
    redisReply *reply = redisCommand(ear, "PSUBSCRIBE *progress:*");
    freeReplyObject(reply);
    assert_int_equal(say(&a, "j2", FLEET_ALWAYS, JOB_PROCESSING, 0.5, "rendering"), OK);
    redisGetReply(ear, (void **)&reply);
    assert_string_equal(reply->element[2]->str, "job_progress:j2");
    assert_string_equal(reply->element[3]->str,
                        "{\"job_id\":\"j2\",\"status\":\"processing\",\"progress\":0.5}\t");
    freeReplyObject(reply);
    redisGetReply(ear, (void **)&reply);
    assert_string_equal(reply->element[2]->str, "progress:j2");
    assert_string_equal(reply->element[3]->str, "{\"percent\":50}\t");
    freeReplyObject(reply);
    redisFree(ear);
    text_of_key("job_status:j2", text, sizeof(text));
    assert_string_equal(text, "{\"job_id\":\"j2\",\"status\":\"processing\",\"progress\":0.5}\t");
}

static void foreign_messages_are_heard_once_and_in_order(void **state)
{
    (void)state;
    watch(&a, "f1");
    watch(&b, "f1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs) && fleet_jobs_is_ready(b.jobs));
    for (int i = 1; i <= 10; i++)
        run("PUBLISH job_progress:f1 {\"status\":\"processing\",\"stage\":\"s%d\",\"progress\":%f}",
            i, i / 16.0);
    run("PUBLISH job_progress:f1 {\"status\":\"completed\",\"result\":{\"a\":1}}");
    WAIT_FOR(&loop, has_heard(&a, JOB_COMPLETED, 1) && has_heard(&b, JOB_COMPLETED, 1));
    numbers_grow(&a);
    numbers_grow(&b);
    assert_int_equal(a.count, 11);
    assert_int_equal(b.count, 11);
    for (int i = 0; i < 10; i++) {
        char stage[8];
        snprintf(stage, sizeof(stage), "s%d", i + 1);
        assert_string_equal(a.seen[i]->text[TEXT_STAGE], stage);
        assert_true(a.seen[i]->fraction == (i + 1) / 16.0);
        assert_int_equal(a.seen[i]->seq, b.seen[i]->seq);
    }
    assert_string_equal(last(&a)->text[TEXT_RESULT], "{\"a\":1}");
    assert_string_equal(last(&a)->text[TEXT_MESSAGE], "Job completed");
}

static bool have_ended(const struct node *n, int jobs)
{
    for (size_t i = 0; i < n->count; i++)
        jobs -= n->seen[i]->state == JOB_COMPLETED;
    return jobs == 0;
}

static void an_end_is_heard_however_much_waits(void **state)
{
    enum { JOBS = 20, EACH = 1100 }; /* more than pending_max */
    char id[16];

    (void)state;
    for (int i = 0; i < JOBS; i++) {
        snprintf(id, sizeof(id), "o%d", i);
        watch(&a, id);
    }
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    for (int k = 0; k <= EACH; k++)
        for (int i = 0; i < JOBS; i++)
            redisAppendCommand(direct,
                               "PUBLISH job_progress:o%d {\"status\":\"%s\",\"stage\":\"%d\"}", i,
                               k < EACH ? "processing" : "completed", k);
    for (int k = 0; k < JOBS * (EACH + 1); k++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(direct, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    WAIT_FOR(&loop, have_ended(&a, JOBS));
}

static void bytes_are_a_report_too(void **state)
{
    (void)state;
    watch(&a, "d1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    run("PUBLISH progress:d1 {\"percent\":42.5,\"downloaded_bytes\":4250.5,\"total_bytes\":10000}");
    WAIT_FOR(&loop, has_heard(&a, JOB_PROCESSING, 0.425));
    assert_int_equal(last(&a)->bytes_done, 4250);
    assert_int_equal(last(&a)->bytes_total, 10000);
}

static void what_is_no_report_is_dropped(void **state)
{
    (void)state;
    watch(&a, "g1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    run("PUBLISH job_progress:g1 %s", "not json");
    run("PUBLISH job_progress:g1 %s", "{\"progress\":\"much\"}");
    run("PUBLISH job_progress:g1 %s", "[1,2]");
    run("PUBLISH job_progress:g1 %s", "");
    run("PUBLISH progress:g1 %s", "{\"percent\":[]}");
    run("PUBLISH job_progress:g1 %s", "{\"progress\":0.25}");
    WAIT_FOR(&loop, has_heard(&a, JOB_PROCESSING, 0.25));
    assert_int_equal(a.count, 1);
}

static void a_status_alone_is_found_and_heard(void **state)
{
    struct outcome o = { 0 };

    (void)state;
    run("SETEX job_status:s1 3600 %s",
        "{\"job_id\":\"s1\",\"status\":\"completed\",\"stage\":\"complete\",\"progress\":1.0,"
        "\"message\":\"Done\",\"result\":{\"n\":7}}");
    fleet_jobs_find(a.jobs, "s1", note, &o);
    WAIT_FOR(&loop, o.is_there);
    assert_int_equal(o.err, OK);
    assert_int_equal(o.u->state, JOB_COMPLETED);
    assert_string_equal(o.u->text[TEXT_RESULT], "{\"n\":7}");
    update_unref(&o.u);
    watch(&b, "s1");
    WAIT_FOR(&loop, has_heard(&b, JOB_COMPLETED, 1));
}

/* It was published when nobody listened yet. */
static void an_end_whose_status_comes_late_is_heard(void **state)
{
    (void)state;
    run("SETEX job_status:s2 3600 %s", "{\"status\":\"processing\",\"progress\":0.5}");
    watch(&a, "s2");
    watch(&a, "s3");
    WAIT_FOR(&loop, has_heard(&a, JOB_PROCESSING, 0.5) && fleet_jobs_is_ready(a.jobs));
    run("SETEX job_status:s2 3600 %s", "{\"status\":\"completed\",\"progress\":1}");
    run("SETEX job_status:s3 3600 %s", "{\"status\":\"completed\",\"progress\":1}");
    WAIT_FOR(&loop, a.count == 3);
    assert_int_equal(a.seen[1]->state, JOB_COMPLETED);
    assert_int_equal(a.seen[2]->state, JOB_COMPLETED);
}

static void an_unknown_job_is_missing(void **state)
{
    struct outcome o = { 0 };

    (void)state;
    fleet_jobs_find(a.jobs, "nobody", note, &o);
    WAIT_FOR(&loop, o.is_there);
    assert_int_equal(o.err, FAIL_MISSING);
    assert_int_equal(say(&a, "nobody", FLEET_IF_THERE, JOB_CANCELLED, -1, NULL), FAIL_MISSING);
}

static void what_was_said_while_it_was_deaf_is_made_good(void **state)
{
    (void)state;
    watch(&a, "k1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    run("PUBLISH job_progress:k1 %s", "{\"progress\":0.25}");
    WAIT_FOR(&loop, has_heard(&a, JOB_PROCESSING, 0.25));
    run("CLIENT KILL TYPE pubsub");
    run("SETEX job_status:k1 3600 %s", "{\"status\":\"failed\",\"error\":\"no more\"}");
    WAIT_FOR(&loop, has_heard(&a, JOB_FAILED, 0.25));
    assert_string_equal(last(&a)->text[TEXT_ERROR], "no more");
}

static void a_redis_that_lost_its_memory_is_told_again(void **state)
{
    (void)state;
    watch(&a, "m1");
    watch(&b, "m1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs) && fleet_jobs_is_ready(b.jobs));
    assert_int_equal(say(&a, "m1", FLEET_ALWAYS, JOB_PROCESSING, 0.5, "rendering"), OK);
    WAIT_FOR(&loop, has_heard(&b, JOB_PROCESSING, 0.5));
    uint64_t before = last(&b)->seq;
    server_kill(&server);
    WAIT_FOR(&loop, !fleet_jobs_is_ready(a.jobs) && !fleet_jobs_is_ready(b.jobs));
    server_start_again(&server);
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs) && fleet_jobs_is_ready(b.jobs));
    redisReconnect(direct);
    char text[2048] = "";
    WAIT_FOR(&loop, (text_of_key("reelay:job:{job_status:m1}", text, sizeof(text)), *text));
    struct fleet_record r;
    assert_int_equal(fleet_record_read(str_of(text), &r), OK);
    assert_int_equal(r.update->seq, before);
    fleet_record_deinit(&r);
    assert_int_equal(say(&b, "m1", FLEET_IF_THERE, JOB_PROCESSING, 0.75, "rendering"), OK);
    WAIT_FOR(&loop, has_heard(&a, JOB_PROCESSING, 0.75) && has_heard(&b, JOB_PROCESSING, 0.75));
    numbers_grow(&a);
    numbers_grow(&b);
}

static void an_older_lease_is_refused(void **state)
{
    struct outcome o = { 0 };
    struct change c;

    (void)state;
    change_init(&c);
    c.state = JOB_PROCESSING;
    struct fleet_apply apply = { .id = "t1", .change = &c, .when = FLEET_ALWAYS, .token = 20 };
    fleet_jobs_apply(a.jobs, &apply, note, &o);
    WAIT_FOR(&loop, o.is_there);
    assert_int_equal(o.err, OK);
    update_unref(&o.u);
    o = (struct outcome){ 0 };
    apply.token = 19;
    fleet_jobs_apply(b.jobs, &apply, note, &o);
    WAIT_FOR(&loop, o.is_there);
    assert_int_equal(o.err, FAIL_STALE);
}

static void who_is_too_late_is_told_so(void **state)
{
    (void)state;
    server_signal(&server, 19);
    struct outcome o = { 0 };
    struct change c;
    change_init(&c);
    c.state = JOB_PROCESSING;
    fleet_jobs_apply(a.jobs,
                     &(struct fleet_apply){
                         .id = "p1", .change = &c, .when = FLEET_ALWAYS, .patience_ms = 300 },
                     note, &o);
    WAIT_FOR(&loop, o.is_there);
    assert_int_equal(o.err, FAIL_CLOSED);
    server_signal(&server, 18);
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
}

/* Somebody who does not know the job makes it anew while Redis knows nothing. */
static void a_job_made_anew_takes_nothing_back(void **state)
{
    (void)state;
    watch(&a, "n1");
    watch(&a, "n2");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    assert_int_equal(say(&a, "n1", FLEET_ALWAYS, JOB_PROCESSING, 0.75, "rendering"), OK);
    assert_int_equal(say(&a, "n2", FLEET_ALWAYS, JOB_COMPLETED, -1, NULL), OK);
    WAIT_FOR(&loop, has_heard(&a, JOB_COMPLETED, 1));
    run("FLUSHALL");
    /* What is made anew is younger. */
    WAIT_FOR(&loop, clock_wall_ms() > last(&a)->created_ms);
    watch(&b, "n1");
    watch(&b, "n2");
    assert_int_equal(say(&b, "n1", FLEET_ALWAYS, JOB_PROCESSING, 0.25, "rendering"), OK);
    WAIT_FOR(&loop, has_heard(&b, JOB_PROCESSING, 0.75));
    assert_int_equal(say(&b, "n2", FLEET_ALWAYS, JOB_PROCESSING, 0.25, "rendering"), OK);
    WAIT_FOR(&loop, has_heard(&b, JOB_COMPLETED, 1));
    numbers_grow(&a);
    numbers_grow(&b);
    size_t ends = 0;
    for (size_t i = 0; i < a.count; i++) {
        ends += a.seen[i]->state == JOB_COMPLETED;
        assert_true(a.seen[i]->state == JOB_COMPLETED || a.seen[i]->fraction == 0.75);
    }
    assert_int_equal(ends, 1);
}

struct list {
    bool is_there;
    size_t count;
    char ids[256];
};

static void note_list(void *context, int err, struct update *const *updates, size_t count)
{
    struct list *l = context;

    assert_int_equal(err, OK);
    l->is_there = true;
    l->count = count;
    for (size_t i = 0; i < count; i++)
        snprintf(l->ids + strlen(l->ids), sizeof(l->ids) - strlen(l->ids), "%s ",
                 updates[i]->text[TEXT_ID]);
}

static void jobs_are_listed_newest_first(void **state)
{
    struct list l = { 0 };

    (void)state;
    assert_int_equal(say(&a, "l1", FLEET_ALWAYS, JOB_QUEUED, -1, NULL), OK);
    assert_int_equal(say(&b, "l2", FLEET_ALWAYS, JOB_PROCESSING, -1, NULL), OK);
    fleet_jobs_list(b.jobs, NULL, JOB_PROCESSING, 0, 10, note_list, &l);
    WAIT_FOR(&loop, l.is_there);
    assert_string_equal(l.ids, "l2 ");
}

static void who_watches_all_begins_with_those_in_progress(void **state)
{
    (void)state;
    assert_int_equal(say(&a, "w1", FLEET_ALWAYS, JOB_PROCESSING, 0.5, NULL), OK);
    assert_int_equal(say(&a, "w2", FLEET_ALWAYS, JOB_COMPLETED, -1, NULL), OK);
    ledger_watch_all(b.ledger, b.index, NULL, NULL);
    fleet_jobs_watch_all(b.jobs);
    WAIT_FOR(&loop, has_heard(&b, JOB_PROCESSING, 0.5));
    assert_int_equal(b.count, 1);
    assert_int_equal(say(&a, "w3", FLEET_ALWAYS, JOB_PROCESSING, 0.25, NULL), OK);
    WAIT_FOR(&loop, has_heard(&b, JOB_PROCESSING, 0.25));
    run("PUBLISH progress:w4 {\"percent\":75}");
    WAIT_FOR(&loop, has_heard(&b, JOB_PROCESSING, 0.75));
    assert_int_equal(b.count, 3);
}

static void keys_of_other_types_hold_nothing_up(void **state)
{
    (void)state;
    run("HSET job_status:t1 status processing");
    run("RPUSH reelay:job:{job_status:t1} x");
    run("SET reelay:seen:{job_status:t1} x");
    watch(&a, "t1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    run("PUBLISH job_progress:t1 {\"status\":\"processing\",\"progress\":0.5}");
    WAIT_FOR(&loop, has_heard(&a, JOB_PROCESSING, 0.5));
    run("HSET job_status:t2 status processing");
    assert_int_equal(say(&b, "t2", FLEET_IF_NEW, JOB_PROCESSING, 0.25, NULL), OK);
}

static void a_channel_that_it_may_not_hear_does_not_hold_it_up(void **state)
{
    (void)state;
    run("ACL SETUSER default resetchannels &reelay:*");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    watch(&a, "n1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    run("ACL SETUSER default allchannels");
    assert_int_equal(say(&b, "n1", FLEET_ALWAYS, JOB_PROCESSING, 0.5, NULL), OK);
    WAIT_FOR(&loop, has_heard(&a, JOB_PROCESSING, 0.5));
    /* What was not refused is given up with it. */
    fleet_jobs_unwatch(a.jobs, "n1");
    WAIT_FOR(&loop, count_of("PUBSUB NUMSUB reelay:state:{job_status:n1}") == 0);
}

static void what_is_far_too_large_is_dropped(void **state)
{
    enum { LARGE = 2 * 1024 * 1024 };
    char *large = mem_alloc(LARGE);

    (void)state;
    memset(large, 'x', LARGE);
    watch(&a, "x1");
    WAIT_FOR(&loop, fleet_jobs_is_ready(a.jobs));
    run("PUBLISH job_progress:x1 %b", large, (size_t)LARGE);
    mem_free(large);
    WAIT_FOR(&loop, a.dropped == 1);
    run("PUBLISH job_progress:x1 {\"progress\":0.5}");
    WAIT_FOR(&loop, has_heard(&a, JOB_PROCESSING, 0.5));
    assert_int_equal(a.count, 1);
}

static bool is_bounded(const struct node *n)
{
    assert_true(n->jobs->running <= 4000);
    return fleet_jobs_is_ready(n->jobs);
}

static void many_jobs_are_not_asked_for_all_at_once(void **state)
{
    char id[16];

    (void)state;
    for (int i = 0; i < 6000; i++) {
        snprintf(id, sizeof(id), "many%d", i);
        fleet_jobs_watch(a.jobs, id);
    }
    WAIT_FOR(&loop, is_bounded(&a));
    run("CLIENT KILL TYPE pubsub");
    WAIT_FOR(&loop, !fleet_jobs_is_ready(a.jobs));
    WAIT_FOR(&loop, is_bounded(&a));
    run("SET job_status:many5999 {\"progress\":0.5}");
    run("CLIENT KILL TYPE normal SKIPME yes");
    WAIT_FOR(&loop, !fleet_jobs_is_ready(a.jobs));
    WAIT_FOR(&loop, is_bounded(&a));
}

static void a_redis_that_is_full_is_told_of_and_tried_again(void **state)
{
    struct outcome o = { 0 };
    struct change c;

    (void)state;
    change_init(&c);
    c.state = JOB_PROCESSING;
    run("CONFIG SET maxmemory 1");
    fleet_jobs_apply(a.jobs,
                     &(struct fleet_apply){ .id = "full", .change = &c, .when = FLEET_ALWAYS },
                     note, &o);
    WAIT_FOR(&loop, fleet_jobs_refusal(a.jobs) != NULL);
    assert_memory_equal(fleet_jobs_refusal(a.jobs), "OOM ", 4);
    assert_true(fleet_jobs_is_ready(a.jobs));
    run("CONFIG SET maxmemory 0");
    WAIT_FOR(&loop, o.is_there);
    assert_int_equal(o.err, OK);
    assert_null(fleet_jobs_refusal(a.jobs));
    update_unref(&o.u);
}

static void an_end_is_told_however_much_progress_waits(void **state)
{
    struct outcome o = { 0 };
    struct change c;

    (void)state;
    assert_int_equal(say(&a, "p1", FLEET_ALWAYS, JOB_PROCESSING, 0, "converting"), OK);
    watch(&b, "p1");
    WAIT_FOR(&loop, has_heard(&b, JOB_PROCESSING, 0));
    run("CONFIG SET maxmemory 1");
    change_init(&c);
    for (int i = 0; i < 3 * (int)settings.pending_max; i++) {
        c.fraction = i / (4.0 * settings.pending_max);
        fleet_jobs_apply(a.jobs,
                         &(struct fleet_apply){ .id = "p1", .change = &c, .is_latest_only = true },
                         NULL, NULL);
    }
    c.state = JOB_COMPLETED;
    fleet_jobs_apply(a.jobs, &(struct fleet_apply){ .id = "p1", .change = &c }, note, &o);
    assert_true(a.jobs->pending < 1100);
    run("CONFIG SET maxmemory 0");
    WAIT_FOR(&loop, o.is_there && has_heard(&b, JOB_COMPLETED, 1));
    assert_int_equal(o.err, OK);
    /* How far it had come last is heard before. */
    assert_true(b.seen[b.count - 2]->fraction ==
                (3 * settings.pending_max - 1) / (4.0 * settings.pending_max));
    update_unref(&o.u);
}

static bool is_there(const char *key)
{
    char text[512];

    text_of_key(key, text, sizeof(text));
    return text[0] != '\0';
}

static void what_is_lost_is_put_back_by_who_is_refused(void **state)
{
    (void)state;
    assert_int_equal(say(&a, "q1", FLEET_ALWAYS, JOB_COMPLETED, -1, NULL), OK);
    run("DEL reelay:job:{job_status:q1}");
    assert_int_equal(say(&a, "q1", FLEET_IF_THERE, JOB_FAILED, -1, NULL), FAIL_STATE);
    WAIT_FOR(&loop, is_there("reelay:job:{job_status:q1}"));
}

struct second_thoughts {
    struct outcome asked;
    size_t answers;
};

static void look_again(void *context, int err, struct update *u)
{
    struct second_thoughts *s = context;

    (void)u;
    assert_int_equal(err, FAIL_STATE);
    s->answers++;
    if (s->answers == 1)
        fleet_jobs_find(a.jobs, "r1", note, &s->asked);
}

/* One script of a job at a time, also then: set_running insists. */
static void who_is_refused_may_ask_within(void **state)
{
    struct second_thoughts s = { .answers = 0 };
    struct change c;

    (void)state;
    assert_int_equal(say(&a, "r1", FLEET_ALWAYS, JOB_COMPLETED, -1, NULL), OK);
    change_init(&c);
    c.state = JOB_FAILED;
    for (int i = 0; i < 3; i++)
        fleet_jobs_apply(a.jobs, &(struct fleet_apply){ .id = "r1", .change = &c }, look_again, &s);
    WAIT_FOR(&loop, s.answers == 3 && s.asked.is_there);
    assert_int_equal(s.asked.err, OK);
    update_unref(&s.asked.u);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_nodes_hear_one_order),
        TEST(a_program_that_subscribes_hears_our_jobs),
        TEST(foreign_messages_are_heard_once_and_in_order),
        TEST(an_end_is_heard_however_much_waits),
        TEST(bytes_are_a_report_too),
        TEST(what_is_no_report_is_dropped),
        TEST(a_status_alone_is_found_and_heard),
        TEST(an_end_whose_status_comes_late_is_heard),
        TEST(an_unknown_job_is_missing),
        TEST(what_was_said_while_it_was_deaf_is_made_good),
        TEST(a_redis_that_lost_its_memory_is_told_again),
        TEST(a_job_made_anew_takes_nothing_back),
        TEST(an_older_lease_is_refused),
        TEST(who_is_too_late_is_told_so),
        TEST(jobs_are_listed_newest_first),
        TEST(who_watches_all_begins_with_those_in_progress),
        TEST(keys_of_other_types_hold_nothing_up),
        TEST(a_channel_that_it_may_not_hear_does_not_hold_it_up),
        TEST(what_is_far_too_large_is_dropped),
        TEST(many_jobs_are_not_asked_for_all_at_once),
        TEST(what_is_lost_is_put_back_by_who_is_refused),
        TEST(who_is_refused_may_ask_within),
        TEST(an_end_is_told_however_much_progress_waits),
        TEST(a_redis_that_is_full_is_told_of_and_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
