#include "io/conversation.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "core/counters.h"
#include "core/limits.h"
#include "proto/http.h"

static const struct http_limits limits = {
    .head_max = HTTP_HEAD_MAX,
    .header_max = HTTP_HEADERS_MAX,
    .target_max = HTTP_TARGET_MAX,
};

/* What the parser tells is only noted; conversation_run acts on it when the
 * parser is off the stack. */
static int on_head(void *context, const struct http_request *request)
{
    struct exchange *x = context;

    x->request = request;
    return 0;
}

static int on_body(void *context, const char *bytes, size_t len)
{
    struct exchange *x = context;
    bool is_ours = bytes >= x->input.at && bytes < x->input.at + x->input.len;

    if (x->piece.len == 0 && x->held.len == 0 && is_ours) {
        x->piece = (struct str){ bytes, len };
        return 0;
    }
    /* A second piece (chunked): they become one. */
    buf_append(&x->held, x->piece.at, x->piece.len);
    x->piece = (struct str){ 0 };
    buf_append(&x->held, bytes, len);
    return 0;
}

static void on_complete(void *context)
{
    struct exchange *x = context;

    x->is_complete = true;
}

static const struct http_events parser_events = { on_head, on_body, on_complete };

/* What the steps left over outlives the read event in memory of its own. */
static void keep_input(struct exchange *x)
{
    if (x->piece.len > 0) {
        buf_append(&x->held, x->piece.at, x->piece.len);
        x->piece = (struct str){ 0 };
    }
    if (x->input.len == 0) {
        buf_deinit(&x->stash);
        buf_init(&x->stash, IO_BUFFER_SIZE);
    } else if (x->input.at < x->stash.data || x->input.at > x->stash.data + x->stash.len) {
        buf_reset(&x->stash);
        buf_append(&x->stash, x->input.at, x->input.len);
    } else {
        buf_consume(&x->stash, (size_t)(x->input.at - x->stash.data));
    }
    x->input = buf_str(&x->stash);
}

static enum phase phase_of(const struct exchange *x)
{
    if (x->is_answered)
        return PHASE_ANSWER;
    if (x->request == NULL)
        return http_parser_is_idle(x->parser) ? PHASE_IDLE : PHASE_HEAD;
    if (x->parked != NULL)
        return PHASE_PARKED;
    return !x->is_complete && conversation_wants_body(x) ? PHASE_BODY : PHASE_WAIT;
}

static uint32_t timeout_of(const struct exchange *x)
{
    const struct io_timeouts *timeouts = &x->thread->pool->timeouts;

    switch (x->phase) {
    case PHASE_IDLE: return x->has_served ? timeouts->idle : timeouts->head;
    case PHASE_HEAD: return timeouts->head;
    case PHASE_BODY: return timeouts->body;
    case PHASE_WAIT: return UINT32_MAX;
    case PHASE_PARKED: return x->park_ms;
    case PHASE_ANSWER: return timeouts->write;
    }
    return UINT32_MAX;
}

/* A head has one deadline however slowly it drips in; body and answer have a
 * new one with every byte that moves. */
static void set_deadline(struct exchange *x)
{
    enum phase phase = phase_of(x);
    bool renews = x->has_progress && (phase == PHASE_BODY || phase == PHASE_ANSWER);

    x->has_progress = false;
    if (phase == x->phase && !renews)
        return;
    x->phase = phase;
    connection_due_in(x->connection, timeout_of(x));
}

static void set_interest(struct exchange *x)
{
    int events = 0;

    if (x->is_answered && !file_answer_is_busy(x))
        events |= UV_WRITABLE;
    /* One buffer ahead, also when nothing can be parsed: that is how a client
     * that leaves is noticed, and what is wanted seldom changes. */
    if (x->input.len == 0 && !x->is_at_end)
        events |= UV_READABLE;
    connection_want(x->connection, events);
}

/* With nothing more to come and nothing to be said, it is over. */
static void notice_end(struct exchange *x)
{
    bool is_waiting = x->request == NULL || (!x->is_complete && conversation_wants_body(x));

    if (x->is_at_end && x->input.len == 0 && !x->is_answered && is_waiting)
        connection_close(x->connection);
}

struct connection *conversation_leave(struct exchange *x, const struct connection_ops *ops,
                                      conversation_heir heir)
{
    assert(x->is_owed && x->heir == NULL && x->parked == NULL);
    if (x->is_refused && x->connection != NULL) {
        x->connection->ops = NULL;
        connection_close(x->connection);
        x->connection = NULL;
    }
    if (x->connection == NULL)
        x->connection = connection_open_dead(x->thread);
    struct connection *c = x->connection;
    connection_hold(c);
    c->ops = ops;
    c->owner = NULL;
    x->is_owed = false;
    x->heir = heir;
    conversation_wake(x);
    return c;
}

static void begin_heir(struct connection *c, conversation_heir heir, char *bytes, size_t len)
{
    bool is_stillborn = c->fd < 0;

    if (is_stillborn) {
        c->is_closed = true;
        c->ops->closed(c);
    }
    if (c->is_closing)
        return;
    heir(c, bytes, len);
    if (c->thread->is_draining)
        c->ops->drain(c);
}

/* Hands the socket, and what came behind the request, to the heir. */
static void pass_on(struct exchange *x)
{
    struct connection *c = x->connection;
    conversation_heir heir = x->heir;
    char *bytes = NULL;
    size_t len = x->input.len;

    if (len > 0) {
        bytes = mem_alloc(len);
        memcpy(bytes, x->input.at, len);
    }
    x->connection = NULL;
    x->heir = NULL;
    x->is_closed = true;
    begin_heir(c, heir, bytes, len);
    mem_free(bytes);
    connection_release(c);
}

static void enlist(struct exchange *x)
{
    struct io_thread *t = x->thread;

    x->prev = NULL;
    x->next = t->exchanges;
    if (x->next != NULL)
        x->next->prev = x;
    t->exchanges = x;
}

static void delist(struct exchange *x)
{
    if (x->prev != NULL)
        x->prev->next = x->next;
    else
        x->thread->exchanges = x->next;
    if (x->next != NULL)
        x->next->prev = x->prev;
}

static void conversation_free(struct exchange *x)
{
    conversation_forget_request(x);
    delist(x);
    http_parser_free(x->parser);
    buf_deinit(&x->stash);
    buf_deinit(&x->held);
    mem_free(x);
}

void conversation_run(struct exchange *x)
{
    if (x->is_running)
        return;
    x->is_running = true;
    while (conversation_step(x))
        ;
    x->is_running = false;
    if (x->heir != NULL)
        pass_on(x);
    if (x->move_to != NULL && !x->chore.is_queued && !exchange_is_gone(x)) {
        conversation_move(x);
        return;
    }
    if (x->is_closed && !x->is_owed && !file_answer_is_busy(x)) {
        if (!x->chore.is_queued)
            conversation_free(x);
        return;
    }
    keep_input(x);
    if (x->is_closed || x->connection->is_closing || x->connection->is_lingering)
        return;
    notice_end(x);
    set_interest(x);
    set_deadline(x);
}

static void run_chore(struct chore *chore)
{
    conversation_run((struct exchange *)(void *)((char *)chore - offsetof(struct exchange, chore)));
}

void conversation_wake(struct exchange *x)
{
    if (!x->is_running)
        io_thread_later(x->thread, &x->chore);
}

/* Bytes of a body need not come by way of the thread's buffer, when they are nothing else
 * and wait for nothing: the parser only counts them. */
static char *find_room(struct connection *c, size_t *len)
{
    struct exchange *x = c->owner;
    bool is_streaming = x->mode == BODY_STREAM && conversation_wants_body(x) && !x->is_complete &&
                        !x->is_body_over && !x->is_refused;

    if (!is_streaming || x->body_events->room == NULL || x->input.len > 0 || x->piece.len > 0 ||
        x->held.len > 0)
        return NULL;
    uint64_t left = http_parser_content_left(x->parser);
    char *room = left > 0 ? x->body_events->room(x, len) : NULL;
    if (room != NULL && *len > left)
        *len = (size_t)left;
    return room;
}

static void on_input(struct connection *c, char *bytes, size_t len)
{
    struct exchange *x = c->owner;

    if (len == 0)
        x->is_at_end = true;
    assert(x->input.len == 0); /* else it would not have been read */
    if (len > 0)
        x->input = (struct str){ bytes, len };
    conversation_run(x);
}

static void on_writable(struct connection *c)
{
    struct exchange *x = c->owner;

    file_answer_unblock(x);
    conversation_run(x);
}

/* Whose deadline has passed. */
static enum counter limit_of(const struct exchange *x)
{
    switch (x->phase) {
    case PHASE_IDLE: return x->has_served ? COUNT_LIMITED_IDLE_TIME : COUNT_LIMITED_HANDSHAKE_TIME;
    case PHASE_BODY: return COUNT_LIMITED_BODY_TIME;
    case PHASE_ANSWER: return COUNT_LIMITED_WRITE_TIME;
    default: return COUNT_LIMITED_HANDSHAKE_TIME;
    }
}

static void on_due(struct connection *c)
{
    struct exchange *x = c->owner;
    bool has_begun = x->phase == PHASE_HEAD || x->phase == PHASE_BODY;

    if (x->phase == PHASE_PARKED) {
        exchange_unpark(x);
        return;
    }
    counter_add(limit_of(x), 1);
    if (!has_begun) {
        connection_close(c);
        return;
    }
    conversation_refuse(x, 408);
    conversation_run(x);
}

static void on_drain(struct connection *c)
{
    struct exchange *x = c->owner;

    if (x->phase == PHASE_IDLE && x->input.len == 0)
        connection_close(c);
    else if (x->parked != NULL)
        exchange_unpark(x);
}

static void on_closed(struct connection *c)
{
    struct exchange *x = c->owner;

    x->connection = NULL;
    x->is_closed = true;
    conversation_run(x);
}

static const struct connection_ops http_ops = {
    .room = find_room,
    .input = on_input,
    .writable = on_writable,
    .due = on_due,
    .drain = on_drain,
    .closed = on_closed,
};

void conversation_begin(struct connection *c, const struct sockaddr_storage *peer)
{
    struct exchange *x = mem_new(struct exchange);

    x->connection = c;
    x->thread = c->thread;
    x->parser = http_parser_new(&limits, &parser_events, x);
    x->chore.run = run_chore;
    x->peer = *peer;
    x->phase = PHASE_WAIT; /* so that the first deadline is set */
    buf_init(&x->stash, IO_BUFFER_SIZE);
    buf_init(&x->held, IO_BUFFER_SIZE);
    enlist(x);
    c->ops = &http_ops;
    c->owner = x;
    conversation_run(x);
}

void conversation_pack(struct exchange *x)
{
    conversation_forget_handler(x);
    answer_reset(x); /* fields of an answer that will not be */
    keep_input(x);
    x->connection = NULL;
    delist(x);
}

void conversation_unpack(struct exchange *x, struct io_thread *t, struct connection *c)
{
    x->thread = t;
    enlist(x);
    x->connection = c;
    x->is_closed = c == NULL;
    x->is_asked = false;
    x->phase = PHASE_WAIT;
    if (c != NULL) {
        c->ops = &http_ops;
        c->owner = x;
    }
    conversation_run(x);
}

void conversation_refuse(struct exchange *x, int status)
{
    struct msg *content = answer_error(status);

    if (x->is_answered || x->is_closed) {
        msg_unref(&content);
        return;
    }
    if (status == 414 || status == 431)
        counter_add(COUNT_LIMITED_HEAD_SIZE, 1);
    if (status == 413)
        counter_add(COUNT_LIMITED_BODY_SIZE, 1);
    x->is_refused = true;
    x->must_close = true;
    answer_begin(x, status, "application/json", content->len);
    if (x->request != NULL && x->request->method == HTTP_HEAD)
        msg_unref(&content);
    x->content = content;
}

void conversations_abandon(struct io_thread *t)
{
    while (t->exchanges != NULL)
        conversation_free(t->exchanges);
}
