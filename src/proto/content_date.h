/* The dates of HTTP's conditions (RFC 9110, 5.6.7). Pure. */
#ifndef PROTO_CONTENT_DATE_H
#define PROTO_CONTENT_DATE_H

#include <stdint.h>

#include "base/str.h"

/* Seconds since 1970 of any of the three forms that a server must understand,
 * or -1. Two-digit years are those from 1970 to 2069. */
int64_t content_parse_date(struct str text);

#endif
