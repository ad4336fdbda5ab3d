#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_service_internal.h"
#include "io/redis_wire.h"

void service_down(struct redis_service *s, const struct redis_down *down)
{
    struct redis_down told = *down;

    told.was_up = s->is_up;
    s->is_up = false;
    if (s->is_told_down || s->is_over)
        return;
    s->is_told_down = true;
    s->asked = 0;
    s->events->down(s->context, &told);
}

void service_check_up(struct redis_service *s)
{
    const struct service_node *node;
    size_t needed = 0;

    if (s->is_up || s->is_over || s->unheard > 0)
        return;
    for (node = s->nodes; node != NULL; node = node->next) {
        if (node->is_needed && !node_is_up(node))
            return;
        needed += node->is_needed;
    }
    if (needed == 0)
        return;
    s->is_up = true;
    s->is_told_down = false;
    s->events->up(s->context);
}

/* The memory of nodes that went is nobody's any more in here. */
static void on_timer(uv_timer_t *timer)
{
    struct redis_service *s = timer->data;

    s->armed_ms = UINT64_MAX;
    nodes_bury(s);
    errands_tick(s);
    if (!s->is_over)
        scouting_tick(s);
}

void service_wake(struct redis_service *s, uint64_t at_ms)
{
    uint64_t now = uv_now(s->loop);

    if (s->is_over || at_ms >= s->armed_ms)
        return;
    s->armed_ms = at_ms;
    uv_timer_start(&s->timer, on_timer, at_ms > now ? at_ms - now : 0, 0);
}

struct redis_service *redis_service_open(uv_loop_t *loop, const struct redis_url *url,
                                         const struct redis_settings *settings,
                                         const struct redis_service_events *events, void *context)
{
    struct redis_service *s = mem_new(struct redis_service);

    s->loop = loop;
    s->events = events;
    s->context = context;
    redis_url_copy(url, &s->url);
    settings_copy(settings, &s->settings);
    s->armed_ms = UINT64_MAX;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    scouting_begin(s);
    return s;
}

static void on_closed(uv_handle_t *handle)
{
    struct redis_service *s = handle->data;

    nodes_bury(s);
    topics_free(s);
    redis_url_deinit(&s->url);
    settings_deinit(&s->settings);
    mem_free(s->slots);
    mem_free(s);
}

void redis_service_close(struct redis_service *s)
{
    if (s->is_over)
        return;
    s->is_over = true;
    s->is_up = false;
    uv_close((uv_handle_t *)&s->timer, on_closed);
    scouting_end(s);
    while (s->nodes != NULL)
        node_drop(s->nodes);
    errands_cancel(s);
}

bool redis_service_is_up(const struct redis_service *s)
{
    return s->is_up;
}

bool redis_service_is_cluster(const struct redis_service *s)
{
    return s->kind == SERVICE_CLUSTER;
}

uint64_t redis_service_dropped(const struct redis_service *s)
{
    uint64_t dropped = s->dropped;
    const struct service_node *node;

    for (node = s->nodes; node != NULL; node = node->next)
        dropped += node->listener != NULL ? redis_listener_dropped(node->listener) : 0;
    return dropped;
}
