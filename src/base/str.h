/* A borrowed run of bytes, not '\0'-terminated: how parsers hand out pieces of
 * what they were given. Lives as long as the bytes it points into. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *at;
    size_t len;
};

#define STR(literal) ((struct str){ .at = "" literal, .len = sizeof(literal) - 1 })

/* For %.*s */
#define STR_ARG(s) (int)(s).len, (s).at

struct str str_of(const char *text); /* NULL gives the empty string */
bool str_equal(struct str a, struct str b);
bool str_equal_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);

/* Which of `count` texts it is, or -1. */
int str_index(struct str s, const char *const *texts, int count);

/* Without spaces and tabs at both ends. */
struct str str_trim(struct str s);

/* Cuts the part before the first `c` off `rest` and returns it; the `c` goes
 * too. With no `c`, returns everything and leaves `rest` empty with at NULL. */
struct str str_cut(struct str *rest, char c);

/* The whole of `s` as decimal digits, no sign; FAIL_SYNTAX or FAIL_LIMIT. */
int str_parse_u64(struct str s, uint64_t max, uint64_t *out);

/* In decimal digits, at the beginning of `out` and with a '\0' behind; borrows it. */
enum { STR_U64_SIZE = 21 };
struct str str_of_u64(uint64_t number, char out[STR_U64_SIZE]);

/* The whole of `s` as a finite decimal number; FAIL_SYNTAX. */
int str_parse_double(struct str s, double *out);

#endif
