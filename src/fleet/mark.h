/* Which storage a fleet has. The first node to reach Redis writes it down, and every
 * node compares: one that would put files where the others do not look, or miss what
 * they have put there, takes no part. Asked again whenever Redis is reached anew. On the
 * port's thread. */
#ifndef FLEET_MARK_H
#define FLEET_MARK_H

#include "fleet/port.h"

struct fleet_mark;

struct fleet_mark_events {
    void (*agreed)(void *context);
    /* `theirs`: how the others describe theirs; borrowed. */
    void (*differs)(void *context, const char *theirs);
};

/* The name of its key, for people who have moved a storage. */
#define FLEET_MARK_KEY "{reelay}:storage"

/* Copies `text`, borrows `events`. */
struct fleet_mark *fleet_mark_new(struct fleet_port *port, const char *text,
                                  const struct fleet_mark_events *events, void *context);
void fleet_mark_free(struct fleet_mark *m); /* the port is gone; NULL is fine */

void fleet_mark_up(struct fleet_mark *m);
void fleet_mark_tick(struct fleet_mark *m);

#endif
