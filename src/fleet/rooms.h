/* What Socket.IO clients are subscribed to, as several nodes share it through one
 * Redis, so that a client which lost its node comes back to its jobs at any other.
 * One hash per client, by the private id (`pid`) that only the client was told.
 *
 * The last claim wins: each has a token larger than every one before, and what is
 * said with an older one is answered "lost". So a node that still believes a client
 * to be its own, while it is at another, forgets it with its next word.
 *
 * A node tells Redis of a change at once, and of every client now and then, which
 * keeps the hash alive; who dies says nothing any more, and Redis forgets after a
 * while. What Redis has lost is told again by who has it. One script per client is
 * under way at a time, so nothing overtakes.
 *
 * All on the port's thread. */
#ifndef FLEET_ROOMS_H
#define FLEET_ROOMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet/port.h"

struct fleet_rooms;

enum { FLEET_PID_SIZE = 23, FLEET_SID_SIZE = 21 };

struct fleet_rooms_settings {
    uint32_t lifetime_ms; /* of a lost client's rooms */
    uint32_t refresh_ms;  /* of those who are here */
    uint32_t patience_ms; /* of a claim, with Redis */
    size_t rooms_max;     /* known here, of all clients; the longest lost go first */
    size_t claims_max;    /* that wait */
};

struct fleet_rooms *fleet_rooms_new(struct fleet_port *port,
                                    const struct fleet_rooms_settings *settings);
/* Before the port is gone: nobody is known who waits; what comes later does nothing. */
void fleet_rooms_close(struct fleet_rooms *r);
void fleet_rooms_free(struct fleet_rooms *r); /* the port is gone; NULL is fine */

/* The present holder's name for a client; 0: it came new, and was not claimed. Only
 * the latest one's word counts. */
struct fleet_hold {
    const char *pid, *sid, *subject; /* borrowed for the call */
    uint64_t number;
};

struct fleet_rooms_found {
    char sid[FLEET_SID_SIZE];
    uint64_t number;  /* of the new hold */
    const char *jobs; /* one behind the other, each with its '\0'; borrowed for the call */
    size_t count;
};

/* `found` NULL: nobody of this subject is known by this pid, or Redis did not say so in
 * time. Exactly once, perhaps within the call. */
typedef void fleet_rooms_done(void *context, const struct fleet_rooms_found *found);
void fleet_rooms_claim(struct fleet_rooms *r, const char *pid, const char *subject,
                       fleet_rooms_done *done, void *context);

void fleet_rooms_join(struct fleet_rooms *r, const struct fleet_hold *hold, const char *job);
void fleet_rooms_part(struct fleet_rooms *r, const struct fleet_hold *hold, const char *job);

/* The connection was lost; or the client has left, and will not come back. */
void fleet_rooms_lose(struct fleet_rooms *r, const struct fleet_hold *hold);
void fleet_rooms_forget(struct fleet_rooms *r, const struct fleet_hold *hold);

/* From the port. */
void fleet_rooms_up(struct fleet_rooms *r);
void fleet_rooms_tick(struct fleet_rooms *r);

/* Clients and rooms that are known here. */
void fleet_rooms_count(const struct fleet_rooms *r, size_t *clients, size_t *rooms);

#endif
