/* What is not used any more, out of the bucket: a source that is no video, chunks that were
 * made parts of. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/bucket.h"
#include "media/task.h"

struct refusal {
    struct pipeline *pipeline;
    int err;
};

static void refused(void *context, int err, const char *why)
{
    struct refusal *r = context;
    struct pipeline *p = r->pipeline;
    int fault = r->err;

    mem_free(r);
    if (err)
        log_warn("source_kept", LOG_S("job", p->video), LOG_S("why", why ? why : ""));
    pipeline_step_done(p, fault, buf_text(&p->why));
}

void bucket_refuse(struct pipeline *p, int err)
{
    struct upload_place *place = &p->spec.upload.place;
    struct refusal *r;

    if (place->layout != LAYOUT_PARTS) {
        pipeline_step_done(p, err, buf_text(&p->why));
        return;
    }
    r = mem_new(struct refusal);
    r->pipeline = p;
    r->err = err;
    place->layout = LAYOUT_UNDECIDED;
    place->multipart[0] = '\0';
    p->spec.upload.has_source = false;
    bucket_clear(p->owner->parts.storage, p->video, refused, r);
}

/* The chunks */

struct cleaning {
    struct media_task task; /* first */
    struct pipeline *pipeline;
    struct storage_task *removal; /* under way, or NULL */
    storage_done *done;
};

static void clean_end(struct cleaning *c, int err, const char *why)
{
    struct pipeline *p = c->pipeline;
    storage_done *done = c->done;

    p->task = NULL;
    mem_free(c);
    done(p, err, why);
}

static void chunks_removed(void *context, int err, const char *why)
{
    clean_end(context, err, why);
}

static void clean_broken_off(void *context)
{
    clean_end(context, FAIL_CANCELLED, NULL);
}

/* A storage that is away holds up nobody who cancels. */
static void cancel_clean(struct media_task *task)
{
    struct cleaning *c = (struct cleaning *)task;

    if (c->removal == NULL)
        return;
    storage_cancel(c->removal);
    c->removal = NULL;
    media_later(c->pipeline->owner->parts.loop, clean_broken_off, c);
}

void bucket_clean(struct pipeline *p, storage_done *done)
{
    struct cleaning *c;

    if (p->spec.upload.place.layout != LAYOUT_PARTS) { /* they are the source */
        done(p, OK, NULL);
        return;
    }
    c = mem_new(struct cleaning);
    c->task.cancel = cancel_clean;
    c->pipeline = p;
    c->done = done;
    p->task = &c->task;
    c->removal = storage_remove_all(p->owner->parts.storage, bucket_chunks(p->video).text,
                                    chunks_removed, c);
}
