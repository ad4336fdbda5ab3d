/* The least a server can do: send() of a ready frame over many sockets, one
 * after the other. What everything else is measured by. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stdint.h>
#include <sys/types.h>

struct bare {
    pid_t pid;
    uint16_t port;
    int control;     /* our end of the line to it */
    uint64_t number; /* of the last publication */
};

/* Takes `count` connections and then orders. */
void bare_start(struct bare *b, unsigned count);
void bare_end(struct bare *b);

/* As publish and publish_for; frames have `frame_size` bytes. */
void bare_publish(struct bare *b, unsigned frame_size);
uint64_t bare_publish_for(struct bare *b, unsigned frame_size, unsigned per_second, double seconds);

#endif
