/* Jobs whose states several nodes share through one Redis: changing, finding and
 * hearing them.
 *
 * The rules of a job's state are core/update.h's, here as in one process. A node
 * derives the next state from the last it knows of; one script compares (has it
 * moved on meanwhile?), numbers, stores and publishes it. Where it has moved on, the
 * script answers with the present state and the node derives anew. Numbers come
 * from Redis: the next microsecond of its clock, so they grow also over a Redis
 * that lost its memory.
 *
 * Foreign messages (a worker that publishes by itself) have no number. Every node
 * that watches the job brings them in, and the script knows those seen of late by
 * their hash: the first node wins, and their order is that of arrival at Redis.
 *
 * Invariants:
 * - The ledger hears records only, numbered; never what Redis does not have.
 * - After each `heard` of a job's channels its record and its status are read anew:
 *   what was published while the node was deaf is made good.
 * - What the ledger heard and Redis has lost is put back.
 *
 * All on the port's thread. */
#ifndef FLEET_JOBS_H
#define FLEET_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/ledger.h"
#include "core/update.h"
#include "core/viewer.h"
#include "fleet/port.h"

struct fleet_jobs;

struct fleet_jobs_settings {
    /* What the contract's channels and keys carry; may append nothing (a job that is
     * only queued has no message). */
    void (*report)(const struct update *u, struct buf *out); /* the `jobs` door's */
    void (*bytes)(const struct update *u, struct buf *out);  /* percent, bytes */
    uint32_t status_ttl_s;                                   /* of job_status:{id} */
    uint64_t job_ttl_ms;                                     /* of a finished job's record */
    uint64_t report_ttl_ms; /* an external job of which nothing is heard for so long fails */
    /* A job that is worked on here and of which nothing was heard for a minute: is there work of
     * it? May be NULL. */
    void (*silent)(void *context, const struct update *u);
    /* A job that has ended stood among the live ones: who ended it died before it could say so.
     * May be NULL. */
    void (*mended)(void *context, struct update *u);
    void *context;
    uint32_t pending_max; /* changes that wait for Redis, of all jobs; half are foreign at most */
};

/* Borrows everything. `ledger` NULL: this node has no viewers (a worker). */
struct fleet_jobs *fleet_jobs_new(struct fleet_port *port, struct ledger *ledger,
                                  const struct fleet_jobs_settings *settings);
void fleet_jobs_free(struct fleet_jobs *j); /* `done` of what waits runs: FAIL_CANCELLED */

/* `u` is borrowed, NULL unless err is OK. Exactly once; may run within the call. */
typedef void fleet_job_done(void *context, int err, struct update *u);

enum fleet_when { FLEET_IF_THERE, FLEET_IF_NEW, FLEET_ALWAYS };

struct fleet_apply {
    const char *id; /* all is copied */
    const struct change *change;
    enum fleet_when when;
    bool is_report;              /* only an external job takes it: FAIL_UNSUPPORTED */
    const struct viewer *viewer; /* NULL: whoever; else who may not see the job: FAIL_DENIED */
    uint64_t token;              /* of the lease; 0: none. FAIL_STALE if a later one has spoken */
    uint32_t patience_ms;        /* for a Redis that is away: FAIL_CLOSED; 0: for ever */
    bool is_latest_only;         /* progress: may be merged into a later change of the job */
};

/* FAIL_MISSING, FAIL_EXISTS, FAIL_STATE (no such move) as ledger_apply; FAIL_LIMIT:
 * pending_max, or the record would be too large. `done` may be NULL. */
void fleet_jobs_apply(struct fleet_jobs *j, const struct fleet_apply *a, fleet_job_done *done,
                      void *context);

/* The present state. FAIL_MISSING, FAIL_CLOSED. A job that Redis knows only by its
 * job_status (a foreign worker's) is found too, and becomes a record. */
void fleet_jobs_find(struct fleet_jobs *j, const char *id, fleet_job_done *done, void *context);

/* As store_list; at most 200, newest first by the last change of state. */
typedef void fleet_list_done(void *context, int err, struct update *const *updates, size_t count);
void fleet_jobs_list(struct fleet_jobs *j, const struct viewer *viewer, int state,
                     int64_t before_ms, size_t max, fleet_list_done *done, void *context);

/* From the ledger's observer. */
void fleet_jobs_watch(struct fleet_jobs *j, const char *id);
void fleet_jobs_unwatch(struct fleet_jobs *j, const char *id);
void fleet_jobs_watch_all(struct fleet_jobs *j);
void fleet_jobs_unwatch_all(struct fleet_jobs *j);

/* From the port: as redis_service_events say. */
void fleet_jobs_up(struct fleet_jobs *j);
void fleet_jobs_down(struct fleet_jobs *j);
void fleet_jobs_heard(struct fleet_jobs *j, struct str name, enum redis_topic kind);
void fleet_jobs_push(struct fleet_jobs *j, const struct redis_push *push);
void fleet_jobs_refused(struct fleet_jobs *j, struct str name, enum redis_topic kind,
                        const char *why);
void fleet_jobs_dropped(struct fleet_jobs *j, struct str channel);
void fleet_jobs_tick(struct fleet_jobs *j); /* every FLEET_TICK_MS */

/* What Redis says of the changes that it does not take, of late; or NULL. */
const char *fleet_jobs_refusal(const struct fleet_jobs *j);

/* Whether all that is watched is heard and read. */
bool fleet_jobs_is_ready(const struct fleet_jobs *j);

#endif
