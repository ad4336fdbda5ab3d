/* The source out of the bucket into scratch: pieces, several at a time, each at its
 * place in a file of another name, which is synced and renamed when all are there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/assemble.h"
#include "media/bucket.h"
#include "media/task.h"

enum { PIECE = 16 * 1024 * 1024, PIECES_MAX = 6 };

struct piece {
    struct fetching *owner;
    struct storage_task *task; /* under way, or NULL */
    enum chunk_form form;
    uint32_t index; /* of the chunk */
    uint64_t offset, length, at;
    uint64_t moved;
};

struct fetching {
    struct media_task task; /* first */
    struct bucket_fetch fetch;
    struct pipeline *pipeline;
    struct piece *pieces;
    size_t count, next, running;
    uint64_t moved;
    int file;
    int err;
    bool is_offloaded; /* to a worker thread, whose `err` is until then */
    struct buf why;
    struct buf part; /* its path */
};

static void finished(void *context)
{
    struct fetching *f = context;

    f->pipeline->task = NULL;
    f->fetch.done(f->pipeline, f->err, buf_text(&f->why));
    buf_deinit(&f->why);
    buf_deinit(&f->part);
    mem_free(f->pieces);
    mem_free(f);
}

/* Off the loop */

static void prepare(void *context)
{
    struct fetching *f = context;
    const char *path = buf_text(&f->part);

    unlink(path);
    f->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (f->file < 0)
        f->err = fail_from_errno(errno);
    else if (f->fetch.size > 0 && fallocate(f->file, 0, 0, (off_t)f->fetch.size) != 0 &&
             (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        f->err = FAIL_FULL;
    if (f->err == FAIL_FULL)
        buf_printf(&f->why, "there is no room for its %llu bytes",
                   (unsigned long long)f->fetch.size);
    else if (f->err)
        buf_printf(&f->why, "the file could not be made: %s", fail_text(f->err));
}

static void settle(void *context)
{
    struct fetching *f = context;

    if (f->err == OK)
        f->err = assembled_settle(buf_text(&f->part), f->pipeline->source, f->file, &f->why);
    if (f->file >= 0)
        close(f->file);
    if (f->err)
        unlink(buf_text(&f->part));
}

/* On the desk */

static void pump(struct fetching *f);

static void fail(struct fetching *f, int err, const char *why)
{
    if (f->err)
        return;
    f->err = err;
    buf_reset(&f->why);
    buf_puts(&f->why, why != NULL && *why ? why : fail_text(err));
}

static void on_moved(void *context, uint64_t bytes)
{
    struct piece *piece = context;
    struct fetching *f = piece->owner;

    f->moved += bytes - piece->moved;
    piece->moved = bytes;
    f->fetch.moved(f->pipeline, f->moved);
}

static void got(void *context, int err, const char *why, uint64_t bytes)
{
    struct piece *piece = context;
    struct fetching *f = piece->owner;

    f->running--;
    piece->task = NULL;
    if (err)
        fail(f, pipeline_storage_err(err), why);
    else if (bytes != piece->length)
        fail(f, FAIL_STATE, "what is in the storage has another size by now");
    else if (piece->moved < bytes)
        on_moved(piece, bytes);
    pump(f);
}

static struct bucket_key key_of(const struct piece *piece)
{
    const char *video = piece->owner->pipeline->video;

    return piece->form == CHUNK_OBJECT ? bucket_chunk(video, piece->index) : bucket_source(video);
}

static void get(struct fetching *f, struct piece *piece)
{
    f->running++;
    piece->task = storage_get(f->pipeline->owner->parts.storage,
                              &(struct storage_get){ .key = key_of(piece).text,
                                                     .offset = piece->offset,
                                                     .length = piece->length,
                                                     .file = f->file,
                                                     .at = piece->at,
                                                     .moved = on_moved,
                                                     .done = got,
                                                     .context = piece });
}

/* What has begun ends first: it has pieces. */
static void pump(struct fetching *f)
{
    if (f->err == OK && atomic_load(&f->pipeline->is_stopped))
        fail(f, FAIL_CANCELLED, NULL);
    while (f->err == OK && f->running < PIECES_MAX && f->next < f->count)
        get(f, &f->pieces[f->next++]);
    if (f->running > 0)
        return;
    f->is_offloaded = true;
    io_offload(f->pipeline->owner->parts.loop, settle, finished, f);
}

static void prepared(void *context)
{
    struct fetching *f = context;

    f->is_offloaded = false;
    pump(f);
}

/* A storage that is away holds up nobody who cancels. */
static void cancel(struct media_task *task)
{
    struct fetching *f = (struct fetching *)task;

    if (f->is_offloaded)
        return;
    fail(f, FAIL_CANCELLED, NULL);
    for (size_t i = 0; i < f->next; i++) {
        if (f->pieces[i].task == NULL)
            continue;
        storage_cancel(f->pieces[i].task);
        f->pieces[i].task = NULL;
        f->running--;
    }
    pump(f);
}

static void add(struct fetching *f, enum chunk_form form, uint32_t index, uint64_t size,
                uint64_t at)
{
    for (uint64_t offset = 0; offset < size; offset += PIECE)
        f->pieces[f->count++] = (struct piece){
            .owner = f,
            .form = form,
            .index = index,
            .offset = offset,
            .length = size - offset < PIECE ? size - offset : PIECE,
            .at = at + offset,
        };
}

static void add_all(struct fetching *f, const struct bucket_list *list)
{
    uint64_t at = 0;

    f->pieces =
        mem_alloc((f->fetch.size / PIECE + 1 + (list ? list->count : 0)) * sizeof(*f->pieces));
    if (list == NULL)
        add(f, CHUNK_SOURCE, 0, f->fetch.size, 0);
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        add(f, list->chunks[i].form, i, list->chunks[i].size, at);
        at += list->chunks[i].size;
    }
}

void bucket_fetch(const struct bucket_fetch *fetch)
{
    struct fetching *f = mem_new(struct fetching);

    f->fetch = *fetch;
    f->pipeline = fetch->pipeline;
    f->file = -1;
    f->task.cancel = cancel;
    f->pipeline->task = &f->task;
    f->is_offloaded = true;
    buf_init(&f->why, 1024);
    buf_init(&f->part, 4096);
    buf_printf(&f->part, "%s.part", f->pipeline->source);
    add_all(f, fetch->list);
    io_offload(f->pipeline->owner->parts.loop, prepare, prepared, f);
}

/* What another node had */

struct bringing {
    struct media_task task; /* first; the pipeline's while it lists */
    struct pipeline *pipeline;
    struct bucket_listing *listing; /* under way, or NULL */
    void (*done)(struct pipeline *p, int err, const char *why);
};

bool bucket_wants_source(const struct pipeline *p)
{
    return p->spec.plan == PLAN_UPLOAD && bucket_has(p->owner, &p->spec.upload) && !p->has_file &&
           (p->step == &step_probe || p->step == &step_clean || p->step == &step_convert);
}

static void bringing(struct pipeline *p, uint64_t bytes)
{
    static const double from = 0.05, to = 0.15;
    double share = p->spec.bytes > 0 ? (double)bytes / (double)p->spec.bytes : 1;

    if (p->step == &step_convert)
        pipeline_say(p, "converting", from + (to - from) * share, "Downloading from storage", NULL);
}

static void chunks_listed(void *context, int err, const char *why, const struct bucket_list *list)
{
    struct bringing *b = context;
    struct pipeline *p = b->pipeline;
    uint64_t size = 0;

    p->task = NULL;
    for (uint32_t i = 0; list != NULL && i < list->count; i++)
        size += list->chunks[i].size;
    err = pipeline_storage_err(err);
    if (err == OK && size != p->spec.bytes) {
        err = FAIL_STATE;
        why = "what is in the storage has another size by now";
    }
    if (err)
        b->done(p, err, why);
    else
        bucket_fetch(&(struct bucket_fetch){
            .pipeline = p, .list = list, .size = size, .moved = bringing, .done = b->done });
    mem_free(b);
}

static void bringing_stopped(void *context)
{
    chunks_listed(context, FAIL_CANCELLED, "cancelled", NULL);
}

static void cancel_listing(struct media_task *task)
{
    struct bringing *b = (struct bringing *)task;

    if (b->listing == NULL)
        return;
    bucket_list_cancel(b->listing);
    b->listing = NULL;
    media_later(b->pipeline->owner->parts.loop, bringing_stopped, b);
}

void bucket_bring_source(struct pipeline *p,
                         void (*done)(struct pipeline *p, int err, const char *why))
{
    const struct upload *u = &p->spec.upload;

    bringing(p, 0);
    if (u->place.layout == LAYOUT_PARTS) {
        bucket_fetch(&(struct bucket_fetch){
            .pipeline = p, .size = p->spec.bytes, .moved = bringing, .done = done });
        return;
    }
    struct bringing *b = mem_new(struct bringing);
    b->task.cancel = cancel_listing;
    b->pipeline = p;
    b->done = done;
    p->task = &b->task;
    b->listing = bucket_list(p->owner->parts.storage, p->video, &u->place, u->total_chunks,
                             chunks_listed, b);
}
