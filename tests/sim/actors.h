/* Who acts in a world: workers of its nodes, those who upload, those who report over
 * HTTP or by Redis alone, viewers, and trouble. */
#ifndef SIM_ACTORS_H
#define SIM_ACTORS_H

#include "node.h"
#include "world.h"

enum trouble { TROUBLE_NONE, TROUBLE_NODES, TROUBLE_REDIS, TROUBLE_MEMORY, TROUBLES };

/* Somebody with one job, who does one thing at a time: goes to a node that runs,
 * asks something, and goes on by what it is told. */
struct actor {
    struct world *world;
    struct actor *next;
    struct node *node; /* where it is */
    void (*act)(struct actor *a);
    int step, count, left;
    bool is_over;
    bool is_asking;
    char id[32];
};

struct hold;

struct script {
    struct actor *actors;
    struct hold *holds;
    enum trouble trouble;
    unsigned made;
    int64_t trouble_until_us;
    struct node *seated[SEATS]; /* where each viewer sits, or NULL */
    uint32_t seated_life[SEATS];
};

struct script *script_new(struct world *w);
void script_free(struct script *s);
/* Whether all have what they wanted. */
bool script_is_over(const struct script *s);
const struct actor *script_unfinished(const struct script *s);
void script_calm(struct world *w); /* nothing breaks any more, all is mended */

/* actors.c */
struct actor *actor_new(struct world *w, const char *kind, void (*act)(struct actor *a));
/* Its `act` runs on some node, after a while; again elsewhere if that one crashes. */
void actor_go(struct actor *a, int64_t least_us, int64_t most_us);
void actor_asks(struct actor *a);
/* In what a node tells it. */
void actor_told(struct actor *a, int err, const char *what);
struct node *some_node(struct world *w); /* that runs, or NULL */

/* Each of a kind */
void upload_begin(struct world *w);
void reporter_begin(struct world *w);
void foreign_begin(struct world *w);
void lister_begin(struct world *w);
void viewers_begin(struct world *w);
void trouble_begin(struct world *w);

/* workers.c */
void worker_start(struct node *n);
void worker_drain(struct node *n); /* claims nothing more */
void worker_crashed(struct node *n);

void actors_node_started(struct node *n);
void actors_node_crashed(struct node *n);

#endif
