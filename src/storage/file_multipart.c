#include "storage/file_task.h"

#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

static void work_begin(struct file_task *t)
{
    t->err = file_upload_begin(file_task_room(t), t->key, t->new_id);
    t->is_over = true;
}

struct storage_task *file_do_begin(struct storage *s, const char *key, const char *content_type,
                                   void (*done)(void *, int, const char *, const char *),
                                   void *context)
{
    struct storage_ending ending = { ENDING_BEGIN, { .begin = done }, context };
    struct file_task *t = file_task_new(s, &ending, work_begin, NULL);

    (void)content_type; /* files have none */
    t->key = mem_strdup(key);
    return file_task_start(t);
}

static struct file_task *upload_task(struct storage *s, const char *key, const char *id,
                                     const struct storage_ending *ending,
                                     void (*work)(struct file_task *t),
                                     void (*say)(struct file_task *t))
{
    struct file_task *t = file_task_new(s, ending, work, say);

    t->key = mem_strdup(key);
    t->id = mem_strdup(id);
    return t;
}

/* The draft is whole: it becomes a part, if the upload is still there. */
static void place_part(struct file_task *t)
{
    int dir;

    t->err = file_upload_open(file_task_room(t), t->key, t->id, &dir);
    if (t->err != OK)
        return;
    t->err = file_upload_place(file_task_room(t), dir, t->number, &t->draft);
    close(dir);
    t->is_over = true;
}

static void work_part_put(struct file_task *t)
{
    if (file_task_fill(t))
        place_part(t);
}

struct storage_task *file_do_part_put(struct storage *s, const struct storage_part_put *put)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = put->done }, put->context };
    struct file_task *t =
        upload_task(s, put->key, put->id, &ending, work_part_put, file_task_moved);

    t->number = put->number;
    t->moved = put->moved;
    t->from = put->offset;
    t->left = put->length;
    file_task_borrow(t, put->file);
    return file_task_start(t);
}

/* `prefix` is the key of what is copied. */
static void work_part_copy(struct file_task *t)
{
    if (t->source < 0)
        file_task_open(t, t->prefix);
    if (t->err == OK && t->file < 0)
        file_task_borrow(t, t->source);
    if (t->err == OK && file_task_fill(t))
        place_part(t);
}

struct storage_task *file_do_part_copy(struct storage *s, const char *key, const char *id,
                                       uint32_t number, const char *from, storage_done *done,
                                       void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = upload_task(s, key, id, &ending, work_part_copy, NULL);

    t->number = number;
    t->prefix = mem_strdup(from);
    return file_task_start(t);
}

static void work_parts(struct file_task *t)
{
    t->err = file_upload_open(file_task_room(t), t->key, t->id, &t->source);
    if (t->err == OK)
        t->err = file_upload_parts(t->source, t->task.storage->traits->parts_max, &t->parts,
                                   &t->part_count);
    t->is_over = true;
}

struct storage_task *file_do_parts(struct storage *s, const char *key, const char *id,
                                   void (*done)(void *, int, const char *,
                                                const struct storage_part *, size_t),
                                   void *context)
{
    struct storage_ending ending = { ENDING_PARTS, { .parts = done }, context };

    return file_task_start(upload_task(s, key, id, &ending, work_parts, NULL));
}

/* The upload is gone: it was completed before, or never was. */
static void judge_completed(struct file_task *t)
{
    uint64_t size = 0;
    struct stat st;
    int fd;

    for (size_t i = 0; i < t->part_count; i++)
        size += t->parts[i].size;
    t->err = file_object_open(file_task_room(t), t->key, &fd, &st);
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
    if (t->err != OK || !file_task_fill(t))
        return;
    close(t->file);
    t->file = -1;
    t->part_at++;
}

static void work_complete(struct file_task *t)
{
    if (t->source < 0)
        t->err = file_upload_open(file_task_room(t), t->key, t->id, &t->source);
    if (t->err == FAIL_MISSING) {
        judge_completed(t);
        return;
    }
    if (t->err == OK)
        append_slice(t);
    if (t->err != OK || t->part_at < t->part_count)
        return;
    t->err = file_draft_sync(&t->draft);
    if (t->err == OK)
        t->err = file_draft_place(file_task_room(t), &t->draft, t->key);
    /* Should this fail, the object is there all the same, and the upload is found by
     * whoever looks for old ones. */
    if (t->err == OK)
        file_upload_remove(file_task_room(t), t->key, t->id);
    t->is_over = true;
}

struct storage_task *file_do_complete(struct storage *s, const char *key, const char *id,
                                      const struct storage_part *parts, size_t count,
                                      storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = upload_task(s, key, id, &ending, work_complete, NULL);

    t->parts = mem_alloc(count * sizeof *parts);
    memcpy(t->parts, parts, count * sizeof *parts);
    t->part_count = count;
    return file_task_start(t);
}

static void work_abort(struct file_task *t)
{
    t->err = file_upload_remove(file_task_room(t), t->key, t->id);
    t->is_over = true;
}

struct storage_task *file_do_abort(struct storage *s, const char *key, const char *id,
                                   storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    return file_task_start(upload_task(s, key, id, &ending, work_abort, NULL));
}

static void work_uploads(struct file_task *t)
{
    t->err = file_uploads_read(file_task_room(t), t->prefix, &t->page);
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

struct storage_task *file_do_uploads(struct storage *s, const char *prefix,
                                     bool (*each)(void *, const struct storage_pending *),
                                     storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct file_task *t = file_task_new(s, &ending, work_uploads, say_uploads);

    t->prefix = mem_strdup(prefix);
    t->each.pending = each;
    return file_task_start(t);
}
