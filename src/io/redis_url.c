#include <openssl/crypto.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis.h"
#include "proto/url.h"

enum { PORT = 6379, PORT_MAX = 65535, DB_MAX = 65535, PART_MAX = 1024, SOCKET_PATH_MAX = 107 };

static int fail(struct buf *why, int err, const char *text)
{
    buf_puts(why, text);
    return err;
}

/* Percent-decoded. What is not UTF-8, or has a NUL, is refused. */
static int part(struct str text, char **out, struct buf *why, const char *what)
{
    struct buf decoded;
    int err;

    buf_init(&decoded, PART_MAX);
    err = url_decode(text, false, &decoded);
    if (err == OK)
        *out = mem_strdup(buf_text(&decoded));
    else
        buf_printf(why, "its %s %s", what,
                   err == FAIL_LIMIT ? "is too long" : "has a broken percent-encoding");
    if (decoded.data != NULL)
        OPENSSL_cleanse(decoded.data, decoded.len);
    buf_deinit(&decoded);
    return err;
}

/* "user:password", ":password", or "user". */
static int parse_login(struct str login, struct redis_url *url, struct buf *why)
{
    struct str user = str_cut(&login, ':');
    int err = OK;

    if (login.at == NULL || login.len == 0)
        return fail(why, FAIL_SYNTAX, "it has a user but no password (redis://user:password@host)");
    if (user.len > 0)
        err = part(user, &url->user, why, "user");
    if (err == OK)
        err = part(login, &url->password, why, "password");
    return err;
}

static int parse_db(struct str text, struct redis_url *url, struct buf *why)
{
    uint64_t db;

    if (text.len == 0)
        return OK;
    if (str_parse_u64(text, DB_MAX, &db) != OK)
        return fail(why, FAIL_SYNTAX, "its database is not a number from 0 to 65535");
    url->db = (unsigned)db;
    return OK;
}

static int parse_port(struct str text, struct redis_url *url, struct buf *why)
{
    uint64_t port;

    if (str_parse_u64(text, PORT_MAX, &port) != OK || port == 0)
        return fail(why, FAIL_SYNTAX, "its port is not a number from 1 to 65535");
    url->port = (uint16_t)port;
    return OK;
}

/* "host", "host:port", "[::1]:port". */
static int parse_host(struct str text, struct redis_url *url, struct buf *why)
{
    struct str host, rest = text;

    if (text.len > 0 && text.at[0] == '[') {
        rest = (struct str){ text.at + 1, text.len - 1 };
        host = str_cut(&rest, ']');
        if (rest.at == NULL || (rest.len > 0 && rest.at[0] != ':'))
            return fail(why, FAIL_SYNTAX, "its IPv6 address has no end: ']' is missing");
        if (rest.len > 0)
            rest = (struct str){ rest.at + 1, rest.len - 1 };
        else
            rest.at = NULL;
    } else {
        host = str_cut(&rest, ':');
        if (rest.at != NULL && memchr(rest.at, ':', rest.len) != NULL)
            return fail(why, FAIL_SYNTAX, "an IPv6 address belongs into brackets: [::1]");
    }
    if (host.len == 0)
        return fail(why, FAIL_SYNTAX, "it has no host");
    url->port = PORT;
    if (rest.at != NULL && parse_port(rest, url, why) != OK)
        return FAIL_SYNTAX;
    return part(host, &url->host, why, "host");
}

static int parse_tcp(struct str place, struct redis_url *url, struct buf *why)
{
    struct str path = place;
    struct str host = str_cut(&path, '/');
    int err = parse_host(host, url, why);

    if (err == OK && path.at != NULL)
        err = parse_db(path, url, why);
    return err;
}

static int parse_unix(struct str place, struct redis_url *url, struct buf *why)
{
    struct str query = place;
    struct str path = str_cut(&query, '?');

    if (path.len == 0 || path.at[0] != '/')
        return fail(why, FAIL_SYNTAX, "its socket is no absolute path");
    if (part(path, &url->path, why, "path") != OK)
        return FAIL_SYNTAX;
    if (strlen(url->path) > SOCKET_PATH_MAX)
        return fail(why, FAIL_SYNTAX, "the path of its socket is longer than 107 bytes");
    if (query.at == NULL)
        return OK;
    if (!str_starts(query, STR("db=")))
        return fail(why, FAIL_SYNTAX, "behind '?' only db=NUMBER is known");
    return parse_db((struct str){ query.at + 3, query.len - 3 }, url, why);
}

/* What stands before the last '@' of the authority, if there is one. */
static struct str cut_login(struct str *place)
{
    size_t end = 0;
    struct str login = { NULL, 0 };

    while (end < place->len && place->at[end] != '/' && place->at[end] != '?')
        end++;
    for (size_t i = end; i > 0; i--) {
        if (place->at[i - 1] != '@')
            continue;
        login = (struct str){ place->at, i - 1 };
        *place = (struct str){ place->at + i, place->len - i };
        break;
    }
    return login;
}

int redis_url_parse(const char *text, struct redis_url *out, struct buf *why)
{
    struct str place = str_of(text);
    struct redis_url url = { 0 };
    bool is_unix = str_starts(place, STR("redis+unix://"));
    size_t skip = is_unix ? strlen("redis+unix://") : strlen("redis://");
    int err = OK;

    if (str_starts(place, STR("rediss://")))
        return fail(why, FAIL_UNSUPPORTED, "TLS to Redis (rediss) is not supported yet");
    if (!is_unix && !str_starts(place, STR("redis://")))
        return fail(why, FAIL_SYNTAX, "it begins neither with redis:// nor with redis+unix://");
    place = (struct str){ place.at + skip, place.len - skip };
    struct str login = cut_login(&place);
    if (login.at != NULL)
        err = parse_login(login, &url, why);
    if (err == OK)
        err = is_unix ? parse_unix(place, &url, why) : parse_tcp(place, &url, why);
    if (err == OK)
        *out = url;
    else
        redis_url_deinit(&url);
    return err;
}

void redis_url_deinit(struct redis_url *url)
{
    if (url->password != NULL)
        OPENSSL_cleanse(url->password, strlen(url->password));
    mem_free(url->host);
    mem_free(url->path);
    mem_free(url->user);
    mem_free(url->password);
    *url = (struct redis_url){ 0 };
}

void redis_url_describe(const struct redis_url *url, struct buf *out)
{
    buf_puts(out, url->path != NULL ? "redis+unix://" : "redis://");
    if (url->user != NULL) {
        url_encode(str_of(url->user), false, out);
        buf_putc(out, '@');
    }
    if (url->path != NULL)
        buf_printf(out, "%s?db=%u", url->path, url->db);
    else if (strchr(url->host, ':') != NULL)
        buf_printf(out, "[%s]:%u/%u", url->host, url->port, url->db);
    else
        buf_printf(out, "%s:%u/%u", url->host, url->port, url->db);
}
