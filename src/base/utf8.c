#include "base/utf8.h"

#include <string.h>

/* RFC 3629, section 4: the second byte's range depends on the first. */
static bool begin(struct utf8 *u, uint8_t c)
{
    u->low = 0x80;
    u->high = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        u->left = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        u->left = 2;
        if (c == 0xe0)
            u->low = 0xa0;
        if (c == 0xed)
            u->high = 0x9f;
    } else if (c >= 0xf0 && c <= 0xf4) {
        u->left = 3;
        if (c == 0xf0)
            u->low = 0x90;
        if (c == 0xf4)
            u->high = 0x8f;
    } else {
        return false;
    }
    return true;
}

static bool is_ascii8(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return (word & 0x8080808080808080u) == 0;
}

bool utf8_feed(struct utf8 *u, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t c = (uint8_t)bytes[i];
        if (u->left > 0) {
            if (c < u->low || c > u->high)
                return false;
            u->low = 0x80;
            u->high = 0xbf;
            u->left--;
        } else if (len - i >= 8 && is_ascii8(bytes + i)) {
            i += 8;
            continue;
        } else if (c >= 0x80 && !begin(u, c)) {
            return false;
        }
        i++;
    }
    return true;
}

bool utf8_is_complete(const struct utf8 *u)
{
    return u->left == 0;
}

size_t utf8_length(const char *at, size_t len)
{
    struct utf8 u = { 0 };

    for (size_t i = 0; i < len && i < 4; i++) {
        if (!utf8_feed(&u, at + i, 1))
            return 0;
        if (utf8_is_complete(&u))
            return i + 1;
    }
    return 0;
}

bool utf8_is_valid(const char *bytes, size_t len)
{
    struct utf8 u = { 0 };

    return utf8_feed(&u, bytes, len) && utf8_is_complete(&u);
}

size_t utf8_cut(const char *bytes, size_t len, size_t max)
{
    size_t end = 0;

    while (end < len) {
        size_t step = utf8_length(bytes + end, len - end);
        if (step == 0 || end + step > max)
            break;
        end += step;
    }
    return end;
}
