/* A node's worker: goes through the steps of what it has claimed, leaves checkpoints
 * and says how far it is; ends it well, badly, or gives it back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "actors.h"
#include "base/err.h"
#include "base/mem.h"
#include "facts.h"

enum { STEPS = 3 };

struct hold {
    struct hold *prev, *next;
    struct node *node;
    uint64_t token;
    int step, part;
    bool is_unwanted, is_exhausted, is_ending;
    char job[JOB_ID_MAX + 1];
};

/* What is asked about a hold, which may be gone when it is answered. */
struct question {
    struct world *world;
    struct node *node;
    uint32_t life;
    uint64_t token;
    enum work_end end;
    char job[JOB_ID_MAX + 1];
};

static struct hold *find(struct world *w, const struct node *n, const char *job, uint64_t token)
{
    struct hold *h;

    DL_FOREACH(w->script->holds, h)
    if (h->node == n && h->token == token && strcmp(h->job, job) == 0)
        return h;
    return NULL;
}

static void let_go(struct hold *h)
{
    struct world *w = h->node->world;

    facts_let_go(w, h->node, h->job, h->token);
    DL_DELETE(w->script->holds, h);
    mem_free(h);
}

static struct question *ask(const struct hold *h, enum work_end end)
{
    struct question *q = mem_new(struct question);

    q->world = h->node->world;
    q->node = h->node;
    q->life = h->node->life;
    q->token = h->token;
    q->end = end;
    memcpy(q->job, h->job, sizeof(q->job));
    return q;
}

/* NULL: it is nobody's any more. Frees the question. */
static struct hold *told(struct question *q, int err, const char *what)
{
    bool is_alive = q->node->is_up && q->node->life == q->life;
    struct hold *h = is_alive ? find(q->world, q->node, q->job, q->token) : NULL;

    world_trace(q->world, "n%d %s of %s token %llu: %s%s", q->node->index, what, q->job,
                (unsigned long long)q->token, fail_name(err), h ? "" : ", held no more");
    mem_free(q);
    return h;
}

static void work_on(void *context);

static void go_on(struct hold *h)
{
    int64_t delay = (int64_t)random_between(&h->node->world->random, 100 * MS, 1200 * MS);

    node_after(h->node, delay, work_on, mem_free, ask(h, WORK_NOT_ENDED));
}

static void ended(void *context, int err)
{
    struct question *q = context;

    if (err == OK && q->end != WORK_NOT_ENDED)
        facts_ended(q->world, q->job, q->token, q->end);
    told(q, err, "end");
}

static void finish(struct hold *h)
{
    fleet_work_finish(h->node->work, h->job, h->token, ended, ask(h, WORK_FINISHED));
    let_go(h);
}

static void reopen(struct hold *h)
{
    fleet_work_reopen(h->node->work, h->job, h->token, "{\"again\":1}", ended,
                      ask(h, WORK_REOPENED));
    let_go(h);
}

static void said_last(void *context, int err, struct update *u)
{
    struct question *q = context;
    bool is_reopened = q->end == WORK_REOPENED;
    struct hold *h = told(q, err, "last word");

    if (h == NULL)
        return;
    if (err == FAIL_STALE) {
        h->is_ending = true; /* `lost` is to come */
        return;
    }
    if (err != OK && err != FAIL_STATE) {
        h->is_ending = false;
        go_on(h);
        return;
    }
    (void)u;
    if (is_reopened && err == OK)
        reopen(h);
    else
        finish(h);
}

static void say(struct hold *h, const struct change *c, bool is_latest_only, fleet_job_done *done,
                enum work_end end)
{
    fleet_jobs_apply(h->node->jobs,
                     &(struct fleet_apply){
                         .id = h->job,
                         .change = c,
                         .when = FLEET_ALWAYS,
                         .token = h->token,
                         .is_latest_only = is_latest_only,
                     },
                     done, ask(h, end));
}

static void say_last(struct hold *h, enum job_state state, enum work_end end)
{
    struct change c;

    change_init(&c);
    c.state = state;
    c.kind = JOB_UPLOAD;
    if (state != JOB_COMPLETED)
        c.text[TEXT_ERROR] = "it did not work";
    h->is_ending = true;
    say(h, &c, false, said_last, end);
}

static void said(void *context, int err, struct update *u)
{
    (void)u;
    told(context, err, "progress");
}

static void checkpointed(void *context, int err)
{
    struct hold *h = told(context, err, "checkpoint");

    if (h == NULL || err == FAIL_STALE)
        return;
    if (err == OK) {
        h->step++;
        h->part = 0;
        facts_checkpointed(h->node->world, h->job, h->token, h->step);
    }
    go_on(h);
}

static void report(struct hold *h)
{
    static const char *const stages[] = { "assembling", "probing", "converting" };
    struct change c;

    change_init(&c);
    c.state = JOB_PROCESSING;
    c.kind = JOB_UPLOAD;
    c.text[TEXT_STAGE] = stages[h->step];
    c.stage_fraction = h->part / 4.0;
    c.fraction = (h->step + h->part / 4.0) / STEPS;
    say(h, &c, true, said, WORK_NOT_ENDED);
}

static void end_somehow(struct hold *h)
{
    struct world *w = h->node->world;
    uint64_t dice = random_below(&w->random, 100);

    if (dice < 8) {
        fleet_work_retry(h->node->work, h->job, h->token, "not today", ended,
                         ask(h, WORK_NOT_ENDED));
        let_go(h);
    } else if (dice < 14) {
        fleet_work_release(h->node->work, h->job, h->token, ended, ask(h, WORK_NOT_ENDED));
        let_go(h);
    } else if (dice < 24) {
        say_last(h, JOB_FAILED, WORK_REOPENED);
    } else {
        say_last(h, JOB_COMPLETED, WORK_FINISHED);
    }
}

static void work_on(void *context)
{
    struct question *q = context;
    struct hold *h = find(q->world, q->node, q->job, q->token);
    char step[16];

    mem_free(q);
    if (h == NULL || h->is_ending)
        return;
    if (h->is_unwanted) {
        say_last(h, JOB_CANCELLED, WORK_FINISHED);
    } else if (h->is_exhausted) {
        say_last(h, JOB_FAILED, WORK_REOPENED);
    } else if (h->step >= STEPS) {
        end_somehow(h);
    } else if (h->part < 4 && random_permille(&h->node->world->random, 700)) {
        h->part++;
        report(h);
        go_on(h);
    } else {
        snprintf(step, sizeof(step), "%d", h->step + 1);
        fleet_work_checkpoint(h->node->work, h->job, h->token, step, "{}", checkpointed,
                              ask(h, WORK_NOT_ENDED));
    }
}

static void claimed(void *context, const struct fleet_lease *lease)
{
    struct node *n = context;
    struct hold *h = mem_new(struct hold), *other;
    unsigned held = 0;

    DL_FOREACH(n->world->script->holds, other)
    held += other->node == n;
    if (held >= SLOTS)
        world_fail(n->world, "n%d has %u slots and is given one more", n->index, SLOTS);
    facts_claimed(n->world, n, lease);
    h->node = n;
    h->token = lease->token;
    h->step = (int)strtol(lease->step, NULL, 10);
    h->is_unwanted = lease->is_cancelled;
    h->is_exhausted = lease->is_exhausted;
    snprintf(h->job, sizeof(h->job), "%s", lease->job);
    DL_APPEND(n->world->script->holds, h);
    go_on(h);
}

static void lost(void *context, const char *job, uint64_t token)
{
    struct node *n = context;
    struct hold *h = find(n->world, n, job, token);

    world_trace(n->world, "n%d lost %s token %llu", n->index, job, (unsigned long long)token);
    if (h == NULL)
        world_fail(n->world, "n%d loses %s, which it does not hold", n->index, job);
    else
        let_go(h);
}

static void cancel(void *context, const char *job, uint64_t token)
{
    struct node *n = context;
    struct hold *h = find(n->world, n, job, token);

    world_trace(n->world, "n%d is to cancel %s", n->index, job);
    if (h == NULL)
        world_fail(n->world, "n%d is to cancel %s, which it does not hold", n->index, job);
    else if (h->is_unwanted)
        world_fail(n->world, "n%d is to cancel %s twice", n->index, job);
    else
        h->is_unwanted = true;
}

static const struct fleet_worker_events events = { claimed, lost, cancel };

void worker_start(struct node *n)
{
    fleet_work_serve(n->work, SLOTS, &events, n);
}

void worker_drain(struct node *n)
{
    fleet_work_serve(n->work, 0, &events, n);
}

void worker_crashed(struct node *n)
{
    struct hold *h, *next;

    DL_FOREACH_SAFE(n->world->script->holds, h, next)
    if (h->node == n) {
        DL_DELETE(n->world->script->holds, h);
        mem_free(h);
    }
}
