/* The viewers: a process of its own with many sockets, which reads frames,
 * counts them and notes how old they are. Both sides of a comparison have one
 * of the same kind, since on loopback a sender's send() does the receiver's
 * TCP work too. In each frame "message" is a publication's mark. */
#ifndef BENCH_RECEIVERS_H
#define BENCH_RECEIVERS_H

#include <stdint.h>
#include <sys/types.h>

#include "tally.h"

struct receivers {
    pid_t pid;
    unsigned count;
    struct tally *report;
};

/* Begins to connect; `path` is asked for as a WebSocket, NULL: bare sockets that
 * are sent frames at once. `source` is the host to come from. */
void receivers_start(struct receivers *r, unsigned count, uint16_t port, const char *path,
                     unsigned source);
/* The same, but each asks for `path` with its place (0, 1, ...) behind it. */
void receivers_start_each(struct receivers *r, unsigned count, uint16_t port, const char *path,
                          unsigned source);
void receivers_wait_connected(const struct receivers *r);
void receivers_end(struct receivers *r);

/* Says which number is the last; then waits until everybody has it. */
void receivers_expect(struct receivers *r, uint64_t number);
void receivers_wait_reached(const struct receivers *r);

#endif
