/* TLS to Redis (OpenSSL) as a codec: bytes of the network in, bytes of Redis
 * out, and the other way round. At least TLS 1.2; the certificate has to be
 * trusted and to name the host. For io/redis_socket and io/redis_lookup only.
 *
 * FAIL_DENIED: one side does not trust the other, or it is no TLS. `why` is a
 * clause. */
#ifndef IO_REDIS_TLS_H
#define IO_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "io/redis.h"

struct tls_trust; /* what is trusted and shown: an SSL_CTX */
struct tls;

/* Reads files: for a worker thread. FAIL_IO. */
int tls_trust_load(const struct redis_settings *settings, struct tls_trust **out, struct buf *why);
void tls_trust_free(struct tls_trust *trust); /* NULL is fine */

/* One connection's; shares `trust`. */
struct tls *tls_new(struct tls_trust *trust, const char *host);
void tls_free(struct tls *t); /* NULL is fine */

/* Goes on with the handshake. `is_done` says that it is over. */
int tls_shake_hands(struct tls *t, bool *is_done, struct buf *why);

/* What came from the network. FAIL_LIMIT: it makes us say more than it takes. */
int tls_take(struct tls *t, const char *bytes, size_t len);

/* The next of what Redis said; 0 in `used` when there is no more for now. FAIL_CLOSED:
 * Redis said goodbye. */
int tls_read(struct tls *t, char *bytes, size_t len, size_t *used, struct buf *why);

/* Encrypts; after the handshake. */
int tls_write(struct tls *t, const char *bytes, size_t len, struct buf *why);

/* Moves what is for the network to the end of `out`. */
void tls_give(struct tls *t, struct buf *out);

#endif
