/* The JSON that `job_progress:{id}` and `job_status:{id}` carry: the words of the
 * `jobs` door (dialect/jobs.c). Nothing here depends on the locale or takes a
 * lock of the C library, which a fork may have left taken. */
#ifndef LIB_MESSAGE_H
#define LIB_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

struct message {
    const char *job;
    const char *status; /* "processing", "completed", "failed" */
    const char *stage;
    double progress; /* 0.0-1.0 */
    const char *text;
    const char *error;    /* NULL: no such field; so for the next two */
    const char *result;   /* JSON */
    const char *metadata; /* JSON */
    int64_t time_ms;      /* wall clock */
};

/* To be freed with free; NULL without memory. */
char *message_render(const struct message *m, size_t *len);

/* A copy as a server takes it: what is not UTF-8 is U+FFFD, and what is over
 * JOB_TEXT_MAX bytes then is cut off at a character. */
void message_text(const char *before, const char *text, char out[JOB_TEXT_MAX + 1]);

/* As clock_iso8601 writes it. */
enum { MESSAGE_TIME_SIZE = 64 };
void message_time(int64_t wall_ms, char out[MESSAGE_TIME_SIZE]);

#endif
