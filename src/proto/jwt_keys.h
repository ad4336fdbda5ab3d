/* What jwt.c knows of the keys that jwt_keys.c made; nobody else includes it.
 * Invariants: every key in the list fits the algorithm (type, size, curve), so
 * that verifying never has to ask; nothing changes after it is made. */
#ifndef PROTO_JWT_KEYS_H
#define PROTO_JWT_KEYS_H

#include <stddef.h>

#include <cjose/cjose.h>

#include "proto/jwt.h"

/* Of a set: a token without `kid` costs one verification each. */
enum { JWT_KEYS_MAX = 32 };

enum {
    JWT_RSA_BYTES_MAX = 8192 / 8,  /* what one verification may cost */
    JWT_RSA_EXPONENT_MAX = 64 / 8, /* OpenSSL verifies with no longer one */
    JWT_P256_BYTES = 32,
};

struct jwt_key {
    cjose_jwk_t *jwk;
    char *id;             /* `kid`, or NULL: fits any */
    size_t signature_len; /* bytes; no other length can be right */
};

struct jwt_keys {
    enum jwt_algorithm algorithm;
    char *audience;
    char *issuer;
    char *subject; /* a claim's name */
    int64_t leeway_ms;
    size_t count;
    struct jwt_key list[JWT_KEYS_MAX];
};

enum jwt_family { JWT_FAMILY_HMAC, JWT_FAMILY_RSA, JWT_FAMILY_EC };

struct jwt_algorithm_info {
    const char *name;
    enum jwt_family family;
    size_t digest_len;
};

const struct jwt_algorithm_info *jwt_algorithm_info(enum jwt_algorithm algorithm);

/* Whether the algorithm wants a secret, or a key; `why` says so if not. */
bool jwt_needs(const struct jwt_settings *settings, bool secret, struct buf *why);

struct jwt_keys *jwt_keys_new(const struct jwt_settings *settings);

/* Each checks the key and adds it: FAIL_SYNTAX or FAIL_LIMIT with `why`. The
 * numbers are big-endian; `id` may be NULL. At most JWT_KEYS_MAX in all. */
int jwt_keys_add_secret(struct jwt_keys *keys, const void *secret, size_t len, const char *id,
                        struct buf *why);
int jwt_keys_add_rsa(struct jwt_keys *keys, struct str n, struct str e, const char *id,
                     struct buf *why);
int jwt_keys_add_p256(struct jwt_keys *keys, struct str x, struct str y, const char *id,
                      struct buf *why);

/* Gives the keys to `out`, or frees them if `err`; returns `err`. */
int jwt_keys_finish(struct jwt_keys *keys, int err, struct jwt_keys **out);

#endif
