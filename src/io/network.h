/* Internet addresses as numbers to compare, and ranges of them (CIDR, RFC 4632).
 * An IPv4 address is its IPv6 form (::ffff:a.b.c.d, RFC 4291, 2.5.5.2), so a
 * client of a dual-stack socket is no stranger to an IPv4 range. */
#ifndef IO_NETWORK_H
#define IO_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct ip {
    uint8_t bytes[16];
};

struct network {
    struct ip first;
    unsigned bits; /* of 128 that must be alike */
};

void ip_of(const struct sockaddr_storage *address, struct ip *out);
bool ip_is_ipv4(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);

/* "10.0.0.0/8", "2001:db8::/32", or one address. FAIL_SYNTAX. */
int network_parse(const char *text, struct network *out);
bool network_has(const struct network *n, const struct ip *ip);

#endif
