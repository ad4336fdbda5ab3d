/* An answer without an end. The feed lies in the connection's room: who listens
 * costs no more than that.
 *
 *            feed_end, drain                 written
 *     OPEN -------------------> ENDING ----------------> connection_linger, `gone`
 *      |                          |
 *      +--------------------------+--- takes nothing for ws_dead, has left --> `gone`
 */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "core/limits.h"
#include "io/conversation.h"
#include "io/outbox.h"

struct feed {
    const struct feed_events *events;
    void *context;
    struct sink sink;
    struct outbox *waiting; /* NULL while the socket takes everything */
    uint32_t spoke_ms;      /* the loop's clock: when the socket last took something */
    uint32_t ignored;       /* bytes */
    bool is_ending;         /* or has ended */
};

_Static_assert(sizeof(struct feed) <= CONNECTION_ROOM, "the feed does not fit its connection");

static struct connection *connection_of(struct feed *f)
{
    return (struct connection *)(void *)((char *)f - offsetof(struct connection, room));
}

static struct feed *feed_of(struct connection *c)
{
    return (struct feed *)(void *)c->room;
}

static const struct io_timeouts *timeouts_of(struct feed *f)
{
    return &connection_of(f)->thread->pool->timeouts;
}

static void note_progress(struct feed *f)
{
    f->spoke_ms = (uint32_t)connection_now_ms(connection_of(f));
}

/* Only a reader that owes us an emptier socket has a deadline. */
static void watch_if_stuck(struct feed *f)
{
    if (f->waiting != NULL)
        connection_due_in(connection_of(f), timeouts_of(f)->ws_dead);
}

void feed_end(struct feed *f)
{
    if (f->is_ending)
        return;
    f->is_ending = true;
    if (f->waiting == NULL)
        connection_linger(connection_of(f));
}

/* An end is how a client leaves: one that closes only its own half has no way
 * to tell us that it still reads. */
static void on_input(struct connection *c, char *bytes, size_t len)
{
    struct feed *f = feed_of(c);

    (void)bytes;
    f->ignored += (uint32_t)len;
    if (len == 0 || f->ignored > FEED_IGNORED_MAX)
        connection_close(c);
}

static void on_writable(struct connection *c)
{
    struct feed *f = feed_of(c);

    if (f->waiting == NULL)
        return;
    note_progress(f);
    if (!outbox_flush(&f->waiting, c))
        return;
    if (f->is_ending)
        connection_linger(c);
    else
        f->events->drain(f->context);
}

static void on_due(struct connection *c)
{
    struct feed *f = feed_of(c);
    uint32_t dead_ms = timeouts_of(f)->ws_dead;
    uint32_t stuck_ms = (uint32_t)connection_now_ms(c) - f->spoke_ms;

    if (f->waiting == NULL)
        return;
    if (stuck_ms >= dead_ms || c->thread->is_draining)
        connection_close(c);
    else
        connection_due_in(c, dead_ms - stuck_ms);
}

/* The client finds its way back by itself. */
static void on_drain(struct connection *c)
{
    struct feed *f = feed_of(c);

    feed_end(f);
    if (f->waiting != NULL)
        connection_due_in(c, timeouts_of(f)->ws_close);
}

static void on_closed(struct connection *c)
{
    struct feed *f = feed_of(c);

    f->is_ending = true;
    outbox_free(&f->waiting);
    f->events->gone(f->context);
}

static const struct connection_ops feed_ops = {
    .input = on_input,
    .writable = on_writable,
    .due = on_due,
    .drain = on_drain,
    .closed = on_closed,
};

static unsigned sink_send(struct sink *sink, struct msg *const *messages, unsigned count)
{
    struct feed *f = (struct feed *)(void *)((char *)sink - offsetof(struct feed, sink));

    if (f->waiting != NULL || f->is_ending)
        return 0;
    note_progress(f);
    unsigned taken = outbox_send(&f->waiting, connection_of(f), messages, count);
    watch_if_stuck(f);
    return taken;
}

static void sink_close(struct sink *sink, uint16_t code, const char *reason)
{
    (void)code;
    (void)reason;
    feed_end((struct feed *)(void *)((char *)sink - offsetof(struct feed, sink)));
}

static const struct sink_ops sink_ops = { .send = sink_send, .close = sink_close };

struct sink *feed_sink(struct feed *f)
{
    return &f->sink;
}

struct io_thread *feed_thread(const struct feed *f)
{
    return connection_of((struct feed *)f)->thread;
}

/* A listener says nothing, so one whose machine has gone is noticed by what it
 * does not acknowledge; without this the kernel would try for a quarter of an
 * hour. */
static void bound_silence(struct feed *f)
{
    struct connection *c = connection_of(f);
    unsigned dead_ms = timeouts_of(f)->ws_dead;

    if (c->fd >= 0)
        setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
}

static void say_head(struct feed *f, const struct exchange *x, const char *content_type)
{
    struct buf head;

    buf_init(&head, 64 * 1024);
    answer_put_head(x, &head, 200, content_type, "close");
    buf_puts(&head, "\r\n");
    assert(!head.failed);
    note_progress(f);
    outbox_put(&f->waiting, connection_of(f), head.data, head.len);
    buf_deinit(&head);
}

static void start(struct connection *c, char *bytes, size_t len)
{
    struct feed *f = feed_of(c);

    if (!c->is_lingering) {
        connection_want(c, f->waiting != NULL ? UV_READABLE | UV_WRITABLE : UV_READABLE);
        connection_due_in(c, UINT32_MAX);
        watch_if_stuck(f);
    }
    if (len > 0)
        on_input(c, bytes, len);
}

struct feed *feed_open(struct exchange *x, const char *content_type,
                       const struct feed_events *events, void *context)
{
    struct feed *f = feed_of(conversation_leave(x, &feed_ops, start));

    f->events = events;
    f->context = context;
    f->sink.ops = &sink_ops;
    bound_silence(f);
    say_head(f, x, content_type);
    return f;
}
