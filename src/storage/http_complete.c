/* The end of a multipart upload. The answer to the request that did it may have been
 * lost, and whoever asks again is told that there is no such upload: then the object
 * itself is asked for. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/http_internal.h"

struct complete_task {
    struct http_task task; /* first */
    struct http_call *call;
    char *key; /* with the prefix */
    char *id;
    struct storage_part *parts;
    uint64_t size;
    char why[HTTP_WHY_SIZE];
    storage_done *done;
    void *context;
};

static void on_stop(struct http_task *task)
{
    struct complete_task *t = (struct complete_task *)task;

    http_call_cancel(t->call);
    t->call = NULL;
    mem_free(t->key);
    mem_free(t->id);
    mem_free(t->parts);
    t->key = t->id = NULL;
    t->parts = NULL;
}

static void on_head(void *context, const struct http_outcome *outcome)
{
    struct complete_task *t = context;
    bool is_there = outcome->err == OK && outcome->answer->length >= 0 &&
                    (uint64_t)outcome->answer->length == t->size;
    bool is_known = outcome->err == OK || outcome->err == FAIL_MISSING;

    t->call = NULL;
    http_task_end(&t->task);
    if (is_there)
        t->done(t->context, OK, NULL);
    else
        t->done(t->context, is_known ? FAIL_MISSING : outcome->err,
                is_known ? t->why : outcome->why);
}

static void on_completed(void *context, const struct http_outcome *outcome)
{
    struct complete_task *t = context;
    struct http_call_settings settings = { .ask = { .verb = VERB_HEAD, .key = t->key },
                                           .done = on_head,
                                           .context = t };

    t->call = NULL;
    if (outcome->err == FAIL_MISSING) {
        snprintf(t->why, sizeof(t->why), "%s", outcome->why);
        t->call = http_call_start(t->task.h, &settings);
        return;
    }
    if (outcome->err == OK)
        http_copied_forget(t->task.h, t->id);
    http_task_end(&t->task);
    t->done(t->context, outcome->err, outcome->why);
}

struct storage_task *http_complete(struct storage *s, const char *key, const char *id,
                                   const struct storage_part *parts, size_t count,
                                   storage_done *done, void *context)
{
    struct complete_task *t = http_task_new(s, sizeof(*t), on_stop);

    t->key = http_storage_key(t->task.h, key);
    t->id = mem_strdup(id);
    t->parts = mem_alloc(count * sizeof(*parts));
    memcpy(t->parts, parts, count * sizeof(*parts));
    for (size_t i = 0; i < count; i++)
        t->size += parts[i].size;
    t->done = done;
    t->context = context;
    struct http_call_settings settings = {
        .ask = { .verb = VERB_COMPLETE,
                 .key = t->key,
                 .id = id,
                 .parts = t->parts,
                 .part_count = count },
        .done = on_completed,
        .context = t,
    };
    t->call = http_call_start(t->task.h, &settings);
    return &t->task.task;
}
