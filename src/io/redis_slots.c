#include "io/redis_slots.h"

#include <string.h>

#include "base/err.h"

enum { POLYNOMIAL = 0x1021, PORT_MAX = 65535 };

/* CRC-16/XMODEM, as the cluster specification has it: from zero, not reflected. */
static uint16_t crc16(struct str s)
{
    uint32_t crc = 0;

    for (size_t i = 0; i < s.len; i++) {
        crc ^= (uint32_t)(unsigned char)s.at[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? crc << 1 ^ POLYNOMIAL : crc << 1;
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

static struct str hash_tag(struct str key)
{
    struct str rest = key;

    str_cut(&rest, '{');
    if (rest.at == NULL)
        return key;
    struct str tag = str_cut(&rest, '}');
    return rest.at != NULL && tag.len > 0 ? tag : key;
}

unsigned slot_of(struct str key)
{
    return crc16(hash_tag(key)) % SLOTS;
}

static bool read_number(struct str text, uint64_t max, uint64_t *out)
{
    return str_parse_u64(text, max, out) == OK;
}

/* An IPv6 address stands there without brackets: the last colon parts. */
static bool read_endpoint(struct str text, struct slot_redirect *out)
{
    const char *colon = text.len > 0 ? memrchr(text.at, ':', text.len) : NULL;
    uint64_t port;

    if (colon == NULL)
        return false;
    out->host = (struct str){ text.at, (size_t)(colon - text.at) };
    struct str digits = { colon + 1, text.len - out->host.len - 1 };
    if (!read_number(digits, PORT_MAX, &port) || port == 0)
        return false;
    out->port = (uint16_t)port;
    return true;
}

bool slot_redirect_read(struct str text, struct slot_redirect *out)
{
    struct str word = str_cut(&text, ' '), slot = str_cut(&text, ' ');
    struct slot_redirect redirect = { .is_ask = str_equal(word, STR("ASK")) };
    uint64_t number;

    if (!redirect.is_ask && !str_equal(word, STR("MOVED")))
        return false;
    if (!read_number(slot, SLOTS - 1, &number) || !read_endpoint(str_trim(text), &redirect))
        return false;
    redirect.slot = (unsigned)number;
    *out = redirect;
    return true;
}

/* [host, port, id, ...]; the host is nil, or empty, where it is the one that was
 * asked, and "?" where it is not known. */
static bool read_node(const struct redis_reply *node, struct slot_range *range)
{
    if (node->type != REDIS_ARRAY || node->count < 2 || node->items[1].type != REDIS_INTEGER)
        return false;
    range->host = node->items[0].text;
    range->port = (uint16_t)node->items[1].integer;
    return node->items[1].integer > 0 && node->items[1].integer <= PORT_MAX;
}

static bool read_range(const struct redis_reply *row, struct slot_range *range)
{
    const struct redis_reply *items = row->items;

    if (row->type != REDIS_ARRAY || row->count < 3 || items[0].type != REDIS_INTEGER ||
        items[1].type != REDIS_INTEGER || items[0].integer < 0 || items[1].integer >= SLOTS ||
        items[0].integer > items[1].integer)
        return false;
    range->first = (unsigned)items[0].integer;
    range->last = (unsigned)items[1].integer;
    return true;
}

bool slots_read(const struct redis_reply *reply,
                void (*on_range)(void *context, const struct slot_range *range), void *context)
{
    struct slot_range range;

    if (reply->type != REDIS_ARRAY)
        return false;
    for (size_t i = 0; i < reply->count; i++) {
        if (!read_range(&reply->items[i], &range))
            return false;
        for (size_t k = 2; k < reply->items[i].count; k++) {
            range.is_primary = k == 2;
            if (!read_node(&reply->items[i].items[k], &range))
                return false;
            if (!str_equal(range.host, STR("?")))
                on_range(context, &range);
        }
    }
    return true;
}
