#include "fleet/port_redis.h"

#include <uv.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

struct fleet_link {
    struct fleet_port port; /* first: ports are links */
    struct redis_service *service;
    uv_timer_t tick;
    const struct fleet_link_events *events;
    void *context;
};

static struct redis_service *service_of(const struct fleet_port *p)
{
    return ((const struct fleet_link *)p)->service;
}

static int run(struct fleet_port *p, const struct redis_script *script, size_t keys,
               const struct str *args, size_t count, redis_done *done, void *context)
{
    return redis_service_run(service_of(p), script, keys, args, count, done, context);
}

static int command(struct fleet_port *p, struct str key, const struct str *args, size_t count,
                   redis_done *done, void *context)
{
    return redis_service_command(service_of(p), key, args, count, 0, done, context);
}

static int subscribe(struct fleet_port *p, struct str name, enum redis_topic kind)
{
    return redis_service_subscribe(service_of(p), name, kind);
}

static int unsubscribe(struct fleet_port *p, struct str name, enum redis_topic kind)
{
    return redis_service_unsubscribe(service_of(p), name, kind);
}

static bool is_up(const struct fleet_port *p)
{
    return redis_service_is_up(service_of(p));
}

static bool is_cluster(const struct fleet_port *p)
{
    return redis_service_is_cluster(service_of(p));
}

static uint64_t mono_ms(const struct fleet_port *p)
{
    (void)p;
    return clock_mono_ms();
}

static int64_t wall_ms(const struct fleet_port *p)
{
    (void)p;
    return clock_wall_ms();
}

static uint64_t draw(struct fleet_port *p)
{
    (void)p;
    return random_u64();
}

static const struct fleet_port_ops ops = {
    .run = run,
    .command = command,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .is_up = is_up,
    .is_cluster = is_cluster,
    .mono_ms = mono_ms,
    .wall_ms = wall_ms,
    .random = draw,
};

static void on_up(void *context)
{
    struct fleet_link *l = context;

    l->events->up(l->context);
}

static void on_down(void *context, const struct redis_down *down)
{
    struct fleet_link *l = context;

    l->events->down(l->context, down);
}

static void on_heard(void *context, struct str name, enum redis_topic kind)
{
    struct fleet_link *l = context;

    l->events->heard(l->context, name, kind);
}

static void on_push(void *context, const struct redis_push *push)
{
    struct fleet_link *l = context;

    l->events->push(l->context, push);
}

static void on_refused(void *context, struct str name, enum redis_topic kind, const char *why)
{
    struct fleet_link *l = context;

    l->events->refused(l->context, name, kind, why);
}

static void on_dropped(void *context, struct str channel)
{
    struct fleet_link *l = context;

    l->events->dropped(l->context, channel);
}

static const struct redis_service_events of_service = {
    .up = on_up,
    .down = on_down,
    .heard = on_heard,
    .push = on_push,
    .refused = on_refused,
    .dropped = on_dropped,
};

static void on_tick(uv_timer_t *timer)
{
    struct fleet_link *l = timer->data;

    l->events->tick(l->context);
}

int fleet_link_open(uv_loop_t *loop, const char *url, const struct fleet_link_settings *given,
                    const struct fleet_link_events *events, void *context, struct fleet_link **out,
                    struct buf *why)
{
    struct redis_settings settings = redis_settings_default;
    struct redis_url where;
    int err = redis_url_parse(url, &where, why);

    if (err)
        return err;
    struct fleet_link *l = mem_new(struct fleet_link);
    l->port.ops = &ops;
    l->events = events;
    l->context = context;
    settings.name = given->name;
    settings.ca_file = given->ca_file;
    settings.cert_file = given->cert_file;
    settings.key_file = given->key_file;
    /* Shorter than a lease: who cannot be heard is soon known, and soon tried again. */
    settings.command_timeout_ms = 4000;
    settings.silence_ms = 4000;
    settings.pong_ms = 3000;
    settings.backoff_min_ms = 100;
    settings.backoff_max_ms = 2000;
    l->service = redis_service_open(loop, &where, &settings, &of_service, l);
    redis_url_deinit(&where);
    uv_timer_init(loop, &l->tick);
    l->tick.data = l;
    uv_timer_start(&l->tick, on_tick, FLEET_TICK_MS, FLEET_TICK_MS);
    *out = l;
    return OK;
}

static void closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void fleet_link_close(struct fleet_link *l)
{
    redis_service_close(l->service);
    uv_close((uv_handle_t *)&l->tick, closed);
}

struct fleet_port *fleet_link_port(struct fleet_link *l)
{
    return &l->port;
}
