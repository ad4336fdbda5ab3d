/* Webhooks as data: what is told of a job, and how far the telling has come. An event is
 * written down once for each URL, as a delivery:
 *
 *                +------ an answer that is none of 2xx, or none: later ------+
 *                v                                                           |
 *   (event) -> pending -------------------- tried --------------------------+
 *                ^                            |
 *                |                            +--> delivered   2xx
 *                |                            +--> failed      tried for a day, or 410
 *                +-------- replay, from delivered and failed --+
 *
 * Those of one job to one URL go out in order: a later one is held while an earlier one
 * is pending. Pure; any thread. */
#ifndef CORE_HOOK_H
#define CORE_HOOK_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/update.h"

enum hook_type { HOOK_CREATED, HOOK_COMPLETED, HOOK_FAILED, HOOK_CANCELLED, HOOK_TYPES };
const char *hook_type_name(enum hook_type type); /* "job.created", ... */

enum hook_state { HOOK_PENDING, HOOK_DELIVERED, HOOK_GIVEN_UP, HOOK_STATES };
const char *hook_state_name(enum hook_state state);          /* "pending", "delivered", "failed" */
int hook_state_parse(struct str name, enum hook_state *out); /* FAIL_SYNTAX */

/* The event of a final state. */
enum hook_type hook_type_of(enum job_state final);

enum { HOOK_MESSAGE_SIZE = 40, HOOK_BODY_MAX = 512 * 1024, HOOK_WHY_MAX = 256 };

/* next_ms of one that is held: an earlier one of the job is pending. */
#define HOOK_HELD INT64_MAX

struct hook_event {
    char message[HOOK_MESSAGE_SIZE]; /* its webhook-id: the same for every URL and try */
    enum hook_type type;
    struct buf body;
};

struct hook_delivery {
    uint64_t id;
    enum hook_state state;
    uint32_t round;     /* how often it was replayed, in a queue that several share; else 0 */
    uint32_t attempts;  /* of this round */
    int status;         /* of the last answer; 0: there was none */
    int64_t created_ms; /* wall clock */
    int64_t next_ms;    /* of a pending one */
    int64_t ended_ms;   /* of any other */
    char *message, *job, *type, *url, *why; /* mem_free */
    char *body;                             /* "" in lists */
};
void hook_delivery_deinit(struct hook_delivery *d);
void hook_deliveries_free(struct hook_delivery *deliveries, size_t count); /* of mem_alloc */

/* What an attempt came to. */
struct hook_result {
    uint64_t id;
    enum hook_state state; /* HOOK_PENDING: once more at next_ms */
    uint32_t round;        /* as it was given */
    uint32_t attempts;     /* with this one */
    int status;
    const char *why; /* "" when delivered */
    int64_t now_ms, next_ms;
};

struct hook_query {
    const char *job; /* NULL: any */
    int state;       /* enum hook_state; -1: any */
    uint64_t before; /* ids below this; 0: any */
    size_t max;
};

#endif
