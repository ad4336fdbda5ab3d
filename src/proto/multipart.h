/* multipart/form-data (RFC 7578, RFC 2046 section 5.1) without I/O: bytes in,
 * parts out. A part's content is handed on as it comes and never kept, so its
 * size is the owner's business; everything else is bounded here.
 *
 * However the bytes are cut, the events are the same, but for how a part's
 * content is split over data events; so is the outcome. */
#ifndef PROTO_MULTIPART_H
#define PROTO_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { MULTIPART_BOUNDARY_MAX = 70 };

/* The boundary that a Content-Type names. FAIL_UNSUPPORTED: it is not
 * multipart/form-data (or there is none); FAIL_SYNTAX: it is, without a valid
 * boundary. */
int multipart_boundary(struct str content_type, char out[MULTIPART_BOUNDARY_MAX + 1]);

struct multipart_limits {
    size_t head_max;   /* bytes of a part's headers */
    unsigned line_max; /* headers of a part */
    unsigned part_max;
    size_t around_max; /* bytes of preamble and epilogue, each */
};

/* Borrowed: valid within the event. UTF-8; what browsers percent-encode in
 * names (quote, CR, LF) is decoded, so neither is fit for a path or a header. */
struct multipart_part {
    struct str name;
    struct str file_name; /* at NULL: no file. May be "" */
    struct str type;      /* Content-Type, as sent; at NULL: none */
};

/* Each returns 0 to go on; anything else ends the parse and is returned. The
 * parser must not be fed or freed inside of these. */
struct multipart_events {
    int (*part)(void *context, const struct multipart_part *part);
    int (*data)(void *context, const char *bytes, size_t len); /* len > 0 */
    int (*end)(void *context);                                 /* of the part */
};

struct multipart;

/* Borrows both tables, which outlive it. `boundary` as from multipart_boundary. */
struct multipart *multipart_new(const char *boundary, const struct multipart_limits *limits,
                                const struct multipart_events *events, void *context);
void multipart_free(struct multipart *m);

/* OK, FAIL_SYNTAX, FAIL_LIMIT, or what an event returned; from then on always
 * the same. */
int multipart_feed(struct multipart *m, const char *bytes, size_t len);

/* No more bytes will come: FAIL_SYNTAX when the last boundary has not. */
int multipart_end(struct multipart *m);

/* After FAIL_SYNTAX or FAIL_LIMIT: a clause for people, static. */
const char *multipart_why(const struct multipart *m);

#endif
