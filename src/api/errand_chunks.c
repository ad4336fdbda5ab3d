/* Errands of chunks that lie in a bucket. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/errand.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/work.h"
#include "io/thread.h"

enum upload_layout upload_layout_new(const struct api *api, const struct upload *u)
{
    if (api->storage == NULL)
        return LAYOUT_DISK;
    return u->is_tus ? LAYOUT_OBJECTS : LAYOUT_UNDECIDED; /* pieces are of any size */
}

/* One that was received here */

struct passing {
    struct errand errand;
    struct chunk_errand chunk;
    struct upload_place place;
    int err;
    char id[JOB_ID_MAX + 1];
};

static void touch_run(struct errand *errand)
{
    struct passing *p = (struct passing *)errand;

    if (errand->api->fleet != NULL)
        fleet_work_touch(errand->api->fleet->work, p->id);
    mem_free(p);
}

static void drop_work(void *context)
{
    struct passing *p = context;

    disk_chunk_abort(p->errand.api->disk, p->chunk.file);
}

static void dropped(void *context)
{
    struct passing *p = context;
    struct call *c = p->errand.call;
    upload_done *done = p->chunk.done;
    int err = p->err;

    if (p->chunk.is_inside)
        uploads_leave(c->api->uploads, p->id, 0);
    if (err == OK)
        errand_go(&p->errand, c, touch_run, NULL);
    else
        mem_free(p);
    done(c, err);
}

static void drop(struct errand *errand)
{
    io_offload(io_thread_loop(exchange_thread(errand->call->x)), drop_work, dropped, errand);
}

/* To handlers FAIL_CLOSED means that the records are away, FAIL_MISSING that the upload is:
 * whatever a bucket refuses, and be it because it is not there, is its own fault. */
static int outcome(int err)
{
    return err == OK || err == FAIL_FULL ? err : FAIL_TIMEOUT;
}

static void put_done(void *context, int err)
{
    struct passing *p = context;

    p->err = outcome(err);
    errand_return(&p->errand);
}

static void put_run(struct errand *errand)
{
    struct passing *p = (struct passing *)errand;

    pipelines_put_chunk(errand->api->pipelines,
                        &(struct pipeline_chunk){ .video = p->id,
                                                  .place = &p->place,
                                                  .index = p->chunk.file->index,
                                                  .file = p->chunk.file->fd,
                                                  .size = p->chunk.file->size },
                        put_done, p);
}

void errand_put_chunk(struct call *c, const struct chunk_errand *chunk)
{
    struct passing *p = mem_new(struct passing);

    p->chunk = *chunk;
    p->place = *chunk->place;
    p->err = chunk->err;
    snprintf(p->id, sizeof(p->id), "%s", chunk->id);
    if (p->err == OK) {
        errand_go(&p->errand, c, put_run, drop);
        return;
    }
    p->errand.api = c->api;
    p->errand.call = c;
    drop(&p->errand);
}

/* Where one is to go */

struct locating {
    struct errand errand;
    errand_url_done *done;
    uint32_t index, total;
    uint64_t lifetime_s;
    int err;
    char id[JOB_ID_MAX + 1];
    char *why, *url;
};

static void located(void *context, int err, const char *why, const char *url)
{
    struct locating *l = context;

    l->err = err;
    l->why = mem_strdup(why != NULL ? why : "");
    l->url = mem_strdup(url != NULL ? url : "");
    errand_return(&l->errand);
}

static void locate_run(struct errand *errand)
{
    struct locating *l = (struct locating *)errand;

    pipelines_chunk_url(errand->api->pipelines,
                        &(struct chunk_url){ .video = l->id,
                                             .index = l->index,
                                             .total = l->total,
                                             .lifetime_s = l->lifetime_s },
                        located, l);
}

static void locate_back(struct errand *errand)
{
    struct locating *l = (struct locating *)errand;

    l->done(errand->call, l->err, l->why, l->url);
    mem_free(l->why);
    mem_free(l->url);
    mem_free(l);
}

void errand_chunk_url(struct call *c, const char *id, uint32_t index, uint32_t total,
                      uint64_t lifetime_s, errand_url_done *done)
{
    struct locating *l = mem_new(struct locating);

    l->done = done;
    l->index = index;
    l->total = total;
    l->lifetime_s = lifetime_s;
    snprintf(l->id, sizeof(l->id), "%s", id);
    errand_go(&l->errand, c, locate_run, locate_back);
}

/* Which are there */

struct listing {
    struct errand errand;
    errand_chunks_done *done;
    struct upload upload;
    int err;
    int64_t *sizes;
    char id[JOB_ID_MAX + 1];
};

static void listed(void *context, int err, const int64_t *sizes)
{
    struct listing *l = context;
    size_t size = ((size_t)l->upload.total_chunks + 1) * sizeof(*sizes);

    l->err = err;
    l->sizes = mem_alloc(size);
    if (err == OK)
        memcpy(l->sizes, sizes, size);
    errand_return(&l->errand);
}

static void list_run(struct errand *errand)
{
    struct listing *l = (struct listing *)errand;

    pipelines_chunks(errand->api->pipelines, l->id, &l->upload, listed, l);
}

static void list_back(struct errand *errand)
{
    struct listing *l = (struct listing *)errand;

    l->done(errand->call, l->err, l->sizes);
    mem_free(l);
}

void errand_chunks(struct call *c, const char *id, const struct upload *u, errand_chunks_done *done)
{
    struct listing *l = mem_new(struct listing);

    l->done = done;
    l->upload = *u;
    snprintf(l->id, sizeof(l->id), "%s", id);
    errand_go(&l->errand, c, list_run, list_back);
}
