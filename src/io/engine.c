#include "io/engine.h"

#include <string.h>

#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/limits.h"
#include "io/engine_internal.h"
#include "proto/url.h"

/* A place in this is a thread's digit: RFC 4648, section 5. */
static const char thread_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

_Static_assert(LEDGER_LISTENERS_MAX <= sizeof(thread_digits) - 1, "a digit for each thread");

enum { TICK_MIN_MS = 10, TICK_MAX_MS = 250 };

/* A request as its query tells it. */
struct ask {
    struct exchange *x;
    const struct http_request *request;
    char sid[SID_SIZE + 1]; /* one that is too long is cut, and then nobody's */
    bool has_sid;
    bool is_polling, is_websocket; /* neither: no transport that we know */
    unsigned revision;             /* 0: none that we know */
    bool is_jsonp;                 /* a script instead of an answer: for browsers without CORS */
};

struct engine *engine_new(const struct engine_settings *settings)
{
    struct engine *e = mem_new(struct engine);

    e->settings = *settings;
    return e;
}

void engine_free(struct engine *e)
{
    for (size_t i = 0; i < LEDGER_LISTENERS_MAX; i++)
        mem_free(e->threads[i]);
    mem_free(e);
}

uint64_t engine_now_ms(const struct engine_thread *et)
{
    return uv_now(&et->thread->loop);
}

void engine_refuse(struct exchange *x, int status, enum engine_error error)
{
    static const char *const messages[] = {
        "Transport unknown", "Session ID unknown", "Bad handshake method",
        "Bad request",       "Forbidden",          "Unsupported protocol version",
    };
    struct buf out;

    buf_init(&out, 128);
    emit_open(&out, '{');
    emit_field_int(&out, "code", error);
    emit_field_string(&out, "message", messages[error]);
    emit_close(&out, '}');
    exchange_header(x, "Cache-Control", "no-store");
    exchange_reply(x, status, "application/json", msg_new(out.data, out.len));
    buf_deinit(&out);
}

static void run_chore(struct chore *chore)
{
    struct engine_thread *et =
        (struct engine_thread *)(void *)((char *)chore - offsetof(struct engine_thread, chore));
    struct engine_socket *s = et->busy;

    et->busy = NULL;
    while (s != NULL) {
        struct engine_socket *next = s->next_busy;
        s->is_busy = false;
        socket_tend(s);
        s = next;
    }
}

static void fire(struct wheel_entry *entry)
{
    socket_due(
        (struct engine_socket *)(void *)((char *)entry - offsetof(struct engine_socket, deadline)));
}

static void on_timer(uv_timer_t *timer)
{
    struct engine_thread *et = timer->data;

    wheel_advance(&et->wheel, engine_now_ms(et), fire);
    if (HASH_COUNT(et->sockets) == 0)
        uv_timer_stop(&et->timer);
}

/* Fine enough for the shorter of the two intervals. */
static uint32_t tick_of(const struct engine_settings *settings)
{
    uint32_t tick_ms =
        (settings->ping_interval_ms < settings->ping_timeout_ms ? settings->ping_interval_ms
                                                                : settings->ping_timeout_ms) /
        20;

    if (tick_ms < TICK_MIN_MS)
        return TICK_MIN_MS;
    return tick_ms < TICK_MAX_MS ? tick_ms : TICK_MAX_MS;
}

static void watch_clock(struct engine_thread *et)
{
    uint32_t tick_ms = tick_of(&et->engine->settings);

    wheel_advance(&et->wheel, engine_now_ms(et), fire); /* it stood still */
    uv_timer_start(&et->timer, on_timer, tick_ms, tick_ms);
}

/* A client that is not waiting for an answer finds nobody when it comes again.
 * WebSockets hear their Close from their own connections. */
static void drain_thread(struct drainer *drainer)
{
    struct engine_thread *et =
        (struct engine_thread *)(void *)((char *)drainer - offsetof(struct engine_thread, drainer));
    struct engine_socket *s, *next;

    HASH_ITER(hh, et->sockets, s, next)
    if (s->link == NULL)
        socket_end(s, WS_CLOSE_GOING_AWAY, "server is going away");
}

static struct engine_thread *thread_of(struct engine *e, struct io_thread *t)
{
    struct engine_thread *et = e->threads[t->index];

    if (et != NULL)
        return et;
    et = e->threads[t->index] = mem_new(struct engine_thread);
    et->engine = e;
    et->thread = t;
    et->chore.run = run_chore;
    et->drainer.drain = drain_thread;
    io_thread_add_drainer(t, &et->drainer);
    wheel_init(&et->wheel, tick_of(&e->settings), engine_now_ms(et));
    uv_timer_init(&t->loop, &et->timer);
    et->timer.data = et;
    return et;
}

void engine_thread_end(struct engine *e, struct io_thread *t)
{
    struct engine_thread *et = e->threads[t->index];
    struct engine_socket *s, *next;

    if (et == NULL)
        return;
    HASH_ITER(hh, et->sockets, s, next)
    socket_end(s, WS_CLOSE_GOING_AWAY, "server is going away");
    run_chore(&et->chore);
    uv_close((uv_handle_t *)&et->timer, NULL);
}

static void get_parameter(struct str query, const char *name, struct buf *out)
{
    buf_reset(out);
    if (url_query_get(query, name, out) != OK)
        buf_reset(out);
}

static bool is_value(const struct buf *value, const char *text)
{
    return strcmp(buf_text(value), text) == 0;
}

static void ask_read(struct ask *a, struct exchange *x)
{
    struct buf value;

    *a = (struct ask){ .x = x, .request = exchange_request(x) };
    buf_init(&value, HTTP_TARGET_MAX);
    get_parameter(a->request->query, "transport", &value);
    a->is_polling = is_value(&value, "polling");
    a->is_websocket = is_value(&value, "websocket");
    get_parameter(a->request->query, "EIO", &value);
    a->revision = is_value(&value, "4") ? ENGINEIO_V4 : is_value(&value, "3") ? ENGINEIO_V3 : 0;
    a->is_jsonp = url_query_get(a->request->query, "j", &value) != FAIL_MISSING;
    get_parameter(a->request->query, "sid", &value);
    a->has_sid = value.len > 0;
    size_t len = value.len < SID_SIZE ? value.len : SID_SIZE;
    memcpy(a->sid, buf_text(&value), len);
    buf_deinit(&value);
}

/* 0, or what was answered. */
static int check_handshake(const struct ask *a, char accept[WS_ACCEPT_SIZE])
{
    int status = ws_handshake(a->request, accept);

    if (status == 426)
        exchange_header(a->x, "Sec-WebSocket-Version", "13");
    if (status != 0)
        engine_refuse(a->x, status == 426 ? 426 : 400, ENGINE_BAD_REQUEST);
    return status;
}

void engine_release_place(struct engine *e)
{
    atomic_fetch_sub_explicit(&e->socket_count, 1, memory_order_relaxed);
}

static bool take_place(struct engine *e)
{
    if (atomic_fetch_add_explicit(&e->socket_count, 1, memory_order_relaxed) <
        e->settings.sockets_max)
        return true;
    engine_release_place(e);
    return false;
}

static void put_open(struct engine_socket *s, bool may_upgrade)
{
    const struct engine_settings *settings = &s->home->engine->settings;
    struct engineio_open open = {
        .sid = s->sid,
        .may_upgrade = may_upgrade,
        .ping_interval_ms = settings->ping_interval_ms,
        .ping_timeout_ms = settings->ping_timeout_ms,
        .payload_max = settings->payload_max,
    };
    struct buf json;

    buf_init(&json, ENGINEIO_OPEN_MAX);
    engineio_append_open(&json, &open);
    socket_put(s, &(struct engineio_packet){ ENGINEIO_OPEN, false, buf_str(&json) });
    buf_deinit(&json);
}

static void name(const struct engine_thread *et, char sid[SID_SIZE])
{
    uint8_t secret[15]; /* 120 bits: nobody guesses another's */

    random_bytes(secret, sizeof(secret));
    sid[0] = thread_digits[et->thread->index];
    encode_base64url(secret, sizeof(secret), sid + 1);
}

static struct engine_socket *add_socket(struct engine_thread *et, enum engineio_revision revision)
{
    char sid[SID_SIZE];

    name(et, sid);
    if (HASH_COUNT(et->sockets) == 0)
        watch_clock(et);
    return socket_new(et, sid, revision);
}

static void begin(struct engine *e, const struct ask *a, engine_open open, void *argument)
{
    char accept[WS_ACCEPT_SIZE];

    if (a->request->method != HTTP_GET) {
        engine_refuse(a->x, 400, ENGINE_BAD_METHOD);
        return;
    }
    if (a->is_websocket && check_handshake(a, accept) != 0)
        return;
    if (a->revision != ENGINEIO_V4 && !(a->revision == ENGINEIO_V3 && e->settings.allows_eio3)) {
        engine_refuse(a->x, 400, ENGINE_BAD_VERSION);
        return;
    }
    if (exchange_thread(a->x)->is_draining || !take_place(e)) {
        exchange_header(a->x, "Retry-After", "1");
        engine_refuse(a->x, 503, ENGINE_BAD_REQUEST);
        return;
    }
    struct engine_socket *s =
        add_socket(thread_of(e, exchange_thread(a->x)), (enum engineio_revision)a->revision);
    /* The exchange, and with it what `argument` may point to, is not freed
     * before the end of this call, also when its connection is a WebSocket. */
    if (a->is_websocket)
        s->link = link_open(s, a->x, accept);
    put_open(s, a->is_polling);
    s->context = open(argument, s, &s->events);
    if (a->is_polling)
        poll_get(s, a->x);
}

static int thread_named(const char *sid)
{
    const char *digit = strchr(thread_digits, sid[0]);

    return digit != NULL && strlen(sid) == SID_SIZE - 1 ? (int)(digit - thread_digits) : -1;
}

static struct engine_socket *find(struct engine *e, const struct io_thread *t, const char *sid)
{
    struct engine_thread *et = e->threads[t->index];
    struct engine_socket *s = NULL;

    if (et == NULL)
        return NULL;
    HASH_FIND_STR(et->sockets, sid, s);
    /* The wheel may be a tick late; a client that has timed out has done so now. */
    if (s != NULL)
        socket_due(s);
    return s != NULL && !s->is_over ? s : NULL;
}

static void upgrade(struct engine_socket *s, const struct ask *a)
{
    char accept[WS_ACCEPT_SIZE];

    if (check_handshake(a, accept) != 0)
        return;
    if (s->link != NULL || s->probe != NULL || s->is_closing) {
        link_reject(a->x, accept);
        return;
    }
    s->probe = link_open(s, a->x, accept);
    s->probe_ms = engine_now_ms(s->home) + ENGINE_UPGRADE_TIMEOUT_MS;
    socket_set_deadline(s);
}

static void serve(struct engine_socket *s, const struct ask *a)
{
    if (a->is_websocket)
        upgrade(s, a);
    else if (s->link != NULL)
        engine_refuse(a->x, 400, ENGINE_BAD_REQUEST);
    else if (a->request->method == HTTP_GET)
        poll_get(s, a->x);
    else if (a->request->method == HTTP_POST)
        poll_post(s, a->x);
    else
        engine_refuse(a->x, 400, ENGINE_BAD_REQUEST);
}

static void resume(struct engine *e, const struct ask *a)
{
    struct io_thread *t = exchange_thread(a->x);
    int thread = thread_named(a->sid);

    if (thread >= 0 && thread != (int)t->index && thread < (int)t->pool->thread_count) {
        exchange_move(a->x, (unsigned)thread);
        return;
    }
    struct engine_socket *s = find(e, t, a->sid);
    if (s != NULL)
        serve(s, a);
    else
        engine_refuse(a->x, 400, ENGINE_SID_UNKNOWN);
}

void engine_request(struct engine *e, struct exchange *x, engine_open open, void *argument)
{
    struct ask a;

    ask_read(&a, x);
    if (!a.is_polling && !a.is_websocket)
        engine_refuse(x, 400, ENGINE_TRANSPORT_UNKNOWN);
    else if (a.is_jsonp)
        engine_refuse(x, 400, ENGINE_BAD_REQUEST);
    else if (a.has_sid)
        resume(e, &a);
    else
        begin(e, &a, open, argument);
}
