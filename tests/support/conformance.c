/* What conformance suites are run against: the server's own codecs and I/O
 * with nothing behind them but echoes.
 *
 *     conformance [ADDR:PORT [THREADS [PING-INTERVAL PING-TIMEOUT]]]
 *     (default 127.0.0.1:9001 1 300 200)
 *
 *     /ws         WebSocket echo, permessage-deflate on
 *     /engine.io/ Engine.IO echo, revisions 4 and 3, maxPayload 1e6
 *     /socket.io/ Socket.IO as its suite wants it: conformance_socketio.h
 *     POST /      echoes the body
 *     POST /json  200 if the body is JSON by RFC 8259, else 400
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "conformance_socketio.h"
#include "io/engine.h"
#include "io/thread.h"

enum {
    BODY_MAX = 16 * 1024 * 1024,
    BACKLOG_MAX = 64 * 1024 * 1024,
    STOP_MS = 5000,
};

struct echo {
    struct ws_link *link;
    uint8_t deflate_bits; /* 0: not compressed */
};

static void echo_message(void *context, enum ws_opcode type, struct str message)
{
    struct echo *e = context;
    struct buf packed, frame;
    uint8_t first = (uint8_t)(WS_FIN | type);

    buf_init(&packed, BODY_MAX + BODY_MAX / 8);
    buf_init(&frame, BODY_MAX + BODY_MAX / 8);
    if (e->deflate_bits != 0 &&
        deflate_message(message.at, message.len, e->deflate_bits, &packed) == OK) {
        message = buf_str(&packed);
        first |= WS_RSV1;
    }
    ws_append_frame(&frame, first, message.at, message.len);
    ws_link_write(e->link, frame.data, frame.len, BACKLOG_MAX);
    buf_deinit(&frame);
    buf_deinit(&packed);
}

static void echo_drain(void *context)
{
    (void)context;
}

static void echo_gone(void *context)
{
    mem_free(context);
}

static const struct ws_link_events echo_events = { echo_message, echo_drain, echo_gone };

static void echo_packet(void *context, bool is_binary, struct str message)
{
    engine_socket_send(context, is_binary, message, BACKLOG_MAX);
}

static void forget_packets(void *context)
{
    (void)context;
}

static const struct engine_events engine_echo_events = {
    .message = echo_packet,
    .drain = echo_drain,
    .gone = forget_packets,
};

static void reply_text(struct exchange *x, int status, const char *text)
{
    exchange_reply(x, status, "text/plain; charset=utf-8", msg_new(text, strlen(text)));
}

static void open_echo(struct exchange *x)
{
    char accept[WS_ACCEPT_SIZE];
    struct deflate_params deflate;
    int status = ws_handshake(exchange_request(x), accept);

    if (status == 426)
        exchange_header(x, "Sec-WebSocket-Version", "13");
    if (status != 0) {
        reply_text(x, status, "this is a WebSocket\n");
        return;
    }
    struct echo *e = mem_new(struct echo);
    struct ws_answer answer = { .accept = accept };
    if (deflate_negotiate(exchange_request(x), &deflate)) {
        answer.deflate = &deflate;
        e->deflate_bits = deflate.server_bits;
    }
    e->link = ws_link_open(x, &answer, &echo_events, e);
}

static void *open_engine_echo(void *argument, struct engine_socket *s,
                              const struct engine_events **events)
{
    (void)argument;
    *events = &engine_echo_events;
    return s; /* as the context: nothing else is needed */
}

static void echo_body(struct exchange *x, struct str body)
{
    struct str type = http_header(exchange_request(x), "Content-Type");
    char text[256];

    snprintf(text, sizeof(text), "%.*s", STR_ARG(type));
    exchange_reply(x, 200, type.at != NULL ? text : "application/octet-stream",
                   msg_new(body.at, body.len));
}

/* jansson refuses a NUL in a key, which RFC 8259 does not: another character
 * stands in for it. A backslash outside a string is malformed either way. */
static void replace_nul_escapes(char *text, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (text[i] != '\\')
            continue;
        if (len - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0)
            text[i + 5] = '1';
        i++;
    }
}

static json_t *read_json(struct str body)
{
    /* jansson passes over a NUL behind a number or a word. */
    if (body.len > 0 && memchr(body.at, '\0', body.len) != NULL)
        return NULL;
    char *text = mem_strndup(body.at, body.len);
    replace_nul_escapes(text, body.len);
    json_t *value = json_loadb(text, body.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    mem_free(text);
    return value;
}

static void judge_json(struct exchange *x, struct str body)
{
    json_t *value = read_json(body);

    reply_text(x, value != NULL ? 200 : 400, value != NULL ? "JSON\n" : "not JSON\n");
    json_decref(value);
}

static void handle(void *context, struct exchange *x)
{
    const struct http_request *request = exchange_request(x);
    bool is_post = request->method == HTTP_POST;

    if (str_equal(request->path, STR("/ws")))
        open_echo(x);
    else if (str_equal(request->path, STR("/engine.io/")))
        engine_request(context, x, open_engine_echo, NULL);
    else if (str_equal(request->path, STR("/socket.io/")))
        engine_request(context, x, open_socketio_echo, NULL);
    else if (str_equal(request->path, STR("/json")) && is_post)
        exchange_read(x, BODY_MAX, judge_json);
    else if (!str_equal(request->path, STR("/")))
        reply_text(x, 404, "nothing here\n");
    else if (is_post)
        exchange_read(x, BODY_MAX, echo_body);
    else
        reply_text(x, 200, "conformance\n");
}

static void end_thread(void *context, struct io_thread *t)
{
    engine_thread_end(context, t);
}

static unsigned number(int argc, char **argv, int index, unsigned otherwise)
{
    return argc > index ? (unsigned)strtoul(argv[index], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:9001";
    struct io_settings settings = {
        .threads = number(argc, argv, 2, 1),
        .connections_max = 10000,
        .ws.message_max = BODY_MAX,
        .addresses = &address,
        .address_count = 1,
        .thread_end = end_thread,
    };
    struct engine_settings engine_settings = {
        .ping_interval_ms = number(argc, argv, 3, 300),
        .ping_timeout_ms = number(argc, argv, 4, 200),
        .payload_max = 1000 * 1000,
        .sockets_max = 10000,
        .allows_eio3 = true,
    };
    struct engine *engine = engine_new(&engine_settings);
    struct io_pool *pool;
    struct buf why;
    sigset_t ends;
    int signal_number;

    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    buf_init(&why, 1024);
    if (io_pool_start(&settings, NULL, handle, engine, &pool, &why) != OK) {
        fprintf(stderr, "conformance: %s\n", buf_text(&why));
        buf_deinit(&why);
        engine_free(engine);
        return 1;
    }
    printf("listening on %s\n", io_pool_address(pool, 0));
    fflush(stdout);
    sigwait(&ends, &signal_number);
    io_pool_stop(pool, STOP_MS);
    engine_free(engine);
    return 0;
}
