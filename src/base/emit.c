#include "base/emit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static void separate(struct buf *b)
{
    if (b->len == 0)
        return;
    char last = b->data[b->len - 1];
    if (strchr("{[:,\n ", last) == NULL)
        buf_putc(b, ',');
}

void emit_open(struct buf *b, char bracket)
{
    separate(b);
    buf_putc(b, bracket);
}

void emit_close(struct buf *b, char bracket)
{
    buf_putc(b, bracket);
}

static void escaped(struct buf *b, unsigned char c)
{
    static const char names[] = "\b\t\n\f\r\"\\";
    static const char letters[] = "btnfr\"\\";
    const char *at = c ? strchr(names, c) : NULL;

    if (at != NULL)
        buf_printf(b, "\\%c", letters[at - names]);
    else
        buf_printf(b, "\\u%04x", c);
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != 0x7f;
}

static void quoted(struct buf *b, const char *text, size_t len)
{
    buf_putc(b, '"');
    for (size_t i = 0; i < len;) {
        size_t run = i;
        while (run < len && is_plain((unsigned char)text[run]))
            run++;
        buf_append(b, text + i, run - i);
        i = run;
        if (i == len)
            break;
        unsigned char c = (unsigned char)text[i];
        if (c < 0x80) {
            escaped(b, c);
            i++;
            continue;
        }
        size_t wide = utf8_length(text + i, len - i);
        if (wide == 0)
            buf_puts(b, "\xef\xbf\xbd");
        else
            buf_append(b, text + i, wide);
        i += wide ? wide : 1;
    }
    buf_putc(b, '"');
}

void emit_string_n(struct buf *b, const char *text, size_t len)
{
    separate(b);
    quoted(b, text, len);
}

void emit_string(struct buf *b, const char *text)
{
    if (text == NULL)
        emit_null(b);
    else
        emit_string_n(b, text, strlen(text));
}

void emit_key(struct buf *b, const char *key)
{
    emit_string(b, key);
    buf_putc(b, ':');
}

void emit_int(struct buf *b, int64_t value)
{
    separate(b);
    if (value < 0)
        buf_putc(b, '-');
    buf_put_u64(b, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void emit_bool(struct buf *b, bool value)
{
    emit_raw(b, value ? "true" : "false");
}

void emit_null(struct buf *b)
{
    emit_raw(b, "null");
}

void emit_raw(struct buf *b, const char *json)
{
    separate(b);
    buf_puts(b, json);
}

void emit_real(struct buf *b, double value, int decimals)
{
    char digits[400];

    if (!isfinite(value)) {
        emit_null(b);
        return;
    }
    int len = snprintf(digits, sizeof(digits), "%.*f", decimals, value);
    while (decimals > 1 && digits[len - 1] == '0' && digits[len - 2] != '.')
        digits[--len] = '\0';
    emit_raw(b, digits);
}

void emit_field_string(struct buf *b, const char *key, const char *text)
{
    emit_key(b, key);
    emit_string(b, text);
}

void emit_field_int(struct buf *b, const char *key, int64_t value)
{
    emit_key(b, key);
    emit_int(b, value);
}

void emit_field_bool(struct buf *b, const char *key, bool value)
{
    emit_key(b, key);
    emit_bool(b, value);
}

void emit_field_real(struct buf *b, const char *key, double value, int decimals)
{
    emit_key(b, key);
    emit_real(b, value, decimals);
}

void emit_field_raw(struct buf *b, const char *key, const char *json)
{
    emit_key(b, key);
    emit_raw(b, json);
}
