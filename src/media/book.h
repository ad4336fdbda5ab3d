/* What pipelines ask of the outside: where uploads, checkpoints and the states of
 * jobs are kept. One book is of this process alone (book_local.h), another of a
 * Redis that several nodes share (book_fleet.h); a pipeline cannot tell them apart.
 *
 * Invariants, whichever it is:
 * - A step begins when the checkpoint naming it is durable.
 * - A job's end is told first, then its remains are removed, then the work is
 *   dropped: what a crash in between leaves is found by whoever takes it up next.
 * - An upload is on record as open again only behind its job's failure.
 *
 * `token` is that of the lease: with FAIL_STALE another node has taken over, and
 * nothing may be written any more. 0: there are no leases.
 *
 * On the desk's thread, but for `say`. Each `done` comes exactly once; it may run
 * within the call unless something else is said. Names and texts are borrowed for
 * the call. */
#ifndef MEDIA_BOOK_H
#define MEDIA_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/update.h"
#include "media/uploads.h"

struct pipeline_book;

typedef void book_done(void *context, int err);
/* `upload` and `title` (may be NULL) are borrowed; there only if err is OK. */
typedef void book_found(void *context, int err, const struct upload *upload, const char *title);
typedef void book_stale(void *context, const char *const *videos, size_t count);

/* Names are borrowed. */
struct book_idle {
    const char *const *videos;
    size_t count;
    int64_t reached_ms; /* what was touched before this is among them */
};
/* `idle` is NULL unless err is OK. */
typedef void book_idle_done(void *context, int err, const struct book_idle *idle);

struct book_place {
    const char *video;
    const struct upload_place *before, *after;
};

/* An upload whose processing is to begin. */
struct book_begin {
    const char *video;
    const struct upload *upload; /* file name and number of chunks as they shall be */
    uint64_t reserve;            /* bytes of disk it will need */
    const char *step, *spec;     /* its first checkpoint */
};

struct book_checkpoint {
    const char *video;
    uint64_t token;
    const char *step, *spec;
};

struct book_end {
    const char *video;
    uint64_t token;
    const struct change *change; /* a final state */
    const struct upload *reopen; /* can be mended: an open upload again; NULL: it is over */
};

enum book_leaving {
    BOOK_DROP,    /* over, and its remains are removed */
    BOOK_RELEASE, /* as it is, to be gone on with later */
    BOOK_RETRY,   /* the same, but it went wrong: `why` */
};

struct book_leave {
    const char *video;
    uint64_t token;
    enum book_leaving how;
    const char *why;
};

struct book_ops {
    const char *name;
    /* What is begun goes to a queue, for whichever node; else this one processes it. */
    bool is_queue;

    /* FAIL_MISSING, FAIL_CLOSED. */
    void (*find)(struct pipeline_book *b, const char *video, book_found *found, void *context);

    /* Of an open upload, by compare-and-set; `done` when it is durable. FAIL_EXISTS: it
     * is not (any more) as `before` says; FAIL_STATE: not open; FAIL_MISSING,
     * FAIL_CLOSED. */
    void (*place)(struct pipeline_book *b, const struct book_place *place, book_done *done,
                  void *context);

    /* Takes no more chunks, and its job is queued (anew, if it had failed). FAIL_STATE:
     * not open; FAIL_FULL; FAIL_MISSING, FAIL_CLOSED. Without a queue the bytes are
     * promised by the disk, to be given back by the caller. */
    void (*begin)(struct pipeline_book *b, const struct book_begin *begin, book_done *done,
                  void *context);

    /* Progress: the latest counts. Any thread. */
    void (*say)(struct pipeline_book *b, const char *video, uint64_t token, const struct change *c);

    /* `done` (may be NULL) when it is durable; never within the call. */
    void (*checkpoint)(struct pipeline_book *b, const struct book_checkpoint *c, book_done *done,
                       void *context);

    /* FAIL_STATE: the job has ended otherwise before. */
    void (*end)(struct pipeline_book *b, const struct book_end *end, book_done *done,
                void *context);
    void (*leave)(struct pipeline_book *b, const struct book_leave *leave, book_done *done,
                  void *context);

    /* Of what does not run here. FAIL_STATE: it was an open upload, and is the
     * caller's to end and clear away; OK: whoever processes it will; FAIL_MISSING,
     * FAIL_CLOSED. */
    void (*cancel)(struct pipeline_book *b, const char *video, book_done *done, void *context);

    /* Gives some open uploads that nobody has touched since, to be ended and cleared
     * away. */
    void (*stale)(struct pipeline_book *b, int64_t before_ms, book_stale *found, void *context);

    /* Open uploads last touched in [since, before); FAIL_CLOSED. */
    void (*idle)(struct pipeline_book *b, int64_t since_ms, int64_t before_ms, book_idle_done *done,
                 void *context);
};

struct pipeline_book {
    const struct book_ops *ops;
};

#endif
