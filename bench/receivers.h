/* The viewers: a process of its own with many sockets, which reads frames,
 * counts them and notes how old they are. Both sides of a comparison have one
 * of the same kind, since on loopback a sender's send() does the receiver's
 * TCP work too.
 *
 * In each frame "message":"SSSSSSSSSS NNNNNNNNNNNNNNNNNNN..." tells its number
 * (of the publication) and when it was published (now_ns). */
#ifndef BENCH_RECEIVERS_H
#define BENCH_RECEIVERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { LATENCY_BUCKETS = 50000, LATENCY_BUCKET_US = 100 };

/* Written by the receivers' process, read by the one that measures. */
struct receivers_report {
    _Atomic unsigned connected;  /* so many are ready */
    _Atomic unsigned lost;       /* ended by the other side */
    _Atomic unsigned frame_size; /* of the last frame with a number, head included */
    _Atomic uint64_t frames;     /* with a number */
    _Atomic uint64_t others;     /* frames without: greetings */
    _Atomic uint64_t disorders;  /* a number that was not above the one before */
    _Atomic bool is_unordered;   /* set by the measurer: there are no disorders now */
    _Atomic uint64_t last;       /* set by the measurer: the number all wait for ... */
    _Atomic unsigned reached;    /* ... and how many have got it */
    _Atomic uint32_t latency[LATENCY_BUCKETS];
};

struct receivers {
    pid_t pid;
    unsigned count;
    struct receivers_report *report;
};

/* Begins to connect; `path` is asked for as a WebSocket, NULL: bare sockets that
 * are sent frames at once. `source` is the host to come from. */
void receivers_start(struct receivers *r, unsigned count, uint16_t port, const char *path,
                     unsigned source);
void receivers_wait_connected(const struct receivers *r);
void receivers_end(struct receivers *r);

/* Says which number is the last; then waits until everybody has it. */
void receivers_expect(struct receivers *r, uint64_t number);
void receivers_wait_reached(const struct receivers *r);

void receivers_forget_latency(struct receivers *r);
/* Milliseconds, of those since the last forgetting. */
double receivers_latency_ms(const struct receivers *r, double quantile);

#endif
