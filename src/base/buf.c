#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { BUF_FIRST = 128 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = max };
}

void buf_deinit(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){ 0 };
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t len)
{
    if (b->failed || len > b->max - b->len) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->len + len + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : BUF_FIRST;
        while (cap < need)
            cap *= 2;
        if (cap > b->max + 1)
            cap = b->max + 1;
        b->data = mem_resize(b->data, cap);
        b->cap = cap;
        b->data[b->len] = '\0'; /* text also if the caller writes nothing */
    }
    return b->data + b->len;
}

bool buf_append(struct buf *b, const void *bytes, size_t len)
{
    char *at = buf_reserve(b, len);

    if (at == NULL)
        return false;
    if (len > 0)
        memcpy(at, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
    return true;
}

bool buf_puts(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

bool buf_putc(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

bool buf_put_u64(struct buf *b, uint64_t number)
{
    char digits[STR_U64_SIZE];
    struct str text = str_of_u64(number, digits);

    return buf_append(b, text.at, text.len);
}

bool buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    assert(len >= 0);

    char *at = buf_reserve(b, (size_t)len);
    if (at == NULL)
        return false;
    vsnprintf(at, (size_t)len + 1, format, args);
    b->len += (size_t)len;
    return true;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bool fits = buf_vprintf(b, format, args);
    va_end(args);
    return fits;
}

void buf_consume(struct buf *b, size_t len)
{
    assert(len <= b->len);
    if (len == 0)
        return;
    memmove(b->data, b->data + len, b->len - len + 1);
    b->len -= len;
}

char *buf_take(struct buf *b)
{
    char *bytes = b->data ? b->data : mem_strdup("");

    *b = (struct buf){ .max = b->max };
    return bytes;
}

const char *buf_text(const struct buf *b)
{
    return b->data ? b->data : "";
}

struct str buf_str(const struct buf *b)
{
    return (struct str){ .at = buf_text(b), .len = b->len };
}
