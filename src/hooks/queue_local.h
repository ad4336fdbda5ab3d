/* The queue of a process that keeps its jobs itself: in its store. */
#ifndef HOOKS_QUEUE_LOCAL_H
#define HOOKS_QUEUE_LOCAL_H

#include <uv.h>

#include "hooks/queue.h"
#include "io/mailbox.h"
#include "store/store_hooks.h"

struct hook_queue *queue_local_new(uv_loop_t *loop, struct mailbox *mailbox);

/* Before anything is asked of it. */
void queue_local_open(struct hook_queue *q, struct store *store);

/* Something was written down. Any thread. */
void queue_local_ring(struct hook_queue *q);

#endif
