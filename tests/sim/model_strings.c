/* Strings, what holds for keys of every kind, and what needs no key. */
#include "model_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void set_string(struct value *v, struct str text)
{
    struct bytes copy = bytes_of(text); /* `text` may be what is replaced */

    value_clear(v);
    v->kind = VALUE_STRING;
    v->string = copy;
}

static struct value *find_or_add(struct call *c, struct str key)
{
    struct value *v = value_find(c, key);

    return v ? v : value_add(c, key, VALUE_STRING);
}

static void run_get(struct call *c)
{
    struct value *v;

    if (!value_of(c, c->args[1], VALUE_STRING, &v))
        return;
    if (v != NULL)
        reply_text(c->reply, bytes_str(&v->string));
}

static void run_mget(struct call *c)
{
    struct redis_reply *items = reply_array(c->reply, c->count - 1);

    for (size_t i = 1; i < c->count; i++) {
        struct value *v = value_find(c, c->args[i]);
        if (v != NULL && v->kind == VALUE_STRING)
            reply_text(&items[i - 1], bytes_str(&v->string));
    }
}

/* When it ends that lives for `n` units from now; false, and the reply is an error. */
static bool lifetime(struct call *c, size_t i, int64_t unit_ms, const char *name, int64_t *out)
{
    int64_t n;

    if (i >= c->count) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (!arg_integer(c, i, &n))
        return false;
    if (n <= 0) {
        reply_error(c->reply, "ERR invalid expire time in '%s' command", name);
        return false;
    }
    *out = model_now_ms(c->m) + n * unit_ms;
    return true;
}

static void run_set(struct call *c)
{
    bool if_new = false, if_there = false, keeps = false, returns_old = false;
    int64_t expires = 0;

    for (size_t i = 3; i < c->count; i++) {
        if (arg_is(c, i, "NX"))
            if_new = true;
        else if (arg_is(c, i, "XX"))
            if_there = true;
        else if (arg_is(c, i, "KEEPTTL"))
            keeps = true;
        else if (arg_is(c, i, "GET"))
            returns_old = true;
        else if (arg_is(c, i, "EX") || arg_is(c, i, "PX")) {
            if (!lifetime(c, i + 1, arg_is(c, i, "EX") ? 1000 : 1, "set", &expires))
                return;
            i++;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return;
        }
    }
    struct value *v = value_find(c, c->args[1]);
    if (returns_old && v != NULL && v->kind != VALUE_STRING) {
        value_of(c, c->args[1], VALUE_STRING, &v);
        return;
    }
    if (returns_old && v != NULL)
        reply_text(c->reply, bytes_str(&v->string));
    if ((if_new && v != NULL) || (if_there && v == NULL))
        return;
    v = find_or_add(c, c->args[1]);
    set_string(v, c->args[2]);
    if (!keeps)
        v->expires_ms = expires;
    if (!returns_old)
        reply_status(c->reply, "OK");
}

static void set_for(struct call *c, int64_t unit_ms, const char *name)
{
    int64_t expires;

    if (!lifetime(c, 2, unit_ms, name, &expires))
        return;
    struct value *v = find_or_add(c, c->args[1]);
    set_string(v, c->args[3]);
    v->expires_ms = expires;
    reply_status(c->reply, "OK");
}

static void run_setex(struct call *c)
{
    set_for(c, 1000, "setex");
}

static void run_psetex(struct call *c)
{
    set_for(c, 1, "psetex");
}

static void run_setnx(struct call *c)
{
    bool is_new = value_find(c, c->args[1]) == NULL;

    if (is_new)
        set_string(value_add(c, c->args[1], VALUE_STRING), c->args[2]);
    reply_integer(c->reply, is_new);
}

static void add_number(struct call *c, int64_t by)
{
    struct value *v;
    int64_t n = 0, sum;
    char text[32];

    if (!value_of(c, c->args[1], VALUE_STRING, &v))
        return;
    if (v != NULL && !text_integer(bytes_str(&v->string), &n)) {
        reply_error(c->reply, ERROR_INTEGER);
        return;
    }
    if (__builtin_add_overflow(n, by, &sum)) {
        reply_error(c->reply, "ERR increment or decrement would overflow");
        return;
    }
    snprintf(text, sizeof(text), "%" PRId64, sum);
    set_string(find_or_add(c, c->args[1]), str_of(text));
    reply_integer(c->reply, sum);
}

static void run_incr(struct call *c)
{
    add_number(c, 1);
}

static void run_decr(struct call *c)
{
    add_number(c, -1);
}

static void run_incrby(struct call *c)
{
    int64_t by;

    if (arg_integer(c, 2, &by))
        add_number(c, by);
}

static void run_del(struct call *c)
{
    int64_t gone = 0;

    for (size_t i = 1; i < c->count; i++) {
        struct value *v = value_find(c, c->args[i]);
        if (v != NULL) {
            value_remove(c->m, v);
            gone++;
        }
    }
    reply_integer(c->reply, gone);
}

static void run_exists(struct call *c)
{
    int64_t there = 0;

    for (size_t i = 1; i < c->count; i++)
        there += value_find(c, c->args[i]) != NULL;
    reply_integer(c->reply, there);
}

static void run_type(struct call *c)
{
    static const char *const names[] = { "string", "hash", "zset", "stream" };
    struct value *v = value_find(c, c->args[1]);

    reply_status(c->reply, v ? names[v->kind] : "none");
}

static void expire_at(struct call *c, int64_t at_ms)
{
    struct value *v = value_find(c, c->args[1]);

    reply_integer(c->reply, v != NULL);
    if (v == NULL)
        return;
    v->expires_ms = at_ms;
    if (at_ms <= model_now_ms(c->m))
        value_remove(c->m, v);
}

static void expire_in(struct call *c, int64_t unit_ms)
{
    int64_t n;

    if (arg_integer(c, 2, &n))
        expire_at(c, model_now_ms(c->m) + n * unit_ms);
}

static void run_expire(struct call *c)
{
    expire_in(c, 1000);
}

static void run_pexpire(struct call *c)
{
    expire_in(c, 1);
}

static void run_persist(struct call *c)
{
    struct value *v = value_find(c, c->args[1]);

    reply_integer(c->reply, v != NULL && v->expires_ms != 0);
    if (v != NULL)
        v->expires_ms = 0;
}

static void time_left(struct call *c, int64_t unit_ms)
{
    struct value *v = value_find(c, c->args[1]);

    if (v == NULL || v->expires_ms == 0)
        reply_integer(c->reply, v ? -1 : -2);
    else
        reply_integer(c->reply, (v->expires_ms - model_now_ms(c->m) + unit_ms / 2) / unit_ms);
}

static void run_ttl(struct call *c)
{
    time_left(c, 1000);
}

static void run_pttl(struct call *c)
{
    time_left(c, 1);
}

static void run_time(struct call *c)
{
    struct redis_reply *items = reply_array(c->reply, 2);
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, c->m->now_us / 1000000);
    reply_text(&items[0], str_of(text));
    snprintf(text, sizeof(text), "%" PRId64, c->m->now_us % 1000000);
    reply_text(&items[1], str_of(text));
}

static void run_ping(struct call *c)
{
    reply_status(c->reply, "PONG");
}

static void run_publish(struct call *c)
{
    model_published *published = c->m->published;

    reply_integer(c->reply, published ? published(c->m->context, c->args[1], c->args[2]) : 0);
}

static void run_flushall(struct call *c)
{
    struct value *v, *next;

    HASH_ITER(hh, c->m->values, v, next)
    value_remove(c->m, v);
    reply_status(c->reply, "OK");
}

static void run_dbsize(struct call *c)
{
    reply_integer(c->reply, (int64_t)model_size(c->m));
}

const struct command commands_strings[] = {
    { "get", 2, run_get },
    { "mget", -2, run_mget },
    { "set", -3, run_set },
    { "setex", 4, run_setex },
    { "psetex", 4, run_psetex },
    { "setnx", 3, run_setnx },
    { "incr", 2, run_incr },
    { "decr", 2, run_decr },
    { "incrby", 3, run_incrby },
    { "del", -2, run_del },
    { "unlink", -2, run_del },
    { "exists", -2, run_exists },
    { "type", 2, run_type },
    { "expire", 3, run_expire },
    { "pexpire", 3, run_pexpire },
    { "persist", 2, run_persist },
    { "ttl", 2, run_ttl },
    { "pttl", 2, run_pttl },
    { "time", 1, run_time },
    { "ping", -1, run_ping },
    { "publish", 3, run_publish },
    { "spublish", 3, run_publish },
    { "flushall", -1, run_flushall },
    { "dbsize", 1, run_dbsize },
    { 0 },
};
