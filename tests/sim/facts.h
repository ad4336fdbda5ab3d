/* What was seen of a world, and what must be true of it. docs/internals/fleet.md
 * says in prose what is held and what is not once Redis has lost its memory. */
#ifndef SIM_FACTS_H
#define SIM_FACTS_H

#include <uthash.h>

#include "core/update.h"
#include "node.h"
#include "world.h"

enum work_end { WORK_NOT_ENDED, WORK_FINISHED, WORK_REOPENED, WORK_DROPPED };

/* A job. */
struct fact {
    UT_hash_handle hh;
    /* Records, as Redis published them */
    struct update *last; /* one reference, or NULL */
    uint64_t token;      /* of the last */
    uint64_t retry;      /* number of the last that began anew */
    uint64_t stage;      /* number of the first of its stage, this time */
    uint64_t *losses;    /* Redis' clock whenever it came back without the last */
    size_t loss_count;
    /* Work */
    bool is_expected;     /* somebody promised that it ends */
    bool was_lost;        /* Redis has come back without all of its memory */
    bool is_work_excused; /* ... and nobody held it */
    enum work_end end;    /* the last */
    uint64_t end_token;   /* who said so */
    uint64_t top_token;   /* largest that was handed out */
    int64_t step;         /* of the last checkpoint that was acknowledged */
    uint64_t step_token;  /* whose */
    uint64_t old_token;   /* tokens up to this are of an earlier enqueueing */
    uint64_t cancel_us;   /* Redis' clock when a cancel was acknowledged; 0: none */
    int holder;           /* node that was given the last, or -1 */
    uint32_t holder_life;
    char id[];
};

struct view {
    UT_hash_handle hh;
    struct update *last; /* one reference */
    bool is_new;         /* nothing was seen since the viewer sat down there */
    bool is_left;        /* it does not watch any more */
    char id[];
};

struct facts {
    struct fact *jobs;
    struct view *views[SEATS]; /* of each viewer */
    uint64_t posts, records, claims, finishes, losses, steps_back;
    uint64_t orphans; /* jobs whose work went with Redis' memory: nobody ends them */
};

struct facts *facts_new(void);
void facts_free(struct facts *f);

struct fact *facts_job(struct world *w, const char *id); /* found or made */

void facts_step(struct world *w);
void facts_published(struct world *w, struct str channel, struct str message);
/* Around a command; what the first gives, the second takes. */
struct redis_reply *facts_executing(struct world *w, const struct str *args, size_t count);
void facts_executed(struct world *w, const struct str *args, struct redis_reply *before);
/* It was down and is there again; `last` is what it had. */
void facts_redis_started(struct world *w, struct model *last);

void facts_posted(struct world *w, struct seat *s, struct update *u);
/* A viewer begins to watch; `u` is what it is shown (may be NULL). */
void facts_watched(struct world *w, struct seat *s, const char *id, struct update *u);

void facts_left(struct world *w, int viewer, const char *id); /* NULL: all */

void facts_enqueuing(struct world *w, const char *id); /* it is asked for */
void facts_enqueued(struct world *w, const char *id);  /* and acknowledged */
void facts_cancelled(struct world *w, const char *id);
void facts_checkpointed(struct world *w, const char *id, uint64_t token, int step);
void facts_claimed(struct world *w, struct node *n, const struct fleet_lease *lease);
void facts_let_go(struct world *w, struct node *n, const char *id, uint64_t token);
void facts_ended(struct world *w, const char *id, uint64_t token, enum work_end end);
void facts_crashed(struct world *w, struct node *n);

void facts_listed(struct world *w, struct update *const *updates, size_t count);

/* Nothing has broken for long: what must hold now. */
void facts_settled(struct world *w);

#endif
