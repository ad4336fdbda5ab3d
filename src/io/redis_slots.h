/* The slots of a Redis cluster: which one a key is in, and what the nodes say of
 * who has it. Pure. */
#ifndef IO_REDIS_SLOTS_H
#define IO_REDIS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "io/redis_reply.h"

enum { SLOTS = 16384, NODES_MAX = 256 };

/* Of the part between the first '{' and the next '}', if there is one and it is
 * not empty; else of all of the key. */
unsigned slot_of(struct str key);

/* "MOVED 3999 127.0.0.1:6381", "ASK ...". An empty host: the one that said it. */
struct slot_redirect {
    bool is_ask;
    unsigned slot;
    struct str host;
    uint16_t port;
};

bool slot_redirect_read(struct str text, struct slot_redirect *out);

/* One node of an answer to CLUSTER SLOTS, as above; of the slots `first` to `last`. */
struct slot_range {
    unsigned first, last;
    bool is_primary;
    struct str host;
    uint16_t port;
};

/* False: it is no such answer; `on_range` has run for a part of it, perhaps. */
bool slots_read(const struct redis_reply *reply,
                void (*on_range)(void *context, const struct slot_range *range), void *context);

#endif
