/* What the files of fleet/work share.
 *
 *   work.c         one of them, its clockwork, what Redis is asked
 *   work_upload.c  from any `serve`
 *   work_serve.c   claiming and renewing
 *   work_lease.c   what a holder says, one thing at a time per lease */
#ifndef FLEET_WORK_INTERNAL_H
#define FLEET_WORK_INTERNAL_H

#include <stdint.h>

#include "fleet/work.h"

enum work_script {
    WORK_CREATE,
    WORK_PLAN,
    WORK_DECLARE,
    WORK_PLACE,
    WORK_ENQUEUE,
    WORK_CANCEL,
    WORK_STALE,
    WORK_IDLE,
    WORK_CLAIM,
    WORK_BEAT,
    WORK_HOLD,
    WORK_GIVE,
    WORK_COUNT,
    WORK_SCRIPTS,
};

enum {
    WORK_CLAIM_MAX = 4, /* works of one claim, a spec each; the next follows at once */
    WORK_STALE_MAX = 64,
    WORK_CHECK_MS = 1000, /* between claims that nobody woke */
    WORK_COUNT_MS = 5000,
    WORK_AGAIN_MS = 200, /* before what failed is tried again */
    /* So long Redis knows that a work, once taken over, has ended: who has not been
     * heard of for longer may not put it back. */
    WORK_OVER_MS = 7 * 86400 * 1000,
};

/* A lease of this node, or of another time: `is_ours` says. It goes when it is not
 * ours and nothing of it waits. */
struct work_lease {
    struct work_lease *prev, *next;
    char job[JOB_ID_MAX + 1];
    uint64_t token;
    char *step, *spec, *why; /* as Redis has confirmed them */
    uint32_t attempt, mark, chunks;
    uint8_t priority; /* 1 high, 2 normal, 3 low; 0: we never held it */
    bool is_over;     /* somebody else may believe to hold it */
    bool is_cancelled;
    bool is_ours;       /* neither given up nor lost */
    bool is_asking;     /* Redis has been asked something; one thing at a time keeps the order */
    bool is_lost_there; /* Redis has lost it: to be put back first */
    uint64_t beat_ms;   /* when it is renewed next */
    uint64_t again_ms;  /* nothing is asked before */
    uint64_t sure_ms;   /* when it was ours for certain, by two clocks: one may have slept */
    int64_t sure_wall_ms;
    struct work_op *ops;
};

struct work_call;
/* Without a reply err is a failure. Runs exactly once; also from fleet_work_free. */
typedef void work_answer(struct work_call *c, int err, const struct redis_reply *reply);

/* Something that Redis was asked. */
struct work_call {
    struct work_call *prev, *next;
    struct fleet_work *work; /* NULL: freed meanwhile */
    work_answer *answer;
    struct work_lease *lease; /* that asked, or NULL */
    fleet_work_done *done;
    fleet_work_found *found;
    fleet_work_stale_done *stale;
    fleet_work_idle_done *idle;
    void *context;
    int64_t before_ms; /* of `idle` */
    uint64_t asked_ms;
    int64_t asked_wall_ms;
    bool is_refused; /* never went out: answered at the next tick, with err */
    int err;
};

struct fleet_work {
    struct fleet_port *port;
    struct fleet_work_settings settings;
    char node[FLEET_NODE_MAX + 1];
    struct redis_script scripts[WORK_SCRIPTS];
    struct work_call *calls;
    struct work_lease *leases;

    const struct fleet_worker_events *events;
    void *context;
    uint32_t slots;
    bool is_subscribed;
    bool is_claiming; /* one at a time */
    bool is_woken;    /* while that was under way */
    bool is_known;    /* Redis has us among the workers */
    bool was_down;
    bool is_counting, is_counted;
    uint64_t claim_ms, count_ms; /* when next */
    uint64_t patience_ms;        /* until then nothing is taken over */
    struct fleet_work_count count;
};

enum { WORK_ARGS_MAX = 12, WORK_NUMBER_MAX = 24 };

/* ARGV of a script, behind the keys that all have. */
struct work_args {
    struct str list[WORK_ARGS_MAX];
    char numbers[WORK_ARGS_MAX][WORK_NUMBER_MAX];
    size_t count;
};

void work_arg(struct work_args *a, const char *text); /* borrowed */
void work_arg_number(struct work_args *a, uint64_t number);

/* work.c */
struct work_call *work_call_new(struct fleet_work *w, work_answer *answer);
/* Asks, or has the answer be a failure at the next tick. `job` "": KEYS[1] is what
 * every hash's name begins with. */
void work_ask(struct work_call *c, enum work_script script, const char *job,
              const struct work_args *args);
void work_find(struct work_call *c, const char *job);
void work_refuse(struct work_call *c, int err);
struct str work_field(const struct redis_reply *reply, size_t i); /* "" where there is none */
uint64_t work_number(const struct redis_reply *reply, size_t i);  /* 0 */
/* What the first word of an answer says: OK, FAIL_EXISTS, FAIL_MISSING, FAIL_STATE, FAIL_STALE,
 * FAIL_LIMIT, or FAIL_SYNTAX. `err` if it is none. */
int work_verdict(int err, const struct redis_reply *reply);
uint64_t work_now(const struct fleet_work *w);

/* work_serve.c */
void work_claim(struct fleet_work *w);     /* if there is a free slot */
void work_serve_end(struct fleet_work *w); /* says nothing to Redis */
void work_lose(struct fleet_work *w, struct work_lease *l);
void work_tell_cancel(struct fleet_work *w, struct work_lease *l);

/* work_lease.c */
struct work_lease *work_lease_new(struct fleet_work *w, const char *job, uint64_t token);
struct work_lease *work_lease_find(struct fleet_work *w, struct str job, uint64_t token);
void work_lease_go_on(struct fleet_work *w, struct work_lease *l); /* may free it */
void work_lease_sure(struct work_lease *l, const struct work_call *c);
void work_leases_free(struct fleet_work *w);

#endif
