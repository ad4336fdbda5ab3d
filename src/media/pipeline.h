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

/* Forgets uploads that nobody has touched since `before_ms`. */
void pipelines_sweep(struct pipelines *ps, int64_t before_ms);

/* Begins nothing more, lets running steps end for `grace_ms`, then stops them;
 * `done` when none runs. Jobs stay as they are, for the next start. */
void pipelines_drain(struct pipelines *ps, uint32_t grace_ms, void (*done)(void *context),
                     void *context);

size_t pipelines_running(const struct pipelines *ps);

#endif
