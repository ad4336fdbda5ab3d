/* Time. Monotonic for intervals and deadlines, wall for what people and
 * tokens see; never mixed. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_ns(void);

/* Milliseconds since 1970-01-01T00:00:00Z. */
int64_t clock_wall_ms(void);

enum { CLOCK_ISO_SIZE = 32, CLOCK_HTTP_SIZE = 32 };

/* "2024-01-01T00:00:00.000Z" (RFC 3339, UTC, milliseconds). */
void clock_iso8601(int64_t wall_ms, char out[CLOCK_ISO_SIZE]);

/* "Mon, 01 Jan 2024 00:00:00 GMT" (RFC 9110, 5.6.7). */
void clock_http_date(int64_t wall_ms, char out[CLOCK_HTTP_SIZE]);

#endif
