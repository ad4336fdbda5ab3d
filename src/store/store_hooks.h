/* Deliveries of webhooks, in the store's file: an event is written in the transaction
 * that writes the update it is about, so whoever hears of the update can rely on the
 * event. What is pending to a URL that is not configured any more is given up. */
#ifndef STORE_STORE_HOOKS_H
#define STORE_STORE_HOOKS_H

#include "core/hook.h"
#include "store/store.h"

struct store_hooks {
    const char *const *urls; /* borrowed until store_close */
    size_t url_count;
    /* Fills in message and body. On the writer's thread: keep it short. */
    void (*describe)(void *context, const struct update *u, struct hook_event *event);
    /* New ones have been written. On the writer's thread, likewise. */
    void (*written)(void *context);
    void *context;
};

/* Before store_start. Without it, and without URLs, no event is written. */
int store_set_hooks(struct store *s, const struct store_hooks *hooks);

/* Those that are due, at most `max`, with their bodies: an array, mem_free. `next_ms` is when
 * the first of the others will be, HOOK_HELD if there is none. Blocks. */
int store_hooks_due(struct store *s, const char *url, int64_t now_ms, size_t max,
                    struct hook_delivery **out, size_t *count, int64_t *next_ms);

/* Newest first. Blocks. */
int store_hooks_list(struct store *s, const struct hook_query *query, struct hook_delivery **out,
                     size_t *count);

/* Queued; `done` as of store_put_work, but nothing is synced: an attempt that a power
 * cut makes forget is made again. */
void store_hooks_settle(struct store *s, const struct hook_result *result,
                        void (*done)(void *context, int err), void *context);

/* Pending again, from the first attempt. FAIL_MISSING: there is none, or it is pending, or its
 * URL is not configured. */
void store_hooks_replay(struct store *s, uint64_t id, int64_t now_ms,
                        void (*done)(void *context, int err), void *context);

/* Queues that those that ended before that are forgotten. */
void store_hooks_sweep(struct store *s, int64_t before_ms);

#endif
