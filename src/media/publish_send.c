/* Files of a tree on their way, several at a time. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/publish_room.h"
#include "media/rendition.h"
#include "proto/content.h"

enum {
    PARALLEL_MAX = 16, /* the storage has its own limit; this is of open files */
    TELL_MS = 250,
};

/*   open (worker) ──> put ──> ended
 *        ├── it is there already ──┤
 *        └── copy ── done ─────────┘
 *               └── failed ──> put
 *   ask (head) ──> ended, or open */
struct publish_sending {
    struct publish_sending *prev, *next;
    struct publish *owner;
    struct publish_file *file;
    struct storage_task *task;
    int fd, err;
    bool is_opening, is_same, is_cancelled;
    struct publish_stamp stamp;
};

void publish_key(const struct publish *p, const char *name, struct buf *out)
{
    buf_init(out, PUBLISH_KEY_MAX);
    buf_printf(out, "%s/%s", p->key, name);
}

void publish_tell(struct publish *p, bool is_now)
{
    const struct publish_sending *s;
    uint64_t now = uv_now(p->loop), sent = p->sent;

    if (!p->is_finishing || p->phase < PHASE_SENDING || (!is_now && now < p->told_ms + TELL_MS))
        return;
    p->told_ms = now;
    DL_FOREACH(p->sendings, s)
    sent += s->file->moved;
    p->events->moved(p->context, sent < p->total ? sent : p->total, p->total);
}

void publish_enqueue(struct publish *p, struct publish_file *f)
{
    if (f->is_queued)
        return;
    f->state = PUBLISH_WAITING;
    f->is_queued = true;
    DL_APPEND(p->queue, f);
}

static void sending_free(struct publish_sending *s)
{
    if (s->fd >= 0)
        close(s->fd);
    DL_DELETE(s->owner->sendings, s);
    s->owner->sending_count--;
    mem_free(s);
}

static void end(struct publish_sending *s, int err, const char *why)
{
    struct publish *p = s->owner;
    struct publish_file *f = s->file;

    f->moved = 0;
    f->state = err ? PUBLISH_WAITING : PUBLISH_SENT;
    f->stamp = s->stamp;
    if (err == OK && f->is_wanted && p->phase >= PHASE_SENDING)
        p->sent += s->stamp.size;
    sending_free(s);
    if (f->is_doomed)
        publish_enqueue(p, f);
    if (err && !(f->kind == PUBLISH_NOTE && p->is_finishing))
        publish_fail(p, err, why);
    publish_sending_ended(p);
}

static void moved(void *context, uint64_t bytes)
{
    struct publish_sending *s = context;

    if (!s->file->is_wanted)
        return;
    s->file->moved = bytes;
    publish_tell(s->owner, false);
}

static void put_ended(void *context, int err, const char *why)
{
    struct publish_sending *s = context;

    s->task = NULL;
    end(s, err, why);
}

static void put(struct publish_sending *s)
{
    struct publish *p = s->owner;
    struct buf key;

    publish_key(p, s->file->name, &key);
    s->task = storage_put(p->storage, &(struct storage_put){
                                          .key = buf_text(&key),
                                          .content_type = content_type_of(str_of(s->file->name)),
                                          /* The key is made for one conversion. */
                                          .cache_control = "public, max-age=31536000, immutable",
                                          .has_file = true,
                                          .file = s->fd,
                                          .length = s->stamp.size,
                                          .moved = moved,
                                          .done = put_ended,
                                          .context = s,
                                      });
    buf_deinit(&key);
}

static void put_note(struct publish_sending *s)
{
    struct publish *p = s->owner;
    struct buf key;

    publish_key(p, publish_note, &key);
    s->task = storage_put(p->storage, &(struct storage_put){ .key = buf_text(&key),
                                                             .content_type = "text/plain",
                                                             .bytes = str_of(p->note),
                                                             .moved = moved,
                                                             .done = put_ended,
                                                             .context = s });
    buf_deinit(&key);
}

/* What another claim had sent already becomes ours without passing through us. */

static bool is_inherited(const struct publish *p, const struct publish_file *f)
{
    const char *slash = strchr(f->name, '/');
    char expected[PLAYLIST_NAME];
    unsigned number;

    if (p->inherited == 0 || slash == NULL || publish_is_sound(f->name) ||
        sscanf(slash + 1, "s%9u.m4s", &number) != 1 || number >= p->inherited)
        return false;
    rendition_segment_name(number, expected);
    return strcmp(slash + 1, expected) == 0;
}

/* Where one cannot be copied, none is tried any more. */
static void copied(void *context, int err, const char *why)
{
    struct publish_sending *s = context;

    s->task = NULL;
    if (err == OK) {
        end(s, OK, why);
        return;
    }
    s->owner->inherited = 0;
    put(s);
}

static void copy(struct publish_sending *s)
{
    struct publish *p = s->owner;
    struct buf key, from;

    publish_key(p, s->file->name, &key);
    buf_init(&from, PUBLISH_KEY_MAX);
    buf_printf(&from, "%s/%s", p->from, s->file->name);
    s->task = storage_copy(p->storage, buf_text(&key), buf_text(&from), copied, s);
    buf_deinit(&key);
    buf_deinit(&from);
}

static void open_work(void *context)
{
    struct publish_sending *s = context;
    const struct publish_file *f = s->file;
    char digest[MD5_HEX_SIZE];

    s->err = publish_open(s->owner->tree, f->name, &s->fd, &s->stamp);
    if (s->err == OK && f->is_known && f->there == s->stamp.size &&
        digest_md5_of_file(s->fd, s->stamp.size, NULL, digest) == OK)
        s->is_same = strcmp(digest, f->etag) == 0;
}

static void opened(void *context)
{
    struct publish_sending *s = context;
    struct publish *p = s->owner;

    s->is_opening = false;
    p->offloaded--;
    if (s->is_cancelled) {
        sending_free(s);
        publish_sending_ended(p);
        return;
    }
    s->file->is_known = false;
    if (s->err == FAIL_MISSING && !p->is_finishing) { /* it is being made anew */
        s->file->state = PUBLISH_ABSENT;
        if (s->file->is_doomed)
            publish_enqueue(p, s->file);
        sending_free(s);
        publish_sending_ended(p);
    } else if (s->err || s->is_same) {
        end(s, s->err, s->err ? "a finished file cannot be read" : NULL);
    } else if (is_inherited(p, s->file)) {
        copy(s);
    } else {
        put(s);
    }
}

static void open_file(struct publish_sending *s)
{
    s->is_opening = true;
    s->owner->offloaded++;
    io_offload(s->owner->loop, open_work, opened, s);
}

/* What is there but not listed yet is as well. */
static void asked(void *context, int err, const char *why, const struct storage_object *object)
{
    struct publish_sending *s = context;

    s->task = NULL;
    s->stamp = s->file->stamp;
    s->file->is_sure = err == OK && object->size == s->stamp.size;
    if (s->file->is_sure)
        end(s, OK, NULL);
    else if (err == OK || err == FAIL_MISSING)
        open_file(s);
    else
        end(s, err, why);
}

static void ask(struct publish_sending *s)
{
    struct buf key;

    publish_key(s->owner, s->file->name, &key);
    s->file->is_asked = false;
    s->task = storage_head(s->owner->storage, buf_text(&key), asked, s);
    buf_deinit(&key);
}

/* What is not in the tree */

static void removed(void *context, int err, const char *why)
{
    struct publish_sending *s = context;
    struct publish *p = s->owner;

    s->file->state = PUBLISH_ABSENT;
    s->file->is_sure = true;
    bool is_note = s->file->kind == PUBLISH_NOTE; /* it does no harm */
    sending_free(s);
    if (err && !is_note)
        publish_fail(p, err, why);
    publish_sending_ended(p);
}

static void remove_object(struct publish_sending *s)
{
    struct buf key;

    publish_key(s->owner, s->file->name, &key);
    s->task = storage_remove(s->owner->storage, buf_text(&key), removed, s);
    buf_deinit(&key);
}

static void begin(struct publish_sending *s)
{
    const struct publish *p = s->owner;
    bool is_note = s->file->kind == PUBLISH_NOTE;
    bool goes = is_note ? s->file->is_doomed || p->phase == PHASE_TIDYING
                        : p->is_finishing && !s->file->is_wanted;

    s->file->is_doomed = false;
    if (goes)
        remove_object(s);
    else if (strcmp(s->file->name, publish_note) == 0)
        put_note(s);
    else if (s->file->is_asked)
        ask(s);
    else
        open_file(s);
}

void publish_pump(struct publish *p)
{
    while (p->queue != NULL && p->sending_count < PARALLEL_MAX) {
        struct publish_file *f = p->queue;
        struct publish_sending *s = mem_new(struct publish_sending);
        DL_DELETE(p->queue, f);
        f->is_queued = false;
        f->state = PUBLISH_SENDING;
        s->owner = p;
        s->file = f;
        s->fd = -1;
        DL_APPEND(p->sendings, s);
        p->sending_count++;
        begin(s);
    }
}

void publish_stop_sending(struct publish *p)
{
    struct publish_sending *s, *next;

    DL_FOREACH_SAFE(p->sendings, s, next)
    {
        s->is_cancelled = true;
        if (s->is_opening)
            continue;
        if (s->task != NULL)
            storage_cancel(s->task);
        sending_free(s);
    }
}
