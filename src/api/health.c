/* GET /health and /ready, and the page's way to a token on a machine of one's own. */
#include "api/api.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"

enum { SESSION_MS = 12 * 3600 * 1000, ANSWER_MAX = 16 * 1024 };

static void emit_count(struct buf *json, const char *name, int64_t count)
{
    if (count >= 0)
        emit_field_int(json, name, count);
}

static void emit_shared(struct buf *json, const struct records_shared *s)
{
    char since[CLOCK_ISO_SIZE];

    clock_iso8601(s->since_ms, since);
    emit_key(json, "redis");
    emit_open(json, '{');
    emit_field_string(json, "status", !s->is_up ? "away" : s->is_refusing ? "refusing" : "up");
    if ((!s->is_up || s->is_refusing) && *s->why)
        emit_field_string(json, "why", s->why);
    emit_field_string(json, "since", since);
    emit_close(json, '}');
    emit_count(json, "workers", s->workers);
    emit_key(json, "work");
    emit_open(json, '{');
    emit_count(json, "open", s->open);
    emit_count(json, "queued", s->queued);
    emit_count(json, "running", s->running);
    emit_count(json, "delayed", s->delayed);
    emit_close(json, '}');
}

static void emit_own(struct buf *json, const struct api *api, const struct buf *trouble)
{
    struct ledger_count count;

    ledger_count(api->ledger, &count);
    if (trouble->len > 0)
        emit_field_string(json, "store", buf_text(trouble));
    emit_field_int(json, "jobs_in_progress", (int64_t)count.unfinished);
}

static void tell_health(struct call *c, const struct records_health *health)
{
    const struct records_shared *shared = health->shared;
    const struct storage *storage = c->api->storage;
    int trouble = storage != NULL ? storage_trouble(storage) : OK;
    bool is_well = health->trouble.len == 0 && trouble == OK &&
                   (shared == NULL || (shared->is_up && !shared->is_refusing));
    struct buf json;

    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "status", is_well ? "ok" : "degraded");
    emit_field_string(&json, "engine", c->api->records->name);
    if (shared != NULL)
        emit_shared(&json, shared);
    else
        emit_own(&json, c->api, &health->trouble);
    emit_field_string(&json, "storage", storage ? storage_traits(storage)->provider : "disk");
    if (trouble != OK)
        emit_field_string(&json, "storage_trouble", fail_text(trouble));
    emit_field_string(&json, "version", REELAY_VERSION);
    emit_field_int(&json, "uptime_seconds", (int64_t)(clock_mono_ms() - c->api->started_ms) / 1000);
    emit_field_int(&json, "disk_available_bytes", (int64_t)disk_available(c->api->disk));
    emit_close(&json, '}');
    reply_json(c->x, 200, &json);
}

void health_get(struct call *c)
{
    c->api->records->health(c, tell_health);
}

static void tell_ready(struct call *c, const struct records_health *health)
{
    struct buf json;

    if (health->unready != NULL) {
        exchange_header(c->x, "Retry-After", "1");
        reply_error(c->x, 503, "not_ready", NULL, "%s", health->unready);
        return;
    }
    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "status", "ready");
    emit_close(&json, '}');
    reply_json(c->x, 200, &json);
}

void health_ready(struct call *c)
{
    c->api->records->health(c, tell_ready);
}

void session_create(struct call *c)
{
    struct buf token, json;

    if (!c->api->settings->gives_sessions || !origin_is_at_home(c)) {
        reply_error(c->x, 401, "token_required", NULL,
                    "this server wants a token: make one with `reelay token`");
        return;
    }
    buf_init(&token, JWT_TEXT_MAX);
    if (jwt_mint(c->api->keys, "local", false, clock_wall_ms(), SESSION_MS, &token) != OK) {
        buf_deinit(&token);
        reply_error(c->x, 500, "internal", NULL, "the token could not be made");
        return;
    }
    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "token", buf_text(&token));
    emit_field_int(&json, "expires_in", SESSION_MS / 1000);
    emit_close(&json, '}');
    buf_deinit(&token);
    reply_json(c->x, 200, &json);
}
