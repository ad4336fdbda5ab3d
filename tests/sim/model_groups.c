/* Consumer groups of streams: delivering, claiming, acknowledging. */
#include "model_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void group_clear(struct group *g)
{
    for (size_t i = 0; i < g->consumer_count; i++)
        bytes_free(&g->consumers[i].name);
    mem_free(g->consumers);
    mem_free(g->pending);
    bytes_free(&g->name);
}

static struct group *find_group(struct value *v, struct str name)
{
    for (size_t i = 0; v != NULL && i < v->stream.group_count; i++)
        if (bytes_are(&v->stream.groups[i].name, name))
            return &v->stream.groups[i];
    return NULL;
}

/* SIZE_MAX: there is none. */
static size_t find_consumer(const struct group *g, struct str name)
{
    for (size_t i = 0; i < g->consumer_count; i++)
        if (bytes_are(&g->consumers[i].name, name))
            return i;
    return SIZE_MAX;
}

static size_t add_consumer(struct group *g, struct str name)
{
    size_t i = find_consumer(g, name);

    if (i != SIZE_MAX)
        return i;
    struct consumer *c = ARRAY_GROW(g->consumers, g->consumer_count);
    *c = (struct consumer){ bytes_of(name) };
    return g->consumer_count - 1;
}

static struct pending *find_pending(const struct group *g, struct id id)
{
    for (size_t i = 0; i < g->pending_count; i++)
        if (id_compare(g->pending[i].id, id) == 0)
            return &g->pending[i];
    return NULL;
}

static void drop_pending(struct group *g, struct pending *p)
{
    ARRAY_REMOVE(g->pending, g->pending_count, (size_t)(p - g->pending));
}

static struct pending *add_pending(struct group *g, struct id id)
{
    size_t i = 0;

    while (i < g->pending_count && id_compare(g->pending[i].id, id) < 0)
        i++;
    if (i < g->pending_count && id_compare(g->pending[i].id, id) == 0)
        return &g->pending[i];
    struct pending *p = ARRAY_INSERT(g->pending, g->pending_count, i);
    *p = (struct pending){ .id = id };
    return p;
}

/* The group that args[i] of the stream args[i - 1] names, or NULL and an error. */
static struct group *open_group(struct call *c, size_t i, struct value **v)
{
    if (!value_of(c, c->args[i - 1], VALUE_STREAM, v))
        return NULL;
    struct group *g = find_group(*v, c->args[i]);
    if (g == NULL)
        reply_error(c->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'",
                    STR_ARG(c->args[i - 1]), STR_ARG(c->args[i]));
    return g;
}

static void group_create(struct call *c)
{
    struct value *v;
    struct id last = { 0 };
    bool makes = false;

    for (size_t i = 5; i < c->count; i++)
        makes = makes || arg_is(c, i, "MKSTREAM");
    if (!value_of(c, c->args[2], VALUE_STREAM, &v))
        return;
    if (v == NULL && !makes) {
        reply_error(c->reply,
                    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE "
                    "you may want to use the MKSTREAM option to create an empty stream "
                    "automatically.");
        return;
    }
    if (arg_is(c, 4, "$"))
        last = v ? v->stream.last : last;
    else if (!id_parse(c->args[4], 0, &last)) {
        reply_error(c->reply, "ERR Invalid stream ID specified as stream command argument");
        return;
    }
    if (v == NULL)
        v = value_add(c, c->args[2], VALUE_STREAM);
    if (find_group(v, c->args[3]) != NULL) {
        reply_error(c->reply, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    struct group *g = ARRAY_GROW(v->stream.groups, v->stream.group_count);
    *g = (struct group){ .name = bytes_of(c->args[3]), .last = last };
    reply_status(c->reply, "OK");
}

static void group_destroy(struct call *c, struct value *v, struct group *g)
{
    if (g != NULL) {
        group_clear(g);
        ARRAY_REMOVE(v->stream.groups, v->stream.group_count, (size_t)(g - v->stream.groups));
    }
    reply_integer(c->reply, g != NULL);
}

static void delete_consumer(struct call *c, struct group *g)
{
    size_t gone = find_consumer(g, c->args[4]);
    int64_t count = 0;

    for (size_t i = g->pending_count; gone != SIZE_MAX && i > 0; i--) {
        struct pending *p = &g->pending[i - 1];
        if (p->consumer == gone) {
            drop_pending(g, p);
            count++;
        } else if (p->consumer > gone) {
            p->consumer--;
        }
    }
    if (gone != SIZE_MAX) {
        bytes_free(&g->consumers[gone].name);
        ARRAY_REMOVE(g->consumers, g->consumer_count, gone);
    }
    reply_integer(c->reply, count);
}

static void run_xgroup(struct call *c)
{
    struct value *v;

    if (arg_is(c, 1, "CREATE") && c->count >= 5) {
        group_create(c);
        return;
    }
    if (c->count < 4 || !value_of(c, c->args[2], VALUE_STREAM, &v))
        return;
    if (v == NULL) {
        reply_error(c->reply,
                    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE "
                    "you may want to use the MKSTREAM option to create an empty stream "
                    "automatically.");
        return;
    }
    struct group *g = find_group(v, c->args[3]);
    if (arg_is(c, 1, "DESTROY")) {
        group_destroy(c, v, g);
        return;
    }
    if (g == NULL) {
        reply_error(c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                    STR_ARG(c->args[3]), STR_ARG(c->args[2]));
        return;
    }
    if (arg_is(c, 1, "CREATECONSUMER") && c->count == 5) {
        size_t before = g->consumer_count;
        add_consumer(g, c->args[4]);
        reply_integer(c->reply, g->consumer_count != before);
    } else if (arg_is(c, 1, "DELCONSUMER") && c->count == 5) {
        delete_consumer(c, g);
    } else {
        reply_error(c->reply, "ERR unknown subcommand");
    }
}

struct reading {
    int64_t max;
    bool is_noack;
    size_t first, streams;
};

static bool reading_read(struct call *c, struct reading *r)
{
    size_t i = 4;

    r->max = INT64_MAX;
    for (; i < c->count && !arg_is(c, i, "STREAMS"); i++) {
        if (arg_is(c, i, "NOACK"))
            r->is_noack = true;
        else if ((arg_is(c, i, "COUNT") || arg_is(c, i, "BLOCK")) && i + 1 < c->count) {
            int64_t n;
            if (!arg_integer(c, i + 1, &n))
                return false;
            if (arg_is(c, i, "COUNT") && n > 0)
                r->max = n;
            i++;
        } else {
            break;
        }
    }
    r->first = i + 1;
    r->streams = c->count > r->first ? (c->count - r->first) / 2 : 0;
    if (!arg_is(c, 1, "GROUP") || !arg_is(c, i, "STREAMS") || r->streams == 0) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    if ((c->count - r->first) % 2 == 0)
        return true;
    reply_error(c->reply, "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID "
                          "or '>' must be specified.");
    return false;
}

static void deliver_new(struct call *c, const struct reading *r, struct stream *s, struct group *g,
                        struct redis_reply *out)
{
    for (size_t i = 0; i < s->count && (int64_t)out->count < r->max; i++) {
        const struct entry *e = &s->entries[i];
        if (id_compare(e->id, g->last) <= 0)
            continue;
        g->last = e->id;
        reply_entry(reply_push(out), e);
        size_t consumer = add_consumer(g, c->args[3]);
        if (r->is_noack)
            continue;
        struct pending *p = add_pending(g, e->id);
        p->consumer = consumer;
        p->delivered_ms = model_now_ms(c->m);
        p->deliveries = 1;
    }
}

static void deliver_again(struct call *c, const struct reading *r, struct stream *s,
                          struct group *g, struct id after, struct redis_reply *out)
{
    size_t consumer = add_consumer(g, c->args[3]);

    for (size_t i = 0; i < g->pending_count && (int64_t)out->count < r->max; i++) {
        struct pending *p = &g->pending[i];
        if (p->consumer != consumer || id_compare(p->id, after) <= 0)
            continue;
        const struct entry *e = stream_find(s, p->id);
        struct redis_reply *item = reply_push(out);
        if (e == NULL) {
            reply_id(&reply_array(item, 2)[0], p->id);
            continue;
        }
        reply_entry(item, e);
        p->delivered_ms = model_now_ms(c->m);
        p->deliveries++;
    }
}

static bool read_stream(struct call *c, const struct reading *r, size_t i)
{
    struct str from = c->args[r->first + r->streams + i];
    struct redis_reply entries = { 0 };
    struct id after;
    struct value *v;

    value_of(c, c->args[r->first + i], VALUE_STREAM, &v);
    struct group *g = find_group(v, c->args[2]);
    bool is_new = str_equal(from, STR(">"));
    reply_array(&entries, 0);
    if (is_new)
        deliver_new(c, r, &v->stream, g, &entries);
    else if (id_parse(from, 0, &after))
        deliver_again(c, r, &v->stream, g, after, &entries);
    if (is_new && entries.count == 0) {
        reply_reset(&entries);
        return false;
    }
    if (c->reply->type != REDIS_ARRAY)
        reply_array(c->reply, 0);
    struct redis_reply *pair = reply_array(reply_push(c->reply), 2);
    reply_text(&pair[0], c->args[r->first + i]);
    pair[1] = entries;
    return true;
}

static void run_xreadgroup(struct call *c)
{
    struct reading r = { 0 };
    struct value *v;

    if (!reading_read(c, &r))
        return;
    for (size_t i = 0; i < r.streams; i++) {
        struct str key = c->args[r.first + i], from = c->args[r.first + r.streams + i];
        struct id id;
        if (!value_of(c, key, VALUE_STREAM, &v))
            return;
        if (find_group(v, c->args[2]) == NULL) {
            reply_error(c->reply,
                        "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with "
                        "GROUP option",
                        STR_ARG(key), STR_ARG(c->args[2]));
            return;
        }
        if (!str_equal(from, STR(">")) && !id_parse(from, 0, &id)) {
            reply_error(c->reply, "ERR Invalid stream ID specified as stream command argument");
            return;
        }
    }
    for (size_t i = 0; i < r.streams; i++)
        read_stream(c, &r, i);
}

static bool check_ids(struct call *c, size_t first, size_t end)
{
    struct id id;

    for (size_t i = first; i < end; i++)
        if (!id_parse(c->args[i], 0, &id)) {
            reply_error(c->reply, "ERR Invalid stream ID specified as stream command argument");
            return false;
        }
    return true;
}

static void run_xack(struct call *c)
{
    struct value *v;
    int64_t gone = 0;
    struct id id;

    if (!value_of(c, c->args[1], VALUE_STREAM, &v))
        return;
    struct group *g = find_group(v, c->args[2]);
    if (g != NULL && !check_ids(c, 3, c->count))
        return;
    for (size_t i = 3; g != NULL && i < c->count; i++) {
        id_parse(c->args[i], 0, &id);
        struct pending *p = find_pending(g, id);
        if (p == NULL)
            continue;
        drop_pending(g, p);
        gone++;
    }
    reply_integer(c->reply, gone);
}

/* What a claim does to those it gets. */
struct claim {
    int64_t min_idle_ms, delivered_ms, deliveries; /* deliveries -1: as it was, and one more */
    bool is_forced, is_justid;
    size_t end; /* of the ids */
};

static void claim_pending(struct call *c, struct group *g, struct pending *p, const struct claim *k,
                          const struct entry *e)
{
    p->consumer = add_consumer(g, c->args[3]);
    p->delivered_ms = k->delivered_ms;
    if (k->deliveries >= 0)
        p->deliveries = k->deliveries;
    else if (!k->is_justid)
        p->deliveries++;
    struct redis_reply *item = reply_push(c->reply);
    if (k->is_justid)
        reply_id(item, e->id);
    else
        reply_entry(item, e);
}

static bool claim_read(struct call *c, struct claim *k)
{
    struct id id;
    size_t i = 5;
    int64_t n;

    if (!arg_integer(c, 4, &k->min_idle_ms))
        return false;
    while (i < c->count && id_parse(c->args[i], 0, &id))
        i++;
    k->end = i;
    k->deliveries = -1;
    k->delivered_ms = model_now_ms(c->m);
    for (; i < c->count; i++) {
        if (arg_is(c, i, "FORCE")) {
            k->is_forced = true;
        } else if (arg_is(c, i, "JUSTID")) {
            k->is_justid = true;
        } else if (i + 1 < c->count) {
            if (!arg_integer(c, i + 1, &n))
                return false;
            if (arg_is(c, i, "IDLE"))
                k->delivered_ms = model_now_ms(c->m) - n;
            else if (arg_is(c, i, "TIME"))
                k->delivered_ms = n;
            else if (arg_is(c, i, "RETRYCOUNT"))
                k->deliveries = n;
            i++;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    if (k->delivered_ms > model_now_ms(c->m) || k->delivered_ms < 0)
        k->delivered_ms = model_now_ms(c->m);
    return true;
}

static void claim_one(struct call *c, struct value *v, struct group *g, const struct claim *k,
                      struct id id)
{
    const struct entry *e = stream_find(&v->stream, id);
    struct pending *p = find_pending(g, id);

    if (e == NULL) {
        if (p != NULL)
            drop_pending(g, p);
        return;
    }
    if (p == NULL && !k->is_forced)
        return;
    if (p != NULL && model_now_ms(c->m) - p->delivered_ms < k->min_idle_ms)
        return;
    claim_pending(c, g, p ? p : add_pending(g, id), k, e);
}

static void run_xclaim(struct call *c)
{
    struct claim k = { 0 };
    struct value *v;
    struct id id;

    struct group *g = open_group(c, 2, &v);
    if (g == NULL || !claim_read(c, &k))
        return;
    reply_array(c->reply, 0);
    for (size_t i = 5; i < k.end; i++) {
        id_parse(c->args[i], 0, &id);
        claim_one(c, v, g, &k, id);
    }
}

static bool autoclaim_read(struct call *c, struct claim *k, struct id *start, int64_t *max)
{
    *max = 100;
    k->deliveries = -1;
    k->delivered_ms = model_now_ms(c->m);
    if (!arg_integer(c, 4, &k->min_idle_ms) || !arg_range(c, 5, false, start))
        return false;
    for (size_t i = 6; i < c->count; i++) {
        if (arg_is(c, i, "JUSTID")) {
            k->is_justid = true;
        } else if (arg_is(c, i, "COUNT") && i + 1 < c->count) {
            if (!arg_integer(c, ++i, max))
                return false;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void run_xautoclaim(struct call *c)
{
    struct claim k = { 0 };
    struct redis_reply claimed = { 0 }, deleted = { 0 };
    struct id start, next = { 0 };
    int64_t max;
    struct value *v;

    if (!autoclaim_read(c, &k, &start, &max))
        return;
    struct group *g = open_group(c, 2, &v);
    if (g == NULL)
        return;
    struct call part = { c->m, c->args, c->count, &claimed };
    reply_array(&claimed, 0);
    reply_array(&deleted, 0);
    size_t i = 0;
    while (i < g->pending_count && id_compare(g->pending[i].id, start) < 0)
        i++;
    for (int64_t attempts = max * 10; attempts > 0 && max > 0 && i < g->pending_count; attempts--) {
        struct pending *p = &g->pending[i];
        const struct entry *e = stream_find(&v->stream, p->id);
        if (e == NULL) {
            reply_id(reply_push(&deleted), p->id);
            drop_pending(g, p);
            max--;
            continue;
        }
        i++;
        if (model_now_ms(c->m) - p->delivered_ms < k.min_idle_ms)
            continue;
        claim_pending(&part, g, p, &k, e);
        max--;
    }
    if (i < g->pending_count)
        next = g->pending[i].id;
    struct redis_reply *items = reply_array(c->reply, 3);
    reply_id(&items[0], next);
    items[1] = claimed;
    items[2] = deleted;
}

static void pending_summary(struct call *c, const struct group *g)
{
    struct redis_reply *items = reply_array(c->reply, 4);
    size_t *order = mem_zalloc((g->consumer_count + 1) * sizeof(*order));
    char text[32];

    reply_integer(&items[0], (int64_t)g->pending_count);
    if (g->pending_count > 0) {
        reply_id(&items[1], g->pending[0].id);
        reply_id(&items[2], g->pending[g->pending_count - 1].id);
        reply_array(&items[3], 0);
    }
    for (size_t i = 0; i < g->consumer_count; i++) {
        size_t k = i; /* by name, as Redis keeps them */
        for (; k > 0 && bytes_compare(bytes_str(&g->consumers[order[k - 1]].name),
                                      bytes_str(&g->consumers[i].name)) > 0;
             k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    for (size_t i = 0; i < g->consumer_count; i++) {
        int64_t count = 0;
        for (size_t k = 0; k < g->pending_count; k++)
            count += g->pending[k].consumer == order[i];
        if (count == 0)
            continue;
        struct redis_reply *pair = reply_array(reply_push(&items[3]), 2);
        reply_text(&pair[0], bytes_str(&g->consumers[order[i]].name));
        snprintf(text, sizeof(text), "%" PRId64, count);
        reply_text(&pair[1], str_of(text));
    }
    mem_free(order);
}

static void run_xpending(struct call *c)
{
    struct value *v;
    struct id low, high;
    int64_t min_idle = 0, max;
    size_t i = 3;

    struct group *g = c->count == 3 ? open_group(c, 2, &v) : NULL;
    if (c->count == 3) {
        if (g != NULL)
            pending_summary(c, g);
        return;
    }
    if (arg_is(c, 3, "IDLE")) {
        if (c->count < 8 || !arg_integer(c, 4, &min_idle))
            return;
        i = 5;
    }
    if (c->count < i + 3 || c->count > i + 4) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if (!arg_integer(c, i + 2, &max) || !arg_range(c, i, false, &low) ||
        !arg_range(c, i + 1, true, &high))
        return;
    g = open_group(c, 2, &v);
    if (g == NULL)
        return;
    size_t only = c->count > i + 3 ? find_consumer(g, c->args[i + 3]) : SIZE_MAX;
    reply_array(c->reply, 0);
    for (size_t k = 0; k < g->pending_count && (int64_t)c->reply->count < max; k++) {
        const struct pending *p = &g->pending[k];
        int64_t idle = model_now_ms(c->m) - p->delivered_ms;
        if (id_compare(p->id, low) < 0 || id_compare(p->id, high) > 0 || idle < min_idle ||
            (c->count > i + 3 && p->consumer != only))
            continue;
        struct redis_reply *items = reply_array(reply_push(c->reply), 4);
        reply_id(&items[0], p->id);
        reply_text(&items[1], bytes_str(&g->consumers[p->consumer].name));
        reply_integer(&items[2], idle < 0 ? 0 : idle);
        reply_integer(&items[3], p->deliveries);
    }
}

const struct command commands_groups[] = {
    { "xgroup", -2, run_xgroup },
    { "xreadgroup", -7, run_xreadgroup },
    { "xack", -4, run_xack },
    { "xclaim", -6, run_xclaim },
    { "xautoclaim", -6, run_xautoclaim },
    { "xpending", -3, run_xpending },
    { 0 },
};
