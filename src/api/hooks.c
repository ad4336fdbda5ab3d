/* The log of webhooks: what was, is and will be delivered. For who may see every job. */
#include "hooks/hooks.h"
#include "api/api.h"
#include "api/errand.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/url.h"

enum { LIST_DEFAULT = 50, LIST_MOST = 200 };

struct inquiry {
    struct errand errand; /* first */
    struct hook_query query;
    struct buf job;
    uint64_t id;
    int err;
    char *json;
};

static void inquiry_free(struct inquiry *q)
{
    buf_deinit(&q->job);
    mem_free(q->json);
    mem_free(q);
}

static bool may_ask(struct call *c)
{
    if (c->api->hooks != NULL && c->viewer->sees_all)
        return true;
    if (c->viewer->sees_all)
        reply_error(c->x, 404, "no_webhooks", NULL, "this server keeps no webhooks");
    else
        reply_error(c->x, 403, "admin_only", NULL, "the token needs scope admin");
    return false;
}

/* GET /api/webhooks/deliveries?job=&state=&limit=&before= */

static void listed(void *context, int err, struct str json)
{
    struct inquiry *q = context;

    q->err = err;
    q->json = err == OK ? mem_strndup(json.at, json.len) : NULL;
    errand_return(&q->errand);
}

static void list_run(struct errand *e)
{
    struct inquiry *q = (struct inquiry *)e;

    hooks_list(e->api->hooks, &q->query, listed, q);
}

static void list_back(struct errand *e)
{
    struct inquiry *q = (struct inquiry *)e;
    struct buf json;

    if (q->err) {
        reply_error(e->call->x, 500, "internal", NULL, "the deliveries could not be listed: %s",
                    fail_text(q->err));
    } else {
        buf_init(&json, 16 << 20);
        buf_puts(&json, q->json);
        reply_json(e->call->x, 200, &json);
    }
    inquiry_free(q);
}

static bool read_state(struct call *c, int *out)
{
    struct buf value;
    enum hook_state state;

    buf_init(&value, 32);
    int err = url_query_get(exchange_request(c->x)->query, "state", &value);
    if (err == OK)
        err = hook_state_parse(buf_str(&value), &state);
    buf_deinit(&value);
    if (err == OK)
        *out = (int)state;
    if (err == OK || err == FAIL_MISSING)
        return true;
    reply_error(c->x, 400, "invalid_field", "state", "state must be pending, delivered or failed");
    return false;
}

static bool read_job(struct call *c, struct inquiry *q)
{
    int err = url_query_get(exchange_request(c->x)->query, "job", &q->job);

    if (err == FAIL_MISSING)
        return true;
    if (err == OK && job_id_is_valid(buf_str(&q->job))) {
        q->query.job = buf_text(&q->job);
        return true;
    }
    reply_error(c->x, 400, "invalid_field", "job", "job must be a job's id");
    return false;
}

void webhooks_list(struct call *c)
{
    uint64_t limit = LIST_DEFAULT, before = 0;

    if (!may_ask(c) || query_number(c, "limit", LIST_MOST, &limit) != OK ||
        query_number(c, "before", INT64_MAX, &before) != OK)
        return;
    struct inquiry *q = mem_new(struct inquiry);
    buf_init(&q->job, JOB_ID_MAX + 1);
    q->query = (struct hook_query){ .state = -1, .before = before, .max = limit };
    if (read_state(c, &q->query.state) && read_job(c, q))
        errand_go(&q->errand, c, list_run, list_back);
    else
        inquiry_free(q);
}

/* POST /api/webhooks/deliveries/{id}/replay */

static void replayed(void *context, int err)
{
    struct inquiry *q = context;

    q->err = err;
    errand_return(&q->errand);
}

static void replay_run(struct errand *e)
{
    struct inquiry *q = (struct inquiry *)e;

    hooks_replay(e->api->hooks, q->id, replayed, q);
}

static void replay_back(struct errand *e)
{
    struct inquiry *q = (struct inquiry *)e;
    struct call *c = e->call;
    struct buf json;

    if (q->err == OK) {
        buf_init(&json, 256);
        buf_printf(&json, "{\"id\":\"%s\",\"state\":\"pending\"}", c->segments[0]);
        reply_json(c->x, 202, &json);
    } else if (q->err == FAIL_MISSING) {
        reply_error(c->x, 409, "not_replayable", NULL,
                    "delivery %s is not there, is pending already, or its URL is not configured",
                    c->segments[0]);
    } else {
        reply_error(c->x, 503, "unavailable", NULL, "delivery %s could not be replayed: %s",
                    c->segments[0], fail_text(q->err));
    }
    inquiry_free(q);
}

void webhooks_replay(struct call *c)
{
    uint64_t id;

    if (!may_ask(c))
        return;
    if (str_parse_u64(str_of(c->segments[0]), INT64_MAX, &id) != OK) {
        reply_error(c->x, 404, "not_found", NULL, "there is no delivery %s", c->segments[0]);
        return;
    }
    struct inquiry *q = mem_new(struct inquiry);
    buf_init(&q->job, 1);
    q->id = id;
    errand_go(&q->errand, c, replay_run, replay_back);
}
