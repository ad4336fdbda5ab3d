#include "scripted.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/ws.h"

static void must(bool is_true)
{
    if (!is_true)
        abort();
}

static size_t wanted(const char *heard)
{
    const char *end = strstr(heard, "\r\n\r\n");
    const char *length = strcasestr(heard, "content-length:");

    if (end == NULL)
        return SIZE_MAX;
    return (size_t)(end + 4 - heard) +
           (length && length < end ? strtoul(length + 15, NULL, 10) : 0);
}

static void hear(struct scripted *s, size_t which, int fd)
{
    char *heard = s->heard[which];

    while (s->heard_len[which] < wanted(heard)) {
        ssize_t got =
            recv(fd, heard + s->heard_len[which], SCRIPTED_HEARD_MAX - 1 - s->heard_len[which], 0);
        if (got <= 0)
            return;
        s->heard_len[which] += (size_t)got;
        heard[s->heard_len[which]] = '\0';
    }
}

/* Behind the request: until the client goes. */
static void hear_rest(struct scripted *s, size_t which, int fd)
{
    for (;;) {
        ssize_t got = recv(fd, s->heard[which] + s->heard_len[which],
                           SCRIPTED_HEARD_MAX - 1 - s->heard_len[which], 0);
        if (got <= 0)
            return;
        s->heard_len[which] += (size_t)got;
    }
}

static void accept_key(const char *heard, char out[WS_ACCEPT_SIZE])
{
    const char *key = strstr(heard, "Sec-WebSocket-Key: ");

    out[0] = '\0';
    if (key != NULL)
        ws_accept_key((struct str){ key + 19, 24 }, out);
}

static void send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        len -= (size_t)sent;
    }
}

static void say(const struct scripted_answer *answer, const char *heard, int fd)
{
    const char *hole = strstr(answer->text, "%s");
    size_t len = answer->len ? answer->len : strlen(answer->text);
    char key[WS_ACCEPT_SIZE];

    if (hole == NULL) {
        send_all(fd, answer->text, len);
        return;
    }
    accept_key(heard, key);
    send_all(fd, answer->text, (size_t)(hole - answer->text));
    send_all(fd, key, strlen(key));
    send_all(fd, hole + 2, len - (size_t)(hole + 2 - answer->text));
}

static void *serve(void *context)
{
    struct scripted *s = context;

    for (size_t i = 0; i < s->count; i++) {
        int fd = accept(s->listener, NULL, NULL);
        must(fd >= 0);
        hear(s, i, fd);
        if (s->answers[i].late_ms > 0)
            usleep(s->answers[i].late_ms * 1000);
        if (s->answers[i].text == NULL) {
            struct linger now = { .l_onoff = 1, .l_linger = 0 };
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        } else {
            say(&s->answers[i], s->heard[i], fd);
            if (s->answers[i].keeps_open)
                hear_rest(s, i, fd);
        }
        close(fd);
    }
    return NULL;
}

void scripted_start(struct scripted *s, const struct scripted_answer *answers, size_t count)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);

    memset(s, 0, sizeof(*s));
    s->answers = answers;
    s->count = count;
    for (size_t i = 0; i < count; i++)
        s->heard[i] = mem_zalloc(SCRIPTED_HEARD_MAX);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(s->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    must(listen(s->listener, 16) == 0);
    must(getsockname(s->listener, (struct sockaddr *)&address, &len) == 0);
    s->port = ntohs(address.sin_port);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", s->port);
    must(pthread_create(&s->thread, NULL, serve, s) == 0);
}

void scripted_wait(struct scripted *s)
{
    if (!s->is_joined)
        pthread_join(s->thread, NULL);
    s->is_joined = true;
}

void scripted_stop(struct scripted *s)
{
    scripted_wait(s);
    close(s->listener);
    for (size_t i = 0; i < s->count; i++)
        mem_free(s->heard[i]);
}
