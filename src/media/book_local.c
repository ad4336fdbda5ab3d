#include "media/book_local.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/pipeline_run.h"
#include "storage/slices.h"

enum { STALE_MAX = 64 };

struct book_local {
    struct pipeline_book base; /* first */
    struct book_local_parts parts;
};

static const struct book_local_parts *parts_of(struct pipeline_book *b)
{
    return &((struct book_local *)b)->parts;
}

/* Admission */

static void find(struct pipeline_book *b, const char *video, book_found *found, void *context)
{
    const struct book_local_parts *parts = parts_of(b);
    struct upload upload;
    int err = uploads_get(parts->uploads, video, &upload);
    struct update *u = err == OK ? ledger_head(parts->ledger, video) : NULL;

    found(context, err, err ? NULL : &upload, u ? u->text[TEXT_TITLE] : NULL);
    update_unref(&u);
}

static void queue_job(const struct book_local_parts *parts, const char *video)
{
    struct change c;
    struct update *u = ledger_head(parts->ledger, video);

    change_init(&c);
    c.state = JOB_QUEUED;
    c.is_retry = u != NULL && job_may_retry(u->state);
    if (c.is_retry)
        ledger_apply(parts->ledger, video, &c, false, NULL);
    update_unref(&u);
}

static void begin(struct pipeline_book *b, const struct book_begin *begin, book_done *done,
                  void *context)
{
    const struct book_local_parts *parts = parts_of(b);
    const struct upload *u = begin->upload;
    int err = uploads_begin(parts->uploads, begin->video, u->file_name, u->total_chunks);

    if (err) {
        done(context, err);
        return;
    }
    err = disk_reserve(parts->disk, begin->reserve);
    if (err)
        uploads_reopen(parts->uploads, begin->video, u);
    else
        queue_job(parts, begin->video);
    done(context, err);
}

/* Processing */

static void say(struct pipeline_book *b, const char *video, uint64_t token, const struct change *c)
{
    (void)token;
    /* Refused only when the job was ended from elsewhere: nothing to tell. */
    ledger_apply(parts_of(b)->ledger, video, c, false, NULL);
}

struct record {
    struct mail mail;
    struct mailbox *mailbox;
    book_done *done;
    void *context;
    int err;
};

static void record_open(struct mail *mail)
{
    struct record *r = (struct record *)mail;

    r->done(r->context, r->err);
    mem_free(r);
}

/* On the store's thread. */
static void recorded(void *context, int err)
{
    struct record *r = context;

    r->err = err;
    mailbox_post(r->mailbox, &r->mail);
}

static struct record *record_new(const struct book_local_parts *parts, book_done *done,
                                 void *context)
{
    struct record *r = mem_new(struct record);

    r->mail.open = record_open;
    r->mailbox = parts->mailbox;
    r->done = done;
    r->context = context;
    return r;
}

static void place(struct pipeline_book *b, const struct book_place *place, book_done *done,
                  void *context)
{
    const struct book_local_parts *parts = parts_of(b);
    struct record *r = record_new(parts, done, context);
    int err = uploads_place(parts->uploads, place->video, place->before, place->after, recorded, r);

    if (err == OK)
        return;
    mem_free(r);
    done(context, err);
}

static void checkpoint(struct pipeline_book *b, const struct book_checkpoint *c, book_done *done,
                       void *context)
{
    const struct book_local_parts *parts = parts_of(b);

    if (done == NULL)
        store_put_work(parts->store, c->video, c->step, c->spec, NULL, NULL);
    else
        store_put_work(parts->store, c->video, c->step, c->spec, recorded,
                       record_new(parts, done, context));
}

/* The uploader may mend it as soon as it hears of the failure: so the upload is
 * open again before that, and on record as open only behind it. A failed job stays
 * failed when its upload ends. */
static void end(struct pipeline_book *b, const struct book_end *end, book_done *done, void *context)
{
    const struct book_local_parts *parts = parts_of(b);

    if (end->reopen != NULL)
        uploads_reopen(parts->uploads, end->video, end->reopen);
    ledger_apply(parts->ledger, end->video, end->change, false, NULL);
    if (end->reopen != NULL)
        uploads_save(parts->uploads, end->video);
    else
        uploads_finish(parts->uploads, end->video);
    done(context, OK);
}

static void leave(struct pipeline_book *b, const struct book_leave *leave, book_done *done,
                  void *context)
{
    if (leave->how == BOOK_DROP)
        store_drop_work(parts_of(b)->store, leave->video, NULL, NULL);
    done(context, OK);
}

static void cancel(struct pipeline_book *b, const char *video, book_done *done, void *context)
{
    struct upload u;

    done(context, uploads_get(parts_of(b)->uploads, video, &u) == OK ? FAIL_STATE : FAIL_MISSING);
}

static void stale(struct pipeline_book *b, int64_t before_ms, book_stale *found, void *context)
{
    char *videos[STALE_MAX];
    size_t count = uploads_stale(parts_of(b)->uploads, before_ms, STALE_MAX, videos);

    found(context, (const char *const *)videos, count);
    for (size_t i = 0; i < count; i++)
        mem_free(videos[i]);
}

static void idle(struct pipeline_book *b, int64_t since_ms, int64_t before_ms, book_idle_done *done,
                 void *context)
{
    size_t count;
    char **videos = uploads_idle(parts_of(b)->uploads, since_ms, before_ms, &count);

    done(context, OK,
         &(struct book_idle){
             .videos = (const char *const *)videos, .count = count, .reached_ms = before_ms });
    for (size_t i = 0; i < count; i++)
        mem_free(videos[i]);
    mem_free(videos);
}

static const struct book_ops ops = {
    .name = "local",
    .find = find,
    .place = place,
    .begin = begin,
    .say = say,
    .checkpoint = checkpoint,
    .end = end,
    .leave = leave,
    .cancel = cancel,
    .stale = stale,
    .idle = idle,
};

struct pipeline_book *book_local_new(const struct book_local_parts *parts)
{
    struct book_local *b = mem_new(struct book_local);

    b->base.ops = &ops;
    b->parts = *parts;
    return &b->base;
}

void book_local_free(struct pipeline_book *b)
{
    mem_free(b);
}

/* A restart */

struct restart {
    const struct book_local_parts *parts;
    struct pipelines *pipelines;
    size_t count;
};

static void one_shot_begun(void *context, int err, const char *why)
{
    (void)context;
    if (err)
        log_warn("resume_refused", LOG_S("reason", fail_name(err)), LOG_S("why", why));
}

/* Whether nobody will ask for the assembly of an open upload; `chunks` as for it. */
static bool is_due(const struct restart *r, const struct work *w, const struct upload *u,
                   uint32_t *chunks)
{
    struct slices slices;

    *chunks = 0;
    if (!u->is_tus)
        return u->is_one_shot; /* its file had its name before it had a job */
    /* It broke off between its last byte and its assembly. */
    if (u->size <= 0 || disk_slices_of(r->parts->disk, w->job, u->size, &slices) != OK ||
        slices.grows)
        return false;
    *chunks = slices.chunks;
    return slices.bytes == (uint64_t)u->size;
}

static void resume_open(struct restart *r, const struct work *w, const struct update *u)
{
    struct upload upload;
    uint32_t chunks;

    if (u->state != JOB_QUEUED || upload_read(w->spec, &upload) != OK ||
        !is_due(r, w, &upload, &chunks))
        return;
    r->count++;
    pipelines_assemble(r->pipelines, w->job, upload.file_name, chunks, one_shot_begun, NULL);
}

/* A part of another upload has no job, and waits for more, or to be made use of. */
static bool is_partial(const struct work *w)
{
    struct upload upload;

    return upload_read(w->spec, &upload) == OK && upload.is_partial;
}

static void resume_work(struct restart *r, const struct work *w, struct update *u)
{
    struct uploads *uploads = r->parts->uploads;
    bool is_step = pipeline_is_step(w->step);
    struct spec spec;
    int err = spec_read(w->spec, &spec);
    bool is_over = err == OK ? pipeline_is_settled(&spec, u) : pipeline_is_over(u);
    bool goes_on = is_step && !is_over && u->state != JOB_FAILED;

    if (u == NULL && is_partial(w) && uploads_restore(uploads, w, false) == OK)
        return;
    if (err || (!is_over && uploads_restore(uploads, w, goes_on) != OK)) {
        log_error("work_unreadable", LOG_S("job", w->job), LOG_S("step", w->step));
        return;
    }
    r->count += goes_on;
    if (is_over || goes_on || pipeline_is_cancellation(w->step))
        pipelines_take(r->pipelines,
                       &(struct taken){
                           .video = w->job, .step = w->step, .spec = &spec, .job = u });
    else if (is_step)
        uploads_save(uploads, w->job);
    else
        resume_open(r, w, u);
}

/* What the work record says and what the job says can differ by one write. */
static bool resume_one(void *context, const struct work *w)
{
    struct restart *r = context;
    struct update *u = ledger_head(r->parts->ledger, w->job);

    resume_work(r, w, u);
    update_unref(&u);
    return true;
}

void book_local_resume(struct pipeline_book *b, struct pipelines *ps)
{
    struct restart r = { .parts = parts_of(b), .pipelines = ps };
    int err = store_each_work(r.parts->store, resume_one, &r);

    if (err)
        log_error("resume_failed", LOG_S("reason", fail_name(err)));
    else if (r.count > 0)
        log_info("jobs_resumed", LOG_I("count", r.count));
}
