#include "fleet/jobs.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "fleet/jobs_room.h"
#include "fleet/lua.h"

/* A job that nobody needs is remembered for a while: the next change of it then
 * needs no question first. */
enum { IDLE_MS = 30 * 1000, SETTLE_TICKS = 1000 / FLEET_TICK_MS, FIND_PATIENCE_MS = 5000 };
enum { JOBS_MANY = 20000, IDLE_MANY_MS = 1000, REFUSAL_MS = 5000 };

struct fleet_jobs *fleet_jobs_new(struct fleet_port *port, struct ledger *ledger,
                                  const struct fleet_jobs_settings *settings)
{
    struct fleet_jobs *j = mem_new(struct fleet_jobs);

    j->port = port;
    j->ledger = ledger;
    j->settings = *settings;
    redis_script_init(&j->apply, fleet_lua_apply);
    redis_script_init(&j->look, fleet_lua_look);
    return j;
}

static void forget(struct fleet_jobs *j, struct job *job)
{
    order_leave_line(job);
    HASH_DEL(j->jobs, job);
    fleet_record_deinit(&job->known);
    update_unref(&job->next);
    mem_free(job);
}

void fleet_jobs_free(struct fleet_jobs *j)
{
    struct job *job, *next;

    if (j == NULL)
        return;
    j->is_over = true;
    HASH_ITER(hh, j->jobs, job, next)
    writes_abandon(job, FAIL_CANCELLED);
    HASH_ITER(hh, j->jobs, job, next)
    forget(j, job);
    mem_free(j);
}

struct job *shared_lookup(struct fleet_jobs *j, const char *id)
{
    struct job *job;

    HASH_FIND_STR(j->jobs, id, job);
    return job;
}

struct job *shared_get(struct fleet_jobs *j, const char *id)
{
    struct job *job = shared_lookup(j, id);
    size_t len = strlen(id);

    if (job == NULL) {
        job = mem_zalloc(sizeof(*job) + len + 1);
        memcpy(job->id, id, len);
        job->owner = j;
        HASH_ADD_KEYPTR(hh, j->jobs, job->id, len, job);
        /* What viewers were shown is known, also if it was forgotten here. */
        if (j->ledger != NULL)
            job->known.update = ledger_snapshot(j->ledger, id);
        if (job->known.update != NULL)
            job->number_there = job->known.update->seq;
    }
    job->used_ms = j->port->ops->mono_ms(j->port);
    return job;
}

void shared_settle(struct job *job, uint64_t now_ms)
{
    bool is_idle = job->writes == NULL && job->finders == NULL && !job->is_running &&
                   !job->is_watched && !job->needs_look;

    uint64_t idle_ms = HASH_COUNT(job->owner->jobs) > JOBS_MANY ? IDLE_MANY_MS : IDLE_MS;

    if (is_idle && now_ms - job->used_ms >= idle_ms)
        forget(job->owner, job);
}

void fleet_jobs_apply(struct fleet_jobs *j, const struct fleet_apply *a, fleet_job_done *done,
                      void *context)
{
    assert(job_id_is_valid(str_of(a->id)));
    if (j->is_over || j->pending >= j->settings.pending_max) {
        if (done != NULL)
            done(context, j->is_over ? FAIL_CANCELLED : FAIL_LIMIT, NULL);
        return;
    }
    struct job *job = shared_get(j, a->id);
    struct write *w = write_new(a, done, context);
    if (a->patience_ms > 0)
        w->deadline_ms = job->used_ms + a->patience_ms;
    writes_append(job, w);
    order_run(job);
}

void fleet_jobs_find(struct fleet_jobs *j, const char *id, fleet_job_done *done, void *context)
{
    if (j->is_over || j->pending >= j->settings.pending_max) {
        done(context, j->is_over ? FAIL_CANCELLED : FAIL_LIMIT, NULL);
        return;
    }
    struct job *job = shared_get(j, id);
    struct finder *f = mem_new(struct finder);
    f->done = done;
    f->context = context;
    f->deadline_ms = job->used_ms + FIND_PATIENCE_MS;
    writes_find(job, f);
    order_run(job);
}

void fleet_jobs_up(struct fleet_jobs *j)
{
    struct job *job, *next;

    bridge_up(j);
    HASH_ITER(hh, j->jobs, job, next)
    {
        job->retry_ms = 0;
        order_run(job);
    }
    index_read_live(j);
}

void fleet_jobs_tick(struct fleet_jobs *j)
{
    uint64_t now_ms = j->port->ops->mono_ms(j->port);
    bool must_settle = j->ticks++ % SETTLE_TICKS == 0;
    struct job *job, *next;

    index_tick(j, now_ms);
    if (j->pending == 0 && j->unread == 0 && !must_settle)
        return;
    HASH_ITER(hh, j->jobs, job, next)
    {
        if (must_settle && job->is_doubted)
            job->needs_look = true;
        if (must_settle)
            job->is_doubted = false;
        order_tick(job, now_ms);
        if (must_settle)
            bridge_tick(job, now_ms);
        if (must_settle)
            shared_settle(job, now_ms);
    }
}

bool fleet_jobs_is_ready(const struct fleet_jobs *j)
{
    return j->port->ops->is_up(j->port) && j->unread == 0 && !j->needs_index && !j->is_indexing;
}

const char *fleet_jobs_refusal(const struct fleet_jobs *j)
{
    bool is_of_late = j->port->ops->mono_ms(j->port) - j->refusal_ms < REFUSAL_MS;

    return j->refusal[0] != '\0' && is_of_late ? j->refusal : NULL;
}
