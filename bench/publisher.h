/* Reports progress on a job over HTTP, as a worker would, on a few connections
 * with one request under way on each. */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include <stdint.h>

enum { PUBLISHER_LINES_MAX = 64 };

struct publisher {
    uint16_t port;
    unsigned lines; /* connections */
    int fds[PUBLISHER_LINES_MAX];
    uint64_t number;  /* of the last publication */
    unsigned padding; /* bytes appended to each message */
};

void publisher_open(struct publisher *p, uint16_t port, unsigned lines);
void publisher_close(struct publisher *p);

/* One, on the first line; returns when it was accepted. */
void publish(struct publisher *p, const char *job);

/* `per_second` for `seconds`; 0: as many as are accepted, on all lines at once.
 * Returns how many it were. */
uint64_t publish_for(struct publisher *p, const char *job, unsigned per_second, double seconds);

#endif
