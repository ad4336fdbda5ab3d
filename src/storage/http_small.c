/* Operations that are one call. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/content_date.h"
#include "storage/http_internal.h"

struct small_task {
    struct http_task task; /* first */
    struct http_call *call;
    struct storage_ending ending;
    enum http_verb verb;
    char *key; /* as the caller has it */
    char *id;  /* of a part that is copied */
    uint32_t number;
    size_t max; /* of a read */
    void (*moved)(void *context, uint64_t bytes);
};

static void on_stop(struct http_task *task)
{
    struct small_task *t = (struct small_task *)task;

    http_call_cancel(t->call);
    t->call = NULL;
    mem_free(t->key);
    mem_free(t->id);
    t->key = t->id = NULL;
}

static void say_object(const struct storage_ending *ending, const char *key,
                       const struct fetch_answer *answer)
{
    const char *modified = fetch_header_of(answer, "Last-Modified");
    char etag[HTTP_ETAG_SIZE];

    http_etag_of(answer, etag);
    struct storage_object object = {
        .key = key,
        .size = answer->length > 0 ? (uint64_t)answer->length : 0,
        .modified_s = modified ? content_parse_date(str_of(modified)) : -1,
        .etag = etag,
    };
    ending->head(ending->context, OK, NULL, &object);
}

static void say_good(struct small_task *t, char *key, const struct http_outcome *outcome)
{
    struct storage_ending *e = &t->ending;

    switch (e->kind) {
    case ENDING_HEAD: say_object(e, key, outcome->answer); break;
    case ENDING_READ: e->read(e->context, OK, NULL, outcome->answer->body); break;
    case ENDING_BEGIN: e->begin(e->context, OK, NULL, outcome->result->id); break;
    default: storage_ending_say(e, OK, NULL); break;
    }
}

static void on_done(void *context, const struct http_outcome *outcome)
{
    struct small_task *t = context;
    int err = outcome->err;
    const char *why = outcome->why;
    char *key = t->key;

    t->call = NULL;
    t->key = NULL;
    if (err == OK && t->id != NULL && outcome->result->count > 0)
        http_copied_keep(t->task.h, t->id, t->number, outcome->result->items[0].etag);
    http_task_end(&t->task);
    if (err == FAIL_MISSING && (t->verb == VERB_REMOVE || t->verb == VERB_ABORT))
        err = OK;
    if (err == OK && t->verb == VERB_GET && outcome->answer->body.len > t->max) {
        err = FAIL_LIMIT;
        why = "the object is too large";
    }
    if (err == OK)
        say_good(t, key, outcome);
    else
        storage_ending_say(&t->ending, err, why);
    mem_free(key);
}

static void on_moved(void *context, uint64_t bytes)
{
    struct small_task *t = context;

    t->moved(t->ending.context, bytes);
}

static struct storage_task *start(struct storage *s, const char *key,
                                  struct http_call_settings *settings,
                                  const struct storage_ending *ending)
{
    struct small_task *t = http_task_new(s, sizeof(*t), on_stop);
    char *full = http_storage_key(t->task.h, key);

    t->key = mem_strdup(key);
    t->verb = settings->ask.verb;
    t->ending = *ending;
    settings->ask.key = full;
    settings->done = on_done;
    settings->context = t;
    t->call = http_call_start(t->task.h, settings);
    mem_free(full);
    return &t->task.task;
}

struct storage_task *
http_head(struct storage *s, const char *key,
          void (*done)(void *, int, const char *, const struct storage_object *), void *context)
{
    struct storage_ending ending = { ENDING_HEAD, { .head = done }, context };
    struct http_call_settings settings = { .ask.verb = VERB_HEAD };

    return start(s, key, &settings, &ending);
}

struct storage_task *http_read(struct storage *s, const char *key, size_t max,
                               void (*done)(void *, int, const char *, struct str), void *context)
{
    struct storage_ending ending = { ENDING_READ, { .read = done }, context };
    struct http_call_settings settings = { .ask.verb = VERB_GET, .answer_max = max + 1 };
    struct storage_task *task = start(s, key, &settings, &ending);

    ((struct small_task *)task)->max = max;
    return task;
}

struct storage_task *http_copy(struct storage *s, const char *key, const char *from,
                               storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    char *full = http_storage_key((struct http_storage *)s, from);
    struct http_call_settings settings = { .ask.verb = VERB_COPY, .ask.from = full };
    struct storage_task *task = start(s, key, &settings, &ending);

    mem_free(full);
    return task;
}

struct storage_task *http_remove(struct storage *s, const char *key, storage_done *done,
                                 void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct http_call_settings settings = { .ask.verb = VERB_REMOVE };

    return start(s, key, &settings, &ending);
}

struct storage_task *http_begin(struct storage *s, const char *key, const char *content_type,
                                void (*done)(void *, int, const char *, const char *),
                                void *context)
{
    struct storage_ending ending = { ENDING_BEGIN, { .begin = done }, context };
    struct http_call_settings settings = {
        .ask.verb = VERB_BEGIN,
        .ask.content_type = content_type ? content_type : "application/octet-stream",
    };

    return start(s, key, &settings, &ending);
}

struct storage_task *http_part_put(struct storage *s, const struct storage_part_put *put)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = put->done }, put->context };
    struct http_call_settings settings = {
        .ask.verb = VERB_PART_PUT,
        .ask.id = put->id,
        .ask.number = put->number,
        .has_file = true,
        .file = put->file,
        .offset = put->offset,
        .length = put->length,
        .moved = put->moved ? on_moved : NULL,
    };
    struct storage_task *task = start(s, put->key, &settings, &ending);

    ((struct small_task *)task)->moved = put->moved;
    return task;
}

struct storage_task *http_part_copy(struct storage *s, const char *key, const char *id,
                                    uint32_t number, const char *from, storage_done *done,
                                    void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    char *full = http_storage_key((struct http_storage *)s, from);
    struct http_call_settings settings = {
        .ask.verb = VERB_PART_COPY,
        .ask.id = id,
        .ask.number = number,
        .ask.from = full,
    };
    struct storage_task *task = start(s, key, &settings, &ending);

    ((struct small_task *)task)->id = mem_strdup(id);
    ((struct small_task *)task)->number = number;
    mem_free(full);
    return task;
}

struct storage_task *http_abort(struct storage *s, const char *key, const char *id,
                                storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    struct http_call_settings settings = { .ask.verb = VERB_ABORT, .ask.id = id };

    http_copied_forget((struct http_storage *)s, id);
    return start(s, key, &settings, &ending);
}
