/* A real redis-server for a test: on a free port of 127.0.0.1 and on a unix
 * socket, in a folder of its own, keeping nothing. And a relay in front of it
 * that can fall silent, as a network does. */
#ifndef TESTS_REDIS_HARNESS_H
#define TESTS_REDIS_HARNESS_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "io/redis.h"

struct server {
    pid_t pid; /* 0: not running */
    unsigned port;
    char folder[64];
    char url[128];
    const char *const *options; /* further ones, NULL at the end */
    bool is_sentinel;
};

void server_start(struct server *s, const char *const *options); /* until it listens */
/* A Sentinel that decides alone about "mymaster"; `further` lines of its file. */
void sentinel_start(struct server *s, unsigned primary, const char *further);

void server_start_again(struct server *s); /* same port */
void server_signal(const struct server *s, int number);
void server_kill(struct server *s);
void server_stop(struct server *s); /* and removes its folder */

unsigned free_port(void);

struct relay {
    uv_tcp_t listener;
    uv_loop_t *loop;
    unsigned port, to;
    bool is_silent;   /* swallows what Redis says */
    const char *says; /* this instead of what Redis would; NULL: a relay */
    unsigned accepted;
    struct relay_pair *pairs;
};

void relay_start(struct relay *r, uv_loop_t *loop, unsigned to);
void relay_stop(struct relay *r);

struct redis_url url_of(const char *text);

struct waiting {
    uv_loop_t *loop;
    uv_timer_t tick;
    uint64_t until_ms;
};

void wait_begin(struct waiting *w, uv_loop_t *loop);
void wait_once(struct waiting *w, const char *condition);
void wait_end(struct waiting *w);

/* Runs the loop until the condition holds; ends the program after 20 s. The
 * condition may wait itself. */
#define WAIT_FOR(loop, condition)                                                                  \
    do {                                                                                           \
        struct waiting waiting_;                                                                   \
        wait_begin(&waiting_, loop);                                                               \
        while (!(condition))                                                                       \
            wait_once(&waiting_, #condition);                                                      \
        wait_end(&waiting_);                                                                       \
    } while (0)

#endif
