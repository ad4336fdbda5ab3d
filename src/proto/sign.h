/* What signatures of requests are made of: SHA-256, HMAC-SHA256, and named fields. Pure;
 * any thread. */
#ifndef PROTO_SIGN_H
#define PROTO_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum { SIGN_SIZE = 32, SIGN_HEX_SIZE = 2 * SIGN_SIZE + 1 };

/* A header field, or a parameter of a query. Neither part is encoded in any way. */
struct sign_field {
    const char *name;
    const char *value; /* NULL: a parameter without one, "?acl" */
};

void sign_sha256(struct str bytes, uint8_t out[SIGN_SIZE]);
void sign_sha256_hex(struct str bytes, char out[SIGN_HEX_SIZE]); /* lower case */
void sign_hmac(const void *key, size_t key_len, struct str bytes, uint8_t out[SIGN_SIZE]);

/* Indices into `fields`, sorted by names as they are when percent-encoded, then by values
 * so; or by names in lower case, those of one name in the order that they came in. */
void sign_order_encoded(const struct sign_field *fields, size_t count, size_t *out);
void sign_order_names(const struct sign_field *fields, size_t count, size_t *out);

/* Appends a name in lower case; a value without spaces and tabs at its ends, runs of them
 * within it as one space. */
void sign_put_lower(const char *name, struct buf *out);
void sign_put_trimmed(const char *value, struct buf *out);

/* "20130524T000000Z" */
enum { SIGN_BASIC_SIZE = 17 };
void sign_basic_date(int64_t now_s, char out[SIGN_BASIC_SIZE]);

#endif
