/* GET /api/status/{id} and GET /api/jobs/{id}: a job's state, at once or as soon
 * as there is a newer one (?wait=). */
#include <stdio.h>

#include "api/api.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "dialect/dialects.h"
#include "io/thread.h"

enum { JOB_ANSWER_MAX = 512 * 1024, ETAG_SIZE = 32 };
#define NOT_GIVEN UINT64_MAX

struct poll {
    struct exchange *x;
    struct msg *(*show)(struct update *u); /* gives a reference */
    uint64_t wait_s;                       /* 0: answered at once */
    uint64_t after;                        /* the last number that the client knows, or NOT_GIVEN */
    struct session session;                /* while it waits */
    struct sink sink;
};

static void etag_of(const struct update *u, char out[ETAG_SIZE])
{
    snprintf(out, ETAG_SIZE, "\"%llu\"", (unsigned long long)u->seq);
}

/* RFC 9110, 13.1.2: the comparison is the weak one. */
static bool is_matched(const struct exchange *x, const struct update *u)
{
    const struct http_request *request = exchange_request(x);
    char etag[ETAG_SIZE], weak[ETAG_SIZE + 2];

    etag_of(u, etag);
    snprintf(weak, sizeof(weak), "W/%s", etag);
    return http_header_has(request, "If-None-Match", etag) ||
           http_header_has(request, "If-None-Match", weak) ||
           http_header_has(request, "If-None-Match", "*");
}

static void answer(struct call *c, int err, struct update *u)
{
    const struct poll *p = c->state;
    char etag[ETAG_SIZE];

    if (!job_is_known(c, err, NULL, "job", c->segments[0]))
        return;
    etag_of(u, etag);
    exchange_header(c->x, "ETag", etag);
    /* Were the answer to a poll kept, a browser would by itself make the next one
     * wait for a change to what the page has never seen. */
    exchange_header(c->x, "Cache-Control", p->wait_s > 0 ? "no-cache, no-store" : "no-cache");
    if (is_matched(c->x, u))
        exchange_reply(c->x, 304, NULL, NULL);
    else
        exchange_reply(c->x, 200, "application/json", p->show(u));
}

/* Whether the client has to wait for its answer. */
static bool is_waited_for(const struct call *c, const struct update *u)
{
    const struct poll *p = c->state;

    if (p->wait_s == 0 || u == NULL)
        return p->wait_s > 0;
    bool has_it = is_matched(c->x, u);
    if (!(p->after != NOT_GIVEN ? u->seq <= p->after : has_it))
        return false;
    /* Nothing follows an end, so nobody is kept waiting for it, but for who has
     * seen it and may be waiting for another attempt. */
    return !job_is_final(u->state) || (has_it && job_may_retry(u->state) && u->kind == JOB_UPLOAD);
}

/* The session is there to be woken: the answer is the state when it goes out. */
static unsigned sink_send(struct sink *sink, struct msg *const *messages, unsigned count)
{
    struct poll *p = (struct poll *)(void *)((char *)sink - offsetof(struct poll, sink));

    (void)messages;
    exchange_unpark(p->x);
    return count;
}

static void sink_close(struct sink *sink, uint16_t code, const char *reason)
{
    (void)code;
    (void)reason;
    sink_send(sink, NULL, 0);
}

static const struct sink_ops sink_ops = { .send = sink_send, .close = sink_close };

static void over(struct exchange *x)
{
    struct call *c = exchange_state(x);
    struct poll *p = c->state;

    session_close(&p->session);
    if (exchange_is_gone(x))
        exchange_reply(x, 503, NULL, NULL); /* nobody reads it */
    else
        c->api->records->find(c, c->segments[0], answer);
}

static void wait_for_news(struct call *c, struct update *u)
{
    struct poll *p = c->state;
    struct hub *hub = io_thread_hub(exchange_thread(c->x));
    uint64_t known = u != NULL ? u->seq : 0;

    p->sink.ops = &sink_ops;
    session_open(&p->session, hub, &dialect_poll, &p->sink, FRAMING_LINES, c->viewer);
    job_watch(c->api, hub, &p->session, c->segments[0], p->after != NOT_GIVEN ? p->after : known,
              u);
    exchange_park(c->x, (uint32_t)p->wait_s * 1000, over);
}

static void found(struct call *c, int err, struct update *u)
{
    bool is_told = err == OK || err == FAIL_MISSING || err == FAIL_DENIED;

    if (is_told && is_waited_for(c, u))
        wait_for_news(c, u);
    else
        answer(c, err, u);
}

static void poll_begin(struct call *c, struct msg *(*show)(struct update *u))
{
    struct poll *p = mem_new(struct poll);

    c->state = p;
    p->x = c->x;
    p->show = show;
    p->after = NOT_GIVEN;
    if (query_number(c, "wait", POLL_WAIT_MAX_S, &p->wait_s) == OK &&
        query_number(c, "after", UINT64_MAX - 1, &p->after) == OK)
        job_find_in_path(c, found);
}

static struct msg *show_status(struct update *u)
{
    return msg_ref(frames_of(u, &dialect_poll, FRAMING_LINES));
}

void jobs_status(struct call *c)
{
    poll_begin(c, show_status);
}

static struct msg *show_job(struct update *u)
{
    struct buf json;

    buf_init(&json, JOB_ANSWER_MAX);
    job_data(u, &json);
    struct msg *m = msg_new(json.data, json.len);
    buf_deinit(&json);
    return m;
}

void jobs_show(struct call *c)
{
    poll_begin(c, show_job);
}
