#include "work_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

/* The port. */

static struct node *of(const struct fleet_port *p)
{
    return (struct node *)p;
}

struct answer {
    struct node *node;
    redis_done *done;
    void *context;
};

static void on_answer(void *context, int err, const struct redis_reply *reply)
{
    struct answer a = *(struct answer *)context;
    bool is_lost = a.node->loses > 0;

    mem_free(context);
    if (is_lost)
        a.node->loses--;
    a.done(a.context, is_lost ? FAIL_CLOSED : err, is_lost ? NULL : reply);
}

static struct answer *answer_new(struct node *n, redis_done *done, void *context)
{
    struct answer *a = mem_new(struct answer);

    *a = (struct answer){ n, done, context };
    return a;
}

static int answer_sent(struct answer *a, int err)
{
    if (err != OK)
        mem_free(a);
    return err;
}

static int port_run(struct fleet_port *p, const struct redis_script *script, size_t keys,
                    const struct str *args, size_t count, redis_done *done, void *context)
{
    struct answer *a;

    if (!of(p)->is_up)
        return FAIL_CLOSED;
    a = answer_new(of(p), done, context);
    return answer_sent(a, redis_script_run(of(p)->redis, script, keys, args, count, on_answer, a));
}

static int port_command(struct fleet_port *p, struct str key, const struct str *args, size_t count,
                        redis_done *done, void *context)
{
    struct answer *a;

    (void)key;
    if (!of(p)->is_up)
        return FAIL_CLOSED;
    a = answer_new(of(p), done, context);
    return answer_sent(a, redis_command(of(p)->redis, args, count, 0, on_answer, a));
}

static int port_subscribe(struct fleet_port *p, struct str name, enum redis_topic kind)
{
    return redis_listener_subscribe(of(p)->listener, name, kind == REDIS_PATTERN);
}

static int port_unsubscribe(struct fleet_port *p, struct str name, enum redis_topic kind)
{
    return redis_listener_unsubscribe(of(p)->listener, name, kind == REDIS_PATTERN);
}

static bool port_is_up(const struct fleet_port *p)
{
    return of(p)->is_up;
}

static bool port_is_cluster(const struct fleet_port *p)
{
    (void)p;
    return false;
}

static uint64_t port_mono_ms(const struct fleet_port *p)
{
    return clock_mono_ms() + of(p)->ahead_ms;
}

static int64_t port_wall_ms(const struct fleet_port *p)
{
    return clock_wall_ms() + of(p)->wall_ahead_ms;
}

static uint64_t port_random(struct fleet_port *p)
{
    (void)p;
    return 7;
}

static const struct fleet_port_ops ops = {
    port_run,        port_command, port_subscribe, port_unsubscribe, port_is_up,
    port_is_cluster, port_mono_ms, port_wall_ms,   port_random,
};

static void set_up(struct node *n)
{
    bool is_up = n->is_redis_up && n->is_listener_up;

    if (is_up == n->is_up || n->work == NULL)
        return;
    n->is_up = is_up;
    if (is_up)
        fleet_work_up(n->work);
    else
        fleet_work_down(n->work);
}

static void on_redis_up(void *context)
{
    ((struct node *)context)->is_redis_up = true;
    set_up(context);
}

static void on_redis_down(void *context, const struct redis_down *down)
{
    (void)down;
    ((struct node *)context)->is_redis_up = false;
    set_up(context);
}

static void on_listener_up(void *context)
{
    ((struct node *)context)->is_listener_up = true;
    set_up(context);
}

static void on_listener_down(void *context, const struct redis_down *down)
{
    (void)down;
    ((struct node *)context)->is_listener_up = false;
    set_up(context);
}

static void on_push(void *context, const struct redis_push *push)
{
    struct node *n = context;

    if (!n->is_frozen && !n->is_deaf)
        fleet_work_push(n->work, push);
}

static const struct redis_events redis_events = { on_redis_up, on_redis_down };
static const struct redis_listener_events listener_events = { .up = on_listener_up,
                                                              .down = on_listener_down,
                                                              .push = on_push };

static void on_tick(uv_timer_t *timer)
{
    struct node *n = timer->data;

    if (!n->is_frozen)
        fleet_work_tick(n->work);
}

void node_open(struct node *n, uv_loop_t *loop, const struct server *server, const char *name,
               uint32_t attempts_max)
{
    struct redis_settings s = redis_settings_default;
    struct redis_url url = url_of(server->url);
    struct fleet_work_settings settings = { .node = name,
                                            .lease_ms = LEASE_MS,
                                            .attempts_max = attempts_max,
                                            .backoff_min_ms = 50,
                                            .backoff_max_ms = 200 };

    memset(n, 0, sizeof(*n));
    s.backoff_min_ms = 20;
    s.backoff_max_ms = 50;
    n->port.ops = &ops;
    n->loop = loop;
    n->redis = redis_open(loop, &url, &s, &redis_events, n);
    n->listener = redis_listener_open(loop, &url, &s, &listener_events, n);
    n->work = fleet_work_new(&n->port, &settings);
    redis_url_deinit(&url);
    uv_timer_init(loop, &n->tick);
    n->tick.data = n;
    uv_timer_start(&n->tick, on_tick, 20, 20);
    WAIT_FOR(loop, n->is_up);
}

static void on_closed(uv_handle_t *handle)
{
    handle->data = NULL;
}

void node_close(struct node *n)
{
    fleet_work_free(n->work);
    n->work = NULL;
    redis_close(n->redis);
    redis_listener_close(n->listener);
    uv_close((uv_handle_t *)&n->tick, on_closed);
    WAIT_FOR(n->loop, n->tick.data == NULL);
}

/* What it is told. */

static void on_claimed(void *context, const struct fleet_lease *lease)
{
    struct node *n = context;
    struct told *t = &n->claims[n->claimed++];

    assert_true(n->claimed <= TOLD_MAX);
    t->token = lease->token;
    t->at_ms = clock_mono_ms();
    t->attempt = lease->attempt;
    t->is_takeover = lease->is_takeover;
    t->is_cancelled = lease->is_cancelled;
    t->is_exhausted = lease->is_exhausted;
    snprintf(t->job, sizeof(t->job), "%s", lease->job);
    snprintf(t->step, sizeof(t->step), "%s", lease->step);
    snprintf(t->spec, sizeof(t->spec), "%s", lease->spec);
    snprintf(t->why, sizeof(t->why), "%s", lease->why);
}

static void note(struct told *t, const char *job, uint64_t token)
{
    snprintf(t->job, sizeof(t->job), "%s", job);
    t->token = token;
}

static void on_lost(void *context, const char *job, uint64_t token)
{
    struct node *n = context;

    assert_true(n->lost < TOLD_MAX);
    note(&n->losses[n->lost++], job, token);
}

static void on_cancel(void *context, const char *job, uint64_t token)
{
    struct node *n = context;

    assert_true(n->cancelled < TOLD_MAX);
    note(&n->cancels[n->cancelled++], job, token);
}

static const struct fleet_worker_events worker_events = { on_claimed, on_lost, on_cancel };

void node_serve(struct node *n, uint32_t slots)
{
    fleet_work_serve(n->work, slots, &worker_events, n);
}

/* What it asks. */

void node_on_done(void *context, int err)
{
    struct outcome *o = context;

    assert_false(o->is_done);
    o->err = err;
    o->is_done = true;
}

static int outcome_of(struct node *n, struct outcome *o)
{
    assert_false(o->is_done); /* never within the call */
    WAIT_FOR(n->loop, o->is_done);
    return o->err;
}

int node_create(struct node *n, const char *job, const char *spec)
{
    struct outcome o = { .is_done = false };

    fleet_work_create(n->work, job, spec, node_on_done, &o);
    return outcome_of(n, &o);
}

int node_create_part(struct node *n, const char *job, uint32_t most)
{
    struct outcome o = { .is_done = false };

    fleet_work_create_part(n->work, job, "{}", most, node_on_done, &o);
    return outcome_of(n, &o);
}

int node_enqueue(struct node *n, const char *job, enum fleet_priority priority)
{
    struct outcome o = { .is_done = false };

    fleet_work_enqueue(n->work, job, "assemble", "{\"n\":1}", priority, node_on_done, &o);
    return outcome_of(n, &o);
}

int node_put(struct node *n, const char *job, enum fleet_priority priority)
{
    int err = node_create(n, job, "{}");

    return err != OK ? err : node_enqueue(n, job, priority);
}

int node_cancel(struct node *n, const char *job)
{
    struct outcome o = { .is_done = false };

    fleet_work_cancel(n->work, job, node_on_done, &o);
    return outcome_of(n, &o);
}

int node_checkpoint(struct node *n, const struct told *lease, const char *step, const char *spec)
{
    struct outcome o = { .is_done = false };

    fleet_work_checkpoint(n->work, lease->job, lease->token, step, spec, node_on_done, &o);
    return outcome_of(n, &o);
}

int node_finish(struct node *n, const struct told *lease)
{
    struct outcome o = { .is_done = false };

    fleet_work_finish(n->work, lease->job, lease->token, node_on_done, &o);
    return outcome_of(n, &o);
}

int node_reopen(struct node *n, const struct told *lease, const char *spec)
{
    struct outcome o = { .is_done = false };

    fleet_work_reopen(n->work, lease->job, lease->token, spec, node_on_done, &o);
    return outcome_of(n, &o);
}

int node_retry(struct node *n, const struct told *lease, const char *why)
{
    struct outcome o = { .is_done = false };

    fleet_work_retry(n->work, lease->job, lease->token, why, node_on_done, &o);
    return outcome_of(n, &o);
}

int node_release(struct node *n, const struct told *lease)
{
    struct outcome o = { .is_done = false };

    fleet_work_release(n->work, lease->job, lease->token, node_on_done, &o);
    return outcome_of(n, &o);
}

void node_on_found(void *context, int err, const struct fleet_work_state *state)
{
    struct found *f = context;

    assert_false(f->is_done);
    f->is_done = true;
    f->err = err;
    if (state == NULL)
        return;
    f->is_open = state->is_open;
    f->is_leased = state->is_leased;
    f->chunks = state->chunks;
    f->touched_ms = state->touched_ms;
    snprintf(f->step, sizeof(f->step), "%s", state->step);
    snprintf(f->spec, sizeof(f->spec), "%s", state->spec);
}

struct found node_find(struct node *n, const char *job)
{
    struct found f = { .is_done = false };

    fleet_work_find(n->work, job, node_on_found, &f);
    WAIT_FOR(n->loop, f.is_done);
    return f;
}

struct found node_plan(struct node *n, const char *job, uint32_t chunks)
{
    struct found f = { .is_done = false };

    fleet_work_plan(n->work, job, chunks, node_on_found, &f);
    WAIT_FOR(n->loop, f.is_done);
    return f;
}

struct said {
    bool is_done;
    int64_t number;
};

static void on_said(void *context, int err, const struct redis_reply *reply)
{
    struct said *s = context;

    s->is_done = true;
    s->number = -1;
    if (err == OK && reply->type == REDIS_INTEGER)
        s->number = reply->integer;
    if (err == OK && reply->type == REDIS_ARRAY)
        s->number = (int64_t)reply->count;
}

int64_t node_redis(struct node *n, const char *words)
{
    struct said s = { .is_done = false };
    struct str rest = str_of(words), list[8];
    size_t count = 0;

    while (rest.len > 0 && count < 8)
        list[count++] = str_cut(&rest, ' ');
    assert_int_equal(redis_command(n->redis, list, count, 0, on_said, &s), OK);
    WAIT_FOR(n->loop, s.is_done);
    return s.number;
}
