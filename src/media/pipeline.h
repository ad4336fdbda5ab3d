/* From chunks to HLS: the stages of an upload, one after the other, each with a
 * checkpoint on disk before the next begins.
 *
 *   assemble -> probe -> clean -> convert -> publish -> (job completed)
 *   \---- stage "assembling" ---/  \-- stage "converting" --/
 *
 * A step may be run again from its beginning at any time: after a crash the
 * work record says which. A failure before `clean` leaves the chunks, one
 * behind it the assembled file, so that the uploader can mend it and assemble
 * again. Everything here happens on the desk's loop. Where
 * jobs, uploads and checkpoints are kept is the book's (media/book.h). */
#ifndef MEDIA_PIPELINE_H
#define MEDIA_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "media/book.h"
#include "media/downloads.h"
#include "media/media.h"
#include "storage/disk.h"
#include "storage/storage.h"

struct pipelines;

struct pipeline_settings {
    struct media_settings media;
    struct download_settings download;
    uint64_t upload_max;      /* bytes of all chunks; 0: any */
    unsigned conversions_max; /* ffmpeg ladders at a time; others wait */
    const char *public_url;   /* put before "/videos/...": "" or "https://host" */
};

/* What all pipelines work with; borrowed. */
struct pipeline_parts {
    uv_loop_t *loop;
    struct pipeline_book *book;
    struct disk *disk;
    struct storage *storage; /* where chunks and what is published lie; NULL: on the disk */
    const struct pipeline_settings *settings;
    struct fetcher *fetcher;   /* a guarded one, for downloads; NULL: there are none */
    const struct guard *guard; /* the same */
    /* How many downloads are under way has changed; may be NULL. */
    void (*fetching)(void *context, unsigned count);
    void *context;
};

struct pipelines *pipelines_new(const struct pipeline_parts *parts);
void pipelines_free(struct pipelines *ps); /* none may be running */

/* Checks that the chunks are all there and begins. `answer` comes once, maybe
 * within the call: OK when the work is on record; else FAIL_MISSING (no such
 * upload, or chunks), FAIL_STATE (it is being worked on already), FAIL_SYNTAX
 * (nothing announced, empty, sizes that do not add up), FAIL_FULL, FAIL_CLOSED.
 * `why` is for the user. `total_chunks` 0: as announced. */
void pipelines_assemble(struct pipelines *ps, const char *video, const char *file_name,
                        uint32_t total_chunks,
                        void (*answer)(void *context, int err, const char *why), void *context);

/* Ends an upload or its processing: the job is cancelled, ffmpeg killed with its
 * group, chunks and scratch removed. `done` comes once, maybe within the call: OK
 * when it is on record, or queued with the store; FAIL_MISSING if nothing of that
 * video is under way; FAIL_CLOSED. */
void pipelines_cancel(struct pipelines *ps, const char *video, book_done *done, void *context);

/* Forgets uploads that nobody has touched since `before_ms`, and begins the assembly of
 * those that are whole and were left alone. */
void pipelines_sweep(struct pipelines *ps, int64_t before_ms);

/* Chunks of uploads that lie in a bucket (bucket_*.c). */

/* The URL to PUT one to, by what is on record. FAIL_STATE: that is to be found out
 * first, by pipelines_chunk_url; others as storage_part_url. Any thread. */
int upload_chunk_url(const struct storage *s, const char *video, const struct upload_place *place,
                     uint32_t index, uint64_t lifetime_s, struct buf *out);
/* Whether it goes there as a part. Pure. */
bool upload_chunk_is_part(const struct upload_place *place, uint32_t index);

struct chunk_url {
    const char *video;
    uint32_t index, total;
    uint64_t lifetime_s;
};
/* Finds out where the chunk is to go, and puts that on record. `url` is there only if
 * err is OK. FAIL_MISSING, FAIL_STATE (it takes no chunks), FAIL_CLOSED, and what
 * storages say; `why` for people. */
typedef void chunk_url_done(void *context, int err, const char *why, const char *url);
void pipelines_chunk_url(struct pipelines *ps, const struct chunk_url *ask, chunk_url_done *done,
                         void *context);

/* A received one goes into the bucket. `file` is borrowed until `done`. */
struct pipeline_chunk {
    const char *video;
    const struct upload_place *place;
    uint32_t index;
    int file;
    uint64_t size;
};
void pipelines_put_chunk(struct pipelines *ps, const struct pipeline_chunk *chunk, book_done *done,
                         void *context);

/* One becomes another upload's, in the bucket. FAIL_MISSING: it is not there. */
struct chunk_copy {
    const char *from, *to; /* videos */
    uint32_t from_index, to_index;
};
void pipelines_copy_chunk(struct pipelines *ps, const struct chunk_copy *copy, book_done *done,
                          void *context);

/* Which are there; sizes[i] -1: chunk i is not. Borrowed. */
typedef void chunks_told(void *context, int err, const int64_t *sizes);
void pipelines_chunks(struct pipelines *ps, const char *video, const struct upload *u,
                      chunks_told *done, void *context);

/* Begins nothing more, lets running steps end for `grace_ms`, then stops them;
 * `done` when none runs. Jobs stay as they are, for the next start. */
void pipelines_drain(struct pipelines *ps, uint32_t grace_ms, void (*done)(void *context),
                     void *context);

uv_loop_t *pipelines_loop(const struct pipelines *ps); /* the desk's */

size_t pipelines_running(const struct pipelines *ps);

#endif
