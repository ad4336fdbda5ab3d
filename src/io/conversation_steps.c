/* What happens to a request once the parser is off the stack, a step at a time:
 * its body goes to the handler, the handler's answer to the socket. */
#include <assert.h>

#include "io/conversation.h"
#include "proto/http.h"

bool conversation_wants_body(const struct exchange *x)
{
    return x->is_owed && x->mode != BODY_UNASKED && !x->is_paused;
}

/* Whether the parser may have more of the input. */
static bool may_parse(const struct exchange *x)
{
    if (x->is_closed || x->is_answered || x->is_complete || x->heir != NULL)
        return false;
    return x->request == NULL || conversation_wants_body(x);
}

static void parse(struct exchange *x)
{
    size_t used = 0;
    int status = http_parser_feed(x->parser, x->input.at, x->input.len, &used);

    assert(used <= x->input.len);
    x->input.at += used;
    x->input.len -= used;
    x->has_progress = true;
    if (status != 0)
        conversation_refuse(x, status);
}

static void give_body(struct exchange *x, struct str bytes)
{
    if (x->mode == BODY_STREAM)
        x->body_events->data(x, bytes.at, bytes.len);
    else if (!buf_append(&x->body, bytes.at, bytes.len))
        conversation_refuse(x, 413);
}

/* One step of the body towards the handler; false when there is none. */
static bool move_body(struct exchange *x)
{
    if (!conversation_wants_body(x) || x->is_body_over || x->is_closed || x->is_refused)
        return false;
    if (x->held.len > 0) {
        struct buf held = x->held;
        buf_init(&x->held, held.max);
        give_body(x, buf_str(&held));
        buf_deinit(&held);
        return true;
    }
    if (x->piece.len > 0) {
        struct str piece = x->piece;
        x->piece = (struct str){ 0 };
        give_body(x, piece);
        return true;
    }
    if (!x->is_complete)
        return false;
    x->is_body_over = true;
    if (x->mode == BODY_STREAM)
        x->body_events->end(x);
    else
        x->read_done(x, buf_str(&x->body));
    return true;
}

/* The rest of the body will not come: the client left, or was refused. */
static bool lose_body(struct exchange *x)
{
    if (!conversation_wants_body(x) || x->is_body_over || !exchange_is_gone(x))
        return false;
    x->is_body_over = true;
    if (x->mode == BODY_STREAM)
        x->body_events->gone(x);
    else
        x->is_owed = false; /* read_done, which would answer, never runs */
    return true;
}

/* The client has left, and its request with it: an end of input behind a whole
 * request counts, since a client that waits for the answer keeps its side open. */
static bool tell_left(struct exchange *x)
{
    void (*left)(struct exchange * x, void *watcher) = x->left;
    bool is_cut = x->is_at_end && x->is_complete;

    if (left == NULL || !x->is_owed || (!is_cut && !exchange_is_gone(x)))
        return false;
    x->left = NULL;
    left(x, x->watcher);
    return true;
}

void conversation_forget_handler(struct exchange *x)
{
    if (x->release != NULL)
        x->release(x->state);
    x->state = NULL;
    x->release = NULL;
    x->left = NULL;
    x->move_to = NULL;
}

void conversation_forget_request(struct exchange *x)
{
    conversation_forget_handler(x);
    x->request = NULL;
    x->piece = (struct str){ 0 };
    buf_deinit(&x->held);
    buf_init(&x->held, IO_BUFFER_SIZE);
    buf_deinit(&x->body);
    answer_reset(x);
    x->mode = BODY_UNASKED;
    x->is_complete = x->is_asked = x->is_answered = x->is_refused = false;
    x->is_paused = x->is_body_over = false;
    http_parser_release(x->parser);
    x->has_served = true;
}

/* The answer is written: on to the next request, or to the end. */
static void finish_answer(struct exchange *x)
{
    bool is_last = x->must_close || x->thread->is_draining;

    conversation_forget_request(x);
    x->phase = PHASE_WAIT; /* whatever comes next has a deadline of its own */
    if (is_last) {
        x->must_close = true;
        connection_linger(x->connection);
    }
}

static bool move_answer(struct exchange *x)
{
    if (!x->is_answered || x->is_closed || x->connection->is_lingering ||
        (x->is_owed && !x->is_refused))
        return false;
    if (!answer_write(x))
        return false;
    if (x->is_owed)
        /* Refused while the handler still has the request: it ends, but the
         * request stays until the handler lets go. */
        connection_linger(x->connection);
    else
        finish_answer(x);
    return true;
}

static void ask_handler(struct exchange *x)
{
    struct io_pool *p = x->thread->pool;

    x->is_asked = true;
    x->is_owed = true;
    p->request(p->context, x);
}

/* The handler is called when what it waits for has come, or cannot come. */
static bool unpark(struct exchange *x)
{
    bool has_left = x->is_at_end && x->input.len == 0;

    if (x->parked == NULL ||
        !(x->is_unparked || has_left || x->thread->is_draining || exchange_is_gone(x)))
        return false;
    void (*over)(struct exchange * x) = x->parked;
    x->parked = NULL;
    over(x);
    return true;
}

bool conversation_step(struct exchange *x)
{
    if (x->request != NULL && !x->is_asked && !x->is_refused && !x->is_closed) {
        ask_handler(x);
        return true;
    }
    if (move_body(x) || tell_left(x) || lose_body(x) || unpark(x) || move_answer(x))
        return true;
    if (x->input.len > 0 && may_parse(x) && !x->must_close) {
        parse(x);
        return true;
    }
    return false;
}
