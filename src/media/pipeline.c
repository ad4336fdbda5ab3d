#include "media/pipeline.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/bucket.h"
#include "media/pipeline_run.h"

enum { WHY_MAX = 2048 };

/* A work record's step besides those in the table. */
static const char cancel_step[] = "cancel";

struct pipelines *pipelines_new(const struct pipeline_parts *parts)
{
    struct pipelines *ps = mem_new(struct pipelines);

    ps->parts = *parts;
    ps->book = parts->book;
    if (parts->storage != NULL)
        ps->bucket = bucket_desk_new();
    return ps;
}

void pipelines_free(struct pipelines *ps)
{
    assert(ps->running == NULL && ps->pending == 0);
    pipelines_forget_kept(ps);
    bucket_desk_free(ps->bucket);
    mem_free(ps);
}

uv_loop_t *pipelines_loop(const struct pipelines *ps)
{
    return ps->parts.loop;
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

static bool is_before(enum upload_priority a, enum upload_priority b)
{
    static const int rank[UPLOAD_PRIORITIES] = {
        [UPLOAD_HIGH] = 0, [UPLOAD_NORMAL] = 1, [UPLOAD_LOW] = 2
    };

    return rank[a] < rank[b];
}

static bool has_turn(const struct pipelines *ps, const struct pipeline *p)
{
    const struct pipeline_settings *s = ps->parts.settings;

    return p->step == &step_fetch ? ps->fetching < s->download.at_a_time
                                  : ps->converting < s->conversions_max;
}

/* The first of those of the highest priority. */
static void wake_waiting(struct pipelines *ps)
{
    struct pipeline *p, *next = NULL;

    DL_FOREACH(ps->running, p)
    if (p->is_waiting && has_turn(ps, p) &&
        (next == NULL || is_before(p->spec.upload.priority, next->spec.upload.priority)))
        next = p;
    if (next == NULL)
        return;
    next->is_waiting = false;
    next->step->run(next);
}

void pipeline_stop_converting(struct pipeline *p)
{
    struct pipelines *ps = p->owner;

    if (!p->is_converting && !p->is_fetching)
        return;
    ps->converting -= p->is_converting;
    ps->fetching -= p->is_fetching;
    if (p->is_fetching && ps->parts.fetching != NULL)
        ps->parts.fetching(ps->parts.context, ps->fetching);
    p->is_converting = p->is_fetching = false;
    if (!ps->is_draining)
        wake_waiting(ps);
}

void pipelines_drained(struct pipelines *ps)
{
    if (!ps->is_draining || ps->running != NULL || ps->pending > 0 || ps->drained == NULL)
        return;
    void (*done)(void *) = ps->drained;
    ps->drained = NULL;
    if (ps->drain_timer != NULL)
        uv_close((uv_handle_t *)ps->drain_timer, (uv_close_cb)mem_free);
    ps->drain_timer = NULL;
    done(ps->drained_context);
}

void pipelines_settled(struct pipelines *ps)
{
    ps->pending--;
    pipelines_drained(ps);
}

/* Checkpoints */

static void answer(struct pipeline *p, int err, const char *why)
{
    void (*give)(void *, int, const char *) = p->answer;

    p->answer = NULL;
    if (give != NULL)
        give(p->answer_context, err, why);
}

static void recorded(void *context, int err)
{
    struct pipeline *p = context;

    if (pipeline_forget(p, err))
        return;
    if (err) {
        answer(p, err, "the work could not be put on record");
        pipeline_end_failed(p, err, "the work could not be put on record");
        return;
    }
    answer(p, OK, NULL);
    if (p->is_cancelled)
        pipeline_end_cancelled(p);
    else if (p->owner->is_draining)
        pipeline_leave(p, BOOK_RELEASE);
    else
        p->step->run(p);
}

static void checkpoint(struct pipeline *p, const char *step, book_done *done)
{
    struct pipeline_book *book = p->owner->book;
    struct buf spec;

    buf_init(&spec, PIPELINE_SPEC_MAX);
    spec_write(&p->spec, &spec);
    book->ops->checkpoint(book,
                          &(struct book_checkpoint){ .video = p->video,
                                                     .token = p->token,
                                                     .step = step,
                                                     .spec = buf_text(&spec) },
                          done, p);
    buf_deinit(&spec);
}

static void prepare_work(void *context)
{
    struct pipeline *p = context;
    struct buf path;

    buf_init(&path, 4096);
    p->err = disk_scratch(p->owner->parts.disk, p->video, p->token, &path);
    if (p->err == OK) {
        p->scratch = mem_strdup(buf_text(&path));
        buf_puts(&path, "/source");
        p->source = mem_strdup(buf_text(&path));
        p->has_file = access(p->source, F_OK) == 0;
    }
    buf_deinit(&path);
}

static void begin_or_end(struct pipeline *p, int err, const char *why)
{
    if (pipeline_forget(p, err))
        return;
    if (p->is_cancelled) {
        answer(p, OK, NULL);
        pipeline_end_cancelled(p);
    } else if (err == OK) {
        checkpoint(p, p->step->name, recorded);
    } else if (p->owner->is_draining) {
        answer(p, FAIL_CLOSED, "the server is shutting down");
        pipeline_leave(p, BOOK_RELEASE);
    } else {
        answer(p, err, why);
        pipeline_end_failed(p, err, why);
    }
}

static void source_brought(struct pipeline *p, int err, const char *why)
{
    p->has_file = err == OK;
    begin_or_end(p, err, why);
}

static void prepared(void *context)
{
    struct pipeline *p = context;

    if (p->err == OK)
        download_find_step(p);
    if (p->err == OK && !p->is_cancelled && !p->is_lost && bucket_wants_source(p))
        bucket_bring_source(p, source_brought);
    else
        begin_or_end(p, p->err, "the scratch folder could not be made");
}

void pipeline_begin(struct pipeline *p)
{
    io_offload(p->owner->parts.loop, prepare_work, prepared, p);
}

void pipeline_go_back(struct pipeline *p, const struct step *step)
{
    log_info("job_goes_back", LOG_S("job", p->video), LOG_S("from", p->step->name),
             LOG_S("to", step->name));
    p->step = step;
    p->err = OK;
    prepared(p);
}

void pipeline_step_done(struct pipeline *p, int err, const char *why)
{
    assert(p->task == NULL);
    if (p->is_lost || err == FAIL_STALE) {
        p->is_lost = p->token > 0;
        pipeline_free(p);
    } else if (p->is_cancelled) {
        pipeline_end_cancelled(p);
    } else if (err && p->owner->is_draining) {
        pipeline_leave(p, BOOK_RELEASE);
    } else if (err) {
        pipeline_end_failed(p, err, why);
    } else {
        pipeline_stop_converting(p);
        const struct step *next = pipeline_next(&p->spec, p->step);
        if (next != NULL) {
            p->step = next;
            checkpoint(p, next->name, recorded);
        } else
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

void pipeline_stop(struct pipeline *p)
{
    atomic_store(&p->is_stopped, true);
    if (p->task != NULL)
        media_task_cancel(p->task);
}

/* Until what runs has stopped: a crash meanwhile must not finish the job. No
 * checkpoint comes behind this one. */
void pipeline_cancel(struct pipeline *p)
{
    p->is_cancelled = true;
    checkpoint(p, cancel_step, NULL);
    pipeline_stop(p);
    if (p->is_waiting) {
        p->is_waiting = false;
        pipeline_end_cancelled(p);
    }
}

struct cancellation {
    struct pipelines *owner;
    book_done *done;
    void *context;
    char video[JOB_ID_MAX + 1];
};

static void cancelled(void *context, int err)
{
    struct cancellation *c = context;

    if (err == FAIL_STATE) {
        pipelines_end_upload(c->owner, c->video, 0, JOB_CANCELLED, "Cancelled");
        err = OK;
    }
    c->done(c->context, err);
    pipelines_settled(c->owner);
    mem_free(c);
}

bool pipeline_is_cancellation(const char *name)
{
    return strcmp(name, cancel_step) == 0;
}

void pipelines_cancel(struct pipelines *ps, const char *video, book_done *done, void *context)
{
    struct pipeline *p = find(ps, video);

    if (p != NULL) {
        pipeline_cancel(p);
        done(context, OK);
        return;
    }
    struct cancellation *c = mem_new(struct cancellation);
    ps->pending++;
    c->owner = ps;
    c->done = done;
    c->context = context;
    snprintf(c->video, sizeof(c->video), "%s", video);
    ps->book->ops->cancel(ps->book, c->video, cancelled, c);
}

static void expire(void *context, const char *const *videos, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        log_info("upload_expired", LOG_S("job", videos[i]));
        pipelines_end_upload(context, videos[i], 0, JOB_FAILED, "The upload was never finished");
    }
}

void pipelines_sweep(struct pipelines *ps, int64_t before_ms)
{
    ps->book->ops->stale(ps->book, before_ms, expire, ps);
    pipelines_clear_kept(ps);
    if (ps->bucket != NULL)
        bucket_sweep(ps, before_ms);
    pipelines_look_for_idle(ps);
}

/* The end */

static void stop_all(struct pipelines *ps)
{
    struct pipeline *p;

    DL_FOREACH(ps->running, p)
    pipeline_stop(p);
}

/* What is being removed from a storage that is away stays for the next start. */
static void grace_is_over(uv_timer_t *timer)
{
    struct pipelines *ps = timer->data;

    stop_all(ps);
    if (ps->parts.storage != NULL)
        storage_hurry(ps->parts.storage);
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
        pipeline_leave(p, BOOK_RELEASE);
    if (ps->running == NULL && ps->pending == 0) {
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
