#include "proto/url.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Cuts one character off `rest` and decodes it; -1 for a broken escape. */
static int next_byte(struct str *rest, bool is_query)
{
    size_t len = 1;
    int byte = (unsigned char)rest->at[0];

    if (byte == '%') {
        int high = rest->len > 2 ? hex_value(rest->at[1]) : -1;
        int low = rest->len > 2 ? hex_value(rest->at[2]) : -1;
        byte = high < 0 || low < 0 ? -1 : high * 16 + low;
        len = 3;
    } else if (byte == '+' && is_query) {
        byte = ' ';
    }
    if (byte >= 0) {
        rest->at += len;
        rest->len -= len;
    }
    return byte;
}

static void cut_back(struct buf *b, size_t len)
{
    b->len = len;
    if (b->data != NULL)
        b->data[len] = '\0';
}

static int decode(struct str text, bool is_query, struct buf *out)
{
    struct utf8 utf8 = { 0 };

    while (text.len > 0) {
        int byte = next_byte(&text, is_query);
        char c = (char)byte;
        if (byte <= 0 || !utf8_feed(&utf8, &c, 1))
            return FAIL_SYNTAX;
        if (!buf_putc(out, c))
            return FAIL_LIMIT;
    }
    return utf8_is_complete(&utf8) ? OK : FAIL_SYNTAX;
}

int url_decode(struct str text, bool is_query, struct buf *out)
{
    size_t before = out->len;
    int result = out->failed ? FAIL_LIMIT : decode(text, is_query, out);

    if (result != OK)
        cut_back(out, before);
    return result;
}

static bool is_unreserved(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
        return true;
    return c == '-' || c == '.' || c == '_' || c == '~';
}

int url_part(struct str text, size_t max, char **out, struct buf *why, const char *what)
{
    struct buf decoded;
    int err = FAIL_LIMIT;

    buf_init(&decoded, max);
    if (buf_reserve(&decoded, text.len + 1) != NULL) /* it does not move: a secret is there once */
        err = url_decode(text, false, &decoded);
    if (err == OK)
        *out = mem_strdup(buf_text(&decoded));
    else
        buf_printf(why, "its %s %s", what,
                   err == FAIL_LIMIT ? "is too long" : "has a broken percent-encoding");
    if (decoded.data != NULL)
        explicit_bzero(decoded.data, decoded.len);
    buf_deinit(&decoded);
    return err == OK ? OK : FAIL_SYNTAX;
}

static void put_encoded(char c, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    const char escape[] = { '%', digits[(unsigned char)c >> 4], digits[(unsigned char)c & 15] };

    buf_append(out, escape, sizeof(escape));
}

void url_encode(struct str text, bool keep_slash, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (is_unreserved(c) || (keep_slash && c == '/'))
            buf_putc(out, c);
        else
            put_encoded(c, out);
    }
}

void url_encode_letters(struct str url, struct buf *out)
{
    for (size_t i = 0; i < url.len; i++) {
        if ((unsigned char)url.at[i] < 0x80)
            buf_putc(out, url.at[i]);
        else
            put_encoded(url.at[i], out);
    }
}

/* Names may be encoded as well as values. */
static bool is_named(struct str encoded, const char *name)
{
    while (encoded.len > 0 && *name != '\0')
        if (next_byte(&encoded, true) != (unsigned char)*name++)
            return false;
    return encoded.len == 0 && *name == '\0';
}

struct str url_cut_scheme(struct str *url)
{
    struct str rest = *url, name = str_cut(&rest, ':');

    if (!str_starts(rest, STR("//")))
        return (struct str){ 0 };
    *url = (struct str){ rest.at + 2, rest.len - 2 };
    return name;
}

int url_query_get(struct str query, const char *name, struct buf *out)
{
    while (query.len > 0) {
        struct str value = str_cut(&query, '&');
        if (is_named(str_cut(&value, '='), name))
            return url_decode(value, true, out);
    }
    return FAIL_MISSING;
}

static bool is_dots(struct str segment, size_t count)
{
    return segment.len == count && memcmp(segment.at, "..", count) == 0;
}

/* What is already in `out` behind `root` is "" or "/segment" any times over. */
static void drop_segment(struct buf *out, size_t root)
{
    size_t len = out->len;

    while (len > root && out->data[len - 1] != '/')
        len--;
    cut_back(out, len - 1);
}

static int normalize(struct str path, struct buf *out)
{
    size_t root = out->len;
    bool is_directory = true;

    while (path.len > 0) {
        struct str segment = str_cut(&path, '/');
        bool is_up = is_dots(segment, 2);
        is_directory = segment.len == 0 || is_up || is_dots(segment, 1);
        if (is_up && out->len == root)
            return FAIL_DENIED;
        if (is_up)
            drop_segment(out, root);
        if (is_directory)
            continue;
        if (!buf_putc(out, '/') || !buf_append(out, segment.at, segment.len))
            return FAIL_LIMIT;
        is_directory = path.at != NULL;
    }
    if (is_directory && !buf_putc(out, '/'))
        return FAIL_LIMIT;
    return OK;
}

int url_normalize_path(struct str path, struct buf *out)
{
    size_t before = out->len;

    if (path.len == 0 || path.at[0] != '/')
        return FAIL_SYNTAX;
    int result = out->failed ? FAIL_LIMIT : normalize(path, out);
    if (result != OK)
        cut_back(out, before);
    return result;
}
