/* The world that the nodes live in: one clock, one queue of what happens, one
 * Redis and the ways to it. Everything random comes from one seed, so a run can be
 * had again.
 *
 * What happens to a node happens on its one thread: while it is paused nothing
 * does, and then all of it, in order. What was meant for a node that crashed meanwhile
 * is dropped. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "model.h"
#include "random.h"

enum { NODES = 3 };

struct node;
struct script; /* actors.h: what goes on in this world */
struct facts;  /* facts.h: what was seen of it */

typedef void event_run(void *context);

struct event {
    int64_t at_us;
    uint64_t order;
    struct node *node; /* NULL: the world's own */
    uint32_t life;     /* of the node */
    event_run *run, *drop;
    void *context;
};

struct sim_redis {
    struct model *model; /* NULL: it is down */
    struct model *saved; /* what it may come back with: older */
    struct model *last;  /* while it is down: what was in it */
    int64_t offset_us;   /* its clock's */
    bool kept_all;       /* when it last came back */
    bool has_forgotten;  /* ever */
};

struct world {
    uint64_t seed;
    struct random random;
    int64_t now_us; /* true time */
    struct event *heap;
    size_t count, room;
    uint64_t order, steps;
    struct sim_redis redis;
    struct node *nodes[NODES];
    struct script *script;
    struct facts *facts;
    FILE *trace;  /* NULL: it is not told */
    bool is_calm; /* nothing breaks any more */
    bool is_failed;
    char failure[512];
};

void world_init(struct world *w, uint64_t seed, FILE *trace);
void world_deinit(struct world *w);

/* `drop` (may be NULL) runs instead if it never comes to it. */
void world_after(struct world *w, int64_t delay_us, event_run *run, event_run *drop, void *context);
void node_after(struct node *n, int64_t delay_us, event_run *run, event_run *drop, void *context);
void node_at(struct node *n, int64_t at_us, event_run *run, event_run *drop, void *context);

/* Until the queue is empty, that time, or a failure. */
void world_run(struct world *w, int64_t until_us);

void world_trace(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An invariant is broken; the first one counts. */
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Redis: what it was started with. */
enum memory { MEMORY_ALL, MEMORY_SAVED, MEMORY_NONE };

bool redis_is_there(const struct world *w);
int64_t redis_now_us(const struct world *w);
/* A command that reaches it now; NULL if it is down. */
struct redis_reply *redis_execute(struct world *w, const struct str *args, size_t count);
void redis_save(struct world *w);
void redis_crash(struct world *w);
void redis_start(struct world *w, enum memory memory);

enum { MS = 1000, SECOND = 1000 * 1000 };

#endif
