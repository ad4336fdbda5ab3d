#include "media/pipeline.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/pipeline_run.h"

enum { SPEC_MAX = 64 * 1024, WHY_MAX = 2048 };

/* A work record's step besides those in the table. */
static const char cancel_step[] = "cancel";

struct pipelines *pipelines_new(const struct pipeline_parts *parts)
{
    struct pipelines *ps = mem_new(struct pipelines);

    ps->parts = *parts;
    return ps;
}

void pipelines_free(struct pipelines *ps)
{
    assert(ps->running == NULL && ps->clearing == 0);
    mem_free(ps);
}

size_t pipelines_running(const struct pipelines *ps)
{
    return ps->count;
}

struct pipeline *pipeline_new(struct pipelines *ps, const char *video, const struct spec *spec,
                              const struct step *step)
{
    struct pipeline *p = mem_new(struct pipeline);

    p->owner = ps;
    p->spec = *spec;
    p->step = step;
    atomic_init(&p->is_stopped, false);
    snprintf(p->video, sizeof(p->video), "%s", video);
    buf_init(&p->why, WHY_MAX);
    DL_APPEND(ps->running, p);
    ps->count++;
    return p;
}

static void wake_waiting(struct pipelines *ps)
{
    struct pipeline *p;

    DL_FOREACH(ps->running, p)
    if (p->is_waiting && ps->converting < ps->parts.settings->conversions_max) {
        p->is_waiting = false;
        p->step->run(p);
        return;
    }
}

void pipeline_stop_converting(struct pipeline *p)
{
    if (!p->is_converting)
        return;
    p->is_converting = false;
    p->owner->converting--;
    if (!p->owner->is_draining)
        wake_waiting(p->owner);
}

void pipelines_drained(struct pipelines *ps)
{
    if (!ps->is_draining || ps->running != NULL || ps->clearing > 0 || ps->drained == NULL)
        return;
    void (*done)(void *) = ps->drained;
    ps->drained = NULL;
    if (ps->drain_timer != NULL)
        uv_close((uv_handle_t *)ps->drain_timer, (uv_close_cb)mem_free);
    ps->drain_timer = NULL;
    done(ps->drained_context);
}

void pipeline_free(struct pipeline *p)
{
    struct pipelines *ps = p->owner;

    assert(p->task == NULL);
    pipeline_stop_converting(p);
    if (p->reserved > 0)
        disk_unreserve(ps->parts.disk, p->reserved);
    DL_DELETE(ps->running, p);
    ps->count--;
    buf_deinit(&p->why);
    mem_free(p->scratch);
    mem_free(p->source);
    mem_free(p);
    pipelines_drained(ps);
}

static double of_job(const char *stage, double fraction)
{
    /* The contract: assembling is 0-20 % of the whole, converting 20-100 %. */
    return strcmp(stage, "assembling") == 0 ? 0.2 * fraction : 0.2 + 0.8 * fraction;
}

static void video_info(struct pipeline *p, struct buf *out)
{
    const struct media_info *info = &p->spec.info;
    int short_side = info->width < info->height ? info->width : info->height;
    char quality[16];
    struct update *u = ledger_head(p->owner->parts.ledger, p->video);
    const char *title = u && u->text[TEXT_TITLE] ? u->text[TEXT_TITLE] : p->spec.upload.file_name;

    snprintf(quality, sizeof(quality), "%dp", short_side);
    emit_open(out, '{');
    emit_field_string(out, "id", p->video);
    emit_field_string(out, "title", title);
    emit_field_string(out, "thumbnail", NULL);
    emit_field_real(out, "duration", info->duration_ms >= 0 ? (double)info->duration_ms / 1000 : 0,
                    3);
    emit_field_string(out, "quality", info->has_video ? quality : "audio");
    emit_close(out, '}');
    update_unref(&u);
}

void pipeline_say(struct pipeline *p, const char *stage, double fraction, const char *message,
                  const struct convert_progress *more)
{
    struct change c;
    struct buf info;

    change_init(&c);
    buf_init(&info, JOB_JSON_MAX);
    c.state = JOB_PROCESSING;
    c.text[TEXT_STAGE] = stage;
    c.text[TEXT_MESSAGE] = message;
    c.stage_fraction = fraction;
    c.fraction = of_job(stage, fraction);
    if (p->spec.has_info) {
        video_info(p, &info);
        c.text[TEXT_VIDEO_INFO] = buf_text(&info);
    }
    c.speed = more ? more->speed : -1;
    c.eta_ms = more ? more->eta_ms : -1;
    /* Refused only when the job was ended from elsewhere: nothing to tell. */
    ledger_apply(p->owner->parts.ledger, p->video, &c, false, NULL);
    buf_deinit(&info);
}

/* Checkpoints */

struct record {
    struct mail mail;
    struct pipeline *pipeline;
    int err;
};

static void answer(struct pipeline *p, int err, const char *why)
{
    void (*give)(void *, int, const char *) = p->answer;

    p->answer = NULL;
    if (give != NULL)
        give(p->answer_context, err, why);
}

static void record_open(struct mail *mail)
{
    struct record *r = (struct record *)mail;
    struct pipeline *p = r->pipeline;
    int err = r->err;

    mem_free(r);
    if (err) {
        answer(p, err, "the work could not be put on record");
        pipeline_end_failed(p, err, "the work could not be put on record");
        return;
    }
    answer(p, OK, NULL);
    if (p->is_cancelled)
        pipeline_end_cancelled(p);
    else if (p->owner->is_draining)
        pipeline_free(p);
    else
        p->step->run(p);
}

/* On the store's thread. */
static void recorded(void *context, int err)
{
    struct record *r = context;

    r->err = err;
    mailbox_post(r->pipeline->owner->parts.mailbox, &r->mail);
}

static void checkpoint(struct pipeline *p)
{
    struct record *r = mem_new(struct record);
    struct buf spec;

    r->mail.open = record_open;
    r->pipeline = p;
    buf_init(&spec, SPEC_MAX);
    spec_write(&p->spec, &spec);
    store_put_work(p->owner->parts.store, p->video, p->step->name, buf_text(&spec), recorded, r);
    buf_deinit(&spec);
}

static void prepare_work(void *context)
{
    struct pipeline *p = context;
    struct buf path;

    buf_init(&path, 4096);
    p->err = disk_scratch(p->owner->parts.disk, p->video, &path);
    if (p->err == OK) {
        p->scratch = mem_strdup(buf_text(&path));
        buf_puts(&path, "/source");
        p->source = mem_strdup(buf_text(&path));
    }
    buf_deinit(&path);
}

static void prepared(void *context)
{
    struct pipeline *p = context;

    if (p->is_cancelled) {
        answer(p, OK, NULL);
        pipeline_end_cancelled(p);
        return;
    }
    if (p->err == OK) {
        checkpoint(p);
        return;
    }
    answer(p, p->err, "the scratch folder could not be made");
    pipeline_end_failed(p, p->err, "the scratch folder could not be made");
}

void pipeline_begin(struct pipeline *p)
{
    io_offload(p->owner->parts.loop, prepare_work, prepared, p);
}

void pipeline_step_done(struct pipeline *p, int err, const char *why)
{
    assert(p->task == NULL);
    if (p->is_cancelled) {
        pipeline_end_cancelled(p);
    } else if (err && p->owner->is_draining) {
        pipeline_free(p);
    } else if (err) {
        pipeline_end_failed(p, err, why);
    } else {
        pipeline_stop_converting(p);
        p->step++;
        if (p->step->name != NULL)
            checkpoint(p);
        else
            pipeline_end_completed(p);
    }
}

/* From outside */

static struct pipeline *find(struct pipelines *ps, const char *video)
{
    struct pipeline *p;

    DL_FOREACH(ps->running, p)
    if (strcmp(p->video, video) == 0)
        return p;
    return NULL;
}

static void stop(struct pipeline *p)
{
    atomic_store(&p->is_stopped, true);
    if (p->task != NULL)
        media_task_cancel(p->task);
}

static void end_upload(struct pipelines *ps, const char *video, enum job_state state,
                       const char *error)
{
    struct change c;

    change_init(&c);
    c.state = (int)state;
    c.text[TEXT_MESSAGE] = error;
    c.text[TEXT_ERROR] = error;
    /* A failed one stays failed: only its remains are cleared away. */
    ledger_apply(ps->parts.ledger, video, &c, false, NULL);
    uploads_finish(ps->parts.uploads, video);
    pipelines_clear(ps, video, "", false);
}

/* Until what runs has stopped: a crash meanwhile must not finish the job. No
 * checkpoint comes behind this one. */
static void record_cancellation(struct pipeline *p)
{
    struct buf spec;

    buf_init(&spec, SPEC_MAX);
    spec_write(&p->spec, &spec);
    store_put_work(p->owner->parts.store, p->video, cancel_step, buf_text(&spec), NULL, NULL);
    buf_deinit(&spec);
}

int pipelines_cancel(struct pipelines *ps, const char *video)
{
    struct pipeline *p = find(ps, video);
    struct upload u;

    if (p != NULL) {
        p->is_cancelled = true;
        record_cancellation(p);
        stop(p);
        if (p->is_waiting) {
            p->is_waiting = false;
            pipeline_end_cancelled(p);
        }
        return OK;
    }
    if (uploads_get(ps->parts.uploads, video, &u) != OK)
        return FAIL_MISSING;
    end_upload(ps, video, JOB_CANCELLED, "Cancelled");
    return OK;
}

void pipelines_sweep(struct pipelines *ps, int64_t before_ms)
{
    char *videos[64];
    size_t count = uploads_stale(ps->parts.uploads, before_ms, 64, videos);

    for (size_t i = 0; i < count; i++) {
        log_info("upload_expired", LOG_S("job", videos[i]));
        end_upload(ps, videos[i], JOB_FAILED, "The upload was never finished");
        mem_free(videos[i]);
    }
}

struct resume {
    struct pipelines *owner;
    size_t count;
};

static void one_shot_begun(void *context, int err, const char *why)
{
    (void)context;
    if (err)
        log_warn("resume_refused", LOG_S("reason", fail_name(err)), LOG_S("why", why));
}

/* What the work record says and what the job says can differ by one write. */
static bool resume_one(void *context, const struct work *w)
{
    struct resume *r = context;
    struct pipelines *ps = r->owner;
    const struct step *step = step_named(w->step);
    struct update *u = ledger_head(ps->parts.ledger, w->job);
    bool is_over = u == NULL || u->state == JOB_COMPLETED || u->state == JOB_CANCELLED;
    bool goes_on = step != NULL && !is_over && u->state != JOB_FAILED;
    bool is_published = u != NULL && u->state == JOB_COMPLETED;
    bool is_queued = u != NULL && u->state == JOB_QUEUED;
    struct spec spec;

    update_unref(&u);
    if (spec_read(w->spec, &spec) != OK ||
        (!is_over && uploads_restore(ps->parts.uploads, w, goes_on) != OK)) {
        log_error("work_unreadable", LOG_S("job", w->job), LOG_S("step", w->step));
        return true;
    }
    if (!is_over && strcmp(w->step, cancel_step) == 0) {
        pipeline_end_cancelled(pipeline_new(ps, w->job, &spec, pipeline_steps));
    } else if (is_over) {
        pipelines_clear(ps, w->job, spec.key, is_published);
    } else if (goes_on) {
        r->count++;
        pipeline_begin(pipeline_new(ps, w->job, &spec, step));
    } else if (step != NULL) {
        uploads_save(ps->parts.uploads, w->job);
    } else if (spec.upload.is_one_shot && is_queued) {
        /* Its file had its name before it had a job. */
        r->count++;
        pipelines_assemble(ps, w->job, spec.upload.file_name, 0, one_shot_begun, NULL);
    }
    return true;
}

void pipelines_resume(struct pipelines *ps)
{
    struct resume r = { .owner = ps };
    int err = store_each_work(ps->parts.store, resume_one, &r);

    if (err)
        log_error("resume_failed", LOG_S("reason", fail_name(err)));
    else if (r.count > 0)
        log_info("jobs_resumed", LOG_I("count", r.count));
}

static void stop_all(struct pipelines *ps)
{
    struct pipeline *p;

    DL_FOREACH(ps->running, p)
    stop(p);
}

static void grace_is_over(uv_timer_t *timer)
{
    stop_all(timer->data);
}

void pipelines_drain(struct pipelines *ps, uint32_t grace_ms, void (*done)(void *context),
                     void *context)
{
    struct pipeline *p, *next;

    ps->is_draining = true;
    ps->drained = done;
    ps->drained_context = context;
    DL_FOREACH_SAFE(ps->running, p, next)
    if (p->is_waiting)
        pipeline_free(p);
    if (ps->running == NULL) {
        pipelines_drained(ps);
        return;
    }
    if (ps->drain_timer == NULL) {
        ps->drain_timer = mem_new(uv_timer_t);
        uv_timer_init(ps->parts.loop, ps->drain_timer);
        ps->drain_timer->data = ps;
    }
    uv_timer_start(ps->drain_timer, grace_is_over, grace_ms, 0);
}
