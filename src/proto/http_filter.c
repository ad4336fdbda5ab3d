#include "proto/http_filter.h"

#include <string.h>

#include "base/err.h"

enum { DELETE_BYTE = 0x7f };

/* RFC 9112, 2.2: we use the freedom to refuse a bare LF, and must not let a
 * bare CR pass. Whatever splits lines otherwise than us must find nothing. */
static int line_byte(char before, char c)
{
    if (before == '\r')
        return c == '\n' ? 0 : 400;
    if (c == '\r' || c == '\t')
        return 0;
    return (unsigned char)c < ' ' || c == DELETE_BYTE ? 400 : 0;
}

int http_line_take(struct buf *b, size_t line_at, size_t max, struct str bytes, size_t *used,
                   bool *is_whole)
{
    char before = b->len > line_at ? b->data[b->len - 1] : '\0';
    size_t n = 0;
    int status = 0;

    *is_whole = false;
    while (n < bytes.len && status == 0 && !*is_whole) {
        char c = bytes.at[n++];
        status = b->len + n > max ? 431 : line_byte(before, c);
        *is_whole = status == 0 && c == '\n';
        before = c;
    }
    *used = n;
    if (!buf_append(b, bytes.at, status == 0 ? n : n - 1))
        return 431;
    return status;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_token_char(char c)
{
    if (is_digit(c) || is_upper(c) || (c >= 'a' && c <= 'z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char(s.at[i]))
            return false;
    return s.len > 0;
}

/* Methods are case-sensitive and every registered one is in capitals: "get" is
 * a broken client, "PROPFIND" one that wants more than we have. */
static bool is_method_shaped(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_upper(s.at[i]) && (i == 0 || (s.at[i] != '-' && s.at[i] != '_')))
            return false;
    return s.len > 0;
}

static bool is_version_shaped(struct str s)
{
    return s.len == 8 && str_starts(s, STR("HTTP/")) && is_digit(s.at[5]) && s.at[6] == '.' &&
           is_digit(s.at[7]);
}

static bool is_target_shaped(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] <= ' ' || s.at[i] == DELETE_BYTE || s.at[i] == '#' || (s.at[i] & 0x80))
            return false;
    return s.len > 0;
}

int http_filter_request_line(struct http_facts *facts, struct str line, size_t target_max)
{
    struct http_target parts;
    struct str method = str_cut(&line, ' ');
    struct str target = str_cut(&line, ' ');
    struct str version = line;

    if (!is_method_shaped(method) || !is_target_shaped(target) || !is_version_shaped(version))
        return 400;
    if (target.len > target_max)
        return 414;
    facts->is_http10 = str_equal(version, STR("HTTP/1.0"));
    if (!facts->is_http10 && !str_equal(version, STR("HTTP/1.1")))
        return 505;
    facts->method = http_method_of(method);
    if (facts->method == 0)
        return 501;
    return http_target_split(target, facts->method, &parts);
}

int http_filter_long_line(struct str line)
{
    struct str rest = line;
    struct str method = str_cut(&rest, ' ');

    if (!is_method_shaped(method))
        return 400;
    return method.len > HTTP_METHOD_MAX ? 501 : 414;
}

static int host_field(struct http_facts *facts, struct str value)
{
    facts->hosts++;
    return http_host_is_valid(value) ? 0 : 400;
}

/* RFC 9112, 6.3 lets "5, 5" pass as 5. We do not: whoever sends it is confused,
 * and whoever stands between may have kept another of the two. */
static int length_field(struct http_facts *facts, struct str value)
{
    uint64_t length;

    if (facts->content_length >= 0 || str_parse_u64(value, INT64_MAX, &length) != OK)
        return 400;
    facts->content_length = (int64_t)length;
    return 0;
}

/* RFC 9112, 6.1 and 7: chunked comes last and once, or the body has no end. */
static int coding_field(struct http_facts *facts, struct str value)
{
    bool is_last = false;

    if (++facts->codings > 1)
        return 400;
    do {
        struct str coding = str_trim(str_cut(&value, ','));
        if (is_last || !http_is_token(coding))
            return 400;
        is_last = str_equal_nocase(coding, STR("chunked"));
        if (!is_last)
            facts->is_unsupported_coding = true;
    } while (value.at != NULL);
    return 0;
}

static int expect_field(struct http_facts *facts, struct str value)
{
    if (str_equal_nocase(value, STR("100-continue")))
        facts->expects_continue = true;
    else
        facts->expects_other = true;
    return 0;
}

static const struct {
    const char *name;
    int (*take)(struct http_facts *facts, struct str value);
} framing[] = {
    { "host", host_field },
    { "content-length", length_field },
    { "transfer-encoding", coding_field },
    { "expect", expect_field },
};
enum { FRAMING_IN_TRAILER = 3, FRAMING = sizeof(framing) / sizeof(framing[0]) };

/* The index in `framing`, or FRAMING. */
static int framing_of(struct str name)
{
    int i = 0;

    while (i < FRAMING && !str_equal_nocase(name, str_of(framing[i].name)))
        i++;
    return i;
}

/* The colon stands directly behind the name (RFC 9112, 5.1), and a line that
 * begins with a space (obs-fold, 5.2) has no token for a name. */
static int split_field(struct str line, struct str *name, struct str *value)
{
    *name = str_cut(&line, ':');
    *value = str_trim(line);
    return http_is_token(*name) && line.at != NULL ? 0 : 400;
}

int http_filter_field(struct http_facts *facts, struct str line)
{
    struct str name, value;

    if (split_field(line, &name, &value) != 0)
        return 400;
    facts->fields++;
    int which = framing_of(name);
    return which < FRAMING ? framing[which].take(facts, value) : 0;
}

int http_filter_end(const struct http_facts *facts)
{
    if (facts->hosts > 1 || (facts->hosts == 0 && !facts->is_http10))
        return 400;
    if (facts->codings > 0 && (facts->content_length >= 0 || facts->is_http10))
        return 400;
    if (facts->is_unsupported_coding)
        return 501;
    return facts->expects_other ? 417 : 0;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static size_t token_length(struct str s)
{
    size_t len = 0;

    while (len < s.len && is_token_char(s.at[len]))
        len++;
    return len;
}

/* RFC 9110, 5.6.4, without the bytes over 127; 0 if it does not end. */
static size_t quoted_length(struct str s)
{
    for (size_t i = 1; i < s.len && (s.at[i] & 0x80) == 0; i++) {
        if (s.at[i] == '"')
            return i + 1;
        if (s.at[i] == '\\' && i + 1 < s.len && (s.at[i + 1] & 0x80) == 0)
            i++;
    }
    return 0;
}

static struct str behind(struct str s, size_t len)
{
    return (struct str){ s.at + len, s.len - len };
}

/* RFC 9112, 7.1.1, without the "bad" white space that only senders of trouble
 * still put there: *( ";" name [ "=" ( token / quoted-string ) ] ). */
static bool are_extensions(struct str rest)
{
    while (rest.len > 0) {
        size_t name = rest.at[0] == ';' ? token_length(behind(rest, 1)) : 0;
        if (name == 0)
            return false;
        rest = behind(rest, name + 1);
        if (rest.len == 0 || rest.at[0] != '=')
            continue;
        rest = behind(rest, 1);
        size_t value = rest.len > 0 && rest.at[0] == '"' ? quoted_length(rest) : token_length(rest);
        if (value == 0)
            return false;
        rest = behind(rest, value);
    }
    return true;
}

int http_filter_chunk_line(struct str line, size_t *digits, uint64_t *size)
{
    uint64_t value = 0;
    size_t at = 0;

    for (; at < line.len && hex_value(line.at[at]) >= 0; at++) {
        if (at == HTTP_CHUNK_DIGITS_MAX)
            return 400;
        value = value * 16 + (uint64_t)hex_value(line.at[at]);
    }
    struct str extensions = behind(line, at);
    if (at == 0 || extensions.len > HTTP_CHUNK_EXTENSION_MAX || !are_extensions(extensions))
        return 400;
    *digits = at;
    *size = value;
    return 0;
}

/* Trailers are checked and forgotten. Those that would frame or route, had they
 * been headers, are a try to have somebody merge them (RFC 9110, 6.5.1). */
int http_filter_trailer(struct str line)
{
    struct str name, value;

    if (split_field(line, &name, &value) != 0)
        return 400;
    return framing_of(name) < FRAMING_IN_TRAILER ? 400 : 0;
}
