/* GET /api/jobs/{id}/events: a job as server-sent events. */
#include <stdio.h>

#include "api/api.h"
#include "base/err.h"
#include "base/mem.h"
#include "dialect/dialects.h"
#include "io/thread.h"

/* A client that listens: lives as long as its feed. */
struct listening {
    struct session session;
    struct feed *feed;
    bool is_head; /* asked for the head alone: no session */
};

static void on_drain(void *context)
{
    struct listening *l = context;

    if (!l->is_head)
        session_drain(&l->session);
}

static void on_gone(void *context)
{
    struct listening *l = context;

    if (!l->is_head)
        session_close(&l->session);
    mem_free(l);
}

static const struct feed_events feed_events = { .drain = on_drain, .gone = on_gone };

static void listen_in(struct listening *l, struct call *c, struct io_thread *thread,
                      struct viewer *viewer, uint64_t after, struct update *known)
{
    struct hub *hub = io_thread_hub(thread);

    session_open(&l->session, hub, &dialect_events, feed_sink(l->feed), FRAMING_LINES, viewer);
    session_greet(&l->session, c->segments[0]);
    job_watch(c->api, hub, &l->session, c->segments[0], after, known);
}

/* What the client was sent last, by its own account. */
struct place {
    uint64_t seq;
};

static void found(struct call *c, int err, struct update *u)
{
    const struct place *place = c->state;

    (void)err; /* what is not there yet is waited for */
    /* HTML, "Server-sent events", 9.2.2: this status has a client stop coming back. */
    if (u != NULL && job_is_final(u->state) && u->seq <= place->seq) {
        exchange_reply(c->x, 204, NULL, NULL);
        return;
    }
    struct listening *l = mem_new(struct listening);
    l->is_head = exchange_request(c->x)->method == HTTP_HEAD;
    exchange_header(c->x, "Cache-Control", "no-store");
    exchange_header(c->x, "X-Accel-Buffering", "no"); /* nginx would keep it to itself */
    l->feed = feed_open(c->x, "text/event-stream", &feed_events, l);
    if (l->is_head)
        feed_end(l->feed);
    else
        listen_in(l, c, exchange_thread(c->x), c->viewer, place->seq, u);
}

/* The header is what a client that comes back knows by itself, and so newer than
 * what stands in its URL. We gave it: one that is no number is not from here. */
static bool read_place(struct call *c, uint64_t *seq)
{
    struct str last = http_header(exchange_request(c->x), "Last-Event-ID");

    if (str_parse_u64(last, UINT64_MAX, seq) == OK)
        return true;
    return query_number(c, "last_event_id", UINT64_MAX, seq) == OK;
}

void door_events(struct call *c)
{
    struct place *place = mem_new(struct place);

    c->state = place;
    if (read_place(c, &place->seq))
        job_find_in_path(c, found);
}
