#include "storage/file_task.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

enum { READ_BYTES = 16 * 1024 };

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

static void work_place(struct file_task *t)
{
    t->err = file_draft_place(file_task_room(t), &t->draft, t->key);
    t->is_over = true;
}

/* A disk may take long for it: who is cancelled meanwhile gets no place any more. */
static void sync_then_place(struct file_task *t)
{
    t->err = file_draft_sync(&t->draft);
    t->work = work_place;
}

static void work_put_file(struct file_task *t)
{
    if (file_task_fill(t))
        sync_then_place(t);
}

static void work_put_bytes(struct file_task *t)
{
    t->err = file_draft_make(file_task_room(t), &t->draft);
    if (t->err == OK)
        t->err = write_all(t->draft.fd, buf_str(&t->bytes));
    if (t->err == OK)
        sync_then_place(t);
    t->gone = t->bytes.len;
}

struct storage_task *file_do_put(struct storage *s, const struct storage_put *put)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = put->done }, put->context };
    struct file_task *t =
        file_task_new(s, &ending, put->has_file ? work_put_file : work_put_bytes, file_task_moved);

    t->key = mem_strdup(put->key);
    t->moved = put->moved;
    if (put->has_file) {
        t->from = put->offset;
        t->left = put->length;
        file_task_borrow(t, put->file);
    } else {
        buf_init(&t->bytes, put->bytes.len);
        buf_append(&t->bytes, put->bytes.at, put->bytes.len);
    }
    return file_task_start(t);
}

/* `prefix` is the key of what is copied. */
static void work_copy(struct file_task *t)
{
    if (t->source < 0)
        file_task_open(t, t->prefix);
    if (t->err == OK && t->file < 0)
        file_task_borrow(t, t->source);
    if (t->err == OK)
        work_put_file(t);
}

struct storage_task *file_do_copy(struct storage *s, const char *key, const char *from,
                                  storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = file_task_new(s, &ending, work_copy, NULL);

    t->key = mem_strdup(key);
    t->prefix = mem_strdup(from);
    return file_task_start(t);
}

static void work_get(struct file_task *t)
{
    file_task_open(t, t->key);
    uint64_t length = file_task_slice(t);
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

struct storage_task *file_do_get(struct storage *s, const struct storage_get *get)
{
    struct storage_ending ending = { ENDING_GET, { .get = get->done }, get->context };
    struct file_task *t = file_task_new(s, &ending, work_get, file_task_moved);

    t->key = mem_strdup(get->key);
    t->moved = get->moved;
    t->from = get->offset;
    t->left = get->length;
    t->to = get->at;
    file_task_borrow(t, get->file);
    return file_task_start(t);
}

static void work_read(struct file_task *t)
{
    char slice[READ_BYTES];

    file_task_open(t, t->key);
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

struct storage_task *file_do_read(struct storage *s, const char *key, size_t max,
                                  void (*done)(void *, int, const char *, struct str),
                                  void *context)
{
    struct storage_ending ending = { ENDING_READ, { .read = done }, context };
    struct file_task *t = file_task_new(s, &ending, work_read, NULL);

    t->key = mem_strdup(key);
    buf_init(&t->bytes, max);
    return file_task_start(t);
}

static void work_head(struct file_task *t)
{
    file_task_open(t, t->key);
    t->is_over = true;
}

struct storage_task *
file_do_head(struct storage *s, const char *key,
             void (*done)(void *, int, const char *, const struct storage_object *), void *context)
{
    struct storage_ending ending = { ENDING_HEAD, { .head = done }, context };
    struct file_task *t = file_task_new(s, &ending, work_head, NULL);

    t->key = mem_strdup(key);
    return file_task_start(t);
}

static void work_remove(struct file_task *t)
{
    t->err = file_remove(file_task_room(t), t->key);
    t->is_over = true;
}

struct storage_task *file_do_remove_one(struct storage *s, const char *key, storage_done *done,
                                        void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = file_task_new(s, &ending, work_remove, NULL);

    t->key = mem_strdup(key);
    return file_task_start(t);
}

/* The next page, behind `key`, which is "" at first. */
static void turn_page(struct file_task *t)
{
    t->err = file_page_read(file_task_room(t), t->prefix, t->key, &t->page);
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

struct storage_task *file_do_list(struct storage *s, const char *prefix,
                                  bool (*each)(void *, const struct storage_object *),
                                  storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = file_task_new(s, &ending, turn_page, say_objects);

    t->prefix = mem_strdup(prefix);
    t->key = mem_strdup("");
    t->each.object = each;
    return file_task_start(t);
}

static void work_remove_all(struct file_task *t)
{
    turn_page(t);
    for (size_t i = 0; t->err == OK && i < t->page.count; i++)
        t->err = file_remove(file_task_room(t), t->page.rows[i].key);
    file_page_free(&t->page);
}

struct storage_task *file_do_remove_all(struct storage *s, const char *prefix, storage_done *done,
                                        void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = file_task_new(s, &ending, work_remove_all, NULL);

    t->prefix = mem_strdup(prefix);
    t->key = mem_strdup("");
    return file_task_start(t);
}
