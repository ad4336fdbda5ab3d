/* Where a server keeps its jobs, uploads and work: in this process and its data
 * directory, or, with --engine redis://..., in a Redis that several nodes share. What
 * `serve` puts on top does not know which. On the desk's thread. */
#ifndef CMD_KEEPING_H
#define CMD_KEEPING_H

#include "api/records.h"
#include "api/recovery.h"
#include "cmd/node.h"
#include "cmd/serve_options.h"
#include "hooks/hooks.h"
#include "media/book.h"
#include "media/pipeline.h"
#include "storage/disk.h"
#include "store/store.h"

struct keeping;

struct keeping_parts {
    const struct serve_options *options;
    uv_loop_t *loop;
    struct mailbox *mailbox; /* the desk's */
    struct disk *disk;
    struct hooks *hooks; /* NULL: there are no webhooks */
    const char *storage; /* as node_settings' */
    const struct fleet_mark_events *mark_events;
    void *context;
};

bool keeping_is_shared(const struct serve_options *o);

/* Borrows the parts' content. `why` says what went wrong. */
int keeping_open(const struct keeping_parts *parts, struct keeping **out, struct buf *why);

/* Takes up what a restart interrupted: before requests come. */
void keeping_resume(struct keeping *k, struct pipelines *ps);

/* Every now and then: jobs and records whose time is over. */
void keeping_sweep(struct keeping *k, int64_t now_ms);

/* Nobody asks for anything any more: what is queued is written down. The loop still
 * runs, for what closes on it. NULL is fine, here and below. */
void keeping_close(struct keeping *k);
void keeping_free(struct keeping *k); /* behind the loop's end */

struct ledger *keeping_ledger(struct keeping *k);
struct pipeline_book *keeping_book(struct keeping *k);
const struct records_ops *keeping_records(const struct keeping *k);
struct recovery *keeping_recovery(struct keeping *k);

/* NULL where there is none: of one's own, of a shared Redis. */
struct store *keeping_store(struct keeping *k);
struct uploads *keeping_uploads(struct keeping *k);
const struct fleet_parts *keeping_fleet(struct keeping *k);

#endif
