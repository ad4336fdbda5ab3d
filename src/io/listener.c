#include "io/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/counters.h"
#include "core/limits.h"
#include "io/connection.h"
#include "io/conversation.h"
#include "io/thread_internal.h"

enum {
    BACKLOG = 4096,
    ACCEPTS_MAX = 64,  /* in a row, before other connections have their turn */
    REFUSED_MAX = 128, /* refused clients that are still told so politely */
};

struct acceptor {
    uv_poll_t poll;
    struct acceptor *next;
    struct io_thread *thread;
    int fd;
    bool is_paused;
};

int listen_address_parse(const char *text, struct listen_address *out)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    struct addrinfo *found, hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };

    if (colon == NULL || colon[1] == '\0')
        return FAIL_SYNTAX;
    size_t len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL) {
        return FAIL_SYNTAX; /* IPv6 without brackets: which colon ends it? */
    }
    if (len >= sizeof(host))
        return FAIL_SYNTAX;
    memcpy(host, text, len);
    host[len] = '\0';
    uint64_t port;
    if (str_parse_u64(str_of(colon + 1), 65535, &port) != OK)
        return FAIL_SYNTAX;
    if (getaddrinfo(len > 0 ? host : NULL, colon + 1, &hints, &found) != 0)
        return FAIL_MISSING;
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}

void listen_address_text(const struct listen_address *a, char out[LISTEN_TEXT_MAX])
{
    char host[48], port[8];

    if (getnameinfo((const struct sockaddr *)&a->address, a->len, host, sizeof(host), port,
                    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(out, LISTEN_TEXT_MAX, "?");
        return;
    }
    bool is_v6 = a->address.ss_family == AF_INET6;
    snprintf(out, LISTEN_TEXT_MAX, "%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

static int fail_to_listen(int errno_value)
{
    if (errno_value == EADDRINUSE)
        return FAIL_EXISTS;
    return errno_value == EADDRNOTAVAIL ? FAIL_MISSING : fail_from_errno(errno_value);
}

static int open_socket(const struct listen_address *a, bool shares_port)
{
    int on = 1, unsent = SOCKET_UNSENT_MAX;
    int fd = socket(a->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fail_from_errno(errno);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (shares_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        /* Accepted sockets inherit these three. A full socket is how we learn that
         * somebody reads slowly: megabytes of old progress in the kernel help
         * nobody. */
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0 ||
        bind(fd, (const struct sockaddr *)&a->address, a->len) != 0) {
        int code = fail_to_listen(errno);
        close(fd);
        return code;
    }
    return fd;
}

int listener_probe(const struct listen_address *a)
{
    int fd = open_socket(a, false);

    if (fd < 0)
        return fd;
    close(fd);
    return OK;
}

int listener_bind(struct listen_address *a, int *out)
{
    int fd = open_socket(a, true);

    if (fd < 0)
        return fd;
    a->len = sizeof(a->address);
    if (listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)&a->address, &a->len) != 0) {
        int code = fail_to_listen(errno);
        close(fd);
        return code;
    }
    *out = fd;
    return OK;
}

/* Over a limit: one write to a fresh socket, whose buffer is empty. */
static void refuse_client(struct io_thread *t, int fd, const char *status, const char *error)
{
    char words[512];
    int len = snprintf(words, sizeof(words),
                       "HTTP/1.1 %s\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
                       "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                       status, strlen(error), error);
    struct iovec iov = { words, (size_t)len };

    if (t->refused_count >= REFUSED_MAX) {
        close(fd);
        return;
    }
    struct connection *c = connection_open(t, fd, false);
    if (c == NULL)
        return;
    connection_write(c, &iov, 1, false);
    connection_linger(c);
}

static void welcome(struct io_thread *t, int fd, const struct sockaddr_storage *from)
{
    struct io_pool *p = t->pool;
    struct peer *peer;

    if (atomic_load_explicit(&p->connections, memory_order_relaxed) >= p->connections_max) {
        counter_add(COUNT_LIMITED_CONNECTIONS, 1);
        refuse_client(t, fd, "503 Service Unavailable",
                      "{\"error\":{\"code\":\"SERVICE_UNAVAILABLE\","
                      "\"message\":\"Too many connections\"}}");
        return;
    }
    if (!peers_enter(p->peers, from, &peer)) {
        counter_add(COUNT_LIMITED_ADDRESS, 1);
        refuse_client(t, fd, "429 Too Many Requests",
                      "{\"error\":{\"code\":\"TOO_MANY_REQUESTS\","
                      "\"message\":\"Too many connections from this address\"}}");
        return;
    }
    struct connection *c = connection_open(t, fd, true);
    if (c == NULL) {
        peers_leave(p->peers, &peer);
        return;
    }
    counter_add(COUNT_OPENED_HTTP, 1);
    c->peer = peer;
    conversation_begin(c, from);
}

/* Without descriptors the socket stays readable and the loop would spin; the
 * thread's timer tries again. */
static void pause_acceptor(struct acceptor *a, int why)
{
    log_warn("accept_paused", LOG_S("why", strerror(why)));
    a->is_paused = true;
    uv_poll_stop(&a->poll);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct acceptor *a = (struct acceptor *)poll;

    (void)events;
    for (int i = 0; status == 0 && i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        int fd = accept4(a->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(a->thread, fd, &peer);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_acceptor(a, errno);
            return;
        }
    }
}

int acceptor_open(struct io_thread *t, int fd)
{
    struct acceptor *a = mem_new(struct acceptor);

    if (uv_poll_init(&t->loop, &a->poll, fd) != 0) {
        mem_free(a);
        close(fd);
        return FAIL_IO;
    }
    a->fd = fd;
    a->thread = t;
    a->next = t->acceptors;
    t->acceptors = a;
    uv_poll_start(&a->poll, UV_READABLE, on_readable);
    return OK;
}

static void on_acceptor_closed(uv_handle_t *handle)
{
    mem_free(handle);
}

void acceptors_close(struct io_thread *t)
{
    while (t->acceptors != NULL) {
        struct acceptor *a = t->acceptors;
        t->acceptors = a->next;
        uv_close((uv_handle_t *)&a->poll, on_acceptor_closed);
        close(a->fd);
    }
}

void acceptors_resume(struct io_thread *t)
{
    for (struct acceptor *a = t->acceptors; a != NULL; a = a->next)
        if (a->is_paused) {
            a->is_paused = false;
            uv_poll_start(&a->poll, UV_READABLE, on_readable);
        }
}
