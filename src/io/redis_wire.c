#include "io/redis_wire.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/redis_socket.h"

const struct redis_settings redis_settings_default = {
    .connect_timeout_ms = 5 * 1000,
    .command_timeout_ms = 10 * 1000,
    .backoff_min_ms = 200,
    .backoff_max_ms = 15 * 1000,
    .silence_ms = 10 * 1000,
    .pong_ms = 5 * 1000,
    .out_max = 16 * 1024 * 1024,
    .commands_max = 100000,
    .reply_max = 16 * 1024 * 1024,
    .message_max = 1024 * 1024,
    .topics_max = 200000,
};

struct wire_lookup {
    uv_getaddrinfo_t request;
    struct wire *wire; /* NULL: nobody waits for it any more */
};

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

static int err_of(int status)
{
    switch (status) {
    case UV_ETIMEDOUT: return FAIL_TIMEOUT;
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOBUFS:
    case UV_ENOMEM:
    case UV_EACCES: return FAIL_IO;
    default: return FAIL_CLOSED;
    }
}

static const char *text_of(int status)
{
    return status == UV_EOF ? "Redis closed the connection" : uv_strerror(status);
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
    int status;

    w->state = WIRE_CONNECTING;
    set_timer(w, w->settings.connect_timeout_ms);
    status =
        socket_connect(w, w->address != NULL ? w->address->ai_addr : NULL, w->url.path, &w->socket);
    if (status != 0)
        address_failed(w, err_of(status), text_of(status));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct wire_lookup *lookup = request->data;
    struct wire *w = lookup->wire;

    mem_free(lookup);
    if (w == NULL) {
        uv_freeaddrinfo(addresses);
        return;
    }
    w->lookup = NULL;
    if (w->state != WIRE_RESOLVING) {
        uv_freeaddrinfo(addresses);
        return;
    }
    if (status != 0) {
        buf_reset(&w->why);
        buf_printf(&w->why, "%s: %s", w->url.hosts[0].name, uv_strerror(status));
        lose(w, FAIL_CLOSED, buf_text(&w->why));
        return;
    }
    w->addresses = w->address = addresses;
    try_address(w);
}

static void resolve(struct wire *w)
{
    static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct wire_lookup *lookup;
    char port[8];
    int status;

    w->state = WIRE_RESOLVING;
    set_timer(w, w->settings.connect_timeout_ms);
    if (w->lookup != NULL)
        return;
    lookup = mem_new(struct wire_lookup);
    snprintf(port, sizeof(port), "%u", w->url.hosts[0].port);
    lookup->request.data = lookup;
    status =
        uv_getaddrinfo(w->loop, &lookup->request, on_resolved, w->url.hosts[0].name, port, &hints);
    if (status != 0) {
        mem_free(lookup);
        lose(w, err_of(status), uv_strerror(status));
        return;
    }
    lookup->wire = w;
    w->lookup = lookup;
}

static void attempt(struct wire *w)
{
    if (w->url.is_tls)
        lose(w, FAIL_UNSUPPORTED, "TLS to Redis (rediss) is not supported yet");
    else if (w->url.path != NULL)
        try_address(w);
    else
        resolve(w);
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

static void greet(struct wire *w, enum wire_greeting what, const struct str *args, size_t count)
{
    w->greetings[w->greeting_count++] = what;
    redis_format(&w->out, args, count);
}

static void send_greetings(struct wire *w)
{
    const struct redis_url *url = &w->url;
    char db[16];

    w->greeting_count = w->greeting_next = 0;
    if (url->password != NULL) {
        const struct str args[] = { STR("AUTH"), str_of(url->user), str_of(url->password) };
        const struct str alone[] = { args[0], args[2] };
        greet(w, GREET_AUTH, url->user ? args : alone, url->user ? 3 : 2);
    }
    snprintf(db, sizeof(db), "%u", url->db);
    if (url->db != 0)
        greet(w, GREET_SELECT, (struct str[]){ STR("SELECT"), str_of(db) }, 2);
    if (w->settings.name != NULL)
        greet(w, GREET_NAME,
              (struct str[]){ STR("CLIENT"), STR("SETNAME"), str_of(w->settings.name) }, 3);
    greet(w, GREET_PING, (struct str[]){ STR("PING") }, 1);
    flush(w);
}

void wire_connected(struct wire *w, int status)
{
    if (status == 0)
        status = socket_read(w->socket);
    if (status != 0) {
        address_failed(w, err_of(status), text_of(status));
        return;
    }
    redis_reader_free(w->reader);
    w->reader = redis_reader_new(w->reply_max);
    w->state = WIRE_GREETING;
    send_greetings(w);
}

static const char *const greeting_names[] = { "AUTH", "SELECT", "CLIENT SETNAME", "PING" };

/* Redis may have a user without the right to some of this. */
static bool is_tolerable(enum wire_greeting what, const struct redis_reply *reply)
{
    return (what == GREET_NAME || what == GREET_PING) &&
           (redis_reply_is_error(reply, "NOPERM") ||
            str_starts(reply->text, STR("ERR unknown command")) ||
            str_starts(reply->text, STR("ERR unknown subcommand")));
}

static void refused(struct wire *w, enum wire_greeting what, const struct redis_reply *reply)
{
    int err = redis_reply_err(reply);
    struct str text = reply->text;

    if (str_starts(text, STR("ERR max number of clients")))
        err = FAIL_STATE;
    else if (err == FAIL_SYNTAX)
        err = FAIL_DENIED;
    /* Where AUTH was renamed, Redis repeats what it was given: the password. */
    if (what == GREET_AUTH && str_starts(text, STR("ERR unknown")))
        text = STR("Redis knows no AUTH");
    name_address(w);
    buf_printf(&w->why, "%s: %.*s", greeting_names[what], text.len < 200 ? (int)text.len : 200,
               text.at);
    lose(w, err, buf_text(&w->why));
}

static void on_greeting(struct wire *w, const struct redis_reply *reply)
{
    enum wire_greeting what = w->greetings[w->greeting_next++];

    if (reply->type == REDIS_ERROR && !is_tolerable(what, reply)) {
        refused(w, what, reply);
        return;
    }
    if (reply->type != REDIS_STATUS && reply->type != REDIS_ERROR) {
        address_failed(w, FAIL_SYNTAX, "what answers is no Redis");
        return;
    }
    if (w->greeting_next < w->greeting_count)
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

void wire_read(struct wire *w, const char *bytes, ssize_t len)
{
    if (len > 0) {
        w->heard_ms = uv_now(w->loop);
        consume(w, bytes, (size_t)len);
    } else if (w->state == WIRE_GREETING) {
        address_failed(w, err_of((int)len), text_of((int)len));
    } else {
        lose(w, err_of((int)len), text_of((int)len));
    }
}

void wire_written(struct wire *w, int status)
{
    if (status != 0) {
        wire_read(w, NULL, status);
        return;
    }
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
    const struct redis_settings *s = settings != NULL ? settings : &redis_settings_default;

    assert(s->backoff_min_ms > 0 && s->backoff_max_ms >= s->backoff_min_ms && s->silence_ms > 0);
    signal(SIGPIPE, SIG_IGN); /* libuv writes without MSG_NOSIGNAL */
    w->loop = loop;
    w->events = events;
    w->settings = *s;
    w->settings.name = s->name != NULL ? mem_strdup(s->name) : NULL;
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
    if (w->lookup != NULL) {
        w->lookup->wire = NULL;
        uv_cancel((uv_req_t *)&w->lookup->request);
    }
    w->state = WIRE_OVER;
    uv_close((uv_handle_t *)&w->timer, on_closed);
}

void wire_deinit(struct wire *w)
{
    redis_reader_free(w->reader);
    redis_url_deinit(&w->url);
    mem_free((char *)w->settings.name);
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
