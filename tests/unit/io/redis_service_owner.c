#include "redis_service_owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

__attribute__((format(printf, 2, 3))) static void note(struct service_owner *o, const char *format,
                                                       ...)
{
    size_t room = sizeof(o->log) - o->log_len;
    va_list args;

    va_start(args, format);
    int len = vsnprintf(o->log + o->log_len, room, format, args);
    va_end(args);
    o->log_len += (size_t)len < room ? (size_t)len : room - 1;
}

static void close_if(struct service_owner *o, bool is_wanted)
{
    if (!is_wanted)
        return;
    redis_service_close(o->service);
    redis_service_close(o->service);
}

static void on_up(void *context)
{
    struct service_owner *o = context;

    o->ups++;
    note(o, "up ");
    assert_true(redis_service_is_up(o->service));
    close_if(o, o->closes_on_up);
}

static void on_down(void *context, const struct redis_down *down)
{
    struct service_owner *o = context;

    o->downs++;
    o->was_up = down->was_up;
    o->err = down->err;
    snprintf(o->why, sizeof(o->why), "%s", down->why);
    note(o, "down ");
    assert_false(redis_service_is_up(o->service));
    close_if(o, o->closes_on_down);
}

static void on_heard(void *context, struct str name, enum redis_topic kind)
{
    struct service_owner *o = context;

    o->heards++;
    snprintf(o->heard, sizeof(o->heard), "%d:%.*s", (int)kind, STR_ARG(name));
    note(o, "%s ", o->heard);
    close_if(o, o->closes_on_heard);
}

static void on_push(void *context, const struct redis_push *push)
{
    struct service_owner *o = context;

    o->pushes++;
    snprintf(o->push, sizeof(o->push), "%.*s|%.*s|%.*s", STR_ARG(push->channel),
             STR_ARG(push->pattern), STR_ARG(push->message));
    close_if(o, o->closes_on_push);
}

static void on_refused(void *context, struct str name, enum redis_topic kind, const char *why)
{
    struct service_owner *o = context;

    o->refusals++;
    snprintf(o->refused, sizeof(o->refused), "%d:%.*s: %s", (int)kind, STR_ARG(name), why);
}

static const struct redis_service_events events = { on_up, on_down, on_heard, on_push, on_refused };

struct service_owner *owner_new(void)
{
    struct service_owner *o = mem_new(struct service_owner);

    assert_int_equal(uv_loop_init(&o->loop), 0);
    return o;
}

void owner_free(struct service_owner *o)
{
    if (o->service != NULL)
        redis_service_close(o->service);
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&o->loop), 0);
    mem_free(o);
}

struct redis_settings owner_settings(void)
{
    struct redis_settings s = redis_settings_default;

    s.backoff_min_ms = 20;
    s.backoff_max_ms = 200;
    s.connect_timeout_ms = 1000;
    return s;
}

void owner_open(struct service_owner *o, const char *text, const struct redis_settings *settings)
{
    struct redis_settings s = owner_settings();
    struct redis_url url = url_of(text);

    o->ups = o->downs = 0;
    o->service = redis_service_open(&o->loop, &url, settings ? settings : &s, &events, o);
    redis_url_deinit(&url);
    assert_int_equal(o->ups + o->downs, 0);
    assert_false(redis_service_is_up(o->service));
}

void owner_open_up(struct service_owner *o, const char *url)
{
    owner_open(o, url, NULL);
    WAIT_FOR(&o->loop, o->ups > 0);
}

void owner_on_answer(void *context, int err, const struct redis_reply *reply)
{
    struct service_answer *a = context;

    a->count++;
    a->err = err;
    if (reply != NULL) {
        a->type = reply->type;
        a->integer = reply->integer;
        a->len = reply->text.len;
        size_t len = reply->text.len < sizeof(a->text) ? reply->text.len : sizeof(a->text) - 1;
        if (len > 0)
            memcpy(a->text, reply->text.at, len);
        a->text[len] = '\0';
    }
    if (a->closes != NULL)
        redis_service_close(a->closes->service);
}

int owner_send(struct service_owner *o, struct service_answer *a, const char *words)
{
    struct str args[16], rest = str_of(words);
    size_t count = 0;

    memset(a, 0, sizeof(*a));
    while (rest.at != NULL && count < 16)
        args[count++] = str_cut(&rest, ' ');
    return redis_service_command(o->service, count > 1 ? args[1] : STR(""), args, count, 0,
                                 owner_on_answer, a);
}

void owner_ask(struct service_owner *o, struct service_answer *a, const char *words)
{
    assert_int_equal(owner_send(o, a, words), OK);
    assert_int_equal(a->count, 0);
    WAIT_FOR(&o->loop, a->count > 0);
    assert_int_equal(a->count, 1);
}

void owner_expect(struct service_owner *o, const char *words, const char *text)
{
    struct service_answer a;

    owner_ask(o, &a, words);
    assert_string_equal(a.text, text);
}

static bool succeeds(struct service_owner *o, const char *words, const char *text)
{
    struct service_answer a;

    if (owner_send(o, &a, words) != OK)
        return false;
    WAIT_FOR(&o->loop, a.count > 0);
    return a.err == OK && strcmp(a.text, text) == 0;
}

void owner_insist(struct service_owner *o, const char *words, const char *text)
{
    WAIT_FOR(&o->loop, succeeds(o, words, text));
}

void owner_subscribe(struct service_owner *o, const char *name, enum redis_topic kind)
{
    int before = o->heards;
    char expected[OWNER_TEXT_MAX];

    snprintf(expected, sizeof(expected), "%d:%s", (int)kind, name);
    assert_int_equal(redis_service_subscribe(o->service, str_of(name), kind), OK);
    assert_int_equal(o->heards, before);
    WAIT_FOR(&o->loop, o->heards > before);
    assert_string_equal(o->heard, expected);
}
