#include "store/store.h"

#include <assert.h>
#include <signal.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/store_room.h"

/* Called with the ledger's lock held. */
static void append(struct journal *journal, struct update *u)
{
    struct record *record = mem_new(struct record);

    record->kind = RECORD_UPDATE;
    record->update = update_ref(u);
    queue_put((struct store *)journal, record);
}

static void free_store(struct store *s)
{
    /* The reader first: the last connection to go writes the log back into the
     * file, and one that only reads could not. */
    sql_finalize_all(s->reads, READER_SQLS);
    sqlite3_close(s->reader);
    sql_finalize_all(s->writes, WRITER_SQLS);
    sqlite3_close(s->writer);
    pthread_mutex_destroy(&s->read_lock);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    mem_free(s->sorted);
    mem_free(s->hook_urls);
    mem_free(s);
}

int store_open(const char *path, struct store **out, struct buf *why)
{
    struct store *s = mem_new(struct store);
    pthread_condattr_t monotonic;

    s->journal.append = append;
    records_init(&s->queue);
    records_init(&s->pending);
    s->retry_ms = STORE_RETRY_FIRST_MS;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->read_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int err = writer_open(s, path, why);
    if (err == OK)
        err = reader_open(s, path, why);
    if (err != OK) {
        free_store(s);
        return err;
    }
    *out = s;
    return OK;
}

int store_count_start(struct store *s, uint64_t *start)
{
    assert(!s->is_started);
    return write_count_start(s, start);
}

int store_start(struct store *s, struct ledger *ledger)
{
    sigset_t all, before;

    assert(!s->is_started);
    s->ledger = ledger;
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&s->thread, NULL, writer_run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->is_started = rc == 0;
    return fail_from_errno(rc);
}

struct journal *store_journal(struct store *s)
{
    return &s->journal;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->is_closing = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (s->is_started)
        pthread_join(s->thread, NULL);
    else
        writer_run(s);
    free_store(s);
}

void store_put_work(struct store *s, const char *job, const char *step, const char *spec,
                    void (*done)(void *context, int err), void *context)
{
    struct record *record = mem_new(struct record);

    record->kind = RECORD_PUT;
    record->job = mem_strdup(job);
    record->step = mem_strdup(step);
    record->spec = mem_strdup(spec);
    record->updated_ms = clock_wall_ms();
    record->done = done;
    record->context = context;
    queue_put(s, record);
}

void store_drop_work(struct store *s, const char *job, void (*done)(void *context, int err),
                     void *context)
{
    struct record *record = mem_new(struct record);

    record->kind = RECORD_DROP;
    record->job = mem_strdup(job);
    record->done = done;
    record->context = context;
    queue_put(s, record);
}

static void put_room(struct store *s, enum record_kind kind, const struct room *room)
{
    struct record *record = mem_new(struct record);

    record->kind = kind;
    record->pid = mem_strdup(room->pid);
    record->job = room->job ? mem_strdup(room->job) : NULL;
    record->sid = room->sid ? mem_strdup(room->sid) : NULL;
    record->subject = room->subject ? mem_strdup(room->subject) : NULL;
    queue_put(s, record);
}

void store_put_room(struct store *s, const struct room *room)
{
    put_room(s, RECORD_JOIN, room);
}

void store_drop_room(struct store *s, const char *pid, const char *job)
{
    put_room(s, RECORD_PART, &(struct room){ .pid = pid, .job = job });
}

static void put_barrier(struct store *s, enum record_kind kind,
                        void (*done)(void *context, int err), void *context)
{
    struct record *record = mem_new(struct record);

    record->kind = kind;
    record->done = done;
    record->context = context;
    queue_put(s, record);
}

void store_sync(struct store *s, void (*done)(void *context, int err), void *context)
{
    put_barrier(s, RECORD_SYNC, done, context);
}

void store_after(struct store *s, void (*done)(void *context, int err), void *context)
{
    put_barrier(s, RECORD_AFTER, done, context);
}

int store_sweep(struct store *s, int64_t before_ms, size_t max, size_t *count)
{
    struct sweep sweep = { .before_ms = before_ms, .max = max };

    if (!s->is_started) {
        int err = write_sweep(s, &sweep);
        if (err == OK)
            *count = sweep.count;
        return err;
    }
    pthread_cond_init(&sweep.wake, NULL);
    struct record *record = mem_new(struct record);
    record->kind = RECORD_SWEEP;
    record->sweep = &sweep;
    queue_put(s, record);
    pthread_mutex_lock(&s->lock);
    while (!sweep.is_done)
        pthread_cond_wait(&sweep.wake, &s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_cond_destroy(&sweep.wake);
    if (sweep.err == OK)
        *count = sweep.count;
    return sweep.err;
}

void store_trouble(struct store *s, struct buf *out)
{
    pthread_mutex_lock(&s->lock);
    buf_puts(out, s->trouble);
    pthread_mutex_unlock(&s->lock);
}
