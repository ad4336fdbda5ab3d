#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "core/counters.h"

const struct io_timeouts quick_timeouts = {
    .head = 150,
    .body = 150,
    .idle = 150,
    .write = 150,
    .ws_ping = 100,
    .ws_dead = 300,
    .ws_close = 150,
    .tick = 10,
};

void server_start(struct server *s, struct io_settings settings, struct ledger *ledger,
                  exchange_handler handler)
{
    const char *address = "127.0.0.1:0";
    struct buf why;

    settings.addresses = &address;
    settings.address_count = 1;
    if (settings.threads == 0)
        settings.threads = 1;
    if (settings.connections_max == 0)
        settings.connections_max = 5000;
    if (settings.ws.message_max == 0)
        settings.ws.message_max = 65536;
    buf_init(&why, 1024);
    assert_int_equal(io_pool_start(&settings, ledger, handler, s, &s->pool, &why), OK);
    s->port = (uint16_t)strtoul(strrchr(io_pool_address(s->pool, 0), ':') + 1, NULL, 10);
    buf_deinit(&why);
}

void server_stop(struct server *s)
{
    io_pool_stop(s->pool, 5000);
    s->pool = NULL;
    /* However its connections ended, each was counted off once. */
    assert_int_equal(counter_sum(COUNT_OPEN_HTTP), 0);
    assert_int_equal(counter_sum(COUNT_OPEN_WEBSOCKET), 0);
}

static int open_with(const struct server *s, int receive_buffer)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(s->port) };
    struct timeval limit = { .tv_sec = 20 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (receive_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

int client_open(const struct server *s)
{
    return open_with(s, 0);
}

int client_open_slow(const struct server *s)
{
    return open_with(s, 32768);
}

void client_send(int fd, const void *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        assert_true(sent > 0);
        bytes = (const char *)bytes + sent;
        len -= (size_t)sent;
    }
}

void client_say(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

void client_take(int fd, void *out, size_t len)
{
    while (len > 0) {
        ssize_t got = recv(fd, out, len, 0);
        assert_true(got > 0);
        out = (char *)out + got;
        len -= (size_t)got;
    }
}

void client_expect_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

void answer_read(struct answer *a, int fd, bool has_body)
{
    size_t len = 0;

    do {
        assert_true(len < sizeof(a->head) - 1);
        client_take(fd, a->head + len, 1);
        a->head[++len] = '\0';
    } while (len < 4 || memcmp(a->head + len - 4, "\r\n\r\n", 4) != 0);
    assert_int_equal(sscanf(a->head, "HTTP/1.1 %d ", &a->status), 1);
    const char *length = answer_field(a, "Content-Length");
    size_t body_len = has_body && length != NULL ? strtoul(length, NULL, 10) : 0;
    buf_init(&a->body, SIZE_MAX / 2);
    char *at = buf_reserve(&a->body, body_len);
    client_take(fd, at, body_len);
    at[body_len] = '\0';
    a->body.len = body_len;
}

void answer_deinit(struct answer *a)
{
    buf_deinit(&a->body);
}

const char *answer_field(const struct answer *a, const char *name)
{
    static char value[1024];
    size_t len = strlen(name);

    for (const char *line = strstr(a->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        size_t n = strcspn(line + len + 2, "\r");
        memcpy(value, line + len + 2, n);
        value[n] = '\0';
        return value;
    }
    return NULL;
}

void expect_answer(int fd, const char *text, int status, const char *body)
{
    struct answer a;

    client_say(fd, text);
    answer_read(&a, fd, true);
    assert_int_equal(a.status, status);
    if (body != NULL)
        assert_string_equal(buf_text(&a.body), body);
    answer_deinit(&a);
}

void harness_breathe(void)
{
    struct timespec millisecond = { .tv_nsec = 1000000 };

    nanosleep(&millisecond, NULL);
}
