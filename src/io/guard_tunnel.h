/* One connection of a guard_proxy: a head, the address it may lead to, then bytes both ways.
 * For io/guard_proxy only. */
#ifndef IO_GUARD_TUNNEL_H
#define IO_GUARD_TUNNEL_H

#include <uv.h>

#include "io/guard.h"

struct tunnel;

enum { GUARD_LOOKUPS_MAX = 2 }; /* at a time: a name server that hangs holds worker threads */

struct guard_proxy {
    uv_loop_t *loop;
    const struct guard *guard;
    struct guard_proxy_limits limits;
    uv_tcp_t listener;
    struct tunnel *tunnels; /* all that are not freed yet */
    unsigned count, lookups;
    uint64_t bytes;
    struct buf refused;
    bool is_over, has_waiting; /* a connection that nobody has accepted */
    bool is_closing, is_listening;
};

/* Accepts it from the listener. */
void tunnel_open(struct guard_proxy *p);
/* Fine to repeat. */
void tunnel_close(struct tunnel *t);
struct tunnel *tunnel_next(const struct tunnel *t);
/* There is room for one more lookup. */
void tunnel_wake(struct tunnel *t);

/* In io/guard_proxy.c: one is freed, one has looked up its name, `bytes` is over. */
void guard_proxy_left(struct guard_proxy *p);
void guard_proxy_looked_up(struct guard_proxy *p);
void guard_proxy_over(struct guard_proxy *p);

#endif
