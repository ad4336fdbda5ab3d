#include "lib/address.h"

#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/str.h"

enum { PORT_DEFAULT = 6379, DB_MAX = 65535 };

/* RFC 3986, 2.1. A '\0' would end the text early: refused. */
static int percent_decode(struct str from, char to[ADDRESS_TEXT_MAX])
{
    size_t len = 0;

    for (size_t i = 0; i < from.len; i++) {
        char c = from.at[i];
        if (len == ADDRESS_TEXT_MAX - 1)
            return FAIL_LIMIT;
        if (c == '%') {
            if (from.len - i < 3 || decode_hex(from.at + i + 1, 2, &c, 1) != OK || c == '\0')
                return FAIL_SYNTAX;
            i += 2;
        }
        to[len++] = c;
    }
    to[len] = '\0';
    return OK;
}

static int parse_number(struct str s, uint64_t max, int *out)
{
    uint64_t number;
    int err = str_parse_u64(s, max, &number);

    if (err == OK)
        *out = (int)number;
    return err;
}

/* Cuts "user:password@" off; a password alone is ":password". */
static int parse_login(struct str *rest, struct address *a)
{
    const char *at = memrchr(rest->at, '@', rest->len);

    if (at == NULL)
        return OK;
    struct str password = { .at = rest->at, .len = (size_t)(at - rest->at) };
    *rest = (struct str){ .at = at + 1, .len = rest->len - password.len - 1 };
    struct str user = str_cut(&password, ':');
    int err = percent_decode(user, a->user);
    if (err == OK)
        err = percent_decode(password, a->password);
    /* AUTH wants a password; a user alone cannot log in. */
    return err == OK && *a->user && !*a->password ? FAIL_SYNTAX : err;
}

static int parse_host(struct str s, struct address *a)
{
    struct str host;

    if (s.len > 0 && *s.at == '[') { /* RFC 3986, 3.2.2: an IPv6 address */
        const char *end = memchr(s.at, ']', s.len);
        if (end == NULL)
            return FAIL_SYNTAX;
        host = (struct str){ .at = s.at + 1, .len = (size_t)(end - s.at) - 1 };
        s = (struct str){ .at = end + 1, .len = s.len - host.len - 2 };
        if (s.len > 0 && *s.at != ':')
            return FAIL_SYNTAX;
        str_cut(&s, ':');
    } else {
        host = str_cut(&s, ':');
    }
    a->port = PORT_DEFAULT;
    int err = s.len > 0 ? parse_number(s, 65535, &a->port) : OK;
    if (err == OK && (a->port == 0 || host.len == 0))
        err = FAIL_SYNTAX;
    return err == OK ? percent_decode(host, a->host) : err;
}

static int parse_tcp(struct str rest, struct address *a)
{
    struct str authority = str_cut(&rest, '/');
    int err = parse_login(&authority, a);

    if (err == OK)
        err = parse_host(authority, a);
    if (err == OK && rest.len > 0)
        err = parse_number(rest, DB_MAX, &a->db);
    return err;
}

static int parse_unix(struct str rest, struct address *a)
{
    struct str path = str_cut(&rest, '?');
    int err = parse_login(&path, a);

    if (err == OK && (path.len == 0 || *path.at != '/'))
        err = FAIL_SYNTAX;
    if (err == OK)
        err = percent_decode(path, a->path);
    if (err == OK && strlen(a->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        err = FAIL_LIMIT;
    if (err != OK || rest.len == 0)
        return err;
    if (!str_starts(rest, STR("db=")))
        return FAIL_SYNTAX;
    rest = (struct str){ .at = rest.at + 3, .len = rest.len - 3 };
    return parse_number(rest, DB_MAX, &a->db);
}

int address_parse(const char *url, struct address *out)
{
    struct str rest = str_of(url);
    struct str scheme = str_cut(&rest, ':');
    struct address a = { 0 };

    if (str_equal_nocase(scheme, STR("rediss")))
        return FAIL_UNSUPPORTED;
    if (!str_starts(rest, STR("//")))
        return FAIL_SYNTAX;
    rest = (struct str){ .at = rest.at + 2, .len = rest.len - 2 };
    int err = FAIL_SYNTAX;
    if (str_equal_nocase(scheme, STR("redis")))
        err = parse_tcp(rest, &a);
    else if (str_equal_nocase(scheme, STR("unix")) || str_equal_nocase(scheme, STR("redis+unix")))
        err = parse_unix(rest, &a);
    if (err == OK)
        *out = a;
    return err;
}
