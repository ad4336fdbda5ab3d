#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/bucket.h"
#include "media/bucket_desk.h"

/* One upload: what is begun is aborted, then all objects go. */

enum { WHY_MAX = 512 };

struct pending {
    struct pending *next;
    char *key, *id;
};

struct clearing {
    struct storage *storage;
    struct pending *list;
    storage_done *done;
    void *context;
    bool has_asked_for_source;
    int err; /* the first one: all else is removed nevertheless */
    struct buf why;
    char video[JOB_ID_MAX + 1];
};

static void note_failure(struct clearing *c, int err, const char *why)
{
    if (err == OK || c->err)
        return;
    c->err = err;
    buf_puts(&c->why, why != NULL ? why : fail_text(err));
}

static void cleared(void *context, int err, const char *why)
{
    struct clearing *c = context;

    note_failure(c, err, why);
    c->done(c->context, c->err, c->err ? buf_text(&c->why) : NULL);
    buf_deinit(&c->why);
    mem_free(c);
}

static bool on_pending(void *context, const struct storage_pending *pending)
{
    struct clearing *c = context;
    struct pending *p = mem_new(struct pending);

    p->key = mem_strdup(pending->key);
    p->id = mem_strdup(pending->id);
    LL_PREPEND(c->list, p);
    return true;
}

static void uploads_listed(void *context, int err, const char *why);

static void abort_next(void *context, int err, const char *why)
{
    struct clearing *c = context;
    struct pending *p = c->list;

    note_failure(c, err, why);
    if (p == NULL) {
        storage_remove_all(c->storage, bucket_folder(c->video).text, cleared, c);
        return;
    }
    LL_DELETE(c->list, p);
    storage_upload_abort(c->storage, p->key, p->id, abort_next, c);
    mem_free(p->key);
    mem_free(p->id);
    mem_free(p);
}

/* MinIO lists those of a key, and none for what is only the beginning of one. */
static void ask_for_source(struct clearing *c)
{
    c->has_asked_for_source = true;
    storage_uploads(c->storage, bucket_source(c->video).text, on_pending, uploads_listed, c);
}

static void uploads_listed(void *context, int err, const char *why)
{
    struct clearing *c = context;

    if (err == OK && c->list == NULL && !c->has_asked_for_source)
        ask_for_source(c);
    else
        abort_next(c, err, why);
}

void bucket_clear(struct storage *s, const char *video, storage_done *done, void *context)
{
    struct clearing *c = mem_new(struct clearing);

    c->storage = s;
    c->done = done;
    c->context = context;
    buf_init(&c->why, WHY_MAX);
    snprintf(c->video, sizeof(c->video), "%s", video);
    storage_uploads(s, bucket_folder(video).text, on_pending, uploads_listed, c);
}

/* What belongs to no upload: of a crash between two writes, or of records that are gone.
 * A bit of it at a time. */

enum { STRAYS_MAX = 256, SWEEP_MIN_MS = 1000, SWEEP_MAX_MS = 60 * 60 * 1000 };

struct stray {
    struct stray *next;
    char *key, *id; /* a multipart upload of ours that broke off; NULL: an upload's chunks */
    char video[JOB_ID_MAX + 1];
};

static void stray_free(struct stray *t)
{
    mem_free(t->key);
    mem_free(t->id);
    mem_free(t);
}

struct sweeping {
    struct pipelines *owner;
    int64_t before_s;
    struct stray *list;
    size_t count;
};

static void sweep_end(struct sweeping *s)
{
    struct pipelines *ps = s->owner;
    struct stray *t;

    while ((t = s->list) != NULL) {
        LL_DELETE(s->list, t);
        stray_free(t);
    }
    ps->bucket->is_sweeping = false;
    mem_free(s);
    pipelines_settled(ps);
}

static void sweep_next(struct sweeping *s);

static void first_done(struct sweeping *s)
{
    struct stray *t = s->list;

    LL_DELETE(s->list, t);
    stray_free(t);
    sweep_next(s);
}

static void stray_removed(void *context, int err, const char *why)
{
    struct sweeping *s = context;

    if (err)
        log_warn("strays_kept", LOG_S("job", s->list->video), LOG_S("why", why ? why : ""));
    else
        log_info("strays_removed", LOG_S("job", s->list->video));
    first_done(s);
}

static void remove_stray(struct sweeping *s)
{
    struct storage *storage = s->owner->parts.storage;
    struct stray *t = s->list;

    if (t->key != NULL)
        storage_upload_abort(storage, t->key, t->id, stray_removed, s);
    else
        bucket_clear(storage, t->video, stray_removed, s);
}

static void looked(void *context, int err, const struct upload *upload, const char *title)
{
    struct sweeping *s = context;

    (void)upload;
    (void)title;
    if (err == FAIL_MISSING && !s->owner->is_draining)
        remove_stray(s);
    else
        first_done(s);
}

static void sweep_next(struct sweeping *s)
{
    struct pipeline_book *book = s->owner->book;

    if (s->list == NULL || s->owner->is_draining)
        sweep_end(s);
    else
        book->ops->find(book, s->list->video, looked, s);
}

static bool name_of(const char *key, char out[JOB_ID_MAX + 1])
{
    static const char folder[] = "uploads/";
    const char *at = key + sizeof(folder) - 1, *slash;

    if (strncmp(key, folder, sizeof(folder) - 1) != 0 || (slash = strchr(at, '/')) == NULL ||
        slash - at > JOB_ID_MAX)
        return false;
    snprintf(out, JOB_ID_MAX + 1, "%.*s", (int)(slash - at), at);
    return job_id_is_valid(str_of(out));
}

static bool note(struct sweeping *s, const char *key, int64_t when_s)
{
    struct stray *t;
    char video[JOB_ID_MAX + 1];

    if (when_s < 0 || when_s >= s->before_s || !name_of(key, video))
        return true;
    LL_FOREACH(s->list, t)
    if (strcmp(t->video, video) == 0)
        return true;
    t = mem_new(struct stray);
    memcpy(t->video, video, sizeof(video));
    LL_PREPEND(s->list, t);
    return ++s->count < STRAYS_MAX;
}

/* "downloads/VIDEO-RANDOM/NAME", "videos/hls/VIDEO-RANDOM/...": what was being sent for a
 * video that is not worked on any more. */
static bool note_sent(struct sweeping *s, const struct storage_pending *pending)
{
    const char *folder = strncmp(pending->key, "videos/", 7) == 0 ? strchr(pending->key + 7, '/')
                                                                  : strchr(pending->key, '/');
    struct str at = str_of(folder != NULL ? folder + 1 : ""), name = str_cut(&at, '/');

    while (name.len > 0 && name.at[name.len - 1] != '-')
        name.len--;
    if (name.len <= 1 || name.len - 1 > JOB_ID_MAX || pending->begun_s < 0 ||
        pending->begun_s >= s->before_s)
        return true;
    struct stray *t = mem_new(struct stray);
    snprintf(t->video, sizeof(t->video), "%.*s", (int)name.len - 1, name.at);
    t->key = mem_strdup(pending->key);
    t->id = mem_strdup(pending->id);
    LL_PREPEND(s->list, t);
    return ++s->count < STRAYS_MAX;
}

/* Lists may have thousands of pages; nobody who ends waits for the last one. */
static bool goes_on(const struct sweeping *s)
{
    return !s->owner->is_draining;
}

static bool on_sent(void *context, const struct storage_pending *pending)
{
    return goes_on(context) && note_sent(context, pending);
}

static bool on_upload(void *context, const struct storage_pending *pending)
{
    return goes_on(context) && note(context, pending->key, pending->begun_s);
}

static bool on_object(void *context, const struct storage_object *o)
{
    return goes_on(context) && note(context, o->key, o->modified_s);
}

static void all_seen(void *context, int err, const char *why)
{
    struct sweeping *s = context;

    if (err)
        log_warn("strays_unknown", LOG_S("why", why ? why : ""));
    sweep_next(s);
}

static void downloads_seen(void *context, int err, const char *why)
{
    struct sweeping *s = context;

    if (err)
        all_seen(s, err, why);
    else
        storage_uploads(s->owner->parts.storage, "videos/", on_sent, all_seen, s);
}

static void objects_seen(void *context, int err, const char *why)
{
    struct sweeping *s = context;

    if (err)
        all_seen(s, err, why);
    else
        storage_uploads(s->owner->parts.storage, "downloads/", on_sent, downloads_seen, s);
}

static void uploads_seen(void *context, int err, const char *why)
{
    struct sweeping *s = context;

    if (err)
        objects_seen(s, err, why);
    else
        storage_list(s->owner->parts.storage, "uploads/", on_object, objects_seen, s);
}

void bucket_sweep(struct pipelines *ps, int64_t before_ms)
{
    struct bucket_desk *d = ps->bucket;
    int64_t now_ms = clock_wall_ms(), every_ms = (now_ms - before_ms) / 2;

    if (every_ms > SWEEP_MAX_MS)
        every_ms = SWEEP_MAX_MS;
    if (every_ms < SWEEP_MIN_MS)
        every_ms = SWEEP_MIN_MS;
    if (d->is_sweeping || ps->is_draining || now_ms - d->swept_ms < every_ms)
        return;
    struct sweeping *s = mem_new(struct sweeping);
    s->owner = ps;
    s->before_s = before_ms / 1000;
    d->is_sweeping = true;
    d->swept_ms = now_ms;
    ps->pending++;
    storage_uploads(ps->parts.storage, "uploads/", on_upload, uploads_seen, s);
}
