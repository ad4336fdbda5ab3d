/* One line per fact on standard error: an event name and key=value pairs, as
 * logfmt or JSON. Lines are written whole, so threads never interleave.
 * Codecs and core never log; they return. Never log a token or a secret. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
    const char *key;  /* NULL ends a list */
    const char *text; /* NULL: `number` is the value */
    int64_t number;
};

static inline const char *log_text_of(const char *text)
{
    return text ? text : "";
}

#define LOG_S(k, value) ((struct log_field){ .key = (k), .text = log_text_of(value) })
#define LOG_I(k, value) ((struct log_field){ .key = (k), .number = (int64_t)(value) })

/* Before threads start. */
void log_setup(enum log_level least, enum log_format format);

void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define LOG_AT(level, event, ...)                                                                  \
    log_write(level, event, (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ .key = NULL } })
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, __VA_ARGS__)

#endif
