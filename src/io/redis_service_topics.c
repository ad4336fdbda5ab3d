#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_service_internal.h"

enum { MOVED_PAUSE_MS = 20 };

/* A channel and a shard channel of one name exclude each other: where there is
 * no cluster they are one. */
static struct service_topic *find(struct redis_service *s, struct str name, bool is_pattern)
{
    struct service_topic *topic = NULL;

    HASH_FIND(hh, s->topics[is_pattern], name.at, name.len, topic);
    return topic;
}

static enum redis_topic kind_at_node(const struct redis_service *s, const struct service_topic *t)
{
    return t->kind == REDIS_SHARD && s->kind != SERVICE_CLUSTER ? REDIS_CHANNEL : t->kind;
}

static struct service_node *place_of(const struct redis_service *s, const struct service_topic *t)
{
    if (s->kind == SERVICE_CLUSTER && t->kind == REDIS_SHARD)
        return s->slots[t->slot];
    return s->ear;
}

static void set_heard(struct redis_service *s, struct service_topic *topic, bool is_heard)
{
    s->unheard += topic->is_heard;
    s->unheard -= is_heard;
    topic->is_heard = is_heard;
}

static void set_at(struct redis_service *s, struct service_topic *topic, struct service_node *node)
{
    s->homeless -= topic->at == NULL;
    s->homeless += node == NULL;
    topic->at = node;
}

static void leave(struct redis_service *s, struct service_topic *topic)
{
    if (topic->at != NULL && topic->at->listener != NULL)
        redis_listener_unsubscribe(topic->at->listener, topic->name, kind_at_node(s, topic));
    set_at(s, topic, NULL);
    set_heard(s, topic, false);
}

/* FAIL_LIMIT: the node has no room for it now, for it is still giving up others. */
static int settle(struct redis_service *s, struct service_topic *topic)
{
    struct service_node *node = place_of(s, topic);
    int err;

    if (node == topic->at)
        return OK;
    leave(s, topic);
    if (node == NULL)
        return OK;
    node_listen(node);
    err = redis_listener_subscribe(node->listener, topic->name, kind_at_node(s, topic));
    if (err == OK)
        set_at(s, topic, node);
    return err;
}

void topics_place(struct redis_service *s)
{
    struct service_topic *topic;
    bool is_all = true;

    for (int is_pattern = 0; is_pattern < 2; is_pattern++) {
        for (topic = s->topics[is_pattern]; topic != NULL; topic = topic->hh.next)
            is_all = settle(s, topic) == OK && is_all;
    }
    if (!is_all)
        scouting_ask(s, MOVED_PAUSE_MS);
}

/* A node that goes has no listener to say anything to; one that is down will
 * subscribe by itself to what it is to hear. */
void topics_lost(struct redis_service *s, const struct service_node *node)
{
    struct service_topic *topic;

    for (int is_pattern = 0; is_pattern < 2; is_pattern++) {
        for (topic = s->topics[is_pattern]; topic != NULL; topic = topic->hh.next) {
            if (topic->at != node)
                continue;
            set_heard(s, topic, false);
            if (node->is_gone)
                set_at(s, topic, NULL);
        }
    }
}

static void forget(struct redis_service *s, struct service_topic *topic)
{
    HASH_DEL(s->topics[topic->kind == REDIS_PATTERN], topic);
    s->unheard -= !topic->is_heard;
    s->homeless -= topic->at == NULL;
    s->topic_count--;
    mem_free(topic);
}

void topics_free(struct redis_service *s)
{
    struct service_topic *topic, *next;

    for (int is_pattern = 0; is_pattern < 2; is_pattern++) {
        HASH_ITER(hh, s->topics[is_pattern], topic, next)
        {
            forget(s, topic);
        }
    }
}

/* What a node says of a topic that is heard elsewhere by now is of the past. */
static struct service_topic *find_at(struct service_node *node, struct str name,
                                     enum redis_topic kind)
{
    struct service_topic *topic = find(node->service, name, kind == REDIS_PATTERN);

    return topic != NULL && topic->at == node ? topic : NULL;
}

void topics_heard(struct service_node *node, struct str name, enum redis_topic kind)
{
    struct redis_service *s = node->service;
    struct service_topic *topic = find_at(node, name, kind);

    if (topic == NULL)
        return;
    set_heard(s, topic, true);
    if (s->events->heard != NULL)
        s->events->heard(s->context, topic->name, topic->kind);
    service_check_up(s);
}

void topics_refused(struct service_node *node, struct str name, enum redis_topic kind,
                    const char *why)
{
    struct redis_service *s = node->service;
    struct service_topic *topic = find_at(node, name, kind);

    if (topic == NULL)
        return;
    kind = topic->kind;
    forget(s, topic);
    if (s->events->refused != NULL)
        s->events->refused(s->context, name, kind, why);
    service_check_up(s);
}

/* Its slot went elsewhere; who is asked may say so only in a while. */
void topics_moved(struct service_node *node, struct str name)
{
    struct redis_service *s = node->service;
    struct service_topic *topic = find_at(node, name, REDIS_SHARD);

    if (topic == NULL)
        return;
    set_at(s, topic, NULL);
    set_heard(s, topic, false);
    scouting_ask(s, MOVED_PAUSE_MS);
}

static struct service_topic *topic_new(struct redis_service *s, struct str name,
                                       enum redis_topic kind)
{
    struct service_topic *topic = mem_zalloc(sizeof(*topic) + name.len);

    memcpy(topic + 1, name.at, name.len);
    topic->name = (struct str){ (char *)(topic + 1), name.len };
    topic->kind = kind;
    topic->slot = (uint16_t)slot_of(name);
    HASH_ADD_KEYPTR(hh, s->topics[kind == REDIS_PATTERN], topic->name.at, name.len, topic);
    s->topic_count++;
    s->unheard++;
    s->homeless++;
    return topic;
}

int redis_service_subscribe(struct redis_service *s, struct str name, enum redis_topic kind)
{
    struct service_topic *topic;
    int err = OK;

    if (s->is_over)
        return FAIL_CLOSED;
    if (name.len == 0 || name.len > REDIS_TOPIC_MAX)
        return FAIL_LIMIT;
    if (find(s, name, kind == REDIS_PATTERN) != NULL)
        return FAIL_EXISTS;
    if (s->topic_count >= s->settings.topics_max)
        return FAIL_LIMIT;
    topic = topic_new(s, name, kind);
    if (s->kind != SERVICE_UNKNOWN)
        err = settle(s, topic);
    if (err != OK)
        forget(s, topic);
    return err;
}

int redis_service_unsubscribe(struct redis_service *s, struct str name, enum redis_topic kind)
{
    struct service_topic *topic = find(s, name, kind == REDIS_PATTERN);

    if (s->is_over || topic == NULL || topic->kind != kind)
        return FAIL_MISSING;
    leave(s, topic);
    forget(s, topic);
    if (s->unheard == 0 && !s->is_up)
        service_wake(s, 0); /* it may have been what up waited for */
    return OK;
}
