/* What an internet address is for, by the special-purpose registries of IANA (RFC 6890):
 * whether it is a host's of the public internet, or of something nearer. Pure.
 *
 * An IPv4 address is given in its IPv6 form (::ffff:a.b.c.d), and so is one that came in
 * that form. To add a net: a row in address.c; the first one that fits holds. */
#ifndef PROTO_ADDRESS_H
#define PROTO_ADDRESS_H

#include <stdint.h>

/* NULL: any host of the public internet may have it. Else what it is, to stand behind
 * "is": "a private address". Static. */
const char *address_purpose(const uint8_t address[16]);

#endif
