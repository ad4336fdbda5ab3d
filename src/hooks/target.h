/* One URL that is delivered to, and what is on its way there. On the desk's thread. */
#ifndef HOOKS_TARGET_H
#define HOOKS_TARGET_H

#include <uv.h>

#include "hooks/queue.h"
#include "io/fetch.h"
#include "proto/webhook.h"

struct target;

/* Shared by all targets; borrowed. */
struct target_tools {
    uv_loop_t *loop;
    struct fetcher *fetcher;
    struct hook_queue *queue;
    struct webhook_secrets secrets;
    uint64_t timeout_ms, retry_ms;
};

/* Asks the queue for what is due, at once and from then on. */
struct target *target_open(struct target_tools *tools, const char *url);
void target_ring(struct target *t);  /* something may be due */
void target_close(struct target *t); /* cancels what is under way, before the fetcher closes */
void target_free(struct target *t);  /* behind the loop's end */

#endif
