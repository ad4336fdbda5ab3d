#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "facts.h"
#include "node.h"

void world_trace(struct world *w, const char *format, ...)
{
    va_list args;

    if (w->trace == NULL)
        return;
    fprintf(w->trace, "%10.6f ", (double)w->now_us / SECOND);
    va_start(args, format);
    vfprintf(w->trace, format, args);
    va_end(args);
    putc('\n', w->trace);
}

void world_fail(struct world *w, const char *format, ...)
{
    va_list args;

    if (w->is_failed)
        return;
    w->is_failed = true;
    va_start(args, format);
    vsnprintf(w->failure, sizeof(w->failure), format, args);
    va_end(args);
    world_trace(w, "FAILED: %s", w->failure);
}

/* A binary heap: by time, then by the order of scheduling. */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct world *w, struct event e)
{
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 256;
        w->heap = mem_resize(w->heap, w->room * sizeof(*w->heap));
    }
    e.order = w->order++;
    size_t i = w->count++;
    for (; i > 0 && is_before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

static struct event pop(struct world *w)
{
    struct event first = w->heap[0], last = w->heap[--w->count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->count)
            break;
        if (child + 1 < w->count && is_before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!is_before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return first;
}

void world_after(struct world *w, int64_t delay_us, event_run *run, event_run *drop, void *context)
{
    push(w, (struct event){
                .at_us = w->now_us + delay_us, .run = run, .drop = drop, .context = context });
}

void node_at(struct node *n, int64_t at_us, event_run *run, event_run *drop, void *context)
{
    push(n->world, (struct event){ .at_us = at_us,
                                   .node = n,
                                   .life = n->life,
                                   .run = run,
                                   .drop = drop,
                                   .context = context });
}

void node_after(struct node *n, int64_t delay_us, event_run *run, event_run *drop, void *context)
{
    node_at(n, n->world->now_us + delay_us, run, drop, context);
}

static void drop(struct event *e)
{
    if (e->drop != NULL)
        e->drop(e->context);
}

static void happen(struct world *w, struct event *e)
{
    struct node *n = e->node;

    if (n != NULL && n->life != e->life) {
        drop(e);
    } else if (n != NULL && n->paused_until_us > w->now_us) {
        e->at_us = n->paused_until_us;
        push(w, *e);
    } else {
        w->steps++;
        e->run(e->context);
        facts_step(w);
    }
}

void world_run(struct world *w, int64_t until_us)
{
    while (!w->is_failed && w->count > 0 && w->heap[0].at_us <= until_us) {
        struct event e = pop(w);
        w->now_us = e.at_us;
        happen(w, &e);
    }
    if (!w->is_failed)
        w->now_us = until_us;
}

/* Redis */

bool redis_is_there(const struct world *w)
{
    return w->redis.model != NULL;
}

int64_t redis_now_us(const struct world *w)
{
    return w->now_us + w->redis.offset_us;
}

static int64_t published(void *context, struct str channel, struct str message)
{
    struct world *w = context;
    int64_t heard = 0;

    facts_published(w, channel, message);
    for (int i = 0; i < NODES; i++)
        heard += port_publish(w->nodes[i]->port, channel, message);
    return heard;
}

struct redis_reply *redis_execute(struct world *w, const struct str *args, size_t count)
{
    if (!redis_is_there(w))
        return NULL;
    model_set_time(w->redis.model, redis_now_us(w));
    return model_run(w->redis.model, args, count);
}

void redis_save(struct world *w)
{
    if (!redis_is_there(w))
        return;
    model_free(w->redis.saved);
    w->redis.saved = model_copy(w->redis.model);
}

void redis_crash(struct world *w)
{
    world_trace(w, "redis crashes");
    w->redis.last = w->redis.model;
    w->redis.model = NULL;
    for (int i = 0; i < NODES; i++)
        port_redis_is_gone(w->nodes[i]->port);
}

void redis_start(struct world *w, enum memory memory)
{
    static const char *const names[] = { "all", "some", "nothing" };
    struct sim_redis *r = &w->redis;
    struct model *last = r->last;

    world_trace(w, "redis starts with %s of its memory", names[memory]);
    r->last = NULL;
    r->kept_all = memory == MEMORY_ALL;
    r->has_forgotten |= !r->kept_all;
    r->model = memory == MEMORY_NONE                        ? model_new()
               : memory == MEMORY_SAVED && r->saved != NULL ? model_copy(r->saved)
               : last != NULL                               ? model_copy(last)
                                                            : model_new();
    model_listen(r->model, published, w);
    model_set_time(r->model, redis_now_us(w));
    if (last != NULL) {
        model_set_time(last, redis_now_us(w));
        facts_redis_started(w, last);
    }
    model_free(last);
    redis_save(w);
}

void world_init(struct world *w, uint64_t seed, FILE *trace)
{
    *w = (struct world){ .seed = seed, .random.state = seed, .trace = trace };
}

void world_deinit(struct world *w)
{
    while (w->count > 0) {
        struct event e = pop(w);
        drop(&e);
    }
    mem_free(w->heap);
    model_free(w->redis.model);
    model_free(w->redis.saved);
    model_free(w->redis.last);
}
