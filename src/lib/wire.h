/* One connection to Redis, used by one thread. Every wait ends at its deadline,
 * or at once when `interrupt` can be read and `is_ending` is set. The calling
 * thread has SIGPIPE blocked: hiredis writes with write(2). */
#ifndef LIB_WIRE_H
#define LIB_WIRE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/redis_url.h"

enum { WIRE_ERROR_MAX = 256 };

struct redisContext;

struct wire {
    struct redisContext *redis; /* NULL: not connected */
    const struct redis_url *url;
    int interrupt; /* eventfd */
    const atomic_bool *is_ending;
    atomic_int *socket;         /* the descriptor, -1 without one: for a forked child */
    char error[WIRE_ERROR_MAX]; /* after a failure: what happened */
};

/* Connects and logs in if need be. FAIL_CLOSED: no connection; FAIL_TIMEOUT;
 * FAIL_DENIED: Redis answered with an error; FAIL_CANCELLED: is_ending. */
int wire_open(struct wire *w, int64_t deadline_ms);

void wire_close(struct wire *w);

/* Queues a command of `argc` words. FAIL_NOMEM. */
int wire_command(struct wire *w, int argc, const char *const *words, const size_t *lengths);

/* Sends what is queued. As wire_open. */
int wire_send(struct wire *w, int64_t deadline_ms);

/* One command's answer. OK, also with *text NULL, which is any answer but a
 * string; a string is malloc'd. FAIL_DENIED leaves the connection usable, any
 * other failure does not. text may be NULL. */
int wire_answer(struct wire *w, int64_t deadline_ms, char **text, size_t *len);

/* Waits for an interrupt, or that Redis hangs up, which closes. `until_ms`
 * INT64_MAX: for ever. */
void wire_idle(struct wire *w, int64_t until_ms);

#endif
