/* The writer's thread: takes the whole queue, writes it as one group, tells
 * whom it concerns.
 *
 *               queued, or time to try again
 *      waiting -----------------------------> writing
 *         ^                                    |   |
 *         +------------- written --------------+   | cannot
 *         ^                                        v
 *         +---- work refused, progress heard, finals kept ----
 *
 * Trouble with the disk stops no live progress: what need not be durable is
 * heard although it is not written, and the latest of it per job is kept for
 * when the disk is well again. A final update, and what follows it in its job,
 * is heard only once it is written; it is tried again until then. */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_room.h"

enum {
    RETRY_MOST_MS = 5000,
    CLOSE_PATIENCE_MS = 5000, /* for a disk that refuses while we want to end */
    CONFIRM_MAX = 256,        /* at a time: the ledger's lock is held for that long */
};

void records_init(struct records *r)
{
    *r = (struct records){ .last = &r->first };
}

void records_add(struct records *r, struct record *record)
{
    record->next = NULL;
    *r->last = record;
    r->last = &record->next;
    r->count++;
}

void records_move(struct records *to, struct records *from)
{
    if (from->first == NULL)
        return;
    *to->last = from->first;
    to->last = from->last;
    to->count += from->count;
    records_init(from);
}

void record_free(struct record *record)
{
    update_unref(&record->update);
    mem_free(record->job);
    mem_free(record->step);
    mem_free(record->spec);
    mem_free(record->pid);
    mem_free(record->sid);
    mem_free(record->subject);
    mem_free(record->hook);
    mem_free(record);
}

void queue_put(struct store *s, struct record *record)
{
    pthread_mutex_lock(&s->lock);
    bool was_empty = s->queue.first == NULL;
    records_add(&s->queue, record);
    pthread_mutex_unlock(&s->lock);
    /* Not before: it would wake up only to wait for the lock. */
    if (was_empty)
        pthread_cond_signal(&s->wake);
}

static void confirm(struct store *s, struct update *const *updates, size_t count)
{
    if (s->ledger != NULL && count > 0)
        ledger_confirm(s->ledger, updates, count);
}

/* Those of `records` that `may` be heard, in their order. */
static void confirm_all(struct store *s, const struct records *records,
                        bool (*may)(const struct record *r))
{
    struct update *batch[CONFIRM_MAX];
    size_t count = 0;

    for (const struct record *r = records->first; r != NULL; r = r->next) {
        if (r->kind != RECORD_UPDATE || !may(r))
            continue;
        batch[count++] = r->update;
        if (count == CONFIRM_MAX) {
            confirm(s, batch, count);
            count = 0;
        }
    }
    confirm(s, batch, count);
}

/* Tells whoever waits for it, and ends the record. */
static void finish(struct store *s, struct record *r, int err)
{
    if (r->done != NULL)
        r->done(r->context, err == OK ? r->outcome : err);
    if (r->sweep != NULL) {
        pthread_mutex_lock(&s->lock);
        r->sweep->err = err;
        r->sweep->is_done = true;
        pthread_cond_signal(&r->sweep->wake);
        pthread_mutex_unlock(&s->lock);
    }
    record_free(r);
}

static bool is_unheard(const struct record *r)
{
    return !r->is_confirmed;
}

static void settle_written(struct store *s)
{
    struct record *next;

    confirm_all(s, &s->pending, is_unheard);
    hooks_written(s);
    for (struct record *r = s->pending.first; r != NULL; r = next) {
        next = r->next;
        finish(s, r, OK);
    }
    records_init(&s->pending);
}

/* Marks, job by job, what becomes of the updates that were not written. */
static void judge(struct store *s)
{
    bool is_held = false;

    for (size_t i = 0; i < s->sorted_count; i++) {
        struct record *r = s->sorted[i];
        bool is_latest = group_is_latest(s, i);
        if (!r->is_confirmed && job_is_final(r->update->state))
            is_held = true;
        r->is_due = !is_held && !r->is_confirmed;
        r->is_confirmed |= r->is_due;
        r->is_dropped = r->is_confirmed && !is_latest;
        if (is_latest)
            is_held = false;
    }
}

static bool is_due(const struct record *r)
{
    return r->is_due;
}

static void settle_failed(struct store *s, int err)
{
    struct records kept, refused;
    struct record *next;

    judge(s);
    confirm_all(s, &s->pending, is_due);
    records_init(&kept);
    records_init(&refused);
    for (struct record *r = s->pending.first; r != NULL; r = next) {
        next = r->next;
        if (r->kind != RECORD_UPDATE)
            records_add(&refused, r);
        else if (r->is_dropped)
            record_free(r);
        else
            records_add(&kept, r);
    }
    records_init(&s->pending);
    records_move(&s->pending, &kept);
    for (struct record *r = refused.first; r != NULL; r = next) {
        next = r->next;
        finish(s, r, err);
    }
}

static void note_trouble(struct store *s, int err, uint64_t now_ms)
{
    if (!s->is_troubled)
        log_error("store_trouble", LOG_S("error", s->trouble));
    s->is_troubled = true;
    s->last_err = err;
    s->next_try_ms = now_ms + s->retry_ms;
    if (s->give_up_ms == 0)
        s->retry_ms = s->retry_ms * 2 < RETRY_MOST_MS ? s->retry_ms * 2 : RETRY_MOST_MS;
}

static void note_health(struct store *s)
{
    s->retry_ms = STORE_RETRY_FIRST_MS;
    if (!s->is_troubled)
        return;
    s->is_troubled = false;
    pthread_mutex_lock(&s->lock);
    s->trouble[0] = '\0';
    pthread_mutex_unlock(&s->lock);
    log_info("store_recovered");
}

/* Until `deadline_ms` (0: for ever) or a signal. With the lock held. */
static void wait_locked(struct store *s, uint64_t deadline_ms)
{
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ms / 1000),
        .tv_nsec = (long)(deadline_ms % 1000) * 1000000,
    };

    if (deadline_ms == 0)
        pthread_cond_wait(&s->wake, &s->lock);
    else
        pthread_cond_timedwait(&s->wake, &s->lock, &deadline);
}

/* From here on the disk has so long to become well again. With the lock held. */
static void close_locked(struct store *s)
{
    uint64_t now_ms = clock_mono_ms();

    if (s->give_up_ms != 0)
        return;
    s->give_up_ms = now_ms + CLOSE_PATIENCE_MS;
    s->retry_ms = STORE_RETRY_FIRST_MS;
    s->next_try_ms = now_ms;
}

/* Worth a try before its time. */
static bool is_waited_for(const struct record *r)
{
    return r->kind == RECORD_PUT || r->kind == RECORD_DROP || r->kind == RECORD_SYNC ||
           r->kind == RECORD_SWEEP;
}

/* Moves the queue behind what is pending. False: closing, nothing is left. */
static bool take(struct store *s, bool *is_asked)
{
    pthread_mutex_lock(&s->lock);
    while (s->queue.first == NULL && !(s->is_closing && s->pending.first == NULL)) {
        if (s->is_closing)
            close_locked(s);
        if (s->is_troubled && clock_mono_ms() >= s->next_try_ms)
            break;
        wait_locked(s, s->is_troubled ? s->next_try_ms : 0);
    }
    *is_asked = false;
    for (const struct record *r = s->queue.first; r != NULL; r = r->next)
        *is_asked |= is_waited_for(r);
    records_move(&s->pending, &s->queue);
    if (s->is_closing)
        close_locked(s);
    bool goes_on = !s->is_closing || s->pending.first != NULL;
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

static void give_up(struct store *s)
{
    struct record *next;
    size_t lost = 0;

    for (struct record *r = s->pending.first; r != NULL; r = next) {
        next = r->next;
        lost++;
        record_free(r);
    }
    records_init(&s->pending);
    log_error("store_lost", LOG_I("updates", lost), LOG_S("error", s->trouble));
}

static void run_group(struct store *s, bool is_asked)
{
    uint64_t now_ms = clock_mono_ms();
    int err;

    if (!s->is_troubled || is_asked || now_ms >= s->next_try_ms) {
        err = group_write(s);
        if (err == OK)
            note_health(s);
        else
            note_trouble(s, err, clock_mono_ms());
    } else {
        /* Not time to try again: as if it had failed. */
        group_sort(s);
        err = s->last_err;
    }
    if (err == OK)
        settle_written(s);
    else
        settle_failed(s, err);
}

void *writer_run(void *store)
{
    struct store *s = store;
    bool is_asked;

    while (take(s, &is_asked)) {
        run_group(s, is_asked);
        if (s->give_up_ms != 0 && s->pending.first != NULL && clock_mono_ms() >= s->give_up_ms)
            give_up(s);
    }
    return NULL;
}
