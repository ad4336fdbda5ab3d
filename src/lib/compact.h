/* Checks that a text is one JSON value by RFC 8259 and copies it without the
 * spaces between its tokens. Refused beyond the grammar is what Reelay's reader
 * would refuse inside a message: text that is not UTF-8, U+0000, half of a
 * surrogate pair, an integer over 64 bits, a number of 1e308 or more. */
#ifndef LIB_COMPACT_H
#define LIB_COMPACT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Appends to `out`. FAIL_SYNTAX; FAIL_LIMIT when `out` is full or nesting is
 * deeper than JOB_JSON_DEPTH_MAX: then *at says how many bytes were fine. */
int compact_json(const char *text, bool only_object, struct buf *out, size_t *at);

#endif
