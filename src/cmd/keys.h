/* Where the keys of tokens and upload URLs come from: as configured, else a
 * secret of its own that `serve` makes in the data directory on its first start
 * and `token` mints from. */
#ifndef CMD_KEYS_H
#define CMD_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/config.h"
#include "proto/jwt.h"
#include "proto/presign.h"

struct key_options {
    const char *secret;     /* --jwt-secret */
    const char *key_file;   /* --jwt-key-file: PEM */
    const char *jwks_file;  /* --jwt-jwks-file */
    const char *url_secret; /* --url-secret: signs upload URLs where the above sign nothing */
    const char *audience, *issuer, *subject_claim;
    int algorithm; /* enum jwt_algorithm */
    uint64_t leeway_ms;
};

/* Rows for a command whose struct has a struct key_options `field`. */
#define KEY_OPTIONS(command, field)                                                                \
    { .name = "jwt-secret",                                                                        \
      .type = OPTION_TEXT,                                                                         \
      .offset = offsetof(command, field.secret),                                                   \
      .value = "TEXT",                                                                             \
      .help = "secret that signs tokens: 32 bytes or more for HS256, 48 for HS384, 64 for HS512",  \
      .alias = "JWT_SECRET" },                                                                     \
        { .name = "jwt-key-file",                                                                  \
          .type = OPTION_TEXT,                                                                     \
          .offset = offsetof(command, field.key_file),                                             \
          .value = "FILE",                                                                         \
          .help = "PEM public key or certificate that tokens are checked with "                    \
                  "(RS256, ES256)" },                                                              \
        { .name = "jwt-jwks-file",                                                                 \
          .type = OPTION_TEXT,                                                                     \
          .offset = offsetof(command, field.jwks_file),                                            \
          .value = "FILE",                                                                         \
          .help = "JWK Set that tokens are checked with" },                                        \
        { .name = "jwt-alg",                                                                       \
          .type = OPTION_CHOICE,                                                                   \
          .offset = offsetof(command, field.algorithm),                                            \
          .fallback = "HS256",                                                                     \
          .choices = JWT_ALGORITHM_CHOICES,                                                        \
          .help = "the one algorithm that is accepted, whatever a token says" },                   \
        { .name = "jwt-audience",                                                                  \
          .type = OPTION_TEXT,                                                                     \
          .offset = offsetof(command, field.audience),                                             \
          .value = "TEXT",                                                                         \
          .help = "tokens must have this aud" },                                                   \
        { .name = "jwt-issuer",                                                                    \
          .type = OPTION_TEXT,                                                                     \
          .offset = offsetof(command, field.issuer),                                               \
          .value = "TEXT",                                                                         \
          .help = "tokens must have this iss" },                                                   \
        { .name = "jwt-subject-claim",                                                             \
          .type = OPTION_TEXT,                                                                     \
          .offset = offsetof(command, field.subject_claim),                                        \
          .fallback = "sub",                                                                       \
          .value = "NAME",                                                                         \
          .help = "the claim that says whose token it is: a text or a whole number" },             \
    {                                                                                              \
        .name = "jwt-leeway", .type = OPTION_DURATION,                                             \
        .offset = offsetof(command, field.leeway_ms), .fallback = "10s", .max = 10 * 60 * 1000,    \
        .value = "TIME", .help = "clock difference allowed in exp and nbf"                         \
    }

/* Somebody chose a key, so every door asks for a token by default. */
bool keys_are_configured(const struct key_options *options);

/* `may_make`: a secret is made in `data_dir` when there is none and nothing is
 * configured. `presign` may be NULL. `why` for people. */
int keys_load(const struct key_options *options, const char *data_dir, bool may_make,
              struct jwt_keys **keys, struct presign_key *presign, struct buf *why);

/* 64 random hex digits in a file: those that are there, else made, by the first of
 * nodes that start together. `out` is to be freed in any case. */
int keys_own_text(const char *path, struct buf *out, struct buf *why);

#endif
