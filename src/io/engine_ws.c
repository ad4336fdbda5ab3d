/* WebSockets: as the transport from the start, or as the probe that becomes it. */
#include "base/err.h"
#include "base/mem.h"
#include "io/engine_internal.h"

static bool is_transport(const struct engine_link *el)
{
    return el->socket->link == el;
}

/* What waited for a GET goes over before anything else is said. */
static void flush(struct engine_socket *s)
{
    struct buf frames;

    if (s->queue.len == 0)
        return;
    buf_init(&frames, 2 * s->queue.len + WS_HEAD_MAX);
    queue_take_frames(&s->queue, revision_of(s), &frames);
    ws_link_write(s->link->link, frames.data, frames.len, SIZE_MAX);
    buf_deinit(&frames);
}

static void complete_upgrade(struct engine_socket *s)
{
    s->link = s->probe;
    s->probe = NULL;
    s->probe_ms = WHEEL_NEVER;
    s->was_polling = true;
    flush(s);
    if (s->poll != NULL)
        poll_upgraded(s);
    if (s->events->upgraded != NULL)
        s->events->upgraded(s->context);
    socket_busy(s); /* who was blocked is no longer */
}

static void hear_probe(struct engine_socket *s, struct str text)
{
    static const struct engineio_packet pong = { ENGINEIO_PONG, false, { "probe", 5 } };

    if (str_equal(text, STR("2probe"))) {
        link_write(s->probe, &pong, SIZE_MAX);
        s->probe->is_probed = true;
        socket_busy(s); /* a GET that waits is let go */
    } else if (str_equal(text, STR("5"))) {
        complete_upgrade(s);
    } else {
        link_cut(&s->probe, WS_CLOSE_PROTOCOL, "not a probe");
    }
}

static void hear(struct engine_socket *s, enum ws_opcode type, struct str message)
{
    struct buf binary;

    if (type == WS_BINARY) {
        socket_receive_bytes(s, message);
        return;
    }
    buf_init(&binary, message.len);
    socket_receive(s, message, &binary);
    buf_deinit(&binary);
}

static void on_message(void *context, enum ws_opcode type, struct str message)
{
    struct engine_link *el = context;
    struct engine_socket *s = el->socket;

    if (s == NULL)
        return;
    if (!is_transport(el))
        hear_probe(s, message);
    else if (message.len > s->home->engine->settings.payload_max)
        socket_end(s, WS_CLOSE_TOO_BIG, "message too big");
    else
        hear(s, type, message);
}

static void on_drain(void *context)
{
    struct engine_link *el = context;

    if (el->socket != NULL && is_transport(el))
        socket_busy(el->socket);
}

static void on_gone(void *context)
{
    struct engine_link *el = context;
    struct engine_socket *s = el->socket;

    if (s != NULL && is_transport(el)) {
        s->link = NULL;
        socket_end(s, WS_CLOSE_NORMAL, "");
    } else if (s != NULL) {
        s->probe = NULL;
    }
    mem_free(el);
}

static const struct ws_link_events link_events = { on_message, on_drain, on_gone };

struct engine_link *link_open(struct engine_socket *s, struct exchange *x, const char *accept)
{
    struct deflate_params deflate;
    struct ws_answer answer = { .accept = accept };
    struct engine_link *el = mem_new(struct engine_link);

    if (deflate_negotiate(exchange_request(x), &deflate))
        answer.deflate = &deflate;
    el->socket = s;
    el->link = ws_link_open(x, &answer, &link_events, el);
    return el;
}

void link_cut(struct engine_link **link, uint16_t code, const char *reason)
{
    struct engine_link *el = *link;

    *link = NULL;
    if (el == NULL)
        return;
    el->socket = NULL;
    ws_link_close(el->link, code, reason);
}

/* A browser shows the close code only of a connection that was open. */
void link_reject(struct exchange *x, const char *accept)
{
    struct engine_link *el = link_open(NULL, x, accept);

    link_cut(&el, WS_CLOSE_POLICY, "the socket has a WebSocket already");
}

bool link_write(struct engine_link *el, const struct engineio_packet *packet, size_t max)
{
    struct buf frame;

    buf_init(&frame, packet->data.len + 1 + WS_HEAD_MAX);
    engineio_append_frame(revision_of(el->socket), &frame, packet);
    bool is_well = ws_link_write(el->link, frame.data, frame.len, max);
    buf_deinit(&frame);
    return is_well;
}

/* Words that were framed for long-polling, before the upgrade. */
static bool is_payload(const struct msg *m)
{
    return m->len > 0 && ((uint8_t)m->data[0] & WS_FIN) == 0;
}

static void send_payload(struct engine_socket *s, const struct msg *m)
{
    struct str rest = { m->data, m->len }, text;
    struct engineio_packet packet;
    struct buf binary;

    buf_init(&binary, m->len);
    while (engineio_next(ENGINEIO_V4, &rest, &text))
        if (engineio_read(ENGINEIO_V4, text, &binary, &packet) == OK)
            link_write(s->link, &packet, SIZE_MAX);
    buf_deinit(&binary);
}

unsigned link_send(struct engine_socket *s, struct msg *const *messages, unsigned count)
{
    struct sink *sink = ws_link_sink(s->link->link);
    unsigned old = 0;

    while (s->was_polling && old < count && is_payload(messages[old]))
        send_payload(s, messages[old++]);
    if (old == count)
        return count;
    return old + sink->ops->send(sink, messages + old, count - old);
}
