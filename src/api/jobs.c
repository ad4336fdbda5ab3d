/* Jobs over plain HTTP: create, report, list, cancel. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "dialect/dialects.h"
#include "io/thread.h"
#include "proto/url.h"

enum { JOB_ANSWER_MAX = 512 * 1024, LIST_DEFAULT = 50, LIST_MAX = 200, LIST_ANSWER_MAX = 64 << 20 };

/* GET /api/jobs?limit=&state=&before= */

struct listing {
    struct call *call;
    struct update *updates[LIST_MAX];
    size_t max, count;
    int64_t before_ms;
    int state, err;
};

static void list_work(void *context)
{
    struct listing *l = context;
    const struct viewer *v = l->call->viewer;

    l->err = store_list(l->call->api->store, v->sees_all ? NULL : v->subject, l->state,
                        l->before_ms, l->max, l->updates, &l->count);
}

static void listed(void *context)
{
    struct listing *l = context;
    struct buf json;

    buf_init(&json, LIST_ANSWER_MAX);
    emit_open(&json, '{');
    emit_key(&json, "jobs");
    emit_open(&json, '[');
    for (size_t i = 0; i < l->count; i++) {
        job_data(l->updates[i], &json);
        update_unref(&l->updates[i]);
    }
    emit_close(&json, ']');
    emit_close(&json, '}');
    if (l->err == OK) {
        reply_json(l->call->x, 200, &json);
    } else {
        buf_deinit(&json);
        reply_error(l->call->x, 500, "internal", NULL, "the jobs could not be listed: %s",
                    fail_text(l->err));
    }
    mem_free(l);
}

static int query_state(struct call *c, int *out)
{
    struct buf value;
    enum job_state state;

    buf_init(&value, 32);
    int err = url_query_get(exchange_request(c->x)->query, "state", &value);
    if (err == OK)
        err = job_state_parse(buf_str(&value), &state);
    buf_deinit(&value);
    if (err == FAIL_MISSING)
        return OK;
    if (err)
        reply_error(c->x, 400, "invalid_field", "state",
                    "state must be queued, processing, completed, failed or cancelled");
    else
        *out = (int)state;
    return err;
}

void jobs_list(struct call *c)
{
    uint64_t limit = LIST_DEFAULT, before = 0;
    int state = -1;

    if (query_number(c, "limit", LIST_MAX, &limit) != OK ||
        query_number(c, "before", INT64_MAX, &before) != OK || query_state(c, &state) != OK)
        return;
    struct listing *l = mem_new(struct listing);
    l->call = c;
    l->max = limit;
    l->before_ms = (int64_t)before;
    l->state = state;
    io_offload(io_thread_loop(exchange_thread(c->x)), list_work, listed, l);
}

/* An answer that promises something waits until the store has it on disk, any
 * other until who asks next finds what was reported. */

struct promise {
    struct mail mail;
    struct mailbox *home;
    struct call *call;
    struct update *update; /* one reference */
    int err;
    bool must_last; /* on disk, that is */
    void (*kept)(struct call *c, struct update *u);
};

static void promise_open(struct mail *mail)
{
    struct promise *p = (struct promise *)mail;

    if (p->err && p->must_last)
        reply_error(p->call->x, 507, "not_stored", NULL, "the job could not be put on record: %s",
                    fail_text(p->err));
    else
        p->kept(p->call, p->update);
    update_unref(&p->update);
    mem_free(p);
}

/* On the store's thread. */
static void promise_synced(void *context, int err)
{
    struct promise *p = context;

    p->err = err;
    mailbox_post(p->home, &p->mail);
}

/* Both take the reference; `u` may be NULL. */
static struct promise *promise_new(struct call *c, struct update *u,
                                   void (*kept)(struct call *c, struct update *u))
{
    struct promise *p = mem_new(struct promise);

    p->mail.open = promise_open;
    p->home = io_thread_mailbox(exchange_thread(c->x));
    p->call = c;
    p->update = u;
    p->kept = kept;
    return p;
}

static void when_durable(struct call *c, struct update *u,
                         void (*kept)(struct call *c, struct update *u))
{
    struct promise *p = promise_new(c, u, kept);

    p->must_last = true;
    store_sync(c->api->store, promise_synced, p);
}

static void when_heard(struct call *c, struct update *u,
                       void (*kept)(struct call *c, struct update *u))
{
    store_after(c->api->store, promise_synced, promise_new(c, u, kept));
}

/* POST /jobs/create */

static void reply_created(struct call *c, struct update *u)
{
    struct buf path, json;

    buf_init(&path, JOB_ID_MAX + 32);
    buf_printf(&path, "/ws/jobs/%s", u->text[TEXT_ID]);
    buf_init(&json, JOB_ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "job_id", u->text[TEXT_ID]);
    emit_field_string(&json, "websocket_url", buf_text(&path));
    emit_field_string(&json, "status", "queued");
    emit_close(&json, '}');
    buf_deinit(&path);
    reply_json(c->x, 200, &json);
}

static void create_with(struct call *c, json_t *object)
{
    struct change change;
    struct update *u;
    char id[UUID_SIZE];
    const char *title = NULL;

    if (!body_text(c, object, "title", OPTIONAL, JOB_TEXT_MAX - 1, &title))
        return;
    random_uuid(id);
    change_init(&change);
    change.state = JOB_QUEUED;
    change.kind = JOB_EXTERNAL;
    change.text[TEXT_OWNER] = c->viewer->subject;
    change.text[TEXT_TITLE] = title;
    int err = ledger_create(c->api->ledger, id, &change, &u);
    if (err)
        reply_error(c->x, 503, "too_many_jobs", NULL, "too many jobs are unfinished");
    else
        when_durable(c, u, reply_created);
}

void jobs_create(struct call *c)
{
    body_read(c, create_with);
}

/* POST /api/jobs/{id}/progress */

static void reply_accepted(struct call *c, struct update *u)
{
    struct buf json;

    buf_init(&json, JOB_ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "id", u->text[TEXT_ID]);
    emit_field_string(&json, "state", job_state_name(u->state));
    emit_field_int(&json, "seq", (int64_t)u->seq);
    emit_close(&json, '}');
    reply_json(c->x, 200, &json);
}

/* What exists is its owner's to report on, and nobody's own kind is changed: an
 * upload's progress comes from its pipeline alone. Asked of the head, since the
 * last heard state may be behind it. */
static bool takes_report(struct call *c)
{
    const char *id = c->segments[0];
    struct update *head = ledger_head(c->api->ledger, id);
    bool is_foreign = head != NULL && !viewer_may_see(c->viewer, head);
    bool is_worked_on = head != NULL && head->kind != JOB_EXTERNAL;

    update_unref(&head);
    if (is_foreign)
        reply_error(c->x, 409, "id_taken", NULL, "this id cannot be used");
    else if (is_worked_on)
        reply_error(c->x, 409, "not_external", NULL,
                    "job %s is worked on here: it takes no reports", id);
    return !is_foreign && !is_worked_on;
}

/* Creating is tried first: then nobody can have created it in between, and an
 * owner or a kind, once there, stays. */
static int apply_as_owner(struct call *c, struct change *change, struct update **out)
{
    change->text[TEXT_OWNER] = c->viewer->subject;
    return ledger_create(c->api->ledger, c->segments[0], change, out);
}

static void apply_report(struct call *c, struct report *r)
{
    const char *id = c->segments[0];
    struct update *u;
    int err = apply_as_owner(c, &r->change, &u);

    if (err == FAIL_EXISTS) {
        if (!takes_report(c))
            return;
        err = ledger_apply(c->api->ledger, id, &r->change, true, &u);
    }
    if (err == FAIL_STATE && r->change.state == JOB_QUEUED) {
        reply_error(c->x, 409, "already_begun", "status", "job %s is not queued any more", id);
    } else if (err == FAIL_STATE) {
        reply_error(c->x, 409, "already_finished", NULL, "job %s has ended: it takes no reports",
                    id);
    } else if (err) {
        reply_error(c->x, 503, "too_many_jobs", NULL, "too many jobs are unfinished");
    } else if (job_is_final(u->state)) {
        when_durable(c, u, reply_accepted);
    } else {
        when_heard(c, u, reply_accepted);
    }
}

/* It was looked for so that one that only the store remembers is back in the
 * ledger. */
static void report_found(struct call *c, struct update *u)
{
    struct report *r = c->state;

    (void)u;
    apply_report(c, r);
    report_deinit(r);
}

static void report_with(struct call *c, json_t *object)
{
    struct report *r = mem_new(struct report);

    c->state = r;
    if (body_report(c, object, r))
        job_find(c, c->segments[0], report_found);
}

void jobs_report(struct call *c)
{
    if (!job_id_is_valid(str_of(c->segments[0])))
        reply_error(c->x, 400, "invalid_id", NULL,
                    "an id has 1 to %d letters, digits and -_.:~@+=,!$", JOB_ID_MAX);
    else
        body_read(c, report_with);
}

/* DELETE /api/jobs/{id} */

static void cancel_run(struct errand *e)
{
    pipelines_cancel(e->api->pipelines, e->video, errand_done, e);
}

static void reply_cancelling(struct call *c, struct update *u)
{
    struct buf json;

    (void)u;
    buf_init(&json, JOB_ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "id", c->segments[0]);
    emit_field_string(&json, "status", "cancelling");
    emit_close(&json, '}');
    reply_json(c->x, 202, &json);
}

static void reply_cancel(struct call *c, int err)
{
    if (err == OK)
        when_durable(c, NULL, reply_cancelling);
    else
        reply_error(c->x, 409, "already_finished", NULL, "job %s has ended already",
                    c->segments[0]);
}

static void cancel_back(struct errand *e)
{
    reply_cancel(e->call, e->err);
    mem_free(e);
}

static void cancel_external(struct call *c)
{
    struct change change;

    change_init(&change);
    change.state = JOB_CANCELLED;
    change.text[TEXT_ERROR] = "Cancelled";
    change.text[TEXT_MESSAGE] = "Cancelled";
    reply_cancel(c, ledger_apply(c->api->ledger, c->segments[0], &change, false, NULL));
}

static void cancel_found(struct call *c, struct update *u)
{
    if (!job_is_known(c, u))
        return;
    if (u->kind == JOB_EXTERNAL) {
        cancel_external(c);
        return;
    }
    struct errand *e = errand_new(c, cancel_run, cancel_back);
    snprintf(e->video, sizeof(e->video), "%s", c->segments[0]);
    errand_go(e);
}

void jobs_cancel(struct call *c)
{
    job_find_in_path(c, cancel_found);
}
