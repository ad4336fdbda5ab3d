/* The head of a request to an HTTP proxy, without I/O: CONNECT (RFC 9112, 3.2.3), or an
 * absolute http URL (3.2.2), which becomes the head to send on: hop-by-hop fields go, Host
 * is the URL's. It is read as strictly as those to the server (proto/http_filter), and what
 * two readers could end at different places is refused: content is of a declared length. */
#ifndef PROTO_PROXY_HEAD_H
#define PROTO_PROXY_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/http_filter.h"

enum { PROXY_HEAD_MAX = 16 * 1024, PROXY_TARGET_MAX = 8 * 1024, PROXY_FIELDS_MAX = 64 };

struct proxy_head {
    struct buf lines; /* as they came */
    size_t line_at;   /* where the one being collected begins */
    struct http_facts facts;
    bool is_whole;

    /* Once it is whole: */
    bool is_tunnel;       /* CONNECT */
    struct buf host;      /* IPv6 without its brackets */
    uint16_t port;        /* never 0 */
    uint64_t content;     /* bytes that follow the head; not of a tunnel */
    struct buf forwarded; /* the head to send on; not of a tunnel */
};

void proxy_head_init(struct proxy_head *h);
void proxy_head_deinit(struct proxy_head *h);

/* Takes bytes up to the end of the head at the most. 0 (see is_whole), or the status to
 * answer with: 400, 411 (content of no declared length), 414, 431, 501, 505. */
int proxy_head_feed(struct proxy_head *h, const char *bytes, size_t len, size_t *used);

#endif
