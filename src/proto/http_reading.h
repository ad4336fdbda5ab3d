/* llhttp's reading of one request, held against what the filter found. Internal
 * to the HTTP parser, and the one place that knows llhttp: another version of it
 * that reads a head otherwise makes the request refused, never misread. */
#ifndef PROTO_HTTP_READING_H
#define PROTO_HTTP_READING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "proto/http.h"
#include "proto/http_filter.h"

/* llhttp's methods and ours would share names. */
#define HTTP_GET     LLHTTP_GET
#define HTTP_HEAD    LLHTTP_HEAD
#define HTTP_POST    LLHTTP_POST
#define HTTP_PUT     LLHTTP_PUT
#define HTTP_PATCH   LLHTTP_PATCH
#define HTTP_DELETE  LLHTTP_DELETE
#define HTTP_OPTIONS LLHTTP_OPTIONS
#include <llhttp.h>
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_PATCH
#undef HTTP_DELETE
#undef HTTP_OPTIONS

struct http_reading {
    llhttp_t llhttp;
    const struct http_facts *facts; /* borrowed */
    const struct http_events *events;
    void *context;
    struct str target;
    struct http_header *headers; /* as many as facts->fields */
    unsigned header_count;
    int refusal;         /* what the body event returned */
    bool is_head_parsed; /* fields that follow are trailers */
    bool is_complete;
};

/* Begins with the whole head, which must outlive the reading: 0 or 400. The
 * body event comes from http_reading_give; the others are not this module's. */
int http_reading_begin(struct http_reading *r, const struct http_facts *facts, struct str head,
                       const struct http_events *events, void *context);

/* 0, 400, or what the body event returned. */
int http_reading_give(struct http_reading *r, struct str bytes);

/* Frees the headers; fine on one that never began but is zeroed. */
void http_reading_end(struct http_reading *r);

#endif
