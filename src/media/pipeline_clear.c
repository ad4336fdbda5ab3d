/* What is cleared off the disk and out of the storage when a job has ended. */
#include <stdio.h>

#include <utlist.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/bucket.h"
#include "media/pipeline_run.h"
#include "media/publish.h"

enum { KEPT_MAX = 10000, KEPT_AT_ONCE = 16 };

/* The remains of a job that has ended. Its work record is dropped only when they
 * are gone, so that a crash, or a disk that refuses, leaves them to the next
 * start. */
struct remains {
    struct remains *next; /* kept for later */
    struct pipelines *owner;
    uint64_t token;
    enum tree_fate fate;
    int err;
    char video[JOB_ID_MAX + 1];
    char key[sizeof((struct spec *)0)->key];
};

static void remove_work(void *context)
{
    struct remains *r = context;
    struct disk *disk = r->owner->parts.disk;

    r->err = disk_chunks_remove(disk, r->video);
    if (r->err == OK)
        r->err = disk_scratch_remove(disk, r->video);
    if (r->err == OK && r->fate != TREE_KEPT && r->key[0] != '\0')
        r->err = disk_unpublish(disk, r->key);
}

static void dropped(void *context, int err)
{
    struct remains *r = context;
    struct pipelines *ps = r->owner;

    (void)err;
    mem_free(r);
    pipelines_settled(ps);
}

/* Alone, nobody else will come for them. */
static bool keep_for_later(struct remains *r)
{
    struct pipelines *ps = r->owner;

    if (r->err == OK || r->token > 0 || ps->is_draining || ps->kept_count >= KEPT_MAX)
        return false;
    LL_APPEND(ps->kept, r);
    ps->kept_count++;
    pipelines_settled(ps);
    return true;
}

static void leave(struct remains *r, const char *why)
{
    struct pipelines *ps = r->owner;

    if (r->err)
        log_warn("remains_kept", LOG_S("job", r->video), LOG_S("reason", fail_name(r->err)),
                 LOG_S("why", why != NULL ? why : fail_text(r->err)));
    if (keep_for_later(r))
        return;
    ps->book->ops->leave(ps->book,
                         &(struct book_leave){ .video = r->video,
                                               .token = r->token,
                                               .how = r->err ? BOOK_RETRY : BOOK_DROP,
                                               .why = "its remains could not be removed" },
                         dropped, r);
}

static void trees_removed(void *context, int err, const char *why)
{
    struct remains *r = context;

    r->err = err;
    leave(r, why);
}

static void chunks_removed(void *context, int err, const char *why)
{
    struct remains *r = context;

    r->err = err;
    if (err)
        leave(r, why);
    else
        trees_clear(r->owner->parts.storage, r->video, r->key, r->fate, trees_removed, r);
}

static void removed(void *context)
{
    struct remains *r = context;
    struct storage *storage = r->owner->parts.storage;

    if (r->err || storage == NULL)
        leave(r, NULL);
    else
        bucket_clear(storage, r->video, chunks_removed, r);
}

static void clear(struct remains *r)
{
    r->owner->pending++;
    io_offload(r->owner->parts.loop, remove_work, removed, r);
}

void pipelines_clear(struct pipelines *ps, const char *video, uint64_t token, const char *key,
                     enum tree_fate fate)
{
    struct remains *r = mem_new(struct remains);

    r->owner = ps;
    r->token = token;
    r->fate = fate;
    snprintf(r->video, sizeof(r->video), "%s", video);
    snprintf(r->key, sizeof(r->key), "%s", key);
    clear(r);
}

static struct remains *take_kept(struct pipelines *ps)
{
    struct remains *r = ps->kept;

    if (r == NULL)
        return NULL;
    LL_DELETE(ps->kept, r);
    ps->kept_count--;
    return r;
}

/* Somebody may have made one anew by that id. */
static void looked_up(void *context, int err, const struct upload *upload, const char *title)
{
    struct remains *r = context;
    struct pipelines *ps = r->owner;

    (void)upload;
    (void)title;
    if (err == FAIL_MISSING)
        clear(r);
    else
        mem_free(r);
    pipelines_settled(ps);
}

void pipelines_clear_kept(struct pipelines *ps)
{
    struct remains *r;

    for (unsigned i = 0; i < KEPT_AT_ONCE && !ps->is_draining && (r = take_kept(ps)) != NULL; i++) {
        ps->pending++;
        ps->book->ops->find(ps->book, r->video, looked_up, r);
    }
}

void pipelines_forget_kept(struct pipelines *ps)
{
    struct remains *r;

    while ((r = take_kept(ps)) != NULL)
        mem_free(r);
}
