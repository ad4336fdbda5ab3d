#include "io/exchange.h"

#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "io/conversation.h"
#include "io/network.h"

enum { FIELDS_MAX = 32 * 1024 };

const struct http_request *exchange_request(const struct exchange *x)
{
    return x->request;
}

struct io_thread *exchange_thread(const struct exchange *x)
{
    return x->thread;
}

bool exchange_is_gone(const struct exchange *x)
{
    return x->is_closed || x->is_refused || x->connection->is_closing;
}

/* An IPv4 client of a dual-stack socket, as the IPv4 address it is. */
static bool as_ipv4(const struct exchange *x, struct in_addr *out)
{
    const struct sockaddr_in6 *v6 = (const void *)&x->peer;
    const struct sockaddr_in *v4 = (const void *)&x->peer;

    if (x->peer.ss_family == AF_INET) {
        *out = v4->sin_addr;
        return true;
    }
    if (x->peer.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return false;
    memcpy(out, v6->sin6_addr.s6_addr + 12, sizeof(*out));
    return true;
}

void exchange_peer(const struct exchange *x, char out[64])
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    bool is_v4 = as_ipv4(x, &v4.sin_addr);
    const void *address = is_v4 ? (const void *)&v4 : (const void *)&x->peer;
    socklen_t len = is_v4 ? sizeof(v4) : sizeof(struct sockaddr_in6);

    if (getnameinfo(address, len, out, 64, NULL, 0, NI_NUMERICHOST) != 0)
        memcpy(out, "?", 2);
}

bool exchange_is_loopback(const struct exchange *x)
{
    struct ip ip;

    ip_of(&x->peer, &ip);
    return ip_is_loopback(&ip);
}

void exchange_attach(struct exchange *x, void *state, void (*release)(void *state))
{
    assert(x->release == NULL);
    x->state = state;
    x->release = release;
}

void *exchange_state(const struct exchange *x)
{
    return x->state;
}

void exchange_watch(struct exchange *x, void (*left)(struct exchange *x, void *watcher),
                    void *watcher)
{
    assert(x->is_owed);
    x->left = left;
    x->watcher = watcher;
    conversation_wake(x); /* it may have left already */
}

void *exchange_watcher(const struct exchange *x)
{
    return x->watcher;
}

void exchange_move(struct exchange *x, unsigned thread)
{
    struct io_pool *p = x->thread->pool;

    assert(x->is_owed && x->mode == BODY_UNASKED);
    assert(thread < p->thread_count && thread != x->thread->index);
    x->is_owed = false;
    x->move_to = &p->threads[thread];
    conversation_wake(x);
}

/* RFC 9110, 10.1.1: a client that waits for it sends no body before. */
static void invite_body(struct exchange *x)
{
    static char words[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = { words, sizeof(words) - 1 };

    if (!x->request->expects_continue || x->request->is_http10 || x->is_complete ||
        x->piece.len > 0 || x->held.len > 0 || exchange_is_gone(x))
        return;
    /* The client has sent its head and waits, so the socket has room; one that
     * does not could not be told the rest in the right order. */
    if (connection_write(x->connection, &iov, 1, false) != (ssize_t)iov.iov_len)
        connection_close(x->connection);
}

void exchange_read(struct exchange *x, size_t max,
                   void (*done)(struct exchange *x, struct str body))
{
    assert(x->is_owed && x->mode == BODY_UNASKED);
    x->mode = BODY_READ;
    x->read_done = done;
    buf_init(&x->body, max);
    if (x->request->content_length > 0 && (uint64_t)x->request->content_length > max)
        conversation_refuse(x, 413);
    else
        invite_body(x);
    conversation_wake(x);
}

void exchange_stream(struct exchange *x, const struct body_events *events)
{
    assert(x->is_owed && x->mode == BODY_UNASKED);
    x->mode = BODY_STREAM;
    x->body_events = events;
    invite_body(x);
    conversation_wake(x);
}

void exchange_pause(struct exchange *x)
{
    x->is_paused = true;
}

void exchange_resume(struct exchange *x)
{
    x->is_paused = false;
    conversation_wake(x);
}

void exchange_park(struct exchange *x, uint32_t timeout_ms, void (*over)(struct exchange *x))
{
    assert(x->is_owed && x->parked == NULL);
    x->parked = over;
    x->park_ms = timeout_ms;
    x->is_unparked = false;
    conversation_wake(x);
}

void exchange_unpark(struct exchange *x)
{
    if (x->parked == NULL)
        return;
    x->is_unparked = true;
    conversation_wake(x);
}

void exchange_header(struct exchange *x, const char *name, const char *value)
{
    assert(strpbrk(name, "\r\n:") == NULL && strpbrk(value, "\r\n") == NULL);
    if (x->fields.max == 0)
        buf_init(&x->fields, FIELDS_MAX);
    buf_printf(&x->fields, "%s: %s\r\n", name, value);
    assert(!x->fields.failed);
}

void exchange_keep_headers(struct exchange *x)
{
    x->fields_kept = x->fields.len;
}

/* The handler has let go; what it says is heard unless we spoke before it. */
static bool take_word(struct exchange *x)
{
    assert(x->is_owed);
    x->is_owed = false;
    conversation_wake(x);
    return !exchange_is_gone(x);
}

void exchange_reply(struct exchange *x, int status, const char *content_type, struct msg *body)
{
    /* RFC 9110, 6.4.1: these end with the head. */
    assert(body == NULL || (status >= 200 && status != 204 && status != 304));
    if (take_word(x)) {
        answer_begin(x, status, content_type, body != NULL ? body->len : 0);
        if (x->request->method != HTTP_HEAD) {
            x->content = body;
            return;
        }
    }
    msg_unref(&body);
}

void exchange_reply_file(struct exchange *x, int status, const char *content_type, int fd,
                         uint64_t first, uint64_t length)
{
    if (take_word(x)) {
        answer_begin(x, status, content_type, length);
        if (x->request->method != HTTP_HEAD) {
            file_answer_start(x, fd, first, length);
            return;
        }
    }
    close(fd);
}
