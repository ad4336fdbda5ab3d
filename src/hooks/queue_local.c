/* Reading blocks, so worker threads do it; what is written, the store's thread writes
 * and says so by mail. */
#include "hooks/queue_local.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

enum { AGAIN = 8 }; /* of those that are due, so many may be under way already */

struct bell {
    struct mail mail; /* first */
    struct queue_local *queue;
};

struct queue_local {
    struct hook_queue queue; /* first */
    uv_loop_t *loop;
    struct mailbox *mailbox;
    struct store *store;
    struct bell bell;
    atomic_bool is_rung;  /* the bell is in the mail */
    pthread_mutex_t lock; /* the store stays open while it is held and is_closed is not set */
    bool is_closed;
};

static struct queue_local *local_of(struct hook_queue *q)
{
    return (struct queue_local *)q;
}

static void bell_open(struct mail *mail)
{
    struct queue_local *q = ((struct bell *)mail)->queue;

    atomic_store(&q->is_rung, false);
    if (!q->is_closed && q->queue.ring != NULL)
        q->queue.ring(q->queue.ring_context);
}

void queue_local_ring(struct hook_queue *queue)
{
    struct queue_local *q = local_of(queue);

    if (!atomic_exchange(&q->is_rung, true))
        mailbox_post(q->mailbox, &q->bell.mail);
}

/* Reading */

struct reading {
    struct queue_local *queue;
    char *url, *job;
    size_t max;
    struct hook_query query;
    int err;
    struct hook_delivery *rows;
    size_t count;
    int64_t next_ms;
    hook_due_done *due;
    hook_list_done *listed;
    void *context;
};

static void read_rows(void *context)
{
    struct reading *r = context;
    struct queue_local *q = r->queue;

    pthread_mutex_lock(&q->lock);
    if (q->is_closed)
        r->err = FAIL_CANCELLED;
    else if (r->due != NULL)
        r->err = store_hooks_due(q->store, r->url, clock_wall_ms(), r->max + AGAIN, &r->rows,
                                 &r->count, &r->next_ms);
    else
        r->err = store_hooks_list(q->store, &r->query, &r->rows, &r->count);
    pthread_mutex_unlock(&q->lock);
}

static void rows_read(void *context)
{
    struct reading *r = context;

    if (!r->queue->is_closed && r->due != NULL)
        r->due(r->context, r->err, r->rows, r->count, r->next_ms);
    else if (!r->queue->is_closed)
        r->listed(r->context, r->err, r->rows, r->count);
    hook_deliveries_free(r->rows, r->count);
    mem_free(r->url);
    mem_free(r->job);
    mem_free(r);
}

static void local_due(struct hook_queue *q, const char *url, size_t max, hook_due_done *done,
                      void *context)
{
    struct reading *r = mem_new(struct reading);

    r->queue = local_of(q);
    r->url = mem_strdup(url);
    r->max = max;
    r->due = done;
    r->context = context;
    io_offload(r->queue->loop, read_rows, rows_read, r);
}

static void local_list(struct hook_queue *q, const struct hook_query *query, hook_list_done *done,
                       void *context)
{
    struct reading *r = mem_new(struct reading);

    r->queue = local_of(q);
    r->query = *query;
    r->job = query->job != NULL ? mem_strdup(query->job) : NULL;
    r->query.job = r->job;
    r->listed = done;
    r->context = context;
    io_offload(r->queue->loop, read_rows, rows_read, r);
}

/* Writing */

struct writing {
    struct mail mail; /* first */
    struct queue_local *queue;
    int err;
    hook_done *done;
    void *context;
};

static void writing_open(struct mail *mail)
{
    struct writing *w = (struct writing *)mail;

    if (!w->queue->is_closed)
        w->done(w->context, w->err);
    mem_free(w);
}

/* On the store's thread. */
static void was_written(void *context, int err)
{
    struct writing *w = context;

    w->err = err;
    mailbox_post(w->queue->mailbox, &w->mail);
}

static struct writing *writing_new(struct hook_queue *q, hook_done *done, void *context)
{
    struct writing *w = mem_new(struct writing);

    w->mail.open = writing_open;
    w->queue = local_of(q);
    w->done = done;
    w->context = context;
    return w;
}

static void local_settle(struct hook_queue *q, const struct hook_result *result, hook_done *done,
                         void *context)
{
    store_hooks_settle(local_of(q)->store, result, was_written, writing_new(q, done, context));
}

static void local_replay(struct hook_queue *q, uint64_t id, hook_done *done, void *context)
{
    store_hooks_replay(local_of(q)->store, id, clock_wall_ms(), was_written,
                       writing_new(q, done, context));
}

static void local_sweep(struct hook_queue *q, int64_t before_ms)
{
    store_hooks_sweep(local_of(q)->store, before_ms);
}

static void local_close(struct hook_queue *queue)
{
    struct queue_local *q = local_of(queue);

    pthread_mutex_lock(&q->lock);
    q->is_closed = true;
    pthread_mutex_unlock(&q->lock);
}

static void local_free(struct hook_queue *queue)
{
    struct queue_local *q = local_of(queue);

    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}

static const struct hook_queue_ops ops = {
    .due = local_due,
    .settle = local_settle,
    .list = local_list,
    .replay = local_replay,
    .sweep = local_sweep,
    .close = local_close,
    .free = local_free,
};

struct hook_queue *queue_local_new(uv_loop_t *loop, struct mailbox *mailbox)
{
    struct queue_local *q = mem_new(struct queue_local);

    q->queue.ops = &ops;
    q->loop = loop;
    q->mailbox = mailbox;
    q->bell = (struct bell){ .mail = { .open = bell_open }, .queue = q };
    q->is_closed = true;
    pthread_mutex_init(&q->lock, NULL);
    return &q->queue;
}

void queue_local_open(struct hook_queue *queue, struct store *store)
{
    struct queue_local *q = local_of(queue);

    q->store = store;
    q->is_closed = false;
}
