/* Chunks that came through us on their way into the bucket, and what is there, for
 * those who ask. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/bucket.h"

struct passing {
    struct pipelines *owner;
    struct pipeline_chunk chunk;
    struct upload_place place;
    book_done *done;
    void *context;
    char video[JOB_ID_MAX + 1];
};

static void end(struct passing *c, int err)
{
    struct pipelines *ps = c->owner;

    c->done(c->context, err);
    mem_free(c);
    pipelines_settled(ps);
}

/* Who sends it hears less than whoever runs the server needs to know. */
static void tell(const struct passing *c, int err, const char *why)
{
    log_warn("chunk_not_stored", LOG_S("job", c->video), LOG_I("chunk", c->chunk.index),
             LOG_S("reason", fail_name(err)), LOG_S("why", why ? why : ""));
}

static void stored(void *context, int err, const char *why)
{
    if (err)
        tell(context, err, why);
    end(context, err);
}

static void put_object(struct passing *c)
{
    struct bucket_key key = bucket_chunk(c->video, c->chunk.index);

    storage_put(c->owner->parts.storage, &(struct storage_put){ .key = key.text,
                                                                .has_file = true,
                                                                .file = c->chunk.file,
                                                                .length = c->chunk.size,
                                                                .done = stored,
                                                                .context = c });
}

/* A part is gone with its multipart upload; an object is found in any case. */
static void part_stored(void *context, int err, const char *why)
{
    if (err == FAIL_MISSING)
        put_object(context);
    else
        stored(context, err, why);
}

static void put_part(struct passing *c)
{
    struct bucket_key key = bucket_source(c->video);

    storage_part_put(c->owner->parts.storage,
                     &(struct storage_part_put){ .key = key.text,
                                                 .id = c->place.multipart,
                                                 .number = c->chunk.index + 1,
                                                 .file = c->chunk.file,
                                                 .length = c->chunk.size,
                                                 .done = part_stored,
                                                 .context = c });
}

void pipelines_put_chunk(struct pipelines *ps, const struct pipeline_chunk *chunk, book_done *done,
                         void *context)
{
    const struct storage_traits *traits = storage_traits(ps->parts.storage);
    struct passing *c = mem_new(struct passing);

    c->owner = ps;
    c->chunk = *chunk;
    c->place = *chunk->place;
    c->done = done;
    c->context = context;
    snprintf(c->video, sizeof(c->video), "%s", chunk->video);
    ps->pending++;
    if (upload_chunk_is_part(&c->place, chunk->index) && chunk->index < traits->parts_max)
        put_part(c);
    else
        put_object(c);
}

void pipelines_copy_chunk(struct pipelines *ps, const struct chunk_copy *copy, book_done *done,
                          void *context)
{
    struct passing *c = mem_new(struct passing);

    c->owner = ps;
    c->done = done;
    c->context = context;
    ps->pending++;
    storage_copy(ps->parts.storage, bucket_chunk(copy->to, copy->to_index).text,
                 bucket_chunk(copy->from, copy->from_index).text, stored, c);
}

/* What is there */

struct telling {
    struct pipelines *owner;
    chunks_told *done;
    void *context;
};

static void listed(void *context, int err, const char *why, const struct bucket_list *list)
{
    struct telling *t = context;
    struct pipelines *ps = t->owner;
    size_t count = list != NULL ? list->count : 0;
    int64_t *sizes = mem_zalloc((count + 1) * sizeof(*sizes));

    if (err)
        log_warn("chunks_unlisted", LOG_S("reason", fail_name(err)), LOG_S("why", why ? why : ""));
    for (size_t i = 0; i < count; i++)
        sizes[i] = list->chunks[i].form == CHUNK_MISSING ? -1 : (int64_t)list->chunks[i].size;
    t->done(t->context, err, sizes);
    mem_free(sizes);
    mem_free(t);
    pipelines_settled(ps);
}

void pipelines_chunks(struct pipelines *ps, const char *video, const struct upload *u,
                      chunks_told *done, void *context)
{
    struct telling *t = mem_new(struct telling);

    t->owner = ps;
    t->done = done;
    t->context = context;
    ps->pending++;
    bucket_list(ps->parts.storage, video, &u->place, u->total_chunks, listed, t);
}
