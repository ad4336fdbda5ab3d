#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis.h"
#include "io/redis_wire.h"

enum { FRAME_MAX = 64 * 1024, BACKLOG_MAX = 256 * 1024, PUSH_WHY_MAX = 256 };

/* Where a topic stands with Redis; it is in one list at most. */
enum topic_place {
    SETTLED,
    TO_SAY, /* a command is to be sent */
    SAID,   /* and to be answered */
};

/* A channel, a pattern or a shard channel. What is wanted may change at any time; Redis is told
 * the next thing when it has answered the last, so nothing piles up. */
struct topic {
    UT_hash_handle hh;
    struct topic *prev, *next; /* in `to_say` or `said` */
    enum topic_place place;
    enum redis_topic kind;
    bool is_wanted;
    bool is_told;      /* what Redis was told last: subscribe */
    bool is_restoring; /* `up` waits for it */
    struct str name;   /* the bytes lie behind the struct */
};

struct redis_listener {
    struct wire wire; /* first */
    const struct redis_listener_events *events;
    void *context;
    struct topic *topics[REDIS_TOPICS]; /* a table of each kind */
    size_t count;                       /* also of those that are being given up */
    struct topic *to_say, *said;
    struct topic ping; /* its place among what was said */
    size_t restoring;
    bool is_up;
    uint64_t dropped;
};

static struct topic *find(struct redis_listener *l, struct str name, enum redis_topic kind)
{
    struct topic *topic = NULL;

    HASH_FIND(hh, l->topics[kind], name.at, name.len, topic);
    return topic;
}

static void move(struct redis_listener *l, struct topic *topic, enum topic_place place)
{
    if (topic->place == TO_SAY)
        DL_DELETE(l->to_say, topic);
    else if (topic->place == SAID)
        DL_DELETE(l->said, topic);
    topic->place = place;
    if (place == TO_SAY)
        DL_APPEND(l->to_say, topic);
    else if (place == SAID)
        DL_APPEND(l->said, topic);
}

/* `up` does not wait for it any more. */
static void restored(struct redis_listener *l, struct topic *topic)
{
    l->restoring -= topic->is_restoring;
    topic->is_restoring = false;
}

/* Still to be freed. */
static void take_out(struct redis_listener *l, struct topic *topic)
{
    restored(l, topic);
    move(l, topic, SETTLED);
    HASH_DEL(l->topics[topic->kind], topic);
    l->count--;
}

static void forget(struct redis_listener *l, struct topic *topic)
{
    take_out(l, topic);
    mem_free(topic);
}

static bool say(struct redis_listener *l, struct topic *topic)
{
    static const char *const verbs[2][REDIS_TOPICS] = {
        { "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE" },
        { "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE" },
    };
    const struct str args[] = { str_of(verbs[topic->is_wanted][topic->kind]), topic->name };

    if (wire_backlog(&l->wire) > BACKLOG_MAX || wire_send(&l->wire, args, 2) != OK)
        return false;
    topic->is_told = topic->is_wanted;
    move(l, topic, SAID);
    return true;
}

/* Says what is to be said, as far as Redis takes it. */
static void pump(struct redis_listener *l)
{
    while (l->to_say != NULL && l->wire.state == WIRE_READY) {
        struct topic *topic = l->to_say;
        if (!topic->is_wanted && !topic->is_told)
            forget(l, topic);
        else if (!say(l, topic))
            break;
    }
}

static void tell_up(struct redis_listener *l)
{
    if (l->restoring > 0 || l->is_up || l->wire.state != WIRE_READY)
        return;
    l->is_up = true;
    l->events->up(l->context);
}

static void on_ready(struct wire *w)
{
    struct redis_listener *l = (struct redis_listener *)w;

    for (int kind = 0; kind < REDIS_TOPICS; kind++) {
        for (struct topic *topic = l->topics[kind]; topic; topic = topic->hh.next) {
            topic->is_restoring = true;
            l->restoring++;
            move(l, topic, TO_SAY);
        }
    }
    pump(l);
    tell_up(l);
}

/* Behind this all topics are wanted and Redis knows none. */
static void on_lost(struct wire *w, const struct redis_down *down)
{
    struct redis_listener *l = (struct redis_listener *)w;
    struct redis_down told = *down;
    struct topic *topic, *next;

    for (int kind = 0; kind < REDIS_TOPICS; kind++) {
        HASH_ITER(hh, l->topics[kind], topic, next)
        {
            move(l, topic, SETTLED);
            topic->is_told = topic->is_restoring = false;
            if (!topic->is_wanted)
                forget(l, topic);
        }
    }
    move(l, &l->ping, SETTLED);
    l->restoring = 0;
    told.was_up = l->is_up;
    l->is_up = false;
    l->events->down(l->context, &told);
}

static void confirmed(struct redis_listener *l, struct topic *topic)
{
    if (topic->is_wanted != topic->is_told) {
        move(l, topic, TO_SAY);
        pump(l);
        return;
    }
    if (!topic->is_wanted) {
        forget(l, topic);
        return;
    }
    move(l, topic, SETTLED);
    restored(l, topic);
    if (l->events->subscribed != NULL)
        l->events->subscribed(l->context, topic->name, topic->kind);
}

/* It may be asked for anew when it is told, so it is out of the table. */
static void on_refused(struct redis_listener *l, struct topic *topic, const char *why)
{
    take_out(l, topic);
    if (topic->is_wanted && l->events->refused != NULL)
        l->events->refused(l->context, topic->name, topic->kind, why);
    mem_free(topic);
}

static void on_moved(struct redis_listener *l, struct topic *topic)
{
    take_out(l, topic);
    if (topic->is_wanted && l->events->moved != NULL)
        l->events->moved(l->context, topic->name);
    mem_free(topic);
}

static bool is_elsewhere(const struct redis_reply *reply)
{
    return redis_reply_is_error(reply, "MOVED") || redis_reply_is_error(reply, "ASK") ||
           redis_reply_is_error(reply, "TRYAGAIN") || redis_reply_is_error(reply, "CLUSTERDOWN");
}

static void on_error(struct redis_listener *l, const struct redis_reply *reply)
{
    struct topic *topic = l->said;
    char why[PUSH_WHY_MAX];

    if (topic == &l->ping) {
        move(l, topic, SETTLED); /* not allowed; an answer all the same */
    } else if (topic != NULL && topic->is_told && redis_reply_is_error(reply, "NOPERM")) {
        on_refused(l, topic, reply->text.at);
    } else if (topic != NULL && topic->kind == REDIS_SHARD && is_elsewhere(reply)) {
        topic->is_told ? on_moved(l, topic) : confirmed(l, topic);
    } else if (topic == NULL && is_elsewhere(reply)) {
        return; /* to a SUNSUBSCRIBE that crossed with the news that the slot has gone */
    } else {
        snprintf(why, sizeof(why), "Redis says %s", reply->text.at);
        wire_lose(&l->wire, redis_reply_err(reply), why);
    }
}

/* A node of a cluster says by itself that a slot has gone, behind which our own
 * SUNSUBSCRIBE under way is answered with MOVED. */
static bool on_slot_gone(struct redis_listener *l, struct topic *topic)
{
    if (topic != NULL && topic->place == SETTLED)
        on_moved(l, topic);
    else if (topic != NULL && topic->place == TO_SAY)
        topic->is_told = false;
    return true;
}

/* ["subscribe", name, count] and the like. */
static bool on_confirmation(struct redis_listener *l, struct str verb, struct str name)
{
    static const char *const verbs[2][REDIS_TOPICS] = {
        { "unsubscribe", "punsubscribe", "sunsubscribe" },
        { "subscribe", "psubscribe", "ssubscribe" },
    };
    struct topic *topic = l->said;

    if (topic != NULL && topic != &l->ping && str_equal(topic->name, name) &&
        str_equal(verb, str_of(verbs[topic->is_told][topic->kind]))) {
        confirmed(l, topic);
        return true;
    }
    return str_equal(verb, STR("sunsubscribe")) && on_slot_gone(l, find(l, name, REDIS_SHARD));
}

static void on_message(struct redis_listener *l, enum redis_topic kind,
                       const struct redis_push *push, bool is_cut)
{
    const struct topic *topic =
        find(l, kind == REDIS_PATTERN ? push->pattern : push->channel, kind);

    bool is_dropped = is_cut || push->message.len > l->wire.settings.message_max;

    l->dropped += is_dropped;
    if (is_dropped && l->events->dropped != NULL)
        l->events->dropped(l->context, push->channel);
    else if (is_dropped)
        return;
    else if (topic != NULL && topic->is_wanted)
        l->events->push(l->context, push);
}

static bool on_array(struct redis_listener *l, const struct redis_reply *reply, bool is_cut)
{
    const struct redis_reply *items = reply->items;
    struct str verb = reply->count > 0 ? items[0].text : STR("");
    struct redis_push push = { 0 };
    bool is_shard = str_equal(verb, STR("smessage"));

    if ((is_shard || str_equal(verb, STR("message"))) && reply->count == 3) {
        push.channel = items[1].text;
        push.message = items[2].text;
        on_message(l, is_shard ? REDIS_SHARD : REDIS_CHANNEL, &push, is_cut);
        return true;
    }
    if (str_equal(verb, STR("pmessage")) && reply->count == 4) {
        push.pattern = items[1].text;
        push.channel = items[2].text;
        push.message = items[3].text;
        on_message(l, REDIS_PATTERN, &push, is_cut);
        return true;
    }
    if (str_equal(verb, STR("pong")) && l->said == &l->ping) {
        move(l, &l->ping, SETTLED);
        return true;
    }
    return reply->count == 3 && on_confirmation(l, verb, items[1].text);
}

static void on_reply(struct wire *w, const struct redis_reply *reply, bool is_cut)
{
    struct redis_listener *l = (struct redis_listener *)w;

    if (reply->type == REDIS_ERROR)
        on_error(l, reply);
    else if (reply->type == REDIS_STATUS && l->said == &l->ping)
        move(l, &l->ping, SETTLED); /* +PONG, while nothing is subscribed to */
    else if (reply->type != REDIS_ARRAY || !on_array(l, reply, is_cut))
        wire_lose(w, FAIL_SYNTAX, "an answer to something else");
    tell_up(l);
}

static bool on_ping(struct wire *w)
{
    struct redis_listener *l = (struct redis_listener *)w;

    if (l->ping.place == SETTLED && wire_send(w, (struct str[]){ STR("PING") }, 1) == OK)
        move(l, &l->ping, SAID);
    return true; /* unsent or unanswered, it is the same silence */
}

static void on_drained(struct wire *w)
{
    struct redis_listener *l = (struct redis_listener *)w;

    pump(l);
    tell_up(l);
}

static void on_gone(struct wire *w)
{
    struct redis_listener *l = (struct redis_listener *)w;
    struct topic *topic, *next;

    for (int kind = 0; kind < REDIS_TOPICS; kind++) {
        HASH_ITER(hh, l->topics[kind], topic, next)
        {
            forget(l, topic);
        }
    }
    wire_deinit(w);
    mem_free(l);
}

struct redis_listener *redis_listener_open(uv_loop_t *loop, const struct redis_url *url,
                                           const struct redis_settings *settings,
                                           const struct redis_listener_events *events,
                                           void *context)
{
    static const struct wire_events of_wire = { on_ready, on_reply,   on_lost,
                                                on_ping,  on_drained, on_gone };
    const struct redis_settings *s = settings != NULL ? settings : &redis_settings_default;
    struct redis_listener *l = mem_new(struct redis_listener);

    l->events = events;
    l->context = context;
    wire_open(&l->wire, loop, url, s, s->message_max + FRAME_MAX, &of_wire);
    return l;
}

void redis_listener_close(struct redis_listener *l)
{
    wire_close(&l->wire);
}

bool redis_listener_is_up(const struct redis_listener *l)
{
    return l->is_up && l->wire.state == WIRE_READY;
}

static struct topic *topic_new(struct redis_listener *l, struct str name, enum redis_topic kind)
{
    struct topic *topic = mem_zalloc(sizeof(*topic) + name.len + 1);

    memcpy(topic + 1, name.at, name.len);
    topic->name = (struct str){ (char *)(topic + 1), name.len };
    topic->kind = kind;
    HASH_ADD_KEYPTR(hh, l->topics[kind], topic->name.at, name.len, topic);
    l->count++;
    return topic;
}

int redis_listener_subscribe(struct redis_listener *l, struct str name, enum redis_topic kind)
{
    struct topic *topic = find(l, name, kind);

    if (topic != NULL && topic->is_wanted)
        return FAIL_EXISTS;
    if (topic == NULL) {
        if (l->count >= l->wire.settings.topics_max || name.len > REDIS_TOPIC_MAX || name.len == 0)
            return FAIL_LIMIT;
        topic = topic_new(l, name, kind);
    }
    topic->is_wanted = true;
    if (l->wire.state == WIRE_READY && topic->place == SETTLED)
        move(l, topic, TO_SAY);
    pump(l);
    return OK;
}

int redis_listener_unsubscribe(struct redis_listener *l, struct str name, enum redis_topic kind)
{
    struct topic *topic = find(l, name, kind);

    if (topic == NULL || !topic->is_wanted)
        return FAIL_MISSING;
    topic->is_wanted = false;
    restored(l, topic);
    if (l->wire.state != WIRE_READY)
        forget(l, topic);
    else if (topic->place == SETTLED)
        move(l, topic, TO_SAY);
    pump(l);
    return OK;
}

uint64_t redis_listener_dropped(const struct redis_listener *l)
{
    return l->dropped;
}
