/* A job's whole state at one moment: immutable, reference-counted, numbered.
 * Not a delta: "latest wins" loses nothing. Every thread may read, ref and
 * unref; nobody writes after update_derive, except the rendering cache, which
 * is atomic.
 *
 * Invariants: seq grows with every update of a job, also over a restart; a
 * final state is never followed, except by a retry of a failed job. */
#ifndef CORE_UPDATE_H
#define CORE_UPDATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/msg.h"
#include "core/job.h"

enum update_text {
    TEXT_ID,
    TEXT_OWNER,      /* `sub` of the token that created it; NULL: nobody's */
    TEXT_TITLE,      /* for people: the file's name, the video's title */
    TEXT_STAGE,      /* "assembling", "converting", "rendering", ... */
    TEXT_MESSAGE,    /* for people, as the documents word it */
    TEXT_ERROR,      /* set when failed or cancelled */
    TEXT_METADATA,   /* JSON object, as reported */
    TEXT_RESULT,     /* JSON value, set when completed */
    TEXT_VIDEO_INFO, /* JSON object: id, title, thumbnail, duration, quality */
    TEXT_HLS_PATH,   /* "videos/hls/...": where the playlist lies in storage */
    TEXT_URL,        /* where a client fetches the result */
    TEXT_STORAGE,    /* "disk", "s3", "gcs", "azure" */
    UPDATE_TEXTS
};

/* Renderings cached on an update: dialects times framings (core/frames.h). */
enum { UPDATE_FRAMES_MAX = 32 };

#define UNKNOWN_FRACTION (-1.0)

struct update {
    atomic_uint refs;
    enum job_state state;
    enum job_kind kind;
    bool is_start; /* the first one of an attempt that is processing */
    uint64_t seq;
    int64_t created_ms;             /* wall clock */
    int64_t time_ms;                /* of this update, wall clock */
    double fraction;                /* of the job, 0.0-1.0, or UNKNOWN_FRACTION */
    double stage_fraction;          /* of the stage, 0.0-1.0, or UNKNOWN_FRACTION */
    double speed;                   /* media seconds per second, or -1 */
    int64_t eta_ms;                 /* to the end of the stage, or -1 */
    int64_t bytes_done;             /* or -1 */
    int64_t bytes_total;            /* or -1 */
    int64_t file_size;              /* of the result, or -1 */
    const char *text[UPDATE_TEXTS]; /* NULL: not known; point into this block */
    _Atomic(struct msg *) frames[UPDATE_FRAMES_MAX];
};

/* What somebody says about a job; what is KEEP or NULL stays as it is. */
enum { CHANGE_KEEP_STATE = -1 };
#define CHANGE_KEEP_NUMBER INT64_MIN
#define CHANGE_KEEP_REAL   (-2.0)

struct change {
    int state;                                          /* enum job_state or CHANGE_KEEP_STATE */
    int kind;                                           /* for a new job; else ignored */
    bool is_retry;                                      /* failed -> queued, progress begins anew */
    double fraction, stage_fraction, speed;             /* CHANGE_KEEP_REAL: as it was */
    int64_t eta_ms, bytes_done, bytes_total, file_size; /* CHANGE_KEEP_NUMBER */
    const char *text[UPDATE_TEXTS];                     /* NULL keeps, "" clears; borrowed */
};

/* Everything KEEP. */
void change_init(struct change *c);

/* The state that follows `from` (NULL: a new job, and then c->text[TEXT_ID] is
 * set) by the rules of the contract: moves are checked, fractions clamped and
 * never backwards within a stage, `completed` is 1.0 in stage "complete", a
 * failed job keeps the stage and progress it failed at. A new stage of an
 * external job may begin anew.
 * Gives one reference; FAIL_STATE if the move is not allowed. */
int update_derive(const struct update *from, const struct change *c, uint64_t seq, int64_t now_ms,
                  struct update **out);

/* A state read back from a store, as it was: nothing is checked or clamped. In
 * `fields` everything is set. */
struct update *update_restore(const struct change *fields, uint64_t seq, int64_t created_ms,
                              int64_t time_ms);

struct update *update_ref(struct update *u);
void update_unref(struct update **u);

/* The text, or "" when it is not known. */
const char *update_text(const struct update *u, enum update_text which);

/* 0-100, clamped, rounded down so that 100 means done; unknown is 0. */
int percent_of(double fraction);

#endif
