#include "fleet/work.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "fleet/keys.h"
#include "fleet/lua.h"
#include "fleet/work_internal.h"

#define HASH FLEET_WORK "job:"

enum { WORK_KEYS = 9 }; /* of every script; lua/work_create.lua has them */

static const char *const sources[WORK_SCRIPTS] = {
    [WORK_CREATE] = fleet_lua_work_create,   [WORK_PLAN] = fleet_lua_work_plan,
    [WORK_ENQUEUE] = fleet_lua_work_enqueue, [WORK_CANCEL] = fleet_lua_work_cancel,
    [WORK_STALE] = fleet_lua_work_stale,     [WORK_CLAIM] = fleet_lua_work_claim,
    [WORK_BEAT] = fleet_lua_work_beat,       [WORK_HOLD] = fleet_lua_work_hold,
    [WORK_PLACE] = fleet_lua_work_place,     [WORK_GIVE] = fleet_lua_work_give,
    [WORK_DECLARE] = fleet_lua_work_declare, [WORK_COUNT] = fleet_lua_work_count,
    [WORK_IDLE] = fleet_lua_work_idle,
};

uint64_t work_now(const struct fleet_work *w)
{
    return w->port->ops->mono_ms(w->port);
}

/* What is asked. */

void work_arg(struct work_args *a, const char *text)
{
    assert(a->count < WORK_ARGS_MAX);
    a->list[a->count++] = str_of(text);
}

void work_arg_number(struct work_args *a, uint64_t number)
{
    char *room = a->numbers[a->count];

    snprintf(room, WORK_NUMBER_MAX, "%" PRIu64, number);
    work_arg(a, room);
}

struct work_call *work_call_new(struct fleet_work *w, work_answer *answer)
{
    struct work_call *c = mem_new(struct work_call);

    c->work = w;
    c->answer = answer;
    c->asked_ms = work_now(w);
    c->asked_wall_ms = w->port->ops->wall_ms(w->port);
    DL_APPEND(w->calls, c);
    return c;
}

static void on_reply(void *context, int err, const struct redis_reply *reply)
{
    struct work_call *c = context;

    if (c->work != NULL) {
        DL_DELETE(c->work->calls, c);
        c->answer(c, err, reply);
    }
    mem_free(c);
}

void work_refuse(struct work_call *c, int err)
{
    c->is_refused = true;
    c->err = err;
}

static struct str key_of(char room[FLEET_KEY_MAX], const char *job)
{
    int len = snprintf(room, FLEET_KEY_MAX, HASH "%s", job);

    assert(len > 0 && len < FLEET_KEY_MAX);
    return (struct str){ room, (size_t)len };
}

void work_ask(struct work_call *c, enum work_script script, const char *job,
              const struct work_args *args)
{
    struct fleet_port *port = c->work->port;
    char room[FLEET_KEY_MAX];
    struct str list[WORK_KEYS + 1 + WORK_ARGS_MAX] = {
        key_of(room, job),
        STR(FLEET_WORK "queue:high"),
        STR(FLEET_WORK "queue:normal"),
        STR(FLEET_WORK "queue:low"),
        STR(FLEET_WORK "delayed"),
        STR(FLEET_WORK "open"),
        STR(FLEET_WORK "workers"),
        STR(FLEET_WORK "over"),
        STR(FLEET_WORK "parts"),
        STR(FLEET_WORK), /* ARGV[1] */
    };

    memcpy(&list[WORK_KEYS + 1], args->list, args->count * sizeof(list[0]));
    int err = port->ops->run(port, &c->work->scripts[script], WORK_KEYS, list,
                             WORK_KEYS + 1 + args->count, on_reply, c);
    if (err != OK)
        work_refuse(c, err);
}

void work_find(struct work_call *c, const char *job)
{
    struct fleet_port *port = c->work->port;
    char room[FLEET_KEY_MAX];
    struct str key = key_of(room, job);
    struct str list[] = { STR("HMGET"),   key,         STR("state"), STR("chunks"),
                          STR("touched"), STR("step"), STR("spec"),  STR("place") };

    int err = port->ops->command(port, key, list, sizeof(list) / sizeof(list[0]), on_reply, c);
    if (err != OK)
        work_refuse(c, err);
}

/* What is answered. */

struct str work_field(const struct redis_reply *reply, size_t i)
{
    if (reply == NULL || reply->type != REDIS_ARRAY || i >= reply->count ||
        (reply->items[i].type != REDIS_TEXT && reply->items[i].type != REDIS_STATUS))
        return STR("");
    return reply->items[i].text;
}

uint64_t work_number(const struct redis_reply *reply, size_t i)
{
    uint64_t number = 0;

    if (reply != NULL && reply->type == REDIS_ARRAY && i < reply->count &&
        reply->items[i].type == REDIS_INTEGER)
        return reply->items[i].integer < 0 ? 0 : (uint64_t)reply->items[i].integer;
    return str_parse_u64(work_field(reply, i), UINT64_MAX, &number) == OK ? number : 0;
}

int work_verdict(int err, const struct redis_reply *reply)
{
    static const struct {
        const char *word;
        int err;
    } words[] = {
        { "ok", OK },
        { "exists", FAIL_EXISTS },
        { "missing", FAIL_MISSING },
        { "state", FAIL_STATE },
        { "stale", FAIL_STALE },
        { "limit", FAIL_LIMIT },
    };

    /* An error of Redis' own is none of the script's words. */
    if (err == FAIL_STATE || err == FAIL_EXISTS || err == FAIL_MISSING)
        return FAIL_CLOSED;
    if (err != OK)
        return err;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_equal(work_field(reply, 0), str_of(words[i].word)))
            return words[i].err;
    return FAIL_SYNTAX;
}

/* The clockwork. */

struct fleet_work *fleet_work_new(struct fleet_port *port,
                                  const struct fleet_work_settings *settings)
{
    struct fleet_work *w = mem_new(struct fleet_work);
    size_t len = strlen(settings->node);

    assert(len > 0 && len <= FLEET_NODE_MAX && settings->lease_ms > 0);
    w->port = port;
    w->settings = *settings;
    memcpy(w->node, settings->node, len + 1);
    w->settings.node = w->node;
    w->count = (struct fleet_work_count){ -1, -1, -1, -1, -1 };
    for (int i = 0; i < WORK_SCRIPTS; i++)
        redis_script_init(&w->scripts[i], sources[i]);
    return w;
}

void fleet_work_free(struct fleet_work *w)
{
    struct work_call *c;

    if (w == NULL)
        return;
    work_serve_end(w);
    while ((c = w->calls) != NULL) {
        DL_DELETE(w->calls, c);
        if (c->lease == NULL)
            c->answer(c, FAIL_CANCELLED, NULL);
        c->work = NULL;
        if (c->is_refused)
            mem_free(c);
    }
    work_leases_free(w);
    mem_free(w);
}

/* What could not be asked is answered now, and not what is asked in these answers. */
static void answer_refused(struct fleet_work *w)
{
    struct work_call *refused = NULL, *c, *next;

    DL_FOREACH_SAFE(w->calls, c, next)
    {
        if (!c->is_refused)
            continue;
        DL_DELETE(w->calls, c);
        DL_APPEND(refused, c);
    }
    while ((c = refused) != NULL) {
        DL_DELETE(refused, c);
        c->answer(c, c->err, NULL);
        mem_free(c);
    }
}

static void on_counted(struct work_call *c, int err, const struct redis_reply *reply)
{
    struct fleet_work *w = c->work;

    w->is_counting = false;
    if (err != OK || reply->type != REDIS_ARRAY || reply->count != 5)
        return;
    w->count = (struct fleet_work_count){
        .queued = (int64_t)work_number(reply, 0),
        .leased = (int64_t)work_number(reply, 1),
        .delayed = (int64_t)work_number(reply, 2),
        .open = (int64_t)work_number(reply, 3),
        .workers = (int64_t)work_number(reply, 4),
    };
}

static void look(struct fleet_work *w)
{
    struct work_args args = { .count = 0 };

    if (w->is_counting || work_now(w) < w->count_ms)
        return;
    w->is_counting = true;
    w->count_ms = work_now(w) + WORK_COUNT_MS;
    work_arg_number(&args, 3 * (uint64_t)w->settings.lease_ms);
    work_ask(work_call_new(w, on_counted), WORK_COUNT, "", &args);
}

static void go_on(struct fleet_work *w)
{
    struct work_lease *l, *next;

    if (!w->port->ops->is_up(w->port))
        return;
    DL_FOREACH_SAFE(w->leases, l, next)
    work_lease_go_on(w, l);
    if (work_now(w) >= w->claim_ms)
        work_claim(w);
    look(w);
}

void fleet_work_tick(struct fleet_work *w)
{
    answer_refused(w);
    go_on(w);
}

void fleet_work_up(struct fleet_work *w)
{
    struct work_lease *l;

    /* It was away to the others too: they are to have the time to renew what they hold. */
    if (w->was_down)
        w->patience_ms = work_now(w) + w->settings.lease_ms;
    w->was_down = false;
    w->claim_ms = w->count_ms = 0;
    DL_FOREACH(w->leases, l)
    l->beat_ms = l->again_ms = 0;
    go_on(w);
}

void fleet_work_down(struct fleet_work *w)
{
    w->was_down = true;
    w->count = (struct fleet_work_count){ -1, -1, -1, -1, -1 };
}

void fleet_work_count(const struct fleet_work *w, struct fleet_work_count *out)
{
    *out = w->count;
}
