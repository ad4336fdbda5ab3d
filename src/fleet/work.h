/* Work that several nodes share through one Redis: uploads that are open, the queue
 * of those to be processed, and who processes what.
 *
 *            create           enqueue               claim
 *   (none) ---------> OPEN ------------> QUEUED <-----------> LEASED ----> (none) finish
 *                      ^  |                ^    release, retry   |
 *                      |  +-> (none) drop  |    lease ran out    |
 *                      +-------------------+------ reopen -------+
 *
 * A work is one hash; queued is an entry of a stream of its priority, read by one consumer
 * group, pending there while it is leased. A lease is renewed by heartbeats; when
 * none came for lease_ms, any worker's claim takes it over. Each claim has a token,
 * larger than every one before: with an older one nothing can be written any more.
 * Tokens are microseconds of Redis' clock, as a job's numbers are, so they grow also
 * over a Redis that lost its memory. A holder whose work Redis has lost, or knows an
 * older moment of, puts it back (docs/internals/fleet.md says when it must not).
 *
 * Every change is one script, all keys are of one slot ("{reelay}:"). All on the
 * port's thread. */
#ifndef FLEET_WORK_H
#define FLEET_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"
#include "fleet/port.h"

struct fleet_work;

enum fleet_priority { FLEET_HIGH, FLEET_NORMAL, FLEET_LOW, FLEET_PRIORITIES };

enum {
    FLEET_STEP_MAX = 32,
    FLEET_SPEC_MAX = 64 * 1024,
    FLEET_NODE_MAX = 64,
    FLEET_PLACE_MAX = 2048
};

struct fleet_work_settings {
    const char *node;        /* this process' own name: host, pid, random */
    uint32_t lease_ms;       /* 10 s; renewed at a third of it */
    uint32_t attempts_max;   /* claims of one enqueueing; beyond: `exhausted` */
    uint32_t backoff_min_ms; /* of a retry: doubles, with jitter */
    uint32_t backoff_max_ms;
};

/* One claimed work. */
struct fleet_lease {
    char job[JOB_ID_MAX + 1];
    uint64_t token;
    uint32_t attempt;              /* 1: the first */
    bool is_takeover;              /* its last holder did not give it back */
    bool is_cancelled;             /* wanted gone: end it as cancelled, clear, finish */
    bool is_exhausted;             /* beyond attempts_max: end it as failed, reopen */
    const char *step, *spec, *why; /* `why`: of the last retry, or ""; borrowed for the call */
};

struct fleet_worker_events {
    /* It is this node's until it calls finish, reopen, retry or release, or `lost` comes. */
    void (*claimed)(void *context, const struct fleet_lease *lease);
    /* Another has it, or it is gone: stop, write nothing more. Nothing comes of it any more. */
    void (*lost)(void *context, const char *job, uint64_t token);
    /* Somebody wants it gone: stop, clear, then finish. Once per lease. */
    void (*cancel)(void *context, const char *job, uint64_t token);
};

struct fleet_work *fleet_work_new(struct fleet_port *port,
                                  const struct fleet_work_settings *settings);
void fleet_work_free(struct fleet_work *w); /* `done` of what waits runs: FAIL_CANCELLED */

/* Exactly once; never within the call. FAIL_CLOSED, FAIL_TIMEOUT: Redis is away; unless
 * something else is said, it may or may not have been done. FAIL_LIMIT: a step or a spec is
 * too long, nothing was done. FAIL_SYNTAX: no valid id. */
typedef void fleet_work_done(void *context, int err);

/* What a work is now. */
struct fleet_work_state {
    bool is_open; /* an upload that takes chunks */
    bool is_leased;
    uint32_t chunks; /* announced; 0: not yet */
    int64_t touched_ms;
    const char *step, *spec; /* borrowed for the call */
    const char *place;       /* of its chunks; "": as the spec says. Borrowed */
};
/* `state` is NULL unless err is OK, or FAIL_EXISTS of fleet_work_plan. */
typedef void fleet_work_found(void *context, int err, const struct fleet_work_state *state);

/* Uploads, from any `serve`. */

/* FAIL_EXISTS. */
void fleet_work_create(struct fleet_work *w, const char *job, const char *spec,
                       fleet_work_done *done, void *context);
/* An upload that is to be a part of another: it is never enqueued. FAIL_EXISTS; FAIL_LIMIT:
 * there are `most` of them, at all nodes. */
void fleet_work_create_part(struct fleet_work *w, const char *job, const char *spec, uint32_t most,
                            fleet_work_done *done, void *context);
/* FAIL_MISSING. */
void fleet_work_find(struct fleet_work *w, const char *job, fleet_work_found *found, void *context);
/* The first word on the number of chunks counts: FAIL_EXISTS, and it is in
 * state->chunks, if it was another. FAIL_STATE: not open, or it grows at its end. FAIL_MISSING.
 * Also a sign of life. */
void fleet_work_plan(struct fleet_work *w, const char *job, uint32_t chunks,
                     fleet_work_found *found, void *context);
/* The size of an upload that began without one; the first word counts. FAIL_EXISTS: it has
 * another. FAIL_STATE: not open. FAIL_MISSING. Also a sign of life. */
void fleet_work_declare(struct fleet_work *w, const char *job, uint64_t bytes,
                        fleet_work_done *done, void *context);
/* Where the chunks of an open upload lie, by compare-and-set; at most FLEET_PLACE_MAX bytes,
 * of none that JSON escapes. A spec says `"place":"..."` first. FAIL_EXISTS: it is not (any
 * more) `before`; FAIL_STATE: not open; FAIL_MISSING. What has been done and is repeated
 * does nothing. */
void fleet_work_place(struct fleet_work *w, const char *job, const char *before, const char *after,
                      fleet_work_done *done, void *context);
/* A chunk arrived: a sign of life. Nobody waits for it. */
void fleet_work_touch(struct fleet_work *w, const char *job);
/* OPEN to QUEUED. FAIL_STATE: it is not open (any more). FAIL_MISSING. */
void fleet_work_enqueue(struct fleet_work *w, const char *job, const char *step, const char *spec,
                        enum fleet_priority priority, fleet_work_done *done, void *context);
/* OK: it is queued, delayed or leased, and marked; the caller writes no state, the worker that
 * has it or claims it next (is_cancelled, ahead of its queue) ends the job as cancelled with its
 * token, clears and finishes, and so the viewers learn of it. FAIL_STATE: it was open and is
 * dropped; the caller ends the job as cancelled itself and clears what is left. FAIL_MISSING:
 * nothing is to be done for it; the job's own state says why. */
void fleet_work_cancel(struct fleet_work *w, const char *job, fleet_work_done *done, void *context);
/* Takes at most `max` (and 64) open uploads that nobody has touched since `before_ms` (Redis' wall
 * clock): they are dropped, each given to exactly one caller of all nodes; to none if the answer
 * is lost, so what lies on disk for an id that nobody knows is cleared by its age. */
typedef void fleet_work_stale_done(void *context, int err, const char *const *jobs, size_t count);
void fleet_work_stale(struct fleet_work *w, int64_t before_ms, size_t max,
                      fleet_work_stale_done *done, void *context);

/* Open uploads last touched in [since, before), the longest ago first; at most 64, and `reached`
 * is when the last of these was touched. (Redis' wall clock.) */
struct fleet_work_idle {
    const char *const *jobs; /* borrowed */
    size_t count;
    int64_t reached_ms; /* `before`, unless there are more */
};
/* `idle` is NULL unless err is OK. */
typedef void fleet_work_idle_done(void *context, int err, const struct fleet_work_idle *idle);
void fleet_work_idle(struct fleet_work *w, int64_t since_ms, int64_t before_ms,
                     fleet_work_idle_done *done, void *context);

/* Processing, by a `worker`. With a token that is not the present one: FAIL_STALE. */

/* Claims up to `slots` works at a time from now on; 0: claims nothing more (drain). */
void fleet_work_serve(struct fleet_work *w, uint32_t slots,
                      const struct fleet_worker_events *events, void *context);
/* All these are tried until Redis has answered, however long it is away, one at a time per
 * lease, in this order. What has been done and is repeated does nothing. */
void fleet_work_checkpoint(struct fleet_work *w, const char *job, uint64_t token, const char *step,
                           const char *spec, fleet_work_done *done, void *context);
/* Over and cleared away: gone, acknowledged. */
void fleet_work_finish(struct fleet_work *w, const char *job, uint64_t token, fleet_work_done *done,
                       void *context);
/* Failed for good: an open upload again, with this spec. Cancelled meanwhile: it takes nothing
 * any more, and the next fleet_work_stale has it. */
void fleet_work_reopen(struct fleet_work *w, const char *job, uint64_t token, const char *spec,
                       fleet_work_done *done, void *context);
/* To be tried again after a backoff, by whoever has a slot then. `why` is kept for the
 * day it is exhausted. */
void fleet_work_retry(struct fleet_work *w, const char *job, uint64_t token, const char *why,
                      fleet_work_done *done, void *context);
/* Given back as it is, to be taken next by another (drain): joins the queue `high`. No attempt
 * is counted. */
void fleet_work_release(struct fleet_work *w, const char *job, uint64_t token,
                        fleet_work_done *done, void *context);

/* From the port. */
void fleet_work_up(struct fleet_work *w);
void fleet_work_down(struct fleet_work *w);
void fleet_work_push(struct fleet_work *w, const struct redis_push *push); /* others' are ignored */
void fleet_work_tick(struct fleet_work *w);

/* For /health and /metrics, as of the last look (every few seconds); -1: not known yet. */
struct fleet_work_count {
    int64_t queued, leased, delayed, open;
    int64_t workers; /* nodes that claim, alive */
};
void fleet_work_count(const struct fleet_work *w, struct fleet_work_count *out);

#endif
