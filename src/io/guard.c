#include "io/guard.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/guard_internal.h"
#include "proto/address.h"

enum { OWN_MAX = 256, URL_MAX_LEN = 8 * 1024 };

struct guard {
    struct guard_list deny, allow, only;
    struct ip *own; /* this machine's, as of guard_new */
    size_t own_count;
};

static void note_own_addresses(struct guard *g)
{
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) != 0)
        return;
    g->own = mem_zalloc(OWN_MAX * sizeof(g->own[0]));
    for (struct ifaddrs *i = all; i != NULL && g->own_count < OWN_MAX; i = i->ifa_next) {
        struct sockaddr_storage address = { 0 };
        if (i->ifa_addr == NULL)
            continue;
        if (i->ifa_addr->sa_family == AF_INET)
            memcpy(&address, i->ifa_addr, sizeof(struct sockaddr_in));
        else if (i->ifa_addr->sa_family == AF_INET6)
            memcpy(&address, i->ifa_addr, sizeof(struct sockaddr_in6));
        else
            continue;
        ip_of(&address, &g->own[g->own_count++]);
    }
    freeifaddrs(all);
}

int guard_new(const struct guard_rules *rules, struct guard **out, struct buf *why)
{
    struct guard *g = mem_new(struct guard);
    int err = guard_list_read(&g->deny, "deny", rules->deny, rules->deny_count, why);

    if (err == OK)
        err = guard_list_read(&g->allow, "allow", rules->allow, rules->allow_count, why);
    if (err == OK)
        err = guard_list_read(&g->only, "only", rules->only, rules->only_count, why);
    if (err != OK) {
        guard_free(g);
        return err;
    }
    note_own_addresses(g);
    *out = g;
    return OK;
}

void guard_free(struct guard *g)
{
    if (g == NULL)
        return;
    guard_list_deinit(&g->deny);
    guard_list_deinit(&g->allow);
    guard_list_deinit(&g->only);
    mem_free(g->own);
    mem_free(g);
}

static const char *purpose_of(const struct guard *g, const struct ip *address)
{
    const char *purpose = address_purpose(address->bytes);

    for (size_t i = 0; i < g->own_count && purpose == NULL; i++)
        if (memcmp(&g->own[i], address, sizeof(*address)) == 0)
            purpose = "this machine";
    return purpose;
}

static void put_target(struct buf *why, const struct guard_target *t)
{
    char text[INET6_ADDRSTRLEN] = "";

    if (t->has_address && ip_is_ipv4(&t->address))
        inet_ntop(AF_INET, t->address.bytes + 12, text, sizeof(text));
    else if (t->has_address)
        inet_ntop(AF_INET6, t->address.bytes, text, sizeof(text));
    if (t->name.len > 0 && t->has_address)
        buf_printf(why, "%.*s, at %s,", STR_ARG(t->name), text);
    else if (t->name.len > 0)
        buf_printf(why, "%.*s", STR_ARG(t->name));
    else
        buf_puts(why, text);
}

/* Before its name was looked up, nothing is refused that an address could still admit. */
static const char *objection(const struct guard *g, const struct guard_target *t)
{
    if (guard_list_has(&g->deny, t))
        return "denied here";
    if (g->only.count > 0 && !guard_list_has(&g->only, t) &&
        (t->has_address || !guard_list_has_nets(&g->only, t->port)))
        return "not among the hosts that are admitted here";
    if (!t->has_address || guard_list_has(&g->allow, t))
        return NULL;
    return purpose_of(g, &t->address);
}

static bool judge(const struct guard *g, const struct guard_target *t, struct buf *why)
{
    const char *what = objection(g, t);

    if (what == NULL)
        return true;
    if (why != NULL) {
        put_target(why, t);
        buf_printf(why, " is %s", what);
    }
    return false;
}

static struct str name_of(const char *host)
{
    struct str name = str_of(host);

    return name.len > 1 && name.at[name.len - 1] == '.' ? (struct str){ name.at, name.len - 1 }
                                                        : name;
}

static bool read_address(struct str text, struct ip *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct network one;

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.at, '/', text.len) != NULL)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    if (network_parse(copy, &one) != OK)
        return false;
    *out = one.first;
    return true;
}

/* One that libcurl would only look up in another form is not what the rules name. */
static bool is_nameable(struct str host)
{
    struct ip address;

    return host.len == 0 || read_address(host, &address) || guard_name_is_valid(host);
}

bool guard_judge(const struct guard *g, const char *host, const struct sockaddr *to,
                 struct buf *why)
{
    struct guard_target t = { .name = name_of(host), .has_address = true };
    struct sockaddr_storage address = { 0 };

    if (!is_nameable(t.name)) {
        if (why != NULL)
            buf_puts(why, "that is no host's name");
        return false;
    }
    if (to->sa_family == AF_INET) {
        memcpy(&address, to, sizeof(struct sockaddr_in));
        t.port = ntohs(((const struct sockaddr_in *)&address)->sin_port);
    } else if (to->sa_family == AF_INET6) {
        memcpy(&address, to, sizeof(struct sockaddr_in6));
        t.port = ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
    } else {
        if (why != NULL)
            buf_puts(why, "that is no internet address");
        return false;
    }
    ip_of(&address, &t.address);
    return judge(g, &t, why);
}

bool guard_admits(const struct guard *g, const char *host, const struct sockaddr *to)
{
    return guard_judge(g, host, to, NULL);
}

/* RFC 6761, 6.3: it is this machine, whatever a server of names says. */
static bool is_localhost(struct str name)
{
    struct str below = STR(".localhost");

    if (str_equal_nocase(name, STR("localhost")))
        return true;
    if (name.len <= below.len)
        return false;
    return str_equal_nocase((struct str){ name.at + name.len - below.len, below.len }, below);
}

int guard_check_host(const struct guard *g, const char *host, uint16_t port, struct buf *why)
{
    struct guard_target t = { .name = name_of(host), .port = port };

    t.has_address = read_address(t.name, &t.address);
    if (!t.has_address && !guard_name_is_valid(t.name)) {
        buf_puts(why, "that is no host's name (one outside of ASCII is written xn--...)");
        return FAIL_SYNTAX;
    }
    if (!t.has_address && is_localhost(t.name))
        t.has_address = read_address(STR("127.0.0.1"), &t.address);
    else if (t.has_address)
        t.name = STR("");
    return judge(g, &t, why) ? OK : FAIL_DENIED;
}

/* What two parsers of URLs have been seen to read as different hosts: white space, which
 * some drop, backslashes, which browsers take for slashes, more or fewer slashes than two. */
static bool is_plain(const char *url)
{
    const char *slashes = strstr(url, "://");

    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '\\')
            return false;
    return slashes != NULL && slashes[3] != '/' && slashes[3] != '\0' && strlen(url) <= URL_MAX_LEN;
}

/* By the parser that libcurl itself will use: its host is the one that is connected to. */
static int read_url(CURLU *parsed, const char *url, char **host, char **port)
{
    char *scheme = NULL, *zone = NULL;
    int err = FAIL_SYNTAX;

    if (!is_plain(url) || curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK)
        return FAIL_SYNTAX;
    if (curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
        curl_url_get(parsed, CURLUPART_ZONEID, &zone, 0) != CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_HOST, host, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_PORT, port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        err = OK;
    curl_free(scheme);
    curl_free(zone);
    return err;
}

static int check_parsed(const struct guard *g, char *host, const char *port, struct buf *why)
{
    size_t len = strlen(host);
    uint64_t number = 0;

    if (str_parse_u64(str_of(port), UINT16_MAX, &number) != OK || number == 0) {
        buf_puts(why, "that is no port");
        return FAIL_SYNTAX;
    }
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        host++;
    }
    return guard_check_host(g, host, (uint16_t)number, why);
}

int guard_check_url(const struct guard *g, const char *url, struct buf *why)
{
    CURLU *parsed = curl_url();
    char *host = NULL, *port = NULL;
    int err = parsed == NULL ? FAIL_NOMEM : read_url(parsed, url, &host, &port);

    if (err == OK)
        err = check_parsed(g, host, port, why);
    else
        buf_puts(why, "that is no plain http or https URL");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parsed);
    return err;
}
