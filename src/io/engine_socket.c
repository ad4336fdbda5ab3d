#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/limits.h"
#include "io/engine_internal.h"

enum { QUEUE_MAX = 1 << 30 }; /* engine_socket_send has the real limit */

static uint64_t soonest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void socket_set_deadline(struct engine_socket *s)
{
    uint64_t heart_ms = s->is_closing ? WHEEL_NEVER : s->heart_ms;

    wheel_put(&s->home->wheel, &s->deadline, soonest(heart_ms, soonest(s->probe_ms, s->close_ms)));
}

void socket_busy(struct engine_socket *s)
{
    struct engine_thread *et = s->home;

    if (s->is_busy)
        return;
    s->is_busy = true;
    s->next_busy = et->busy;
    et->busy = s;
    io_thread_later(et->thread, &et->chore);
}

void socket_put(struct engine_socket *s, const struct engineio_packet *packet)
{
    if (s->link != NULL) {
        link_write(s->link, packet, SIZE_MAX);
        return;
    }
    engine_queue_put(&s->queue, packet);
    socket_busy(s);
}

static void put_type(struct engine_socket *s, enum engineio_type type)
{
    socket_put(s, &(struct engineio_packet){ .type = type });
}

void socket_end(struct engine_socket *s, uint16_t code, const char *reason)
{
    if (s->is_over)
        return;
    s->is_over = true;
    HASH_DEL(s->home->sockets, s);
    wheel_remove(&s->deadline);
    if (s->poll != NULL)
        poll_say(s, ENGINEIO_CLOSE);
    if (s->post != NULL)
        exchange_watch(s->post, NULL, NULL);
    poll_part(s);
    link_cut(&s->link, code, reason);
    link_cut(&s->probe, code, reason);
    socket_busy(s);
}

static void tell_gone(struct engine_socket *s)
{
    engine_release_place(s->home->engine);
    s->events->gone(s->context);
    buf_deinit(&s->queue);
    mem_free(s);
}

void socket_tend(struct engine_socket *s)
{
    if (s->is_over) {
        tell_gone(s);
        return;
    }
    if (s->poll != NULL)
        poll_tend(s);
    if (s->is_over)
        return; /* busy again, and then gone */
    bool takes_words = s->link != NULL || s->poll != NULL;
    if (s->is_blocked && takes_words && !s->is_closing) {
        s->is_blocked = false;
        s->events->drain(s->context);
    }
}

/* Counted from when the ping was due, not from when the wheel came round, but
 * for a process that slept. */
static void beat(struct engine_socket *s, uint64_t now_ms)
{
    const struct engine_settings *settings = &s->home->engine->settings;
    bool has_slept = now_ms - s->heart_ms >= settings->ping_timeout_ms / 2;

    if (s->awaits_beat) {
        socket_end(s, WS_CLOSE_POLICY, "ping timeout");
        return;
    }
    s->awaits_beat = true;
    s->heart_ms = (has_slept ? now_ms : s->heart_ms) + settings->ping_timeout_ms;
    put_type(s, ENGINEIO_PING);
}

void socket_due(struct engine_socket *s)
{
    uint64_t now_ms = engine_now_ms(s->home);

    if (now_ms >= s->close_ms)
        socket_end(s, WS_CLOSE_NORMAL, "");
    else if (now_ms >= s->heart_ms && !s->is_closing)
        beat(s, now_ms);
    if (s->is_over)
        return;
    if (now_ms >= s->probe_ms) {
        link_cut(&s->probe, WS_CLOSE_POLICY, "upgrade timeout");
        s->probe_ms = WHEEL_NEVER;
    }
    socket_set_deadline(s);
}

/* In revision 4 the server pings, in revision 3 the client does. */
static void start_beat(struct engine_socket *s)
{
    const struct engine_settings *settings = &s->home->engine->settings;

    s->heart_ms = engine_now_ms(s->home) + settings->ping_interval_ms;
    s->awaits_beat = revision_of(s) == ENGINEIO_V3;
    if (s->awaits_beat)
        s->heart_ms += settings->ping_timeout_ms;
}

static bool is_beat(const struct engine_socket *s, enum engineio_type type)
{
    return type == (revision_of(s) == ENGINEIO_V3 ? ENGINEIO_PING : ENGINEIO_PONG);
}

static bool is_wrong_beat(const struct engine_socket *s, enum engineio_type type)
{
    return type == (revision_of(s) == ENGINEIO_V3 ? ENGINEIO_PONG : ENGINEIO_PING);
}

static void hear_beat(struct engine_socket *s)
{
    start_beat(s);
    socket_set_deadline(s);
    if (revision_of(s) == ENGINEIO_V3 && !s->is_closing)
        put_type(s, ENGINEIO_PONG);
}

static void end_behind(struct engine_socket *s, enum engineio_type last, uint32_t timeout_ms)
{
    link_cut(&s->probe, WS_CLOSE_NORMAL, "");
    put_type(s, last);
    s->is_closing = true;
    s->close_ms = engine_now_ms(s->home) + timeout_ms;
    socket_set_deadline(s);
}

/* The client has left of its own will: a GET that still waits is let go, which
 * is no news to it. One that it sent at the same moment on another connection may
 * come in behind the POST: that waits for it a little, unanswered, so whatever the
 * client sends once it has the answer finds nobody. */
static void hear_close(struct engine_socket *s)
{
    if (s->link == NULL && s->poll == NULL && !s->is_closing) {
        s->has_left = true;
        end_behind(s, ENGINEIO_NOOP, ENGINE_FAREWELL_MS);
        return;
    }
    if (s->poll != NULL)
        poll_say(s, ENGINEIO_NOOP);
    socket_end(s, WS_CLOSE_NORMAL, "");
}

bool socket_receive(struct engine_socket *s, struct str text, struct buf *binary)
{
    struct engineio_packet packet;
    bool is_well = engineio_read(revision_of(s), text, binary, &packet) == OK;

    if (!is_well || is_wrong_beat(s, packet.type)) {
        socket_end(s, WS_CLOSE_PROTOCOL, "not an Engine.IO packet");
        return false;
    }
    if (packet.type == ENGINEIO_MESSAGE && !s->is_closing)
        s->events->message(s->context, packet.is_binary, packet.data);
    else if (is_beat(s, packet.type))
        hear_beat(s);
    else if (packet.type == ENGINEIO_CLOSE)
        hear_close(s);
    return true;
}

bool socket_receive_bytes(struct engine_socket *s, struct str bytes)
{
    struct engineio_packet packet;

    if (engineio_read_bytes(revision_of(s), bytes, &packet) != OK) {
        socket_end(s, WS_CLOSE_PROTOCOL, "not an Engine.IO packet");
        return false;
    }
    if (!s->is_closing)
        s->events->message(s->context, true, packet.data);
    return true;
}

static struct engine_socket *of_sink(struct sink *sink)
{
    return (struct engine_socket *)(void *)((char *)sink - offsetof(struct engine_socket, sink));
}

static unsigned sink_send(struct sink *sink, struct msg *const *messages, unsigned count)
{
    struct engine_socket *s = of_sink(sink);
    unsigned taken = 0;

    if (!s->is_over && !s->is_closing)
        taken = s->link != NULL ? link_send(s, messages, count) : poll_send(s, messages, count);
    if (taken < count)
        s->is_blocked = true;
    return taken;
}

static void close_link(struct engine_socket *s, uint16_t code, const char *reason)
{
    s->is_closing = true;
    socket_set_deadline(s);
    ws_link_close(s->link->link, code, reason); /* its `gone` ends the socket */
}

void engine_socket_close(struct engine_socket *s)
{
    if (s->is_over || s->is_closing)
        return;
    if (s->link != NULL) {
        close_link(s, WS_CLOSE_NORMAL, "");
        return;
    }
    end_behind(s, ENGINEIO_CLOSE, ENGINE_CLOSE_TIMEOUT_MS);
}

static void sink_close(struct sink *sink, uint16_t code, const char *reason)
{
    struct engine_socket *s = of_sink(sink);

    if (s->link != NULL && !s->is_over && !s->is_closing)
        close_link(s, code, reason);
    else
        engine_socket_close(s);
}

static const struct sink_ops sink_ops = { .send = sink_send, .close = sink_close };

struct sink *engine_socket_sink(struct engine_socket *s)
{
    return &s->sink;
}

enum framing engine_socket_framing(const struct engine_socket *s)
{
    return s->link != NULL ? ws_link_framing(s->link->link) : FRAMING_RECORDS;
}

enum engineio_revision revision_of(const struct engine_socket *s)
{
    return (enum engineio_revision)s->revision;
}

bool engine_socket_is_eio3(const struct engine_socket *s)
{
    return revision_of(s) == ENGINEIO_V3;
}

struct io_thread *engine_socket_thread(const struct engine_socket *s)
{
    return s->home->thread;
}

bool engine_socket_send(struct engine_socket *s, bool is_binary, struct str message, size_t max)
{
    struct engineio_packet packet = { ENGINEIO_MESSAGE, is_binary, message };

    if (s->is_over || s->is_closing)
        return false;
    if (s->link != NULL)
        return link_write(s->link, &packet, max);
    socket_put(s, &packet);
    if (s->queue.len <= max)
        return true;
    socket_end(s, WS_CLOSE_POLICY, "reads too slowly");
    return false;
}

struct engine_socket *socket_new(struct engine_thread *et, const char sid[SID_SIZE],
                                 enum engineio_revision revision)
{
    struct engine_socket *s = mem_new(struct engine_socket);

    s->home = et;
    s->sink.ops = &sink_ops;
    s->revision = (uint8_t)revision;
    start_beat(s);
    s->probe_ms = s->close_ms = WHEEL_NEVER;
    buf_init(&s->queue, QUEUE_MAX);
    memcpy(s->sid, sid, SID_SIZE);
    HASH_ADD_STR(et->sockets, sid, s);
    socket_set_deadline(s);
    return s;
}
