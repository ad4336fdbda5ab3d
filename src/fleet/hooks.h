/* Webhooks of jobs that several nodes share: what is to be told is written down in Redis
 * once, whichever nodes come upon it, and delivered by one node at a time.
 *
 * A node with webhooks hears every record. What of a job was not told yet, a script knows
 * by the number of the last end that was: the first node to come writes it down. What no
 * node heard is made good: until when everything was heard stands in Redis, and what the
 * list of jobs has of later is looked at behind each start, and each time that Redis was
 * away. Who changes a job to an end and dies before the lists say so leaves it among the
 * live ones, where it is found (fleet_jobs_settings.mended).
 *
 * One script of all: keys are of one slot ("{reelay}:hooks:"). All on the port's thread. */
#ifndef FLEET_HOOKS_H
#define FLEET_HOOKS_H

#include "core/hook.h"
#include "core/ledger.h"
#include "fleet/jobs.h"
#include "fleet/port.h"

struct fleet_hooks;

struct fleet_hooks_settings {
    const char *node;
    const char *const *urls; /* borrowed, as `node` */
    size_t url_count;
    void (*describe)(void *context, const struct update *u, struct hook_event *event);
    void (*ring)(void *context); /* something may be due */
    void *context;
    uint64_t known_ms; /* how long it is known what was told of a job: longer than its record is */
    uint64_t hold_ms;  /* a delivery that was taken and not settled for so long is due again */
    uint64_t log_ttl_ms;
};

/* Hears from then on. FAIL_LIMIT: the ledger has no room for one more that listens. */
int fleet_hooks_new(struct fleet_port *port, struct ledger *ledger, struct fleet_jobs *jobs,
                    const struct fleet_hooks_settings *settings, struct fleet_hooks **out);
void fleet_hooks_free(struct fleet_hooks *h); /* NULL is fine; the port is closed */

/* The last states of a job that the lists did not know of. */
void fleet_hooks_mended(struct fleet_hooks *h, struct update *u);

/* From the port. */
void fleet_hooks_up(struct fleet_hooks *h);
void fleet_hooks_tick(struct fleet_hooks *h);
void fleet_hooks_push(struct fleet_hooks *h, const struct redis_push *push); /* others' pass by */

/* As hook_queue_ops of hooks/queue.h, but that `done` does not come once the port is
 * closed. What was taken is this node's alone. */
typedef void fleet_hooks_taken(void *context, int err, struct hook_delivery *rows, size_t count,
                               int64_t next_ms);
typedef void fleet_hooks_listed(void *context, int err, const struct hook_delivery *rows,
                                size_t count);
typedef void fleet_hooks_done(void *context, int err);
void fleet_hooks_take(struct fleet_hooks *h, const char *url, size_t max, fleet_hooks_taken *done,
                      void *context);
void fleet_hooks_settle(struct fleet_hooks *h, const struct hook_result *result,
                        fleet_hooks_done *done, void *context);
void fleet_hooks_list(struct fleet_hooks *h, const struct hook_query *query,
                      fleet_hooks_listed *done, void *context);
void fleet_hooks_replay(struct fleet_hooks *h, uint64_t id, fleet_hooks_done *done, void *context);
void fleet_hooks_sweep(struct fleet_hooks *h, int64_t before_ms);

#endif
