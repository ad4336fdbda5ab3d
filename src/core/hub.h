/* Who listens to what, on one I/O thread. Takes no lock; everything happens on
 * its own thread. Publishing only marks: hub_flush, at the end of the tick,
 * sends each session what is due to it in one go.
 *
 *   ledger --post--> mailbox --> hub_publish* --> hub_flush --> sink->send
 */
#ifndef CORE_HUB_H
#define CORE_HUB_H

#include <stddef.h>

#include "core/ledger.h"
#include "core/session.h"

struct hub;

/* `index` is what ledger_listen gave for this thread. Borrows the ledger. */
struct hub *hub_new(struct ledger *ledger, unsigned index);
void hub_free(struct hub *h); /* no session may be left */

/* Of one session; SESSION_SUBSCRIPTIONS_MAX if it is never said. At most UINT16_MAX. */
void hub_limit(struct hub *h, unsigned subscriptions_max);

/* The session hears of `job` from now on, beginning with its present state.
 * OK also when it does already; FAIL_LIMIT, and it is counted, over the hub's
 * maximum. */
int hub_subscribe(struct hub *h, struct session *s, const char *job);
/* The same for a client that was sent everything up to `seq` on another connection:
 * beginning with what is newer. A number from the future counts as the present's. */
int hub_subscribe_after(struct hub *h, struct session *s, const char *job, uint64_t seq);
void hub_unsubscribe(struct hub *h, struct session *s, const char *job);

/* Once: the session hears of every job its viewer may see, beginning with those in
 * progress. */
void hub_subscribe_all(struct hub *h, struct session *s);

/* From the mailbox. Borrows. */
void hub_publish(struct hub *h, struct update *u);

/* The end of the tick: every session that has something due is sent it. */
void hub_flush(struct hub *h);

/* Every now and then (a second): keepalives, sessions whose viewer's time is
 * over end, and topics nobody needs go. */
void hub_tick(struct hub *h, uint64_t now_ms);

size_t hub_sessions(const struct hub *h);

#endif
