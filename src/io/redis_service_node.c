#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_service_internal.h"

static void on_link_up(void *context)
{
    struct service_node *node = context;

    scouting_check(node);
    errands_kick(node->service);
    service_check_up(node->service);
}

/* It may be that another one is in its place. */
static void on_link_down(void *context, const struct redis_down *down)
{
    struct service_node *node = context;
    struct redis_service *s = node->service;

    node->is_primary = s->kind != SERVICE_SENTINEL;
    if (!node->is_needed)
        return;
    scouting_ask(s, 0);
    service_down(s, down);
}

static void on_listener_up(void *context)
{
    struct service_node *node = context;

    service_check_up(node->service);
}

static void on_listener_down(void *context, const struct redis_down *down)
{
    struct service_node *node = context;
    struct redis_service *s = node->service;

    topics_lost(s, node);
    if (!node->is_needed)
        return;
    scouting_ask(s, 0);
    service_down(s, down);
}

static void on_push(void *context, const struct redis_push *push)
{
    struct redis_service *s = ((struct service_node *)context)->service;

    if (s->events->push != NULL)
        s->events->push(s->context, push);
}

static void on_subscribed(void *context, struct str name, enum redis_topic kind)
{
    topics_heard(context, name, kind);
}

static void on_refused(void *context, struct str name, enum redis_topic kind, const char *why)
{
    topics_refused(context, name, kind, why);
}

static void on_moved(void *context, struct str name)
{
    topics_moved(context, name);
}

static void on_dropped(void *context, struct str channel)
{
    struct redis_service *s = ((struct service_node *)context)->service;

    if (s->events->dropped != NULL)
        s->events->dropped(s->context, channel);
}

static const struct redis_events link_events = { on_link_up, on_link_down };
static const struct redis_listener_events listener_events = {
    on_listener_up, on_listener_down, on_push, on_subscribed, on_refused, on_moved, on_dropped,
};

struct service_node *node_find(struct redis_service *s, struct str host, uint16_t port)
{
    struct service_node *node;

    DL_FOREACH(s->nodes, node)
    {
        const struct redis_host *at = node->url.hosts;
        if (at != NULL && at->port == port && str_equal(str_of(at->name), host))
            return node;
    }
    return NULL;
}

struct service_node *node_at(struct redis_service *s, const char *host, uint16_t port)
{
    struct service_node *node = host != NULL ? node_find(s, str_of(host), port) : NULL;

    if (node != NULL || s->node_count >= NODES_MAX)
        return node;
    node = mem_new(struct service_node);
    node->service = s;
    node->is_primary = s->kind != SERVICE_SENTINEL;
    node->used_ms = uv_now(s->loop);
    if (host != NULL)
        redis_url_server(&s->url, host, port, &node->url);
    else
        redis_url_copy(&s->url, &node->url);
    node->link = redis_open(s->loop, &node->url, &s->settings, &link_events, node);
    DL_APPEND(s->nodes, node);
    s->node_count++;
    return node;
}

bool node_takes(const struct service_node *node)
{
    return node != NULL && node->is_primary && redis_is_up(node->link);
}

bool node_is_up(const struct service_node *node)
{
    return node_takes(node) && (node->listener == NULL || redis_listener_is_up(node->listener));
}

void node_listen(struct service_node *node)
{
    struct redis_service *s = node->service;

    if (node->listener == NULL)
        node->listener =
            redis_listener_open(s->loop, &node->url, &s->settings, &listener_events, node);
}

static void forget_slots(struct redis_service *s, const struct service_node *node)
{
    for (unsigned slot = 0; s->slots != NULL && slot < SLOTS; slot++) {
        if (s->slots[slot] == node)
            s->slots[slot] = NULL;
    }
}

void node_drop(struct service_node *node)
{
    struct redis_service *s = node->service;

    DL_DELETE(s->nodes, node);
    DL_APPEND(s->graves, node);
    s->node_count--;
    node->is_gone = true;
    if (s->ear == node)
        s->ear = NULL;
    forget_slots(s, node);
    topics_lost(s, node);
    if (node->listener != NULL) {
        s->dropped += redis_listener_dropped(node->listener);
        redis_listener_close(node->listener);
    }
    service_wake(s, 0);
    redis_close(node->link);
}

void nodes_bury(struct redis_service *s)
{
    struct service_node *node, *next;

    DL_FOREACH_SAFE(s->graves, node, next)
    {
        redis_url_deinit(&node->url);
        mem_free(node);
    }
    s->graves = NULL;
}
