#include "ws_peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct ws_settings settings = { .message_max = 1 << 24, .is_client = true };

static void keep(struct buf *b, const char *bytes, size_t len)
{
    buf_deinit(b);
    buf_init(b, 1 << 24);
    buf_append(b, bytes, len);
}

static void on_message(void *context, enum ws_opcode type, char *data, size_t len)
{
    struct ws_peer *p = context;

    p->type = type;
    p->messages++;
    keep(&p->message, data, len);
    if (p->each != NULL)
        p->each(p);
}

static void on_ping(void *context, const char *data, size_t len)
{
    struct ws_peer *p = context;

    (void)data;
    (void)len;
    p->pings++;
}

static void on_pong(void *context, const char *data, size_t len)
{
    struct ws_peer *p = context;

    p->pongs++;
    keep(&p->pong, data, len);
}

static void on_close(void *context, uint16_t code, struct str reason)
{
    struct ws_peer *p = context;

    p->close_code = code;
    keep(&p->reason, reason.at, reason.len);
}

static const struct ws_events events = { on_message, on_ping, on_pong, on_close };

void ws_peer_open(struct ws_peer *p, int fd, const char *path, const char *extensions,
                  struct str behind)
{
    struct answer a;
    char text[1024];

    *p = (struct ws_peer){ .fd = fd, .close_code = -1 };
    ws_reader_init(&p->reader, extensions != NULL);
    snprintf(text, sizeof(text),
             "GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s"
             "\r\n",
             path, extensions != NULL ? "Sec-WebSocket-Extensions: " : "",
             extensions != NULL ? extensions : "", extensions != NULL ? "\r\n" : "");
    struct buf request;
    buf_init(&request, 4096);
    buf_puts(&request, text);
    buf_append(&request, behind.at, behind.len);
    client_send(fd, request.data, request.len);
    buf_deinit(&request);
    answer_read(&a, fd, false);
    assert_int_equal(a.status, 101);
    assert_string_equal(answer_field(&a, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_null(answer_field(&a, "Content-Length"));
    if (extensions != NULL)
        assert_non_null(answer_field(&a, "Sec-WebSocket-Extensions"));
    answer_deinit(&a);
}

void ws_peer_say(struct ws_peer *p, uint8_t first_byte, const void *bytes, size_t len)
{
    struct buf frame;

    buf_init(&frame, len + WS_HEAD_MAX);
    ws_append_masked(&frame, first_byte, bytes, len);
    client_send(p->fd, frame.data, frame.len);
    buf_deinit(&frame);
}

void ws_peer_text(struct ws_peer *p, const char *text)
{
    ws_peer_say(p, WS_FIN | WS_TEXT, text, strlen(text));
}

bool ws_peer_receive(struct ws_peer *p)
{
    char bytes[16384];
    ssize_t got = recv(p->fd, bytes, sizeof(bytes), 0);

    assert_true(got >= 0);
    assert_int_equal(ws_reader_feed(&p->reader, &settings, &events, p, bytes, (size_t)got),
                     WS_CLOSE_EMPTY);
    return got > 0;
}

void ws_peer_until_message(struct ws_peer *p)
{
    unsigned before = p->messages;

    while (p->messages == before)
        assert_true(ws_peer_receive(p));
}

void ws_peer_expect(struct ws_peer *p, const char *text)
{
    ws_peer_until_message(p);
    assert_int_equal(p->type, WS_TEXT);
    assert_string_equal(buf_text(&p->message), text);
}

void ws_peer_expect_close(struct ws_peer *p, int code, bool answers)
{
    while (p->close_code < 0)
        assert_true(ws_peer_receive(p));
    assert_int_equal(p->close_code, code);
    if (answers) {
        struct buf frame;
        buf_init(&frame, 256);
        ws_append_close(&frame, (uint16_t)code, "", true);
        client_send(p->fd, frame.data, frame.len);
        buf_deinit(&frame);
    }
    while (ws_peer_receive(p))
        ;
    ws_peer_deinit(p);
}

void ws_peer_deinit(struct ws_peer *p)
{
    ws_reader_deinit(&p->reader);
    buf_deinit(&p->message);
    buf_deinit(&p->pong);
    buf_deinit(&p->reason);
    close(p->fd);
}
