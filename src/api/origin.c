/* Whose page is asking. Browsers say so in Origin, and only they have to: this
 * protects people with browsers, tokens protect the server.
 *
 *   reading    every answer says which pages may read it (the Fetch standard, 3.2)
 *   changing   what is not GET or HEAD, and every WebSocket, is refused to a page
 *              that is not allowed: browsers ask for no leave before those
 *   naming     a server that asks for no token hears only its own names, since
 *              a stranger's name may lead here too (DNS rebinding), and that
 *              stranger's page is then of the origin that it asks
 *
 * The router calls it for each request, whatever its route. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum { REQUESTED_MAX = 1024, PORT_MAX = 65535, SAID_MAX = 256, TELL_EVERY_MS = 5000 };

/* Of an origin, or of a Host without its scheme. */
struct site {
    struct str scheme, name;
    uint64_t port; /* 0: neither said nor known from the scheme */
};

static bool is_web(struct str scheme)
{
    return str_equal_nocase(scheme, STR("https")) || str_equal_nocase(scheme, STR("http"));
}

static bool read_authority(struct str authority, struct site *out)
{
    size_t at = authority.len;

    while (at > 0 && authority.at[at - 1] != ':' && authority.at[at - 1] != ']')
        at--;
    bool has_port = at > 0 && authority.at[at - 1] == ':';
    struct str port = { authority.at + at, authority.len - at };
    out->name = has_port ? (struct str){ authority.at, at - 1 } : authority;
    if (!has_port || port.len == 0)
        return true;
    return str_parse_u64(port, PORT_MAX, &out->port) == OK;
}

/* "https://host:port"; what follows a slash is passed over. */
static bool read_origin(struct str text, struct site *out)
{
    struct str rest = text;

    *out = (struct site){ .scheme = str_cut(&rest, ':') };
    if (out->scheme.len == 0 || rest.at == NULL || !str_starts(rest, STR("//")))
        return false;
    rest = (struct str){ rest.at + 2, rest.len - 2 };
    if (!read_authority(str_cut(&rest, '/'), out) || out->name.len == 0)
        return false;
    if (out->port == 0 && is_web(out->scheme))
        out->port = str_equal_nocase(out->scheme, STR("https")) ? 443 : 80;
    return true;
}

static bool is_same_origin(const struct site *a, const struct site *b)
{
    return a->port == b->port && str_equal_nocase(a->name, b->name) &&
           str_equal_nocase(a->scheme, b->scheme);
}

/* Behind a proxy that ends TLS the scheme is not known here: a Host without a
 * port is that of either scheme. */
static bool is_host_of(const struct site *origin, struct str host)
{
    struct site asked = { 0 };
    uint64_t usual = str_equal_nocase(origin->scheme, STR("https")) ? 443 : 80;

    return is_web(origin->scheme) && read_authority(host, &asked) &&
           str_equal_nocase(origin->name, asked.name) &&
           origin->port == (asked.port ? asked.port : usual);
}

static bool is_public_url(const struct api_settings *settings, const struct site *origin)
{
    struct site site;

    return read_origin(str_of(settings->public_url), &site) && is_same_origin(origin, &site);
}

static bool is_listed(const struct option_list *list, const struct site *origin)
{
    struct site site;

    for (size_t i = 0; i < list->count; i++)
        if (read_origin(str_of(list->items[i]), &site) && is_same_origin(origin, &site))
            return true;
    return false;
}

static bool allows_any(const struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (str_equal(str_of(list->items[i]), STR("*")))
            return true;
    return false;
}

/* RFC 6761, 6.3: what ends so leads to this machine, and is nobody's to give away. */
static bool ends_in_localhost(struct str name)
{
    size_t len = STR(".localhost").len;

    return name.len > len &&
           str_equal_nocase((struct str){ name.at + name.len - len, len }, STR(".localhost"));
}

/* "127.example.com" is somebody's name, not an address. */
static bool is_local_name(struct str name)
{
    if (str_equal_nocase(name, STR("localhost")) || str_equal(name, STR("[::1]")) ||
        ends_in_localhost(name))
        return true;
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] != '.' && (name.at[i] < '0' || name.at[i] > '9'))
            return false;
    return str_starts(name, STR("127."));
}

/* A proxy on this machine speaks for somebody who may be anywhere. No client of
 * today speaks HTTP/1.0 but nginx, which need not say anything else. */
static bool is_forwarded(const struct http_request *request)
{
    static const char *const names[] = { "Forwarded", "X-Forwarded-For", "X-Real-IP", "Via" };

    if (request->is_http10)
        return true;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (http_header(request, names[i]).at != NULL)
            return true;
    return false;
}

static bool is_from_here(const struct call *c)
{
    const struct http_request *request = exchange_request(c->x);
    struct site asked = { 0 };

    return exchange_is_loopback(c->x) && read_authority(request->host, &asked) &&
           is_local_name(asked.name) && !is_forwarded(request);
}

static enum origin_kind judge(const struct call *c)
{
    const struct http_request *request = exchange_request(c->x);
    const struct api_settings *settings = c->api->settings;
    struct str origin = http_header(request, "Origin");
    struct site site;

    if (origin.at == NULL)
        return ORIGIN_NONE;
    if (read_origin(origin, &site)) {
        if (is_host_of(&site, request->host) || is_public_url(settings, &site))
            return ORIGIN_OWN;
        if (is_listed(settings->origins, &site))
            return ORIGIN_LISTED;
        if (settings->origins->count == 0 && is_web(site.scheme) && is_local_name(site.name) &&
            is_from_here(c))
            return ORIGIN_LOCAL;
    }
    return allows_any(settings->origins) ? ORIGIN_ANY : ORIGIN_FOREIGN;
}

bool origin_is_at_home(const struct call *c)
{
    enum origin_kind kind = c->origin;

    return is_from_here(c) && (kind == ORIGIN_NONE || kind == ORIGIN_OWN || kind == ORIGIN_LOCAL);
}

/* As far as it is worth repeating. */
static void said(struct str value, char out[SAID_MAX])
{
    snprintf(out, SAID_MAX, "%.*s", value.len < SAID_MAX ? (int)value.len : SAID_MAX - 1,
             value.at ? value.at : "");
}

/* A page's browser keeps to itself why it was refused, so whoever runs the server
 * is told; now and then, since a stranger may ask as often as they like. */
static void tell_refusal(const struct call *c, const char *hint)
{
    static atomic_uint_fast64_t next_ms;
    const struct http_request *request = exchange_request(c->x);
    uint64_t now = clock_mono_ms();
    uint_fast64_t next = atomic_load(&next_ms);
    char origin[SAID_MAX], host[SAID_MAX];

    if (now < next || !atomic_compare_exchange_strong(&next_ms, &next, now + TELL_EVERY_MS))
        return;
    said(http_header(request, "Origin"), origin);
    said(request->host, host);
    log_warn("page_refused", LOG_S("origin", origin), LOG_S("host", host), LOG_S("hint", hint));
}

/* Reading */

static bool is_token(struct str s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_plain && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return s.len > 0;
}

/* What clients of other makes send along is theirs to know: nothing here reads
 * a header that it would be dangerous to allow. */
static void allow_requested_headers(struct call *c)
{
    struct str rest = http_header(exchange_request(c->x), "Access-Control-Request-Headers");
    struct buf value;

    buf_init(&value, REQUESTED_MAX + 1);
    while (rest.at != NULL) {
        struct str name = str_trim(str_cut(&rest, ','));
        if (is_token(name) && value.len + name.len + 2 <= REQUESTED_MAX)
            buf_printf(&value, "%s%.*s", value.len ? ", " : "", STR_ARG(name));
    }
    exchange_header(c->x, "Vary", "Access-Control-Request-Headers");
    if (value.len > 0)
        exchange_header(c->x, "Access-Control-Allow-Headers", buf_text(&value));
    buf_deinit(&value);
}

static void allow_origin(struct call *c)
{
    struct str origin = http_header(exchange_request(c->x), "Origin");
    struct buf value;

    buf_init(&value, HTTP_HEAD_MAX);
    buf_append(&value, origin.at, origin.len);
    exchange_header(c->x, "Access-Control-Allow-Origin", buf_text(&value));
    exchange_header(c->x, "Access-Control-Allow-Credentials", "true");
    buf_deinit(&value);
}

static bool name_readers(struct call *c, bool is_public)
{
    const struct option_list *list = c->api->settings->origins;

    switch (c->origin) {
    case ORIGIN_OWN:
    case ORIGIN_LISTED:
    case ORIGIN_LOCAL: allow_origin(c); return true;
    case ORIGIN_NONE:
    case ORIGIN_FOREIGN:
        if (!allows_any(list) && !(is_public && list->count == 0))
            return false;
        break;
    case ORIGIN_ANY: break;
    }
    exchange_header(c->x, "Access-Control-Allow-Origin", "*");
    return true;
}

bool origin_may_read(struct call *c, bool is_public)
{
    c->origin = judge(c);
    exchange_header(c->x, "Vary", "Origin");
    if (!name_readers(c, is_public)) {
        if (c->origin == ORIGIN_FOREIGN)
            tell_refusal(c, "--cors-origin");
        return false;
    }
    if (exchange_request(c->x)->method == HTTP_OPTIONS) {
        allow_requested_headers(c);
        exchange_header(c->x, "Access-Control-Max-Age", "600");
    } else {
        exchange_header(c->x, "Access-Control-Expose-Headers",
                        "Accept-Ranges, Allow, Content-Length, Content-Range, Date, ETag, "
                        "Location, Retry-After, WWW-Authenticate");
    }
    return true;
}

/* Naming, changing */

static bool is_name_of(const char *origin, struct str name)
{
    struct site site;

    return read_origin(str_of(origin), &site) && str_equal_nocase(site.name, name);
}

static bool is_own_host(const struct call *c)
{
    const struct api_settings *settings = c->api->settings;
    struct site asked = { 0 };

    if (!settings->guards_host || allows_any(settings->origins))
        return true;
    if (!read_authority(exchange_request(c->x)->host, &asked))
        return false;
    /* No browser leaves it out. */
    if (asked.name.len == 0 || is_local_name(asked.name) ||
        is_name_of(settings->public_url, asked.name))
        return true;
    for (size_t i = 0; i < settings->origins->count; i++)
        if (is_name_of(settings->origins->items[i], asked.name))
            return true;
    return false;
}

static bool is_harmless(const struct http_request *request)
{
    return (request->method & (HTTP_GET | HTTP_HEAD | HTTP_OPTIONS)) && !request->wants_upgrade;
}

static void refuse_host(struct call *c)
{
    char host[SAID_MAX];

    said(exchange_request(c->x)->host, host);
    tell_refusal(c, "--public-url");
    reply_error(c->x, 421, "host_not_allowed", NULL,
                "this server asks for no token and is not called \"%s\": if it is, say so "
                "with --public-url",
                host);
}

static void refuse_origin(struct call *c)
{
    char origin[SAID_MAX];

    said(http_header(exchange_request(c->x), "Origin"), origin);
    reply_error(c->x, 403, "origin_not_allowed", NULL,
                "pages of \"%s\" may not do this: allow them with --cors-origin", origin);
}

bool origin_may_enter(struct call *c)
{
    if (!is_own_host(c)) {
        refuse_host(c);
        return false;
    }
    if (!is_harmless(exchange_request(c->x)) && c->origin == ORIGIN_FOREIGN) {
        refuse_origin(c);
        return false;
    }
    return true;
}
