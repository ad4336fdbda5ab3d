/* Where what strangers name may lead: a URL to be fetched may resolve, now or after a
 * redirect, or the second time that its name is asked for, to an address of ours. So it
 * is the address that is judged, at the moment of connecting to it, for libcurl
 * (fetcher_new_guarded) and for programs that fetch by themselves (guard_proxy).
 *
 * Without rules: every address of the public internet (proto/address); none of this
 * machine (also the public ones that it had at guard_new), private or shared nets,
 * link-local and metadata services, multicast, documentation. An IPv4 address mapped into
 * IPv6, or a NAT64's, is judged as what it is; other forms of one are refused.
 * A rule is a host name ("cdn.example.com", ".example.com": also what is below it), an
 * address, or a net ("10.0.0.0/8", "fd00::/8"), each with ":PORT" if it is for that only.
 *   deny    never, whatever else is said
 *   only    nothing but these, and of these what is public or allowed
 *   allow   admitted though not of the public internet
 * Immutable; any thread, but for the proxy. */
#ifndef IO_GUARD_H
#define IO_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/buf.h"

struct guard;

struct guard_rules {
    const char *const *deny, *const *allow, *const *only;
    size_t deny_count, allow_count, only_count;
};

/* Copies. FAIL_SYNTAX: `why` begins with the list's name, "allow: ...". */
int guard_new(const struct guard_rules *rules, struct guard **out, struct buf *why);
void guard_free(struct guard *g);

/* Before anything is asked: by scheme (http, https), host and port of a URL. An address
 * as host is judged at once; a name only by the rules. FAIL_SYNTAX (also for what parsers
 * are known to disagree about, and for a host outside of ASCII), FAIL_DENIED. */
int guard_check_url(const struct guard *g, const char *url, struct buf *why);

/* At the moment of connecting: `host` is the name that was asked for, or NULL. */
bool guard_admits(const struct guard *g, const char *host, const struct sockaddr *to);

/* A proxy (CONNECT, and GET etc. of absolute http URLs) for one child that has no other
 * network: it listens where only that child can connect to, resolves names by itself and
 * connects to the very address that it judged. On the loop's thread. */
struct guard_proxy;

struct guard_proxy_limits {
    uint64_t bytes_max;       /* that may come in through it; 0: no limit */
    uint32_t connections_max; /* at a time */
    uint32_t idle_ms;
};

/* `listener` (a listening socket, see io/child.h) is taken over. `g` is borrowed. */
int guard_proxy_open(uv_loop_t *loop, const struct guard *g, int listener,
                     const struct guard_proxy_limits *limits, struct guard_proxy **out);
/* What was refused last, as a clause for people, or "". */
const char *guard_proxy_refused(const struct guard_proxy *p);
bool guard_proxy_is_over(const struct guard_proxy *p);   /* bytes_max was reached */
uint64_t guard_proxy_bytes(const struct guard_proxy *p); /* that came in through it */
void guard_proxy_close(struct guard_proxy *p);

#endif
