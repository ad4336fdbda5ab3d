/* Commands on their way to Redis, and answers on their way back. */
#include "port_internal.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "facts.h"

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
        node_at(p->node, port_in_order(f->world, &p->commands.back_us), answer, flight_drop, f);
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
    world_after(p->world, port_in_order(p->world, &p->commands.there_us) - p->world->now_us, arrive,
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

int port_run(struct fleet_port *fleet, const struct redis_script *script, size_t keys,
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

int port_command(struct fleet_port *fleet, struct str key, const struct str *args, size_t count,
                 redis_done *done, void *context)
{
    struct port *p = port_of(fleet);

    (void)key;
    if (p->is_over || !p->commands.is_up)
        return FAIL_CLOSED;
    struct flight *f = flight_new(p, count, done, context);
    add_args(f, args, count);
    return send_flight(p, f);
}

/* Of what has not arrived, a first part still does. */
void port_sever_flights(struct port *p)
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

void port_fail_flights(struct port *p, int err)
{
    while (p->flights != NULL)
        flight_end(p->flights, err, NULL);
}
