/* A redis-server of a test's own on a free port of 127.0.0.1, a client to ask it,
 * and a listener that keeps what is published. All but redis_start fail the test
 * when something does not work; nothing outlives the test program. */
#ifndef TEST_LIB_REDIS_H
#define TEST_LIB_REDIS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct redis {
    pid_t pid;
    int port;
    char folder[64]; /* its own, for nothing: it saves nothing */
    char url[64];
};

/* Skips the test if there is no redis-server. */
void redis_start(struct redis *s);
void redis_stop(struct redis *s);

/* kill -9 and, later, again on the same port. */
void redis_kill(struct redis *s);
void redis_restart(struct redis *s);

/* A command with up to three words; the answer as text (free), NULL for nil. */
char *redis_ask(struct redis *s, const char *command, const char *key, const char *value);
int64_t redis_ask_int(struct redis *s, const char *command, const char *key);

enum { HEARD_MAX = 20000 };

struct listener {
    struct redis *server;
    void *context;
    char **heard; /* payloads */
    int count;
};

/* Subscribed, by pattern, when it returns. */
void listener_open(struct listener *l, struct redis *s, const char *pattern);
void listener_close(struct listener *l);

/* Hears until something contains `text`; false when that takes 10 s. */
bool listener_wait(struct listener *l, const char *text);

int64_t test_now_ms(void);

#endif
