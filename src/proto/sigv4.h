/* AWS Signature Version 4 as Amazon S3 and what speaks like it want it: URLs that speak
 * for themselves, and requests with an Authorization field.
 *
 * The path is encoded once and never normalized, which is S3's way (other services of
 * AWS encode twice). Field values are trimmed, runs of spaces in them count as one. Keys
 * are derived anew for each signature: four HMACs. Pure; any thread. */
#ifndef PROTO_SIGV4_H
#define PROTO_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/sign.h"

enum {
    SIGV4_LIFETIME_MAX = 604800, /* seconds: a week */
    SIGV4_FIELDS_MAX = 64,       /* headers, and parameters, of one request */
};

struct sigv4_key {
    const char *id;      /* AKIA... */
    const char *secret;  /* as it is, not encoded */
    const char *session; /* X-Amz-Security-Token; or NULL */
    const char *region;  /* "us-east-1", "auto" */
    const char *service; /* "s3" */
};

struct sigv4_request {
    const char *method;
    const char *scheme; /* "https" */
    const char *host;   /* as in Host: with a port unless it is the scheme's own */
    struct str path;    /* from "/" on, not encoded */
    const struct sign_field *params;
    size_t param_count;
    const struct sign_field *headers; /* to be signed as well as Host */
    size_t header_count;
    const char *payload; /* the body's SHA-256 in hex, or NULL: UNSIGNED-PAYLOAD */
    int64_t now_s;       /* since 1970 */
};

/* Appends the whole URL, signed, good from now_s for lifetime_s. Whoever uses it must
 * send the headers as they were signed. FAIL_LIMIT: a lifetime not from 1 to
 * SIGV4_LIFETIME_MAX, too many fields, or more than `out` takes. */
int sigv4_presign(const struct sigv4_key *key, const struct sigv4_request *request,
                  uint64_t lifetime_s, struct buf *out);

/* Appends the whole URL, unsigned; goes with sigv4_authorize. FAIL_LIMIT. */
int sigv4_url(const struct sigv4_request *request, struct buf *out);

/* Appends the value of the Authorization field. The headers must have X-Amz-Date
 * (sign_basic_date of now_s), for S3 X-Amz-Content-Sha256 (the payload's hash or
 * UNSIGNED-PAYLOAD), and X-Amz-Security-Token if there is a session: this adds none.
 * FAIL_LIMIT. */
int sigv4_authorize(const struct sigv4_key *key, const struct sigv4_request *request,
                    struct buf *out);

/* For tests: what is hashed, and what is signed. */
int sigv4_canonical(const struct sigv4_request *request, struct buf *out);

#endif
