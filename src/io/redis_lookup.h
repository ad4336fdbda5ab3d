/* What an attempt needs before it can connect, from libuv's worker threads: the
 * files of TLS, then the addresses. It cannot be stopped: an attempt whose time is
 * over leaves it to the next one, so that a name server that hangs holds one
 * worker thread, not all. For io/redis_wire only. */
#ifndef IO_REDIS_LOOKUP_H
#define IO_REDIS_LOOKUP_H

#include <uv.h>

#include "io/redis_tls.h"

struct wire;

/* Unless one is under way. Negative is libuv's. */
int lookup_start(struct wire *w);
void lookup_abandon(struct wire *w);

/* In io/redis_wire.c: how it ended. Both are the wire's; `trust` NULL: no TLS. */
void wire_found(struct wire *w, struct addrinfo *addresses, struct tls_trust *trust);
void wire_not_found(struct wire *w, int err, const char *why);

#endif
