/* HTTP/1.1 requests (RFC 9112) without I/O: bytes in, events out. llhttp
 * parses; a strict filter before it refuses what servers are known to disagree
 * about (bare CR or LF, also in chunk lines; obs-fold; space before a colon;
 * two Hosts or none; Content-Length beside Transfer-Encoding; any
 * Transfer-Encoding but "chunked"; unusual field names; bad targets), because
 * a disagreement with a proxy in front is how requests are smuggled.
 *
 * One parser serves the requests of one connection, one after the other. It
 * stops behind each request, so that pipelined ones are answered in order. */
#ifndef PROTO_HTTP_H
#define PROTO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum http_method {
    HTTP_GET = 1 << 0,
    HTTP_HEAD = 1 << 1,
    HTTP_POST = 1 << 2,
    HTTP_PUT = 1 << 3,
    HTTP_PATCH = 1 << 4,
    HTTP_DELETE = 1 << 5,
    HTTP_OPTIONS = 1 << 6,
};

struct http_header {
    struct str name, value; /* value trimmed */
};

/* Borrowed: points into the parser. Valid from `head` until the first byte of
 * the next request is fed (so also while a completed one waits for its answer),
 * http_parser_release or http_parser_free. */
struct http_request {
    enum http_method method;
    struct str target; /* as sent */
    struct str path;   /* before "?", still percent-encoded; of an absolute target: its path */
    struct str query;  /* behind "?", or empty */
    struct str host;   /* Host's value, or the authority of an absolute target; 1.0: may be empty */
    const struct http_header *headers;
    unsigned header_count;
    int64_t content_length; /* -1: none given */
    bool is_chunked;
    bool keeps_alive;      /* HTTP/1.1 without "close", HTTP/1.0 with "keep-alive" */
    bool expects_continue; /* Expect: 100-continue, and a body is to come (never in 1.0) */
    bool wants_upgrade;    /* Connection: upgrade beside an Upgrade field (never in 1.0) */
    bool is_http10;
};

struct http_limits {
    size_t head_max;     /* bytes of request line and headers */
    unsigned header_max; /* fields */
    size_t target_max;
};

/* The parser must not be fed or freed inside of these. */
struct http_events {
    /* The head is there. Return 0 to go on, an HTTP status to refuse (the
     * body is not read, the connection will be closed behind the answer). */
    int (*head)(void *context, const struct http_request *request);
    /* A piece of the body, de-chunked. Return as above. */
    int (*body)(void *context, const char *bytes, size_t len);
    /* The request is complete. */
    void (*complete)(void *context);
};

struct http_parser;

/* Borrows both tables, which outlive it. */
struct http_parser *http_parser_new(const struct http_limits *limits,
                                    const struct http_events *events, void *context);
void http_parser_free(struct http_parser *p);

/* Takes bytes up to the end of one request at the most and says in `used` how
 * many; call again with the rest for the next request. What follows an upgrade
 * request is thus never looked at: it is complete behind its head or body.
 * 0, or the status to answer before closing: 400, 413, 414, 417, 431, 501,
 * 505, or what a callback returned. After a status, never call again. */
int http_parser_feed(struct http_parser *p, const char *bytes, size_t len, size_t *used);

/* Drops the memory of a completed request before the next one comes, so that a
 * connection waiting for it holds little. No effect in the middle of a request. */
void http_parser_release(struct http_parser *p);

/* Nothing of a request has arrived yet, or the last one is complete: the
 * connection may be closed silently. */
bool http_parser_is_idle(const struct http_parser *p);

/* Bytes that are still to come of a content of declared length: when it is not 0, the next
 * ones are content and nothing else. */
uint64_t http_parser_content_left(const struct http_parser *p);

/* The head is complete, the body may not be. */
bool http_parser_has_head(const struct http_parser *p);

/* The first header of that name, or a str with at NULL. Case-insensitive. */
struct str http_header(const struct http_request *request, const char *name);

/* Whether a comma-separated header (all its lines) has that token as a whole
 * element, without parameters. Case-insensitive; commas in quotes do not count. */
bool http_header_has(const struct http_request *request, const char *name, const char *token);

const char *http_status_text(int status); /* "Not Found" */
const char *http_method_name(enum http_method method);

#endif
