/* Walks a Sec-WebSocket-Extensions value (RFC 6455, section 9.1), part by part:
 * each extension's name, then its parameters. Knows no extension. Pure. */
#ifndef PROTO_WS_EXTENSION_H
#define PROTO_WS_EXTENSION_H

#include <stdbool.h>

#include "base/str.h"
#include "proto/http.h"

/* Points into the header, like the parts it gives. */
struct ws_extension_walk {
    struct str rest;
    bool is_param_next;
};

struct ws_extension_part {
    bool is_param; /* else: an extension begins */
    struct str name;
    struct str value; /* at NULL: none; of a quoted one the inside, still escaped */
};

void ws_extension_walk_init(struct ws_extension_walk *w, struct str value);

/* FAIL_MISSING at the end, FAIL_SYNTAX where the grammar is broken. */
int ws_extension_next(struct ws_extension_walk *w, struct ws_extension_part *out);

/* Whether this header is a line of Sec-WebSocket-Extensions. */
bool ws_extension_is_header(const struct http_header *header);

#endif
