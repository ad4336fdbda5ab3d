/* The queue that several nodes share, in their Redis. */
#ifndef HOOKS_QUEUE_FLEET_H
#define HOOKS_QUEUE_FLEET_H

#include "fleet/hooks.h"
#include "hooks/queue.h"

/* Borrows `fleet`, which may end behind `close`. */
struct hook_queue *queue_fleet_new(struct fleet_hooks *fleet);

#endif
