/* The strict reading of a request's lines, before llhttp sees them. Internal to
 * the HTTP parser. It can only refuse: what it lets pass is parsed by llhttp,
 * and what both must agree on is kept in struct http_facts to be compared.
 *
 * Lines come without their CRLF; line_take has seen to it that they hold no
 * control byte but HTAB. Each function returns 0 or the status to answer. */
#ifndef PROTO_HTTP_FILTER_H
#define PROTO_HTTP_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/http.h"

struct http_facts {
    enum http_method method;
    int64_t content_length; /* -1: none */
    unsigned fields;
    unsigned hosts;
    unsigned codings; /* lines of Transfer-Encoding */
    bool is_http10;
    bool is_unsupported_coding;
    bool expects_continue;
    bool expects_other;
};

enum {
    HTTP_CHUNK_DIGITS_MAX = 15, /* so that a size never overflows */
    HTTP_CHUNK_EXTENSION_MAX = 256,
    HTTP_CHUNK_LINE_MAX = HTTP_CHUNK_DIGITS_MAX + HTTP_CHUNK_EXTENSION_MAX + 2,
    HTTP_METHOD_MAX = 32,
};

/* Appends bytes to `b` up to the end of the line that begins at `line_at`, and
 * says in `used` how many and in `is_whole` whether CRLF was reached. 400 for a
 * byte that no line may hold, 431 when `b` would pass `max`. The outcome
 * depends on the bytes alone, never on how they are split. */
int http_line_take(struct buf *b, size_t line_at, size_t max, struct str bytes, size_t *used,
                   bool *is_whole);

int http_filter_request_line(struct http_facts *facts, struct str line, size_t target_max);

/* A request line that is too long to be whole: 400, 414 or 501. */
int http_filter_long_line(struct str line);

int http_filter_field(struct http_facts *facts, struct str line);

/* Behind the last field: what must be there, and what excludes what. */
int http_filter_end(const struct http_facts *facts);

/* `digits` is the length of the size; what follows are extensions. */
int http_filter_chunk_line(struct str line, size_t *digits, uint64_t *size);
int http_filter_trailer(struct str line);

/* A target that has passed the filter, in its parts (RFC 9112, 3.2). 400 for a
 * form that does not fit the method. `authority` is empty but for absolute-form. */
struct http_target {
    struct str authority, path, query;
};
int http_target_split(struct str target, enum http_method method, struct http_target *out);

/* host [":" port] by RFC 3986, 3.2.2: a name, an IPv4 address or [IPv6]. */
bool http_host_is_valid(struct str host);

/* 0 if the server knows no such method. */
enum http_method http_method_of(struct str name);

bool http_is_token(struct str s); /* RFC 9110, 5.6.2 */

#endif
