/* Jobs and uploads that several nodes share: what fleet/jobs.h and fleet/work.h say
 * on the desk, asked for by errand. The answer to a change comes when Redis has it,
 * so nothing else is waited for. */
#include <stdatomic.h>
#include <stdio.h>

#include "api/api.h"
#include "api/errand.h"
#include "api/records_room.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/jobs.h"
#include "fleet/work.h"
#include "io/thread.h"

int remote_outcome(int err)
{
    return err == FAIL_TIMEOUT || err == FAIL_CANCELLED ? FAIL_CLOSED : err;
}

/* A question about one job and its answer: a state. */

struct question {
    struct errand errand;
    record_done *done; /* NULL: nobody waits */
    struct fleet_apply apply;
    struct change change; /* what apply borrows; its texts are owned */
    struct update *update;
    int err;
    char id[JOB_ID_MAX + 1];
};

static struct question *question_new(const char *id, record_done *done)
{
    struct question *q = mem_new(struct question);

    q->done = done;
    snprintf(q->id, sizeof(q->id), "%s", id);
    change_init(&q->change);
    return q;
}

static void question_free(struct question *q)
{
    change_deinit(&q->change);
    update_unref(&q->update);
    mem_free(q);
}

/* On the desk. */
static void answered(void *context, int err, struct update *u)
{
    struct question *q = context;

    q->err = remote_outcome(err);
    q->update = err == OK ? update_ref(u) : NULL;
    if (q->done != NULL)
        errand_return(&q->errand);
    else
        question_free(q);
}

static void question_back(struct errand *errand)
{
    struct question *q = (struct question *)errand;

    q->done(errand->call, q->err, q->update);
    question_free(q);
}

/* Finding */

static void find_run(struct errand *errand)
{
    struct question *q = (struct question *)errand;

    fleet_jobs_find(errand->api->fleet->jobs, q->id, answered, q);
}

static void find_back(struct errand *errand)
{
    struct question *q = (struct question *)errand;

    if (q->err == OK && !record_is_visible(errand->call, q->update))
        q->done(errand->call, FAIL_DENIED, NULL);
    else
        q->done(errand->call, q->err, q->update);
    question_free(q);
}

/* What the ledger has is watched here, and so it is fresh. */
static void remote_find(struct call *c, const char *id, record_done *done)
{
    struct update *u = ledger_snapshot(c->api->ledger, id);

    if (record_is_visible(c, u))
        done(c, OK, u);
    else
        errand_go(&question_new(id, done)->errand, c, find_run, find_back);
    update_unref(&u);
}

/* Who watches a job is told its state without having to ask. */
static void remote_recall(const struct api *api, struct io_thread *t, const char *id)
{
    (void)api;
    (void)t;
    (void)id;
}

/* Changing */

static void apply_run(struct errand *errand)
{
    struct question *q = (struct question *)errand;

    q->apply.id = q->id;
    q->apply.change = &q->change;
    fleet_jobs_apply(errand->api->fleet->jobs, &q->apply, answered, q);
}

static enum fleet_when when_of(enum record_when when)
{
    switch (when) {
    case RECORD_IF_NEW: return FLEET_IF_NEW;
    case RECORD_ALWAYS: return FLEET_ALWAYS;
    default: return FLEET_IF_THERE;
    }
}

static void remote_apply(struct call *c, const struct record_change *r, record_done *done)
{
    struct question *q = question_new(r->id, done);

    q->change = *r->change;
    change_take(&q->change);
    q->apply.when = when_of(r->when);
    q->apply.is_report = r->is_report;
    q->apply.viewer = done != NULL ? r->viewer : NULL; /* which lives as long as the call */
    q->apply.patience_ms = done != NULL ? REMOTE_PATIENCE_MS : 0;
    errand_go(&q->errand, c, apply_run, question_back);
}

/* Listing */

struct listing {
    struct errand errand;
    struct record_query query;
    record_list_done *done;
    struct update *updates[RECORDS_LIST_MAX];
    size_t count;
    int err;
};

static void listed(void *context, int err, struct update *const *updates, size_t count)
{
    struct listing *l = context;

    l->err = remote_outcome(err);
    for (size_t i = 0; err == OK && i < count && i < l->query.max; i++)
        l->updates[l->count++] = update_ref(updates[i]);
    errand_return(&l->errand);
}

/* The call's viewer is read on the desk: it never changes, and the call waits. */
static void list_run(struct errand *errand)
{
    struct listing *l = (struct listing *)errand;

    fleet_jobs_list(errand->api->fleet->jobs, errand->call->viewer, l->query.state,
                    l->query.before_ms, l->query.max, listed, l);
}

static void list_back(struct errand *errand)
{
    struct listing *l = (struct listing *)errand;

    l->done(errand->call, l->err, l->updates, l->count);
    for (size_t i = 0; i < l->count; i++)
        update_unref(&l->updates[i]);
    mem_free(l);
}

static void remote_list(struct call *c, const struct record_query *q, record_list_done *done)
{
    struct listing *l = mem_new(struct listing);

    l->query = *q;
    l->done = done;
    errand_go(&l->errand, c, list_run, list_back);
}

/* Ending */

static void end_back(struct errand *errand)
{
    struct ending *e = (struct ending *)errand;
    int err = remote_outcome(e->err);

    if (e->discarded != NULL)
        e->discarded(errand->call, err);
    else
        e->cancelled(errand->call, err, err == OK ? e->update : NULL);
    ending_free(e);
}

static void remote_discard(struct call *c, const char *id, upload_done *done)
{
    errand_discard(c, id, done, end_back);
}

static void remote_cancel(struct call *c, struct update *u, record_done *done)
{
    struct change change;
    struct record_change r = { .id = u->text[TEXT_ID], .change = &change };

    if (u->kind != JOB_EXTERNAL) {
        errand_cancel(c, u, done, end_back);
        return;
    }
    change_cancel(&change);
    remote_apply(c, &r, done);
}

/* How it is */

struct checkup {
    struct errand errand;
    records_health_done *done;
    struct fleet_work_count count;
};

static void check_run(struct errand *errand)
{
    struct checkup *k = (struct checkup *)errand;

    fleet_work_count(errand->api->fleet->work, &k->count);
    errand_return(errand);
}

static void check_back(struct errand *errand)
{
    struct checkup *k = (struct checkup *)errand;
    const struct api *api = errand->api;
    struct fleet_state state;

    api->fleet->look(api->fleet->context, &state);
    struct records_shared shared = {
        .is_up = state.is_up,
        .is_refusing = state.is_refusing,
        .since_ms = state.since_ms,
        .why = state.why,
        .queued = k->count.queued,
        .running = k->count.leased,
        .delayed = k->count.delayed,
        .open = k->count.open,
        .workers = k->count.workers,
    };
    struct records_health health = { .shared = &shared };
    buf_init(&health.trouble, 1);
    if (atomic_load(&api->is_draining))
        health.unready = "shutting down";
    else if (!state.is_ready)
        health.unready = *state.why ? state.why : RECORDS_AWAY;
    k->done(errand->call, &health);
    buf_deinit(&health.trouble);
    mem_free(k);
}

static void remote_health(struct call *c, records_health_done *done)
{
    struct checkup *k = mem_new(struct checkup);

    k->done = done;
    errand_go(&k->errand, c, check_run, check_back);
}

const struct records_ops records_fleet = {
    .name = "redis",
    .limit = "too many changes of jobs wait for Redis",
    .find = remote_find,
    .recall = remote_recall,
    .apply = remote_apply,
    .list = remote_list,
    .cancel = remote_cancel,
    .open = remote_open,
    .look = remote_look,
    .plan = remote_plan,
    .take_chunk = remote_take_chunk,
    .slices = record_slices,
    .take_slice = remote_take_slice,
    .join = record_join,
    .declare = remote_declare,
    .assemble = errand_assemble,
    .discard = remote_discard,
    .health = remote_health,
};
