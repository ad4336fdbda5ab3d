/* UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing over U+10FFFF.
 * Incremental, so that a bad byte is noticed when it arrives. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero is the state between characters. */
struct utf8 {
    uint8_t left; /* continuation bytes still to come */
    uint8_t low;  /* range allowed for the next one */
    uint8_t high;
};

/* False as soon as the bytes so far cannot begin valid text. */
bool utf8_feed(struct utf8 *u, const char *bytes, size_t len);

/* True between characters: where valid text may end. */
bool utf8_is_complete(const struct utf8 *u);

/* Bytes of the valid character at `at`, 0 if there is none. */
size_t utf8_length(const char *at, size_t len);

/* How many of the first bytes, at most `max`, are valid text as a whole. */
size_t utf8_cut(const char *bytes, size_t len, size_t max);

bool utf8_is_valid(const char *bytes, size_t len);

#endif
