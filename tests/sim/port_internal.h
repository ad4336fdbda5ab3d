/* Private to port*.c: a node's two connections, and what is under way on them. */
#ifndef SIM_PORT_INTERNAL_H
#define SIM_PORT_INTERNAL_H

#include <uthash.h>

#include "model_internal.h"
#include "node.h"

/* One TCP connection after the other. */
struct link {
    uint32_t number;           /* of the connection */
    bool is_up;                /* as the node believes */
    bool is_severed;           /* nothing goes through any more */
    bool is_noticing;          /* it will be told */
    bool is_trying;            /* an attempt to connect is due */
    int64_t there_us, back_us; /* when the last thing arrived: kept in order */
};

struct flight {
    struct flight *prev, *next;
    struct port *port; /* NULL: the node has it no more */
    struct world *world;
    uint32_t number;
    int node;
    unsigned refs; /* the port's list, an event */
    struct bytes *args;
    size_t count;
    struct redis_script script; /* without a source: a command */
    bool is_whole;              /* the script's source goes along */
    bool arrives;               /* also over a severed connection */
    bool has_arrived;
    redis_done *done;
    void *context;
    struct redis_reply *reply;
};

struct topic {
    UT_hash_handle hh;
    enum redis_topic kind;
    uint64_t asked; /* which subscription it is */
    bool is_first;  /* of those that the connection began with */
    struct bytes name;
};

/* What Redis knows of the hearing connection. */
struct ear {
    struct ear *prev, *next;
    bool is_pattern;
    struct bytes name;
};

struct port {
    struct fleet_port fleet; /* first: ports of the fleet are these */
    struct node *node;
    struct world *world;
    struct link commands, hearing;
    struct flight *flights;
    size_t flight_count;
    struct topic *topics[2]; /* channels, patterns */
    struct ear *ears;
    uint64_t asked;
    size_t unconfirmed; /* of the first topics */
    bool is_up, is_told_down, is_over;
    int64_t parted_until_us;
};

static inline struct port *port_of(const struct fleet_port *p)
{
    return (struct port *)p;
}

/* port.c: when something that is sent now arrives, behind what went before. */
int64_t port_in_order(struct world *w, int64_t *last_us);
void port_confirmed(struct port *p); /* one more of the first topics */

/* port_commands.c */
int port_run(struct fleet_port *fleet, const struct redis_script *script, size_t keys,
             const struct str *args, size_t count, redis_done *done, void *context);
int port_command(struct fleet_port *fleet, struct str key, const struct str *args, size_t count,
                 redis_done *done, void *context);
void port_sever_flights(struct port *p);
void port_fail_flights(struct port *p, int err);

/* port_hearing.c */
int port_subscribe(struct fleet_port *fleet, struct str name, enum redis_topic kind);
int port_unsubscribe(struct fleet_port *fleet, struct str name, enum redis_topic kind);
/* `asked` 0: it is one of the first. */
void port_tell(struct port *p, struct str name, bool is_pattern, bool is_leaving, uint64_t asked);
void port_forget_ear(struct port *p, struct ear *e);
void port_forget_topic(struct port *p, struct topic *t);

#endif
