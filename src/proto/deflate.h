/* permessage-deflate (RFC 7692) without I/O. Reelay always asks for no context
 * takeover in both directions: a compressed message then depends on nothing
 * before it, so that one may be shared by all who negotiated it, and no
 * connection holds a zlib state between messages. */
#ifndef PROTO_DEFLATE_H
#define PROTO_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/http.h"

struct deflate_params {
    uint8_t server_bits;    /* window of what the server sends, 9-15 */
    uint8_t client_bits;    /* of what the client sends, 8-15 */
    bool names_client_bits; /* the answer carries client_max_window_bits */
    bool names_server_bits;
};

/* The first acceptable offer in the request's Sec-WebSocket-Extensions (all
 * its lines). False: none; go on without compression. An offer that asks for
 * server_max_window_bits=8 is declined (zlib cannot). */
bool deflate_negotiate(const struct http_request *request, struct deflate_params *out);

/* The answer's Sec-WebSocket-Extensions value. */
void deflate_answer(const struct deflate_params *params, struct buf *out);

/* Appends the compressed message (without the final 00 00 ff ff) to `out`;
 * window_bits 9-15. FAIL_LIMIT when `out` is full: what it holds is then useless. */
int deflate_message(const void *bytes, size_t len, int window_bits, struct buf *out);

/* One message being inflated, piece by piece. */
struct inflater;
struct inflater *inflater_new(void);
void inflater_free(struct inflater *i);

/* Appends what `bytes` inflate to; `is_last` ends the message. FAIL_SYNTAX for
 * a broken stream or one that stops in the middle of a block, FAIL_LIMIT when
 * `out` is full (a bomb stops there). After a failure or `is_last`, free it. */
int inflater_feed(struct inflater *i, const void *bytes, size_t len, bool is_last, struct buf *out);

#endif
