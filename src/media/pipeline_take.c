/* Work that was begun before, by a process that is gone or by another node. What its
 * checkpoint says and what its job says can differ by one write. */
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "base/err.h"
#include "base/log.h"
#include "media/pipeline_run.h"

enum { GIVEN_UP_MAX = 2048 };

bool pipeline_is_over(const struct update *job)
{
    return job == NULL || job->state == JOB_COMPLETED || job->state == JOB_CANCELLED;
}

bool pipeline_is_settled(const struct spec *spec, const struct update *job)
{
    return pipeline_is_over(job) || (spec_is_download(spec) && job->state == JOB_FAILED);
}

/* However often it was broken off or went wrong. */
static void give_up(struct pipeline *p, const struct taken *t)
{
    struct buf why;

    p->is_given_up = true;
    buf_init(&why, GIVEN_UP_MAX);
    buf_printf(&why, "%s (after %u attempts)",
               t->why && *t->why ? t->why : "its processing was broken off", t->failures);
    pipeline_end_for_good(p, FAIL_IO, buf_text(&why));
    buf_deinit(&why);
}

/* A worker that was stopped, and does not know yet that it has lost the job, still sends:
 * it cannot touch what is under this one's key. */
static void begin(struct pipeline *p)
{
    if (p->token > 0 && p->owner->parts.storage != NULL)
        pipeline_make_key(&p->spec, p->video);
    pipeline_begin(p);
}

static void go_on(struct pipeline *p, const struct taken *t)
{
    bool is_cancelled = t->is_cancelled || pipeline_is_cancellation(t->step);

    if (is_cancelled)
        pipeline_end_cancelled(p);
    else if (t->job->state == JOB_FAILED) /* but not open again yet */
        pipeline_end_for_good(p, FAIL_STATE, update_text(t->job, TEXT_ERROR));
    else if (t->failures > 0)
        give_up(p, t);
    else
        begin(p);
}

/* Of a job that is over. One that was forgotten may have been completed. */
static void clear(struct pipelines *ps, const struct taken *t)
{
    const char *key = t->job != NULL ? update_text(t->job, TEXT_HLS_PATH) : "";
    enum tree_fate fate = t->job == NULL                   ? TREE_REMOVED
                          : t->job->state == JOB_COMPLETED ? TREE_KEPT
                                                           : TREES_REMOVED;

    pipelines_clear(ps, t->video, t->token, *key ? key : t->spec->key, fate);
}

void pipelines_take(struct pipelines *ps, const struct taken *t)
{
    const struct step *step = pipeline_step(t->spec, t->step);

    if (pipeline_is_settled(t->spec, t->job)) {
        clear(ps, t);
        return;
    }
    struct pipeline *p =
        pipeline_new(ps, t->video, t->spec, step != NULL ? step : pipeline_first(t->spec));
    p->token = t->token;
    if (p->spec.title[0] == '\0') /* an older one's checkpoint has none */
        snprintf(p->spec.title, sizeof(p->spec.title), "%s", update_text(t->job, TEXT_TITLE));
    go_on(p, t);
}

static struct pipeline *find(struct pipelines *ps, const char *video, uint64_t token)
{
    struct pipeline *p;

    DL_FOREACH(ps->running, p)
    if (p->token == token && strcmp(p->video, video) == 0)
        return p;
    return NULL;
}

void pipelines_lose(struct pipelines *ps, const char *video, uint64_t token)
{
    struct pipeline *p = find(ps, video, token);

    if (p == NULL || p->is_lost)
        return;
    log_warn("job_lost", LOG_S("job", video), LOG_S("step", p->step->name));
    p->is_lost = true;
    pipeline_stop(p);
    if (p->is_waiting)
        pipeline_free(p);
}

void pipelines_end_lease(struct pipelines *ps, const char *video, uint64_t token)
{
    struct pipeline *p = find(ps, video, token);

    if (p != NULL && !p->is_lost && !p->is_ending)
        pipeline_cancel(p);
}
