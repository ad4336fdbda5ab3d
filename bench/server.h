/* The real server, as its own process on a folder that goes with it. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <stdint.h>
#include <sys/types.h>

struct server {
    pid_t pid;
    uint16_t port;
    char folder[64];
};

/* Returns when it accepts connections. `engine` is a URL, NULL: the local one. */
void server_start(struct server *s, const char *program, unsigned threads, const char *engine);
void server_end(struct server *s);

#endif
