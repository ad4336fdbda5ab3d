/* The loop's side. A task is a row of steps: each runs on a worker thread (`work`), then
 * what came of it is told on the loop (`say`), until it is over. One that is cancelled
 * gives back what it holds in a step of its own, also on a worker thread. */
#include "storage/file_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "proto/url.h"
#include "storage/disk_dir.h"
#include "storage/storage_ops.h"
#include "storage/storage_refusal.h"

enum { STEP_BYTES = 8 * 1024 * 1024, READ_BYTES = 16 * 1024 };

struct file_driver {
    struct storage storage; /* first: storages are cast back */
    struct file_room room;
    struct file_task *tasks;
    bool is_closing;
};

struct file_task {
    struct storage_task task; /* first: tasks are cast back */
    struct file_driver *driver;
    struct file_task *next, **at; /* in the driver's */
    atomic_bool is_cancelled;
    bool is_over;
    int err;
    void (*work)(struct file_task *t);
    void (*say)(struct file_task *t); /* NULL: nothing to be said before the end */
    struct storage_ending ending;
    void (*moved)(void *context, uint64_t bytes);
    char *key, *id, *prefix;
    uint32_t number;
    int file;   /* a copy of the caller's descriptor; -1: none */
    int source; /* the object that is read, or the upload's folder; -1 */
    uint64_t from, to, left, gone;
    struct buf bytes;
    struct file_draft draft;
    struct stat st; /* of the object */
    char new_id[FILE_ID_SIZE];
    struct file_page page;
    struct storage_part *parts;
    size_t part_count, part_at;
    union {
        bool (*object)(void *context, const struct storage_object *object);
        bool (*pending)(void *context, const struct storage_pending *pending);
    } each;
};

static struct file_room *room_of(struct file_task *t)
{
    return &t->driver->room;
}

static void driver_free(struct file_driver *d)
{
    file_room_close(&d->room);
    mem_free(d->storage.prefix);
    mem_free(d->storage.public_url);
    mem_free(d);
}

/* On a worker thread: what is left of a draft goes. */
static void give_back(struct file_task *t)
{
    file_draft_drop(room_of(t), &t->draft);
    if (t->file >= 0)
        close(t->file);
    if (t->source >= 0)
        close(t->source);
    t->file = t->source = -1;
}

static void task_free(struct file_task *t)
{
    struct file_driver *d = t->driver;

    *t->at = t->next;
    if (t->next != NULL)
        t->next->at = t->at;
    file_page_free(&t->page);
    buf_deinit(&t->bytes);
    mem_free(t->parts);
    mem_free(t->key);
    mem_free(t->id);
    mem_free(t->prefix);
    mem_free(t);
    if (d->is_closing && d->tasks == NULL)
        driver_free(d);
}

static void run_step(void *context)
{
    struct file_task *t = context;

    if (!atomic_load(&t->is_cancelled) && t->err == OK)
        t->work(t);
    if (atomic_load(&t->is_cancelled) || t->err != OK)
        t->is_over = true;
    if (t->is_over)
        give_back(t);
}

static void tell_end(struct file_task *t)
{
    const struct storage_ending *e = &t->ending;
    struct storage_object object = { .key = t->key };
    char etag[FILE_ETAG_SIZE];

    if (t->err != OK || e->kind == ENDING_PLAIN) {
        storage_ending_say(e, t->err, t->err == OK ? NULL : fail_text(t->err));
        return;
    }
    switch (e->kind) {
    case ENDING_GET: e->get(e->context, OK, NULL, t->gone); break;
    case ENDING_READ: e->read(e->context, OK, NULL, buf_str(&t->bytes)); break;
    case ENDING_HEAD:
        file_etag(&t->st, etag);
        object.size = (uint64_t)t->st.st_size;
        object.modified_s = t->st.st_mtim.tv_sec;
        object.etag = etag;
        e->head(e->context, OK, NULL, &object);
        break;
    case ENDING_BEGIN: e->begin(e->context, OK, NULL, t->new_id); break;
    case ENDING_PARTS: e->parts(e->context, OK, NULL, t->parts, t->part_count); break;
    case ENDING_PLAIN: break; /* above */
    }
}

static void on_step(void *context)
{
    struct file_task *t = context;

    if (!t->is_cancelled && t->say != NULL && t->err == OK)
        t->say(t);
    if (t->is_over) {
        if (!t->is_cancelled)
            tell_end(t);
        task_free(t);
        return;
    }
    io_offload(t->task.storage->loop, run_step, on_step, t);
}

static void on_cancel(struct storage_task *task)
{
    struct file_task *t = (struct file_task *)task;

    atomic_store(&t->is_cancelled, true);
}

static struct file_task *task_new(struct storage *s, const struct storage_ending *ending,
                                  void (*work)(struct file_task *t),
                                  void (*say)(struct file_task *t))
{
    struct file_driver *d = (struct file_driver *)s;
    struct file_task *t = mem_new(struct file_task);

    t->task = (struct storage_task){ .storage = s, .cancel = on_cancel };
    t->driver = d;
    t->next = d->tasks;
    t->at = &d->tasks;
    if (t->next != NULL)
        t->next->at = &t->next;
    d->tasks = t;
    t->ending = *ending;
    t->work = work;
    t->say = say;
    t->file = t->source = t->draft.fd = -1;
    return t;
}

/* Nothing of it is touched behind this but by its steps. */
static struct storage_task *task_start(struct file_task *t)
{
    io_offload(t->task.storage->loop, run_step, on_step, t);
    return &t->task;
}

/* The caller may close its own as soon as it has cancelled. */
static void borrow_file(struct file_task *t, int file)
{
    t->file = fcntl(file, F_DUPFD_CLOEXEC, 0);
    if (t->file < 0)
        t->err = fail_from_errno(errno);
}

static void say_moved(struct file_task *t)
{
    if (t->moved != NULL && t->gone > 0)
        t->moved(t->ending.context, t->gone);
}

static uint64_t step_of(const struct file_task *t)
{
    return t->left < STEP_BYTES ? t->left : STEP_BYTES;
}

/* A slice from the file into the draft. False: there is more, or it failed. */
static bool fill_draft(struct file_task *t)
{
    uint64_t length = step_of(t);

    if (t->draft.fd < 0)
        t->err = file_draft_make(room_of(t), &t->draft);
    if (t->err == OK)
        t->err = file_copy(t->file, t->from, t->draft.fd, t->to, length);
    if (t->err != OK)
        return false;
    t->from += length;
    t->to += length;
    t->gone += length;
    t->left -= length;
    return t->left == 0;
}

static int write_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.at, bytes.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? fail_from_errno(errno) : FAIL_FULL;
        bytes = (struct str){ bytes.at + put, bytes.len - (size_t)put };
    }
    return OK;
}

static void work_put_file(struct file_task *t)
{
    if (!fill_draft(t))
        return;
    t->err = file_draft_place(room_of(t), &t->draft, t->key);
    t->is_over = true;
}

static void work_put_bytes(struct file_task *t)
{
    t->err = file_draft_make(room_of(t), &t->draft);
    if (t->err == OK)
        t->err = write_all(t->draft.fd, buf_str(&t->bytes));
    if (t->err == OK)
        t->err = file_draft_place(room_of(t), &t->draft, t->key);
    t->gone = t->bytes.len;
    t->is_over = true;
}

static struct storage_task *file_put(struct storage *s, const struct storage_put *put)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = put->done }, put->context };
    struct file_task *t =
        task_new(s, &ending, put->has_file ? work_put_file : work_put_bytes, say_moved);

    t->key = mem_strdup(put->key);
    t->moved = put->moved;
    if (put->has_file) {
        t->from = put->offset;
        t->left = put->length;
        borrow_file(t, put->file);
    } else {
        buf_init(&t->bytes, put->bytes.len);
        buf_append(&t->bytes, put->bytes.at, put->bytes.len);
    }
    return task_start(t);
}

/* Opens it at the first step, and finds out how much is to be read. */
static void open_object(struct file_task *t, const char *key)
{
    if (t->source >= 0)
        return;
    t->err = file_object_open(room_of(t), key, &t->source, &t->st);
    uint64_t size = t->err == OK ? (uint64_t)t->st.st_size : 0;
    if (t->err != OK)
        return;
    if (t->from > size)
        t->err = FAIL_LIMIT;
    else if (t->left == 0 || t->left > size - t->from)
        t->left = size - t->from;
}

static void work_get(struct file_task *t)
{
    open_object(t, t->key);
    uint64_t length = step_of(t);
    if (t->err == OK)
        t->err = file_copy(t->source, t->from, t->file, t->to, length);
    if (t->err != OK)
        return;
    t->from += length;
    t->to += length;
    t->gone += length;
    t->left -= length;
    t->is_over = t->left == 0;
}

static struct storage_task *file_get(struct storage *s, const struct storage_get *get)
{
    struct storage_ending ending = { ENDING_GET, { .get = get->done }, get->context };
    struct file_task *t = task_new(s, &ending, work_get, say_moved);

    t->key = mem_strdup(get->key);
    t->moved = get->moved;
    t->from = get->offset;
    t->left = get->length;
    t->to = get->at;
    borrow_file(t, get->file);
    return task_start(t);
}

static void work_read(struct file_task *t)
{
    char slice[READ_BYTES];

    open_object(t, t->key);
    if (t->err == OK && t->left > t->bytes.max)
        t->err = FAIL_LIMIT;
    while (t->err == OK && t->left > 0) {
        ssize_t got = pread(t->source, slice, sizeof slice, (off_t)t->bytes.len);
        if (got <= 0)
            t->err = got < 0 ? fail_from_errno(errno) : FAIL_STATE;
        else if ((uint64_t)got > t->left || !buf_append(&t->bytes, slice, (size_t)got))
            t->err = FAIL_STATE;
        else
            t->left -= (uint64_t)got;
    }
    t->is_over = true;
}

static struct storage_task *file_read(struct storage *s, const char *key, size_t max,
                                      void (*done)(void *, int, const char *, struct str),
                                      void *context)
{
    struct storage_ending ending = { ENDING_READ, { .read = done }, context };
    struct file_task *t = task_new(s, &ending, work_read, NULL);

    t->key = mem_strdup(key);
    buf_init(&t->bytes, max);
    return task_start(t);
}

static void work_head(struct file_task *t)
{
    open_object(t, t->key);
    t->is_over = true;
}

static struct storage_task *
file_head(struct storage *s, const char *key,
          void (*done)(void *, int, const char *, const struct storage_object *), void *context)
{
    struct storage_ending ending = { ENDING_HEAD, { .head = done }, context };
    struct file_task *t = task_new(s, &ending, work_head, NULL);

    t->key = mem_strdup(key);
    return task_start(t);
}

static void work_remove(struct file_task *t)
{
    t->err = file_remove(room_of(t), t->key);
    t->is_over = true;
}

static struct storage_task *file_remove_one(struct storage *s, const char *key, storage_done *done,
                                            void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = task_new(s, &ending, work_remove, NULL);

    t->key = mem_strdup(key);
    return task_start(t);
}

/* The next page, behind `key`, which is "" at first. */
static void turn_page(struct file_task *t)
{
    t->err = file_page_read(room_of(t), t->prefix, t->key, &t->page);
    if (t->err != OK)
        return;
    t->is_over = t->page.count < FILE_PAGE_MAX;
    if (t->page.count == 0)
        return;
    mem_free(t->key);
    t->key = mem_strdup(t->page.rows[t->page.count - 1].key);
}

static void say_objects(struct file_task *t)
{
    bool is_wanted = true;

    for (size_t i = 0; is_wanted && !t->is_cancelled && i < t->page.count; i++) {
        const struct file_row *row = &t->page.rows[i];
        struct storage_object object = {
            .key = row->key,
            .size = row->size,
            .modified_s = row->modified_s,
            .etag = row->etag,
        };
        is_wanted = t->each.object(t->ending.context, &object);
    }
    file_page_free(&t->page);
    if (!is_wanted)
        t->is_over = true;
}

static struct storage_task *file_list(struct storage *s, const char *prefix,
                                      bool (*each)(void *, const struct storage_object *),
                                      storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = task_new(s, &ending, turn_page, say_objects);

    t->prefix = mem_strdup(prefix);
    t->key = mem_strdup("");
    t->each.object = each;
    return task_start(t);
}

static void work_remove_all(struct file_task *t)
{
    turn_page(t);
    for (size_t i = 0; t->err == OK && i < t->page.count; i++)
        t->err = file_remove(room_of(t), t->page.rows[i].key);
    file_page_free(&t->page);
}

static struct storage_task *file_remove_all(struct storage *s, const char *prefix,
                                            storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = task_new(s, &ending, work_remove_all, NULL);

    t->prefix = mem_strdup(prefix);
    t->key = mem_strdup("");
    return task_start(t);
}

static void work_begin(struct file_task *t)
{
    t->err = file_upload_begin(room_of(t), t->key, t->new_id);
    t->is_over = true;
}

static struct storage_task *file_begin(struct storage *s, const char *key, const char *content_type,
                                       void (*done)(void *, int, const char *, const char *),
                                       void *context)
{
    struct storage_ending ending = { ENDING_BEGIN, { .begin = done }, context };
    struct file_task *t = task_new(s, &ending, work_begin, NULL);

    (void)content_type; /* files have none */
    t->key = mem_strdup(key);
    return task_start(t);
}

static struct file_task *upload_task(struct storage *s, const char *key, const char *id,
                                     const struct storage_ending *ending,
                                     void (*work)(struct file_task *t),
                                     void (*say)(struct file_task *t))
{
    struct file_task *t = task_new(s, ending, work, say);

    t->key = mem_strdup(key);
    t->id = mem_strdup(id);
    return t;
}

/* The draft is whole: it becomes a part, if the upload is still there. */
static void place_part(struct file_task *t)
{
    int dir;

    t->err = file_upload_open(room_of(t), t->key, t->id, &dir);
    if (t->err != OK)
        return;
    t->err = file_upload_place(room_of(t), dir, t->number, &t->draft);
    close(dir);
    t->is_over = true;
}

static void work_part_put(struct file_task *t)
{
    if (fill_draft(t))
        place_part(t);
}

static struct storage_task *file_part_put(struct storage *s, const struct storage_part_put *put)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = put->done }, put->context };
    struct file_task *t = upload_task(s, put->key, put->id, &ending, work_part_put, say_moved);

    t->number = put->number;
    t->moved = put->moved;
    t->from = put->offset;
    t->left = put->length;
    borrow_file(t, put->file);
    return task_start(t);
}

/* `prefix` is the key of what is copied. */
static void work_part_copy(struct file_task *t)
{
    if (t->source < 0)
        open_object(t, t->prefix);
    if (t->err == OK && t->file < 0)
        borrow_file(t, t->source);
    if (t->err == OK && fill_draft(t))
        place_part(t);
}

static struct storage_task *file_part_copy(struct storage *s, const char *key, const char *id,
                                           uint32_t number, const char *from, storage_done *done,
                                           void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = upload_task(s, key, id, &ending, work_part_copy, NULL);

    t->number = number;
    t->prefix = mem_strdup(from);
    return task_start(t);
}

static void work_parts(struct file_task *t)
{
    t->err = file_upload_open(room_of(t), t->key, t->id, &t->source);
    if (t->err == OK)
        t->err = file_upload_parts(t->source, t->task.storage->traits->parts_max, &t->parts,
                                   &t->part_count);
    t->is_over = true;
}

static struct storage_task *file_parts(struct storage *s, const char *key, const char *id,
                                       void (*done)(void *, int, const char *,
                                                    const struct storage_part *, size_t),
                                       void *context)
{
    struct storage_ending ending = { ENDING_PARTS, { .parts = done }, context };

    return task_start(upload_task(s, key, id, &ending, work_parts, NULL));
}

/* The upload is gone: it was completed before, or never was. */
static void judge_completed(struct file_task *t)
{
    uint64_t size = 0;
    struct stat st;
    int fd;

    for (size_t i = 0; i < t->part_count; i++)
        size += t->parts[i].size;
    t->err = file_object_open(room_of(t), t->key, &fd, &st);
    if (t->err != OK)
        return;
    close(fd);
    t->err = (uint64_t)st.st_size == size ? OK : FAIL_MISSING;
    t->is_over = true;
}

/* A slice of the part that is next. */
static void append_slice(struct file_task *t)
{
    if (t->file < 0) {
        const struct storage_part *part = &t->parts[t->part_at];
        t->err = file_upload_part(t->source, part, &t->file);
        t->from = 0;
        t->left = part->size;
    }
    if (t->err != OK || !fill_draft(t))
        return;
    close(t->file);
    t->file = -1;
    t->part_at++;
}

static void work_complete(struct file_task *t)
{
    if (t->source < 0)
        t->err = file_upload_open(room_of(t), t->key, t->id, &t->source);
    if (t->err == FAIL_MISSING) {
        judge_completed(t);
        return;
    }
    if (t->err == OK)
        append_slice(t);
    if (t->err != OK || t->part_at < t->part_count)
        return;
    t->err = file_draft_place(room_of(t), &t->draft, t->key);
    /* Should this fail, the object is there all the same, and the upload is found by
     * whoever looks for old ones. */
    if (t->err == OK)
        file_upload_remove(room_of(t), t->key, t->id);
    t->is_over = true;
}

static struct storage_task *file_complete(struct storage *s, const char *key, const char *id,
                                          const struct storage_part *parts, size_t count,
                                          storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = upload_task(s, key, id, &ending, work_complete, NULL);

    t->parts = mem_alloc(count * sizeof *parts);
    memcpy(t->parts, parts, count * sizeof *parts);
    t->part_count = count;
    return task_start(t);
}

static void work_abort(struct file_task *t)
{
    t->err = file_upload_remove(room_of(t), t->key, t->id);
    t->is_over = true;
}

static struct storage_task *file_abort(struct storage *s, const char *key, const char *id,
                                       storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    return task_start(upload_task(s, key, id, &ending, work_abort, NULL));
}

static void work_uploads(struct file_task *t)
{
    t->err = file_uploads_read(room_of(t), t->prefix, &t->page);
    t->is_over = true;
}

static void say_uploads(struct file_task *t)
{
    bool is_wanted = true;

    for (size_t i = 0; is_wanted && !t->is_cancelled && i < t->page.count; i++) {
        const struct file_row *row = &t->page.rows[i];
        struct storage_pending pending = { row->key, row->etag, row->modified_s };
        is_wanted = t->each.pending(t->ending.context, &pending);
    }
}

static struct storage_task *file_uploads(struct storage *s, const char *prefix,
                                         bool (*each)(void *, const struct storage_pending *),
                                         storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = task_new(s, &ending, work_uploads, say_uploads);

    t->prefix = mem_strdup(prefix);
    t->each.pending = each;
    return task_start(t);
}

static void file_close(struct storage *s)
{
    struct file_driver *d = (struct file_driver *)s;

    d->is_closing = true;
    for (struct file_task *t = d->tasks; t != NULL; t = t->next)
        on_cancel(&t->task);
    if (d->tasks == NULL)
        driver_free(d);
}

static void file_describe(const struct storage *s, struct buf *out)
{
    buf_printf(out, "the folder %s", ((const struct file_driver *)s)->room.root);
}

/* No URLs: storage.c refuses those. */
static const struct storage_ops file_ops = {
    .close = file_close,
    .describe = file_describe,
    .put = file_put,
    .get = file_get,
    .read = file_read,
    .head = file_head,
    .remove = file_remove_one,
    .list = file_list,
    .remove_all = file_remove_all,
    .upload_begin = file_begin,
    .part_put = file_part_put,
    .part_copy = file_part_copy,
    .parts = file_parts,
    .upload_complete = file_complete,
    .upload_abort = file_abort,
    .uploads = file_uploads,
};

static const struct storage_traits file_traits = {
    .provider = "disk",
    .part_max = INT64_MAX,
    .parts_max = STORAGE_PARTS_MAX,
};

/* The folder that file:///FOLDER names. */
static int parse_url(const char *url, struct buf *folder, struct buf *why)
{
    static const char start[] = "file:///";
    struct str rest = str_of(url);

    if (!str_starts(rest, STR("file:///"))) {
        buf_puts(why, "a folder's URL is file:///FOLDER, with its whole path");
        return FAIL_SYNTAX;
    }
    rest.at += sizeof start - 2;
    rest.len -= sizeof start - 2;
    int err = url_decode(rest, false, folder);
    if (err != OK || memchr(rest.at, '?', rest.len) != NULL ||
        strlen(buf_text(folder)) != folder->len) {
        buf_puts(why, "the folder's path is malformed");
        return FAIL_SYNTAX;
    }
    return OK;
}

int file_driver_open(uv_loop_t *loop, const struct storage_settings *settings, struct storage **out,
                     struct buf *why)
{
    struct file_room room;
    struct buf folder;

    buf_init(&folder, PATH_KEY_MAX);
    int err = parse_url(settings->url, &folder, why);
    if (err == OK) {
        err = file_room_open(buf_text(&folder), &room);
        if (err != OK)
            buf_printf(why, "%s: %s", buf_text(&folder), fail_text(err));
    }
    buf_deinit(&folder);
    if (err != OK)
        return err;
    struct file_driver *d = mem_new(struct file_driver);
    d->storage = (struct storage){
        .ops = &file_ops,
        .traits = &file_traits,
        .loop = loop,
        .prefix = mem_strdup(""),
        .public_url = mem_strdup(settings->public_url == NULL ? "" : settings->public_url),
    };
    d->room = room;
    *out = &d->storage;
    return OK;
}
