#include "hooks/queue_fleet.h"

#include "base/err.h"
#include "base/mem.h"

struct queue_fleet {
    struct hook_queue queue; /* first */
    struct fleet_hooks *fleet;
    bool is_closed;
};

struct asking {
    struct queue_fleet *queue;
    hook_due_done *due;
    hook_list_done *listed;
    hook_done *done;
    void *context;
};

static struct asking *asking_new(struct hook_queue *q, void *context)
{
    struct asking *a = mem_new(struct asking);

    a->queue = (struct queue_fleet *)q;
    a->context = context;
    return a;
}

static void was_taken(void *context, int err, struct hook_delivery *rows, size_t count,
                      int64_t next_ms)
{
    struct asking *a = context;

    if (!a->queue->is_closed)
        a->due(a->context, err, rows, count, next_ms);
    mem_free(a);
}

static void fleet_due(struct hook_queue *q, const char *url, size_t max, hook_due_done *done,
                      void *context)
{
    struct asking *a = asking_new(q, context);

    a->due = done;
    fleet_hooks_take(a->queue->fleet, url, max, was_taken, a);
}

static void was_listed(void *context, int err, const struct hook_delivery *rows, size_t count)
{
    struct asking *a = context;

    if (!a->queue->is_closed)
        a->listed(a->context, err, rows, count);
    mem_free(a);
}

static void fleet_list(struct hook_queue *q, const struct hook_query *query, hook_list_done *done,
                       void *context)
{
    struct asking *a = asking_new(q, context);

    a->listed = done;
    fleet_hooks_list(a->queue->fleet, query, was_listed, a);
}

static void was_done(void *context, int err)
{
    struct asking *a = context;

    if (!a->queue->is_closed)
        a->done(a->context, err);
    mem_free(a);
}

static void fleet_settle(struct hook_queue *q, const struct hook_result *result, hook_done *done,
                         void *context)
{
    struct asking *a = asking_new(q, context);

    a->done = done;
    fleet_hooks_settle(a->queue->fleet, result, was_done, a);
}

static void fleet_replay(struct hook_queue *q, uint64_t id, hook_done *done, void *context)
{
    struct asking *a = asking_new(q, context);

    a->done = done;
    fleet_hooks_replay(a->queue->fleet, id, was_done, a);
}

static void fleet_sweep(struct hook_queue *q, int64_t before_ms)
{
    fleet_hooks_sweep(((struct queue_fleet *)q)->fleet, before_ms);
}

static void fleet_close(struct hook_queue *q)
{
    ((struct queue_fleet *)q)->is_closed = true;
}

static void fleet_free(struct hook_queue *q)
{
    mem_free(q);
}

static const struct hook_queue_ops ops = {
    .due = fleet_due,
    .settle = fleet_settle,
    .list = fleet_list,
    .replay = fleet_replay,
    .sweep = fleet_sweep,
    .close = fleet_close,
    .free = fleet_free,
};

struct hook_queue *queue_fleet_new(struct fleet_hooks *fleet)
{
    struct queue_fleet *q = mem_new(struct queue_fleet);

    q->queue.ops = &ops;
    q->fleet = fleet;
    return &q->queue;
}
