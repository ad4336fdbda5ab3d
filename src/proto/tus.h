/* What the resumable upload protocol tus 1.0.0 (tus.io) says in fields of HTTP: codecs
 * without I/O. What is parsed points into the text it was parsed from. */
#ifndef PROTO_TUS_H
#define PROTO_TUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define TUS_VERSION "1.0.0"
#define TUS_EXTENSIONS                                                                             \
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,"         \
    "concatenation"
#define TUS_ALGORITHMS "sha1,sha256,sha512,md5"

enum {
    TUS_PARTIALS_MAX = 64, /* parts of one file */
    TUS_PAIRS_MAX = 64,    /* of Upload-Metadata */
    TUS_DIGEST_MAX = 64,
};

/* A key of Upload-Metadata: ASCII that shows, without spaces and commas. */
bool tus_key_is_valid(struct str key);

/* Upload-Metadata: `each` gets the pairs as they stand, `value` decoded and borrowed for
 * the call; what it returns, unless OK, is returned. FAIL_SYNTAX (also: a key twice),
 * FAIL_LIMIT. Pairs may have been given by then. */
int tus_metadata_each(struct str text, int (*each)(void *context, struct str key, struct str value),
                      void *context);

/* The value decoded onto `out`. FAIL_MISSING, or as above. */
int tus_metadata_get(struct str text, const char *key, struct buf *out);

/* Upload-Concat */
struct tus_concat {
    size_t count; /* of the partial uploads that make this one; 0: it is a partial one itself */
    struct str urls[TUS_PARTIALS_MAX];
};
int tus_concat_parse(struct str text, struct tus_concat *out); /* FAIL_SYNTAX, FAIL_LIMIT */

/* The last part of a URL's path: an upload's id; empty if there is none. */
struct str tus_url_id(struct str url);

/* Upload-Checksum */
struct tus_checksum {
    const char *algorithm; /* one of TUS_ALGORITHMS, static */
    size_t len;
    uint8_t digest[TUS_DIGEST_MAX];
};
int tus_checksum_parse(struct str text, struct tus_checksum *out); /* FAIL_SYNTAX,
                                                                    * FAIL_UNSUPPORTED, FAIL_STATE:
                                                                    * nothing has such a one */

/* What is summed up so far. One thread at a time. */
struct tus_sum;
struct tus_sum *tus_sum_new(const char *algorithm);
void tus_sum_add(struct tus_sum *s, const void *bytes, size_t len);
/* Whether it is what the client said; nothing is added behind this. */
bool tus_sum_matches(struct tus_sum *s, const struct tus_checksum *said);
void tus_sum_free(struct tus_sum *s); /* NULL is fine */

/* Stands for a text that is not to be kept: 64 bits of its SHA-256, in hex. */
enum { TUS_MARK_SIZE = 17 };
void tus_mark(struct str text, char out[TUS_MARK_SIZE]);

#endif
