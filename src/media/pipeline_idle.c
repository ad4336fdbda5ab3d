/* Uploads that have all their bytes, and of which nobody asks for the assembly: who stored
 * the last ones has died, or could not say so. Each is looked at when it has been idle for
 * a while, and again a minute later; one at a time. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/bucket.h"
#include "media/pipeline_run.h"
#include "storage/slices.h"

enum {
    IDLE_MS = 10 * 1000,  /* who stores the last bytes asks sooner for the assembly */
    AGAIN_MS = 60 * 1000, /* clocks of nodes may differ by as much */
};

struct looking {
    struct pipelines *owner;
    int64_t reached_ms; /* what was touched before is in `videos`, or was looked at before */
    char (*videos)[JOB_ID_MAX + 1];
    size_t count, at;
    bool has_failed;
    struct upload upload;
    struct slices slices;
    int err;
};

static void look_next(struct looking *l);

static void end(struct looking *l)
{
    struct pipelines *ps = l->owner;

    if (!l->has_failed)
        ps->looked_ms = l->reached_ms;
    ps->is_looking = false;
    mem_free(l->videos);
    mem_free(l);
    pipelines_settled(ps);
}

static void pass(struct looking *l, int err)
{
    l->has_failed |= err && err != FAIL_STATE && err != FAIL_MISSING && err != FAIL_SYNTAX;
    l->at++;
    look_next(l);
}

static void begun(void *context, int err, const char *why)
{
    struct looking *l = context;

    if (err && err != FAIL_STATE)
        log_warn("resume_refused", LOG_S("job", l->videos[l->at]), LOG_S("reason", fail_name(err)),
                 LOG_S("why", why ? why : ""));
    pass(l, err);
}

static void counted(struct looking *l)
{
    bool is_whole = l->err == OK && !l->slices.grows && l->slices.chunks > 0 &&
                    l->slices.bytes == (uint64_t)l->upload.size;

    if (!is_whole) {
        pass(l, l->err);
        return;
    }
    log_info("upload_taken_up", LOG_S("job", l->videos[l->at]));
    pipelines_assemble(l->owner, l->videos[l->at], l->upload.file_name, l->slices.chunks, begun, l);
}

static void count_work(void *context)
{
    struct looking *l = context;

    l->err = disk_slices_of(l->owner->parts.disk, l->videos[l->at], l->upload.size, &l->slices);
}

static void count_done(void *context)
{
    counted(context);
}

static void told(void *context, int err, const int64_t *sizes)
{
    struct looking *l = context;
    struct slices *s = &l->slices;

    l->err = err;
    while (err == OK && s->chunks < CHUNKS_MAX && sizes[s->chunks] >= 0)
        s->bytes += (uint64_t)sizes[s->chunks++];
    counted(l);
}

static bool is_awaited(const struct upload *u)
{
    return u->state == UPLOAD_OPEN && u->is_tus && !u->is_partial && !u->has_failed &&
           !u->has_source && u->size > 0;
}

static void found(void *context, int err, const struct upload *upload, const char *title)
{
    struct looking *l = context;

    (void)title;
    if (err || !is_awaited(upload)) {
        pass(l, err);
        return;
    }
    l->upload = *upload;
    l->upload.total_chunks = CHUNKS_MAX;
    l->slices = (struct slices){ 0 };
    if (bucket_has(l->owner, upload))
        pipelines_chunks(l->owner, l->videos[l->at], &l->upload, told, l);
    else
        io_offload(l->owner->parts.loop, count_work, count_done, l);
}

static void look_next(struct looking *l)
{
    struct pipeline_book *book = l->owner->book;

    if (l->at == l->count || l->owner->is_draining)
        end(l);
    else
        book->ops->find(book, l->videos[l->at], found, l);
}

static void listed(void *context, int err, const struct book_idle *idle)
{
    struct looking *l = context;

    l->has_failed = err != OK;
    if (err == OK) {
        l->reached_ms = idle->reached_ms;
        l->count = idle->count;
        l->videos = mem_zalloc((idle->count + 1) * sizeof(*l->videos));
    }
    for (size_t i = 0; i < l->count; i++)
        snprintf(l->videos[i], sizeof(*l->videos), "%s", idle->videos[i]);
    look_next(l);
}

void pipelines_look_for_idle(struct pipelines *ps)
{
    int64_t since_ms = ps->looked_ms - AGAIN_MS;

    if (ps->is_looking || ps->is_draining)
        return;
    struct looking *l = mem_new(struct looking);
    l->owner = ps;
    ps->is_looking = true;
    ps->pending++;
    ps->book->ops->idle(ps->book, since_ms > 0 ? since_ms : 0, clock_wall_ms() - IDLE_MS, listed,
                        l);
}
