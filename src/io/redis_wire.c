#include "io/redis_wire.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"
#include "io/redis_lookup.h"
#include "io/redis_socket.h"

static void on_timer(uv_timer_t *timer);
static void try_address(struct wire *w);

static void set_timer(struct wire *w, uint64_t ms)
{
    w->is_suspect = false;
    uv_timer_start(&w->timer, on_timer, ms, 0);
}

/* Nothing of an attempt is left behind this, but the reader, which may be on
 * the stack, and a lookup, which cannot be stopped: the next attempt takes it
 * over, so that a name server that hangs holds one worker thread, not all. */
static void clear(struct wire *w)
{
    if (w->socket != NULL) {
        socket_drop(w->socket);
        w->socket = NULL;
    }
    if (w->addresses != NULL)
        uv_freeaddrinfo(w->addresses);
    w->addresses = w->address = NULL;
    tls_trust_free(w->trust);
    w->trust = NULL;
    buf_reset(&w->out);
}

/* Exponential, with full jitter: those that lost one Redis do not come back to
 * it all at once. Who is not let in asks seldom: a person has to mend that. */
static uint32_t wait_ms(struct wire *w, int err)
{
    uint64_t most = w->settings.backoff_min_ms, max = w->settings.backoff_max_ms;

    if (err == FAIL_DENIED)
        return (uint32_t)(max / 2 + random_u64() % (max / 2 + 1));
    for (unsigned i = 0; i < w->attempts && most < max; i++)
        most *= 2;
    w->attempts++;
    return (uint32_t)(random_u64() % (most < max ? most : max) + 1);
}

/* `why` may be w->why's own text. */
static void lose(struct wire *w, int err, const char *why)
{
    struct redis_down down = { .was_up = w->state == WIRE_READY, .err = err, .why = why };

    clear(w);
    if (down.was_up && uv_now(w->loop) - w->up_ms >= w->settings.backoff_max_ms)
        w->attempts = 0;
    down.retry_ms = wait_ms(w, err);
    w->state = WIRE_RESTING;
    set_timer(w, down.retry_ms);
    w->events->lost(w, &down);
}

void wire_lose(struct wire *w, int err, const char *why)
{
    if (w->state != WIRE_OVER && w->state != WIRE_RESTING)
        lose(w, err, why);
}

/* "127.0.0.1 port 6379: " */
static void name_address(struct wire *w)
{
    char name[64];

    buf_reset(&w->why);
    if (w->address == NULL)
        buf_printf(&w->why, "%s: ", w->url.path);
    else if (uv_ip_name(w->address->ai_addr, name, sizeof(name)) == 0)
        buf_printf(&w->why, "%s port %u: ", name, w->url.hosts[0].port);
}

/* This address is of no use; perhaps the next one is. */
static void address_failed(struct wire *w, int err, const char *why)
{
    name_address(w);
    buf_puts(&w->why, why);
    w->err = err;
    if (w->socket != NULL) {
        socket_drop(w->socket);
        w->socket = NULL;
    }
    buf_reset(&w->out);
    if (w->address != NULL && w->address->ai_next != NULL) {
        w->address = w->address->ai_next;
        try_address(w);
        return;
    }
    lose(w, w->err, buf_text(&w->why));
}

static void try_address(struct wire *w)
{
    const char *why;
    int err;

    w->state = WIRE_CONNECTING;
    set_timer(w, w->settings.connect_timeout_ms);
    err = socket_connect(w, &w->socket, &why);
    if (err != OK)
        address_failed(w, err, why);
}

void wire_found(struct wire *w, struct addrinfo *addresses, struct tls_trust *trust)
{
    w->addresses = w->address = addresses;
    w->trust = trust;
    try_address(w);
}

void wire_not_found(struct wire *w, int err, const char *why)
{
    lose(w, err, why);
}

static void attempt(struct wire *w)
{
    int status;

    if (w->url.path != NULL) {
        try_address(w);
        return;
    }
    w->state = WIRE_RESOLVING;
    set_timer(w, w->settings.connect_timeout_ms);
    status = lookup_start(w);
    if (status != 0)
        lose(w, FAIL_IO, uv_strerror(status));
}

static void flush(struct wire *w)
{
    if (socket_flush(w->socket, &w->out) == 0)
        return;
    /* No event within the call that sends: the timer tells. */
    socket_drop(w->socket);
    w->socket = NULL;
    set_timer(w, 0);
}

void wire_connected(struct wire *w)
{
    redis_reader_free(w->reader);
    w->reader = redis_reader_new(w->reply_max);
    w->state = WIRE_GREETING;
    greeting_say(&w->greeting, &w->url, w->settings.name, &w->out);
    flush(w);
}

static void on_greeting(struct wire *w, const struct redis_reply *reply)
{
    int err;

    name_address(w);
    err = greeting_answered(&w->greeting, reply, &w->why);
    if (err == FAIL_SYNTAX)
        address_failed(w, err, "what answers is no Redis");
    else if (err != OK)
        lose(w, err, buf_text(&w->why));
    if (err != OK || !greeting_is_over(&w->greeting))
        return;
    w->state = WIRE_READY;
    w->up_ms = uv_now(w->loop);
    w->pinged_ms = 0;
    set_timer(w, w->settings.silence_ms);
    w->events->ready(w);
}

static void on_reply(struct wire *w, const struct redis_reply *reply, bool is_cut)
{
    if (w->state == WIRE_GREETING)
        on_greeting(w, reply);
    else
        w->events->reply(w, reply, is_cut);
}

static void no_redis(struct wire *w, int err, const char *how)
{
    char why[WIRE_WHY_MAX];

    snprintf(why, sizeof(why), "what answers is no Redis: %s", how);
    if (w->state == WIRE_GREETING)
        address_failed(w, err, why);
    else
        lose(w, err, why);
}

static void consume(struct wire *w, const char *bytes, size_t len)
{
    struct wire_socket *socket = w->socket;
    struct redis_reply *reply;
    struct buf how;
    size_t used;
    bool is_cut;
    int err = OK;

    buf_init(&how, WIRE_WHY_MAX);
    /* Whoever hears a reply may end the connection, and with it this. */
    while (len > 0 && w->socket == socket) {
        err = redis_reader_feed(w->reader, bytes, len, &used, &reply, &is_cut, &how);
        if (err != OK) {
            no_redis(w, err, buf_text(&how));
            break;
        }
        bytes += used;
        len -= used;
        if (reply != NULL)
            on_reply(w, reply, is_cut);
        redis_reply_free(reply);
    }
    buf_deinit(&how);
}

void wire_read(struct wire *w, const char *bytes, size_t len)
{
    w->heard_ms = uv_now(w->loop);
    consume(w, bytes, len);
}

void wire_failed(struct wire *w, int err, const char *why)
{
    if (w->state == WIRE_READY)
        lose(w, err, why);
    else
        address_failed(w, err, why);
}

void wire_written(struct wire *w)
{
    flush(w);
    if (w->state == WIRE_READY && w->socket != NULL && wire_backlog(w) == 0)
        w->events->drained(w);
}

bool wire_believes(bool *is_suspect, uv_timer_t *timer, uv_timer_cb on_due)
{
    if (*is_suspect)
        return true;
    *is_suspect = true;
    uv_timer_start(timer, on_due, 1, 0);
    return false;
}

static void on_heartbeat(struct wire *w)
{
    uint64_t now = uv_now(w->loop);
    uint64_t due = w->heard_ms + w->settings.silence_ms;

    if (w->pinged_ms > w->heard_ms) {
        due = w->pinged_ms + w->settings.pong_ms;
        if (now >= due) {
            if (wire_believes(&w->is_suspect, &w->timer, on_timer))
                lose(w, FAIL_TIMEOUT, "Redis does not answer");
            return;
        }
    } else if (now >= due) {
        due = now + w->settings.silence_ms;
        if (w->events->ping(w)) {
            w->pinged_ms = now;
            due = now + w->settings.pong_ms;
        }
    }
    if (w->state == WIRE_READY && w->socket != NULL)
        set_timer(w, due - now);
}

static void on_timer(uv_timer_t *timer)
{
    struct wire *w = timer->data;

    switch (w->state) {
    case WIRE_RESTING: attempt(w); break;
    case WIRE_RESOLVING: lose(w, FAIL_TIMEOUT, "its name was not resolved in time"); break;
    case WIRE_CONNECTING:
    case WIRE_GREETING:
        if (wire_believes(&w->is_suspect, timer, on_timer))
            address_failed(w, FAIL_TIMEOUT, "no answer in time");
        break;
    case WIRE_READY:
        if (w->socket == NULL)
            lose(w, FAIL_CLOSED, "it takes nothing");
        else
            on_heartbeat(w);
        break;
    case WIRE_OVER: break;
    }
}

void wire_open(struct wire *w, uv_loop_t *loop, const struct redis_url *url,
               const struct redis_settings *settings, size_t reply_max,
               const struct wire_events *events)
{
    const struct redis_settings *s = &w->settings;

    settings_copy(settings, &w->settings);
    assert(s->backoff_min_ms > 0 && s->backoff_max_ms >= s->backoff_min_ms && s->silence_ms > 0);
    signal(SIGPIPE, SIG_IGN); /* libuv writes without MSG_NOSIGNAL */
    w->loop = loop;
    w->events = events;
    redis_url_copy(url, &w->url);
    w->reply_max = reply_max;
    buf_init(&w->out, s->out_max);
    buf_init(&w->why, WIRE_WHY_MAX);
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    w->state = WIRE_RESTING;
    set_timer(w, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct wire *w = handle->data;

    w->events->gone(w);
}

void wire_close(struct wire *w)
{
    if (w->state == WIRE_OVER)
        return;
    clear(w);
    lookup_abandon(w);
    w->state = WIRE_OVER;
    uv_close((uv_handle_t *)&w->timer, on_closed);
}

void wire_deinit(struct wire *w)
{
    redis_reader_free(w->reader);
    redis_url_deinit(&w->url);
    settings_deinit(&w->settings);
    buf_deinit(&w->out);
    buf_deinit(&w->why);
}

size_t wire_backlog(const struct wire *w)
{
    return w->out.len + (w->socket != NULL ? w->socket->writing.len : 0);
}

int wire_send(struct wire *w, const struct str *args, size_t count)
{
    size_t backlog = wire_backlog(w);
    int err;

    if (w->state != WIRE_READY || w->socket == NULL)
        return FAIL_CLOSED;
    if (backlog >= w->settings.out_max)
        return FAIL_LIMIT;
    /* What is being written counts too. */
    w->out.max = w->settings.out_max - w->socket->writing.len;
    err = redis_format(&w->out, args, count);
    w->out.max = w->settings.out_max;
    if (err == OK)
        flush(w);
    return err;
}
