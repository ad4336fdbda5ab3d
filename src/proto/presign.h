/* Upload URLs that speak for themselves: an HMAC-SHA256 over method, path, size
 * limit and expiry, so that a PUT needs no other credential and nothing has to
 * be remembered. Pure; any thread. */
#ifndef PROTO_PRESIGN_H
#define PROTO_PRESIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct presign_key {
    uint8_t bytes[32];
};

/* A key of its own, derived from the server's secret (HKDF-SHA256 with a label)
 * so that tokens and URLs never share one. */
int presign_key_derive(const void *secret, size_t len, struct presign_key *out);

/* Appends "max=...&expires=...&sig=..." for a path such as "/uploads/12/3".
 * `size_max` in bytes, `expires_s` in seconds since 1970. */
int presign_query(const struct presign_key *key, const char *method, struct str path,
                  uint64_t size_max, int64_t expires_s, struct buf *out);

/* Checks in constant time. FAIL_SYNTAX (a parameter is missing or malformed),
 * FAIL_DENIED (the signature does not fit), FAIL_TIMEOUT (expired). */
int presign_check(const struct presign_key *key, const char *method, struct str path,
                  struct str query, int64_t now_s, uint64_t *size_max);

#endif
