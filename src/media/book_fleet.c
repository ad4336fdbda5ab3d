#include "media/book_fleet.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/book_fleet_room.h"
#include "media/pipeline_run.h"

enum {
    PATIENCE_MS = 5000, /* of those who wait for an answer */
    STALE_MAX = 64,
    REOPENING_MAX = 50, /* looks at what is just being opened again */
};

/* Something that takes more than one question. */
struct asking {
    struct book_fleet *book;
    book_found *found;
    book_done *done;
    void *context;
    struct upload upload;
    unsigned looks;
    bool was_over;
    uint64_t token;
    char *step, *spec, *hls_path;
    int state; /* wanted */
    char video[JOB_ID_MAX + 1];
    enum fleet_priority priority;
};

static bool is_closed(struct pipeline_book *b)
{
    return ((struct book_fleet *)b)->is_closed;
}

static struct asking *asking_new(struct pipeline_book *b, const char *video, book_done *done,
                                 void *context)
{
    struct asking *a = mem_new(struct asking);

    a->book = (struct book_fleet *)b;
    a->done = done;
    a->context = context;
    snprintf(a->video, sizeof(a->video), "%s", video);
    return a;
}

static void asking_free(struct asking *a)
{
    mem_free(a->step);
    mem_free(a->spec);
    mem_free(a->hls_path);
    mem_free(a);
}

static void answer(struct asking *a, int err)
{
    a->done(a->context, err);
    asking_free(a);
}

/* Looking an upload up: what it is, then what its job is */

static void look(struct asking *a);

/* Who hears of a failure may be faster than the worker that opens its upload again. */
static bool is_being_reopened(const struct asking *a, const struct update *u)
{
    return a->upload.state == UPLOAD_BUSY && u->state == JOB_FAILED && a->looks < REOPENING_MAX;
}

static void job_found(void *context, int err, struct update *u)
{
    struct asking *a = context;

    if (err == OK && is_being_reopened(a, u)) {
        a->looks++;
        look(a);
        return;
    }
    a->found(a->context, err, err ? NULL : &a->upload, err ? NULL : u->text[TEXT_TITLE]);
    asking_free(a);
}

static void work_found(void *context, int err, const struct fleet_work_state *state)
{
    struct asking *a = context;

    if (err == OK)
        err = upload_read(state->spec, &a->upload);
    if (err == OK && state->place[0] != '\0')
        err = upload_place_read(str_of(state->place), &a->upload.place);
    if (err) {
        a->found(a->context, err, NULL, NULL);
        asking_free(a);
        return;
    }
    a->upload.state = state->is_open ? UPLOAD_OPEN : UPLOAD_BUSY;
    if (state->chunks > 0)
        a->upload.total_chunks = state->chunks;
    a->upload.touched_ms = state->touched_ms;
    fleet_jobs_find(a->book->parts.jobs, a->video, job_found, a);
}

static void look(struct asking *a)
{
    fleet_work_find(a->book->parts.work, a->video, work_found, a);
}

static void find(struct pipeline_book *b, const char *video, book_found *found, void *context)
{
    if (is_closed(b)) {
        found(context, FAIL_CANCELLED, NULL, NULL);
        return;
    }
    struct asking *a = asking_new(b, video, NULL, context);
    a->found = found;
    look(a);
}

static void placed(void *context, int err)
{
    answer(context, err);
}

static void place(struct pipeline_book *b, const struct book_place *place, book_done *done,
                  void *context)
{
    struct buf before, after;

    if (is_closed(b)) {
        done(context, FAIL_CANCELLED);
        return;
    }
    buf_init(&before, FLEET_PLACE_MAX);
    buf_init(&after, FLEET_PLACE_MAX);
    upload_place_write(place->before, &before);
    upload_place_write(place->after, &after);
    fleet_work_place(((struct book_fleet *)b)->parts.work, place->video, buf_text(&before),
                     buf_text(&after), placed, asking_new(b, place->video, done, context));
    buf_deinit(&before);
    buf_deinit(&after);
}

/* Beginning: the job first. Should the queue refuse it, another has put it there. */

static const enum fleet_priority priorities[UPLOAD_PRIORITIES] = {
    [UPLOAD_NORMAL] = FLEET_NORMAL,
    [UPLOAD_HIGH] = FLEET_HIGH,
    [UPLOAD_LOW] = FLEET_LOW,
};

static void enqueued(void *context, int err)
{
    answer(context, err);
}

static void queued(void *context, int err, struct update *u)
{
    struct asking *a = context;

    (void)u;
    if (err != OK && err != FAIL_STATE) /* it had not failed: it is queued already */
        answer(a, err);
    else
        fleet_work_enqueue(a->book->parts.work, a->video, a->step, a->spec, a->priority, enqueued,
                           a);
}

static void begin(struct pipeline_book *b, const struct book_begin *begin, book_done *done,
                  void *context)
{
    struct book_fleet *f = (struct book_fleet *)b;
    struct change c;

    if (f->is_closed || disk_available(f->parts.disk) < begin->reserve) {
        done(context, f->is_closed ? FAIL_CANCELLED : FAIL_FULL);
        return;
    }
    struct asking *a = asking_new(b, begin->video, done, context);
    a->step = mem_strdup(begin->step);
    a->spec = mem_strdup(begin->spec);
    a->priority = priorities[begin->upload->priority];
    change_init(&c);
    c.state = JOB_QUEUED;
    c.is_retry = true;
    fleet_jobs_apply(f->parts.jobs,
                     &(struct fleet_apply){
                         .id = a->video, .change = &c, .patience_ms = PATIENCE_MS },
                     queued, a);
}

/* Processing */

void book_fleet_say(struct book_fleet *f, const char *video, uint64_t token, const struct change *c)
{
    fleet_jobs_apply(f->parts.jobs,
                     &(struct fleet_apply){
                         .id = video, .change = c, .token = token, .is_latest_only = true },
                     NULL, NULL);
}

static void checkpoint(struct pipeline_book *b, const struct book_checkpoint *c, book_done *done,
                       void *context)
{
    if (done == NULL) /* that it is to be cancelled is on record already */
        return;
    if (is_closed(b))
        done(context, FAIL_CANCELLED);
    else
        fleet_work_checkpoint(((struct book_fleet *)b)->parts.work, c->video, c->token, c->step,
                              c->spec, done, context);
}

/* The end */

static void reopened(void *context, int err)
{
    answer(context, err);
}

static void end_told(struct asking *a, bool is_told)
{
    if (!is_told || a->spec == NULL || a->token == 0)
        answer(a, is_told ? OK : FAIL_STATE);
    else
        fleet_work_reopen(a->book->parts.work, a->video, a->token, a->spec, reopened, a);
}

/* It may be ourselves who have ended it, and never had the answer. */
static void end_found(void *context, int err, struct update *u)
{
    struct asking *a = context;

    if (err == FAIL_CANCELLED)
        answer(a, err);
    else if (err == FAIL_CLOSED) /* away again: whoever takes it up knows what to do */
        answer(a, a->token > 0 ? FAIL_STALE : err);
    else
        end_told(a, err == OK && (int)u->state == a->state &&
                        strcmp(update_text(u, TEXT_HLS_PATH), a->hls_path) == 0);
}

static void end_applied(void *context, int err, struct update *u)
{
    struct asking *a = context;

    (void)u;
    if (err == OK)
        end_told(a, true);
    else if (err == FAIL_STATE)
        fleet_jobs_find(a->book->parts.jobs, a->video, end_found, a);
    else if (err == FAIL_MISSING)
        end_told(a, false);
    else
        answer(a, err);
}

static void end(struct pipeline_book *b, const struct book_end *end, book_done *done, void *context)
{
    const char *hls_path = end->change->text[TEXT_HLS_PATH];
    struct buf spec;

    if (is_closed(b)) {
        done(context, FAIL_CANCELLED);
        return;
    }
    struct asking *a = asking_new(b, end->video, done, context);
    a->token = end->token;
    a->state = end->change->state;
    a->hls_path = mem_strdup(hls_path ? hls_path : "");
    if (end->reopen != NULL) {
        buf_init(&spec, PIPELINE_SPEC_MAX);
        upload_write(end->reopen, &spec);
        a->spec = buf_take(&spec);
    }
    fleet_jobs_apply(a->book->parts.jobs,
                     &(struct fleet_apply){ .id = a->video,
                                            .change = end->change,
                                            .token = end->token,
                                            .patience_ms = end->token > 0 ? 0 : PATIENCE_MS },
                     end_applied, a);
}

static void leave(struct pipeline_book *b, const struct book_leave *l, book_done *done,
                  void *context)
{
    struct fleet_work *work = ((struct book_fleet *)b)->parts.work;

    if (l->token == 0 || is_closed(b)) {
        done(context, OK);
        return;
    }
    if (l->how == BOOK_DROP)
        fleet_work_finish(work, l->video, l->token, done, context);
    else if (l->how == BOOK_RELEASE)
        fleet_work_release(work, l->video, l->token, done, context);
    else
        fleet_work_retry(work, l->video, l->token, l->why, done, context);
}

/* Cancelling: the job first, so that a crash behind it leaves nothing that goes on */

static void work_cancelled(void *context, int err)
{
    struct asking *a = context;

    /* It had ended before, and is only being cleared away. */
    if (err == OK && a->was_over)
        err = FAIL_MISSING;
    answer(a, err);
}

static void job_cancelled(void *context, int err, struct update *u)
{
    struct asking *a = context;

    (void)u;
    a->was_over = err == FAIL_STATE;
    if (err == OK || err == FAIL_STATE || err == FAIL_MISSING)
        fleet_work_cancel(a->book->parts.work, a->video, work_cancelled, a);
    else
        answer(a, err);
}

static void cancel(struct pipeline_book *b, const char *video, book_done *done, void *context)
{
    struct change c;

    if (is_closed(b)) {
        done(context, FAIL_CANCELLED);
        return;
    }
    struct asking *a = asking_new(b, video, done, context);
    change_init(&c);
    c.state = JOB_CANCELLED;
    c.text[TEXT_MESSAGE] = "Cancelled";
    c.text[TEXT_ERROR] = "Cancelled";
    fleet_jobs_apply(a->book->parts.jobs,
                     &(struct fleet_apply){
                         .id = a->video, .change = &c, .patience_ms = PATIENCE_MS },
                     job_cancelled, a);
}

struct stale {
    book_stale *found;
    void *context;
};

static void stale_found(void *context, int err, const char *const *jobs, size_t count)
{
    struct stale *s = context;

    if (err == OK && count > 0)
        s->found(s->context, jobs, count);
    mem_free(s);
}

static void stale(struct pipeline_book *b, int64_t before_ms, book_stale *found, void *context)
{
    struct stale *s;

    if (is_closed(b))
        return;
    s = mem_new(struct stale);
    s->found = found;
    s->context = context;
    fleet_work_stale(((struct book_fleet *)b)->parts.work, before_ms, STALE_MAX, stale_found, s);
}

struct idling {
    book_idle_done *done;
    void *context;
};

static void idle_found(void *context, int err, const struct fleet_work_idle *found)
{
    struct idling *i = context;

    if (err)
        i->done(i->context, err, NULL);
    else
        i->done(i->context, OK,
                &(struct book_idle){ found->jobs, found->count, found->reached_ms });
    mem_free(i);
}

static void idle(struct pipeline_book *b, int64_t since_ms, int64_t before_ms, book_idle_done *done,
                 void *context)
{
    if (is_closed(b)) {
        done(context, FAIL_CANCELLED, NULL);
        return;
    }
    struct idling *i = mem_new(struct idling);
    i->done = done;
    i->context = context;
    fleet_work_idle(((struct book_fleet *)b)->parts.work, since_ms, before_ms, idle_found, i);
}

static const struct book_ops ops = {
    .name = "fleet",
    .is_queue = true,
    .find = find,
    .place = place,
    .begin = begin,
    .say = book_fleet_say_anywhere,
    .checkpoint = checkpoint,
    .end = end,
    .leave = leave,
    .cancel = cancel,
    .stale = stale,
    .idle = idle,
};

struct pipeline_book *book_fleet_new(const struct book_fleet_parts *parts)
{
    struct book_fleet *f = mem_new(struct book_fleet);

    f->base.ops = &ops;
    f->parts = *parts;
    f->desk = pthread_self();
    atomic_init(&f->refs, 1);
    return &f->base;
}

void book_fleet_close(struct pipeline_book *b)
{
    ((struct book_fleet *)b)->is_closed = true;
}

void book_fleet_free(struct pipeline_book *b)
{
    struct book_fleet *f = (struct book_fleet *)b;

    if (f == NULL)
        return;
    f->is_closed = true;
    book_fleet_unref(f);
}
