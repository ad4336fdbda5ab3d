/* Jobs and uploads that several nodes share: what fleet/jobs.h and fleet/work.h say
 * on the desk, asked for by errand. The answer to a change comes when Redis has it,
 * so nothing else is waited for.
 *
 * Chunks lie in a folder that all nodes share; which of them are there, nobody but
 * the folder says. */
#include <stdatomic.h>
#include <stdio.h>

#include "api/api.h"
#include "api/errand.h"
#include "api/records.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/jobs.h"
#include "fleet/work.h"
#include "io/thread.h"

enum { PATIENCE_MS = 5000, SPEC_MAX = 16 * 1024 };

/* To handlers it is all one why Redis has not answered. */
static int outcome(int err)
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

    q->err = outcome(err);
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
static void shared_find(struct call *c, const char *id, record_done *done)
{
    struct update *u = ledger_snapshot(c->api->ledger, id);

    if (record_is_visible(c, u))
        done(c, OK, u);
    else
        errand_go(&question_new(id, done)->errand, c, find_run, find_back);
    update_unref(&u);
}

/* Who watches a job is told its state without having to ask. */
static void shared_recall(const struct api *api, struct io_thread *t, const char *id)
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

static void shared_apply(struct call *c, const struct record_change *r, record_done *done)
{
    struct question *q = question_new(r->id, done);

    q->change = *r->change;
    change_take(&q->change);
    q->apply.when = when_of(r->when);
    q->apply.is_report = r->is_report;
    q->apply.viewer = done != NULL ? r->viewer : NULL; /* which lives as long as the call */
    q->apply.patience_ms = done != NULL ? PATIENCE_MS : 0;
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

    l->err = outcome(err);
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

static void shared_list(struct call *c, const struct record_query *q, record_list_done *done)
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
    int err = outcome(e->err);

    if (e->discarded != NULL)
        e->discarded(errand->call, err);
    else
        e->cancelled(errand->call, err, err == OK ? e->update : NULL);
    ending_free(e);
}

static void shared_discard(struct call *c, const char *id, upload_done *done)
{
    errand_discard(c, id, done, end_back);
}

static void shared_cancel(struct call *c, struct update *u, record_done *done)
{
    struct change change;
    struct record_change r = { .id = u->text[TEXT_ID], .change = &change };

    if (u->kind != JOB_EXTERNAL) {
        errand_cancel(c, u, done, end_back);
        return;
    }
    change_cancel(&change);
    shared_apply(c, &r, done);
}

/* Uploads: first the job, then its work; a job without it has failed. */

struct opening {
    struct errand errand;
    upload_done *done;
    bool has_job;
    struct change job; /* its texts are owned */
    struct buf spec;
    int err;
    char id[JOB_ID_MAX + 1];
};

static void open_end(struct opening *o, int err)
{
    o->err = outcome(err);
    errand_return(&o->errand);
}

/* Nobody knows its id, so nobody would ever send it anything. Whoever else may have
 * the id is not the owner. */
static void fail_job(struct opening *o, const struct viewer *viewer)
{
    struct change change;

    change_init(&change);
    change.state = JOB_FAILED;
    change.text[TEXT_ERROR] = "the video could not be put on record";
    fleet_jobs_apply(o->errand.api->fleet->jobs,
                     &(struct fleet_apply){ .id = o->id, .change = &change, .viewer = viewer },
                     NULL, NULL);
}

static void work_created(void *context, int err)
{
    struct opening *o = context;

    if (err && o->has_job)
        fail_job(o, o->errand.call->viewer);
    open_end(o, err);
}

static void create_work(struct opening *o)
{
    fleet_work_create(o->errand.api->fleet->work, o->id, buf_text(&o->spec), work_created, o);
}

static void job_created(void *context, int err, struct update *u)
{
    struct opening *o = context;

    (void)u;
    if (err == OK) {
        create_work(o);
        return;
    }
    /* It may have been made all the same. */
    if (outcome(err) == FAIL_CLOSED)
        fail_job(o, o->errand.call->viewer);
    open_end(o, err);
}

static void open_run(struct errand *errand)
{
    struct opening *o = (struct opening *)errand;

    if (!o->has_job) {
        create_work(o);
        return;
    }
    fleet_jobs_apply(errand->api->fleet->jobs,
                     &(struct fleet_apply){ .id = o->id,
                                            .change = &o->job,
                                            .when = FLEET_IF_NEW,
                                            .patience_ms = PATIENCE_MS },
                     job_created, o);
}

static void open_back(struct errand *errand)
{
    struct opening *o = (struct opening *)errand;

    o->done(errand->call, o->err);
    change_deinit(&o->job);
    buf_deinit(&o->spec);
    mem_free(o);
}

/* Nothing is promised: other nodes fill the same disk. But what would not fit even
 * now is refused. */
static bool has_room(struct disk *disk, int64_t size)
{
    if (size <= 0)
        return true;
    if (disk_reserve(disk, (uint64_t)size) != OK)
        return false;
    disk_unreserve(disk, (uint64_t)size);
    return true;
}

static void shared_open(struct call *c, const char *id, const struct change *job,
                        const struct upload *u, upload_done *done)
{
    if (!has_room(c->api->disk, u->size)) {
        done(c, FAIL_FULL);
        return;
    }
    struct opening *o = mem_new(struct opening);
    o->done = done;
    o->has_job = job != NULL;
    change_init(&o->job);
    if (job != NULL)
        o->job = *job;
    change_take(&o->job);
    buf_init(&o->spec, SPEC_MAX);
    upload_write(u, &o->spec);
    snprintf(o->id, sizeof(o->id), "%s", id);
    errand_go(&o->errand, c, open_run, open_back);
}

/* What an upload is now */

struct glance {
    struct errand errand;
    upload_found *found; /* one of the three */
    upload_planned *planned;
    upload_done *taken;
    struct chunk_write *file; /* of `taken` */
    struct upload upload;
    uint32_t chunks;
    int err;
    char id[JOB_ID_MAX + 1];
};

static struct glance *glance_new(const char *id)
{
    struct glance *g = mem_new(struct glance);

    snprintf(g->id, sizeof(g->id), "%s", id);
    return g;
}

static int read_state(const struct fleet_work_state *state, struct upload *out)
{
    int err = upload_read(state->spec, out);

    if (err)
        return err;
    out->state = state->is_open ? UPLOAD_OPEN : UPLOAD_BUSY;
    out->touched_ms = state->touched_ms;
    if (state->chunks > 0)
        out->total_chunks = state->chunks;
    return OK;
}

static void looked(void *context, int err, const struct fleet_work_state *state)
{
    struct glance *g = context;

    g->err = outcome(err ? err : read_state(state, &g->upload));
    errand_return(&g->errand);
}

static void look_run(struct errand *errand)
{
    struct glance *g = (struct glance *)errand;

    fleet_work_find(errand->api->fleet->work, g->id, looked, g);
}

static void look_back(struct errand *errand)
{
    struct glance *g = (struct glance *)errand;

    g->found(errand->call, g->err, g->err == OK ? &g->upload : NULL);
    mem_free(g);
}

static void shared_look(struct call *c, const char *id, upload_found *done)
{
    struct glance *g = glance_new(id);

    g->found = done;
    errand_go(&g->errand, c, look_run, look_back);
}

static void planned(void *context, int err, const struct fleet_work_state *state)
{
    struct glance *g = context;

    g->err = outcome(err);
    if (err == FAIL_EXISTS && state != NULL)
        g->chunks = state->chunks;
    errand_return(&g->errand);
}

static void plan_run(struct errand *errand)
{
    struct glance *g = (struct glance *)errand;

    fleet_work_plan(errand->api->fleet->work, g->id, g->chunks, planned, g);
}

static void plan_back(struct errand *errand)
{
    struct glance *g = (struct glance *)errand;

    g->planned(errand->call, g->err, g->chunks);
    mem_free(g);
}

static void shared_plan(struct call *c, const char *id, uint32_t chunks, upload_planned *done)
{
    struct glance *g = glance_new(id);

    g->planned = done;
    g->chunks = chunks;
    errand_go(&g->errand, c, plan_run, plan_back);
}

/* A chunk's name: asked whether the upload is open, then given off the loop. */

static void touch_run(struct errand *errand)
{
    struct glance *g = (struct glance *)errand;

    fleet_work_touch(errand->api->fleet->work, g->id);
    mem_free(g);
}

static void name_work(void *context)
{
    struct glance *g = context;

    if (g->err)
        disk_chunk_abort(g->errand.api->disk, g->file);
    else
        g->err = disk_chunk_commit(g->errand.api->disk, g->file);
}

static void named(void *context)
{
    struct glance *g = context;
    struct call *c = g->errand.call;
    upload_done *done = g->taken;
    int err = g->err;

    if (err == OK)
        errand_go(&g->errand, c, touch_run, NULL);
    else
        mem_free(g);
    done(c, err);
}

static void take_looked(struct errand *errand)
{
    struct glance *g = (struct glance *)errand;

    if (g->err == OK && g->upload.state != UPLOAD_OPEN)
        g->err = FAIL_STATE;
    io_offload(io_thread_loop(exchange_thread(errand->call->x)), name_work, named, g);
}

static void shared_take_chunk(struct call *c, const char *id, struct chunk_write *file,
                              upload_done *done)
{
    struct glance *g = glance_new(id);

    g->taken = done;
    g->file = file;
    errand_go(&g->errand, c, look_run, take_looked);
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

static void shared_health(struct call *c, records_health_done *done)
{
    struct checkup *k = mem_new(struct checkup);

    k->done = done;
    errand_go(&k->errand, c, check_run, check_back);
}

const struct records_ops records_fleet = {
    .name = "redis",
    .limit = "too many changes of jobs wait for Redis",
    .find = shared_find,
    .recall = shared_recall,
    .apply = shared_apply,
    .list = shared_list,
    .cancel = shared_cancel,
    .open = shared_open,
    .look = shared_look,
    .plan = shared_plan,
    .take_chunk = shared_take_chunk,
    .assemble = errand_assemble,
    .discard = shared_discard,
    .health = shared_health,
};
