/* What a struct store is made of, for the files of src/store alone.
 *
 *   any thread --queue_put--> queue --take--> pending --group--> file
 *
 * `lock` guards the queue and the trouble; the writer's connection and what is
 * pending belong to the writer's thread once it runs; `read_lock` guards the
 * reader's connection. The two locks are never held together, and neither is
 * held while the ledger or a callback is called, except that the reading
 * functions call `each` under read_lock. */
#ifndef STORE_STORE_ROOM_H
#define STORE_STORE_ROOM_H

#include <pthread.h>
#include <stdbool.h>

#include "store/store.h"
#include "store/store_hooks.h"
#include "store/store_sql.h"

enum { STORE_RETRY_FIRST_MS = 100 };

enum record_kind {
    RECORD_UPDATE,
    RECORD_PUT,
    RECORD_DROP,
    RECORD_SYNC,
    RECORD_AFTER,
    RECORD_SWEEP,
    RECORD_JOIN,
    RECORD_PART,
    RECORD_HOOK
};

/* Something to be written. */
struct record {
    struct record *next;
    enum record_kind kind;
    /* RECORD_UPDATE */
    struct update *update;
    size_t order;      /* place among what is pending */
    bool is_confirmed; /* heard already, though it could not be written */
    bool is_due;       /* to be heard now */
    bool is_dropped;   /* heard, and a later one of the job stands for it */
    /* RECORD_PUT, RECORD_DROP; RECORD_SYNC and RECORD_AFTER have only the callback */
    char *job, *step, *spec;
    int64_t updated_ms;
    void (*done)(void *context, int err);
    void *context;
    /* RECORD_JOIN, RECORD_PART: also `job` */
    char *pid, *sid, *subject;
    /* RECORD_SWEEP: on the stack of who waits for it */
    struct sweep *sweep;
    /* RECORD_HOOK */
    struct hook_record *hook;
    int outcome; /* what `done` hears once it is written */
};

struct records {
    struct record *first, **last; /* last: where the next one is hung in */
    size_t count;
};

struct sweep {
    int64_t before_ms;
    size_t max, count;
    int err;
    bool is_done;
    pthread_cond_t wake; /* with the store's lock */
};

enum writer_sql {
    WRITE_JOB,
    WRITE_PROGRESS,
    WRITE_WORK,
    WRITE_NO_WORK,
    WRITE_ROOM,
    WRITE_NO_ROOM,
    WRITE_SWEEP,
    WRITE_FIND,
    WRITE_HOOK,
    WRITE_HOOK_SETTLE,
    WRITE_HOOK_LET_GO,
    WRITE_HOOK_REPLAY,
    WRITE_HOOK_FORGET,
    WRITE_META,
    WRITE_SYNC,
    WRITE_BEGIN,
    WRITE_COMMIT,
    WRITE_ROLLBACK,
    WRITER_SQLS
};

enum reader_sql {
    READ_JOB,
    READ_UNFINISHED,
    READ_WORK,
    READ_WORKS,
    READ_LIST,
    READ_OWNED,
    READ_ROOMS,
    READ_HOOKS_DUE,
    READ_HOOKS_NEXT,
    READ_HOOKS,
    READ_HOOKS_OF_JOB,
    READER_SQLS
};

struct store {
    struct journal journal; /* first: the journal is the store */
    struct ledger *ledger;  /* NULL until store_start */
    pthread_t thread;
    bool is_started;
    struct store_hooks hooks; /* url_count 0: none are configured */
    char *hook_urls;          /* as a JSON array; NULL likewise */

    pthread_mutex_t lock;
    pthread_cond_t wake; /* something was queued, or closing; monotonic clock */
    struct records queue;
    bool is_closing;
    char trouble[256];

    /* The writer's */
    sqlite3 *writer;
    sqlite3_stmt *writes[WRITER_SQLS];
    struct records pending; /* in order: what could not be written, then what is new */
    struct record **sorted; /* pending updates by job, then order */
    size_t sorted_count, sorted_room;
    bool is_full_sync;  /* how the connection is set */
    bool has_new_hooks; /* to be told of once the group is written */
    bool is_troubled;
    int last_err;
    uint64_t retry_ms, next_try_ms, give_up_ms;

    pthread_mutex_t read_lock;
    sqlite3 *reader;
    sqlite3_stmt *reads[READER_SQLS];
};

void records_init(struct records *r);
void records_add(struct records *r, struct record *record);
void records_move(struct records *to, struct records *from); /* to the end; empties `from` */
void record_free(struct record *record);

/* Takes the record. */
void queue_put(struct store *s, struct record *record);

/* Opens and prepares one connection. */
int writer_open(struct store *s, const char *path, struct buf *why);
int reader_open(struct store *s, const char *path, struct buf *why);

/* The writer's thread, and what store_close runs if there is none: writes until
 * the store is closing and everything is written (or cannot be). */
void *writer_run(void *store);

/* One transaction with everything pending. */
int group_write(struct store *s);
/* Sorts s->pending's updates into s->sorted. */
void group_sort(struct store *s);
/* Of its job the last in s->sorted. */
bool group_is_latest(const struct store *s, size_t index);

int write_count_start(struct store *s, uint64_t *start);
int write_sweep(struct store *s, struct sweep *sweep);

/* Events of a job's updates in this group, in order; before the last of them is written. */
int hooks_write(struct store *s, struct record *const *of_job, size_t count);
void hooks_written(struct store *s); /* the group is */
int hook_record_write(struct store *s, struct record *record);

#endif
