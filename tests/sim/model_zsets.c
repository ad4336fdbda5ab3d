/* Sorted sets. */
#include "model_internal.h"

#include <math.h>
#include <string.h>

static struct member *find(const struct zset *z, struct str name)
{
    for (size_t i = 0; i < z->count; i++)
        if (bytes_are(&z->members[i].name, name))
            return &z->members[i];
    return NULL;
}

static void take_out(struct zset *z, size_t i)
{
    bytes_free(&z->members[i].name);
    ARRAY_REMOVE(z->members, z->count, i);
}

static void insert(struct zset *z, struct str name, double score)
{
    struct bytes copy = bytes_of(name);
    size_t i = 0;

    while (i < z->count && (z->members[i].score < score ||
                            (z->members[i].score == score &&
                             bytes_compare(bytes_str(&z->members[i].name), name) < 0)))
        i++;
    struct member *m = ARRAY_INSERT(z->members, z->count, i);
    *m = (struct member){ copy, score };
}

void zset_clear(struct zset *z)
{
    while (z->count > 0)
        take_out(z, z->count - 1);
    mem_free(z->members);
    *z = (struct zset){ 0 };
}

void zset_copy(struct zset *to, const struct zset *from)
{
    for (size_t i = 0; i < from->count; i++)
        insert(to, bytes_str(&from->members[i].name), from->members[i].score);
}

struct zadd {
    bool if_new, if_there, if_greater, if_less, counts_changes, adds;
    size_t first; /* score */
};

static bool zadd_read(struct call *c, struct zadd *a)
{
    size_t i = 2;

    for (;; i++) {
        if (arg_is(c, i, "NX"))
            a->if_new = true;
        else if (arg_is(c, i, "XX"))
            a->if_there = true;
        else if (arg_is(c, i, "GT"))
            a->if_greater = true;
        else if (arg_is(c, i, "LT"))
            a->if_less = true;
        else if (arg_is(c, i, "CH"))
            a->counts_changes = true;
        else if (arg_is(c, i, "INCR"))
            a->adds = true;
        else
            break;
    }
    a->first = i;
    if (i >= c->count || (c->count - i) % 2 != 0) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    for (; i < c->count; i += 2) {
        double score;
        if (!text_score(c->args[i], &score)) {
            reply_error(c->reply, ERROR_FLOAT);
            return false;
        }
    }
    return true;
}

/* Whether it was new, or changed; the score it has now. */
static bool zadd_one(struct zset *z, const struct zadd *a, struct str name, double *score,
                     bool *is_new, bool *is_done)
{
    struct member *m = find(z, name);

    *is_new = m == NULL;
    *is_done = false;
    if (m == NULL ? a->if_there : a->if_new)
        return false;
    if (m != NULL && a->adds)
        *score += m->score;
    if (m != NULL && ((a->if_greater && *score <= m->score) || (a->if_less && *score >= m->score)))
        return false;
    *is_done = true;
    if (m != NULL && m->score == *score)
        return false;
    if (m != NULL)
        take_out(z, (size_t)(m - z->members));
    insert(z, name, *score);
    return true;
}

static void run_zadd(struct call *c)
{
    struct zadd a = { 0 };
    struct value *v;
    int64_t added = 0, changed = 0;
    double score = 0;
    bool is_new, is_done = false;

    if (!zadd_read(c, &a) || !value_of(c, c->args[1], VALUE_ZSET, &v))
        return;
    if (v == NULL && a.if_there) {
        if (!a.adds)
            reply_integer(c->reply, 0);
        return;
    }
    if (v == NULL)
        v = value_add(c, c->args[1], VALUE_ZSET);
    for (size_t i = a.first; i < c->count; i += 2) {
        text_score(c->args[i], &score);
        bool is_changed = zadd_one(&v->zset, &a, c->args[i + 1], &score, &is_new, &is_done);
        added += is_changed && is_new;
        changed += is_changed;
    }
    if (a.adds) {
        if (is_done)
            reply_score(c->reply, score);
    } else {
        reply_integer(c->reply, a.counts_changes ? changed : added);
    }
}

static void run_zscore(struct call *c)
{
    struct value *v;

    if (!value_of(c, c->args[1], VALUE_ZSET, &v))
        return;
    struct member *m = v ? find(&v->zset, c->args[2]) : NULL;
    if (m != NULL)
        reply_score(c->reply, m->score);
}

static void run_zrank(struct call *c)
{
    struct value *v;

    if (!value_of(c, c->args[1], VALUE_ZSET, &v))
        return;
    struct member *m = v ? find(&v->zset, c->args[2]) : NULL;
    if (m != NULL)
        reply_integer(c->reply, m - v->zset.members);
}

static void run_zcard(struct call *c)
{
    struct value *v;

    if (value_of(c, c->args[1], VALUE_ZSET, &v))
        reply_integer(c->reply, v ? (int64_t)v->zset.count : 0);
}

static void drop_if_empty(struct call *c, struct value *v)
{
    if (v != NULL && v->zset.count == 0)
        value_remove(c->m, v);
}

static void run_zrem(struct call *c)
{
    struct value *v;
    int64_t gone = 0;

    if (!value_of(c, c->args[1], VALUE_ZSET, &v))
        return;
    for (size_t i = 2; v != NULL && i < c->count; i++) {
        struct member *m = find(&v->zset, c->args[i]);
        if (m == NULL)
            continue;
        take_out(&v->zset, (size_t)(m - v->zset.members));
        gone++;
    }
    drop_if_empty(c, v);
    reply_integer(c->reply, gone);
}

/* A part of a set: by rank or by score. */
struct range {
    bool by_score, is_reversed, with_scores, is_low_open, is_high_open;
    int64_t from, to;
    double low, high;
    int64_t offset, limit; /* limit -1: all */
};

static bool read_bound(struct call *c, size_t i, double *score, bool *is_open)
{
    struct str s = c->args[i];

    *is_open = s.len > 0 && s.at[0] == '(';
    if (*is_open)
        s = (struct str){ s.at + 1, s.len - 1 };
    if (text_score(s, score))
        return true;
    reply_error(c->reply, "ERR min or max is not a float");
    return false;
}

static bool read_bounds(struct call *c, struct range *r)
{
    size_t low = r->is_reversed ? 3 : 2, high = 5 - low;

    if (r->by_score)
        return read_bound(c, low, &r->low, &r->is_low_open) &&
               read_bound(c, high, &r->high, &r->is_high_open);
    return arg_integer(c, 2, &r->from) && arg_integer(c, 3, &r->to);
}

static bool read_options(struct call *c, struct range *r, bool is_zrange)
{
    r->limit = -1;
    for (size_t i = 4; i < c->count; i++) {
        if (arg_is(c, i, "WITHSCORES"))
            r->with_scores = true;
        else if (is_zrange && arg_is(c, i, "BYSCORE"))
            r->by_score = true;
        else if (is_zrange && arg_is(c, i, "REV"))
            r->is_reversed = true;
        else if (arg_is(c, i, "LIMIT") && i + 2 < c->count) {
            if (!arg_integer(c, i + 1, &r->offset) || !arg_integer(c, i + 2, &r->limit))
                return false;
            i += 2;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* [*first, *end) in the set's own order. */
static void resolve(const struct zset *z, const struct range *r, size_t *first, size_t *end)
{
    int64_t count = (int64_t)z->count, from = r->from, to = r->to;

    *first = *end = 0;
    if (r->by_score) {
        for (size_t i = 0; i < z->count; i++) {
            double s = z->members[i].score;
            if (r->is_low_open ? s <= r->low : s < r->low)
                *first = i + 1;
            if (r->is_high_open ? s < r->high : s <= r->high)
                *end = i + 1;
        }
        return;
    }
    from = from < 0 ? from + count : from;
    to = to < 0 ? to + count : to;
    from = from < 0 ? 0 : from;
    to = to >= count ? count - 1 : to;
    if (from > to)
        return;
    *first = (size_t)(r->is_reversed ? count - 1 - to : from);
    *end = (size_t)(r->is_reversed ? count - from : to + 1);
}

static void reply_members(struct call *c, const struct zset *z, const struct range *r)
{
    size_t first, end;

    reply_array(c->reply, 0);
    if (z == NULL)
        return;
    resolve(z, r, &first, &end);
    for (size_t i = first; i < end; i++) {
        int64_t place = (int64_t)(i - first) - r->offset;
        const struct member *m = &z->members[r->is_reversed ? end - 1 - (i - first) : i];
        if (place < 0 || r->offset < 0 || (r->limit >= 0 && place >= r->limit))
            continue;
        reply_text(reply_push(c->reply), bytes_str(&m->name));
        if (r->with_scores)
            reply_score(reply_push(c->reply), m->score);
    }
}

static void list(struct call *c, struct range r, bool is_zrange)
{
    struct value *v;

    if (read_options(c, &r, is_zrange) && read_bounds(c, &r) &&
        value_of(c, c->args[1], VALUE_ZSET, &v))
        reply_members(c, v ? &v->zset : NULL, &r);
}

static void run_zrange(struct call *c)
{
    list(c, (struct range){ 0 }, true);
}

static void run_zrevrange(struct call *c)
{
    list(c, (struct range){ .is_reversed = true }, false);
}

static void run_zrangebyscore(struct call *c)
{
    list(c, (struct range){ .by_score = true }, false);
}

static void run_zrevrangebyscore(struct call *c)
{
    list(c, (struct range){ .by_score = true, .is_reversed = true }, false);
}

/* Counts the members of a range, and removes them. */
static void count(struct call *c, struct range r, bool removes)
{
    struct value *v;
    size_t first = 0, end = 0;

    if (!read_bounds(c, &r) || !value_of(c, c->args[1], VALUE_ZSET, &v))
        return;
    if (v != NULL)
        resolve(&v->zset, &r, &first, &end);
    end = end > first ? end : first;
    for (size_t i = end; removes && i > first; i--)
        take_out(&v->zset, i - 1);
    drop_if_empty(c, v);
    reply_integer(c->reply, (int64_t)(end - first));
}

static void run_zcount(struct call *c)
{
    count(c, (struct range){ .by_score = true }, false);
}

static void run_zremrangebyscore(struct call *c)
{
    count(c, (struct range){ .by_score = true }, true);
}

static void run_zremrangebyrank(struct call *c)
{
    count(c, (struct range){ 0 }, true);
}

/* Takes from an end: rank 0, or the last. */
static void pop(struct call *c, bool is_max)
{
    struct value *v;
    int64_t left = 1;

    if ((c->count > 2 && !arg_integer(c, 2, &left)) || !value_of(c, c->args[1], VALUE_ZSET, &v))
        return;
    reply_array(c->reply, 0);
    for (; v != NULL && left > 0 && v->zset.count > 0; left--) {
        size_t i = is_max ? v->zset.count - 1 : 0;
        reply_text(reply_push(c->reply), bytes_str(&v->zset.members[i].name));
        reply_score(reply_push(c->reply), v->zset.members[i].score);
        take_out(&v->zset, i);
    }
    drop_if_empty(c, v);
}

static void run_zpopmin(struct call *c)
{
    pop(c, false);
}

static void run_zpopmax(struct call *c)
{
    pop(c, true);
}

const struct command commands_zsets[] = {
    { "zadd", -4, run_zadd },
    { "zscore", 3, run_zscore },
    { "zrank", 3, run_zrank },
    { "zcard", 2, run_zcard },
    { "zrem", -3, run_zrem },
    { "zrange", -4, run_zrange },
    { "zrevrange", -4, run_zrevrange },
    { "zrangebyscore", -4, run_zrangebyscore },
    { "zrevrangebyscore", -4, run_zrevrangebyscore },
    { "zcount", 4, run_zcount },
    { "zremrangebyscore", 4, run_zremrangebyscore },
    { "zremrangebyrank", 4, run_zremrangebyrank },
    { "zpopmin", -2, run_zpopmin },
    { "zpopmax", -2, run_zpopmax },
    { 0 },
};
