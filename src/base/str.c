#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct str str_of(const char *text)
{
    return text ? (struct str){ .at = text, .len = strlen(text) } : STR("");
}

bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool str_equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.at[i]) != lower(b.at[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_equal((struct str){ s.at, prefix.len }, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           str_equal((struct str){ s.at + s.len - suffix.len, suffix.len }, suffix);
}

int str_index(struct str s, const char *const *texts, int count)
{
    for (int i = 0; i < count; i++)
        if (str_equal(s, str_of(texts[i])))
            return i;
    return -1;
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

struct str str_cut(struct str *rest, char c)
{
    struct str first = *rest;
    const char *found = rest->len ? memchr(rest->at, c, rest->len) : NULL;

    if (found == NULL) {
        *rest = (struct str){ 0 };
        return first;
    }
    first.len = (size_t)(found - first.at);
    rest->len -= first.len + 1;
    rest->at = found + 1;
    return first;
}

int str_parse_u64(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (s.len == 0)
        return FAIL_SYNTAX;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return FAIL_SYNTAX;
        uint64_t digit = (uint64_t)(s.at[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return FAIL_LIMIT;
        value = value * 10 + digit;
    }
    if (value > max)
        return FAIL_LIMIT;
    *out = value;
    return OK;
}

struct str str_of_u64(uint64_t number, char out[STR_U64_SIZE])
{
    size_t len = 1;

    for (uint64_t rest = number; rest >= 10; rest /= 10)
        len++;
    out[len] = '\0';
    for (size_t at = len; at > 0; number /= 10)
        out[--at] = (char)('0' + number % 10);
    return (struct str){ out, len };
}

int str_parse_double(struct str s, double *out)
{
    char copy[64];
    char *end;

    if (s.len == 0 || s.len >= sizeof(copy))
        return FAIL_SYNTAX;
    for (size_t i = 0; i < s.len; i++)
        if (strchr("0123456789+-.eE", s.at[i]) == NULL || s.at[i] == '\0')
            return FAIL_SYNTAX;
    memcpy(copy, s.at, s.len);
    copy[s.len] = '\0';
    errno = 0;
    double value = strtod(copy, &end);
    if (*end != '\0' || !isfinite(value))
        return FAIL_SYNTAX;
    *out = value;
    return OK;
}
