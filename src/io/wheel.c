#include "io/wheel.h"

#include <stddef.h>

static void list_init(struct wheel_entry *head)
{
    head->prev = head->next = head;
}

static void list_append(struct wheel_entry *head, struct wheel_entry *e)
{
    e->prev = head->prev;
    e->next = head;
    head->prev->next = e;
    head->prev = e;
}

/* Moves everything from `from` to the empty list `to`. */
static void list_move(struct wheel_entry *from, struct wheel_entry *to)
{
    list_init(to);
    if (from->next == from)
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    list_init(from);
}

void wheel_init(struct wheel *w, uint64_t tick_ms, uint64_t now_ms)
{
    w->tick_ms = tick_ms;
    w->at = now_ms / tick_ms;
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
}

uint64_t wheel_pause_ms(const struct wheel *w, uint64_t now_ms)
{
    return w->tick_ms - now_ms % w->tick_ms;
}

static void link_entry(struct wheel *w, struct wheel_entry *e)
{
    uint64_t tick = e->due_ms / w->tick_ms;

    if (e->due_ms % w->tick_ms != 0)
        tick++;
    if (tick <= w->at)
        tick = w->at + 1;
    if (tick > w->at + WHEEL_SLOTS - 1)
        tick = w->at + WHEEL_SLOTS - 1;
    list_append(&w->slots[tick % WHEEL_SLOTS], e);
}

void wheel_put(struct wheel *w, struct wheel_entry *e, uint64_t due_ms)
{
    if (e->next != NULL && due_ms >= e->due_ms) {
        e->due_ms = due_ms;
        return;
    }
    wheel_remove(e);
    e->due_ms = due_ms;
    link_entry(w, e);
}

void wheel_remove(struct wheel_entry *e)
{
    if (e->next == NULL)
        return;
    e->prev->next = e->next;
    e->next->prev = e->prev;
    e->prev = e->next = NULL;
}

static void advance_slot(struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_entry *e))
{
    struct wheel_entry round;

    list_move(&w->slots[w->at % WHEEL_SLOTS], &round);
    while (round.next != &round) {
        struct wheel_entry *e = round.next;
        wheel_remove(e);
        if (e->due_ms <= now_ms)
            fire(e);
        else
            link_entry(w, e);
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_entry *e))
{
    uint64_t to = now_ms / w->tick_ms;

    /* After a long sleep once round is enough: every slot has had its turn. */
    if (to > w->at + WHEEL_SLOTS)
        w->at = to - WHEEL_SLOTS;
    while (w->at < to) {
        w->at++;
        advance_slot(w, now_ms, fire);
    }
}

void wheel_each(struct wheel *w, void (*visit)(struct wheel_entry *e))
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++) {
        struct wheel_entry round;
        list_move(&w->slots[i], &round);
        while (round.next != &round) {
            struct wheel_entry *e = round.next;
            wheel_remove(e);
            list_append(&w->slots[i], e);
            visit(e);
        }
    }
}
