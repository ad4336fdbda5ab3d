#include "fleet/hooks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/hooks_room.h"
#include "fleet/keys.h"
#include "fleet/lua.h"
#include "proto/sign.h"

#define RING HOOK_KEYS "ring"

enum {
    NEWS_MAX = 10000, /* beyond: the lists of jobs are read again */
    SENT_MAX = 32,
    BEGUN_MAX = 100000,
    AGAIN_MS = 1000,
    URLS_MAX = 64,
};

/* What is told of */

static struct begun *begun_find(struct fleet_hooks *h, const char *id)
{
    struct begun *b;

    HASH_FIND_STR(h->begun, id, b);
    return b;
}

static void begun_drop(struct fleet_hooks *h, struct begun *b)
{
    if (b == NULL)
        return;
    HASH_DEL(h->begun, b);
    mem_free(b);
}

static void begun_add(struct fleet_hooks *h, const char *id)
{
    if (HASH_COUNT(h->begun) >= BEGUN_MAX)
        begun_drop(h, h->begun); /* it is asked about once more */
    size_t len = strlen(id);
    struct begun *b = mem_zalloc(sizeof(*b) + len + 1);
    memcpy(b->id, id, len);
    HASH_ADD_KEYPTR(hh, h->begun, b->id, len, b);
}

static void news_free(struct news *n)
{
    struct fleet_hooks *h = n->owner;

    DL_DELETE(h->news, n);
    h->news_count--;
    h->sent_count -= n->is_sent;
    update_unref(&n->update);
    mem_free(n);
}

/* The oldest that is not on its way: found again by the lists. */
static void make_room(struct fleet_hooks *h)
{
    struct news *n;

    DL_FOREACH(h->news, n)
    if (!n->is_sent) {
        begun_drop(h, begun_find(h, n->update->text[TEXT_ID]));
        news_free(n);
        h->needs_scan = true;
        return;
    }
}

void news_take(struct fleet_hooks *h, struct update *u)
{
    const char *id = u->text[TEXT_ID];

    if (!job_is_final(u->state) && begun_find(h, id) != NULL)
        return;
    if (h->news_count >= NEWS_MAX)
        make_room(h);
    if (begun_find(h, id) == NULL)
        begun_add(h, id);
    struct news *n = mem_new(struct news);
    n->owner = h;
    n->update = update_ref(u);
    DL_APPEND(h->news, n);
    h->news_count++;
}

static void added(void *context, int err, const struct redis_reply *reply)
{
    struct news *n = context;
    struct fleet_hooks *h = n->owner;

    if (err != OK || reply->type != REDIS_INTEGER) {
        h->sent_count--;
        n->is_sent = false;
        n->retry_ms = h->port->ops->mono_ms(h->port) + AGAIN_MS;
        return;
    }
    /* It may be tried again, and then begins anew for who asks; of the others nothing more comes.
     */
    if (job_is_final(n->update->state))
        begun_drop(h, begun_find(h, n->update->text[TEXT_ID]));
    news_free(n);
    h->settings.ring(h->settings.context);
}

static void describe(struct fleet_hooks *h, const struct update *u, enum hook_type type,
                     struct hook_event *event)
{
    *event = (struct hook_event){ .type = type };
    buf_init(&event->body, HOOK_BODY_MAX);
    h->settings.describe(h->settings.context, u, event);
}

static int send_event(struct news *n, const struct hook_event *begin, const struct hook_event *end)
{
    struct fleet_hooks *h = n->owner;
    struct str args[10 + 2 * URLS_MAX];
    char number[STR_U64_SIZE], known[STR_U64_SIZE], kept[STR_U64_SIZE];
    size_t count = 0;

    args[count++] = STR(HOOK_KEYS);
    args[count++] = str_of(n->update->text[TEXT_ID]);
    args[count++] = str_of_u64(n->update->seq, number);
    args[count++] = str_of_u64(h->settings.known_ms, known);
    args[count++] = str_of_u64(h->settings.known_ms + h->settings.log_ttl_ms, kept);
    args[count++] = str_of(begin->message);
    args[count++] = buf_str(&begin->body);
    args[count++] = end != NULL ? str_of(hook_type_name(end->type)) : STR("");
    args[count++] = end != NULL ? str_of(end->message) : STR("");
    args[count++] = end != NULL ? buf_str(&end->body) : STR("");
    for (size_t i = 0; i < h->settings.url_count; i++) {
        args[count++] = str_of(h->hashes[i]);
        args[count++] = str_of(h->settings.urls[i]);
    }
    return h->port->ops->run(h->port, &h->add, 1, args, count, added, n);
}

static void send_news(struct news *n, uint64_t now_ms)
{
    struct fleet_hooks *h = n->owner;
    struct hook_event begin, end;
    bool is_end = job_is_final(n->update->state);

    describe(h, n->update, HOOK_CREATED, &begin);
    if (is_end)
        describe(h, n->update, hook_type_of(n->update->state), &end);
    int err = send_event(n, &begin, is_end ? &end : NULL);
    buf_deinit(&begin.body);
    if (is_end)
        buf_deinit(&end.body);
    n->is_sent = err == OK;
    h->sent_count += n->is_sent;
    if (err != OK)
        n->retry_ms = now_ms + AGAIN_MS;
}

static void send_all(struct fleet_hooks *h, uint64_t now_ms)
{
    struct news *n;

    DL_FOREACH(h->news, n)
    {
        if (h->sent_count >= SENT_MAX || !h->port->ops->is_up(h->port))
            return;
        if (!n->is_sent && now_ms >= n->retry_ms)
            send_news(n, now_ms);
    }
}

/* With the ledger's lock held. */
static void on_post(struct listener *listener, struct update *u)
{
    news_take((struct fleet_hooks *)listener, u);
}

static void on_shown(void *context, struct update *u)
{
    news_take(context, u);
}

void fleet_hooks_mended(struct fleet_hooks *h, struct update *u)
{
    news_take(h, u);
}

void fleet_hooks_up(struct fleet_hooks *h)
{
    h->needs_scan = true;
}

void fleet_hooks_push(struct fleet_hooks *h, const struct redis_push *push)
{
    if (push->pattern.at == NULL && str_equal(push->channel, STR(RING)))
        h->settings.ring(h->settings.context);
}

void fleet_hooks_tick(struct fleet_hooks *h)
{
    uint64_t now_ms = h->port->ops->mono_ms(h->port);

    send_all(h, now_ms);
    scan_tick(h, now_ms);
}

static void hash_urls(struct fleet_hooks *h)
{
    char digest[SIGN_HEX_SIZE];

    h->hashes = mem_zalloc(h->settings.url_count * sizeof(*h->hashes));
    for (size_t i = 0; i < h->settings.url_count; i++) {
        sign_sha256_hex(str_of(h->settings.urls[i]), digest);
        snprintf(h->hashes[i], HOOK_HASH_SIZE, "%.32s", digest);
    }
}

int fleet_hooks_new(struct fleet_port *port, struct ledger *ledger, struct fleet_jobs *jobs,
                    const struct fleet_hooks_settings *settings, struct fleet_hooks **out)
{
    struct fleet_hooks *h = mem_new(struct fleet_hooks);
    unsigned index;

    h->listener.post = on_post;
    h->port = port;
    h->jobs = jobs;
    h->settings = *settings;
    if (settings->url_count > URLS_MAX || ledger_listen(ledger, &h->listener, &index) != OK) {
        mem_free(h);
        return FAIL_LIMIT;
    }
    hash_urls(h);
    redis_script_init(&h->add, fleet_lua_hooks_add);
    redis_script_init(&h->take, fleet_lua_hooks_take);
    redis_script_init(&h->settle, fleet_lua_hooks_settle);
    redis_script_init(&h->list, fleet_lua_hooks_list);
    redis_script_init(&h->replay, fleet_lua_hooks_replay);
    redis_script_init(&h->sweep, fleet_lua_hooks_sweep);
    h->needs_scan = true;
    port->ops->subscribe(port, STR(RING), REDIS_CHANNEL);
    ledger_watch_all(ledger, index, on_shown, h);
    *out = h;
    return OK;
}

void fleet_hooks_free(struct fleet_hooks *h)
{
    struct begun *b, *next;

    if (h == NULL)
        return;
    while (h->news != NULL)
        news_free(h->news);
    HASH_ITER(hh, h->begun, b, next)
    begun_drop(h, b);
    mem_free(h->hashes);
    mem_free(h);
}
