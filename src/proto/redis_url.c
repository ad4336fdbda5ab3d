#include "proto/redis_url.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "proto/url.h"

enum {
    PORT = 6379,
    SENTINEL_PORT = 26379,
    PORT_MAX = 65535,
    DB_MAX = 65535,
    PART_MAX = 1024,
    SOCKET_PATH_MAX = 107, /* sun_path */
};

static int fail(struct buf *why, const char *text)
{
    buf_puts(why, text);
    return FAIL_SYNTAX;
}

static struct str skip(struct str s, size_t len)
{
    return (struct str){ s.at + len, s.len - len };
}

static int part(struct str text, char **out, struct buf *why, const char *what)
{
    return url_part(text, PART_MAX, out, why, what);
}

/* "user:password", ":password", or "user". */
static int parse_login(struct str login, struct redis_url *url, struct buf *why)
{
    struct str user = str_cut(&login, ':');
    int err = OK;

    if (login.at == NULL || login.len == 0)
        return fail(why, "it has a user but no password (redis://user:password@host)");
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
        return fail(why, "its database is not a number from 0 to 65535");
    url->db = (unsigned)db;
    return OK;
}

static int parse_query(struct str query, struct redis_url *url, struct buf *why)
{
    if (query.at == NULL)
        return OK;
    if (!str_starts(query, STR("db=")))
        return fail(why, "behind '?' only db=NUMBER is known");
    return parse_db(skip(query, 3), url, why);
}

static int parse_port(struct str text, struct redis_host *host, struct buf *why)
{
    uint64_t port;

    if (text.len == 0)
        return OK;
    if (str_parse_u64(text, PORT_MAX, &port) != OK || port == 0)
        return fail(why, "its port is not a number from 1 to 65535");
    host->port = (uint16_t)port;
    return OK;
}

/* "host", "host:port", "[::1]:port". */
static int parse_host(struct str text, struct redis_host *out, struct buf *why)
{
    struct str name, port = text;

    if (text.len > 0 && text.at[0] == '[') {
        port = skip(text, 1);
        name = str_cut(&port, ']');
        if (port.at == NULL || (port.len > 0 && port.at[0] != ':'))
            return fail(why, "its IPv6 address has no end: ']' is missing");
        str_cut(&port, ':');
    } else {
        name = str_cut(&port, ':');
        if (port.len > 0 && memchr(port.at, ':', port.len) != NULL)
            return fail(why, "an IPv6 address belongs into brackets: [::1]");
    }
    if (name.len == 0)
        return fail(why, "it has no host");
    if (parse_port(port, out, why) != OK)
        return FAIL_SYNTAX;
    return part(name, &out->name, why, "host");
}

static int parse_hosts(struct str text, uint16_t port, struct redis_url *url, struct buf *why)
{
    do {
        struct str one = str_cut(&text, ',');
        if (url->host_count == REDIS_HOSTS_MAX)
            return fail(why, "it has more than 64 hosts");
        struct redis_host *host = &url->hosts[url->host_count++];
        host->port = port;
        if (parse_host(one, host, why) != OK)
            return FAIL_SYNTAX;
    } while (text.at != NULL);
    return OK;
}

static int parse_service(struct str *path, struct redis_url *url, struct buf *why)
{
    struct str name = str_cut(path, '/');

    if (name.len == 0)
        return fail(why, "it has no service (redis+sentinel://host/SERVICE)");
    return part(name, &url->service, why, "service");
}

static int parse_network(struct str place, bool is_sentinel, struct redis_url *url, struct buf *why)
{
    struct str query = place;
    struct str path = str_cut(&query, '?');
    struct str hosts = str_cut(&path, '/');
    int err;

    url->hosts = mem_zalloc(REDIS_HOSTS_MAX * sizeof(*url->hosts));
    err = parse_hosts(hosts, is_sentinel ? SENTINEL_PORT : PORT, url, why);
    if (err == OK && is_sentinel)
        err = parse_service(&path, url, why);
    if (err == OK)
        err = parse_db(path, url, why);
    if (err == OK)
        err = parse_query(query, url, why);
    if (err == OK && url->host_count > 1 && url->service == NULL && url->db != 0)
        err = fail(why, "a cluster has no database but 0");
    return err;
}

static int parse_unix(struct str place, struct redis_url *url, struct buf *why)
{
    struct str query = place;
    struct str path = str_cut(&query, '?');

    if (path.len == 0 || path.at[0] != '/')
        return fail(why, "its socket is no absolute path");
    if (part(path, &url->path, why, "path") != OK)
        return FAIL_SYNTAX;
    if (strlen(url->path) > SOCKET_PATH_MAX)
        return fail(why, "the path of its socket is longer than 107 bytes");
    return parse_query(query, url, why);
}

/* What stands before the last '@' of the authority, if there is one. */
static struct str cut_login(struct str *place)
{
    struct str authority = *place, login = { NULL, 0 };
    const char *at;

    for (size_t i = 0; i < place->len && authority.len == place->len; i++) {
        if (place->at[i] == '/' || place->at[i] == '?')
            authority.len = i;
    }
    at = authority.len > 0 ? memrchr(authority.at, '@', authority.len) : NULL;
    if (at != NULL) {
        login = (struct str){ place->at, (size_t)(at - place->at) };
        *place = skip(*place, login.len + 1);
    }
    return login;
}

static const struct scheme {
    const char *name;
    bool is_unix, is_sentinel, is_tls;
} schemes[] = {
    { "redis", .is_unix = false },
    { "rediss", .is_tls = true },
    { "unix", .is_unix = true },
    { "redis+unix", .is_unix = true },
    { "redis+sentinel", .is_sentinel = true },
    { "rediss+sentinel", .is_sentinel = true, .is_tls = true },
};

static const struct scheme *cut_scheme(struct str *place)
{
    struct str name = url_cut_scheme(place);

    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
        if (str_equal_nocase(name, str_of(schemes[i].name)))
            return &schemes[i];
    return NULL;
}

int redis_url_parse(const char *text, struct redis_url *out, struct buf *why)
{
    struct str place = str_of(text);
    const struct scheme *scheme = cut_scheme(&place);
    struct redis_url url = { 0 };
    int err = OK;

    if (scheme == NULL)
        return fail(why, "it begins with none of redis://, rediss://, redis+unix://, unix://, "
                         "redis+sentinel:// and rediss+sentinel://");
    url.is_tls = scheme->is_tls;
    struct str login = cut_login(&place);
    if (login.at != NULL)
        err = parse_login(login, &url, why);
    if (err == OK)
        err = scheme->is_unix ? parse_unix(place, &url, why)
                              : parse_network(place, scheme->is_sentinel, &url, why);
    if (err == OK)
        *out = url;
    else
        redis_url_deinit(&url);
    return err;
}

void redis_url_forget_login(struct redis_url *url)
{
    if (url->password != NULL)
        explicit_bzero(url->password, strlen(url->password));
    mem_free(url->user);
    mem_free(url->password);
    url->user = url->password = NULL;
}

void redis_url_deinit(struct redis_url *url)
{
    redis_url_forget_login(url);
    for (size_t i = 0; i < url->host_count; i++)
        mem_free(url->hosts[i].name);
    mem_free(url->hosts);
    mem_free(url->path);
    mem_free(url->service);
    *url = (struct redis_url){ 0 };
}

static char *copy_text(const char *text)
{
    return text != NULL ? mem_strdup(text) : NULL;
}

static void copy_hosts(const struct redis_host *hosts, size_t count, struct redis_url *out)
{
    out->host_count = count;
    out->hosts = count > 0 ? mem_zalloc(count * sizeof(*hosts)) : NULL;
    for (size_t i = 0; i < count; i++)
        out->hosts[i] = (struct redis_host){ mem_strdup(hosts[i].name), hosts[i].port };
}

static void copy_login(const struct redis_url *url, struct redis_url *out)
{
    out->user = copy_text(url->user);
    out->password = copy_text(url->password);
    out->db = url->db;
    out->is_tls = url->is_tls;
}

void redis_url_copy(const struct redis_url *url, struct redis_url *out)
{
    *out = (struct redis_url){ .path = copy_text(url->path), .service = copy_text(url->service) };
    copy_login(url, out);
    copy_hosts(url->hosts, url->host_count, out);
}

void redis_url_server(const struct redis_url *url, const char *host, uint16_t port,
                      struct redis_url *out)
{
    const struct redis_host one = { (char *)host, port };

    *out = (struct redis_url){ 0 };
    copy_login(url, out);
    copy_hosts(&one, 1, out);
}

static void describe_hosts(const struct redis_url *url, struct buf *out)
{
    for (size_t i = 0; i < url->host_count; i++) {
        const struct redis_host *host = &url->hosts[i];
        bool is_ipv6 = strchr(host->name, ':') != NULL;
        buf_printf(out, is_ipv6 ? "%s[%s]:%u" : "%s%s:%u", i > 0 ? "," : "", host->name,
                   host->port);
    }
}

void redis_url_describe(const struct redis_url *url, struct buf *out)
{
    buf_puts(out, url->is_tls ? "rediss" : "redis");
    buf_puts(out, url->path ? "+unix" : url->service ? "+sentinel" : "");
    buf_puts(out, "://");
    if (url->user != NULL) {
        url_encode(str_of(url->user), false, out);
        buf_putc(out, '@');
    }
    if (url->path != NULL) {
        buf_printf(out, "%s?db=%u", url->path, url->db);
        return;
    }
    describe_hosts(url, out);
    if (url->service != NULL) {
        buf_putc(out, '/');
        url_encode(str_of(url->service), false, out);
    }
    buf_printf(out, "/%u", url->db);
}
