/* What a node listens to: the words that go to Redis, those that come back. */
#include "port_internal.h"

#include <fnmatch.h>
#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"

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
            port_confirmed(p);
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

void port_forget_ear(struct port *p, struct ear *e)
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
            port_forget_ear(p, e);
        word_free(w);
        return;
    }
    if (e == NULL) {
        e = mem_new(struct ear);
        e->is_pattern = w->is_pattern;
        e->name = bytes_of(bytes_str(&w->name));
        DL_APPEND(p->ears, e);
    }
    node_at(p->node, port_in_order(p->world, &p->hearing.back_us), confirm, word_free, w);
}

void port_tell(struct port *p, struct str name, bool is_pattern, bool is_leaving, uint64_t asked)
{
    struct word *w = mem_new(struct word);

    w->port = p;
    w->number = p->hearing.number;
    w->is_pattern = is_pattern;
    w->is_leaving = is_leaving;
    w->asked = asked;
    w->name = bytes_of(name);
    node_at(p->node, port_in_order(p->world, &p->hearing.there_us), change_ears, word_free, w);
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
    node_at(p->node, port_in_order(p->world, &p->hearing.back_us), deliver, word_free, w);
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

int port_subscribe(struct fleet_port *fleet, struct str name, enum redis_topic kind)
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
        port_tell(p, name, is_pattern, false, t->asked);
    return OK;
}

void port_forget_topic(struct port *p, struct topic *t)
{
    HASH_DEL(p->topics[t->kind == REDIS_PATTERN], t);
    bytes_free(&t->name);
    mem_free(t);
}

int port_unsubscribe(struct fleet_port *fleet, struct str name, enum redis_topic kind)
{
    struct port *p = port_of(fleet);
    bool is_pattern = kind == REDIS_PATTERN;
    struct topic *t = find_topic(p, name, is_pattern);

    if (p->is_over || t == NULL || t->kind != kind)
        return FAIL_MISSING;
    if (p->hearing.number > 0 && !p->hearing.is_trying)
        port_tell(p, name, is_pattern, true, 0);
    port_forget_topic(p, t);
    return OK;
}
