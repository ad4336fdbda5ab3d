/* How a pipeline goes without its job ending: given back, or taken away. */
#include <assert.h>
#include <stdio.h>

#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/pipeline_run.h"
#include "media/publish.h"

enum { SETTLE_MS = 1000 };

/* One that is gone, or about to. Another that has taken over publishes under a key of its
 * own, and has a scratch of its own on a disk of its own. */
struct gone {
    struct pipelines *owner;
    uint64_t token;
    bool has_sent; /* to a key that nobody else will have */
    uv_timer_t timer;
    char video[JOB_ID_MAX + 1];
    char key[sizeof((struct spec *)0)->key];
};

/* While the end is being told, nobody knows whose the tree is. */
static struct gone *gone_new(const struct pipeline *p)
{
    struct gone *g = mem_new(struct gone);

    g->owner = p->owner;
    g->token = p->token;
    g->has_sent = p->has_sent && !p->is_ending;
    snprintf(g->video, sizeof(g->video), "%s", p->video);
    snprintf(g->key, sizeof(g->key), "%s", p->spec.key);
    p->owner->pending++;
    return g;
}

static void settled(struct gone *g)
{
    struct pipelines *ps = g->owner;

    mem_free(g);
    pipelines_settled(ps);
}

static void scratch_work(void *context)
{
    struct gone *g = context;

    disk_scratch_clear(g->owner->parts.disk, g->video, g->token, "");
}

static void scratch_cleared(void *context)
{
    settled(context);
}

static void clear_scratch(struct gone *g)
{
    io_offload(g->owner->parts.loop, scratch_work, scratch_cleared, g);
}

static void tree_removed(void *context, int err, const char *why)
{
    (void)err; /* whoever completes the job removes it */
    (void)why;
    clear_scratch(context);
}

static void timer_closed(uv_handle_t *handle)
{
    struct gone *g = handle->data;

    trees_clear(g->owner->parts.storage, g->video, g->key, TREE_REMOVED, tree_removed, g);
}

static void on_settled(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, timer_closed);
}

/* What was cancelled just now may arrive yet: the storage may have all of it already. */
static void clear(struct gone *g)
{
    if (!g->has_sent) {
        clear_scratch(g);
        return;
    }
    uv_timer_init(g->owner->parts.loop, &g->timer);
    g->timer.data = g;
    uv_timer_start(&g->timer, on_settled, SETTLE_MS, 0);
}

void pipeline_free(struct pipeline *p)
{
    struct pipelines *ps = p->owner;

    assert(p->task == NULL);
    if (p->publish != NULL)
        publish_abandon(p->publish);
    if (p->is_lost && ps->parts.storage != NULL)
        clear(gone_new(p));
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

/* FAIL_STALE: another has it by now. */
static void left(void *context, int err)
{
    struct gone *g = context;

    if (err == FAIL_STALE && g->owner->parts.storage != NULL)
        clear(g);
    else
        settled(g);
}

void pipeline_leave(struct pipeline *p, enum book_leaving how)
{
    struct pipeline_book *book = p->owner->book;
    struct gone *g = gone_new(p);

    book->ops->leave(book,
                     &(struct book_leave){
                         .video = p->video,
                         .token = p->token,
                         .how = how,
                         .why = buf_text(&p->why),
                     },
                     left, g);
    pipeline_free(p);
}

/* FAIL_CANCELLED: the book is being closed. Whoever takes it up finds all there is. */
bool pipeline_forget(struct pipeline *p, int err)
{
    bool is_gone = p->is_lost || (p->token > 0 && (err == FAIL_STALE || err == FAIL_CANCELLED));

    p->is_lost = p->is_lost || (is_gone && err == FAIL_STALE && !p->is_ending);
    if (is_gone)
        pipeline_free(p);
    return is_gone;
}
