/* JSON Web Tokens (RFC 7519 over RFC 7515), verified and minted with cjose.
 * The algorithm is fixed by configuration; what the token's header says must
 * equal it, never choose it. */
#ifndef PROTO_JWT_H
#define PROTO_JWT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum jwt_algorithm { JWT_HS256, JWT_HS384, JWT_HS512, JWT_RS256, JWT_ES256, JWT_ALGORITHMS };

/* "HS256|HS384|HS512|RS256|ES256" in the order of the enum. */
#define JWT_ALGORITHM_CHOICES "HS256|HS384|HS512|RS256|ES256"

struct jwt_settings {
    enum jwt_algorithm algorithm;
    const char *audience; /* `aud` must hold it; NULL: `aud` is not looked at */
    const char *issuer;   /* `iss` must equal it; NULL: not looked at */
    const char *subject;  /* the claim that names the subject; NULL: `sub` */
    int64_t leeway_ms;    /* for exp and nbf */
};

/* Immutable after it is made: any thread may verify with it. */
struct jwt_keys;

/* Each checks that the key fits the algorithm and says in `why` what is wrong.
 * HS*: the secret's bytes, at least as long as the digest (RFC 7518, 3.2). */
int jwt_keys_from_secret(const struct jwt_settings *settings, const void *secret, size_t len,
                         struct jwt_keys **out, struct buf *why);
/* RS256, ES256: a PEM public key, private key or certificate. RSA from 2048
 * bits on, EC only P-256. */
int jwt_keys_from_pem(const struct jwt_settings *settings, const char *pem, size_t len,
                      struct jwt_keys **out, struct buf *why);
/* A JWK Set (RFC 7517): keys of another type, use or alg are passed over; at
 * least one must be left. A token's `kid` selects, without one all are tried. */
int jwt_keys_from_jwks(const struct jwt_settings *settings, const char *json, size_t len,
                       struct jwt_keys **out, struct buf *why);
void jwt_keys_free(struct jwt_keys *keys);

enum { JWT_TEXT_MAX = 8 * 1024, JWT_SUBJECT_MAX = 255 };

struct jwt_claims {
    char subject[JWT_SUBJECT_MAX + 1]; /* an integer is written out; "" if absent */
    bool is_admin;                     /* `scope` (space-separated, or an array) has "admin" */
    int64_t expires_ms;                /* `exp`, wall clock; 0: none */
    int64_t refused_ms;                /* from when on it is refused: `exp` and the leeway */
};

/* OK, or why not: FAIL_SYNTAX (not a token), FAIL_DENIED (signature, algorithm,
 * audience or issuer), FAIL_TIMEOUT (expired or not yet valid). */
int jwt_verify(const struct jwt_keys *keys, struct str token, int64_t now_ms,
               struct jwt_claims *out);

/* HS* only (FAIL_UNSUPPORTED otherwise). `subject` NULL leaves it out. */
int jwt_mint(const struct jwt_keys *keys, const char *subject, bool is_admin, int64_t now_ms,
             int64_t lifetime_ms, struct buf *out);

#endif
