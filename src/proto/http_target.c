#include <arpa/inet.h>
#include <string.h>

#include "base/err.h"
#include "proto/http_filter.h"

enum { PORT_MAX = 65535 };

static struct str str_from(struct str s, size_t at)
{
    return (struct str){ s.at + at, s.len - at };
}

/* RFC 3986 allows a comma in a name. Two Host lines folded into one have one
 * too, and no name in use does: refused. */
static bool is_name_char(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
        return true;
    return c != '\0' && strchr("-._~!$&'()*+;=", c) != NULL;
}

static bool is_hex(char c)
{
    return c != '\0' && strchr("0123456789abcdefABCDEF", c) != NULL;
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (is_name_char(s.at[i]))
            continue;
        if (s.at[i] != '%' || s.len - i < 3 || !is_hex(s.at[i + 1]) || !is_hex(s.at[i + 2]))
            return false;
        i += 2;
    }
    return s.len > 0;
}

static bool is_ipv6(struct str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    return strlen(text) == s.len && inet_pton(AF_INET6, text, &address) == 1;
}

/* Behind the host: nothing, or ":" and a port that may be empty. */
static bool is_port(struct str s)
{
    uint64_t port;

    if (s.len <= 1)
        return s.len == 0 || s.at[0] == ':';
    return s.at[0] == ':' && str_parse_u64(str_from(s, 1), PORT_MAX, &port) == OK;
}

bool http_host_is_valid(struct str host)
{
    bool is_literal = host.len > 0 && host.at[0] == '[';
    const char *end = host.len > 0 ? memchr(host.at, is_literal ? ']' : ':', host.len) : NULL;
    size_t len = end ? (size_t)(end - host.at) : host.len;

    if (!is_literal)
        return is_name((struct str){ host.at, len }) && is_port(str_from(host, len));
    return end != NULL && is_ipv6((struct str){ host.at + 1, len - 1 }) &&
           is_port(str_from(host, len + 1));
}

static struct str without_scheme(struct str target)
{
    static const char *const schemes[] = { "http://", "https://" };

    for (int i = 0; i < 2; i++) {
        struct str scheme = str_of(schemes[i]);
        if (target.len >= scheme.len &&
            str_equal_nocase((struct str){ target.at, scheme.len }, scheme))
            return str_from(target, scheme.len);
    }
    return (struct str){ 0 };
}

/* authority-form is CONNECT's alone, which we do not know. */
int http_target_split(struct str target, enum http_method method, struct http_target *out)
{
    struct http_target parts = { 0 };
    struct str rest = target;

    if (str_equal(target, STR("*"))) {
        *out = (struct http_target){ .path = target, .query = STR("") };
        return method == HTTP_OPTIONS ? 0 : 400;
    }
    if (target.len > 0 && target.at[0] != '/') {
        rest = without_scheme(target);
        size_t len = 0;
        while (len < rest.len && rest.at[len] != '/' && rest.at[len] != '?')
            len++;
        parts.authority = (struct str){ rest.at, len };
        if (rest.at == NULL || !http_host_is_valid(parts.authority))
            return 400;
        rest = str_from(rest, len);
    }
    parts.path = str_cut(&rest, '?');
    parts.query = rest.at ? rest : STR("");
    if (parts.path.len == 0)
        parts.path = STR("/");
    *out = parts;
    return 0;
}
