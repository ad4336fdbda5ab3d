#include "io/ws_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/limits.h"
#include "io/fetch_internal.h"
#include "io/ws_answer.h"
#include "proto/ws.h"

enum {
    HANDSHAKE_TIMEOUT_MS = 15 * 1000,
    MESSAGE_MAX = 1024 * 1024, /* a job's state with its metadata and result */
    OUT_MAX = 64 * 1024,
    BLOCK = 16 * 1024,
};

struct ws_client {
    struct transfer transfer; /* first */
    const struct ws_client_events *events;
    void *context;
    uv_poll_t poll; /* set up once the connection is there */
    uv_timer_t timer;
    struct buf out; /* what the socket has not taken yet */
    struct buf in;  /* the answer's head as it arrives */
    struct ws_reader reader;
    char accept[WS_ACCEPT_SIZE];
    int handles; /* that are still to be closed */
    bool is_connected, is_open, is_over;
};

static void handle_closed(uv_handle_t *handle)
{
    struct ws_client *w = handle->data;

    if (--w->handles > 0)
        return;
    ws_reader_deinit(&w->reader);
    buf_deinit(&w->out);
    buf_deinit(&w->in);
    mem_free(w);
}

/* The memory stays until the loop is out of whatever called this. */
static void release(struct ws_client *w)
{
    w->is_over = true;
    w->reader.is_over = true;
    if (w->is_connected)
        uv_close((uv_handle_t *)&w->poll, handle_closed);
    uv_close((uv_handle_t *)&w->timer, handle_closed);
    transfer_end(&w->transfer);
}

static void end(struct ws_client *w, const struct ws_client_end *how)
{
    if (w->is_over)
        return;
    w->is_over = true;
    w->events->end(w->context, how);
    release(w);
}

static void end_with(struct ws_client *w, int err, const char *why)
{
    end(w, &(struct ws_client_end){ .err = err, .why = why });
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void send_out(struct ws_client *w)
{
    size_t sent = 0;

    while (w->out.len > 0) {
        CURLcode code = curl_easy_send(w->transfer.easy, w->out.data, w->out.len, &sent);
        if (code == CURLE_AGAIN)
            break;
        if (code != CURLE_OK) {
            end_with(w, FAIL_IO, "the connection broke");
            return;
        }
        buf_consume(&w->out, sent);
    }
    uv_poll_start(&w->poll, w->out.len > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_poll);
}

static void on_message(void *context, enum ws_opcode type, char *data, size_t len)
{
    struct ws_client *w = context;

    if (type == WS_TEXT)
        w->events->text(w->context, (struct str){ data, len });
}

static void on_ping(void *context, const char *data, size_t len)
{
    struct ws_client *w = context;

    /* When the server takes nothing, one pong more would not reach it either. */
    if (w->out.len < OUT_MAX / 2)
        ws_append_masked(&w->out, WS_FIN | WS_PONG, data, len);
}

static void on_pong(void *context, const char *data, size_t len)
{
    (void)context, (void)data, (void)len;
}

static void on_close(void *context, uint16_t code, struct str reason)
{
    struct ws_client *w = context;
    char why[128];

    ws_append_close(&w->out, code, NULL, true);
    send_out(w);
    snprintf(why, sizeof(why), "%.*s", STR_ARG(reason));
    end(w, &(struct ws_client_end){ .code = code, .why = why });
}

static const struct ws_events reader_events = {
    .message = on_message,
    .ping = on_ping,
    .pong = on_pong,
    .close = on_close,
};

static void feed(struct ws_client *w, char *bytes, size_t len)
{
    static const struct ws_settings settings = { .message_max = MESSAGE_MAX, .is_client = true };

    uint16_t code = ws_reader_feed(&w->reader, &settings, &reader_events, w, bytes, len);
    if (w->is_over || code == WS_CLOSE_EMPTY)
        return;
    ws_append_close(&w->out, code, NULL, true);
    send_out(w);
    end_with(w, FAIL_SYNTAX, "the server broke the WebSocket protocol");
}

static void on_silence(uv_timer_t *timer)
{
    struct ws_client *w = timer->data;

    end_with(w, FAIL_TIMEOUT,
             w->is_open ? "the server has fallen silent" : "the server does not answer");
}

/* Collects the head; what follows it are frames already. */
static void shake_hands(struct ws_client *w, const char *bytes, size_t len)
{
    struct ws_answer_head head;

    if (!buf_append(&w->in, bytes, len)) {
        end_with(w, FAIL_LIMIT, "the server's answer is too long");
        return;
    }
    int err = ws_answer_read(buf_str(&w->in), w->accept, &head);
    if (err == FAIL_MISSING)
        return; /* not all of it yet */
    if (err == FAIL_UNSUPPORTED) {
        end(w, &(struct ws_client_end){ .err = OK, .status = head.status, .why = head.why });
        return;
    }
    if (err) {
        end_with(w, FAIL_SYNTAX, head.why);
        return;
    }
    w->is_open = true;
    uv_timer_start(&w->timer, on_silence, WS_DEAD_AFTER_MS, 0);
    w->events->open(w->context);
    if (!w->is_over)
        feed(w, w->in.data + head.len, w->in.len - head.len);
}

static void receive(struct ws_client *w)
{
    char block[BLOCK];
    size_t len;

    while (!w->is_over) {
        CURLcode code = curl_easy_recv(w->transfer.easy, block, sizeof(block), &len);
        if (code == CURLE_AGAIN)
            return;
        if (code != CURLE_OK || len == 0) {
            end_with(w, FAIL_IO, "the connection broke");
            return;
        }
        if (!w->is_open) {
            shake_hands(w, block, len);
            continue;
        }
        uv_timer_start(&w->timer, on_silence, WS_DEAD_AFTER_MS, 0);
        feed(w, block, len);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct ws_client *w = poll->data;

    if (status < 0) {
        end_with(w, FAIL_IO, "the connection broke");
        return;
    }
    if (events & UV_READABLE)
        receive(w);
    if (!w->is_over)
        send_out(w);
}

/* The connection is there, TLS included: from here on the socket is watched by
 * us, though it stays libcurl's. */
static void on_connected(struct transfer *t, CURLcode code)
{
    struct ws_client *w = (struct ws_client *)t;
    curl_socket_t s = CURL_SOCKET_BAD;

    if (code != CURLE_OK) {
        end_with(w, fail_from_curl(code), transfer_why(t, code));
        return;
    }
    curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &s);
    if (s == CURL_SOCKET_BAD || uv_poll_init_socket(fetcher_loop(t->fetcher), &w->poll, s) != 0) {
        end_with(w, FAIL_IO, "the connection broke");
        return;
    }
    w->poll.data = w;
    w->is_connected = true;
    w->handles++;
    send_out(w);
}

static void on_cancel(struct transfer *t)
{
    release((struct ws_client *)t);
}

static void ask(struct ws_client *w, const char *url, const char *token)
{
    char key[WS_KEY_SIZE];

    ws_key(key);
    ws_accept_key(str_of(key), w->accept);
    if (ws_ask(url, key, token, &w->out) != OK)
        buf_reset(&w->out); /* libcurl refuses the URL as well */
}

struct ws_client *ws_client_new(struct fetcher *f, const char *url, const char *token,
                                const struct ws_client_events *events, void *context)
{
    struct ws_client *w = mem_new(struct ws_client);
    CURL *easy = transfer_prepare(&w->transfer, f, url);

    if (easy == NULL)
        abort(); /* as any small allocation */
    w->transfer.finished = on_connected;
    w->transfer.cancel = on_cancel;
    w->events = events;
    w->context = context;
    buf_init(&w->out, OUT_MAX);
    buf_init(&w->in, HTTP_HEAD_MAX);
    ws_reader_init(&w->reader, false);
    ask(w, url, token);
    uv_timer_init(fetcher_loop(f), &w->timer);
    w->timer.data = w;
    w->handles = 1;
    uv_timer_start(&w->timer, on_silence, HANDSHAKE_TIMEOUT_MS, 0);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
    /* HTTP/2 has no Upgrade: it must not be agreed on. */
    curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    transfer_begin(&w->transfer);
    return w;
}

void ws_client_close(struct ws_client *w)
{
    /* Best effort: nobody waits for the answer. */
    if (w->is_open && w->out.len == 0) {
        size_t sent;
        ws_append_close(&w->out, WS_CLOSE_NORMAL, NULL, true);
        (void)curl_easy_send(w->transfer.easy, w->out.data, w->out.len, &sent);
    }
    release(w);
}
