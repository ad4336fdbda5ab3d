/* What breaks: connections, ways, nodes, Redis. And the broom: every node sweeps
 * away uploads that nobody touches. */
#include "actors.h"
#include "base/err.h"
#include "base/mem.h"
#include "facts.h"

enum { STALE_MS = 15 * 1000 };

static int64_t between(struct world *w, int64_t least_us, int64_t most_us)
{
    return (int64_t)random_between(&w->random, (uint64_t)least_us, (uint64_t)most_us);
}

static void start_again(void *context)
{
    node_start(context);
}

static void crash(struct node *n)
{
    node_crash(n);
    world_after(n->world, between(n->world, 100 * MS, 8 * SECOND), start_again, NULL, n);
}

static void claim_again(void *context)
{
    worker_start(context);
}

static void redis_comes_back(void *context)
{
    struct world *w = context;
    uint64_t dice = random_below(&w->random, 100);
    bool may_lose = w->script->trouble == TROUBLE_MEMORY && !w->is_calm;

    redis_start(w, !may_lose || dice < 40 ? MEMORY_ALL : dice < 70 ? MEMORY_SAVED : MEMORY_NONE);
}

static void trouble_redis(struct world *w)
{
    if (!redis_is_there(w))
        return;
    redis_crash(w);
    world_after(w, between(w, 10 * MS, 4 * SECOND), redis_comes_back, NULL, w);
}

static void trouble_node(struct world *w, struct node *n)
{
    uint64_t dice = random_below(&w->random, 100);
    int64_t until = w->now_us + between(w, 100 * MS, 8 * SECOND);

    if (!n->is_up)
        return;
    if (dice < 5) {
        world_trace(w, "n%d drains", n->index);
        worker_drain(n);
        node_after(n, between(w, 0, 4 * SECOND), claim_again, NULL, n);
    } else if (dice < 40) {
        port_cut(n->port, (enum way)random_between(&w->random, 1, 3),
                 dice < 20 ? 0 : between(w, 0, 3 * SECOND));
    } else if (dice < 60) {
        world_trace(w, "n%d parted for %d ms", n->index, (int)((until - w->now_us) / MS));
        port_part(n->port, until);
    } else if (dice < 85) {
        world_trace(w, "n%d paused for %d ms", n->index, (int)((until - w->now_us) / MS));
        n->paused_until_us = until;
    } else {
        crash(n);
    }
}

static void trouble(void *context)
{
    struct world *w = context;

    if (w->is_calm)
        return;
    if (w->script->trouble >= TROUBLE_REDIS && random_permille(&w->random, 120))
        trouble_redis(w);
    else
        trouble_node(w, w->nodes[random_below(&w->random, NODES)]);
    world_after(w, between(w, 100 * MS, 5 * SECOND), trouble, NULL, w);
}

static void save(void *context)
{
    struct world *w = context;

    redis_save(w);
    world_after(w, between(w, 500 * MS, 6 * SECOND), save, NULL, w);
}

/* The broom */

struct sweep {
    struct world *world;
    struct node *node;
    uint32_t life;
};

static void swept(void *context, int err, const char *const *jobs, size_t count)
{
    struct sweep *s = context;
    struct change c;

    change_init(&c);
    c.state = JOB_CANCELLED;
    c.text[TEXT_ERROR] = "nobody went on with it";
    for (size_t i = 0; err == OK && i < count; i++) {
        world_trace(s->world, "n%d sweeps %s away", s->node->index, jobs[i]);
        if (s->node->is_up && s->node->life == s->life)
            fleet_jobs_apply(s->node->jobs, &(struct fleet_apply){ .id = jobs[i], .change = &c },
                             NULL, NULL);
    }
    mem_free(s);
}

static void sweep(void *context)
{
    struct world *w = context;
    struct node *n = some_node(w);

    world_after(w, between(w, 1 * SECOND, 8 * SECOND), sweep, NULL, w);
    if (n == NULL || n->paused_until_us > w->now_us)
        return;
    struct sweep *s = mem_new(struct sweep);
    *s = (struct sweep){ w, n, n->life };
    fleet_work_stale(n->work, redis_now_us(w) / MS - STALE_MS, 10, swept, s);
}

void trouble_begin(struct world *w)
{
    world_after(w, 1 * SECOND, save, NULL, w);
    world_after(w, 1 * SECOND, sweep, NULL, w);
    if (w->script->trouble != TROUBLE_NONE)
        world_after(w, 1 * SECOND, trouble, NULL, w);
}

void script_calm(struct world *w)
{
    w->is_calm = true;
    world_trace(w, "calm");
    for (int i = 0; i < NODES; i++)
        if (w->nodes[i]->is_up) {
            w->nodes[i]->paused_until_us = 0;
            port_mend(w->nodes[i]->port);
        }
}
