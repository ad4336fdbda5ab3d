#include "hooks/hooks.h"

#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "hooks/event.h"
#include "hooks/queue_fleet.h"
#include "hooks/queue_local.h"
#include "hooks/target.h"

enum { LIST_MAX = 8 << 20, HOLD_MORE_MS = 5000 };

struct hooks {
    struct hooks_settings settings;
    struct target_tools tools;
    struct target **targets;
    bool is_serving;
};

static int check(const struct hooks_settings *settings, struct webhook_secrets *secrets,
                 struct buf *why)
{
    for (size_t i = 0; i < settings->url_count; i++) {
        if (hook_url_is_valid(settings->urls[i]))
            continue;
        buf_puts(why, "--webhook: \"");
        hook_url_show(settings->urls[i], why);
        buf_puts(why, "\" is not a URL such as https://host/path");
        return FAIL_SYNTAX;
    }
    if (settings->url_count == 0)
        return OK;
    if (settings->secrets == NULL || settings->secrets[0] == '\0') {
        buf_puts(why, "--webhook needs --webhook-secret (or REELAY_WEBHOOK_SECRET): receivers "
                      "check signatures by it");
        return FAIL_SYNTAX;
    }
    buf_puts(why, "--webhook-secret: ");
    int err = webhook_secrets_read(settings->secrets, secrets, why);
    if (err == OK)
        buf_reset(why);
    return err;
}

int hooks_new(const struct hooks_settings *settings, struct hooks **out, struct buf *why)
{
    struct webhook_secrets secrets = { .count = 0 };
    int err = check(settings, &secrets, why);

    if (err)
        return err;
    struct hooks *h = mem_new(struct hooks);
    h->settings = *settings;
    h->tools = (struct target_tools){ .loop = settings->loop,
                                      .secrets = secrets,
                                      .timeout_ms = settings->timeout_ms,
                                      .retry_ms = settings->retry_ms };
    webhook_secrets_wipe(&secrets);
    *out = h;
    return OK;
}

/* On the store's thread, as the next. */
static void describe(void *context, const struct update *u, struct hook_event *event)
{
    const struct hooks *h = context;

    hook_event_write(u, h->settings.data, event);
}

static void written(void *context)
{
    queue_local_ring(((struct hooks *)context)->tools.queue);
}

struct store_hooks hooks_of_store(struct hooks *h)
{
    if (h->tools.queue == NULL)
        h->tools.queue = queue_local_new(h->settings.loop, h->settings.mailbox);
    return (struct store_hooks){ .urls = h->settings.urls,
                                 .url_count = h->settings.url_count,
                                 .describe = describe,
                                 .written = written,
                                 .context = h };
}

static void ring(void *context)
{
    struct hooks *h = context;

    for (size_t i = 0; i < h->settings.url_count; i++)
        target_ring(h->targets[i]);
}

static void serve(struct hooks *h)
{
    h->is_serving = true;
    if (h->settings.url_count == 0)
        return;
    h->tools.fetcher = fetcher_new(h->settings.loop, NULL);
    h->targets = mem_zalloc(h->settings.url_count * sizeof(struct target *));
    for (size_t i = 0; i < h->settings.url_count; i++)
        h->targets[i] = target_open(&h->tools, h->settings.urls[i]);
    h->tools.queue->ring_context = h;
    h->tools.queue->ring = ring;
}

void hooks_serve_store(struct hooks *h, struct store *store)
{
    queue_local_open(h->tools.queue, store);
    serve(h);
}

static void ring_if_open(void *context)
{
    struct hooks *h = context;

    if (h->is_serving && h->tools.queue->ring != NULL)
        ring(h);
}

struct fleet_hooks_settings hooks_of_fleet(struct hooks *h)
{
    return (struct fleet_hooks_settings){ .urls = h->settings.urls,
                                          .url_count = h->settings.url_count,
                                          .describe = describe,
                                          .ring = ring_if_open,
                                          .context = h,
                                          .hold_ms = 2 * h->settings.timeout_ms + HOLD_MORE_MS,
                                          .log_ttl_ms = h->settings.log_ttl_ms };
}

void hooks_serve_fleet(struct hooks *h, struct fleet_hooks *fleet)
{
    h->tools.queue = queue_fleet_new(fleet);
    serve(h);
}

/* What people see of deliveries */

struct listing {
    void (*done)(void *context, int err, struct str json);
    void *context;
};

static void time_field(struct buf *out, const char *key, int64_t wall_ms)
{
    char text[CLOCK_ISO_SIZE];

    clock_iso8601(wall_ms, text);
    emit_field_string(out, key, text);
}

static void show(const struct hook_delivery *d, struct buf *out)
{
    char id[STR_U64_SIZE];
    struct buf url;

    buf_init(&url, 8192);
    hook_url_show(d->url, &url);
    str_of_u64(d->id, id);
    emit_open(out, '{');
    emit_field_string(out, "id", id);
    emit_field_string(out, "message", d->message);
    emit_field_string(out, "job", d->job);
    emit_field_string(out, "type", d->type);
    emit_field_string(out, "url", buf_text(&url));
    emit_field_string(out, "state", hook_state_name(d->state));
    emit_field_int(out, "attempts", d->attempts);
    if (d->status > 0)
        emit_field_int(out, "status", d->status);
    if (d->why[0] != '\0')
        emit_field_string(out, "why", d->why);
    time_field(out, "created_at", d->created_ms);
    if (d->state == HOOK_PENDING && d->next_ms != HOOK_HELD)
        time_field(out, "next_attempt_at", d->next_ms);
    if (d->state == HOOK_PENDING && d->next_ms == HOOK_HELD)
        emit_field_bool(out, "held", true);
    if (d->state != HOOK_PENDING)
        time_field(out, "ended_at", d->ended_ms);
    emit_close(out, '}');
    buf_deinit(&url);
}

static void listed(void *context, int err, const struct hook_delivery *rows, size_t count)
{
    struct listing *l = context;
    struct buf json;

    buf_init(&json, LIST_MAX);
    emit_open(&json, '{');
    emit_key(&json, "deliveries");
    emit_open(&json, '[');
    for (size_t i = 0; err == OK && i < count; i++)
        show(&rows[i], &json);
    emit_close(&json, ']');
    emit_close(&json, '}');
    if (err == OK && json.failed)
        err = FAIL_LIMIT;
    l->done(l->context, err, buf_str(&json));
    buf_deinit(&json);
    mem_free(l);
}

void hooks_list(struct hooks *h, const struct hook_query *query,
                void (*done)(void *context, int err, struct str json), void *context)
{
    struct listing *l = mem_new(struct listing);

    l->done = done;
    l->context = context;
    h->tools.queue->ops->list(h->tools.queue, query, listed, l);
}

void hooks_replay(struct hooks *h, uint64_t id, hook_done *done, void *context)
{
    h->tools.queue->ops->replay(h->tools.queue, id, done, context);
}

void hooks_sweep(struct hooks *h, int64_t now_ms)
{
    if (h->is_serving)
        h->tools.queue->ops->sweep(h->tools.queue, now_ms - (int64_t)h->settings.log_ttl_ms);
}

void hooks_close(struct hooks *h)
{
    if (h == NULL || !h->is_serving)
        return;
    h->is_serving = false;
    h->tools.queue->ops->close(h->tools.queue);
    if (h->targets == NULL)
        return;
    for (size_t i = 0; i < h->settings.url_count; i++)
        target_close(h->targets[i]);
    fetcher_close(h->tools.fetcher);
}

void hooks_free(struct hooks *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; h->targets != NULL && i < h->settings.url_count; i++)
        target_free(h->targets[i]);
    mem_free(h->targets);
    if (h->tools.queue != NULL)
        h->tools.queue->ops->free(h->tools.queue);
    webhook_secrets_wipe(&h->tools.secrets);
    mem_free(h);
}
