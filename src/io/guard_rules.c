#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/guard_internal.h"

enum { NAME_MAX_LEN = 253, LABEL_MAX_LEN = 63, PORT_MAX = 65535, NET_TEXT_MAX = 64 };

static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_';
}

static bool is_label(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_name_char(s.at[i]))
            return false;
    return s.len > 0 && s.len <= LABEL_MAX_LEN;
}

static bool is_digits(struct str s, const char *digits)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] == '\0' || strchr(digits, s.at[i]) == NULL)
            return false;
    return true;
}

static bool is_number(struct str s)
{
    if (s.len >= 2 && s.at[0] == '0' && (s.at[1] | 0x20) == 'x')
        return is_digits((struct str){ s.at + 2, s.len - 2 }, "0123456789abcdefABCDEF");
    return is_digits(s, "0123456789");
}

bool guard_name_is_valid(struct str name)
{
    struct str last = STR("");

    if (name.len > NAME_MAX_LEN || name.len == 0)
        return false;
    while (name.at != NULL) {
        last = str_cut(&name, '.');
        if (!is_label(last))
            return false;
    }
    return !is_number(last);
}

/* "[fd00::/8]:443", "10.0.0.0/8:80", "::1", "example.com:80". False for a port that is none. */
static bool cut_port(struct str *text, uint16_t *out)
{
    const char *colon = text->len > 0 ? memchr(text->at, ':', text->len) : NULL;
    uint64_t port = 0;
    struct str rest;

    if (text->len > 0 && text->at[0] == '[') {
        const char *end = memchr(text->at, ']', text->len);
        if (end == NULL)
            return false;
        rest = (struct str){ end + 1, text->len - (size_t)(end + 1 - text->at) };
        *text = (struct str){ text->at + 1, (size_t)(end - text->at) - 1 };
        if (rest.len == 0)
            return true;
        if (rest.at[0] != ':')
            return false;
    } else {
        if (colon == NULL || memchr(colon + 1, ':', text->len - (size_t)(colon + 1 - text->at)))
            return true; /* none, or a bare IPv6 address */
        rest = (struct str){ colon, text->len - (size_t)(colon - text->at) };
        text->len = (size_t)(colon - text->at);
    }
    rest = (struct str){ rest.at + 1, rest.len - 1 };
    if (str_parse_u64(rest, PORT_MAX, &port) != OK || port == 0)
        return false;
    *out = (uint16_t)port;
    return true;
}

static struct str without_last_dot(struct str s)
{
    return s.len > 1 && s.at[s.len - 1] == '.' ? (struct str){ s.at, s.len - 1 } : s;
}

static int read_rule(const char *text, struct guard_rule *out)
{
    struct str host = str_trim(str_of(text));
    char net[NET_TEXT_MAX];

    *out = (struct guard_rule){ 0 };
    if (!cut_port(&host, &out->port))
        return FAIL_SYNTAX;
    if (host.len < sizeof(net)) {
        memcpy(net, host.at, host.len);
        net[host.len] = '\0';
        if (network_parse(net, &out->net) == OK)
            return OK;
    }
    out->with_below = host.len > 1 && host.at[0] == '.';
    if (out->with_below)
        host = (struct str){ host.at + 1, host.len - 1 };
    host = without_last_dot(host);
    if (!guard_name_is_valid(host))
        return FAIL_SYNTAX;
    out->name = mem_strndup(host.at, host.len);
    return OK;
}

int guard_list_read(struct guard_list *list, const char *name, const char *const *texts,
                    size_t count, struct buf *why)
{
    *list = (struct guard_list){ 0 };
    if (count == 0)
        return OK;
    list->rules = mem_zalloc(count * sizeof(list->rules[0]));
    for (size_t i = 0; i < count; i++) {
        if (read_rule(texts[i], &list->rules[i]) != OK) {
            buf_printf(why, "%s: \"%.200s\" is no host name, address or net", name, texts[i]);
            return FAIL_SYNTAX;
        }
        list->count++;
    }
    return OK;
}

void guard_list_deinit(struct guard_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->rules[i].name);
    mem_free(list->rules);
    *list = (struct guard_list){ 0 };
}

static bool name_fits(const struct guard_rule *rule, struct str name)
{
    struct str wanted = str_of(rule->name);

    if (str_equal_nocase(name, wanted))
        return true;
    if (!rule->with_below || name.len <= wanted.len + 1)
        return false;
    struct str end = { name.at + (name.len - wanted.len), wanted.len };
    return end.at[-1] == '.' && str_equal_nocase(end, wanted);
}

/* Also the IPv4 address that a NAT64 (RFC 6052) will connect to instead. */
static bool net_fits(const struct guard_rule *rule, const struct ip *address)
{
    static const struct ip nat64 = { { 0, 0x64, 0xff, 0x9b } };
    struct ip inner = { { [10] = 0xff, [11] = 0xff } };

    if (network_has(&rule->net, address))
        return true;
    if (memcmp(address, &nat64, 12) != 0)
        return false;
    memcpy(inner.bytes + 12, address->bytes + 12, 4);
    return network_has(&rule->net, &inner);
}

bool guard_list_has(const struct guard_list *list, const struct guard_target *target)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct guard_rule *rule = &list->rules[i];
        if (rule->port != 0 && rule->port != target->port)
            continue;
        if (rule->name != NULL ? name_fits(rule, target->name)
                               : target->has_address && net_fits(rule, &target->address))
            return true;
    }
    return false;
}

bool guard_list_has_nets(const struct guard_list *list, uint16_t port)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->rules[i].name == NULL &&
            (list->rules[i].port == 0 || list->rules[i].port == port))
            return true;
    return false;
}
