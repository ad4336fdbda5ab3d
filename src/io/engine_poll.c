/* HTTP long-polling: a GET waits until there is something to say, a POST brings
 * what the client says. One of each at a time. */
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "core/limits.h"
#include "io/engine_internal.h"

static const char text_type[] = "text/plain; charset=UTF-8";

static void reply(struct exchange *x, struct msg *body)
{
    exchange_header(x, "Cache-Control", "no-store");
    exchange_reply(x, 200, text_type, body);
}

static void answer(struct engine_socket *s, struct msg *payload)
{
    struct exchange *x = s->poll;

    s->poll = NULL;
    reply(x, payload);
}

/* Words are framed as revision 4 has them. */
static void append_words(struct engine_socket *s, struct buf *payload, const struct msg *m)
{
    struct str rest = { m->data, m->len }, text;
    struct engineio_packet packet;
    struct buf binary;

    if (revision_of(s) == ENGINEIO_V4) {
        if (payload->len > 0)
            buf_putc(payload, ENGINEIO_SEPARATOR);
        buf_append(payload, m->data, m->len);
        return;
    }
    buf_init(&binary, m->len);
    while (engineio_next(ENGINEIO_V4, &rest, &text))
        if (engineio_read(ENGINEIO_V4, text, &binary, &packet) == OK)
            engineio_append(ENGINEIO_V3, payload, &packet);
    buf_deinit(&binary);
}

/* `messages` behind the queue, all of it in one payload. */
static void answer_all(struct engine_socket *s, struct msg *const *messages, unsigned count)
{
    struct buf payload;
    size_t max = 2 * s->queue.len + 64; /* base64, and lengths instead of records */

    for (unsigned i = 0; i < count; i++)
        max += 4 * messages[i]->len + 16;
    buf_init(&payload, max);
    queue_take_payload(&s->queue, revision_of(s), &payload);
    for (unsigned i = 0; i < count; i++)
        append_words(s, &payload, messages[i]);
    answer(s, msg_new(payload.data, payload.len));
    buf_deinit(&payload);
}

void poll_say(struct engine_socket *s, enum engineio_type type)
{
    engine_queue_put(&s->queue, &(struct engineio_packet){ .type = type });
    answer_all(s, NULL, 0);
}

static bool is_probed(const struct engine_socket *s)
{
    return s->probe != NULL && s->probe->is_probed;
}

void poll_tend(struct engine_socket *s)
{
    if (s->queue.len > 0)
        answer_all(s, NULL, 0);
    else if (is_probed(s))
        poll_say(s, ENGINEIO_NOOP);
    if (s->is_closing && s->poll == NULL)
        socket_end(s, WS_CLOSE_NORMAL, ""); /* "1" was in the queue */
}

/* What one GET takes is written to its connection or lost with it: nothing says
 * whether the client has read it. A client that has not is one that does not
 * answer the next ping either. */
unsigned poll_send(struct engine_socket *s, struct msg *const *messages, unsigned count)
{
    if (s->poll == NULL || is_probed(s))
        return 0;
    if (count == 1 && s->queue.len == 0 && revision_of(s) == ENGINEIO_V4)
        answer(s, msg_ref(messages[0]));
    else
        answer_all(s, messages, count);
    return count;
}

static void get_left(struct exchange *x, void *watcher)
{
    struct engine_socket *s = watcher;

    s->poll = NULL;
    reply(x, NULL);
    socket_end(s, WS_CLOSE_NORMAL, "");
}

void poll_get(struct engine_socket *s, struct exchange *x)
{
    if (s->poll != NULL) {
        engine_refuse(x, 400, ENGINE_BAD_REQUEST);
        socket_end(s, WS_CLOSE_POLICY, "two polls at a time");
        return;
    }
    s->poll = x;
    exchange_watch(x, get_left, s);
    socket_busy(s);
}

/* The status to answer. */
static int receive_payload(struct engine_socket *s, struct str payload)
{
    struct buf binary;
    struct str text;
    unsigned count = 0;
    int status = payload.len > 0 && utf8_is_valid(payload.at, payload.len) ? 200 : 400;

    buf_init(&binary, payload.len);
    while (status == 200 && !s->is_over && engineio_next(revision_of(s), &payload, &text)) {
        if (!io_thread_take(s->home->thread, &s->bucket))
            status = 429;
        else if (++count > ENGINE_PACKETS_MAX || !socket_receive(s, text, &binary))
            status = 400;
    }
    buf_deinit(&binary);
    if (status != 200)
        socket_end(s, WS_CLOSE_PROTOCOL, "not an Engine.IO payload");
    return status;
}

void poll_part(struct engine_socket *s)
{
    struct exchange *x = s->farewell;

    s->farewell = NULL;
    if (x != NULL)
        reply(x, msg_new("ok", 2));
}

static void farewell_left(struct exchange *x, void *watcher)
{
    (void)x;
    poll_part(watcher);
}

static void post_done(struct exchange *x, struct str body)
{
    struct engine_socket *s = exchange_watcher(x);

    if (s == NULL) { /* it ended meanwhile */
        engine_refuse(x, 400, ENGINE_SID_UNKNOWN);
        return;
    }
    s->post = NULL;
    int status = receive_payload(s, body);
    if (status == 200 && s->has_left && !s->is_over && s->farewell == NULL) {
        s->farewell = x;
        exchange_watch(x, farewell_left, s);
    } else if (status == 200) {
        reply(x, msg_new("ok", 2));
    } else {
        engine_refuse(x, status, ENGINE_BAD_REQUEST);
    }
}

/* Or it was refused on its way: too big, too slow. What it said is missing now. */
static void post_left(struct exchange *x, void *watcher)
{
    struct engine_socket *s = watcher;

    s->post = NULL;
    reply(x, NULL);
    socket_end(s, WS_CLOSE_PROTOCOL, "a request was lost");
}

void poll_post(struct engine_socket *s, struct exchange *x)
{
    const struct http_request *request = exchange_request(x);
    size_t max = s->home->engine->settings.payload_max;
    struct str type = http_header(request, "Content-Type");

    /* Bytes come as base64; revision 3 has a payload of its own for them, but its
     * clients talk text to us. */
    if (s->post != NULL || str_equal_nocase(type, STR("application/octet-stream"))) {
        engine_refuse(x, 400, ENGINE_BAD_REQUEST);
        socket_end(s, WS_CLOSE_PROTOCOL, s->post != NULL ? "two posts at a time" : "bad content");
        return;
    }
    if (request->content_length > 0 && (uint64_t)request->content_length > max) {
        engine_refuse(x, 413, ENGINE_BAD_REQUEST);
        return;
    }
    s->post = x;
    exchange_watch(x, post_left, s);
    exchange_read(x, max, post_done);
}
