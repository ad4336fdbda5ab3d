#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/job.h"
#include "fleet/work.h"
#include "fleet/work_internal.h"

enum op_kind { OP_CHECKPOINT, OP_FINISH, OP_REOPEN, OP_RETRY, OP_RELEASE };

static const char *const verbs[] = { NULL, "finish", "reopen", "retry", "release" };

/* Something a holder wants. */
struct work_op {
    struct work_op *next;
    enum op_kind kind;
    int refused;      /* OK: Redis is asked */
    char *step;       /* of a checkpoint */
    char *text;       /* spec or why */
    uint64_t wait_ms; /* of a retry */
    fleet_work_done *done;
    void *context;
};

struct work_lease *work_lease_new(struct fleet_work *w, const char *job, uint64_t token)
{
    struct work_lease *l = mem_new(struct work_lease);

    memcpy(l->job, job, strlen(job) + 1);
    l->token = token;
    DL_APPEND(w->leases, l);
    return l;
}

struct work_lease *work_lease_find(struct fleet_work *w, struct str job, uint64_t token)
{
    struct work_lease *l;

    DL_FOREACH(w->leases, l)
    if (l->token == token && str_equal(str_of(l->job), job))
        return l;
    return NULL;
}

static void lease_free(struct fleet_work *w, struct work_lease *l)
{
    DL_DELETE(w->leases, l);
    mem_free(l->step);
    mem_free(l->spec);
    mem_free(l->why);
    mem_free(l);
}

static void op_end(struct work_lease *l, struct work_op *op, int err)
{
    LL_DELETE(l->ops, op);
    if (op->done != NULL)
        op->done(op->context, err);
    mem_free(op->step);
    mem_free(op->text);
    mem_free(op);
}

void work_leases_free(struct fleet_work *w)
{
    while (w->leases != NULL) {
        struct work_lease *l = w->leases;
        while (l->ops != NULL)
            op_end(l, l->ops, FAIL_CANCELLED);
        lease_free(w, l);
    }
}

void work_lease_sure(struct work_lease *l, const struct work_call *c)
{
    l->sure_ms = c->asked_ms;
    l->sure_wall_ms = c->asked_wall_ms;
}

/* Whether nobody can have finished it unknown to Redis since it was ours for certain. */
static bool can_put_back(const struct fleet_work *w, const struct work_lease *l)
{
    return l->priority != 0 && work_now(w) - l->sure_ms < WORK_OVER_MS &&
           w->port->ops->wall_ms(w->port) - l->sure_wall_ms < WORK_OVER_MS;
}

/* What Redis has not answered is asked again. */
static bool is_worth_another_try(int err)
{
    return err == FAIL_CLOSED || err == FAIL_TIMEOUT || err == FAIL_STATE || err == FAIL_FULL ||
           err == FAIL_LIMIT;
}

static struct work_call *asking(struct fleet_work *w, struct work_lease *l, work_answer *answer)
{
    struct work_call *c = work_call_new(w, answer);

    c->lease = l;
    l->is_asking = true;
    l->beat_ms = work_now(w) + w->settings.lease_ms / 3;
    return c;
}

static void answered(struct fleet_work *w, struct work_lease *l)
{
    l->is_asking = false;
    work_lease_go_on(w, l);
}

static void begin(struct work_args *args, const struct work_lease *l)
{
    work_arg(args, l->job);
    work_arg_number(args, l->token);
}

/* Renewing. */

static void on_beat(struct work_call *c, int err, const struct redis_reply *reply)
{
    struct fleet_work *w = c->work;
    struct work_lease *l = c->lease;
    int verdict = err != OK ? FAIL_CLOSED : work_verdict(err, reply);

    if (verdict == OK) {
        work_lease_sure(l, c);
        if (work_number(reply, 1) == 1)
            work_tell_cancel(w, l);
    } else if (verdict == FAIL_MISSING && can_put_back(w, l)) {
        l->is_lost_there = true;
    } else if (verdict == FAIL_MISSING || verdict == FAIL_STALE) {
        work_lose(w, l);
    } else {
        l->again_ms = l->beat_ms = work_now(w) + WORK_AGAIN_MS;
    }
    answered(w, l);
}

static void beat(struct fleet_work *w, struct work_lease *l)
{
    struct work_args args = { .count = 0 };

    begin(&args, l);
    work_arg(&args, w->node);
    work_arg_number(&args, l->mark);
    work_arg_number(&args, w->slots > 0);
    work_ask(asking(w, l, on_beat), WORK_BEAT, l->job, &args);
}

/* Putting back, and checkpoints: the same to Redis. */

static void on_put_back(struct work_call *c, int err, const struct redis_reply *reply)
{
    struct fleet_work *w = c->work;
    struct work_lease *l = c->lease;
    int verdict = err != OK ? FAIL_CLOSED : work_verdict(err, reply);

    if (verdict == OK)
        work_lease_sure(l, c);
    if (verdict == OK || verdict == FAIL_STALE)
        l->is_lost_there = false;
    else
        l->again_ms = work_now(w) + WORK_AGAIN_MS;
    if (verdict == FAIL_STALE)
        work_lose(w, l);
    answered(w, l);
}

static void ask_hold(struct fleet_work *w, struct work_lease *l, const struct work_op *checkpoint,
                     work_answer *answer)
{
    struct work_args args = { .count = 0 };

    begin(&args, l);
    work_arg(&args, w->node);
    work_arg_number(&args, l->mark + (checkpoint != NULL));
    work_arg(&args, checkpoint != NULL ? checkpoint->step : l->step);
    work_arg(&args, checkpoint != NULL ? checkpoint->text : l->spec);
    work_arg_number(&args, can_put_back(w, l) ? l->priority : 0);
    work_arg_number(&args, l->attempt);
    work_arg_number(&args, l->chunks);
    work_arg(&args, l->why);
    work_arg_number(&args, l->is_cancelled);
    work_arg_number(&args, l->is_over);
    work_ask(asking(w, l, answer), WORK_HOLD, l->job, &args);
}

/* What the holder wants. */

static void adopt(struct work_lease *l, struct work_op *op)
{
    char *step = l->step, *spec = l->spec;

    l->step = op->step;
    l->spec = op->text;
    l->mark++;
    op->step = step;
    op->text = spec;
}

static void op_over(struct fleet_work *w, struct work_lease *l, int verdict)
{
    struct work_op *op = l->ops;
    bool is_end = op->kind != OP_CHECKPOINT && op->refused == OK;

    if (op->kind == OP_CHECKPOINT && verdict == OK)
        adopt(l, op);
    op_end(l, op, verdict);
    if (verdict == FAIL_STALE)
        work_lose(w, l);
    answered(w, l);
    if (is_end)
        work_claim(w);
}

static void on_op(struct work_call *c, int err, const struct redis_reply *reply)
{
    struct fleet_work *w = c->work;
    struct work_lease *l = c->lease;
    int verdict = work_verdict(err, reply);

    if (l->ops->refused != OK) {
        op_over(w, l, l->ops->refused);
        return;
    }
    if (is_worth_another_try(err)) {
        l->again_ms = work_now(w) + WORK_AGAIN_MS;
        answered(w, l);
        return;
    }
    if (err == OK && verdict == FAIL_MISSING) {
        if (can_put_back(w, l)) {
            l->is_lost_there = true;
            answered(w, l);
            return;
        }
        verdict = FAIL_STALE;
    }
    if (verdict == OK)
        work_lease_sure(l, c);
    op_over(w, l, verdict);
}

static void ask_op(struct fleet_work *w, struct work_lease *l)
{
    struct work_args args = { .count = 0 };
    struct work_op *op = l->ops;

    if (op->refused != OK) {
        struct work_call *c = asking(w, l, on_op);
        work_refuse(c, op->refused);
        return;
    }
    if (op->kind == OP_CHECKPOINT) {
        ask_hold(w, l, op, on_op);
        return;
    }
    begin(&args, l);
    work_arg(&args, verbs[op->kind]);
    work_arg(&args, op->text);
    work_arg_number(&args, op->wait_ms);
    work_arg_number(&args, WORK_OVER_MS);
    work_ask(asking(w, l, on_op), WORK_GIVE, l->job, &args);
}

void work_lease_go_on(struct fleet_work *w, struct work_lease *l)
{
    if (l->is_asking)
        return;
    if (!l->is_ours && l->ops == NULL) {
        lease_free(w, l);
        return;
    }
    if (!w->port->ops->is_up(w->port) || work_now(w) < l->again_ms)
        return;
    if (l->is_lost_there)
        ask_hold(w, l, NULL, on_put_back);
    else if (l->ops != NULL)
        ask_op(w, l);
    else if (work_now(w) >= l->beat_ms)
        beat(w, l);
}

static void want(struct fleet_work *w, const char *job, uint64_t token, struct work_op *op)
{
    struct work_lease *l;

    if (!job_id_is_valid(str_of(job))) {
        job = "-";
        op->refused = FAIL_SYNTAX;
    }
    l = work_lease_find(w, str_of(job), token);
    if (l == NULL)
        l = work_lease_new(w, job, token);
    if (op->kind != OP_CHECKPOINT && op->refused == OK)
        l->is_ours = false;
    LL_APPEND(l->ops, op);
    work_lease_go_on(w, l);
}

static struct work_op *op_new(enum op_kind kind, const char *text, fleet_work_done *done,
                              void *context)
{
    struct work_op *op = mem_new(struct work_op);

    op->kind = kind;
    op->refused = strlen(text) > FLEET_SPEC_MAX ? FAIL_LIMIT : OK;
    op->text = mem_strdup(text);
    op->done = done;
    op->context = context;
    return op;
}

void fleet_work_checkpoint(struct fleet_work *w, const char *job, uint64_t token, const char *step,
                           const char *spec, fleet_work_done *done, void *context)
{
    struct work_op *op = op_new(OP_CHECKPOINT, spec, done, context);

    op->step = mem_strdup(step);
    if (strlen(step) > FLEET_STEP_MAX)
        op->refused = FAIL_LIMIT;
    want(w, job, token, op);
}

void fleet_work_finish(struct fleet_work *w, const char *job, uint64_t token, fleet_work_done *done,
                       void *context)
{
    want(w, job, token, op_new(OP_FINISH, "", done, context));
}

void fleet_work_reopen(struct fleet_work *w, const char *job, uint64_t token, const char *spec,
                       fleet_work_done *done, void *context)
{
    want(w, job, token, op_new(OP_REOPEN, spec, done, context));
}

/* Doubles with each attempt; half of it is chance, so that what failed together does
 * not come back together. */
static uint64_t backoff(struct fleet_work *w, uint32_t attempt)
{
    uint64_t wait = w->settings.backoff_min_ms;

    for (uint32_t i = 1; i < attempt && wait < w->settings.backoff_max_ms; i++)
        wait *= 2;
    if (wait > w->settings.backoff_max_ms)
        wait = w->settings.backoff_max_ms;
    return wait / 2 + w->port->ops->random(w->port) % (wait - wait / 2 + 1);
}

void fleet_work_retry(struct fleet_work *w, const char *job, uint64_t token, const char *why,
                      fleet_work_done *done, void *context)
{
    struct work_op *op = op_new(OP_RETRY, why, done, context);
    const struct work_lease *l = work_lease_find(w, str_of(job), token);

    op->wait_ms = backoff(w, l != NULL ? l->attempt : 1);
    want(w, job, token, op);
}

void fleet_work_release(struct fleet_work *w, const char *job, uint64_t token,
                        fleet_work_done *done, void *context)
{
    want(w, job, token, op_new(OP_RELEASE, "", done, context));
}
