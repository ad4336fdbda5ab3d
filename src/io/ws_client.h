/* A WebSocket seen from the client (RFC 6455, section 4.1), on a libuv loop. The
 * connection, TLS and a proxy's CONNECT are libcurl's; handshake and frames are
 * ours. Pings are answered; a server that says nothing for WS_DEAD_AFTER_MS,
 * though it promises a ping well before, is taken for gone.
 *
 *   connecting -> shaking hands -> open -> over
 *         \______________\___________________/
 */
#ifndef IO_WS_CLIENT_H
#define IO_WS_CLIENT_H

#include <stdint.h>

#include "base/str.h"
#include "io/fetch.h"

struct ws_client;

struct ws_client_end {
    int err;         /* as in struct fetch_answer; OK: the server closed it */
    int status;      /* the HTTP status that came instead of 101, or 0 */
    uint16_t code;   /* of the server's Close */
    const char *why; /* for people */
};

struct ws_client_events {
    void (*open)(void *context);
    void (*text)(void *context, struct str message); /* UTF-8; valid during the call */
    /* It is over. Exactly once unless closed before; the client is freed
     * behind it. */
    void (*end)(void *context, const struct ws_client_end *end);
};

/* `url` is http or https; `token` may be NULL. Borrows `events`; none runs
 * within this call. */
struct ws_client *ws_client_new(struct fetcher *f, const char *url, const char *token,
                                const struct ws_client_events *events, void *context);

/* Says goodbye if it is open and frees it; no event comes any more. May be
 * called within `open` and `text`. */
void ws_client_close(struct ws_client *w);

#endif
