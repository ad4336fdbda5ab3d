/* A real pool on a port of its own, and blocking clients for it. Every receive
 * has a time limit, so that a test fails rather than hangs. */
#ifndef TEST_IO_HARNESS_H
#define TEST_IO_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "io/thread.h"

struct server {
    struct io_pool *pool;
    uint16_t port;
};

/* Deadlines that a test need not wait long for. */
extern const struct io_timeouts quick_timeouts;

/* `settings`' addresses are set here. */
void server_start(struct server *s, struct io_settings settings, struct ledger *ledger,
                  exchange_handler handler);
void server_stop(struct server *s);

int client_open(const struct server *s);
/* With a receive buffer so small that the server's writes block soon. */
int client_open_slow(const struct server *s);
void client_send(int fd, const void *bytes, size_t len);
void client_say(int fd, const char *text);

/* Reads exactly so much; fails when the connection ends before. */
void client_take(int fd, void *out, size_t len);

/* Nothing more comes, and the end is orderly (no reset). */
void client_expect_end(int fd);

struct answer {
    int status;
    char head[8192]; /* with the empty line */
    struct buf body;
};

/* One answer; `has_body` is false for HEAD. */
void answer_read(struct answer *a, int fd, bool has_body);
void answer_deinit(struct answer *a);
/* The value of a field, or NULL; static. */
const char *answer_field(const struct answer *a, const char *name);

/* Says `text` and checks the status and the body of what comes back. */
void expect_answer(int fd, const char *text, int status, const char *body);

/* Waits until another thread has brought it about. */
#define WAIT_FOR(expression)                                                                       \
    do {                                                                                           \
        for (int tries_ = 0; !(expression); tries_++) {                                            \
            if (tries_ > 10000)                                                                    \
                fail_msg("never: %s", #expression);                                                \
            harness_breathe();                                                                     \
        }                                                                                          \
    } while (0)
void harness_breathe(void); /* a millisecond for the others */

#endif
