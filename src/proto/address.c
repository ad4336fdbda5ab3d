#include "proto/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { V4_AT = 12 }; /* where the IPv4 address lies in ::ffff:a.b.c.d and 64:ff9b::a.b.c.d */

struct net {
    uint8_t first[16];
    unsigned bits;
    const char *purpose; /* NULL: it is public */
};

/* https://www.iana.org/assignments/iana-ipv4-special-registry, without those that are
 * "globally reachable" there; and what clouds have at addresses of their own choice. */
static const struct net v4_nets[] = {
    { { 0 }, 8, "\"this network\"" },
    { { 10 }, 8, "a private address" },
    { { 100, 64 }, 10, "an address shared behind a provider's NAT" },
    { { 127 }, 8, "this machine (loopback)" },
    { { 169, 254 }, 16, "link-local, where metadata services are" },
    { { 172, 16 }, 12, "a private address" },
    { { 192, 0, 0 }, 24, "reserved for protocols" },
    { { 192, 0, 2 }, 24, "for documentation only" },
    { { 192, 88, 99 }, 24, "of the 6to4 relays of old" },
    { { 192, 168 }, 16, "a private address" },
    { { 198, 18 }, 15, "for benchmarks only" },
    { { 198, 51, 100 }, 24, "for documentation only" },
    { { 203, 0, 113 }, 24, "for documentation only" },
    { { 224 }, 4, "a multicast address" },
    { { 255, 255, 255, 255 }, 32, "the broadcast address" },
    { { 240 }, 4, "reserved" },
    /* Looks public and is answered by the host of a virtual machine alone. */
    { { 168, 63, 129, 16 }, 32, "where a metadata service is" },
};

/* https://www.iana.org/assignments/iana-ipv6-special-registry. Only 2000::/3 has ever been
 * given out to hosts (RFC 4291, 2.4), so what lies elsewhere needs no row to be refused;
 * those that are here have one for the word. Of 2001::/23, nothing that serves web pages. */
static const struct net v6_nets[] = {
    { { 0 }, 128, "the unspecified address" },
    { { [15] = 1 }, 128, "this machine (loopback)" },
    { { 0 }, 96, "an IPv4 address in a form of old" },
    { { [8] = 0xff, [9] = 0xff }, 96, "an IPv4 address in a translator's form" },
    { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, "of a NAT64 of this network" },
    { { 1 }, 64, "where packets are thrown away" },
    { { 0x20, 0x01, 0, 0 }, 32, "a Teredo tunnel's" },
    { { 0x20, 0x01, 0, 2 }, 48, "for benchmarks only" },
    { { 0x20, 0x01 }, 23, "reserved for protocols" },
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, "for documentation only" },
    { { 0x20, 0x02 }, 16, "a 6to4 tunnel's" },
    { { 0x3f, 0xff }, 20, "for documentation only" },
    { { 0x20 }, 3, NULL },
    { { 0x5f }, 16, "a segment's, not a host's" },
    { { 0xfc }, 7, "a private address" },
    { { 0xfe, 0x80 }, 10, "link-local" },
    { { 0xfe, 0xc0 }, 10, "a private address of old" },
    { { 0xff }, 8, "a multicast address" },
    { { 0 }, 0, "not of the public internet" },
};

static bool net_has(const struct net *net, const uint8_t *address)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (memcmp(net->first, address, whole) != 0)
        return false;
    return rest == 0 || (net->first[whole] ^ address[whole]) >> (8 - rest) == 0;
}

static const char *purpose_of(const struct net *nets, size_t count, const uint8_t *address)
{
    for (size_t i = 0; i < count; i++)
        if (net_has(&nets[i], address))
            return nets[i].purpose;
    return NULL;
}

/* RFC 5214, 6.1: an IPv4 address lies in the lower half, whatever the upper one is. */
static bool is_isatap(const uint8_t *address)
{
    return (address[8] & ~0x03) == 0 && address[9] == 0 && address[10] == 0x5e &&
           address[11] == 0xfe;
}

const char *address_purpose(const uint8_t address[16])
{
    static const uint8_t mapped[V4_AT] = { [10] = 0xff, [11] = 0xff };
    /* The one translated form that leads to the public internet (RFC 6052, 3.1): all of
     * IPv4, for hosts that have IPv6 alone. */
    static const uint8_t nat64[V4_AT] = { 0, 0x64, 0xff, 0x9b };

    if (memcmp(address, mapped, V4_AT) == 0 || memcmp(address, nat64, V4_AT) == 0)
        return purpose_of(v4_nets, sizeof(v4_nets) / sizeof(v4_nets[0]), address + V4_AT);
    const char *purpose = purpose_of(v6_nets, sizeof(v6_nets) / sizeof(v6_nets[0]), address);
    return purpose == NULL && is_isatap(address) ? "an ISATAP tunnel's" : purpose;
}
