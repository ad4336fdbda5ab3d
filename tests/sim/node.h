/* One process of Reelay, as far as several of them have to do with each other: its
 * jobs, its work, the ears of its ledger. */
#ifndef SIM_NODE_H
#define SIM_NODE_H

#include "core/ledger.h"
#include "fleet/jobs.h"
#include "fleet/work.h"
#include "port.h"
#include "world.h"

enum { SEATS = 6 };

/* Where a viewer sits: an ear of the node's ledger. */
struct seat {
    struct listener listener; /* first: listeners are seats */
    struct node *node;
    unsigned index; /* of the ledger */
    int number;     /* whose it is, at every node */
};

struct node {
    struct world *world;
    int index;
    uint32_t life;           /* counts its starts and ends */
    int64_t paused_until_us; /* nothing happens to it before */
    int64_t wall_offset_us, mono_offset_us;
    struct observer observer;
    struct port *port;
    struct ledger *ledger;
    struct fleet_jobs *jobs;
    struct fleet_work *work;
    struct seat seats[SEATS];
    bool is_up; /* it runs */
};

struct node *node_new(struct world *w, int index);
void node_free(struct node *n);
void node_start(struct node *n);
void node_crash(struct node *n); /* all its memory is gone */

/* From the port. */
void node_up(struct node *n);
void node_down(struct node *n);
void node_heard(struct node *n, struct str name, enum redis_topic kind);
void node_push(struct node *n, const struct redis_push *push);

uint64_t node_mono_ms(const struct node *n);
int64_t node_wall_ms(const struct node *n);

enum { LEASE_MS = 3000, ATTEMPTS_MAX = 4, SLOTS = 2, REPORT_TTL_MS = 60 * 1000 };

#endif
