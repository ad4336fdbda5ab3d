/* Pieces of URLs (RFC 3986): percent-coding and query strings. Pure. */
#ifndef PROTO_URL_H
#define PROTO_URL_H

#include "base/buf.h"
#include "base/str.h"

/* Decodes %XX (and '+' as a space if `is_query`) onto `out`. FAIL_SYNTAX for a
 * broken escape, an encoded or plain NUL, or a result that is not UTF-8;
 * FAIL_LIMIT when `out` is full. */
int url_decode(struct str text, bool is_query, struct buf *out);

/* A piece of a URL that may be a secret, decoded into `out`: mem_free. FAIL_SYNTAX, and a
 * clause in `why` that calls it `what` and says nothing of it: more than `max` bytes, or
 * what url_decode refuses. */
int url_part(struct str text, size_t max, char **out, struct buf *why, const char *what);

/* Encodes everything but unreserved characters; keeps '/' if `keep_slash`. */
void url_encode(struct str text, bool keep_slash, struct buf *out);

/* A whole URL as people write it, with its letters outside of ASCII encoded (RFC 3987, 3.1). */
void url_encode_letters(struct str url, struct buf *out);

/* The part before "://", which is cut off with it; empty, and nothing is cut: there is
 * none. */
struct str url_cut_scheme(struct str *url);

/* The first value of a parameter, decoded. FAIL_MISSING, or as url_decode. */
int url_query_get(struct str query, const char *name, struct buf *out);

/* Removes dot segments and doubled slashes, refuses what leads above the root
 * (FAIL_DENIED). `path` is decoded already and begins with '/'. */
int url_normalize_path(struct str path, struct buf *out);

#endif
