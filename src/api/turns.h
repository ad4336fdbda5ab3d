/* Whose turn it is to write to an upload, of the requests of this process. Who wants it
 * waits for who has it, and that one is told to come to an end: so a client that was cut
 * off and comes back does not wait for its old connection to be given up.
 *
 * A turn is taken, granted and left on its own loop's thread. */
#ifndef API_TURNS_H
#define API_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/mailbox.h"

struct turns;
struct line;

struct turns *turns_new(void);
void turns_free(struct turns *ts); /* none is taken */

/* Embedded in who wants one; the first three are set by it. */
struct turn {
    struct mailbox *home;
    void (*granted)(struct turn *t);
    void (*unwanted)(struct turn *t); /* somebody waits; once, may be NULL */

    struct grant {
        struct mail mail; /* first */
        struct turn *turn;
    } grant;
    struct turn *prev, *next; /* in line */
    struct line *line;
    uint64_t number;
};

/* True: it has it, and leaves it. False: `granted` comes, exactly once. */
bool turn_take(struct turns *ts, struct turn *t, const char *id);
void turn_leave(struct turns *ts, struct turn *t);

#endif
