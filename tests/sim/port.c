#include "port.h"

#include <assert.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "facts.h"
#include "model_internal.h"
#include "node.h"

/* One TCP connection after the other. */
struct link {
    uint32_t number;           /* of the connection */
    bool is_up;                /* as the node believes */
    bool is_severed;           /* nothing goes through any more */
    bool is_noticing;          /* it will be told */
    bool is_trying;            /* an attempt to connect is due */
    int64_t there_us, back_us; /* when the last thing arrived: kept in order */
};

struct flight {
    struct flight *prev, *next;
    struct port *port; /* NULL: the node has it no more */
    struct world *world;
    uint32_t number;
    int node;
    unsigned refs; /* the port's list, an event */
    struct bytes *args;
    size_t count;
    struct redis_script script; /* without a source: a command */
    bool is_whole;              /* the script's source goes along */
    bool arrives;               /* also over a severed connection */
    bool has_arrived;
    redis_done *done;
    void *context;
    struct redis_reply *reply;
};

struct topic {
    UT_hash_handle hh;
    enum redis_topic kind;
    uint64_t asked; /* which subscription it is */
    bool is_first;  /* of those that the connection began with */
    struct bytes name;
};

/* What Redis knows of the hearing connection. */
struct ear {
    struct ear *prev, *next;
    bool is_pattern;
    struct bytes name;
};

struct port {
    struct fleet_port fleet; /* first: ports of the fleet are these */
    struct node *node;
    struct world *world;
    struct link commands, hearing;
    struct flight *flights;
    size_t flight_count;
    struct topic *topics[2]; /* channels, patterns */
    struct ear *ears;
    uint64_t asked;
    size_t unconfirmed; /* of the first topics */
    bool is_up, is_told_down, is_over;
    int64_t parted_until_us;
};

static struct port *port_of(const struct fleet_port *p)
{
    return (struct port *)p;
}

/* A way of usually a fraction of a millisecond, at times of many. */
static int64_t travel(struct world *w)
{
    if (random_permille(&w->random, 30))
        return (int64_t)random_between(&w->random, 1 * MS, 300 * MS);
    return (int64_t)random_between(&w->random, 20, 3 * MS);
}

static int64_t in_order(struct world *w, int64_t *last_us)
{
    int64_t at = w->now_us + travel(w);

    if (at <= *last_us)
        at = *last_us + 1;
    *last_us = at;
    return at;
}

/* Commands */

static void flight_unref(struct flight *f)
{
    if (--f->refs > 0)
        return;
    for (size_t i = 0; i < f->count; i++)
        bytes_free(&f->args[i]);
    mem_free(f->args);
    redis_reply_free(f->reply);
    mem_free(f);
}

static void flight_drop(void *context)
{
    flight_unref(context);
}

static void flight_end(struct flight *f, int err, const struct redis_reply *reply)
{
    struct port *p = f->port;

    DL_DELETE(p->flights, f);
    p->flight_count--;
    f->port = NULL;
    if (f->done != NULL)
        f->done(f->context, err, reply);
    flight_unref(f);
}

static int send_flight(struct port *p, struct flight *f);

/* Redis had forgotten the script: it goes again, whole, behind what went meanwhile. */
static bool must_go_whole(struct flight *f)
{
    struct port *p = f->port;

    if (f->script.source == NULL || f->is_whole || !redis_reply_is_error(f->reply, "NOSCRIPT"))
        return false;
    redis_reply_free(f->reply);
    f->reply = NULL;
    f->is_whole = true;
    f->has_arrived = f->arrives = false;
    DL_DELETE(p->flights, f);
    p->flight_count--;
    send_flight(p, f);
    return true;
}

static void answer(void *context)
{
    struct flight *f = context;

    /* It may have been told that the connection is gone. */
    if (f->port != NULL && f->number == f->port->commands.number && !f->port->commands.is_severed &&
        !must_go_whole(f))
        flight_end(f, redis_reply_err(f->reply), f->reply);
    flight_unref(f);
}

static void trace_flight(const struct flight *f)
{
    struct str first = bytes_str(&f->args[0]), second = { 0 };

    if (f->count > 1)
        second = bytes_str(&f->args[1]);
    if (f->script.source != NULL)
        first = (struct str){ f->script.digest, 6 };
    world_trace(f->world, "n%d > %.*s %.*s%s", f->node, STR_ARG(first), STR_ARG(second),
                f->is_whole ? " (whole)" : "");
}

static struct redis_reply *execute(struct flight *f)
{
    struct str *args = mem_zalloc((f->count + 3) * sizeof(*args));
    size_t count = 0;

    if (f->script.source != NULL) {
        args[count++] = f->is_whole ? STR("EVAL") : STR("EVALSHA");
        args[count++] = str_of(f->is_whole ? f->script.source : f->script.digest);
    }
    for (size_t i = 0; i < f->count; i++)
        args[count++] = bytes_str(&f->args[i]);
    trace_flight(f);
    struct redis_reply *before = facts_executing(f->world, args, count);
    struct redis_reply *reply = redis_execute(f->world, args, count);
    facts_executed(f->world, args, before);
    mem_free(args);
    return reply;
}

static void arrive(void *context)
{
    struct flight *f = context;
    struct port *p = f->port;
    bool is_cut = p == NULL || f->number != p->commands.number || p->commands.is_severed;

    if (!is_cut || f->arrives)
        f->reply = execute(f);
    f->has_arrived = true;
    if (f->reply != NULL && !is_cut)
        node_at(p->node, in_order(f->world, &p->commands.back_us), answer, flight_drop, f);
    else
        flight_unref(f);
}

/* Takes the flight. */
static int send_flight(struct port *p, struct flight *f)
{
    f->number = p->commands.number;
    DL_APPEND(p->flights, f);
    p->flight_count++;
    f->refs++;
    world_after(p->world, in_order(p->world, &p->commands.there_us) - p->world->now_us, arrive,
                flight_drop, f);
    return OK;
}

static struct flight *flight_new(struct port *p, size_t count, redis_done *done, void *context)
{
    struct flight *f = mem_new(struct flight);

    f->port = p;
    f->world = p->world;
    f->node = p->node->index;
    f->refs = 1;
    f->args = mem_zalloc((count + 1) * sizeof(*f->args));
    f->done = done;
    f->context = context;
    return f;
}

static void add_args(struct flight *f, const struct str *args, size_t count)
{
    for (size_t i = 0; i < count; i++)
        f->args[f->count++] = bytes_of(args[i]);
}

static int on_run(struct fleet_port *fleet, const struct redis_script *script, size_t keys,
                  const struct str *args, size_t count, redis_done *done, void *context)
{
    struct port *p = port_of(fleet);
    char number[16];

    if (p->is_over || !p->commands.is_up)
        return FAIL_CLOSED;
    struct flight *f = flight_new(p, count + 1, done, context);
    f->script = *script;
    snprintf(number, sizeof(number), "%zu", keys);
    add_args(f, (struct str[]){ str_of(number) }, 1);
    add_args(f, args, count);
    return send_flight(p, f);
}

static int on_command(struct fleet_port *fleet, struct str key, const struct str *args,
                      size_t count, redis_done *done, void *context)
{
    struct port *p = port_of(fleet);

    (void)key;
    if (p->is_over || !p->commands.is_up)
        return FAIL_CLOSED;
    struct flight *f = flight_new(p, count, done, context);
    add_args(f, args, count);
    return send_flight(p, f);
}

/* Hearing: what goes to Redis and comes back on that connection. */

struct word {
    struct port *port;
    uint32_t number;
    bool is_pattern, is_push, is_leaving;
    uint64_t asked;
    struct bytes name, channel, message;
};

static void word_free(void *context)
{
    struct word *w = context;

    bytes_free(&w->name);
    bytes_free(&w->channel);
    bytes_free(&w->message);
    mem_free(w);
}

static bool is_heard(const struct word *w)
{
    const struct link *l = &w->port->hearing;

    return w->number == l->number && !l->is_severed;
}

static struct topic *find_topic(struct port *p, struct str name, bool is_pattern)
{
    struct topic *t = NULL;

    HASH_FIND(hh, p->topics[is_pattern], name.at, name.len, t);
    return t;
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

static void first_confirmed(struct port *p)
{
    if (p->unconfirmed > 0 && --p->unconfirmed > 0)
        return;
    p->hearing.is_up = true;
    come_up(p);
}

static void confirm(void *context)
{
    struct word *w = context;
    struct port *p = w->port;
    struct topic *t = find_topic(p, bytes_str(&w->name), w->is_pattern);

    if (is_heard(w)) {
        bool is_first = w->asked == 0;
        if (t != NULL && (is_first ? t->is_first : t->asked == w->asked)) {
            t->is_first = false;
            node_heard(p->node, bytes_str(&t->name), t->kind);
        }
        if (is_first)
            first_confirmed(p);
    }
    word_free(w);
}

static void deliver(void *context)
{
    struct word *w = context;

    if (is_heard(w) && find_topic(w->port, bytes_str(&w->name), w->is_pattern) != NULL)
        node_push(w->port->node,
                  &(struct redis_push){ .channel = bytes_str(&w->channel),
                                        .pattern =
                                            w->is_pattern ? bytes_str(&w->name) : (struct str){ 0 },
                                        .message = bytes_str(&w->message) });
    word_free(w);
}

static struct ear *find_ear(struct port *p, struct str name, bool is_pattern)
{
    struct ear *e;

    DL_FOREACH(p->ears, e)
    if (e->is_pattern == is_pattern && bytes_are(&e->name, name))
        return e;
    return NULL;
}

static void forget_ear(struct port *p, struct ear *e)
{
    DL_DELETE(p->ears, e);
    bytes_free(&e->name);
    mem_free(e);
}

/* At Redis. */
static void change_ears(void *context)
{
    struct word *w = context;
    struct port *p = w->port;
    struct ear *e = find_ear(p, bytes_str(&w->name), w->is_pattern);

    if (!is_heard(w) || !redis_is_there(p->world)) {
        word_free(w);
        return;
    }
    if (w->is_leaving) {
        if (e != NULL)
            forget_ear(p, e);
        word_free(w);
        return;
    }
    if (e == NULL) {
        e = mem_new(struct ear);
        e->is_pattern = w->is_pattern;
        e->name = bytes_of(bytes_str(&w->name));
        DL_APPEND(p->ears, e);
    }
    node_at(p->node, in_order(p->world, &p->hearing.back_us), confirm, word_free, w);
}

static void tell_redis(struct port *p, struct str name, bool is_pattern, bool is_leaving,
                       uint64_t asked)
{
    struct word *w = mem_new(struct word);

    w->port = p;
    w->number = p->hearing.number;
    w->is_pattern = is_pattern;
    w->is_leaving = is_leaving;
    w->asked = asked;
    w->name = bytes_of(name);
    node_at(p->node, in_order(p->world, &p->hearing.there_us), change_ears, word_free, w);
}

static void push_word(struct port *p, const struct ear *e, struct str channel, struct str message)
{
    struct word *w = mem_new(struct word);

    w->port = p;
    w->number = p->hearing.number;
    w->is_pattern = e->is_pattern;
    w->is_push = true;
    w->name = bytes_of(bytes_str(&e->name));
    w->channel = bytes_of(channel);
    w->message = bytes_of(message);
    node_at(p->node, in_order(p->world, &p->hearing.back_us), deliver, word_free, w);
}

int64_t port_publish(struct port *p, struct str channel, struct str message)
{
    struct bytes name;
    int64_t heard = 0;
    struct ear *e;

    if (p == NULL || p->ears == NULL || p->hearing.is_severed)
        return 0;
    name = bytes_of(channel);
    DL_FOREACH(p->ears, e)
    if (e->is_pattern ? fnmatch(e->name.at, name.at, 0) == 0 : bytes_are(&e->name, channel)) {
        push_word(p, e, channel, message);
        heard++;
    }
    bytes_free(&name);
    return heard;
}

static int on_subscribe(struct fleet_port *fleet, struct str name, enum redis_topic kind)
{
    struct port *p = port_of(fleet);
    bool is_pattern = kind == REDIS_PATTERN;

    if (p->is_over)
        return FAIL_CLOSED;
    if (find_topic(p, name, is_pattern) != NULL)
        return FAIL_EXISTS;
    struct topic *t = mem_new(struct topic);
    t->kind = kind;
    t->name = bytes_of(name);
    t->asked = ++p->asked;
    HASH_ADD_KEYPTR(hh, p->topics[is_pattern], t->name.at, t->name.len, t);
    if (p->hearing.number > 0 && !p->hearing.is_trying)
        tell_redis(p, name, is_pattern, false, t->asked);
    return OK;
}

static void forget_topic(struct port *p, struct topic *t)
{
    HASH_DEL(p->topics[t->kind == REDIS_PATTERN], t);
    bytes_free(&t->name);
    mem_free(t);
}

static int on_unsubscribe(struct fleet_port *fleet, struct str name, enum redis_topic kind)
{
    struct port *p = port_of(fleet);
    bool is_pattern = kind == REDIS_PATTERN;
    struct topic *t = find_topic(p, name, is_pattern);

    if (p->is_over || t == NULL || t->kind != kind)
        return FAIL_MISSING;
    if (p->hearing.number > 0 && !p->hearing.is_trying)
        tell_redis(p, name, is_pattern, true, 0);
    forget_topic(p, t);
    return OK;
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
        forget_ear(p, p->ears);
    p->unconfirmed = 0;
    for (int is_pattern = 0; is_pattern < 2; is_pattern++)
        for (t = p->topics[is_pattern]; t != NULL; t = t->hh.next) {
            t->is_first = true;
            p->unconfirmed++;
            tell_redis(p, bytes_str(&t->name), is_pattern, false, 0);
        }
    if (p->unconfirmed == 0)
        first_confirmed(p);
}

/* Losing it */

/* Of what has not arrived, a first part still does. */
static void sever_flights(struct port *p)
{
    size_t still = random_below(&p->world->random, p->flight_count + 1);
    struct flight *f;

    DL_FOREACH(p->flights, f)
    {
        if (f->has_arrived)
            continue;
        f->arrives = still > 0;
        still -= still > 0;
    }
}

static void fail_flights(struct port *p, int err)
{
    while (p->flights != NULL)
        flight_end(p->flights, err, NULL);
}

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
    fail_flights(p, random_permille(&p->world->random, 500) ? FAIL_CLOSED : FAIL_TIMEOUT);
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
        sever_flights(p);
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
    .run = on_run,
    .command = on_command,
    .subscribe = on_subscribe,
    .unsubscribe = on_unsubscribe,
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
    sever_flights(p);
    fail_flights(p, FAIL_CANCELLED);
}

void port_free(struct port *p)
{
    struct topic *t, *next;

    for (int is_pattern = 0; is_pattern < 2; is_pattern++)
        HASH_ITER(hh, p->topics[is_pattern], t, next)
    forget_topic(p, t);
    while (p->ears != NULL)
        forget_ear(p, p->ears);
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
