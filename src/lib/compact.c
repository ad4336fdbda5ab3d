#include "lib/compact.h"

#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "core/limits.h"

struct reader {
    const char *at; /* ends with '\0', which is in no token */
    struct buf *out;
};

static int value(struct reader *r, int levels);

static void skip_spaces(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')
        r->at++;
}

static int copy(struct reader *r, const char *from, size_t len)
{
    return buf_append(r->out, from, len) ? OK : FAIL_LIMIT;
}

/* One byte that has to come next, behind spaces. */
static int expect(struct reader *r, char c)
{
    skip_spaces(r);
    if (*r->at != c)
        return FAIL_SYNTAX;
    return copy(r, r->at++, 1);
}

static bool comes(struct reader *r, char c)
{
    skip_spaces(r);
    return *r->at == c;
}

/* The four digits behind \u, or -1. */
static int code_unit(const char *at)
{
    int unit = 0;

    for (int i = 0; i < 4; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9')
            unit = unit * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            unit = unit * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return unit;
}

/* Length of what stands behind a backslash, 0 if it may not. */
static size_t escape_length(const char *at)
{
    if (*at != 'u')
        return *at && strchr("\"\\/bfnrt", *at) ? 1 : 0;
    int unit = code_unit(at + 1);
    if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return 0;
    if (unit < 0xd800 || unit > 0xdfff)
        return 5;
    if (at[5] != '\\' || at[6] != 'u')
        return 0;
    int low = code_unit(at + 7);
    return low >= 0xdc00 && low <= 0xdfff ? 11 : 0;
}

/* Length of the character at `at` as it stands in a string, 0 if it may not. */
static size_t character_length(const char *at)
{
    unsigned char c = (unsigned char)*at;

    if (c == '\\') {
        size_t len = escape_length(at + 1);
        return len ? len + 1 : 0;
    }
    if (c < 0x20)
        return 0;
    return c < 0x80 ? 1 : utf8_length(at, strnlen(at, 4));
}

static int string(struct reader *r)
{
    const char *from = r->at;

    if (*r->at != '"')
        return FAIL_SYNTAX;
    r->at++;
    while (*r->at != '"') {
        size_t len = character_length(r->at);
        if (len == 0)
            return FAIL_SYNTAX;
        r->at += len;
    }
    r->at++;
    return copy(r, from, (size_t)(r->at - from));
}

static size_t digits(const char *at)
{
    size_t count = 0;

    while (at[count] >= '0' && at[count] <= '9')
        count++;
    return count;
}

static bool fits_64_bits(const char *at, size_t count, bool is_negative)
{
    static const char largest[] = "9223372036854775807";
    static const char least[] = "9223372036854775808";
    size_t most = sizeof(largest) - 1;

    return count < most || (count == most && memcmp(at, is_negative ? least : largest, most) <= 0);
}

/* The exponent at `at`, if there is one, clamped to a range without surprises. */
static int exponent(const char **at, int *out)
{
    const char *p = *at;
    int sum = 0;

    *out = 0;
    if (*p != 'e' && *p != 'E')
        return OK;
    p++;
    bool is_negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    size_t count = digits(p);
    if (count == 0)
        return FAIL_SYNTAX;
    for (size_t i = 0; i < count; i++)
        sum = sum > 100000 ? sum : sum * 10 + (p[i] - '0');
    *at = p + count;
    *out = is_negative ? -sum : sum;
    return OK;
}

static int number(struct reader *r)
{
    const char *from = r->at;
    const char *p = from;
    bool is_negative = *p == '-';
    int power;

    p += is_negative;
    const char *whole = p;
    size_t count = digits(whole);
    if (count == 0 || (count > 1 && *whole == '0'))
        return FAIL_SYNTAX;
    p += count;
    const char *behind = p;
    if (*p == '.') {
        size_t places = digits(p + 1);
        if (places == 0)
            return FAIL_SYNTAX;
        p += 1 + places;
    }
    if (exponent(&p, &power) != OK)
        return FAIL_SYNTAX;
    if (p == behind && !fits_64_bits(whole, count, is_negative))
        return FAIL_SYNTAX;
    if (p != behind && *whole != '0' && (count > 400 || (int)count + power > 308))
        return FAIL_SYNTAX;
    if (p != behind && *whole == '0' && power > 308)
        return FAIL_SYNTAX;
    r->at = p;
    return copy(r, from, (size_t)(p - from));
}

static int word(struct reader *r, const char *name)
{
    size_t len = strlen(name);

    if (strncmp(r->at, name, len) != 0)
        return FAIL_SYNTAX;
    r->at += len;
    return copy(r, name, len);
}

static int member(struct reader *r, int levels)
{
    skip_spaces(r);
    int err = string(r);
    if (err == OK)
        err = expect(r, ':');
    return err == OK ? value(r, levels) : err;
}

static int container(struct reader *r, char close, int levels)
{
    bool is_object = close == '}';

    if (levels == 0)
        return FAIL_LIMIT;
    int err = copy(r, r->at++, 1);
    if (err != OK || comes(r, close))
        return err != OK ? err : expect(r, close);
    for (;;) {
        err = is_object ? member(r, levels - 1) : value(r, levels - 1);
        if (err != OK)
            return err;
        if (!comes(r, ','))
            return expect(r, close);
        err = expect(r, ',');
        if (err != OK)
            return err;
    }
}

static int value(struct reader *r, int levels)
{
    skip_spaces(r);
    switch (*r->at) {
    case '{': return container(r, '}', levels);
    case '[': return container(r, ']', levels);
    case '"': return string(r);
    case 't': return word(r, "true");
    case 'f': return word(r, "false");
    case 'n': return word(r, "null");
    default: return number(r);
    }
}

int compact_json(const char *text, bool only_object, struct buf *out, size_t *at)
{
    struct reader r = { .at = text, .out = out };

    skip_spaces(&r);
    int err = only_object && *r.at != '{' ? FAIL_SYNTAX : value(&r, JOB_JSON_DEPTH_MAX);
    skip_spaces(&r);
    if (err == OK && *r.at != '\0')
        err = FAIL_SYNTAX;
    if (err != OK)
        *at = (size_t)(r.at - text);
    return err;
}
