/* Hashes. */
#include "model_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct field *find(const struct hash *h, struct str name)
{
    for (size_t i = 0; i < h->count; i++)
        if (bytes_are(&h->fields[i].name, name))
            return &h->fields[i];
    return NULL;
}

static bool put(struct hash *h, struct str name, struct str value)
{
    struct field *f = find(h, name);
    bool is_new = f == NULL;

    if (is_new) {
        f = ARRAY_GROW(h->fields, h->count);
        *f = (struct field){ .name = bytes_of(name) };
    }
    struct bytes copy = bytes_of(value);
    bytes_free(&f->value);
    f->value = copy;
    return is_new;
}

void hash_clear(struct hash *h)
{
    for (size_t i = 0; i < h->count; i++) {
        bytes_free(&h->fields[i].name);
        bytes_free(&h->fields[i].value);
    }
    mem_free(h->fields);
    *h = (struct hash){ 0 };
}

void hash_copy(struct hash *to, const struct hash *from)
{
    for (size_t i = 0; i < from->count; i++)
        put(to, bytes_str(&from->fields[i].name), bytes_str(&from->fields[i].value));
}

static struct hash *open_hash(struct call *c)
{
    struct value *v;

    if (!value_of(c, c->args[1], VALUE_HASH, &v))
        return NULL;
    return &(v ? v : value_add(c, c->args[1], VALUE_HASH))->hash;
}

static bool check_pairs(struct call *c, const char *name)
{
    if (c->count % 2 == 0)
        return true;
    reply_error(c->reply, "ERR wrong number of arguments for '%s' command", name);
    return false;
}

static int64_t put_all(struct call *c, struct hash *h)
{
    int64_t added = 0;

    for (size_t i = 2; i < c->count; i += 2)
        added += put(h, c->args[i], c->args[i + 1]);
    return added;
}

static void run_hset(struct call *c)
{
    struct hash *h = check_pairs(c, "hset") ? open_hash(c) : NULL;

    if (h != NULL)
        reply_integer(c->reply, put_all(c, h));
}

static void run_hmset(struct call *c)
{
    struct hash *h = check_pairs(c, "hmset") ? open_hash(c) : NULL;

    if (h == NULL)
        return;
    put_all(c, h);
    reply_status(c->reply, "OK");
}

static void run_hsetnx(struct call *c)
{
    struct hash *h = open_hash(c);

    if (h == NULL)
        return;
    bool is_new = find(h, c->args[2]) == NULL;
    if (is_new)
        put(h, c->args[2], c->args[3]);
    reply_integer(c->reply, is_new);
}

static void run_hget(struct call *c)
{
    struct value *v;

    if (!value_of(c, c->args[1], VALUE_HASH, &v))
        return;
    struct field *f = v ? find(&v->hash, c->args[2]) : NULL;
    if (f != NULL)
        reply_text(c->reply, bytes_str(&f->value));
}

static void run_hmget(struct call *c)
{
    struct value *v;

    if (!value_of(c, c->args[1], VALUE_HASH, &v))
        return;
    struct redis_reply *items = reply_array(c->reply, c->count - 2);
    for (size_t i = 2; v != NULL && i < c->count; i++) {
        struct field *f = find(&v->hash, c->args[i]);
        if (f != NULL)
            reply_text(&items[i - 2], bytes_str(&f->value));
    }
}

/* Names, values or both. */
static void list(struct call *c, bool names, bool values)
{
    struct value *v;

    if (!value_of(c, c->args[1], VALUE_HASH, &v))
        return;
    reply_array(c->reply, 0);
    for (size_t i = 0; v != NULL && i < v->hash.count; i++) {
        if (names)
            reply_text(reply_push(c->reply), bytes_str(&v->hash.fields[i].name));
        if (values)
            reply_text(reply_push(c->reply), bytes_str(&v->hash.fields[i].value));
    }
}

static void run_hgetall(struct call *c)
{
    list(c, true, true);
}

static void run_hkeys(struct call *c)
{
    list(c, true, false);
}

static void run_hvals(struct call *c)
{
    list(c, false, true);
}

static void run_hexists(struct call *c)
{
    struct value *v;

    if (value_of(c, c->args[1], VALUE_HASH, &v))
        reply_integer(c->reply, v != NULL && find(&v->hash, c->args[2]) != NULL);
}

static void run_hlen(struct call *c)
{
    struct value *v;

    if (value_of(c, c->args[1], VALUE_HASH, &v))
        reply_integer(c->reply, v ? (int64_t)v->hash.count : 0);
}

static void run_hdel(struct call *c)
{
    struct value *v;
    int64_t gone = 0;

    if (!value_of(c, c->args[1], VALUE_HASH, &v))
        return;
    for (size_t i = 2; v != NULL && i < c->count; i++) {
        struct field *f = find(&v->hash, c->args[i]);
        if (f == NULL)
            continue;
        bytes_free(&f->name);
        bytes_free(&f->value);
        ARRAY_REMOVE(v->hash.fields, v->hash.count, (size_t)(f - v->hash.fields));
        gone++;
    }
    if (v != NULL && v->hash.count == 0)
        value_remove(c->m, v);
    reply_integer(c->reply, gone);
}

static void run_hincrby(struct call *c)
{
    int64_t by, n = 0, sum;
    char text[32];
    struct value *v;

    if (!arg_integer(c, 3, &by) || !value_of(c, c->args[1], VALUE_HASH, &v))
        return;
    struct field *f = v ? find(&v->hash, c->args[2]) : NULL;
    if (f != NULL && !text_integer(bytes_str(&f->value), &n)) {
        reply_error(c->reply, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(n, by, &sum)) {
        reply_error(c->reply, "ERR increment or decrement would overflow");
        return;
    }
    snprintf(text, sizeof(text), "%" PRId64, sum);
    put(open_hash(c), c->args[2], str_of(text));
    reply_integer(c->reply, sum);
}

const struct command commands_hashes[] = {
    { "hset", -4, run_hset },
    { "hmset", -4, run_hmset },
    { "hsetnx", 4, run_hsetnx },
    { "hget", 3, run_hget },
    { "hmget", -3, run_hmget },
    { "hgetall", 2, run_hgetall },
    { "hkeys", 2, run_hkeys },
    { "hvals", 2, run_hvals },
    { "hexists", 3, run_hexists },
    { "hlen", 2, run_hlen },
    { "hdel", -3, run_hdel },
    { "hincrby", 4, run_hincrby },
    { 0 },
};
