#include "storage/file_task.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

enum { STEP_BYTES = 8 * 1024 * 1024 };

/* On a worker thread: what is left of a draft goes. */
static void give_back(struct file_task *t)
{
    file_draft_drop(file_task_room(t), &t->draft);
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
        file_driver_free(d);
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

void file_task_cancel(struct storage_task *task)
{
    struct file_task *t = (struct file_task *)task;

    atomic_store(&t->is_cancelled, true);
}

struct file_task *file_task_new(struct storage *s, const struct storage_ending *ending,
                                void (*work)(struct file_task *t), void (*say)(struct file_task *t))
{
    struct file_driver *d = (struct file_driver *)s;
    struct file_task *t = mem_new(struct file_task);

    t->task = (struct storage_task){ .storage = s, .cancel = file_task_cancel };
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

struct storage_task *file_task_start(struct file_task *t)
{
    io_offload(t->task.storage->loop, run_step, on_step, t);
    return &t->task;
}

void file_task_borrow(struct file_task *t, int file)
{
    t->file = fcntl(file, F_DUPFD_CLOEXEC, 0);
    if (t->file < 0)
        t->err = fail_from_errno(errno);
}

void file_task_moved(struct file_task *t)
{
    if (t->moved != NULL && t->gone > 0)
        t->moved(t->ending.context, t->gone);
}

uint64_t file_task_slice(const struct file_task *t)
{
    return t->left < STEP_BYTES ? t->left : STEP_BYTES;
}

bool file_task_fill(struct file_task *t)
{
    uint64_t length = file_task_slice(t);

    if (t->draft.fd < 0)
        t->err = file_draft_make(file_task_room(t), &t->draft);
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

void file_task_open(struct file_task *t, const char *key)
{
    if (t->source >= 0)
        return;
    t->err = file_object_open(file_task_room(t), key, &t->source, &t->st);
    uint64_t size = t->err == OK ? (uint64_t)t->st.st_size : 0;
    if (t->err != OK)
        return;
    if (t->from > size || t->left > size - t->from)
        t->err = FAIL_STATE;
    else if (t->left == 0)
        t->left = size - t->from;
}
