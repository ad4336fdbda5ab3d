/* A WebSocket on a connection. The link lies in the connection's room, so an
 * idle viewer is one allocation; its outbox is a second one, while the socket
 * takes nothing.
 *
 *             ws_link_close               peer's Close
 *     OPEN ------------------> CLOSING ------------------> ENDING
 *      |     our Close sent             timeout: cut         | flushed
 *      \-----------------------------------------------------/
 *        peer's Close, or its mistake: ours sent             v
 *                                                 connection_linger, `gone`
 */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "core/counters.h"
#include "core/frames.h"
#include "core/limits.h"
#include "io/conversation.h"
#include "io/outbox.h"
#include "proto/ws.h"

enum link_state { LINK_OPEN, LINK_CLOSING, LINK_ENDING };

struct ws_link {
    const struct ws_link_events *events;
    void *context;
    struct sink sink;
    struct outbox *waiting; /* NULL while the socket takes everything */
    struct ws_reader reader;
    /* The loop's clock, in milliseconds, cut to 32 bits: only differences count. */
    uint32_t heard_ms, spoke_ms, pinged_ms;
    struct bucket bucket; /* its messages and Pings */
    uint8_t state;        /* enum link_state */
    uint8_t framing;      /* enum framing */
};

_Static_assert(sizeof(struct ws_link) <= CONNECTION_ROOM, "the link does not fit its connection");

static struct connection *connection_of(struct ws_link *l)
{
    return (struct connection *)(void *)((char *)l - offsetof(struct connection, room));
}

static struct ws_link *link_of(struct connection *c)
{
    return (struct ws_link *)(void *)c->room;
}

static const struct io_timeouts *timeouts_of(struct ws_link *l)
{
    return &connection_of(l)->thread->pool->timeouts;
}

static uint32_t now_of(struct ws_link *l)
{
    return (uint32_t)connection_now_ms(connection_of(l));
}

static void put(struct ws_link *l, const void *bytes, size_t len)
{
    if (l->waiting == NULL)
        l->spoke_ms = now_of(l);
    outbox_put(&l->waiting, connection_of(l), bytes, len);
}

/* The last words are said; as soon as they are written it is over. */
static void end_when_flushed(struct ws_link *l)
{
    l->state = LINK_ENDING;
    if (l->waiting == NULL)
        connection_linger(connection_of(l));
}

static void say_close(struct ws_link *l, uint16_t code, const char *reason)
{
    struct buf frame;

    outbox_drop_latest(l->waiting); /* 5.5.1: nothing behind a Close */
    buf_init(&frame, WS_HEAD_MAX + WS_CONTROL_MAX);
    ws_append_close(&frame, code, reason, false);
    put(l, frame.data, frame.len);
    buf_deinit(&frame);
    connection_due_in(connection_of(l), timeouts_of(l)->ws_close);
}

void ws_link_close(struct ws_link *l, uint16_t code, const char *reason)
{
    if (l->state != LINK_OPEN)
        return;
    l->state = LINK_CLOSING;
    counter_close(COUNT_SERVER_CLOSES, code);
    say_close(l, code, reason);
}

/* The peer broke the protocol or a limit: nothing it says counts any more. */
static void fail(struct ws_link *l, uint16_t code, const char *reason)
{
    if (l->state == LINK_OPEN) {
        counter_close(COUNT_SERVER_CLOSES, code);
        say_close(l, code, reason);
    }
    end_when_flushed(l);
}

/* Within the reader's callbacks: what it was fed is over too. */
static bool take_one(struct ws_link *l)
{
    if (io_thread_take(connection_of(l)->thread, &l->bucket))
        return true;
    l->reader.is_over = true;
    fail(l, WS_CLOSE_POLICY, "too many messages");
    return false;
}

static void on_message(void *context, enum ws_opcode type, char *data, size_t len)
{
    struct ws_link *l = context;

    if (l->state == LINK_OPEN && take_one(l))
        l->events->message(l->context, type, (struct str){ data, len });
}

/* RFC 6455, 5.5.3: of several Pings only the latest needs an answer. */
static void on_ping(void *context, const char *data, size_t len)
{
    struct ws_link *l = context;
    char frame[2 + WS_CONTROL_MAX];

    if (l->state != LINK_OPEN || !take_one(l))
        return;
    frame[0] = (char)(WS_FIN | WS_PONG);
    frame[1] = (char)len;
    memcpy(frame + 2, data, len);
    if (l->waiting == NULL)
        l->spoke_ms = now_of(l);
    outbox_put_latest(&l->waiting, connection_of(l), frame, 2 + len);
}

static void on_pong(void *context, const char *data, size_t len)
{
    (void)context; /* that it was heard is noted for any input */
    (void)data;
    (void)len;
}

static void on_close(void *context, uint16_t code, struct str reason)
{
    struct ws_link *l = context;

    (void)reason;
    if (l->state == LINK_OPEN) {
        counter_close(COUNT_CLIENT_CLOSES, code);
        say_close(l, code, "");
    }
    end_when_flushed(l);
}

static const struct ws_events reader_events = { on_message, on_ping, on_pong, on_close };

static void on_input(struct connection *c, char *bytes, size_t len)
{
    struct ws_link *l = link_of(c);

    if (len == 0) {
        connection_close(c);
        return;
    }
    l->heard_ms = now_of(l);
    if (l->state == LINK_ENDING)
        return;
    uint16_t code = ws_reader_feed(&l->reader, &c->thread->pool->ws, &reader_events, l, bytes, len);
    if (code == WS_CLOSE_EMPTY)
        return;
    if (code == WS_CLOSE_TOO_BIG)
        counter_add(COUNT_LIMITED_MESSAGE_SIZE, 1);
    fail(l, code,
         code == WS_CLOSE_TOO_BIG    ? "message too big"
         : code == WS_CLOSE_NOT_UTF8 ? "not UTF-8"
                                     : "protocol error");
}

static void on_writable(struct connection *c)
{
    struct ws_link *l = link_of(c);

    if (l->waiting == NULL)
        return;
    l->spoke_ms = now_of(l);
    if (!outbox_flush(&l->waiting, c))
        return;
    if (l->state == LINK_ENDING)
        connection_linger(c);
    else if (l->state == LINK_OPEN)
        l->events->drain(l->context);
}

static uint32_t soonest(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Alive is who was heard lately: who keeps silent is pinged, also one that we
 * speak to all the time. And a path on which we keep silent is pinged for the
 * proxies on it. */
static void watch(struct ws_link *l)
{
    const struct io_timeouts *timeouts = timeouts_of(l);
    static const char ping[2] = { (char)(WS_FIN | WS_PING), 0 };
    uint32_t now = now_of(l), unheard = now - l->heard_ms, unspoken = now - l->spoke_ms;

    bool is_stuck = l->waiting != NULL && unspoken >= timeouts->ws_dead;
    if (unheard >= timeouts->ws_dead || is_stuck) {
        counter_add(COUNT_LIMITED_WS_TIME, 1);
        connection_close(connection_of(l));
        return;
    }
    uint32_t silence = unheard > unspoken ? unheard : unspoken;
    if (soonest(silence, now - l->pinged_ms) >= timeouts->ws_ping && l->waiting == NULL) {
        l->pinged_ms = now;
        put(l, ping, sizeof(ping));
    }
    uint32_t unpinged = now - l->pinged_ms;
    uint32_t quiet = soonest(silence, unpinged); /* ping when both are long enough */
    uint32_t next_ping = quiet < timeouts->ws_ping ? timeouts->ws_ping - quiet : timeouts->ws_ping;
    connection_due_in(connection_of(l), soonest(timeouts->ws_dead - unheard, next_ping));
}

static void on_due(struct connection *c)
{
    struct ws_link *l = link_of(c);

    if (l->state == LINK_OPEN)
        watch(l);
    else
        connection_close(c);
}

static void on_drain(struct connection *c)
{
    ws_link_close(link_of(c), WS_CLOSE_GOING_AWAY, "server is going away");
}

static void on_closed(struct connection *c)
{
    struct ws_link *l = link_of(c);

    counter_add(COUNT_OPEN_WEBSOCKET, -1);
    counter_add(COUNT_OPEN_HTTP, 1); /* until it is released */
    if (l->state == LINK_OPEN)
        counter_add(COUNT_LOST_WEBSOCKETS, 1);
    l->state = LINK_ENDING;
    outbox_free(&l->waiting);
    ws_reader_deinit(&l->reader);
    l->events->gone(l->context);
}

static const struct connection_ops ws_ops = {
    .input = on_input,
    .writable = on_writable,
    .due = on_due,
    .drain = on_drain,
    .closed = on_closed,
};

/* The hot path of every fan-out: no copy, no allocation, one system call. */
static unsigned sink_send(struct sink *sink, struct msg *const *messages, unsigned count)
{
    struct ws_link *l = (struct ws_link *)(void *)((char *)sink - offsetof(struct ws_link, sink));

    if (l->waiting != NULL || l->state != LINK_OPEN)
        return 0;
    l->spoke_ms = now_of(l);
    return outbox_send(&l->waiting, connection_of(l), messages, count);
}

static void sink_close(struct sink *sink, uint16_t code, const char *reason)
{
    struct ws_link *l = (struct ws_link *)(void *)((char *)sink - offsetof(struct ws_link, sink));

    ws_link_close(l, code, reason);
}

static const struct sink_ops sink_ops = { .send = sink_send, .close = sink_close };

struct sink *ws_link_sink(struct ws_link *l)
{
    return &l->sink;
}

enum framing ws_link_framing(const struct ws_link *l)
{
    return (enum framing)l->framing;
}

struct io_thread *ws_link_thread(const struct ws_link *l)
{
    return connection_of((struct ws_link *)l)->thread;
}

bool ws_link_write(struct ws_link *l, const void *bytes, size_t len, size_t max)
{
    if (l->state != LINK_OPEN)
        return false;
    put(l, bytes, len);
    if (connection_of(l)->is_closing)
        return false; /* `gone` will come */
    if (outbox_bytes(l->waiting) <= max)
        return true;
    ws_link_close(l, WS_CLOSE_POLICY, "reads too slowly");
    return false;
}

static void say_switching(struct ws_link *l, const struct ws_answer *answer, const char *date)
{
    struct buf head;

    /* The protocol is one that was offered: no longer than a head may be. */
    buf_init(&head, HTTP_HEAD_MAX + 4096);
    buf_printf(&head,
               "HTTP/1.1 101 Switching Protocols\r\nDate: %s\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
               date, answer->accept);
    if (answer->protocol != NULL)
        buf_printf(&head, "Sec-WebSocket-Protocol: %s\r\n", answer->protocol);
    if (answer->deflate != NULL) {
        buf_puts(&head, "Sec-WebSocket-Extensions: ");
        deflate_answer(answer->deflate, &head);
        buf_puts(&head, "\r\n");
    }
    buf_puts(&head, "\r\n");
    assert(!head.failed);
    put(l, head.data, head.len);
    buf_deinit(&head);
}

static void start(struct connection *c, char *bytes, size_t len)
{
    struct ws_link *l = link_of(c);

    connection_want(c, l->waiting != NULL ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    if (l->state == LINK_OPEN)
        connection_due_in(c, timeouts_of(l)->ws_ping);
    if (len > 0)
        on_input(c, bytes, len);
}

struct ws_link *ws_link_open(struct exchange *x, const struct ws_answer *answer,
                             const struct ws_link_events *events, void *context)
{
    struct ws_link *l = link_of(conversation_leave(x, &ws_ops, start));
    bool is_deflate = answer->deflate != NULL;

    l->events = events;
    l->context = context;
    l->sink.ops = &sink_ops;
    l->framing = is_deflate && answer->deflate->server_bits == 15 ? FRAMING_WS_DEFLATE : FRAMING_WS;
    ws_reader_init(&l->reader, is_deflate);
    l->heard_ms = l->spoke_ms = l->pinged_ms = now_of(l);
    counter_add(COUNT_OPEN_HTTP, -1);
    counter_add(COUNT_OPEN_WEBSOCKET, 1);
    counter_add(COUNT_OPENED_WEBSOCKET, 1);
    say_switching(l, answer, x->thread->date);
    return l;
}
