/* GET /health and /ready, and the page's way to a token on a machine of one's own. */
#include "api/api.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"

enum { SESSION_MS = 12 * 3600 * 1000, ANSWER_MAX = 16 * 1024 };

static void tell_health(struct call *c, const struct records_health *health)
{
    struct ledger_count count;
    struct buf json;

    ledger_count(c->api->ledger, &count);
    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "status", health->trouble.len ? "degraded" : "ok");
    if (health->trouble.len)
        emit_field_string(&json, "store", buf_text(&health->trouble));
    emit_field_string(&json, "version", REELAY_VERSION);
    emit_field_int(&json, "uptime_seconds", (int64_t)(clock_mono_ms() - c->api->started_ms) / 1000);
    emit_field_int(&json, "jobs_in_progress", (int64_t)count.unfinished);
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
