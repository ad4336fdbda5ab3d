/* How many connections each address has, over all I/O threads. An IPv6 client
 * is counted by its /64, of which it has every address. An address has an entry
 * as long as it has a connection and a limit, so there are never more entries
 * than connections.
 *
 * Any thread; the one lock is taken when a connection begins and ends, and
 * never in between. */
#ifndef IO_PEERS_H
#define IO_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io/network.h"

struct peers;
struct peer; /* an address that has connections */

struct peers_settings {
    /* 0: CONNECTIONS_PER_ADDRESS_MAX for others and none for this machine's own. */
    uint32_t per_address;
    const struct network *trusted; /* never limited: they speak for many */
    size_t trusted_count;
};

/* Borrows what `trusted` points at. */
struct peers *peers_new(const struct peers_settings *settings);
void peers_free(struct peers *p); /* every place has been given back */

/* False: this address has as many as it may. Else `out` is to be given back, or
 * NULL when nobody counts it. */
bool peers_enter(struct peers *p, const struct sockaddr_storage *address, struct peer **out);
void peers_leave(struct peers *p, struct peer **peer);

size_t peers_count(struct peers *p);

#endif
