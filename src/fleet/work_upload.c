#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "core/job.h"
#include "fleet/work.h"
#include "fleet/work_internal.h"

static void on_done(struct work_call *c, int err, const struct redis_reply *reply)
{
    if (c->done != NULL)
        c->done(c->context, work_verdict(err, reply));
}

static struct work_call *doing(struct fleet_work *w, fleet_work_done *done, void *context)
{
    struct work_call *c = work_call_new(w, on_done);

    c->done = done;
    c->context = context;
    return c;
}

static int check(const char *job, const char *spec)
{
    if (!job_id_is_valid(str_of(job)))
        return FAIL_SYNTAX;
    return strlen(spec) > FLEET_SPEC_MAX ? FAIL_LIMIT : OK;
}

/* Asks, if there is nothing against it. */
static void ask(struct work_call *c, int err, enum work_script script, const char *job,
                const struct work_args *args)
{
    if (err != OK)
        work_refuse(c, err);
    else
        work_ask(c, script, job, args);
}

void fleet_work_create_part(struct fleet_work *w, const char *job, const char *spec, uint32_t most,
                            fleet_work_done *done, void *context)
{
    struct work_args args = { .count = 0 };

    work_arg(&args, job);
    work_arg(&args, spec);
    work_arg_number(&args, most);
    ask(doing(w, done, context), check(job, spec), WORK_CREATE, job, &args);
}

void fleet_work_create(struct fleet_work *w, const char *job, const char *spec,
                       fleet_work_done *done, void *context)
{
    fleet_work_create_part(w, job, spec, 0, done, context);
}

/* `first`: where in the reply the fields begin. */
static void tell_found(const struct work_call *c, int err, const struct redis_reply *reply,
                       size_t first)
{
    struct str state = work_field(reply, first);
    struct fleet_work_state found = {
        .is_open = str_equal(state, STR("open")),
        .is_leased = str_equal(state, STR("leased")),
        .chunks = (uint32_t)work_number(reply, first + 1),
        .touched_ms = (int64_t)work_number(reply, first + 2),
        .step = work_field(reply, first + 3).at,
        .spec = work_field(reply, first + 4).at,
        .place = work_field(reply, first + 5).at,
    };

    c->found(c->context, err, &found);
}

static void on_found(struct work_call *c, int err, const struct redis_reply *reply)
{
    if (err == OK && work_field(reply, 0).len == 0)
        err = FAIL_MISSING;
    if (err != OK)
        c->found(c->context, err, NULL);
    else
        tell_found(c, OK, reply, 0);
}

void fleet_work_find(struct fleet_work *w, const char *job, fleet_work_found *found, void *context)
{
    struct work_call *c = work_call_new(w, on_found);

    c->found = found;
    c->context = context;
    if (check(job, "") != OK)
        work_refuse(c, FAIL_MISSING);
    else
        work_find(c, job);
}

static void on_planned(struct work_call *c, int err, const struct redis_reply *reply)
{
    err = work_verdict(err, reply);
    if (err == OK || err == FAIL_EXISTS)
        tell_found(c, err, reply, 1);
    else
        c->found(c->context, err, NULL);
}

void fleet_work_plan(struct fleet_work *w, const char *job, uint32_t chunks,
                     fleet_work_found *found, void *context)
{
    struct work_call *c = work_call_new(w, on_planned);
    struct work_args args = { .count = 0 };

    assert(chunks > 0);
    c->found = found;
    c->context = context;
    work_arg(&args, job);
    work_arg_number(&args, chunks);
    ask(c, check(job, ""), WORK_PLAN, job, &args);
}

void fleet_work_declare(struct fleet_work *w, const char *job, uint64_t bytes,
                        fleet_work_done *done, void *context)
{
    struct work_args args = { .count = 0 };

    work_arg(&args, job);
    work_arg_number(&args, bytes);
    ask(doing(w, done, context), check(job, ""), WORK_DECLARE, job, &args);
}

void fleet_work_place(struct fleet_work *w, const char *job, const char *before, const char *after,
                      fleet_work_done *done, void *context)
{
    struct work_args args = { .count = 0 };
    int err = check(job, "");

    work_arg(&args, job);
    work_arg(&args, before);
    work_arg(&args, after);
    if (err == OK && (strlen(before) > FLEET_PLACE_MAX || strlen(after) > FLEET_PLACE_MAX))
        err = FAIL_LIMIT;
    ask(doing(w, done, context), err, WORK_PLACE, job, &args);
}

void fleet_work_touch(struct fleet_work *w, const char *job)
{
    struct work_args args = { .count = 0 };

    work_arg(&args, job);
    work_arg_number(&args, 0);
    ask(doing(w, NULL, NULL), check(job, ""), WORK_PLAN, job, &args);
}

void fleet_work_enqueue(struct fleet_work *w, const char *job, const char *step, const char *spec,
                        enum fleet_priority priority, fleet_work_done *done, void *context)
{
    struct work_args args = { .count = 0 };
    int err = check(job, spec);

    work_arg(&args, job);
    work_arg(&args, step);
    work_arg(&args, spec);
    work_arg_number(&args, (uint64_t)priority + 1);
    if (err == OK && strlen(step) > FLEET_STEP_MAX)
        err = FAIL_LIMIT;
    ask(doing(w, done, context), err, WORK_ENQUEUE, job, &args);
}

void fleet_work_cancel(struct fleet_work *w, const char *job, fleet_work_done *done, void *context)
{
    struct work_args args = { .count = 0 };

    work_arg(&args, job);
    ask(doing(w, done, context), check(job, ""), WORK_CANCEL, job, &args);
}

static void on_stale(struct work_call *c, int err, const struct redis_reply *reply)
{
    const char *jobs[WORK_STALE_MAX];
    size_t count = 0;

    if (err == OK && reply->type == REDIS_ARRAY)
        for (size_t i = 0; i < reply->count && i < WORK_STALE_MAX; i++)
            jobs[count++] = work_field(reply, i).at;
    c->stale(c->context, err, jobs, count);
}

void fleet_work_stale(struct fleet_work *w, int64_t before_ms, size_t max,
                      fleet_work_stale_done *done, void *context)
{
    struct work_call *c = work_call_new(w, on_stale);
    struct work_args args = { .count = 0 };

    c->stale = done;
    c->context = context;
    work_arg_number(&args, before_ms < 0 ? 0 : (uint64_t)before_ms);
    work_arg_number(&args, max < WORK_STALE_MAX ? max : WORK_STALE_MAX);
    ask(c, OK, WORK_STALE, "", &args);
}

static void on_idle(struct work_call *c, int err, const struct redis_reply *reply)
{
    const char *jobs[WORK_STALE_MAX];
    struct fleet_work_idle idle = { .jobs = jobs, .reached_ms = c->before_ms };

    if (err == OK && reply->type != REDIS_ARRAY)
        err = FAIL_SYNTAX;
    if (err) {
        c->idle(c->context, err, NULL);
        return;
    }
    uint64_t touched = 0;
    for (size_t i = 0; i + 1 < reply->count && idle.count < WORK_STALE_MAX; i += 2) {
        jobs[idle.count++] = work_field(reply, i).at;
        if (str_parse_u64(work_field(reply, i + 1), INT64_MAX, &touched) != OK)
            touched = 0;
    }
    if (idle.count == WORK_STALE_MAX && touched > 0)
        idle.reached_ms = (int64_t)touched;
    c->idle(c->context, OK, &idle);
}

void fleet_work_idle(struct fleet_work *w, int64_t since_ms, int64_t before_ms,
                     fleet_work_idle_done *done, void *context)
{
    struct work_call *c = work_call_new(w, on_idle);
    struct work_args args = { .count = 0 };

    c->idle = done;
    c->context = context;
    c->before_ms = before_ms;
    work_arg_number(&args, since_ms < 0 ? 0 : (uint64_t)since_ms);
    work_arg_number(&args, before_ms < 0 ? 0 : (uint64_t)before_ms);
    work_arg_number(&args, WORK_STALE_MAX);
    ask(c, OK, WORK_IDLE, "", &args);
}
