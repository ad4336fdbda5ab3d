/* A growing byte buffer with a maximum, for everything whose size comes from
 * outside. Invariants: len <= cap <= max + 1; the byte at data[len] is '\0'
 * whenever data is not NULL; once an append failed, `failed` stays true and
 * later appends do nothing, so a chain of appends is checked once at its end.
 * Not shared between threads. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct buf {
    char *data;  /* NULL until the first append */
    size_t len;  /* bytes in use */
    size_t cap;  /* bytes allocated */
    size_t max;  /* never holds more than this */
    bool failed; /* something did not fit: the content is incomplete */
};

/* `max` in bytes. No allocation happens before the first append. */
void buf_init(struct buf *b, size_t max);
void buf_deinit(struct buf *b);

/* Empties it and forgets a failure; keeps the memory. */
void buf_reset(struct buf *b);

/* Each returns false, and marks the buffer failed, when it would pass max. */
bool buf_append(struct buf *b, const void *bytes, size_t len);
bool buf_puts(struct buf *b, const char *text);
bool buf_putc(struct buf *b, char c);
bool buf_put_u64(struct buf *b, uint64_t number); /* in decimal */
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Makes room for `len` more bytes and returns where they go, or NULL. The
 * caller writes there and then adds to b->len (and keeps the final '\0'). */
char *buf_reserve(struct buf *b, size_t len);

/* Removes the first `len` bytes (at most b->len). */
void buf_consume(struct buf *b, size_t len);

/* Gives the bytes, '\0'-terminated, to the caller (mem_free); b is empty. */
char *buf_take(struct buf *b);

/* The content as text; "" when nothing was appended. Valid until a change. */
const char *buf_text(const struct buf *b);
struct str buf_str(const struct buf *b);

#endif
