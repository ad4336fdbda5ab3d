/* A node's way to Redis (fleet/port.h): two connections, one for commands, one
 * that hears. Each keeps its own order and has its own delays; between the two there
 * is none. What a cut does to what is under way: a first part of it may have
 * reached Redis, the rest not; answers and messages that were not there yet are lost.
 * The node notices at once, or after a while in which it talks to nobody. */
#ifndef SIM_PORT_H
#define SIM_PORT_H

#include "fleet/port.h"
#include "world.h"

struct port;

struct port *port_new(struct node *n);
void port_close(struct port *p); /* `done` of what is under way: FAIL_CANCELLED */
void port_free(struct port *p);  /* once closed, and nobody has it any more */

struct fleet_port *port_fleet(struct port *p);
void port_start(struct port *p); /* begins to connect */

enum way { WAY_COMMANDS = 1, WAY_HEARING = 2, WAY_BOTH = 3 };

/* The connections end; they are made anew as soon as that can be. */
void port_cut(struct port *p, enum way ways, int64_t notice_us);
/* No way to Redis until then. */
void port_part(struct port *p, int64_t until_us);
void port_mend(struct port *p);
void port_redis_is_gone(struct port *p);

/* How many times it is heard there. */
int64_t port_publish(struct port *p, struct str channel, struct str message);

size_t port_flights(const struct port *p);
bool port_is_up(const struct port *p);

#endif
