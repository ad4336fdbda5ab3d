/* An object, or a range of it, into a file. That a broken one is gone on with is the
 * call's matter; here it is seen to that all of it has come. */
#include <errno.h>
#include <fcntl.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/http_internal.h"

struct get_task {
    struct http_task task; /* first */
    struct http_call *call;
    uint64_t length;
    void (*moved)(void *context, uint64_t bytes);
    void (*done)(void *context, int err, const char *why, uint64_t bytes);
    void *context;
};

static void on_stop(struct http_task *task)
{
    struct get_task *t = (struct get_task *)task;

    http_call_cancel(t->call);
    t->call = NULL;
}

static void on_moved(void *context, uint64_t bytes)
{
    struct get_task *t = context;

    t->moved(t->context, bytes);
}

static void on_done(void *context, const struct http_outcome *outcome)
{
    struct get_task *t = context;
    int err = outcome->err;
    const char *why = outcome->why;

    t->call = NULL;
    http_task_end(&t->task);
    if (err == OK && t->length > 0 && outcome->bytes != t->length) {
        err = FAIL_STATE;
        why = "the object is shorter than it should be";
    }
    t->done(t->context, err, why, outcome->bytes);
}

struct storage_task *http_get(struct storage *s, const struct storage_get *get)
{
    /* The caller may close its own at once when it cancels; a write may be under way. */
    int file = fcntl(get->file, F_DUPFD_CLOEXEC, 0);

    if (file < 0) {
        struct storage_ending ending = { ENDING_GET, { .get = get->done }, get->context };
        return storage_refuse(s, &ending, fail_from_errno(errno), "no further file can be opened");
    }
    struct get_task *t = http_task_new(s, sizeof(*t), on_stop);
    char *full = http_storage_key(t->task.h, get->key);
    struct http_call_settings settings = {
        .ask = { .verb = VERB_GET, .key = full },
        .has_sink = true,
        .sink = file,
        .sink_at = get->at,
        .offset = get->offset,
        .length = get->length,
        .moved = get->moved ? on_moved : NULL,
        .done = on_done,
        .context = t,
    };

    t->length = get->length;
    t->moved = get->moved;
    t->done = get->done;
    t->context = get->context;
    t->call = http_call_start(t->task.h, &settings);
    mem_free(full);
    return &t->task.task;
}
