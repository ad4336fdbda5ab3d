/* Viewers: each sits at a node, watches some jobs or all of them, and moves on. */
#include <stdio.h>
#include <string.h>

#include "actors.h"
#include "base/mem.h"
#include "facts.h"

enum { FIRST_OF_ALL = SEATS - 2 }; /* from this one on they watch all */

struct viewer_of {
    struct world *world;
    int number;
};

static struct seat *seat_of(struct world *w, int number)
{
    struct node *n = w->script->seated[number];
    bool is_there = n != NULL && n->is_up && n->life == w->script->seated_life[number];

    return is_there ? &n->seats[number] : NULL;
}

static void watch(struct seat *s, const char *id)
{
    struct update *u = ledger_watch(s->node->ledger, id, s->index);

    world_trace(s->node->world, "v%d at n%d watches %s", s->number, s->node->index, id);
    facts_watched(s->node->world, s, id, u);
    update_unref(&u);
}

static void unwatch(struct seat *s, const char *id)
{
    world_trace(s->node->world, "v%d at n%d leaves %s", s->number, s->node->index, id);
    ledger_unwatch(s->node->ledger, id, s->index);
    facts_left(s->node->world, s->number, id);
}

static bool is_watching(struct world *w, int number, const char *id)
{
    struct view *v;

    HASH_FIND_STR(w->facts->views[number], id, v);
    return v != NULL && !v->is_left;
}

static void leave(struct world *w, int number)
{
    struct seat *s = seat_of(w, number);

    if (s != NULL && number >= FIRST_OF_ALL)
        ledger_unwatch_all(s->node->ledger, s->index);
    for (struct view *v = w->facts->views[number]; v != NULL && number < FIRST_OF_ALL;
         v = v->hh.next)
        if (s != NULL && !v->is_left)
            ledger_unwatch(s->node->ledger, v->id, s->index);
    facts_left(w, number, NULL);
    w->script->seated[number] = NULL;
}

static void shown(void *context, struct update *u)
{
    struct seat *s = context;

    facts_posted(s->node->world, s, u);
}

static void sit(struct world *w, int number)
{
    struct node *n = some_node(w);

    if (n == NULL || n->paused_until_us > w->now_us)
        return;
    w->script->seated[number] = n;
    w->script->seated_life[number] = n->life;
    world_trace(w, "v%d sits down at n%d", number, n->index);
    struct seat *s = &n->seats[number];
    if (number >= FIRST_OF_ALL) {
        ledger_watch_all(n->ledger, s->index, shown, s);
        return;
    }
    for (struct actor *a = w->script->actors; a != NULL; a = a->next)
        if (random_permille(&w->random, 400))
            watch(s, a->id);
}

static void change_one(struct world *w, struct seat *s)
{
    uint64_t skip = random_below(&w->random, w->script->made);

    for (struct actor *a = w->script->actors; a != NULL; a = a->next) {
        if (skip-- > 0)
            continue;
        if (is_watching(w, s->number, a->id))
            unwatch(s, a->id);
        else
            watch(s, a->id);
        return;
    }
}

static void look_around(void *context)
{
    struct viewer_of *v = context;
    struct world *w = v->world;
    struct seat *s = seat_of(w, v->number);

    world_after(w, (int64_t)random_between(&w->random, 200 * MS, 5 * SECOND), look_around, mem_free,
                v);
    if (s == NULL) {
        leave(w, v->number);
        sit(w, v->number);
    } else if (w->is_calm || s->node->paused_until_us > w->now_us) {
        return;
    } else if (random_permille(&w->random, 100)) {
        leave(w, v->number);
    } else if (v->number < FIRST_OF_ALL && random_permille(&w->random, 300)) {
        change_one(w, s);
    }
}

void viewers_begin(struct world *w)
{
    for (int i = 0; i < SEATS; i++) {
        struct viewer_of *v = mem_new(struct viewer_of);
        v->world = w;
        v->number = i;
        world_after(w, (int64_t)random_below(&w->random, 3 * SECOND), look_around, mem_free, v);
    }
}
