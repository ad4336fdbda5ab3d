/* An object goes up: in one request, or, if it is large, in parts, several at a time.
 *
 *   whole:  put -> done
 *   parts:  begin -> parts -> complete -> done
 *                      \--------\-> abort -> done, with what had failed
 *
 * One that is cancelled aborts behind the back of who cancelled it. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/http_internal.h"

enum {
    WHOLE_MAX = 64 << 20, /* what is sent once more after a break, at most */
    PART_SIZE = 32 << 20,
    PART_STEP = 1 << 20,
};

struct put_task;

struct put_slot {
    struct put_task *task;
    struct http_call *call; /* NULL: free */
    uint64_t sent;          /* of the part that is under way */
    size_t index;           /* of it */
};

struct put_task {
    struct http_task task; /* first */
    struct http_call *call;
    struct storage_task *completing;
    struct storage_put put; /* its texts are copies */
    char *full;             /* the key with the prefix */
    char *id;               /* of the multipart upload, once begun; NULL: there is none (more) */
    struct storage_part *parts;
    struct put_slot *slots;
    size_t part_count, slot_count, next, busy;
    uint64_t part_size, whole, said; /* `whole`: bytes of parts that are there */
    int err;
    char why[HTTP_WHY_SIZE];
};

/* Nobody waits for it. */
static void abort_upload(struct put_task *t)
{
    struct http_call_settings settings = { .ask = {
                                               .verb = VERB_ABORT, .key = t->full, .id = t->id } };

    if (!t->task.h->is_closing)
        http_call_start(t->task.h, &settings);
}

static void stop_parts(struct put_task *t)
{
    for (size_t i = 0; i < t->slot_count; i++) {
        http_call_cancel(t->slots[i].call);
        t->slots[i].call = NULL;
    }
    t->busy = 0;
}

static void on_stop(struct http_task *task)
{
    struct put_task *t = (struct put_task *)task;

    http_call_cancel(t->call);
    t->call = NULL;
    stop_parts(t);
    if (t->completing != NULL)
        storage_cancel(t->completing);
    t->completing = NULL;
    if (t->id != NULL)
        abort_upload(t);
    mem_free((char *)t->put.key);
    mem_free((char *)t->put.content_type);
    mem_free((char *)t->put.cache_control);
    mem_free((char *)t->put.bytes.at);
    mem_free(t->full);
    mem_free(t->id);
    mem_free(t->parts);
    mem_free(t->slots);
    t->slot_count = 0;
}

static void end(struct put_task *t, int err, const char *why)
{
    http_task_end(&t->task);
    t->put.done(t->put.context, err, why);
}

static void forget_id(struct put_task *t)
{
    mem_free(t->id);
    t->id = NULL;
}

static void on_aborted(void *context, const struct http_outcome *outcome)
{
    struct put_task *t = context;

    (void)outcome; /* what cannot be removed now is found by storage_uploads */
    t->call = NULL;
    forget_id(t);
    end(t, t->err, t->why);
}

static void fail(struct put_task *t, int err, const char *why)
{
    struct http_call_settings settings = {
        .ask = { .verb = VERB_ABORT, .key = t->full, .id = t->id },
        .is_once = true,
        .done = on_aborted,
        .context = t,
    };

    t->err = err;
    snprintf(t->why, sizeof(t->why), "%s", why ? why : fail_text(err));
    stop_parts(t);
    t->call = http_call_start(t->task.h, &settings);
}

static void on_completed(void *context, int err, const char *why)
{
    struct put_task *t = context;

    t->completing = NULL;
    if (err) {
        fail(t, err, why);
        return;
    }
    forget_id(t);
    end(t, OK, NULL);
}

static void say_moved(struct put_task *t)
{
    uint64_t bytes = t->whole;

    for (size_t i = 0; i < t->slot_count; i++)
        bytes += t->slots[i].sent;
    if (t->put.moved == NULL || bytes <= t->said)
        return;
    t->said = bytes;
    t->put.moved(t->put.context, bytes);
}

static void on_part_moved(void *context, uint64_t bytes)
{
    struct put_slot *slot = context;

    slot->sent = bytes;
    say_moved(slot->task);
}

static void on_part(void *context, const struct http_outcome *outcome);

static void send_part(struct put_task *t, struct put_slot *slot)
{
    struct storage_part *part = &t->parts[t->next];
    uint64_t at = (uint64_t)t->next * t->part_size, left = t->put.length - at;
    struct http_call_settings settings = {
        .ask = { .verb = VERB_PART_PUT, .key = t->full, .id = t->id },
        .has_file = true,
        .file = t->put.file,
        .offset = t->put.offset + at,
        .length = left < t->part_size ? left : t->part_size,
        .moved = on_part_moved,
        .done = on_part,
        .context = slot,
    };

    part->number = settings.ask.number = (uint32_t)t->next + 1;
    part->size = settings.length;
    part->modified_s = -1;
    slot->index = t->next++;
    slot->sent = 0;
    slot->call = http_call_start(t->task.h, &settings);
    t->busy++;
}

static void send_parts(struct put_task *t)
{
    for (size_t i = 0; i < t->slot_count && t->next < t->part_count; i++)
        if (t->slots[i].call == NULL)
            send_part(t, &t->slots[i]);
}

static void on_part(void *context, const struct http_outcome *outcome)
{
    struct put_slot *slot = context;
    struct put_task *t = slot->task;
    struct storage_part *part = &t->parts[slot->index];

    slot->call = NULL;
    t->busy--;
    if (outcome->err) {
        fail(t, outcome->err, outcome->why);
        return;
    }
    http_etag_of(outcome->answer, part->etag);
    slot->sent = 0;
    t->whole += part->size;
    send_parts(t);
    if (t->busy == 0)
        t->completing = http_complete(t->task.task.storage, t->put.key, t->id, t->parts,
                                      t->part_count, on_completed, t);
}

static void on_begun(void *context, const struct http_outcome *outcome)
{
    struct put_task *t = context;

    t->call = NULL;
    if (outcome->err) {
        end(t, outcome->err, outcome->why);
        return;
    }
    t->id = outcome->result->id;
    outcome->result->id = NULL;
    send_parts(t);
}

static void on_put(void *context, const struct http_outcome *outcome)
{
    struct put_task *t = context;

    t->call = NULL;
    end(t, outcome->err, outcome->why);
}

static void on_moved(void *context, uint64_t bytes)
{
    struct put_task *t = context;

    t->put.moved(t->put.context, bytes);
}

static void start_whole(struct put_task *t, const struct http_ask *ask)
{
    struct http_call_settings settings = {
        .ask = *ask,
        .has_file = t->put.has_file,
        .file = t->put.file,
        .offset = t->put.offset,
        .length = t->put.length,
        .bytes = t->put.bytes,
        .moved = t->put.moved ? on_moved : NULL,
        .done = on_put,
        .context = t,
    };

    settings.ask.verb = VERB_PUT;
    t->call = http_call_start(t->task.h, &settings);
}

/* As small as may be, so that little is sent again; as large as it must, so that the
 * parts there may be suffice. */
static uint64_t part_size_for(const struct storage_traits *traits, uint64_t length)
{
    uint64_t least = (length + traits->parts_max - 1) / traits->parts_max;
    uint64_t size = (least + PART_STEP - 1) / PART_STEP * PART_STEP;

    if (size < PART_SIZE)
        size = PART_SIZE;
    if (size < traits->part_min)
        size = traits->part_min;
    return size;
}

static void start_parts(struct put_task *t, const struct http_ask *ask)
{
    struct http_call_settings settings = { .ask = *ask, .done = on_begun, .context = t };

    t->part_count = (size_t)((t->put.length + t->part_size - 1) / t->part_size);
    t->parts = mem_zalloc(t->part_count * sizeof(*t->parts));
    t->slot_count = t->task.h->parallel;
    t->slots = mem_zalloc(t->slot_count * sizeof(*t->slots));
    for (size_t i = 0; i < t->slot_count; i++)
        t->slots[i].task = t;
    settings.ask.verb = VERB_BEGIN;
    t->call = http_call_start(t->task.h, &settings);
}

struct storage_task *http_put(struct storage *s, const struct storage_put *put)
{
    const struct storage_traits *traits = s->traits;
    uint64_t whole_max = traits->part_max < WHOLE_MAX ? traits->part_max : WHOLE_MAX;
    uint64_t part_size = part_size_for(traits, put->has_file ? put->length : 0);

    if (part_size > traits->part_max && put->has_file && put->length > whole_max) {
        struct storage_ending ending = { ENDING_PLAIN, { .plain = put->done }, put->context };
        return storage_refuse(s, &ending, FAIL_LIMIT, "it is larger than objects may be");
    }
    struct put_task *t = http_task_new(s, sizeof(*t), on_stop);
    t->put = *put;
    t->put.key = mem_strdup(put->key);
    t->put.content_type =
        mem_strdup(put->content_type ? put->content_type : "application/octet-stream");
    t->put.cache_control = put->cache_control ? mem_strdup(put->cache_control) : NULL;
    t->put.bytes = (struct str){ .at = NULL };
    if (!put->has_file && put->bytes.len > 0)
        t->put.bytes = (struct str){ mem_strndup(put->bytes.at, put->bytes.len), put->bytes.len };
    t->full = http_storage_key(t->task.h, put->key);
    t->part_size = part_size;
    struct http_ask ask = { .key = t->full,
                            .content_type = t->put.content_type,
                            .cache_control = t->put.cache_control };
    if (!put->has_file || put->length <= whole_max)
        start_whole(t, &ask);
    else
        start_parts(t, &ask);
    return &t->task.task;
}
