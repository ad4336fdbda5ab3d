#include "media/publish.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/publish_room.h"

enum {
    FOLLOW_MS = 500,
    RETRY_MS = 5000, /* to follow a conversion, when the storage was not there */
    ROUNDS_MAX = 4,
    WHY_MAX = 1024,
};

const char publish_note[] = "recipe", publish_sound[] = "sound-";

static enum publish_kind kind_of(const char *name)
{
    if (strcmp(name, publish_note) == 0 || str_starts(str_of(name), str_of(publish_sound)))
        return PUBLISH_NOTE;
    if (strcmp(name, "master.m3u8") == 0)
        return PUBLISH_MASTER;
    return str_ends(str_of(name), STR(".m3u8")) ? PUBLISH_PLAYLIST : PUBLISH_DATA;
}

static struct publish_file *file_of(struct publish *p, const char *name)
{
    struct publish_file *f;

    HASH_FIND_STR(p->files, name, f);
    if (f != NULL)
        return f;
    f = mem_new(struct publish_file);
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->state = PUBLISH_ABSENT;
    f->kind = kind_of(name);
    HASH_ADD_STR(p->files, name, f);
    return f;
}

static bool is_same_file(const struct publish_stamp *a, const struct publish_stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->seconds == b->seconds &&
           a->nanoseconds == b->nanoseconds;
}

/* The end */

static void free_publish(struct publish *p)
{
    struct publish_file *f, *next;

    HASH_ITER(hh, p->files, f, next)
    {
        HASH_DEL(p->files, f);
        mem_free(f);
    }
    mem_free(p->scan.finds.items);
    mem_free(p->tree);
    mem_free(p->key);
    mem_free(p->note);
    mem_free(p->from);
    buf_deinit(&p->why);
    mem_free(p);
}

/* Whatever a storage says of its own is not the video's fault. */
static int ours(int err)
{
    return err == FAIL_SYNTAX || err == FAIL_LIMIT || err == FAIL_UNSUPPORTED ? FAIL_IO : err;
}

static void closed(uv_handle_t *handle)
{
    struct publish *p = handle->data;

    if (!p->is_abandoned)
        p->events->done(p->context, ours(p->err), buf_text(&p->why), p->total);
    free_publish(p);
}

static void close_up(struct publish *p)
{
    if (p->phase != PHASE_OVER || p->offloaded > 0 || p->is_closing)
        return;
    p->is_closing = true;
    uv_close((uv_handle_t *)&p->timer, closed);
}

static void over(struct publish *p)
{
    p->phase = PHASE_OVER;
    p->queue = NULL;
    publish_stop_sending(p);
    if (p->list != NULL)
        storage_cancel(p->list);
    p->list = NULL;
    close_up(p);
}

void publish_fail(struct publish *p, int err, const char *why)
{
    if (p->phase == PHASE_OVER)
        return;
    if (!p->is_finishing || p->phase == PHASE_SETTLING) { /* it is sent again */
        p->retry_ms = uv_now(p->loop) + RETRY_MS;
        p->is_hopeless = err == FAIL_DENIED || err == FAIL_UNTRUSTED || err == FAIL_MISSING;
        return;
    }
    p->err = err;
    buf_puts(&p->why, why && *why ? why : fail_text(err));
    over(p);
}

static void cancel(struct media_task *t)
{
    struct publish *p = (struct publish *)t;

    if (p->phase == PHASE_OVER)
        return;
    p->err = FAIL_CANCELLED;
    over(p);
}

void publish_abandon(struct publish *p)
{
    p->is_abandoned = true;
    if (p->phase != PHASE_OVER)
        over(p);
}

/* Lists */

static bool each_listed(void *context, const struct storage_object *object)
{
    struct publish *p = context;
    const char *name = object->key + strlen(p->key) + 1;

    if (strlen(object->key) <= strlen(p->key) || strlen(name) >= PUBLISH_NAME ||
        HASH_COUNT(p->files) > PUBLISH_FILES_MAX)
        return true;
    struct publish_file *f = file_of(p, name);
    f->is_listed = true;
    f->there = object->size;
    if (p->phase == PHASE_LEARNING && strlen(object->etag) < sizeof(f->etag)) {
        f->is_known = true;
        snprintf(f->etag, sizeof(f->etag), "%s", object->etag);
    }
    return true;
}

static void list(struct publish *p, storage_done *done)
{
    struct buf prefix;

    publish_key(p, "", &prefix);
    p->list = storage_list(p->storage, buf_text(&prefix), each_listed, done, p);
    buf_deinit(&prefix);
}

/* While the tree is being made */

static void settle(struct publish *p);

/* Before anything that it is about. */
static void send_note(struct publish *p)
{
    if (p->note == NULL)
        return;
    publish_enqueue(p, file_of(p, publish_note));
    publish_pump(p);
}

static void learned(void *context, int err, const char *why)
{
    struct publish *p = context;

    p->list = NULL;
    if (err && !p->is_finishing)
        publish_fail(p, err, why);
    p->phase = p->is_finishing ? PHASE_SETTLING : PHASE_FOLLOWING;
    if (p->is_finishing)
        settle(p);
    else
        send_note(p);
}

static void take_finds(struct publish *p)
{
    for (size_t i = 0; i < p->scan.finds.count; i++) {
        const struct publish_found *found = &p->scan.finds.items[i];
        struct publish_file *f = file_of(p, found->name);
        bool is_sent = f->state == PUBLISH_SENT && is_same_file(&f->stamp, &found->stamp);
        if (!is_sent && f->state != PUBLISH_SENDING)
            publish_enqueue(p, f);
    }
    publish_pump(p);
}

static void look_work(void *context)
{
    struct publish *p = context;

    publish_look(p->tree, &p->scan);
}

static void looked(void *context)
{
    struct publish *p = context;

    p->offloaded--;
    p->is_scanning = false;
    if (p->is_anew)
        p->scan.folder_count = 0;
    if (p->phase == PHASE_OVER)
        close_up(p);
    else if (p->phase == PHASE_SETTLING)
        settle(p);
    else if (!p->is_anew)
        take_finds(p);
    p->is_anew = false;
}

/* What failed before, too. */
static void try_again(struct publish *p)
{
    struct publish_file *f, *next;

    p->retry_ms = 0;
    HASH_ITER(hh, p->files, f, next)
    if (f->state == PUBLISH_WAITING)
        publish_enqueue(p, f);
    publish_pump(p);
}

static void on_follow(uv_timer_t *timer)
{
    struct publish *p = timer->data;

    if (p->phase != PHASE_FOLLOWING || p->is_hopeless || p->is_scanning ||
        uv_now(p->loop) < p->retry_ms)
        return;
    if (p->retry_ms > 0)
        try_again(p);
    p->is_scanning = true;
    p->offloaded++;
    p->scan.finds.count = 0;
    io_offload(p->loop, look_work, looked, p);
}

struct publish *publish_begin(uv_loop_t *loop, struct storage *storage, const char *tree,
                              const char *key, const char *note)
{
    struct publish *p = mem_new(struct publish);

    p->task.cancel = cancel;
    p->loop = loop;
    p->storage = storage;
    p->tree = mem_strdup(tree);
    p->key = mem_strdup(key);
    p->note = note != NULL ? mem_strdup(note) : NULL;
    p->scan.has_notes = note != NULL;
    buf_init(&p->why, WHY_MAX);
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    uv_timer_start(&p->timer, on_follow, FOLLOW_MS, FOLLOW_MS);
    list(p, learned);
    return p;
}

void publish_inherit(struct publish *p, const char *key, uint32_t segments)
{
    mem_free(p->from);
    p->from = mem_strdup(key);
    p->inherited = segments;
}

/* One that is on its way goes when it has arrived. */
static void take_back_sound(struct publish *p)
{
    struct publish_file *f, *next;

    HASH_ITER(hh, p->files, f, next)
    {
        if (f->kind != PUBLISH_NOTE || strcmp(f->name, publish_note) == 0 ||
            f->state == PUBLISH_ABSENT)
            continue;
        f->is_doomed = true;
        if (f->state != PUBLISH_SENDING)
            publish_enqueue(p, f);
    }
    publish_pump(p);
}

void publish_again(struct publish *p)
{
    p->inherited = 0;
    take_back_sound(p);
    p->is_anew = p->is_scanning;
    if (!p->is_scanning)
        p->scan.folder_count = 0;
}

/* When it is made */

static void next_phase(struct publish *p);

static void go_on(struct publish *p)
{
    publish_pump(p);
    if (p->sending_count == 0 && p->queue == NULL && p->list == NULL)
        next_phase(p);
}

/* Of the tree, what is not there yet. */
static void enqueue_kind(struct publish *p, enum publish_kind kind)
{
    struct publish_file *f, *next;

    HASH_ITER(hh, p->files, f, next)
    if (f->is_wanted && f->kind == kind && f->state != PUBLISH_SENT)
        publish_enqueue(p, f);
}

static void begin_phase(struct publish *p, enum publish_phase phase, enum publish_kind kind)
{
    p->phase = phase;
    enqueue_kind(p, kind);
    publish_tell(p, true);
    go_on(p);
}

static void want(struct publish *p, const struct publish_found *found)
{
    struct publish_file *f = file_of(p, found->name);

    f->is_wanted = true;
    p->total += found->stamp.size;
    if (f->state == PUBLISH_SENT && is_same_file(&f->stamp, &found->stamp))
        p->sent += found->stamp.size;
    else
        f->state = PUBLISH_WAITING;
}

/* Those that there was no time for: it may take long yet. */
static void want_notes(struct publish *p)
{
    struct publish_file *recipe;

    if (p->note == NULL)
        return;
    recipe = file_of(p, publish_note);
    if (recipe->state != PUBLISH_SENT)
        publish_enqueue(p, recipe);
    for (size_t i = 0; i < p->scan.finds.count && p->scan.is_sound_whole; i++) {
        const char *name = p->scan.finds.items[i].name;
        char note[PUBLISH_NAME];
        if (!publish_is_sound(name) || !str_ends(str_of(name), STR("/index.m3u8")))
            continue;
        snprintf(note, sizeof(note), "%s%.*s", publish_sound, (int)strcspn(name, "/"), name);
        if (file_of(p, note)->state != PUBLISH_SENT)
            publish_enqueue(p, file_of(p, note));
    }
}

static void look_at_all_work(void *context)
{
    struct publish *p = context;

    publish_look_at_all(p->tree, &p->scan);
}

static void looked_at_all(void *context)
{
    struct publish *p = context;

    p->offloaded--;
    if (p->phase == PHASE_OVER) {
        close_up(p);
        return;
    }
    p->phase = PHASE_SENDING;
    for (size_t i = 0; i < p->scan.finds.count && p->scan.err == OK; i++)
        want(p, &p->scan.finds.items[i]);
    if (p->scan.err)
        publish_fail(p, p->scan.err, "what was converted cannot be read");
    else if (!file_of(p, "master.m3u8")->is_wanted)
        publish_fail(p, FAIL_STATE, "what was converted is not whole");
    else {
        want_notes(p);
        begin_phase(p, PHASE_SENDING, PUBLISH_DATA);
    }
}

/* Nothing runs any more that could take an old file for a new one. */
static void settle(struct publish *p)
{
    if (p->list != NULL || p->is_scanning || p->sending_count > 0)
        return;
    p->offloaded++;
    p->scan.finds.count = 0;
    io_offload(p->loop, look_at_all_work, looked_at_all, p);
}

void publish_finish(struct publish *p, const struct publish_events *events, void *context,
                    struct media_task **out)
{
    struct publish_file *f, *next;

    p->events = events;
    p->context = context;
    p->is_finishing = true;
    uv_timer_stop(&p->timer);
    DL_FOREACH_SAFE(p->queue, f, next)
    f->is_queued = false;
    p->queue = NULL;
    *out = &p->task;
    if (p->phase != PHASE_FOLLOWING)
        return; /* `learned` goes on */
    p->phase = PHASE_SETTLING;
    settle(p);
}

/* Whether a file has to be sent, or looked for, or removed. */
static bool is_amiss(struct publish_file *f)
{
    if (f->kind == PUBLISH_NOTE)
        return false;
    if (!f->is_wanted)
        return f->is_listed && !f->is_sure;
    if (f->kind != PUBLISH_DATA || f->is_sure)
        return false;
    f->is_asked = !f->is_listed;
    return !f->is_listed || f->there != f->stamp.size;
}

static void checked(void *context, int err, const char *why)
{
    struct publish *p = context;
    struct publish_file *f, *next;

    p->list = NULL;
    if (err) {
        publish_fail(p, err, why);
        return;
    }
    HASH_ITER(hh, p->files, f, next)
    {
        if (!is_amiss(f))
            continue;
        if (f->is_wanted && f->state == PUBLISH_SENT)
            p->sent -= f->stamp.size;
        publish_enqueue(p, f);
    }
    if (p->queue == NULL)
        begin_phase(p, PHASE_PLAYLISTS, PUBLISH_PLAYLIST);
    else if (p->rounds == ROUNDS_MAX)
        publish_fail(p, FAIL_STATE, "the storage does not have what it has taken");
    else
        begin_phase(p, PHASE_SENDING, PUBLISH_DATA);
}

static void check(struct publish *p)
{
    struct publish_file *f, *next;

    p->rounds++;
    p->phase = PHASE_CHECKING;
    HASH_ITER(hh, p->files, f, next)
    f->is_listed = false;
    list(p, checked);
}

static void tidy(struct publish *p)
{
    struct publish_file *f, *next;

    p->phase = PHASE_TIDYING;
    HASH_ITER(hh, p->files, f, next)
    if (f->kind == PUBLISH_NOTE)
        publish_enqueue(p, f);
    go_on(p);
}

static void next_phase(struct publish *p)
{
    if (p->phase == PHASE_SENDING)
        check(p);
    else if (p->phase == PHASE_PLAYLISTS)
        begin_phase(p, PHASE_MASTER, PUBLISH_MASTER);
    else if (p->phase == PHASE_MASTER)
        tidy(p);
    else if (p->phase == PHASE_TIDYING)
        over(p);
}

void publish_sending_ended(struct publish *p)
{
    if (p->phase == PHASE_OVER)
        close_up(p);
    else if (p->phase == PHASE_SETTLING)
        settle(p);
    else if (p->phase == PHASE_FOLLOWING)
        publish_pump(p);
    else
        go_on(p);
}
