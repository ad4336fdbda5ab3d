/* Uploads that several nodes share: first the job, then its work; a job without it
 * has failed. Chunks lie in a folder of all nodes; which of them are there, nobody
 * but the folder says. */
#include <stdio.h>

#include "api/api.h"
#include "api/errand.h"
#include "api/records_room.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/jobs.h"
#include "fleet/work.h"
#include "io/thread.h"

enum { SPEC_MAX = 16 * 1024 };

struct opening {
    struct errand errand;
    upload_done *done;
    bool has_job, is_partial;
    struct change job; /* its texts are owned */
    struct buf spec;
    int err;
    char id[JOB_ID_MAX + 1];
};

static void open_end(struct opening *o, int err)
{
    o->err = remote_outcome(err);
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
    struct fleet_work *work = o->errand.api->fleet->work;

    if (o->is_partial)
        fleet_work_create_part(work, o->id, buf_text(&o->spec), PARTIALS_MAX, work_created, o);
    else
        fleet_work_create(work, o->id, buf_text(&o->spec), work_created, o);
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
    if (remote_outcome(err) == FAIL_CLOSED)
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
                                            .patience_ms = REMOTE_PATIENCE_MS },
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

void remote_open(struct call *c, const char *id, const struct change *job, const struct upload *u,
                 upload_done *done)
{
    struct upload begin = *u;

    begin.place.layout = upload_layout_new(c->api, u);
    if (begin.place.layout == LAYOUT_DISK && !has_room(c->api->disk, u->size)) {
        done(c, FAIL_FULL);
        return;
    }
    struct opening *o = mem_new(struct opening);
    o->done = done;
    o->has_job = job != NULL;
    o->is_partial = u->is_partial;
    change_init(&o->job);
    if (job != NULL)
        o->job = *job;
    change_take(&o->job);
    buf_init(&o->spec, SPEC_MAX);
    upload_write(&begin, &o->spec);
    snprintf(o->id, sizeof(o->id), "%s", id);
    errand_go(&o->errand, c, open_run, open_back);
}

/* What an upload is now */

struct glance {
    struct errand errand;
    upload_found *found; /* one of the four */
    upload_planned *planned;
    upload_done *taken;
    upload_sliced *sliced;
    struct chunk_write *file; /* of `taken` and `sliced` */
    struct slice_end end;     /* of `sliced` */
    struct slices slices;
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

    if (err == OK && state->place[0] != '\0')
        err = upload_place_read(str_of(state->place), &out->place);
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

    g->err = remote_outcome(err ? err : read_state(state, &g->upload));
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

void remote_look(struct call *c, const char *id, upload_found *done)
{
    struct glance *g = glance_new(id);

    g->found = done;
    errand_go(&g->errand, c, look_run, look_back);
}

static void planned(void *context, int err, const struct fleet_work_state *state)
{
    struct glance *g = context;

    g->err = remote_outcome(err);
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

void remote_plan(struct call *c, const char *id, uint32_t chunks, upload_planned *done)
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
    if (g->err == OK && g->upload.place.layout != LAYOUT_DISK && errand->api->storage != NULL) {
        errand_put_chunk(errand->call, &(struct chunk_errand){ .id = g->id,
                                                               .place = &g->upload.place,
                                                               .file = g->file,
                                                               .done = g->taken });
        mem_free(g);
        return;
    }
    io_offload(io_thread_loop(exchange_thread(errand->call->x)), name_work, named, g);
}

void remote_take_chunk(struct call *c, const char *id, struct chunk_write *file, upload_done *done)
{
    struct glance *g = glance_new(id);

    g->taken = done;
    g->file = file;
    errand_go(&g->errand, c, look_run, take_looked);
}

/* A piece of one that grows, in the same way. */

static void piece_work(void *context)
{
    struct glance *g = context;

    if (g->err)
        disk_chunk_abort(g->errand.api->disk, g->file);
    else
        g->err = disk_slice_commit(g->errand.api->disk, g->file, &g->end, &g->slices);
}

static void piece_added(void *context)
{
    struct glance *g = context;
    struct call *c = g->errand.call;
    upload_sliced *done = g->sliced;
    struct slices slices = g->slices;
    int err = g->err;

    if (err == OK)
        errand_go(&g->errand, c, touch_run, NULL);
    else
        mem_free(g);
    done(c, err, &slices);
}

static void piece_looked(struct errand *errand)
{
    struct glance *g = (struct glance *)errand;

    if (g->err == OK && g->upload.state != UPLOAD_OPEN)
        g->err = FAIL_STALE;
    if (g->err == OK && record_is_in_bucket(errand->call, &g->upload)) {
        errand_put_slice(errand->call, &(struct slice_errand){ .id = g->id,
                                                               .upload = &g->upload,
                                                               .file = g->file,
                                                               .end = &g->end,
                                                               .done = g->sliced });
        errand_go(&g->errand, errand->call, touch_run, NULL);
        return;
    }
    io_offload(io_thread_loop(exchange_thread(errand->call->x)), piece_work, piece_added, g);
}

void remote_take_slice(struct call *c, const char *id, const struct upload *u,
                       struct chunk_write *file, const struct slice_end *end, upload_sliced *done)
{
    struct glance *g = glance_new(id);

    (void)u; /* its claim may be another by now */
    g->sliced = done;
    g->file = file;
    g->end = *end;
    errand_go(&g->errand, c, look_run, piece_looked);
}

/* The size of an upload that began without one */

struct declaration {
    struct errand errand;
    upload_done *done;
    int64_t size;
    int err;
    char id[JOB_ID_MAX + 1];
};

static void declared(void *context, int err)
{
    struct declaration *d = context;

    d->err = remote_outcome(err);
    errand_return(&d->errand);
}

static void declare_run(struct errand *errand)
{
    struct declaration *d = (struct declaration *)errand;

    fleet_work_declare(errand->api->fleet->work, d->id, (uint64_t)d->size, declared, d);
}

static void declare_back(struct errand *errand)
{
    struct declaration *d = (struct declaration *)errand;

    d->done(errand->call, d->err);
    mem_free(d);
}

void remote_declare(struct call *c, const char *id, int64_t size, upload_done *done)
{
    if (c->api->storage == NULL && !has_room(c->api->disk, size)) {
        done(c, FAIL_FULL);
        return;
    }
    struct declaration *d = mem_new(struct declaration);
    d->done = done;
    d->size = size;
    snprintf(d->id, sizeof(d->id), "%s", id);
    errand_go(&d->errand, c, declare_run, declare_back);
}
