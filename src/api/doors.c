/* The WebSocket doors: a handshake, a token, a dialect, a session. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/err.h"
#include "base/mem.h"
#include "dialect/dialects.h"
#include "io/thread.h"
#include "proto/ws.h"

/* A client at a door: lives as long as its link. */
struct door {
    struct session session;
    struct ws_link *link;
    const struct api *api;
    bool is_refused; /* closed with 4001 as soon as it was open: no session */
};

static void subscribe(struct door *d, const char *job, struct update *known)
{
    if (job_watch(d->api, d->session.hub, &d->session, job, 0, known) != OK)
        ws_link_close(d->link, WS_CLOSE_POLICY, "too many subscriptions");
}

static void carry_out(struct door *d, const struct request *request)
{
    if (request->kind == REQUEST_SUBSCRIBE) {
        subscribe(d, request->job, NULL);
        d->api->records->recall(d->api, ws_link_thread(d->link), request->job);
    } else if (request->kind == REQUEST_UNSUBSCRIBE) {
        hub_unsubscribe(d->session.hub, &d->session, request->job);
    }
}

static void on_message(void *context, enum ws_opcode type, struct str message)
{
    struct door *d = context;
    struct request request;

    if (d->is_refused)
        return;
    if (type != WS_TEXT) {
        ws_link_close(d->link, WS_CLOSE_UNSUPPORTED, "this door takes text only");
        return;
    }
    session_receive(&d->session, message, &request);
    carry_out(d, &request);
}

static void on_drain(void *context)
{
    struct door *d = context;

    if (!d->is_refused)
        session_drain(&d->session);
}

static void on_gone(void *context)
{
    struct door *d = context;

    if (!d->is_refused)
        session_close(&d->session);
    mem_free(d);
}

static const struct ws_link_events link_events = {
    .message = on_message,
    .drain = on_drain,
    .gone = on_gone,
};

/* Kept on the call while the job is looked up. */
struct entrance {
    const struct dialect *dialect;
    enum policy policy;
    char accept[WS_ACCEPT_SIZE];
    const char *refusal; /* why 4001, or NULL */
};

static struct door *open_link(struct call *c, const struct entrance *e)
{
    struct deflate_params deflate;
    struct ws_answer answer = { .accept = e->accept };
    struct door *d = mem_new(struct door);
    struct buf protocol;

    d->api = c->api;
    buf_init(&protocol, HTTP_HEAD_MAX);
    if (auth_protocol(exchange_request(c->x), &protocol))
        answer.protocol = buf_text(&protocol);
    if (deflate_negotiate(exchange_request(c->x), &deflate))
        answer.deflate = &deflate;
    d->link = ws_link_open(c->x, &answer, &link_events, d);
    buf_deinit(&protocol);
    return d;
}

/* The handshake is completed first: a browser shows a close code only of a
 * connection that was open. */
static void refuse(struct call *c, const struct entrance *e)
{
    const char *why = e->refusal;
    struct door *d = open_link(c, e);

    d->is_refused = true;
    ws_link_close(d->link, WS_CLOSE_UNAUTHORIZED, why);
}

static void enter(struct call *c, const struct entrance *e, struct update *known)
{
    struct hub *hub = io_thread_hub(exchange_thread(c->x));
    struct viewer *viewer = viewer_ref(c->viewer);
    const struct dialect *dialect = e->dialect;
    char job[JOB_ID_MAX + 1];

    /* The call is gone once the link is open. */
    snprintf(job, sizeof(job), "%s", c->segments[0]);
    struct door *d = open_link(c, e);
    session_open(&d->session, hub, dialect, ws_link_sink(d->link), ws_link_framing(d->link),
                 viewer);
    viewer_unref(&viewer);
    session_greet(&d->session, job);
    if (dialect->hears_all)
        hub_subscribe_all(hub, &d->session);
    else if (*job)
        subscribe(d, job, known);
}

static void found(struct call *c, int err, struct update *u)
{
    struct entrance *e = c->state;

    /* `stream` tells a stranger's video apart from an unknown one (settled point
     * 6); everywhere else it behaves like one that does not exist. */
    if (err == FAIL_DENIED && e->policy == POLICY_TOKEN)
        e->refusal = "not entitled to this video";
    if (e->refusal != NULL)
        refuse(c, e);
    else
        enter(c, e, u);
}

static void door_open(struct call *c, const struct dialect *dialect, enum policy policy)
{
    const struct http_request *request = exchange_request(c->x);
    struct entrance *e = mem_new(struct entrance);

    const char *job = c->segments[0]; /* "" where the path names none */

    c->state = e;
    e->dialect = dialect;
    e->policy = policy;
    int status = ws_handshake(request, e->accept);
    if (status == 405)
        exchange_header(c->x, "Allow", "GET");
    if (status == 426)
        exchange_header(c->x, "Sec-WebSocket-Version", "13");
    if (status != 0) {
        reply_error(c->x, status, "websocket_expected", NULL,
                    "this path is a WebSocket (RFC 6455, version 13)");
        return;
    }
    if (*job && !job_id_is_valid(str_of(job))) {
        reply_error(c->x, 404, "not_found", NULL, "this is not a job's id");
        return;
    }
    c->viewer = auth_viewer(c->api, request, policy, &e->refusal);
    if (c->viewer == NULL)
        refuse(c, e);
    else if (*job)
        c->api->records->find(c, job, found);
    else
        enter(c, e, NULL);
}

void door_stream(struct call *c)
{
    door_open(c, &dialect_stream, POLICY_TOKEN);
}

void door_download(struct call *c)
{
    door_open(c, &dialect_download, POLICY_DOOR);
}

void door_jobs(struct call *c)
{
    door_open(c, &dialect_jobs, POLICY_DOOR);
}

void door_broadcast(struct call *c)
{
    door_open(c, &dialect_broadcast, POLICY_DOOR);
}

void door_plain(struct call *c)
{
    door_open(c, &dialect_plain, POLICY_DOOR);
}
