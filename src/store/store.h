/* Job records in SQLite (WAL), kept by one writer thread. Writes are grouped:
 * whatever has queued up while the last transaction ran goes into the next one,
 * so an idle store writes at once and a busy one writes in bulk.
 *
 * A group that holds something durable is synced to the disk before it is
 * confirmed; others are handed to the operating system, which is enough to
 * survive the death of this process. Durable are: final updates, and every
 * work record.
 *
 * Reads go over a connection of their own and block: call them from a worker
 * thread, never from a loop. Any number of threads. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/ledger.h"
#include "core/update.h"

struct store;

/* Opens or creates `path`, migrates an older schema, and refuses a newer one
 * (FAIL_UNSUPPORTED). `why` says what went wrong. Starts no thread yet. */
int store_open(const char *path, struct store **out, struct buf *why);

/* Counts the starts of this data directory, durably: 1, 2, ... Numbers of
 * updates begin at start << STORE_SEQ_BITS, so that they grow over a crash. */
enum { STORE_SEQ_BITS = 32 };
int store_count_start(struct store *s, uint64_t *start);

/* Starts the writer; what is written is confirmed to the ledger. */
int store_start(struct store *s, struct ledger *ledger);

/* Give it to ledger_new. Its append queues and never blocks. */
struct journal *store_journal(struct store *s);

/* Writes what is queued, syncs, stops the writer, closes. A disk that refuses
 * is given five seconds; what it does not take by then was never heard. */
void store_close(struct store *s);

/* A job's work: which stage it is at and what the stages need to know. The spec
 * is the pipeline's JSON; the store does not read it. */
struct work {
    char *job; /* mem_free */
    char *step;
    char *spec;
    int64_t updated_ms;
};
void work_deinit(struct work *w);

/* Queues a work record (upsert) or its removal. `done` (may be NULL) runs on
 * the writer's thread when it is durable (OK), or could not be written; keep it
 * short. Queued writes and updates reach the disk in the order they were queued. */
void store_put_work(struct store *s, const char *job, const char *step, const char *spec,
                    void (*done)(void *context, int err), void *context);
void store_drop_work(struct store *s, const char *job, void (*done)(void *context, int err),
                     void *context);

/* What a client of Socket.IO that lost its connection comes back to: it is in so
 * many rooms, one of a job each, and known by a private id. */
struct room {
    const char *pid, *sid, *subject, *job;
};

/* Queues that it is in a room, and that it is not any more (`job` NULL: in none).
 * Nobody waits for it: handed to the operating system with the next group, and
 * dropped while the disk has trouble. */
void store_put_room(struct store *s, const struct room *room);
void store_drop_room(struct store *s, const char *pid, const char *job);

/* `done` runs on the writer's thread when everything queued before this call is
 * durable: for an answer that promises it. */
void store_sync(struct store *s, void (*done)(void *context, int err), void *context);

/* The same when all of that is heard, be it durable or not: for an answer behind
 * which a reader must find what was written. An error says that the disk has
 * trouble; progress is heard all the same. */
void store_after(struct store *s, void (*done)(void *context, int err), void *context);

/* All blocking. `each` borrows what it is given; returning false stops. It must
 * not call the reading functions; queueing writes is fine. Unfinished is also an
 * ended job that still has work: a failed upload that can be mended. */
int store_each_unfinished(struct store *s, bool (*each)(void *context, struct update *u),
                          void *context);
int store_each_work(struct store *s, bool (*each)(void *context, const struct work *w),
                    void *context);
int store_find_work(struct store *s, const char *job, struct work *out); /* FAIL_MISSING */

/* Those of one client one after the other. */
int store_each_room(struct store *s, bool (*each)(void *context, const struct room *room),
                    void *context);

/* One job's last state; gives a reference. FAIL_MISSING. */
int store_find(struct store *s, const char *job, struct update **out);

/* Newest first. `owner` NULL: everybody's; else that owner's and nobody's.
 * `state` -1: any. Jobs updated before `before_ms` (0: now). Gives at most
 * `max` references into `out`. */
int store_list(struct store *s, const char *owner, int state, int64_t before_ms, size_t max,
               struct update **out, size_t *count);

/* Forgets finished jobs older than `before_ms`, at most `max` at a time. */
int store_sweep(struct store *s, int64_t before_ms, size_t max, size_t *count);

/* "" while all is well, else the last error's text (disk full, ...), for
 * /health. Copies into `out`. */
void store_trouble(struct store *s, struct buf *out);

#endif
