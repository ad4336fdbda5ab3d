#include "proto/proxy_head.h"

#include <string.h>

#include "base/err.h"

enum { HTTP_PORT = 80, HOST_MAX = 256, PORT_MAX = 65535 };

void proxy_head_init(struct proxy_head *h)
{
    *h = (struct proxy_head){ .facts.content_length = -1 };
    buf_init(&h->lines, PROXY_HEAD_MAX);
    buf_init(&h->host, HOST_MAX);
    buf_init(&h->forwarded, PROXY_HEAD_MAX + HOST_MAX);
}

void proxy_head_deinit(struct proxy_head *h)
{
    buf_deinit(&h->lines);
    buf_deinit(&h->host);
    buf_deinit(&h->forwarded);
}

static struct str behind(struct str s, size_t len)
{
    return (struct str){ s.at + len, s.len - len };
}

/* host [":" port], which has passed http_host_is_valid. Without a port: `port`, if that is
 * not 0. An empty one (RFC 3986, 3.2.3) is no port that anybody means. */
static int take_authority(struct proxy_head *h, struct str authority, uint16_t port)
{
    bool is_literal = authority.len > 0 && authority.at[0] == '[';
    const char *end =
        authority.len > 0 ? memchr(authority.at, is_literal ? ']' : ':', authority.len) : NULL;
    size_t len = end ? (size_t)(end - authority.at) : authority.len;
    struct str host = { authority.at, len }, rest = behind(authority, len);
    uint64_t number = port;

    if (is_literal) {
        host = behind(host, 1);
        rest = behind(rest, 1);
    }
    if (rest.len > 0 && str_parse_u64(behind(rest, 1), PORT_MAX, &number) != OK)
        return 400;
    if (number == 0 || host.len == 0 || !buf_append(&h->host, host.at, host.len))
        return 400;
    h->port = (uint16_t)number;
    return 0;
}

static int take_connect(struct proxy_head *h, struct str line)
{
    struct str authority = str_cut(&line, ' ');

    h->is_tunnel = true;
    h->facts.is_http10 = str_equal(line, STR("HTTP/1.0"));
    if (!h->facts.is_http10 && !str_equal(line, STR("HTTP/1.1")))
        return str_starts(line, STR("HTTP/")) ? 505 : 400;
    return http_host_is_valid(authority) ? take_authority(h, authority, 0) : 400;
}

static int take_absolute(struct proxy_head *h, struct str line)
{
    int status = http_filter_request_line(&h->facts, line, PROXY_TARGET_MAX);
    struct str scheme = STR("http://"), rest = line;
    struct http_target parts;

    if (status != 0)
        return status;
    struct str method = str_cut(&rest, ' ');
    struct str target = str_cut(&rest, ' ');
    if (target.len < scheme.len ||
        !str_equal_nocase((struct str){ target.at, scheme.len }, scheme) ||
        http_target_split(target, h->facts.method, &parts) != 0)
        return 400;
    buf_printf(&h->forwarded, "%.*s %.*s", STR_ARG(method), STR_ARG(parts.path));
    if (parts.query.len > 0)
        buf_printf(&h->forwarded, "?%.*s", STR_ARG(parts.query));
    buf_printf(&h->forwarded, " %.*s\r\nHost: %.*s\r\n", STR_ARG(rest), STR_ARG(parts.authority));
    return take_authority(h, parts.authority, HTTP_PORT);
}

static int take_request_line(struct proxy_head *h, struct str line)
{
    struct str connect = STR("CONNECT ");

    return str_starts(line, connect) ? take_connect(h, behind(line, connect.len))
                                     : take_absolute(h, line);
}

/* RFC 9110, 7.6.1, and the two that were only ever used towards a proxy. What Expect asks
 * for is between the two who hold the connection; Host is ours to say. */
static const char *const hops[] = {
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Expect",
    "Host",
    NULL,
};

/* The fields one by one: of the lines behind the request line, all but the empty one. */
static bool next_field(struct str *rest, struct str *name, struct str *line)
{
    const char *end = memchr(rest->at, '\r', rest->len);

    if (end == NULL || end == rest->at)
        return false;
    *line = (struct str){ rest->at, (size_t)(end - rest->at) };
    *rest = behind(*rest, line->len + 2);
    struct str left = *line;
    *name = str_cut(&left, ':');
    return true;
}

static bool is_named_in(struct str list, struct str name)
{
    while (list.at != NULL)
        if (str_equal_nocase(str_trim(str_cut(&list, ',')), name))
            return true;
    return false;
}

static bool is_hop(struct str fields, struct str wanted)
{
    struct str name, line;

    for (size_t i = 0; hops[i]; i++)
        if (str_equal_nocase(wanted, str_of(hops[i])))
            return true;
    while (next_field(&fields, &name, &line))
        if (str_equal_nocase(name, STR("Connection")) &&
            is_named_in(behind(line, name.len + 1), wanted))
            return true;
    return false;
}

/* A Content-Length that Connection would have dropped (RFC 9110, 7.6.1 forbids it) leaves
 * content without an end. */
static int forward_fields(struct proxy_head *h)
{
    const char *first = memchr(h->lines.data, '\n', h->lines.len);
    struct str fields = behind(buf_str(&h->lines), (size_t)(first + 1 - h->lines.data));
    struct str rest = fields, name, line;

    while (next_field(&rest, &name, &line)) {
        if (!is_hop(fields, name))
            buf_printf(&h->forwarded, "%.*s\r\n", STR_ARG(line));
        else if (str_equal_nocase(name, STR("Content-Length")))
            return 400;
    }
    buf_puts(&h->forwarded, "Connection: close\r\n\r\n");
    return h->forwarded.failed ? 431 : 0;
}

static int finish(struct proxy_head *h)
{
    int status = http_filter_end(&h->facts);

    if (status != 0)
        return status;
    /* RFC 9110, 9.3.6: a CONNECT has no content, whatever its fields say. */
    if (h->facts.codings > 0)
        return h->is_tunnel ? 400 : 411;
    if (h->is_tunnel && h->facts.content_length > 0)
        return 400;
    h->content = h->facts.content_length > 0 ? (uint64_t)h->facts.content_length : 0;
    status = h->is_tunnel ? 0 : forward_fields(h);
    h->is_whole = status == 0;
    return status;
}

static int take_line(struct proxy_head *h)
{
    struct str line = { h->lines.data + h->line_at, h->lines.len - h->line_at - 2 };
    bool is_first = h->line_at == 0;

    h->line_at = h->lines.len;
    if (is_first)
        return take_request_line(h, line);
    if (line.len == 0)
        return finish(h);
    if (h->facts.fields == PROXY_FIELDS_MAX)
        return 431;
    return http_filter_field(&h->facts, line);
}

int proxy_head_feed(struct proxy_head *h, const char *bytes, size_t len, size_t *used)
{
    size_t at = 0;
    int status = 0;

    while (at < len && status == 0 && !h->is_whole) {
        bool is_line = false;
        size_t n = 0;
        status = http_line_take(&h->lines, h->line_at, PROXY_HEAD_MAX,
                                (struct str){ bytes + at, len - at }, &n, &is_line);
        at += n;
        if (status == 0 && is_line)
            status = take_line(h);
    }
    *used = at;
    return status;
}
