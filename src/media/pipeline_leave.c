/* How a pipeline goes without its job ending: given back, or taken away. */
#include <assert.h>
#include <stdio.h>

#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/pipeline_run.h"
#include "media/publish.h"

/* Another has taken over: it publishes under a key of its own, and has a scratch of its
 * own on a disk of its own. */
struct lost {
    struct pipelines *owner;
    uint64_t token;
    char video[JOB_ID_MAX + 1];
};

static void lost_work(void *context)
{
    struct lost *l = context;

    disk_scratch_clear(l->owner->parts.disk, l->video, l->token, "");
}

static void lost_cleared(void *context)
{
    struct lost *l = context;
    struct pipelines *ps = l->owner;

    mem_free(l);
    pipelines_settled(ps);
}

static void lost_tree_removed(void *context, int err, const char *why)
{
    struct lost *l = context;

    (void)err; /* whoever completes the job removes it */
    (void)why;
    io_offload(l->owner->parts.loop, lost_work, lost_cleared, l);
}

/* While the end is being told, nobody knows whose the tree is. */
static void clear_lost(struct pipeline *p)
{
    struct pipelines *ps = p->owner;

    if (!p->is_lost || ps->parts.storage == NULL)
        return;
    struct lost *l = mem_new(struct lost);
    l->owner = ps;
    l->token = p->token;
    snprintf(l->video, sizeof(l->video), "%s", p->video);
    ps->pending++;
    if (p->has_sent && !p->is_ending)
        trees_clear(ps->parts.storage, p->video, p->spec.key, TREE_REMOVED, lost_tree_removed, l);
    else
        io_offload(ps->parts.loop, lost_work, lost_cleared, l);
}

void pipeline_free(struct pipeline *p)
{
    struct pipelines *ps = p->owner;

    assert(p->task == NULL);
    if (p->publish != NULL)
        publish_abandon(p->publish);
    clear_lost(p);
    pipeline_stop_converting(p);
    if (p->reserved > 0)
        disk_unreserve(ps->parts.disk, p->reserved);
    DL_DELETE(ps->running, p);
    ps->count--;
    buf_deinit(&p->why);
    mem_free(p->scratch);
    mem_free(p->source);
    mem_free(p->note);
    mem_free(p->inherited);
    mem_free(p);
    pipelines_drained(ps);
}

static void left(void *context, int err)
{
    (void)err; /* another has it by now: that is as well */
    pipelines_settled(context);
}

void pipeline_leave(struct pipeline *p, enum book_leaving how)
{
    struct pipelines *ps = p->owner;
    struct book_leave leave = { .video = p->video, .token = p->token, .how = how };

    leave.why = buf_text(&p->why);
    ps->pending++;
    ps->book->ops->leave(ps->book, &leave, left, ps);
    pipeline_free(p);
}

/* FAIL_CANCELLED: the book is being closed. Whoever takes it up finds all there is. */
bool pipeline_forget(struct pipeline *p, int err)
{
    bool is_gone = p->is_lost || (p->token > 0 && (err == FAIL_STALE || err == FAIL_CANCELLED));

    if (is_gone)
        pipeline_free(p);
    return is_gone;
}
