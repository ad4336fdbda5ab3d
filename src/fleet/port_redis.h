/* The port of a running node: a redis_service on its desk's loop. */
#ifndef FLEET_PORT_REDIS_H
#define FLEET_PORT_REDIS_H

#include "fleet/port.h"

struct fleet_link;

struct fleet_link_events {
    void (*up)(void *context);
    void (*down)(void *context, const struct redis_down *down);
    void (*heard)(void *context, struct str name, enum redis_topic kind);
    void (*push)(void *context, const struct redis_push *push);
    void (*refused)(void *context, struct str name, enum redis_topic kind, const char *why);
    void (*dropped)(void *context, struct str channel);
    void (*tick)(void *context); /* every FLEET_TICK_MS, also while it is down */
};

struct fleet_link_settings {
    const char *name;                           /* of the connections at Redis (CLIENT SETNAME) */
    const char *ca_file, *cert_file, *key_file; /* for rediss://, as redis_settings'; NULL: none */
};

/* Begins to connect; does not wait. `url` as io/redis.h has it; FAIL_SYNTAX,
 * FAIL_UNSUPPORTED, with `why`. Copies the settings, borrows `events`.
 * Only on the loop's thread. */
int fleet_link_open(uv_loop_t *loop, const char *url, const struct fleet_link_settings *given,
                    const struct fleet_link_events *events, void *context, struct fleet_link **out,
                    struct buf *why);

/* What is under way fails with FAIL_CANCELLED within this; no event comes behind it.
 * The memory goes in the loop's close callbacks. */
void fleet_link_close(struct fleet_link *l);

struct fleet_port *fleet_link_port(struct fleet_link *l);

#endif
