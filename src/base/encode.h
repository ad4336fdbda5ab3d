/* Bytes as text and back, and random bytes. Any thread. */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* `out` takes 2 * len + 1 bytes; lower case. */
void encode_hex(const void *bytes, size_t len, char *out);

/* Exactly 2 * len hex digits (either case) into `out`; FAIL_SYNTAX. */
int decode_hex(const char *text, size_t text_len, void *out, size_t len);

/* RFC 4648, section 5, no padding; `out` takes ENCODE_BASE64URL_SIZE(len). */
#define ENCODE_BASE64URL_SIZE(len) (((len)*4 + 2) / 3 + 1)
void encode_base64url(const void *bytes, size_t len, char *out);

/* `out` takes text_len * 3 / 4 bytes; strict: no padding, no spare bits;
 * FAIL_SYNTAX. */
int decode_base64url(const char *text, size_t text_len, void *out, size_t *len);

/* RFC 4648, section 4, padded; `out` takes ENCODE_BASE64_SIZE(len). */
#define ENCODE_BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)
void encode_base64(const void *bytes, size_t len, char *out);

/* `out` takes text_len / 4 * 3 bytes; strict: padded, no spare bits; FAIL_SYNTAX. */
int decode_base64(const char *text, size_t text_len, void *out, size_t *len);

/* From getrandom(2); ends the process if the kernel has none. */
void random_bytes(void *out, size_t len);
uint64_t random_u64(void);

enum { UUID_SIZE = 37 };

/* A random (version 4) UUID by RFC 9562. */
void random_uuid(char out[UUID_SIZE]);

#endif
