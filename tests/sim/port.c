#include "port_internal.h"

#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"

/* A way of usually a fraction of a millisecond, at times of many. */
static int64_t travel(struct world *w)
{
    if (random_permille(&w->random, 30))
        return (int64_t)random_between(&w->random, 1 * MS, 300 * MS);
    return (int64_t)random_between(&w->random, 20, 3 * MS);
}

int64_t port_in_order(struct world *w, int64_t *last_us)
{
    int64_t at = w->now_us + travel(w);

    if (at <= *last_us)
        at = *last_us + 1;
    *last_us = at;
    return at;
}

static void come_up(struct port *p)
{
    if (p->is_up || !p->commands.is_up || !p->hearing.is_up)
        return;
    p->is_up = true;
    p->is_told_down = false;
    world_trace(p->world, "n%d up", p->node->index);
    node_up(p->node);
}

void port_confirmed(struct port *p)
{
    if (p->unconfirmed > 0 && --p->unconfirmed > 0)
        return;
    p->hearing.is_up = true;
    come_up(p);
}

/* Connecting */

static void connect_commands(void *context);
static void connect_hearing(void *context);

static void try_again(struct port *p, struct link *l, int64_t delay_us)
{
    if (l->is_trying)
        return;
    l->is_trying = true;
    node_after(p->node, delay_us, l == &p->commands ? connect_commands : connect_hearing, NULL, p);
}

static int64_t backoff(struct world *w)
{
    return (int64_t)random_between(&w->random, 10 * MS, 1500 * MS);
}

static bool can_connect(const struct port *p)
{
    return redis_is_there(p->world) && p->parted_until_us <= p->world->now_us;
}

static void begin(struct link *l, int64_t now_us)
{
    l->is_trying = false;
    l->number++;
    l->is_severed = l->is_noticing = false;
    l->there_us = l->back_us = now_us;
}

static void connect_commands(void *context)
{
    struct port *p = context;

    p->commands.is_trying = false;
    if (!can_connect(p)) {
        try_again(p, &p->commands, backoff(p->world));
        return;
    }
    begin(&p->commands, p->world->now_us);
    p->commands.is_up = true;
    come_up(p);
}

static void connect_hearing(void *context)
{
    struct port *p = context;
    struct topic *t;

    p->hearing.is_trying = false;
    if (!can_connect(p)) {
        try_again(p, &p->hearing, backoff(p->world));
        return;
    }
    begin(&p->hearing, p->world->now_us);
    while (p->ears != NULL)
        port_forget_ear(p, p->ears);
    p->unconfirmed = 0;
    for (int is_pattern = 0; is_pattern < 2; is_pattern++)
        for (t = p->topics[is_pattern]; t != NULL; t = t->hh.next) {
            t->is_first = true;
            p->unconfirmed++;
            port_tell(p, bytes_str(&t->name), is_pattern, false, 0);
        }
    if (p->unconfirmed == 0)
        port_confirmed(p);
}

/* Losing it */

static void fall(struct port *p)
{
    p->is_up = false;
    if (p->is_told_down)
        return;
    p->is_told_down = true;
    world_trace(p->world, "n%d down", p->node->index);
    node_down(p->node);
}

static void notice_commands(void *context)
{
    struct port *p = context;

    if (!p->commands.is_noticing)
        return;
    p->commands.is_noticing = p->commands.is_up = false;
    try_again(p, &p->commands, backoff(p->world));
    if (random_permille(&p->world->random, 500))
        fall(p);
    port_fail_flights(p, random_permille(&p->world->random, 500) ? FAIL_CLOSED : FAIL_TIMEOUT);
    fall(p);
}

static void notice_hearing(void *context)
{
    struct port *p = context;

    if (!p->hearing.is_noticing)
        return;
    p->hearing.is_noticing = p->hearing.is_up = false;
    try_again(p, &p->hearing, backoff(p->world));
    fall(p);
}

static void sever(struct port *p, struct link *l, int64_t notice_us)
{
    if (l->number == 0 || l->is_trying || l->is_severed)
        return;
    if (l == &p->commands)
        port_sever_flights(p);
    l->is_severed = l->is_noticing = true;
    node_after(p->node, notice_us, l == &p->commands ? notice_commands : notice_hearing, NULL, p);
}

void port_cut(struct port *p, enum way ways, int64_t notice_us)
{
    world_trace(p->world, "n%d cut: %s%s, noticed in %d ms", p->node->index,
                ways & WAY_COMMANDS ? "commands " : "", ways & WAY_HEARING ? "hearing" : "",
                (int)(notice_us / MS));
    if (ways & WAY_COMMANDS)
        sever(p, &p->commands, notice_us);
    if (ways & WAY_HEARING)
        sever(p, &p->hearing, notice_us);
}

void port_part(struct port *p, int64_t until_us)
{
    p->parted_until_us = until_us;
    port_cut(p, WAY_BOTH, (int64_t)random_between(&p->world->random, 0, 4 * SECOND));
}

void port_mend(struct port *p)
{
    p->parted_until_us = 0;
}

void port_redis_is_gone(struct port *p)
{
    if (p != NULL)
        port_cut(p, WAY_BOTH, (int64_t)random_between(&p->world->random, 0, 500 * MS));
}

/* The rest of a port */

static bool on_is_up(const struct fleet_port *fleet)
{
    return port_of(fleet)->is_up;
}

static bool on_is_cluster(const struct fleet_port *fleet)
{
    (void)fleet;
    return false;
}

static uint64_t on_mono_ms(const struct fleet_port *fleet)
{
    return node_mono_ms(port_of(fleet)->node);
}

static int64_t on_wall_ms(const struct fleet_port *fleet)
{
    return node_wall_ms(port_of(fleet)->node);
}

static uint64_t on_random(struct fleet_port *fleet)
{
    return random_next(&port_of(fleet)->world->random);
}

static const struct fleet_port_ops ops = {
    .run = port_run,
    .command = port_command,
    .subscribe = port_subscribe,
    .unsubscribe = port_unsubscribe,
    .is_up = on_is_up,
    .is_cluster = on_is_cluster,
    .mono_ms = on_mono_ms,
    .wall_ms = on_wall_ms,
    .random = on_random,
};

struct port *port_new(struct node *n)
{
    struct port *p = mem_new(struct port);

    p->fleet.ops = &ops;
    p->node = n;
    p->world = n->world;
    return p;
}

void port_start(struct port *p)
{
    try_again(p, &p->commands, (int64_t)random_between(&p->world->random, 0, 50 * MS));
    try_again(p, &p->hearing, (int64_t)random_between(&p->world->random, 0, 50 * MS));
}

void port_close(struct port *p)
{
    p->is_over = true;
    p->is_up = false;
    port_sever_flights(p);
    port_fail_flights(p, FAIL_CANCELLED);
}

void port_free(struct port *p)
{
    struct topic *t, *next;

    for (int is_pattern = 0; is_pattern < 2; is_pattern++)
        HASH_ITER(hh, p->topics[is_pattern], t, next)
    port_forget_topic(p, t);
    while (p->ears != NULL)
        port_forget_ear(p, p->ears);
    mem_free(p);
}

struct fleet_port *port_fleet(struct port *p)
{
    return &p->fleet;
}

size_t port_flights(const struct port *p)
{
    return p->flight_count;
}

bool port_is_up(const struct port *p)
{
    return p->is_up;
}
