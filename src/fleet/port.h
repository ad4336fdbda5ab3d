/* What a node needs of the world: a Redis and a clock. One implementation is a
 * redis_service on the desk's loop (port_redis.c), another the simulation's, where
 * time, loss and order are its own; so nothing else in src/fleet touches a socket, a
 * timer or the time of day. All on one thread.
 *
 * Fails as redis_service_command does: FAIL_CLOSED at once while Redis is away;
 * what was under way when a connection ended fails with FAIL_CLOSED or
 * FAIL_TIMEOUT and may or may not have been done. `done` never runs within the
 * call. */
#ifndef FLEET_PORT_H
#define FLEET_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/redis_service.h"

struct fleet_port;

struct fleet_port_ops {
    int (*run)(struct fleet_port *p, const struct redis_script *script, size_t keys,
               const struct str *args, size_t count, redis_done *done, void *context);
    int (*command)(struct fleet_port *p, struct str key, const struct str *args, size_t count,
                   redis_done *done, void *context);
    int (*subscribe)(struct fleet_port *p, struct str name, enum redis_topic kind);
    int (*unsubscribe)(struct fleet_port *p, struct str name, enum redis_topic kind);
    bool (*is_up)(const struct fleet_port *p);
    bool (*is_cluster)(const struct fleet_port *p);
    uint64_t (*mono_ms)(const struct fleet_port *p);
    int64_t (*wall_ms)(const struct fleet_port *p);
    uint64_t (*random)(struct fleet_port *p);
};

struct fleet_port {
    const struct fleet_port_ops *ops;
};

/* How often the modules' tick functions are called. */
enum { FLEET_TICK_MS = 100 };

#endif
