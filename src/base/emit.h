/* JSON written straight into a buf, append-only: the hot path's writer.
 * (Reading is jansson's.) Commas are put where they belong by looking at the
 * last byte, so there is no state beside the buffer; behind a newline or a space
 * a new document begins. Text is escaped by RFC 8259, section 7; bytes that are
 * not UTF-8 become U+FFFD. */
#ifndef BASE_EMIT_H
#define BASE_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

void emit_open(struct buf *b, char bracket);  /* '{' or '[' */
void emit_close(struct buf *b, char bracket); /* '}' or ']' */
void emit_key(struct buf *b, const char *key);

/* A value: an array's element, or what follows emit_key. */
void emit_string(struct buf *b, const char *text); /* NULL writes null */
void emit_string_n(struct buf *b, const char *text, size_t len);
void emit_int(struct buf *b, int64_t value);
void emit_bool(struct buf *b, bool value);
void emit_null(struct buf *b);
void emit_raw(struct buf *b, const char *json); /* already JSON, trusted */

/* At most `decimals` places, trailing zeros dropped but one kept after the
 * point if `decimals` > 0: 1.0, 0.75. Not finite writes null. */
void emit_real(struct buf *b, double value, int decimals);

/* "key": value */
void emit_field_string(struct buf *b, const char *key, const char *text);
void emit_field_int(struct buf *b, const char *key, int64_t value);
void emit_field_bool(struct buf *b, const char *key, bool value);
void emit_field_real(struct buf *b, const char *key, double value, int decimals);
void emit_field_raw(struct buf *b, const char *key, const char *json);

#endif
