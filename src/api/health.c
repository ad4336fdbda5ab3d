/* GET /health, and the page's way to a token on a machine of one's own. */
#include "api/api.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"

enum { SESSION_MS = 12 * 3600 * 1000, ANSWER_MAX = 16 * 1024 };

void health_get(struct call *c)
{
    struct ledger_count count;
    struct buf trouble, json;

    ledger_count(c->api->ledger, &count);
    buf_init(&trouble, 1024);
    store_trouble(c->api->store, &trouble);
    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "status", trouble.len ? "degraded" : "ok");
    if (trouble.len)
        emit_field_string(&json, "store", buf_text(&trouble));
    emit_field_string(&json, "version", REELAY_VERSION);
    emit_field_int(&json, "uptime_seconds", (int64_t)(clock_mono_ms() - c->api->started_ms) / 1000);
    emit_field_int(&json, "jobs_in_progress", (int64_t)count.unfinished);
    emit_field_int(&json, "disk_available_bytes", (int64_t)disk_available(c->api->disk));
    emit_close(&json, '}');
    buf_deinit(&trouble);
    reply_json(c->x, 200, &json);
}

/* A page that a stranger's DNS name points here (DNS rebinding) names that
 * stranger as Host; one that a stranger's site loads names it as Origin. */
static bool is_local_name(struct str host)
{
    struct str name = host;

    if (str_equal(host, STR("[::1]")) || str_starts(host, STR("[::1]:")))
        return true;
    name = str_cut(&name, ':');
    if (str_equal_nocase(name, STR("localhost")))
        return true;
    /* "127.example.com" is somebody's name, not an address. */
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] != '.' && (name.at[i] < '0' || name.at[i] > '9'))
            return false;
    return str_starts(name, STR("127."));
}

static bool is_own_origin(const struct http_request *request)
{
    struct str origin = http_header(request, "Origin");

    if (origin.at == NULL)
        return true;
    if (!str_starts(origin, STR("http://")))
        return false;
    struct str host = { origin.at + 7, origin.len - 7 };
    return str_equal_nocase(host, request->host);
}

/* A proxy on this machine speaks for somebody who may be anywhere. */
static bool is_forwarded(const struct http_request *request)
{
    static const char *const names[] = { "Forwarded", "X-Forwarded-For", "X-Real-IP", "Via" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (http_header(request, names[i]).at != NULL)
            return true;
    return false;
}

void session_create(struct call *c)
{
    const struct http_request *request = exchange_request(c->x);
    struct buf token, json;

    if (!c->api->settings->gives_sessions || !exchange_is_loopback(c->x) || is_forwarded(request) ||
        !is_local_name(request->host) || !is_own_origin(request)) {
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
