/* Streams: what is in them. Their groups are model_groups.c. */
#include "model_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int id_compare(struct id a, struct id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return (a.seq > b.seq) - (a.seq < b.seq);
}

bool id_parse(struct str s, uint64_t missing_seq, struct id *out)
{
    struct str rest = s, ms = str_cut(&rest, '-');

    if (str_parse_u64(ms, UINT64_MAX, &out->ms) != OK)
        return false;
    out->seq = missing_seq;
    return rest.at == NULL || str_parse_u64(rest, UINT64_MAX, &out->seq) == OK;
}

void reply_id(struct redis_reply *r, struct id id)
{
    char text[48];

    snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64, id.ms, id.seq);
    reply_text(r, str_of(text));
}

void reply_entry(struct redis_reply *r, const struct entry *e)
{
    struct redis_reply *pair = reply_array(r, 2);

    reply_id(&pair[0], e->id);
    struct redis_reply *parts = reply_array(&pair[1], e->count);
    for (size_t i = 0; i < e->count; i++)
        reply_text(&parts[i], bytes_str(&e->parts[i]));
}

static void entry_clear(struct entry *e)
{
    for (size_t i = 0; i < e->count; i++)
        bytes_free(&e->parts[i]);
    mem_free(e->parts);
}

void stream_clear(struct stream *s)
{
    for (size_t i = 0; i < s->count; i++)
        entry_clear(&s->entries[i]);
    for (size_t i = 0; i < s->group_count; i++)
        group_clear(&s->groups[i]);
    mem_free(s->entries);
    mem_free(s->groups);
    *s = (struct stream){ 0 };
}

static struct bytes *copy_parts(const struct bytes *parts, size_t count)
{
    struct bytes *copy = mem_zalloc((count + 1) * sizeof(*copy));

    for (size_t i = 0; i < count; i++)
        copy[i] = bytes_of(bytes_str(&parts[i]));
    return copy;
}

static void *copy_array(const void *array, size_t count, size_t size)
{
    void *copy = mem_zalloc((count + 1) * size);

    if (count > 0)
        memcpy(copy, array, count * size);
    return copy;
}

static void group_copy(struct group *to, const struct group *from)
{
    *to = *from;
    to->name = bytes_of(bytes_str(&from->name));
    to->pending = copy_array(from->pending, from->pending_count, sizeof(*from->pending));
    to->consumers = copy_array(from->consumers, from->consumer_count, sizeof(*from->consumers));
    for (size_t i = 0; i < from->consumer_count; i++)
        to->consumers[i].name = bytes_of(bytes_str(&from->consumers[i].name));
}

void stream_copy(struct stream *to, const struct stream *from)
{
    *to = *from;
    to->entries = copy_array(from->entries, from->count, sizeof(*from->entries));
    for (size_t i = 0; i < from->count; i++)
        to->entries[i].parts = copy_parts(from->entries[i].parts, from->entries[i].count);
    to->groups = copy_array(from->groups, from->group_count, sizeof(*from->groups));
    for (size_t i = 0; i < from->group_count; i++)
        group_copy(&to->groups[i], &from->groups[i]);
}

struct entry *stream_find(struct stream *s, struct id id)
{
    for (size_t i = 0; i < s->count; i++)
        if (id_compare(s->entries[i].id, id) == 0)
            return &s->entries[i];
    return NULL;
}

static void take_out(struct stream *s, size_t i)
{
    entry_clear(&s->entries[i]);
    ARRAY_REMOVE(s->entries, s->count, i);
}

/* MAXLEN [=|~] n at `*i`, which moves behind it. "~" trims exactly here. */
static bool read_maxlen(struct call *c, size_t *i, int64_t *maxlen)
{
    *i += 1;
    if (arg_is(c, *i, "=") || arg_is(c, *i, "~"))
        *i += 1;
    if (*i >= c->count) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (!arg_integer(c, *i, maxlen))
        return false;
    *i += 1;
    return true;
}

static int64_t trim(struct stream *s, int64_t maxlen)
{
    int64_t gone = 0;

    for (; maxlen >= 0 && (int64_t)s->count > maxlen; gone++)
        take_out(s, 0);
    return gone;
}

static struct id next_id(const struct model *m, const struct stream *s)
{
    uint64_t now = (uint64_t)model_now_ms(m);

    if (s != NULL && s->last.ms >= now)
        return (struct id){ s->last.ms, s->last.seq + 1 };
    return (struct id){ now, 0 };
}

/* A number of one's own is looked at before the stream is. */
static bool check_new_id(struct call *c, size_t i)
{
    struct id id;

    if (arg_is(c, i, "*"))
        return true;
    if (!id_parse(c->args[i], 0, &id))
        reply_error(c->reply, "ERR Invalid stream ID specified as stream command argument");
    else if (id.ms == 0 && id.seq == 0)
        reply_error(c->reply, "ERR The ID specified in XADD must be greater than 0-0");
    else
        return true;
    return false;
}

static bool choose_id(struct call *c, size_t i, const struct stream *s, struct id *out)
{
    if (arg_is(c, i, "*")) {
        *out = next_id(c->m, s);
        return true;
    }
    id_parse(c->args[i], 0, out);
    if (s == NULL || id_compare(*out, s->last) > 0)
        return true;
    reply_error(c->reply, "ERR The ID specified in XADD is equal or smaller than the target "
                          "stream top item");
    return false;
}

static void run_xadd(struct call *c)
{
    bool if_there = false;
    int64_t maxlen = -1;
    size_t i = 2;
    struct value *v;
    struct id id;

    for (;;) {
        if (arg_is(c, i, "NOMKSTREAM")) {
            if_there = true;
            i++;
        } else if (!arg_is(c, i, "MAXLEN")) {
            break;
        } else if (!read_maxlen(c, &i, &maxlen)) {
            return;
        }
    }
    if (c->count < i + 3 || (c->count - i - 1) % 2 != 0) {
        reply_error(c->reply, "ERR wrong number of arguments for 'xadd' command");
        return;
    }
    if (!check_new_id(c, i) || !value_of(c, c->args[1], VALUE_STREAM, &v) ||
        (v == NULL && if_there) || !choose_id(c, i, v ? &v->stream : NULL, &id))
        return;
    if (v == NULL)
        v = value_add(c, c->args[1], VALUE_STREAM);
    struct entry *e = ARRAY_GROW(v->stream.entries, v->stream.count);
    *e = (struct entry){ .id = id, .count = c->count - i - 1 };
    e->parts = mem_zalloc(e->count * sizeof(*e->parts));
    for (size_t k = 0; k < e->count; k++)
        e->parts[k] = bytes_of(c->args[i + 1 + k]);
    v->stream.last = id;
    trim(&v->stream, maxlen);
    reply_id(c->reply, id);
}

static void run_xlen(struct call *c)
{
    struct value *v;

    if (value_of(c, c->args[1], VALUE_STREAM, &v))
        reply_integer(c->reply, v ? (int64_t)v->stream.count : 0);
}

static void run_xdel(struct call *c)
{
    struct value *v;
    int64_t gone = 0;
    struct id id;

    if (!value_of(c, c->args[1], VALUE_STREAM, &v))
        return;
    for (size_t i = 2; i < c->count; i++)
        if (!id_parse(c->args[i], 0, &id)) {
            reply_error(c->reply, "ERR Invalid stream ID specified as stream command argument");
            return;
        }
    for (size_t i = 2; v != NULL && i < c->count; i++) {
        id_parse(c->args[i], 0, &id);
        struct entry *e = stream_find(&v->stream, id);
        if (e == NULL)
            continue;
        take_out(&v->stream, (size_t)(e - v->stream.entries));
        gone++;
    }
    reply_integer(c->reply, gone);
}

static void run_xtrim(struct call *c)
{
    struct value *v;
    int64_t maxlen = -1;
    size_t i = 2;

    if (!arg_is(c, 2, "MAXLEN")) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if (read_maxlen(c, &i, &maxlen) && value_of(c, c->args[1], VALUE_STREAM, &v))
        reply_integer(c->reply, v ? trim(&v->stream, maxlen) : 0);
}

bool arg_range(struct call *c, size_t i, bool is_end, struct id *out)
{
    struct str s = c->args[i];
    bool is_open = s.len > 1 && s.at[0] == '(';

    if (str_equal(s, STR("-")) || str_equal(s, STR("+"))) {
        *out = s.at[0] == '-' ? (struct id){ 0 } : (struct id){ UINT64_MAX, UINT64_MAX };
        return true;
    }
    if (is_open)
        s = (struct str){ s.at + 1, s.len - 1 };
    if (!id_parse(s, is_end ? UINT64_MAX : 0, out)) {
        reply_error(c->reply, "ERR Invalid stream ID specified as stream command argument");
        return false;
    }
    if (is_open && !is_end && ++out->seq == 0)
        out->ms++;
    if (is_open && is_end && out->seq-- == 0)
        out->ms--;
    return true;
}

static void list(struct call *c, bool is_reversed)
{
    struct value *v;
    struct id low, high;
    int64_t max = INT64_MAX;

    if (!arg_range(c, is_reversed ? 3 : 2, false, &low) ||
        !arg_range(c, is_reversed ? 2 : 3, true, &high))
        return;
    if (c->count > 4 && (!arg_is(c, 4, "COUNT") || c->count != 6)) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if ((c->count > 4 && !arg_integer(c, 5, &max)) || !value_of(c, c->args[1], VALUE_STREAM, &v))
        return;
    reply_array(c->reply, 0);
    for (size_t i = 0; v != NULL && i < v->stream.count; i++) {
        const struct entry *e = &v->stream.entries[is_reversed ? v->stream.count - 1 - i : i];
        if (id_compare(e->id, low) >= 0 && id_compare(e->id, high) <= 0 &&
            (int64_t)c->reply->count < max)
            reply_entry(reply_push(c->reply), e);
    }
}

static void run_xrange(struct call *c)
{
    list(c, false);
}

static void run_xrevrange(struct call *c)
{
    list(c, true);
}

const struct command commands_streams[] = {
    { "xadd", -5, run_xadd },
    { "xlen", 2, run_xlen },
    { "xdel", -3, run_xdel },
    { "xtrim", -4, run_xtrim },
    { "xrange", -4, run_xrange },
    { "xrevrange", -4, run_xrevrange },
    { 0 },
};
