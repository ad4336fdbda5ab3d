#include "actors.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "facts.h"

enum { UPLOADS = 5, REPORTERS = 4, FOREIGN = 4 };

struct node *some_node(struct world *w)
{
    int first = (int)random_below(&w->random, NODES);

    for (int i = 0; i < NODES; i++) {
        struct node *n = w->nodes[(first + i) % NODES];
        if (n->is_up)
            return n;
    }
    return NULL;
}

struct actor *actor_new(struct world *w, const char *kind, void (*act)(struct actor *a))
{
    struct actor *a = mem_new(struct actor);

    a->world = w;
    a->act = act;
    a->next = w->script->actors;
    w->script->actors = a;
    snprintf(a->id, sizeof(a->id), "%s%u", kind, w->script->made++);
    facts_job(w, a->id);
    return a;
}

static void arrive(void *context)
{
    struct actor *a = context;

    a->act(a);
}

static void turned_away(void *context)
{
    actor_go(context, 10 * MS, 500 * MS);
}

static void set_out(void *context)
{
    struct actor *a = context;

    a->node = some_node(a->world);
    if (a->node == NULL)
        actor_go(a, 100 * MS, 500 * MS);
    else
        node_after(a->node, 1, arrive, turned_away, a);
}

void actor_go(struct actor *a, int64_t least_us, int64_t most_us)
{
    struct world *w = a->world;
    int64_t delay = (int64_t)random_between(&w->random, (uint64_t)least_us, (uint64_t)most_us);

    world_after(w, delay, set_out, NULL, a);
}

void actor_asks(struct actor *a)
{
    a->is_asking = true;
}

void actor_told(struct actor *a, int err, const char *what)
{
    world_trace(a->world, "%s at n%d, %s: %s", a->id, a->node->index, what, fail_name(err));
    if (!a->is_asking)
        world_fail(a->world, "%s is answered twice", a->id);
    a->is_asking = false;
}

void actors_node_started(struct node *n)
{
    worker_start(n);
}

void actors_node_crashed(struct node *n)
{
    worker_crashed(n);
    facts_crashed(n->world, n);
}

struct script *script_new(struct world *w)
{
    struct script *s = mem_new(struct script);
    static void (*const kinds[])(struct world *) = { upload_begin, reporter_begin, foreign_begin };
    static const int counts[] = { UPLOADS, REPORTERS, FOREIGN };

    w->script = s;
    s->trouble = (enum trouble)(w->seed % TROUBLES);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < counts[k]; i++)
            kinds[k](w);
    lister_begin(w);
    viewers_begin(w);
    trouble_begin(w);
    return s;
}

void script_free(struct script *s)
{
    while (s->actors != NULL) {
        struct actor *a = s->actors;
        s->actors = a->next;
        mem_free(a);
    }
    mem_free(s);
}

const struct actor *script_unfinished(const struct script *s)
{
    for (const struct actor *a = s->actors; a != NULL; a = a->next)
        if (!a->is_over)
            return a;
    return NULL;
}

bool script_is_over(const struct script *s)
{
    return script_unfinished(s) == NULL;
}
