/* Connection state recovery: what a Socket.IO client was subscribed to, kept
 * for a while after its connection was lost, over a restart of the server too
 * (recovery_local.c: in memory and in the store), or over its end, at any other node
 * (recovery_fleet.c: in a Redis that they share).
 * The client shows a private id (`pid`) that only it was told, and a token of the
 * same subject; it is given the same `sid` and rooms, and hears the present of
 * each, so nothing else need be kept.
 *
 *                 claim               lose
 *     (nothing) ---------> held by a ------> lost ---- lifetime ----> (nothing)
 *                    ^     connection          |
 *                    |         |  forget       |  claim
 *                    |         v               |
 *                    |     (nothing)           |
 *                    +-------------------------+
 *
 * A claim takes what another connection holds: the client has noticed that one's
 * end before us. Only the latest holder's word counts.
 *
 * What the local one has is also in the store, but for what it could not write. At a
 * start all of that is lost from that moment. Any thread. */
#ifndef API_RECOVERY_H
#define API_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "io/mailbox.h"
#include "store/store.h"

struct recovery_ops;

struct recovery {
    const struct recovery_ops *ops;
};

struct recovery_settings {
    uint32_t lifetime_ms;
    size_t rooms_max; /* of all clients; the longest lost go first */
};

enum { RECOVERY_PID_SIZE = 23, RECOVERY_SID_SIZE = 21 };

/* One connection's hold. */
struct recovery_hold {
    char pid[RECOVERY_PID_SIZE];
    char sid[RECOVERY_SID_SIZE];
    uint64_t number;
};

/* All is borrowed for the call. */
struct recovery_answer {
    struct recovery_hold hold;
    bool is_known;    /* else the hold is new */
    const char *jobs; /* one behind the other, each with its '\0' */
    size_t count;
};

typedef void recovery_done(void *context, const struct recovery_answer *answer);

struct recovery_ask {
    struct mailbox *home;      /* of the asking thread */
    const char *pid, *subject; /* a pid that is this subject's is known; NULL: none is shown */
    uint64_t now_ms;           /* monotonic, as all times here */
    recovery_done *done;
    void *context;
};

/* A claim whose answer is to come. */
struct recovery_wait;

struct recovery_ops {
    struct recovery_wait *(*claim)(struct recovery *r, const struct recovery_ask *ask);
    void (*abandon)(struct recovery *r, struct recovery_wait *wait); /* NULL: nobody ever waits */
    void (*join)(struct recovery *r, const struct recovery_hold *hold, const char *subject,
                 const char *job);
    void (*part)(struct recovery *r, const struct recovery_hold *hold, const char *job);
    void (*lose)(struct recovery *r, const struct recovery_hold *hold, uint64_t now_ms);
    void (*forget)(struct recovery *r, const struct recovery_hold *hold);
    void (*sweep)(struct recovery *r, uint64_t now_ms); /* may be NULL */
    void (*free)(struct recovery *r);
};

/* Blocks: reads the store. */
struct recovery *recovery_new_local(struct store *store, const struct recovery_settings *settings,
                                    uint64_t now_ms);

/* Both are borrowed; the rooms live on the desk. They outlive this, and this outlives
 * the desk's mailbox. */
struct fleet_rooms;
struct recovery *recovery_new_fleet(struct mailbox *desk, struct fleet_rooms *rooms);

void recovery_free(struct recovery *r); /* NULL is fine */

/* `done` runs exactly once, on the asking thread: within the call, which then gives
 * NULL, or later, unless it is abandoned. */
struct recovery_wait *recovery_claim(struct recovery *r, const struct recovery_ask *ask);

/* Who asked is gone, as it must be before its thread is. */
void recovery_abandon(struct recovery *r, struct recovery_wait *wait);

void recovery_join(struct recovery *r, const struct recovery_hold *hold, const char *subject,
                   const char *job);
void recovery_part(struct recovery *r, const struct recovery_hold *hold, const char *job);

/* The connection was lost; or the client has left, and will not come back. */
void recovery_lose(struct recovery *r, const struct recovery_hold *hold, uint64_t now_ms);
void recovery_forget(struct recovery *r, const struct recovery_hold *hold);

/* Every now and then. */
void recovery_sweep(struct recovery *r, uint64_t now_ms);

/* Clients and rooms that the local one keeps. */
void recovery_local_count(struct recovery *r, size_t *clients, size_t *rooms);

/* For those who implement it: a new client's. */
void recovery_name(struct recovery_hold *hold);

#endif
