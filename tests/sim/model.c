#include "model_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct bytes bytes_of(struct str s)
{
    struct bytes b = { mem_alloc(s.len + 1), s.len };

    if (s.len > 0)
        memcpy(b.at, s.at, s.len);
    b.at[s.len] = '\0';
    return b;
}

void bytes_free(struct bytes *b)
{
    mem_free(b->at);
    *b = (struct bytes){ 0 };
}

struct str bytes_str(const struct bytes *b)
{
    return (struct str){ b->at, b->len };
}

bool bytes_are(const struct bytes *b, struct str s)
{
    return b->len == s.len && memcmp(b->at, s.at, s.len) == 0;
}

int bytes_compare(struct str a, struct str b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

void reply_reset(struct redis_reply *r)
{
    for (size_t i = 0; i < r->count; i++)
        reply_reset(&r->items[i]);
    mem_free(r->items);
    mem_free((char *)r->text.at);
    *r = (struct redis_reply){ 0 };
}

void reply_nil(struct redis_reply *r)
{
    reply_reset(r);
}

void reply_integer(struct redis_reply *r, int64_t n)
{
    reply_reset(r);
    r->type = REDIS_INTEGER;
    r->integer = n;
}

static void reply_bytes(struct redis_reply *r, enum redis_type type, struct str text)
{
    struct bytes copy = bytes_of(text);

    reply_reset(r);
    r->type = type;
    r->text = bytes_str(&copy);
}

void reply_text(struct redis_reply *r, struct str text)
{
    reply_bytes(r, REDIS_TEXT, text);
}

void reply_score(struct redis_reply *r, double score)
{
    char text[64];

    snprintf(text, sizeof(text), "%.17g", score);
    reply_text(r, str_of(text));
}

void reply_status(struct redis_reply *r, const char *text)
{
    reply_bytes(r, REDIS_STATUS, str_of(text));
}

void reply_error(struct redis_reply *r, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    reply_bytes(r, REDIS_ERROR, str_of(text));
}

struct redis_reply *reply_array(struct redis_reply *r, size_t count)
{
    reply_reset(r);
    r->type = REDIS_ARRAY;
    r->count = count;
    r->items = mem_zalloc((count + 1) * sizeof(*r->items));
    return r->items;
}

struct redis_reply *reply_push(struct redis_reply *array)
{
    struct redis_reply *item = ARRAY_GROW(array->items, array->count);

    *item = (struct redis_reply){ 0 };
    return item;
}

bool text_integer(struct str s, int64_t *out)
{
    char text[32], *end;

    if (s.len == 0 || s.len >= sizeof(text) || isspace((unsigned char)s.at[0]) || s.at[0] == '+')
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *out = n;
    return true;
}

bool text_score(struct str s, double *out)
{
    char text[64], *end;

    if (s.len == 0 || s.len >= sizeof(text) || isspace((unsigned char)s.at[0]))
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && *out == *out;
}

bool arg_integer(struct call *c, size_t i, int64_t *out)
{
    if (text_integer(c->args[i], out))
        return true;
    reply_error(c->reply, ERROR_INTEGER);
    return false;
}

bool arg_is(const struct call *c, size_t i, const char *word)
{
    return i < c->count && str_equal_nocase(c->args[i], str_of(word));
}

int64_t model_now_ms(const struct model *m)
{
    return m->now_us / 1000;
}

void value_clear(struct value *v)
{
    bytes_free(&v->string);
    hash_clear(&v->hash);
    zset_clear(&v->zset);
    stream_clear(&v->stream);
}

void value_remove(struct model *m, struct value *v)
{
    HASH_DEL(m->values, v);
    value_clear(v);
    bytes_free(&v->key);
    mem_free(v);
}

struct value *value_find(struct call *c, struct str key)
{
    struct value *v;

    HASH_FIND(hh, c->m->values, key.at, key.len, v);
    if (v != NULL && v->expires_ms != 0 && v->expires_ms <= model_now_ms(c->m)) {
        value_remove(c->m, v);
        v = NULL;
    }
    return v;
}

bool value_of(struct call *c, struct str key, enum value_kind kind, struct value **out)
{
    struct value *v = value_find(c, key);

    if (v != NULL && v->kind != kind) {
        reply_error(c->reply, "WRONGTYPE Operation against a key holding the wrong kind of value");
        return false;
    }
    *out = v;
    return true;
}

static struct value *add(struct model *m, struct str key, enum value_kind kind)
{
    struct value *v = mem_new(struct value);

    v->key = bytes_of(key);
    v->kind = kind;
    HASH_ADD_KEYPTR(hh, m->values, v->key.at, v->key.len, v);
    return v;
}

struct value *value_add(struct call *c, struct str key, enum value_kind kind)
{
    return add(c->m, key, kind);
}

static const struct command *find_command(struct str name)
{
    static const struct command *const tables[] = { commands_strings, commands_hashes,
                                                    commands_zsets,   commands_streams,
                                                    commands_groups,  commands_scripts };

    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        for (const struct command *k = tables[i]; k->name != NULL; k++)
            if (str_equal_nocase(name, str_of(k->name)))
                return k;
    return NULL;
}

void model_execute(struct call *c)
{
    const struct command *k = find_command(c->args[0]);

    if (k == NULL) {
        reply_error(c->reply, "ERR unknown command '%.*s'", STR_ARG(c->args[0]));
        return;
    }
    if (k->arity > 0 ? c->count != (size_t)k->arity : c->count < (size_t)-k->arity) {
        reply_error(c->reply, "ERR wrong number of arguments for '%s' command", k->name);
        return;
    }
    k->run(c);
}

struct redis_reply *model_run(struct model *m, const struct str *args, size_t count)
{
    struct redis_reply *reply = mem_new(struct redis_reply);
    struct call c = { m, args, count, reply };

    model_execute(&c);
    return reply;
}

struct model *model_new(void)
{
    return mem_new(struct model);
}

static void clear(struct model *m)
{
    struct value *v, *next;

    HASH_ITER(hh, m->values, v, next)
    value_remove(m, v);
}

void model_free(struct model *m)
{
    if (m == NULL)
        return;
    clear(m);
    scripts_drop(m);
    mem_free(m);
}

struct model *model_copy(const struct model *m)
{
    struct model *copy = model_new();

    copy->now_us = m->now_us;
    copy->published = m->published;
    copy->context = m->context;
    for (const struct value *v = m->values; v != NULL; v = v->hh.next) {
        struct value *to = add(copy, bytes_str(&v->key), v->kind);
        to->expires_ms = v->expires_ms;
        if (v->string.at != NULL)
            to->string = bytes_of(bytes_str(&v->string));
        hash_copy(&to->hash, &v->hash);
        zset_copy(&to->zset, &v->zset);
        stream_copy(&to->stream, &v->stream);
    }
    return copy;
}

void model_listen(struct model *m, model_published *published, void *context)
{
    m->published = published;
    m->context = context;
}

void model_set_time(struct model *m, int64_t wall_us)
{
    m->now_us = wall_us;
}

static void expire_all(struct model *m)
{
    struct value *v, *next;

    HASH_ITER(hh, m->values, v, next)
    if (v->expires_ms != 0 && v->expires_ms <= model_now_ms(m))
        value_remove(m, v);
}

void model_keys(struct model *m, model_each *each, void *context)
{
    expire_all(m);
    for (struct value *v = m->values; v != NULL; v = v->hh.next)
        each(context, bytes_str(&v->key), v->expires_ms != 0);
}

size_t model_size(struct model *m)
{
    expire_all(m);
    return HASH_COUNT(m->values);
}
