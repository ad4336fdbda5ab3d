/* Private to the files of fleet/jobs: a job as this node knows it, and what waits
 * for Redis. */
#ifndef FLEET_JOBS_ROOM_H
#define FLEET_JOBS_ROOM_H

#define HASH_NONFATAL_OOM 0
#include <uthash.h>

#include "fleet/foreign.h"
#include "fleet/jobs.h"
#include "fleet/record.h"

/* A change on its way into Redis. */
struct write {
    struct write *prev, *next;
    struct change change; /* its texts are `texts` */
    char *texts[UPDATE_TEXTS];
    enum fleet_when when;
    bool is_report, is_latest_only;
    struct viewer *viewer; /* one reference, or NULL */
    uint64_t token;
    uint64_t deadline_ms; /* monotonic; 0: none */
    uint64_t hash;        /* of the foreign message it is, or 0 */
    bool is_of_reports;   /* and that came by job_progress or job_status */
    int err;              /* of deriving it, this time */
    fleet_job_done *done;
    void *context;
};

/* Who asked for the present state. */
struct finder {
    struct finder *prev, *next;
    uint64_t deadline_ms;
    fleet_job_done *done;
    void *context;
};

enum { BATCH_MAX = 64 }; /* changes in one record */

enum heard { HEARD_RECORDS = 1, HEARD_REPORTS = 2, HEARD_BYTES = 4, HEARD_ALL = 7 };

struct job {
    UT_hash_handle hh;
    struct fleet_jobs *owner;
    struct fleet_record known; /* last that Redis said; update NULL: none, or never asked */
    uint64_t number_there;     /* of the record in Redis when it was last seen: below the known
                                * one's once Redis has lost its memory */
    bool is_outdated;          /* what is under way was sent before the last change came */
    bool is_fresh;             /* asked for behind the change that is judged now */
    struct write *writes;      /* in order of arrival */
    size_t write_count;
    size_t sent;         /* the first so many are under way, as `next` */
    struct update *next; /* what they come to; kept until Redis has answered */
    uint64_t next_write; /* how its record is known again */
    uint64_t next_from;
    bool is_turn;                /* it is of another state than what was before */
    char expected[STR_U64_SIZE]; /* number that it follows */
    struct finder *finders;
    bool is_begun;   /* it was listed ahead of its first record */
    bool is_running; /* a script is under way: at most one per job */
    bool is_in_line; /* until fewer of all jobs are */
    struct job *line_prev, *line_next;
    bool is_watched;
    bool is_deaf;       /* there was no room for all of its channels */
    uint64_t contested; /* number of a record in Redis that is a younger job's than the known one,
                           or 0 */
    bool is_doubted;    /* an older record than the known one came by */
    bool needs_look;    /* what Redis has is to be read */
    bool is_unread;     /* watched, and not read since it was last deaf */
    uint64_t again_ms;  /* when it is read once more; 0: not */
    unsigned heard;     /* of its channels: enum heard */
    uint64_t retry_ms, used_ms;
    char id[];
};

struct fleet_jobs {
    struct fleet_port *port;
    struct ledger *ledger;
    struct fleet_jobs_settings settings;
    struct redis_script apply, look;
    struct job *jobs;
    size_t pending; /* writes and finders, of all jobs */
    size_t unread;  /* jobs whose is_unread */
    size_t running; /* jobs whose is_running */
    struct job *line;
    bool is_over; /* being freed: nothing new */
    bool is_all_watched;
    unsigned all_heard; /* of the patterns */
    bool needs_index;   /* the list of live jobs is to be read */
    bool is_indexing;
    uint64_t ticks;
    uint64_t swept_ms;
    char complained[64][FLEET_KEY_MAX]; /* channels whose first bad message was logged ... */
    unsigned complaints;                /* ... since then */
    uint64_t complained_ms;
    char refusal[160]; /* what Redis said last of what it does not do, or "" */
    uint64_t refusal_ms, refusal_told_ms;
};

/* jobs.c: the table */
struct job *shared_get(struct fleet_jobs *j, const char *id); /* found or made */
struct job *shared_lookup(struct fleet_jobs *j, const char *id);
void shared_settle(struct job *job, uint64_t now_ms); /* gone if nobody needs it any more */

/* jobs_writes.c: what waits for Redis */
struct write *write_new(const struct fleet_apply *a, fleet_job_done *done, void *context);
void writes_append(struct job *job, struct write *w);
/* Lets go of the oldest progress that waits, foreign or latest only; false: there is none. */
bool writes_make_room(struct job *job);
void writes_find(struct job *job, struct finder *f);
void writes_answer(struct job *job, int err); /* those who asked for the state */
/* The batch under way is over, with what each of it came to. */
void writes_end_sent(struct job *job, int err);
/* Those of it whose message is in the state already, by the script's flags. */
void writes_end_seen(struct job *job, const struct redis_reply *flags, size_t count);
void writes_refuse(struct job *job, size_t count);     /* the first so many, each with its own */
void writes_give_up(struct job *job, uint64_t now_ms); /* who waited too long */
void writes_abandon(struct job *job, int err);         /* everything that waits is over */

/* jobs_learn.c: what Redis says of a job */
void learn_tell(struct job *job, bool is_news);     /* the ledger */
uint64_t learn_number(const struct job *job);       /* of the known state; 0: none */
struct change learn_change(const struct update *u); /* all that a state says; borrows its texts */
void learn_next(struct job *job, struct update *u); /* what those under way came to; takes it */
void learn_text(struct job *job, struct str text);  /* the record in an answer */
/* A state that came by itself; takes the record. */
void learn_take(struct job *job, struct fleet_record *r);
/* The same for a record that need not be read: older than what is known, or what is under way
 * here, heard before its answer. False: it is to be read. */
bool learn_knows(struct job *job, struct str record);

/* jobs_derive.c: the state that the first changes come to, as many as may be merged, as
 * job->next; false: none of those `count` is possible. */
bool derive_batch(struct job *job, size_t *count);

/* jobs_send.c: `u` with a number of its own choice (0: Redis'). */
int send_state(struct job *job, const struct update *u, uint64_t number, redis_done *done);

/* jobs_order.c: one script after the other */
void order_look(struct job *job); /* what Redis has is to be read */
void order_run(struct job *job);  /* the next script, if there is need for one */
void order_leave_line(struct job *job);
void order_tick(struct job *job, uint64_t now_ms);

/* jobs_bridge.c: what is watched, and foreign messages */
/* A status that one of us did not write is a message that may have been missed. True: it is on
 * its way, and `done` will come. */
bool bridge_take_status(struct job *job, struct str status, fleet_job_done *done, void *context);
void bridge_mark_read(struct job *job);
void bridge_tick(struct job *job, uint64_t now_ms); /* now and then */
void bridge_up(struct fleet_jobs *j);               /* all that is watched is to be read */

/* jobs_index.c: the lists of jobs */
void index_begin(struct fleet_jobs *j, const char *id);        /* it is about to be made */
void index_note(struct fleet_jobs *j, const struct update *u); /* it has come to another state */
bool index_is_shown(struct fleet_jobs *j, const struct update *u); /* to whoever watches all */
void index_read_live(struct fleet_jobs *j);
void index_tick(struct fleet_jobs *j, uint64_t now_ms);

#endif
