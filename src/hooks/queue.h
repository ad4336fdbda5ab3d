/* Where deliveries wait: in the store of this process, or in a Redis that several
 * nodes share. All on the desk's thread; `done` comes exactly once, within the call
 * only if it fails, and not behind `close`. */
#ifndef HOOKS_QUEUE_H
#define HOOKS_QUEUE_H

#include "core/hook.h"

struct hook_queue;

typedef void hook_done(void *context, int err);
/* Borrowed for the call. */
typedef void hook_list_done(void *context, int err, const struct hook_delivery *rows, size_t count);
/* The rows' texts may be taken out of them. `next_ms` is when the next of the URL will be due,
 * HOOK_HELD if none waits. */
typedef void hook_due_done(void *context, int err, struct hook_delivery *rows, size_t count,
                           int64_t next_ms);

struct hook_queue_ops {
    /* At most `max` that are due, with bodies, and any that this process was given before and has
     * not settled. */
    void (*due)(struct hook_queue *q, const char *url, size_t max, hook_due_done *done,
                void *context);
    void (*settle)(struct hook_queue *q, const struct hook_result *result, hook_done *done,
                   void *context);
    void (*list)(struct hook_queue *q, const struct hook_query *query, hook_list_done *done,
                 void *context);
    /* FAIL_MISSING: there is none, or it is pending, or its URL is not configured. */
    void (*replay)(struct hook_queue *q, uint64_t id, hook_done *done, void *context);
    void (*sweep)(struct hook_queue *q, int64_t before_ms); /* what ended before that goes */
    void (*close)(struct hook_queue *q);
    void (*free)(struct hook_queue *q); /* behind the loop's end */
};

struct hook_queue {
    const struct hook_queue_ops *ops;
    void (*ring)(void *context); /* something may be due: from the desk's thread */
    void *ring_context;
};

#endif
