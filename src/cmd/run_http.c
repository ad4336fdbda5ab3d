/* A run's reports to a Reelay server. A token that a server on this machine gives
 * by itself is fetched before the first request, and once more when the server
 * does not know it any more. */
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/follow.h"
#include "cmd/run_target.h"

enum { BODY_MAX = 64 * 1024, PATH_LIMIT = 1024 };

struct http {
    struct run_target target; /* first */
    struct client *client;
    struct fetch *fetch; /* NULL: nothing under way */
    struct buf path, body;
    bool has_asked; /* for a token, on behalf of the request under way */
    run_answer_fn *done;
    void *context;
};

static void send_request(struct http *h);

static void answer(struct http *h, const struct client_answer *from)
{
    struct run_answer told = { .reply = RUN_TOLD };

    if (!client_is_good(from)) {
        bool may_help = client_is_transient(from->err, from->status);
        told.reply = may_help ? RUN_AGAIN : RUN_REFUSED;
        told.why = from->why;
    } else {
        told.id = client_text(from->json, "job_id");
    }
    h->done(h->context, &told);
}

static void arrived(void *context, const struct fetch_answer *from)
{
    struct http *h = context;
    struct client_answer read;

    h->fetch = NULL;
    client_answer_read(h->client, from, &read);
    if (read.err == OK && read.status == 401 && h->client->has_session && !h->has_asked) {
        mem_free(h->client->token);
        h->client->token = NULL;
        h->client->has_session = false;
        send_request(h);
    } else {
        answer(h, &read);
    }
    client_answer_free(&read);
}

/* That a server has no token to give is no failure: the request will tell. */
static void token_arrived(void *context, const struct fetch_answer *from)
{
    struct http *h = context;
    struct client_answer read;

    h->fetch = NULL;
    client_answer_read(h->client, from, &read);
    const char *token = client_text(read.json, "token");
    if (token != NULL) {
        h->client->token = mem_strdup(token);
        h->client->has_session = true;
    }
    if (!client_is_good(&read) && client_is_transient(read.err, read.status))
        answer(h, &read);
    else
        send_request(h);
    client_answer_free(&read);
}

static void send_request(struct http *h)
{
    struct client *c = h->client;

    if (c->token == NULL && !h->has_asked && fetch_is_local(c->base)) {
        h->has_asked = true;
        h->fetch = client_begin(c, "POST", "/api/session", "{}", token_arrived, h);
        return;
    }
    h->fetch = client_begin(c, "POST", buf_text(&h->path), buf_text(&h->body), arrived, h);
}

static struct http *begin(struct run_target *t, run_answer_fn *done, void *context)
{
    struct http *h = (struct http *)t;

    h->done = done;
    h->context = context;
    h->has_asked = false;
    buf_reset(&h->path);
    buf_reset(&h->body);
    return h;
}

static void http_create(struct run_target *t, const char *title, run_answer_fn *done, void *context)
{
    struct http *h = begin(t, done, context);

    buf_puts(&h->path, "/jobs/create");
    emit_open(&h->body, '{');
    emit_field_string(&h->body, "title", title);
    emit_close(&h->body, '}');
    send_request(h);
}

static void http_tell(struct run_target *t, const char *id, const struct run_report *report,
                      run_answer_fn *done, void *context)
{
    struct http *h = begin(t, done, context);

    follow_path(&h->path, "/api/jobs/", id, "/progress");
    run_report_write(report, &h->body);
    send_request(h);
}

static void http_cancel(struct run_target *t)
{
    struct http *h = (struct http *)t;

    if (h->fetch != NULL)
        fetch_cancel(h->fetch);
    h->fetch = NULL;
}

static void http_free(struct run_target *t)
{
    struct http *h = (struct http *)t;

    http_cancel(t);
    buf_deinit(&h->path);
    buf_deinit(&h->body);
    mem_free(h);
}

static const struct run_target_ops http_ops = {
    .name = "http",
    .create = http_create,
    .tell = http_tell,
    .cancel = http_cancel,
    .free = http_free,
};

struct run_target *run_http_new(struct client *c)
{
    struct http *h = mem_new(struct http);

    h->target.ops = &http_ops;
    h->client = c;
    buf_init(&h->path, PATH_LIMIT);
    buf_init(&h->body, BODY_MAX);
    return &h->target;
}
