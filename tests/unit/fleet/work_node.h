/* A node for tests: fleet_work over real connections to a real Redis, on a loop of the
 * test's, and what it was told. Its port can be frozen, and lose answers. */
#ifndef TESTS_WORK_NODE_H
#define TESTS_WORK_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "../io/redis_harness.h"
#include "fleet/work.h"

enum { LEASE_MS = 300, TOLD_MAX = 32 };

struct told {
    char job[JOB_ID_MAX + 1], step[64], spec[256], why[256];
    uint64_t token, at_ms;
    uint32_t attempt;
    bool is_takeover, is_cancelled, is_exhausted;
};

struct node {
    struct fleet_port port;
    uv_loop_t *loop;
    struct redis *redis;
    struct redis_listener *listener;
    struct fleet_work *work;
    uv_timer_t tick;
    bool is_up, is_redis_up, is_listener_up;
    bool is_frozen;    /* no tick, no push: as a stopped process */
    bool is_deaf;      /* no push */
    uint64_t ahead_ms; /* that its monotonic clock is ahead */
    int64_t wall_ahead_ms;
    unsigned loses; /* so many answers to come are lost on the way */
    struct told claims[TOLD_MAX], losses[TOLD_MAX], cancels[TOLD_MAX];
    unsigned claimed, lost, cancelled;
};

void node_open(struct node *n, uv_loop_t *loop, const struct server *server, const char *name,
               uint32_t attempts_max); /* until it is up */
void node_close(struct node *n);
void node_serve(struct node *n, uint32_t slots);

/* These wait for what they ask. */
int node_create(struct node *n, const char *job, const char *spec);
int node_create_part(struct node *n, const char *job, uint32_t most);
int node_enqueue(struct node *n, const char *job, enum fleet_priority priority);
int node_put(struct node *n, const char *job, enum fleet_priority priority); /* both */
int node_cancel(struct node *n, const char *job);
int node_checkpoint(struct node *n, const struct told *lease, const char *step, const char *spec);
int node_finish(struct node *n, const struct told *lease);
int node_reopen(struct node *n, const struct told *lease, const char *spec);
int node_retry(struct node *n, const struct told *lease, const char *why);
int node_release(struct node *n, const struct told *lease);

struct found {
    bool is_done;
    int err;
    bool is_open, is_leased;
    uint32_t chunks;
    int64_t touched_ms;
    char step[64], spec[256];
};
void node_on_found(void *context, int err, const struct fleet_work_state *state);
struct found node_find(struct node *n, const char *job);
struct found node_plan(struct node *n, const char *job, uint32_t chunks);

struct outcome {
    bool is_done;
    int err;
};
void node_on_done(void *context, int err);

/* What Redis says to a command of words: an integer, the length of an array, or -1. */
int64_t node_redis(struct node *n, const char *words);

#endif
