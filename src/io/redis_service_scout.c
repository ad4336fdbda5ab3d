#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_service_internal.h"

enum {
    ASK_UP_MS = 10 * 1000, /* nobody said that anything changed */
    ASK_DOWN_MS = 250,     /* something is about to */
    ASK_PAUSE_MS = 20,     /* between two questions, whatever the hurry */
    ASKED_MAX = 8,         /* in vain: perhaps who is asked is cut off from the rest */
    LINGER_MS = 30 * 1000, /* of a node that an ASK named, or that still owes answers */
    HOST_MAX = 256,
    WHY_MAX = 512,
};

/* What the scout's place said is of no use. */
static void complain(struct redis_service *s, int err, const char *what)
{
    const struct redis_host *place = scout_place(s->scout);
    struct redis_down down = { .err = err };
    char why[WHY_MAX];

    snprintf(why, sizeof(why), "%s port %u: %s", place->name, place->port, what);
    down.why = why;
    down.retry_ms = ASK_DOWN_MS;
    scout_leave(s->scout);
    if (!s->is_over && !s->is_up)
        service_down(s, &down);
}

static void need(struct service_node *node)
{
    struct redis_service *s = node->service;

    node->is_needed = true;
    s->ear = node;
    topics_place(s);
}

/* A single server: nobody needs to be asked again. */
static void become_server(struct redis_service *s, const struct redis_host *place)
{
    struct service_node *node;

    s->kind = SERVICE_SERVER;
    node = place != NULL ? node_at(s, place->name, place->port) : node_at(s, NULL, 0);
    if (s->scout != NULL)
        scout_close(s->scout);
    s->scout = NULL;
    need(node);
}

struct survey {
    struct redis_service *service;
    struct service_node **slots;
    struct redis_host hosts[NODES_MAX];
    size_t count;
};

static void on_range(void *context, const struct slot_range *range)
{
    struct survey *survey = context;
    struct redis_service *s = survey->service;
    char host[HOST_MAX];
    struct service_node *node;

    if (range->host.len >= sizeof(host))
        return;
    snprintf(host, sizeof(host), "%.*s", STR_ARG(range->host));
    if (host[0] == '\0')
        snprintf(host, sizeof(host), "%s", scout_place(s->scout)->name);
    if (survey->count < NODES_MAX)
        survey->hosts[survey->count++] = (struct redis_host){ mem_strdup(host), range->port };
    node = range->is_primary ? node_at(s, host, range->port) : NULL;
    if (node == NULL)
        return;
    node->is_needed = true;
    for (unsigned slot = range->first; slot <= range->last; slot++)
        survey->slots[slot] = node;
}

/* One that takes commands, if there is one; rather the same. */
static void choose_ear(struct redis_service *s)
{
    struct service_node *node, *best = NULL;

    if (s->ear != NULL && s->ear->is_needed && node_takes(s->ear))
        return;
    DL_FOREACH(s->nodes, node)
    {
        bool is_better = best == NULL || (!node_takes(best) && node_takes(node));
        if (node->is_needed && is_better)
            best = node;
    }
    if (s->ear == NULL || !s->ear->is_needed || node_takes(best))
        s->ear = best;
}

static void drop_unneeded(struct redis_service *s)
{
    uint64_t now = uv_now(s->loop);
    struct service_node *node = s->nodes;

    while (node != NULL && !s->is_over) {
        bool is_old = !redis_is_up(node->link) || now - node->used_ms > LINGER_MS;
        if (!node->is_needed && is_old) {
            node_drop(node); /* answers fail within: anything may have changed */
            node = s->nodes;
        } else {
            node = node->next;
        }
    }
}

/* Whether slots changed hands. */
static bool read_map(struct redis_service *s, const struct redis_reply *reply)
{
    struct survey *survey = mem_new(struct survey);
    struct service_node *node;
    bool is_new;

    survey->service = s;
    survey->slots = mem_zalloc(SLOTS * sizeof(struct service_node *));
    DL_FOREACH(s->nodes, node)
    {
        if (node->is_needed)
            node->used_ms = uv_now(s->loop);
        node->is_needed = false;
    }
    slots_read(reply, on_range, survey);
    is_new = memcmp(s->slots, survey->slots, SLOTS * sizeof(struct service_node *)) != 0;
    mem_free(s->slots);
    s->slots = survey->slots;
    scout_set_places(s->scout, survey->hosts, survey->count);
    for (size_t i = 0; i < survey->count; i++)
        mem_free(survey->hosts[i].name);
    mem_free(survey);
    return is_new;
}

static void on_map(struct redis_service *s, const struct redis_reply *reply)
{
    const struct service_node *ear = s->ear;
    bool is_new;

    if (s->kind == SERVICE_UNKNOWN) {
        s->kind = SERVICE_CLUSTER;
        s->slots = mem_zalloc(SLOTS * sizeof(struct service_node *));
    }
    is_new = read_map(s, reply);
    choose_ear(s);
    if (is_new || s->ear != ear || s->homeless > 0)
        topics_place(s);
    drop_unneeded(s);
    if (s->is_over)
        return;
    scout_stay(s->scout);
    errands_kick(s);
    service_check_up(s);
}

static void on_no_map(struct redis_service *s, int err, const struct redis_reply *reply)
{
    /* Not LOADING and the like: it will say more in a while. Who may not ask, or asks
     * what has no CLUSTER, has a server. */
    if (s->kind == SERVICE_CLUSTER || err == FAIL_STATE)
        complain(s, err, reply->text.at);
    else if (s->url.host_count > 1)
        complain(s, FAIL_STATE, "is no cluster, which several hosts in a URL are");
    else
        become_server(s, &s->url.hosts[0]);
}

static void on_valid_range(void *context, const struct slot_range *range)
{
    (void)context;
    (void)range;
}

static void on_slots(struct redis_service *s, int err, const struct redis_reply *reply)
{
    if (reply->type == REDIS_ERROR)
        on_no_map(s, err, reply);
    else if (reply->type != REDIS_ARRAY || reply->count == 0)
        complain(s, FAIL_STATE, "its cluster has no slots yet");
    else if (!slots_read(reply, on_valid_range, NULL)) /* nothing is done by halves */
        complain(s, FAIL_SYNTAX, "no cluster speaks like this");
    else
        on_map(s, reply);
}

/* Commands under way fail within. */
static void replace_primary(struct redis_service *s, const char *host, uint16_t port)
{
    const struct redis_down down = { .err = FAIL_CLOSED, .why = "another is the primary now" };
    bool was_one = s->nodes != NULL;

    while (s->nodes != NULL && !s->is_over)
        node_drop(s->nodes);
    if (s->is_over)
        return;
    need(node_at(s, host, port));
    if (was_one)
        service_down(s, &down);
}

static void on_primary(struct redis_service *s, const struct redis_reply *reply)
{
    const struct redis_reply *items = reply->items;
    struct service_node *node;
    uint64_t port;

    if (reply->type != REDIS_ARRAY || reply->count != 2 || items[0].text.len == 0 ||
        str_parse_u64(items[1].text, UINT16_MAX, &port) != OK) {
        complain(s, FAIL_MISSING, "the Sentinel knows no such service");
        return;
    }
    scout_stay(s->scout);
    node = node_find(s, items[0].text, (uint16_t)port);
    if (node == NULL)
        replace_primary(s, items[0].text.at, (uint16_t)port);
    else if (!node->is_primary && redis_is_up(node->link))
        scouting_check(node);
}

static void on_answer(void *context, int err, const struct redis_reply *reply)
{
    struct redis_service *s = context;

    s->is_asking = false;
    if (s->is_over || reply == NULL)
        return;
    if (s->kind == SERVICE_SENTINEL)
        on_primary(s, reply);
    else
        on_slots(s, err, reply);
}

static void ask(struct redis_service *s)
{
    const struct str of_sentinel[] = { STR("SENTINEL"), STR("get-master-addr-by-name"),
                                       str_of(s->url.service) };
    const struct str of_cluster[] = { STR("CLUSTER"), STR("SLOTS") };
    bool is_sentinel = s->kind == SERVICE_SENTINEL;

    if (s->is_asking)
        return;
    s->asked_ms = uv_now(s->loop);
    s->is_asking = scout_ask(s->scout, is_sentinel ? of_sentinel : of_cluster, is_sentinel ? 3 : 2,
                             on_answer, s) == OK;
}

void scouting_tick(struct redis_service *s)
{
    uint64_t now = uv_now(s->loop);

    if (s->scout == NULL)
        return;
    if (now >= s->ask_ms) {
        s->ask_ms = now + (s->is_up && s->homeless == 0 ? ASK_UP_MS : ASK_DOWN_MS);
        if (!s->is_up && scout_is_up(s->scout) && ++s->asked % ASKED_MAX == 0)
            scout_leave(s->scout);
        else
            ask(s);
    }
    service_wake(s, s->ask_ms);
}

void scouting_ask(struct redis_service *s, uint32_t delay_ms)
{
    uint64_t at = uv_now(s->loop) + delay_ms, earliest = s->asked_ms + ASK_PAUSE_MS;

    if (s->scout == NULL)
        return;
    if (at < earliest)
        at = earliest;
    if (at < s->ask_ms)
        s->ask_ms = at;
    service_wake(s, s->ask_ms);
}

static void on_role(void *context, int err, const struct redis_reply *reply)
{
    struct service_node *node = context;

    if (reply == NULL || node->is_gone)
        return;
    /* Who may not ask has to believe. */
    node->is_primary = reply->type == REDIS_ERROR
                           ? err == FAIL_DENIED
                           : reply->count > 0 && str_equal(reply->items[0].text, STR("master"));
    if (!node->is_primary)
        return; /* asked for again while it is down */
    errands_kick(node->service);
    service_check_up(node->service);
}

void scouting_check(struct service_node *node)
{
    if (node->service->kind == SERVICE_SENTINEL)
        redis_command(node->link, (struct str[]){ STR("ROLE") }, 1, 0, on_role, node);
}

static void on_scout_up(void *context)
{
    ask(context);
}

static void on_scout_down(void *context, const struct redis_down *down)
{
    struct redis_service *s = context;

    if (!s->is_up)
        service_down(s, down);
}

/* "<service> <old host> <old port> <new host> <new port>" */
static void on_scout_push(void *context, const struct redis_push *push)
{
    struct redis_service *s = context;
    struct str rest = push->message;

    if (str_equal(str_cut(&rest, ' '), str_of(s->url.service)))
        scouting_ask(s, 0);
}

void scouting_begin(struct redis_service *s)
{
    static const struct scout_events events = { on_scout_up, on_scout_down, on_scout_push };
    bool is_sentinel = s->url.service != NULL;

    s->kind = is_sentinel ? SERVICE_SENTINEL : SERVICE_UNKNOWN;
    if (s->url.path != NULL) {
        become_server(s, NULL);
        return;
    }
    s->scout = scout_open(s->loop, &s->url, &s->settings, is_sentinel ? "+switch-master" : NULL,
                          is_sentinel, &events, s);
    s->ask_ms = uv_now(s->loop) + ASK_DOWN_MS;
    service_wake(s, s->ask_ms);
}

void scouting_end(struct redis_service *s)
{
    if (s->scout != NULL)
        scout_close(s->scout);
    s->scout = NULL;
}
