#include "io/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

enum { IPV4_AT = 12, IPV4_BITS = IPV4_AT * 8 }; /* where it lies in the IPv6 form */

static const uint8_t ipv4_prefix[IPV4_AT] = { [10] = 0xff, [11] = 0xff };

static void from_ipv4(const struct in_addr *v4, struct ip *out)
{
    memcpy(out->bytes, ipv4_prefix, IPV4_AT);
    memcpy(out->bytes + IPV4_AT, v4, sizeof(*v4));
}

void ip_of(const struct sockaddr_storage *address, struct ip *out)
{
    if (address->ss_family == AF_INET)
        from_ipv4(&((const struct sockaddr_in *)address)->sin_addr, out);
    else
        memcpy(out->bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, sizeof(out->bytes));
}

bool ip_is_ipv4(const struct ip *ip)
{
    return memcmp(ip->bytes, ipv4_prefix, IPV4_AT) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip v6 = { { [15] = 1 } };

    if (ip_is_ipv4(ip))
        return ip->bytes[IPV4_AT] == 127;
    return memcmp(ip, &v6, sizeof(v6)) == 0;
}

int network_parse(const char *text, struct network *out)
{
    struct str bits = str_of(text), address = str_cut(&bits, '/');
    char host[INET6_ADDRSTRLEN];
    struct network n;
    struct in_addr v4;
    uint64_t count = 128;

    if (address.len >= sizeof(host))
        return FAIL_SYNTAX;
    memcpy(host, address.at, address.len);
    host[address.len] = '\0';
    bool is_v4 = inet_pton(AF_INET, host, &v4) == 1;
    if (is_v4)
        from_ipv4(&v4, &n.first);
    else if (inet_pton(AF_INET6, host, n.first.bytes) != 1)
        return FAIL_SYNTAX;
    if (bits.at != NULL && str_parse_u64(bits, is_v4 ? 32 : 128, &count) != OK)
        return FAIL_SYNTAX;
    n.bits = (unsigned)count + (is_v4 && bits.at != NULL ? IPV4_BITS : 0);
    *out = n;
    return OK;
}

bool network_has(const struct network *n, const struct ip *ip)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    /* An IPv4 address only has the form of an IPv6 one here: "::/0" does not mean it. */
    if (n->bits < IPV4_BITS && ip_is_ipv4(ip))
        return false;
    if (memcmp(n->first.bytes, ip->bytes, whole) != 0)
        return false;
    return rest == 0 || ((n->first.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest)) == 0;
}
