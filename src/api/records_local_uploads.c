/* Uploads of this process alone. */
#include <stdio.h>

#include "api/api.h"
#include "api/errand.h"
#include "api/records_room.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

struct opening {
    struct mail mail;
    struct mailbox *home;
    struct call *call;
    upload_done *done;
    bool has_job;
    int err;
    char id[JOB_ID_MAX + 1];
};

/* Nobody knows its id, so nobody would ever send it anything. */
static void fail_job(struct call *c, const struct opening *o, const char *why)
{
    struct change change;

    if (!o->has_job)
        return;
    change_init(&change);
    change.state = JOB_FAILED;
    change.text[TEXT_ERROR] = why;
    ledger_apply(c->api->ledger, o->id, &change, false, NULL);
}

static void opened_open(struct mail *mail)
{
    struct opening *o = (struct opening *)mail;

    if (o->err) {
        uploads_finish(o->call->api->uploads, o->id);
        fail_job(o->call, o, "the video could not be put on record");
    }
    o->done(o->call, o->err ? FAIL_IO : OK);
    mem_free(o);
}

/* On the store's thread. */
static void opened(void *context, int err)
{
    struct opening *o = context;

    o->err = err;
    mailbox_post(o->home, &o->mail);
}

static int open_now(struct opening *o, const struct change *job, const struct upload *u)
{
    struct api *api = o->call->api;
    int err = job != NULL ? ledger_create(api->ledger, o->id, job, NULL) : OK;

    if (err)
        return err;
    struct upload begin = *u;
    begin.place.layout = upload_layout_new(api);
    err = uploads_create(api->uploads, o->id, &begin, opened, o);
    if (err)
        fail_job(o->call, o, "no space left");
    return err;
}

void local_open(struct call *c, const char *id, const struct change *job, const struct upload *u,
                upload_done *done)
{
    struct opening *o = mem_new(struct opening);

    o->mail.open = opened_open;
    o->home = io_thread_mailbox(exchange_thread(c->x));
    o->call = c;
    o->done = done;
    o->has_job = job != NULL;
    snprintf(o->id, sizeof(o->id), "%s", id);
    int err = open_now(o, job, u);
    if (err == OK)
        return;
    mem_free(o);
    done(c, err);
}

void local_look(struct call *c, const char *id, upload_found *done)
{
    struct upload u;
    int err = uploads_get(c->api->uploads, id, &u);

    done(c, err, err == OK ? &u : NULL);
}

void local_plan(struct call *c, const char *id, uint32_t chunks, upload_planned *done)
{
    uint32_t before = 0;
    int err = uploads_plan(c->api->uploads, id, chunks, &before);

    done(c, err, before);
}

struct taking {
    struct call *call;
    struct chunk_write *file;
    upload_done *done;
    int err;
    char id[JOB_ID_MAX + 1];
};

static void take_work(void *context)
{
    struct taking *t = context;
    const struct api *api = t->call->api;
    uint64_t size = t->file->size;

    t->err = uploads_enter(api->uploads, t->id);
    if (t->err) {
        disk_chunk_abort(api->disk, t->file);
        return;
    }
    t->err = disk_chunk_commit(api->disk, t->file);
    uploads_leave(api->uploads, t->id, t->err == OK ? size : 0);
}

static void taken(void *context)
{
    struct taking *t = context;

    t->done(t->call, t->err);
    mem_free(t);
}

/* Into the bucket. Who is inside keeps the upload from being assembled. */
static void pass_chunk(struct call *c, const char *id, const struct upload_place *place,
                       struct chunk_write *file, upload_done *done)
{
    int err = uploads_enter(c->api->uploads, id);

    errand_put_chunk(c, &(struct chunk_errand){ .id = id,
                                                .place = place,
                                                .file = file,
                                                .err = err,
                                                .is_inside = err == OK,
                                                .done = done });
}

void local_take_chunk(struct call *c, const char *id, struct chunk_write *file, upload_done *done)
{
    struct upload u;

    if (uploads_get(c->api->uploads, id, &u) == OK && u.place.layout != LAYOUT_DISK &&
        c->api->storage != NULL) {
        pass_chunk(c, id, &u.place, file, done);
        return;
    }
    struct taking *t = mem_new(struct taking);
    t->call = c;
    t->file = file;
    t->done = done;
    snprintf(t->id, sizeof(t->id), "%s", id);
    io_offload(io_thread_loop(exchange_thread(c->x)), take_work, taken, t);
}

struct slicing {
    struct call *call;
    struct chunk_write *file;
    struct slice_end end;
    upload_sliced *done;
    struct slices slices;
    int err;
    char id[JOB_ID_MAX + 1];
};

static void slice_work(void *context)
{
    struct slicing *s = context;
    const struct api *api = s->call->api;
    uint64_t size = s->file->size;

    s->err = uploads_enter(api->uploads, s->id);
    if (s->err) {
        if (s->err == FAIL_STATE)
            s->err = FAIL_STALE;
        disk_chunk_abort(api->disk, s->file);
        return;
    }
    s->err = disk_slice_commit(api->disk, s->file, &s->end, &s->slices);
    uploads_leave(api->uploads, s->id, s->err == OK ? size : 0);
}

static void sliced(void *context)
{
    struct slicing *s = context;

    s->done(s->call, s->err, &s->slices);
    mem_free(s);
}

void local_take_slice(struct call *c, const char *id, struct chunk_write *file,
                      const struct slice_end *end, upload_sliced *done)
{
    struct slicing *s = mem_new(struct slicing);

    s->call = c;
    s->file = file;
    s->end = *end;
    s->done = done;
    snprintf(s->id, sizeof(s->id), "%s", id);
    io_offload(io_thread_loop(exchange_thread(c->x)), slice_work, sliced, s);
}

void local_declare(struct call *c, const char *id, int64_t size, upload_done *done)
{
    done(c, uploads_declare(c->api->uploads, id, size));
}
