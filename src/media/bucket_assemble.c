/* The step `assemble` where chunks lie in a bucket. Of parts the bucket makes one object,
 * `source`; which is then fetched. Chunks that are too small for that are fetched one by
 * one, and stay. Done again after any crash it finds what it has done:
 *
 *   parts, objects --part_copy--> parts --complete--> source --fetch--> scratch
 *   a part (chunk 0), small objects --complete--> source, objects --fetch--> scratch */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/bucket.h"
#include "media/task.h"

enum { COPIES_MAX = 6, COMPLETIONS_MAX = 3 };

/* Document 000, "Stage 1" */
static const double found_chunks = 0.05, reading_from = 0.10, reading_to = 0.50, saving = 0.55;

struct assembling;

struct copying {
    struct assembling *owner;
    struct storage_task *task; /* NULL: free */
};

struct assembling {
    struct media_task task; /* first */
    struct pipeline *pipeline;
    struct bucket_listing *listing; /* under way, or NULL */
    struct copying copies[COPIES_MAX];
    struct bucket_list list; /* its arrays are this one's own */
    enum bucket_way way;
    uint64_t size;
    uint32_t next, running; /* of copies */
    bool has_copied;
    unsigned completions; /* tried */
    uint64_t begun_ms;
    int err;
    struct buf why;
};

static struct storage *storage_of(const struct assembling *a)
{
    return a->pipeline->owner->parts.storage;
}

static struct upload_place *place_of(struct assembling *a)
{
    return &a->pipeline->spec.upload.place;
}

static void forget_list(struct assembling *a)
{
    mem_free(a->list.chunks);
    mem_free(a->list.parts);
    a->list = (struct bucket_list){ 0 };
}

static void end(struct assembling *a, int err, const char *why)
{
    struct pipeline *p = a->pipeline;
    struct buf text = a->why;

    forget_list(a);
    mem_free(a);
    p->task = NULL;
    pipeline_step_done(p, err, why);
    buf_deinit(&text);
}

static void broken_off(void *context)
{
    end(context, FAIL_CANCELLED, NULL);
}

/* A storage that is away holds up nobody who cancels. A completion is waited for: it may
 * happen all the same, and leave an object behind what was cleared. */
static void cancel(struct media_task *task)
{
    struct assembling *a = (struct assembling *)task;

    if (a->listing == NULL && a->running == 0)
        return;
    if (a->listing != NULL)
        bucket_list_cancel(a->listing);
    a->listing = NULL;
    for (size_t i = 0; i < COPIES_MAX; i++) {
        if (a->copies[i].task != NULL)
            storage_cancel(a->copies[i].task);
        a->copies[i].task = NULL;
    }
    a->running = 0;
    media_later(a->pipeline->owner->parts.loop, broken_off, a);
}

static bool is_stopped(const struct assembling *a)
{
    return atomic_load(&a->pipeline->is_stopped);
}

/* The file */

static void reading(struct pipeline *p, uint64_t bytes)
{
    uint32_t total = p->spec.upload.total_chunks;
    double share = p->spec.bytes > 0 ? (double)bytes / (double)p->spec.bytes : 1;
    uint32_t chunk = 1 + (uint32_t)(share * total);
    char message[64];

    snprintf(message, sizeof(message), "Reading chunk %u/%u", chunk < total ? chunk : total, total);
    pipeline_say(p, "assembling", reading_from + (reading_to - reading_from) * share, message,
                 NULL);
}

static void fetched(struct pipeline *p, int err, const char *why)
{
    if (err == OK)
        pipeline_say(p, "assembling", saving, "Saving assembled video", NULL);
    p->has_file = err == OK;
    pipeline_step_done(p, err, why);
}

static void fetch(struct assembling *a, const struct bucket_list *list)
{
    struct pipeline *p = a->pipeline;

    p->task = NULL;
    p->spec.bytes = a->size;
    reading(p, 0);
    bucket_fetch(&(struct bucket_fetch){
        .pipeline = p, .list = list, .size = a->size, .moved = reading, .done = fetched });
    forget_list(a);
    buf_deinit(&a->why);
    mem_free(a);
}

/* By parts */

static void list_again(struct assembling *a);

static void by_source(struct assembling *a, uint64_t size)
{
    a->size = size;
    place_of(a)->layout = LAYOUT_PARTS;
    place_of(a)->multipart[0] = '\0';
    a->pipeline->spec.upload.has_source = true; /* whatever becomes of it here */
    fetch(a, NULL);
}

static void completed(void *context, int err, const char *why)
{
    struct assembling *a = context;

    /* A part was sent again behind the list. */
    if (err == FAIL_STATE && ++a->completions < COMPLETIONS_MAX && !is_stopped(a)) {
        list_again(a);
        return;
    }
    if (err) {
        /* It may have happened all the same; then the list tells. */
        a->pipeline->spec.upload.has_source |= a->way != BUCKET_BY_HEAD;
        end(a, err == FAIL_LIMIT ? err : pipeline_storage_err(err), why);
        return;
    }
    log_info("upload_completed", LOG_S("job", a->pipeline->video),
             LOG_I("parts", a->way == BUCKET_BY_HEAD ? 1 : a->list.count), LOG_I("bytes", a->size),
             LOG_I("ms", clock_mono_ms() - a->begun_ms));
    if (a->way != BUCKET_BY_HEAD) {
        by_source(a, a->size);
        return;
    }
    place_of(a)->layout = LAYOUT_OBJECTS;
    place_of(a)->multipart[0] = '\0';
    a->list.chunks[0].form = CHUNK_SOURCE;
    fetch(a, &a->list);
}

static void complete(struct assembling *a, size_t count)
{
    a->begun_ms = clock_mono_ms();
    storage_upload_complete(storage_of(a), bucket_source(a->pipeline->video).text,
                            place_of(a)->multipart, a->list.parts, count, completed, a);
}

static void copy_more(struct assembling *a);

static void copied(void *context, int err, const char *why)
{
    struct copying *c = context;
    struct assembling *a = c->owner;

    c->task = NULL;
    a->running--;
    if (err && a->err == OK) {
        a->err = pipeline_storage_err(err);
        buf_puts(&a->why, why != NULL ? why : fail_text(err));
    }
    copy_more(a);
}

static void copy(struct assembling *a, uint32_t index)
{
    const char *video = a->pipeline->video;
    struct copying *c = a->copies;

    while (c->task != NULL)
        c++;
    a->running++;
    c->owner = a;
    c->task = storage_part_copy(storage_of(a), bucket_source(video).text, place_of(a)->multipart,
                                index + 1, bucket_chunk(video, index).text, copied, c);
}

static void copy_more(struct assembling *a)
{
    if (a->err == OK && is_stopped(a))
        a->err = FAIL_CANCELLED;
    for (; a->err == OK && a->running < COPIES_MAX && a->next < a->list.count; a->next++)
        if (a->list.chunks[a->next].form == CHUNK_OBJECT)
            copy(a, a->next);
    if (a->running > 0)
        return;
    if (a->err)
        end(a, a->err, buf_text(&a->why));
    else {
        a->has_copied = true;
        list_again(a); /* for what the parts are called now */
    }
}

/* What is there */

static bool has_objects(const struct bucket_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->chunks[i].form != CHUNK_PART)
            return true;
    return false;
}

/* A part counts before an object of the same index, once it is to be one. */
static void go_parts(struct assembling *a)
{
    place_of(a)->layout = LAYOUT_PARTS;
    if (!has_objects(&a->list))
        complete(a, a->list.part_count);
    else if (a->has_copied)
        end(a, FAIL_IO, "the storage does not list what became a part");
    else
        copy_more(a);
}

static void go(struct assembling *a)
{
    uint32_t small = 0;

    a->way = bucket_way(&a->list, storage_traits(storage_of(a)), &small);
    if (a->way == BUCKET_BY_PARTS) {
        go_parts(a);
    } else if (a->way == BUCKET_BY_HEAD) {
        complete(a, 1);
    } else if (a->way == BUCKET_BY_OBJECTS) {
        place_of(a)->layout = LAYOUT_OBJECTS;
        fetch(a, &a->list);
    } else {
        buf_reset(&a->why);
        buf_printf(&a->why, "chunk %u is too small for this storage", small);
        end(a, FAIL_SYNTAX, buf_text(&a->why));
    }
}

static void take_list(struct assembling *a, const struct bucket_list *list)
{
    forget_list(a);
    a->list = *list;
    a->list.chunks = mem_alloc(((size_t)list->count + 1) * sizeof(*list->chunks));
    a->list.parts = mem_alloc((list->part_count + 1) * sizeof(*list->parts));
    a->size = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        a->list.chunks[i] = list->chunks[i];
        a->size += list->chunks[i].size;
    }
    for (size_t i = 0; i < list->part_count; i++)
        a->list.parts[i] = list->parts[i];
}

/* It was completed before, and that is not on record: its parts are gone, and what they
 * were is there. Objects that were made parts of are there still. */
static bool is_completed(const struct assembling *a, const struct bucket_list *list)
{
    const struct pipeline *p = a->pipeline;

    const struct upload_place *place = &p->spec.upload.place;

    return place->layout != LAYOUT_OBJECTS && place->multipart[0] != '\0' &&
           list->part_count == 0 && list->has_source && list->source_size == p->spec.bytes;
}

static bool is_missing(struct assembling *a)
{
    for (uint32_t i = 0; i < a->list.count; i++) {
        if (a->list.chunks[i].form != CHUNK_MISSING)
            continue;
        buf_reset(&a->why);
        buf_printf(&a->why, "chunk %u of %u is not there any more", i, a->list.count);
        return true;
    }
    return false;
}

/* What is sent again now, where the same was to be sent, may be of another size; but not
 * of another one than was declared. */
static int refuse_size(struct assembling *a)
{
    int64_t declared = a->pipeline->spec.upload.size;

    if (declared < 0 || (uint64_t)declared == a->size)
        return OK;
    buf_reset(&a->why);
    buf_printf(&a->why, "the chunks hold %llu bytes by now, but fileSize was declared as %lld",
               (unsigned long long)a->size, (long long)declared);
    return FAIL_SYNTAX;
}

/* Its parts went with the multipart upload, which the bucket's own rules have ended. */
static void lose_parts(struct assembling *a, const struct bucket_list *list)
{
    if (!list->is_begun && place_of(a)->layout != LAYOUT_OBJECTS)
        place_of(a)->layout = LAYOUT_UNDECIDED;
    if (!list->is_begun)
        place_of(a)->multipart[0] = '\0';
    end(a, FAIL_SYNTAX, buf_text(&a->why));
}

static void listed(void *context, int err, const char *why, const struct bucket_list *list)
{
    struct assembling *a = context;
    struct pipeline *p = a->pipeline;

    a->listing = NULL;
    if (err || is_stopped(a)) {
        end(a, err ? pipeline_storage_err(err) : FAIL_CANCELLED, why);
        return;
    }
    pipeline_say(p, "assembling", found_chunks, "Found chunks, preparing", NULL);
    if (is_completed(a, list)) {
        by_source(a, list->source_size);
        return;
    }
    take_list(a, list);
    if (is_missing(a))
        lose_parts(a, list);
    else if (refuse_size(a) != OK)
        end(a, FAIL_SYNTAX, buf_text(&a->why));
    else
        go(a);
}

static void list_again(struct assembling *a)
{
    struct pipeline *p = a->pipeline;
    const struct upload *u = &p->spec.upload;

    a->listing = bucket_list(storage_of(a), p->video, &u->place, u->total_chunks, listed, a);
}

void bucket_assemble(struct pipeline *p)
{
    struct assembling *a = mem_new(struct assembling);

    a->task.cancel = cancel;
    a->pipeline = p;
    p->task = &a->task;
    buf_init(&a->why, 512);
    pipeline_say(p, "assembling", 0, "Starting chunk assembly", NULL);
    list_again(a);
}
