/* The deadlines of one thread's connections: a ring of slots, one a tick, so
 * that a million idle connections cost a timer nothing but the few whose turn
 * it is. A deadline that moves away is only noted; its entry is put where it
 * belongs when the old slot comes round. Invariant: an entry's slot comes no
 * later than its deadline, or than once round the ring. */
#ifndef IO_WHEEL_H
#define IO_WHEEL_H

#include <stdint.h>

enum { WHEEL_SLOTS = 128 };
#define WHEEL_NEVER UINT64_MAX

/* Embedded in what has a deadline; zero before its first use. */
struct wheel_entry {
    struct wheel_entry *prev, *next;
    uint64_t due_ms;
};

struct wheel {
    struct wheel_entry slots[WHEEL_SLOTS]; /* heads of circular lists */
    uint64_t tick_ms;
    uint64_t at; /* ticks gone by */
};

void wheel_init(struct wheel *w, uint64_t tick_ms, uint64_t now_ms);

/* How long until something may be due: who advances just then is never later
 * with a deadline than one tick, who does so a tick after the last time two. */
uint64_t wheel_pause_ms(const struct wheel *w, uint64_t now_ms);

/* Sets or moves the deadline; fires up to one tick late. */
void wheel_put(struct wheel *w, struct wheel_entry *e, uint64_t due_ms);
void wheel_remove(struct wheel_entry *e);

/* Calls `fire` for every entry that is due; it has been removed and may be put
 * again. */
void wheel_advance(struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_entry *e));

/* Calls `visit` for every entry, for one that it moves perhaps twice; it may
 * remove or move that one and no other. */
void wheel_each(struct wheel *w, void (*visit)(struct wheel_entry *e));

#endif
