/* The web page's files, compiled in: the table that scripts/embed writes.
 * Immutable; any thread.
 *
 * Invariants: paths begin with "/" and are unique; the page itself is "/".
 * Tags are quoted, strong and made from the content, so they change with it
 * and only with it; the two codings of a file have different ones (RFC 9110,
 * 8.8.3.3).
 *
 * To add a file: a line in web/meson.build. */
#ifndef API_EMBEDDED_H
#define API_EMBEDDED_H

#include <stddef.h>

enum { EMBEDDED_ETAG_SIZE = 40 };

struct embedded_file {
    const char *path; /* NULL ends the table */
    const char *type; /* Content-Type */
    const unsigned char *bytes;
    size_t len;
    char etag[EMBEDDED_ETAG_SIZE];
    const unsigned char *gzip; /* NULL where it would save nothing */
    size_t gzip_len;
    char gzip_etag[EMBEDDED_ETAG_SIZE];
};

extern const struct embedded_file embedded_files[];

#endif
