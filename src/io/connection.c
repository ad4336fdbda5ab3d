#include "io/connection.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread_internal.h"

/* A client that sends a whole chunk before it reads must get to its refusal. */
enum {
    LINGER_MS = 5 * 1000, /* a turn; one of silence is the last */
    LINGER_TURNS = 6,
    LINGER_BYTES = 256 * 1024 * 1024,
};

static struct connection *open_here(struct io_thread *t, int fd, bool is_counted)
{
    struct connection *c = mem_new(struct connection);

    if (uv_poll_init(&t->loop, &c->poll, fd) != 0) {
        mem_free(c);
        close(fd);
        return NULL;
    }
    c->thread = t;
    c->fd = fd;
    c->holds = 1; /* the handle's, until it is closed */
    c->is_counted = is_counted;
    connection_due_in(c, UINT32_MAX);
    return c;
}

struct connection *connection_open(struct io_thread *t, int fd, bool is_counted)
{
    struct connection *c = open_here(t, fd, is_counted);

    if (c != NULL)
        io_thread_count(t, 1, is_counted);
    return c;
}

struct given connection_give(struct connection *c)
{
    struct given given = { .fd = c->fd, .peer = c->peer };

    assert(c->holds == 1 && c->is_counted && !c->is_closing && !c->is_lingering);
    c->fd = -1;
    c->peer = NULL;
    c->ops = NULL;
    c->is_given = true;
    connection_close(c); /* libuv forgets the descriptor at once */
    return given;
}

/* It counted for the pool already, but not for this thread. */
static void count_taken(struct io_thread *t, bool is_lost)
{
    t->connection_count++;
    if (is_lost)
        io_thread_count(t, -1, true);
}

struct connection *connection_take(struct io_thread *t, struct given *given)
{
    struct connection *c = open_here(t, given->fd, true);

    if (c != NULL)
        c->peer = given->peer;
    else
        peers_leave(t->pool->peers, &given->peer);
    count_taken(t, c == NULL);
    return c;
}

void connection_lose(struct io_thread *t, struct given *given)
{
    close(given->fd);
    peers_leave(t->pool->peers, &given->peer);
    count_taken(t, true);
}

struct connection *connection_open_dead(struct io_thread *t)
{
    struct connection *c = mem_new(struct connection);

    c->thread = t;
    c->fd = -1;
    c->is_closing = true;
    io_thread_count(t, 1, false);
    return c;
}

void connection_hold(struct connection *c)
{
    c->holds++;
}

void connection_release(struct connection *c)
{
    assert(c->holds > 0);
    if (--c->holds > 0)
        return;
    assert(c->is_closed);
    if (c->fd >= 0)
        close(c->fd);
    peers_leave(c->thread->pool->peers, &c->peer);
    if (c->is_given)
        c->thread->connection_count--;
    else
        io_thread_count(c->thread, -1, c->is_counted);
    mem_free(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *c = (struct connection *)handle;

    c->is_closed = true;
    if (c->ops != NULL)
        c->ops->closed(c);
    connection_release(c);
}

void connection_close(struct connection *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    wheel_remove(&c->deadline);
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
}

/* Throws away what still comes, so that the peer gets to read our last words. */
static void linger_on(struct connection *c, ssize_t got)
{
    if (got <= 0 || (size_t)got >= c->linger_left)
        connection_close(c);
    else
        c->linger_left -= (uint32_t)got;
    c->is_heard = true;
}

static void read_some(struct connection *c)
{
    size_t len = IO_BUFFER_SIZE;
    char *room = c->is_lingering || c->ops->room == NULL ? NULL : c->ops->room(c, &len);

    if (room == NULL) {
        room = c->thread->buffer;
        len = IO_BUFFER_SIZE;
    }
    ssize_t got = recv(c->fd, room, len, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (c->is_lingering)
        linger_on(c, got);
    else if (got < 0)
        connection_close(c);
    else
        c->ops->input(c, room, (size_t)got);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct connection *c = (struct connection *)poll;

    if (status < 0) {
        connection_close(c);
        return;
    }
    if ((events & UV_WRITABLE) && !c->is_lingering && !c->is_closing)
        c->ops->writable(c);
    if ((events & UV_READABLE) && (c->events & UV_READABLE) && !c->is_closing)
        read_some(c);
}

void connection_want(struct connection *c, int events)
{
    if (c->is_closing || c->events == events)
        return;
    c->events = (uint8_t)events;
    int rc = events != 0 ? uv_poll_start(&c->poll, events, on_poll) : uv_poll_stop(&c->poll);
    if (rc != 0)
        connection_close(c);
}

ssize_t connection_write(struct connection *c, const struct iovec *iov, unsigned count, bool more)
{
    struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = count };
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    ssize_t sent;

    if (c->is_closing || c->is_lingering)
        return FAIL_CLOSED;
    /* One frame for each of a thousand viewers is what fan-out mostly is, and
     * send() spares the kernel fetching and checking a header each time. */
    do
        sent = count == 1 ? send(c->fd, iov->iov_base, iov->iov_len, flags)
                          : sendmsg(c->fd, &message, flags);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN)
        return 0;
    connection_close(c);
    return FAIL_CLOSED;
}

uint64_t connection_now_ms(const struct connection *c)
{
    return uv_now(&c->thread->loop);
}

void connection_due_in(struct connection *c, uint32_t timeout_ms)
{
    if (c->is_closing)
        return;
    uint64_t due = timeout_ms == UINT32_MAX ? WHEEL_NEVER : connection_now_ms(c) + timeout_ms;
    wheel_put(&c->thread->wheel, &c->deadline, due);
}

void connection_linger(struct connection *c)
{
    if (c->is_closing || c->is_lingering)
        return;
    c->is_lingering = true;
    c->linger_left = LINGER_BYTES;
    c->linger_turns = LINGER_TURNS;
    if (shutdown(c->fd, SHUT_WR) != 0) {
        connection_close(c);
        return;
    }
    connection_want(c, UV_READABLE);
    connection_due_in(c, LINGER_MS);
}

static struct connection *of_entry(struct wheel_entry *e)
{
    return (struct connection *)(void *)((char *)e - offsetof(struct connection, deadline));
}

static void linger_turn(struct connection *c)
{
    if (!c->is_heard || --c->linger_turns == 0 || c->thread->is_draining) {
        connection_close(c);
        return;
    }
    c->is_heard = false;
    connection_due_in(c, LINGER_MS);
}

void connection_fire(struct wheel_entry *e)
{
    struct connection *c = of_entry(e);

    if (c->is_lingering) {
        linger_turn(c);
        return;
    }
    /* On the wheel also without a deadline: that is how draining finds it. */
    connection_due_in(c, UINT32_MAX);
    c->ops->due(c);
}

void connection_drain(struct wheel_entry *e)
{
    struct connection *c = of_entry(e);

    if (!c->is_lingering)
        c->ops->drain(c);
}

void connection_cut(struct wheel_entry *e)
{
    connection_close(of_entry(e));
}
