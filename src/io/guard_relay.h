/* Bytes both ways between a child and the server that its proxy has connected it to, a
 * block at a time each way: who does not read keeps the other from being read. For
 * io/guard_tunnel only, whose streams have the relay as their data. */
#ifndef IO_GUARD_RELAY_H
#define IO_GUARD_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { RELAY_BLOCK = 64 * 1024 };

struct guard_relay;

struct guard_relay_events {
    /* A block was read. False: it goes no further; the relay is broken. */
    bool (*moved)(struct guard_relay *r, bool is_down, size_t len);
    /* Once, unless the streams are closed before: the server has ended it, or something
     * broke it. Nothing is read any more; what is being written may be still. */
    void (*ended)(struct guard_relay *r, bool is_broken);
};

/* One direction: a block that is read, and written before the next one is read. */
struct relay_half {
    uv_write_t write;
    size_t len, sent; /* of the block: filled, written */
    char block[RELAY_BLOCK];
};

struct guard_relay {
    const struct guard_relay_events *events;
    uv_stream_t *child, *server;
    bool is_tunnel;        /* else it is one request with its content: */
    uint64_t content_left; /* that the child may still send */
    bool is_over;
    uv_shutdown_t shutting;
    struct relay_half up, down;
};

/* All zeroes but for the blocks. */
void guard_relay_init(struct guard_relay *r);

/* The fields above `is_over` are filled in, and up's block has up.len bytes that came
 * already. */
void guard_relay_start(struct guard_relay *r, const struct guard_relay_events *events);

#endif
