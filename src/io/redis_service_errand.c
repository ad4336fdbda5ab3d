#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/redis_service_internal.h"

enum {
    FIXED_ARGS = 3, /* of a script: EVAL source numkeys */
    SAID_MAX = 200,
    HOST_MAX = 256,
    HOPS_MAX = 16, /* redirections without a pause */
    PAUSE_MIN_MS = 20,
    ANSWER_MIN_MS = 1000,
    PAUSE_MAX_MS = 500,
    LOST_PAUSE_MS = 100,
};

/* A command to Sentinels' primary or to a cluster, with what it takes to send it
 * again. It is at a node, or in `parked`. */
struct errand {
    struct errand *prev, *next;
    struct redis_service *service;
    struct service_node *node;         /* where it was sent last */
    const struct redis_script *script; /* NULL: a plain command */
    redis_done *done;
    void *context;
    uint64_t deadline_ms, due_ms;
    unsigned hops, pauses;
    int slot;                 /* -1: anywhere */
    size_t keys, size, count; /* count: with the fixed ones */
    char said[SAID_MAX];      /* how it was turned away */
    char keys_text[24];
    struct str args[]; /* the bytes lie behind them */
};

static struct errand *errand_new(struct redis_service *s, const struct str *args, size_t count,
                                 size_t fixed)
{
    size_t bytes = 0, total = fixed + count;
    struct errand *e;
    char *at;

    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    e = mem_zalloc(sizeof(*e) + total * sizeof(e->args[0]) + bytes);
    at = (char *)&e->args[total];
    for (size_t i = 0; i < count; i++) {
        if (args[i].len > 0)
            memcpy(at, args[i].at, args[i].len);
        e->args[fixed + i] = (struct str){ at, args[i].len };
        at += args[i].len;
    }
    e->service = s;
    e->count = total;
    e->size = bytes;
    s->errand_count++;
    s->errand_size += bytes;
    return e;
}

static void errand_free(struct errand *e)
{
    e->service->errand_count--;
    e->service->errand_size -= e->size;
    mem_free(e);
}

static void finish(struct errand *e, int err, const struct redis_reply *reply)
{
    redis_done *done = e->done;
    void *context = e->context;

    errand_free(e);
    if (done != NULL)
        done(context, err, reply);
}

/* Its time is over, and it was not done. */
static void give_up(struct errand *e)
{
    char said[SAID_MAX];
    struct redis_reply reply = { .type = REDIS_ERROR };

    snprintf(said, sizeof(said), "%s", e->said);
    reply.text = str_of(said);
    finish(e, FAIL_STATE, &reply);
}

static struct service_node *anywhere(const struct redis_service *s)
{
    struct service_node *node;

    if (node_takes(s->ear))
        return s->ear;
    DL_FOREACH(s->nodes, node)
    {
        if (node->is_needed && node_takes(node))
            return node;
    }
    return NULL;
}

static struct service_node *route(const struct redis_service *s, int slot)
{
    if (s->kind != SERVICE_CLUSTER)
        return s->ear;
    return slot >= 0 ? s->slots[slot] : anywhere(s);
}

static void on_answer(void *context, int err, const struct redis_reply *reply);

/* A command without an answer ends the connection for all: what is sent again has
 * time enough for one, even beyond its own. */
static uint32_t patience_ms(const struct errand *e)
{
    uint64_t now = uv_now(e->service->loop);
    uint64_t left = e->deadline_ms > now ? e->deadline_ms - now : 1;

    return e->said[0] != '\0' && left < ANSWER_MIN_MS ? ANSWER_MIN_MS : (uint32_t)left;
}

/* Only what comes right behind ASKING is let in, so a script goes whole. */
static int dispatch_asking(struct errand *e, struct service_node *node)
{
    int err = redis_command(node->link, (struct str[]){ STR("ASKING") }, 1, 0, NULL, NULL);

    if (err != OK)
        return err;
    e->node = node;
    return redis_command(node->link, e->args, e->count, patience_ms(e), on_answer, e);
}

static int dispatch(struct errand *e, struct service_node *node)
{
    e->node = node;
    if (e->script != NULL)
        return redis_script_run(node->link, e->script, e->keys, e->args + FIXED_ARGS,
                                e->count - FIXED_ARGS, on_answer, e);
    return redis_command(node->link, e->args, e->count, patience_ms(e), on_answer, e);
}

static void shelve(struct errand *e)
{
    struct redis_service *s = e->service;

    DL_APPEND(s->parked, e);
    service_wake(s, e->due_ms < e->deadline_ms ? e->due_ms : e->deadline_ms);
}

static void park(struct errand *e)
{
    uint64_t pause = PAUSE_MIN_MS;

    for (unsigned i = 0; i < e->pauses && pause < PAUSE_MAX_MS; i++)
        pause *= 2;
    if (pause > PAUSE_MAX_MS)
        pause = PAUSE_MAX_MS;
    e->pauses++;
    e->hops = 0;
    e->due_ms = uv_now(e->service->loop) + pause / 2 + random_u64() % (pause / 2 + 1);
    shelve(e);
}

/* False: not at once. */
static bool follow(struct errand *e, const struct slot_redirect *redirect)
{
    struct redis_service *s = e->service;
    struct service_node *node;
    char host[HOST_MAX];

    if (redirect->host.len >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", STR_ARG(redirect->host));
    if (host[0] == '\0') /* another port of who said it */
        snprintf(host, sizeof(host), "%s", e->node->url.hosts[0].name);
    node = redirect->is_ask ? node_at(s, host, redirect->port)
                            : node_find(s, str_of(host), redirect->port);
    if (!redirect->is_ask) {
        scouting_ask(s, 0);
        s->slots[redirect->slot] = node;
    }
    if (node == NULL)
        return false;
    node->used_ms = uv_now(s->loop);
    if (!node_takes(node) || e->hops++ >= HOPS_MAX || node->used_ms >= e->deadline_ms)
        return false;
    return (redirect->is_ask ? dispatch_asking(e, node) : dispatch(e, node)) == OK;
}

static void turned_away(struct errand *e, struct str text)
{
    struct redis_service *s = e->service;
    struct slot_redirect redirect;

    snprintf(e->said, sizeof(e->said), "%.*s", text.len < SAID_MAX ? (int)text.len : SAID_MAX - 1,
             text.at);
    if (s->kind == SERVICE_CLUSTER && slot_redirect_read(text, &redirect)) {
        if (follow(e, &redirect))
            return;
    } else {
        scouting_ask(s, 0);
    }
    park(e);
}

static bool is_turned_away(const struct redis_service *s, const struct redis_reply *reply)
{
    static const char *const words[] = { "READONLY",    "LOADING", "MASTERDOWN", "TRYAGAIN",
                                         "CLUSTERDOWN", "MOVED",   "ASK" };
    size_t count = s->kind == SERVICE_CLUSTER ? sizeof(words) / sizeof(*words) : 3;

    for (size_t i = 0; i < count; i++) {
        if (redis_reply_is_error(reply, words[i]))
            return true;
    }
    return false;
}

static void on_answer(void *context, int err, const struct redis_reply *reply)
{
    struct errand *e = context;
    struct redis_service *s = e->service;

    if (reply != NULL && is_turned_away(s, reply) && !s->is_over)
        turned_away(e, reply->text);
    else if (reply == NULL && err == FAIL_CANCELLED && !s->is_over)
        finish(e, FAIL_CLOSED, NULL); /* its node has gone */
    else
        finish(e, err, reply);
}

static void try_again(struct errand *e)
{
    struct service_node *node = route(e->service, e->slot);

    if (node_takes(node) && dispatch(e, node) == OK)
        return;
    scouting_ask(e->service, LOST_PAUSE_MS);
    park(e);
}

void errands_tick(struct redis_service *s)
{
    uint64_t now = uv_now(s->loop);
    struct errand *all = s->parked, *e, *next;

    s->parked = NULL;
    DL_FOREACH_SAFE(all, e, next)
    {
        if (s->is_over) /* since an answer in this loop */
            finish(e, FAIL_CANCELLED, NULL);
        else if (now >= e->deadline_ms)
            give_up(e);
        else if (now >= e->due_ms)
            try_again(e);
        else
            shelve(e);
    }
}

void errands_kick(struct redis_service *s)
{
    struct errand *e;

    DL_FOREACH(s->parked, e)
    {
        e->due_ms = 0;
    }
    if (s->parked != NULL)
        service_wake(s, 0);
}

void errands_cancel(struct redis_service *s)
{
    struct errand *all = s->parked, *e, *next;

    s->parked = NULL;
    DL_FOREACH_SAFE(all, e, next)
    {
        finish(e, FAIL_CANCELLED, NULL);
    }
}

/* While it is up, only a node that is new, or a slot that nobody has, takes nothing
 * at the moment: that is waited for. */
static int begin(struct errand *e, struct service_node *node)
{
    struct redis_service *s = e->service;
    int err = OK;

    if (node_takes(node)) {
        err = dispatch(e, node);
    } else {
        snprintf(e->said, sizeof(e->said), "CLUSTERDOWN no node has been found for it");
        scouting_ask(s, LOST_PAUSE_MS);
        park(e);
    }
    if (err != OK)
        errand_free(e);
    return err;
}

static int slot_for(const struct redis_service *s, struct str key)
{
    return s->kind == SERVICE_CLUSTER && key.len > 0 ? (int)slot_of(key) : -1;
}

/* OK, or why a command is not taken at all. */
static int judge(const struct redis_service *s, const struct service_node *node)
{
    if (s->is_over || (!node_takes(node) && !(s->is_up && s->kind == SERVICE_CLUSTER)))
        return FAIL_CLOSED;
    if (s->errand_count >= s->settings.commands_max || s->errand_size >= s->settings.out_max)
        return FAIL_LIMIT;
    return OK;
}

int redis_service_command(struct redis_service *s, struct str key, const struct str *args,
                          size_t count, uint32_t timeout_ms, redis_done *done, void *context)
{
    int slot = slot_for(s, key), err;
    struct service_node *node = route(s, slot);
    struct errand *e;

    err = judge(s, node);
    if (err != OK)
        return err;
    if (s->kind == SERVICE_SERVER)
        return redis_command(node->link, args, count, timeout_ms, done, context);
    e = errand_new(s, args, count, 0);
    e->slot = slot;
    e->done = done;
    e->context = context;
    e->deadline_ms =
        uv_now(s->loop) + (timeout_ms > 0 ? timeout_ms : s->settings.command_timeout_ms);
    return begin(e, node);
}

int redis_service_run(struct redis_service *s, const struct redis_script *script, size_t keys,
                      const struct str *args, size_t count, redis_done *done, void *context)
{
    int slot = slot_for(s, keys > 0 ? args[0] : STR("")), err;
    struct service_node *node = route(s, slot);
    struct errand *e;

    err = judge(s, node);
    if (err != OK)
        return err;
    if (s->kind == SERVICE_SERVER)
        return redis_script_run(node->link, script, keys, args, count, done, context);
    e = errand_new(s, args, count, FIXED_ARGS);
    snprintf(e->keys_text, sizeof(e->keys_text), "%zu", keys);
    e->args[0] = STR("EVAL");
    e->args[1] = str_of(script->source);
    e->args[2] = str_of(e->keys_text);
    e->script = script;
    e->keys = keys;
    e->slot = slot;
    e->done = done;
    e->context = context;
    e->deadline_ms = uv_now(s->loop) + s->settings.command_timeout_ms;
    return begin(e, node);
}
