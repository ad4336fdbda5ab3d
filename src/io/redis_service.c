#include "io/redis_service.h"

#include <string.h>
#include <uthash.h>

#include "base/err.h"
#include "base/mem.h"

/* What is wanted; a channel and a shard channel of one name exclude each other,
 * for on a single server they are one. */
struct topic {
    UT_hash_handle hh;
    enum redis_topic kind;
    struct str name; /* the bytes lie behind the struct */
};

struct redis_service {
    uv_loop_t *loop;
    const struct redis_service_events *events;
    void *context;
    struct redis *link;
    struct redis_listener *listener;
    struct topic *topics[2]; /* tables: of channels, of patterns */
    bool is_up;
    bool is_told_down; /* since it was up, or ever */
    bool is_over;
    uv_timer_t timer; /* its close callback frees */
};

static struct topic *find(struct redis_service *s, struct str name, bool is_pattern)
{
    struct topic *topic = NULL;

    HASH_FIND(hh, s->topics[is_pattern], name.at, name.len, topic);
    return topic;
}

static void forget(struct redis_service *s, struct topic *topic)
{
    HASH_DEL(s->topics[topic->kind == REDIS_PATTERN], topic);
    mem_free(topic);
}

static void on_up(void *context)
{
    struct redis_service *s = context;

    if (s->is_up || !redis_is_up(s->link) || !redis_listener_is_up(s->listener))
        return;
    s->is_up = true;
    s->is_told_down = false;
    s->events->up(s->context);
}

static void on_down(void *context, const struct redis_down *down)
{
    struct redis_service *s = context;
    struct redis_down told = *down;

    told.was_up = s->is_up;
    s->is_up = false;
    if (s->is_told_down)
        return;
    s->is_told_down = true;
    s->events->down(s->context, &told);
}

static void on_push(void *context, const struct redis_push *push)
{
    struct redis_service *s = context;

    s->events->push(s->context, push);
}

static void on_subscribed(void *context, struct str name, bool is_pattern)
{
    struct redis_service *s = context;
    const struct topic *topic = find(s, name, is_pattern);

    if (topic != NULL)
        s->events->heard(s->context, topic->name, topic->kind);
}

static void on_refused(void *context, struct str name, bool is_pattern, const char *why)
{
    struct redis_service *s = context;
    struct topic *topic = find(s, name, is_pattern);
    enum redis_topic kind = topic != NULL ? topic->kind : REDIS_CHANNEL;

    if (topic == NULL)
        return;
    forget(s, topic);
    s->events->refused(s->context, name, kind, why);
}

static const struct redis_events link_events = { on_up, on_down };
static const struct redis_listener_events listener_events = { on_up, on_down, on_push,
                                                              on_subscribed, on_refused };

struct redis_service *redis_service_open(uv_loop_t *loop, const struct redis_url *url,
                                         const struct redis_settings *settings,
                                         const struct redis_service_events *events, void *context)
{
    struct redis_service *s = mem_new(struct redis_service);

    s->loop = loop;
    s->events = events;
    s->context = context;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    s->link = redis_open(loop, url, settings, &link_events, s);
    s->listener = redis_listener_open(loop, url, settings, &listener_events, s);
    return s;
}

static void on_closed(uv_handle_t *handle)
{
    struct redis_service *s = handle->data;
    struct topic *topic, *next;

    for (int is_pattern = 0; is_pattern < 2; is_pattern++) {
        HASH_ITER(hh, s->topics[is_pattern], topic, next)
        {
            forget(s, topic);
        }
    }
    mem_free(s);
}

void redis_service_close(struct redis_service *s)
{
    if (s->is_over)
        return;
    s->is_over = true;
    s->is_up = false;
    uv_close((uv_handle_t *)&s->timer, on_closed);
    redis_listener_close(s->listener);
    redis_close(s->link);
}

bool redis_service_is_up(const struct redis_service *s)
{
    return s->is_up;
}

bool redis_service_is_cluster(const struct redis_service *s)
{
    (void)s;
    return false;
}

int redis_service_command(struct redis_service *s, struct str key, const struct str *args,
                          size_t count, uint32_t timeout_ms, redis_done *done, void *context)
{
    (void)key;
    return redis_command(s->link, args, count, timeout_ms, done, context);
}

int redis_service_run(struct redis_service *s, const struct redis_script *script, size_t keys,
                      const struct str *args, size_t count, redis_done *done, void *context)
{
    return redis_script_run(s->link, script, keys, args, count, done, context);
}

static void remember(struct redis_service *s, struct str name, enum redis_topic kind)
{
    struct topic *topic = mem_zalloc(sizeof(*topic) + name.len);

    memcpy(topic + 1, name.at, name.len);
    topic->name = (struct str){ (char *)(topic + 1), name.len };
    topic->kind = kind;
    HASH_ADD_KEYPTR(hh, s->topics[kind == REDIS_PATTERN], topic->name.at, name.len, topic);
}

int redis_service_subscribe(struct redis_service *s, struct str name, enum redis_topic kind)
{
    int err = FAIL_CLOSED;

    if (!s->is_over)
        err = redis_listener_subscribe(s->listener, name, kind == REDIS_PATTERN);
    if (err == OK)
        remember(s, name, kind);
    return err;
}

int redis_service_unsubscribe(struct redis_service *s, struct str name, enum redis_topic kind)
{
    struct topic *topic = find(s, name, kind == REDIS_PATTERN);

    if (s->is_over || topic == NULL || topic->kind != kind)
        return FAIL_MISSING;
    redis_listener_unsubscribe(s->listener, name, kind == REDIS_PATTERN);
    forget(s, topic);
    return OK;
}

uint64_t redis_service_dropped(const struct redis_service *s)
{
    return redis_listener_dropped(s->listener);
}
