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

enum { JOB_ANSWER_MAX = 512 * 1024, LIST_DEFAULT = 50, LIST_ANSWER_MAX = 64 << 20 };

/* GET /api/jobs?limit=&state=&before= */

static void listed(struct call *c, int err, struct update *const *updates, size_t count)
{
    struct buf json;

    if (job_refuse_away(c, err))
        return;
    if (err) {
        reply_error(c->x, 500, "internal", NULL, "the jobs could not be listed: %s",
                    fail_text(err));
        return;
    }
    buf_init(&json, LIST_ANSWER_MAX);
    emit_open(&json, '{');
    emit_key(&json, "jobs");
    emit_open(&json, '[');
    for (size_t i = 0; i < count; i++)
        job_data(updates[i], &json);
    emit_close(&json, ']');
    emit_close(&json, '}');
    reply_json(c->x, 200, &json);
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

    if (query_number(c, "limit", RECORDS_LIST_MAX, &limit) != OK ||
        query_number(c, "before", INT64_MAX, &before) != OK || query_state(c, &state) != OK)
        return;
    c->api->records->list(c,
                          &(struct record_query){
                              .state = state, .before_ms = (int64_t)before, .max = limit },
                          listed);
}

/* POST /jobs/create */

static void created(struct call *c, int err, struct update *u)
{
    struct buf path, json;

    if (err) {
        job_refuse(c, err, u);
        return;
    }
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
    c->api->records->apply(c,
                           &(struct record_change){ .id = id,
                                                    .change = &change,
                                                    .when = RECORD_IF_NEW,
                                                    .wait = RECORD_DURABLE },
                           created);
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

static void reported(struct call *c, int err, struct update *u)
{
    const char *id = c->segments[0];
    const bool *is_queued = c->state;

    if (err == OK)
        reply_accepted(c, u);
    else if (u != NULL)
        job_refuse(c, err, u);
    else if (err == FAIL_DENIED)
        reply_error(c->x, 409, "id_taken", NULL, "this id cannot be used");
    else if (err == FAIL_UNSUPPORTED)
        reply_error(c->x, 409, "not_external", NULL,
                    "job %s is worked on here: it takes no reports", id);
    else if (err == FAIL_STATE && *is_queued)
        reply_error(c->x, 409, "already_begun", "status", "job %s is not queued any more", id);
    else if (err == FAIL_STATE)
        reply_error(c->x, 409, "already_finished", NULL, "job %s has ended: it takes no reports",
                    id);
    else
        job_refuse(c, err, NULL);
}

/* What exists is its owner's to report on, and nobody's own kind is changed: an
 * upload's progress comes from its pipeline alone. */
static void report_with(struct call *c, json_t *object)
{
    struct report r;
    bool *is_queued = mem_new(bool);

    c->state = is_queued;
    if (!body_report(c, object, &r))
        return;
    *is_queued = r.change.state == JOB_QUEUED;
    r.change.text[TEXT_OWNER] = c->viewer->subject;
    bool is_end = job_is_final((enum job_state)r.change.state);
    c->api->records->apply(c,
                           &(struct record_change){ .id = c->segments[0],
                                                    .change = &r.change,
                                                    .when = RECORD_ALWAYS,
                                                    .wait = is_end ? RECORD_DURABLE : RECORD_HEARD,
                                                    .is_report = true,
                                                    .viewer = c->viewer },
                           reported);
    report_deinit(&r);
}

void jobs_report(struct call *c)
{
    if (!job_id_is_valid(str_of(c->segments[0])))
        reply_error(c->x, 400, "invalid_id", NULL,
                    "an id has 1 to %d letters, digits and -_.:~@+=,!$, the first not '.'",
                    JOB_ID_MAX);
    else
        body_read(c, report_with);
}

/* DELETE /api/jobs/{id} */

static void reply_cancelling(struct call *c)
{
    struct buf json;

    buf_init(&json, JOB_ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "id", c->segments[0]);
    emit_field_string(&json, "status", "cancelling");
    emit_close(&json, '}');
    reply_json(c->x, 202, &json);
}

static void cancelled(struct call *c, int err, struct update *u)
{
    if (err == OK)
        reply_cancelling(c);
    else if (u == NULL && (err == FAIL_MISSING || err == FAIL_STATE))
        reply_error(c->x, 409, "already_finished", NULL, "job %s has ended already",
                    c->segments[0]);
    else
        job_refuse(c, err, u);
}

static void cancel_found(struct call *c, int err, struct update *u)
{
    if (job_is_known(c, err, NULL, "job", c->segments[0]))
        c->api->records->cancel(c, u, cancelled);
}

void jobs_cancel(struct call *c)
{
    job_find_in_path(c, cancel_found);
}
