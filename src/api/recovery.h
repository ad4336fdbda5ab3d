/* Connection state recovery: what a Socket.IO client was subscribed to, kept
 * for a while after its connection was lost, over a restart of the server too.
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
 * What is here is also in the store, if there is one, but for what it could not
 * write. At a start all of that is lost from that moment. Any thread: one mutex, which is never
 * taken on the way of an update; the store's queue is taken below it. */
#ifndef API_RECOVERY_H
#define API_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "store/store.h"

struct recovery;

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

/* Blocks: reads the store. NULL: there is none, and nothing outlives the process. */
struct recovery *recovery_new(struct store *store, const struct recovery_settings *settings,
                              uint64_t now_ms);
void recovery_free(struct recovery *r);

/* True: `pid` is known, and this subject's: `each` is told its jobs, with no lock
 * held. Else `hold` is new. `pid` may be NULL. */
bool recovery_claim(struct recovery *r, const char *pid, const char *subject, uint64_t now_ms,
                    struct recovery_hold *hold, void (*each)(void *context, const char *job),
                    void *context);

void recovery_join(struct recovery *r, const struct recovery_hold *hold, const char *subject,
                   const char *job);
void recovery_part(struct recovery *r, const struct recovery_hold *hold, const char *job);

/* The connection was lost; or the client has left, and will not come back. */
void recovery_lose(struct recovery *r, const struct recovery_hold *hold, uint64_t now_ms);
void recovery_forget(struct recovery *r, const struct recovery_hold *hold);

/* Every now and then. Times are monotonic. */
void recovery_sweep(struct recovery *r, uint64_t now_ms);

/* Clients and rooms that are kept. */
void recovery_count(struct recovery *r, size_t *clients, size_t *rooms);

#endif
