/* An upload in a bucket gets the chunks of another behind its own: each is copied there,
 * several at a time, and no byte passes through us. What a crash leaves is no chunk that
 * counts wrongly: the other keeps its own until this one's assembly is on record.
 *
 *   what the other has -> what this one has -> copies */
#include <stdio.h>

#include "api/api.h"
#include "api/errand.h"
#include "base/err.h"
#include "base/mem.h"

enum { COPIES_MAX = 8 };

struct join {
    struct errand errand;
    upload_sliced *done;
    struct upload look;
    struct slices from, to;
    uint32_t next, running;
    int err;
    char from_id[JOB_ID_MAX + 1], to_id[JOB_ID_MAX + 1];
};

static void back(struct errand *errand)
{
    struct join *j = (struct join *)errand;

    j->done(errand->call, j->err, &j->to);
    mem_free(j);
}

/* Handlers take FAIL_CLOSED for the records. */
static void end(struct join *j, int err)
{
    j->err = err == FAIL_CLOSED || err == FAIL_IO || err == FAIL_DENIED ? FAIL_TIMEOUT : err;
    errand_return(&j->errand);
}

static void count_up(struct slices *s, const int64_t *sizes)
{
    while (s->chunks < CHUNKS_MAX && sizes[s->chunks] >= 0)
        s->bytes += (uint64_t)sizes[s->chunks++];
}

static void copy_more(struct join *j);

static void copied(void *context, int err)
{
    struct join *j = context;

    j->running--;
    if (j->err == OK)
        j->err = err;
    copy_more(j);
}

static void copy_more(struct join *j)
{
    while (j->err == OK && j->running < COPIES_MAX && j->next < j->from.chunks) {
        uint32_t index = j->next++;
        j->running++;
        pipelines_copy_chunk(j->errand.api->pipelines,
                             &(struct chunk_copy){ .from = j->from_id,
                                                   .from_index = index,
                                                   .to = j->to_id,
                                                   .to_index = j->to.chunks + index },
                             copied, j);
    }
    if (j->running > 0)
        return;
    if (j->err == OK) {
        j->to.chunks += j->from.chunks;
        j->to.bytes += j->from.bytes;
    }
    end(j, j->err);
}

static void to_told(void *context, int err, const int64_t *sizes)
{
    struct join *j = context;

    if (err == OK)
        count_up(&j->to, sizes);
    if (err == OK && j->from.chunks > CHUNKS_MAX - j->to.chunks)
        err = FAIL_LIMIT;
    if (err)
        end(j, err);
    else
        copy_more(j);
}

static void from_told(void *context, int err, const int64_t *sizes)
{
    struct join *j = context;

    if (err) {
        end(j, err);
        return;
    }
    count_up(&j->from, sizes);
    pipelines_chunks(j->errand.api->pipelines, j->to_id, &j->look, to_told, j);
}

static void run(struct errand *errand)
{
    struct join *j = (struct join *)errand;

    pipelines_chunks(errand->api->pipelines, j->from_id, &j->look, from_told, j);
}

void errand_join(struct call *c, const char *from, const char *to, upload_sliced *done)
{
    struct join *j = mem_new(struct join);

    j->done = done;
    j->look.total_chunks = CHUNKS_MAX;
    j->look.place.layout = LAYOUT_OBJECTS;
    snprintf(j->from_id, sizeof(j->from_id), "%s", from);
    snprintf(j->to_id, sizeof(j->to_id), "%s", to);
    errand_go(&j->errand, c, run, back);
}
