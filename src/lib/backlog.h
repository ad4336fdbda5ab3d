/* What a reporter still has to send: each job's messages, in order, and what was
 * last said of it. No I/O, no lock: its owner holds one.
 *
 * Invariants: of a job's items only the last one may be not urgent, and that one
 * gives way to the next. While `is_down`, a job has its endings and the latest
 * item, nothing else. An ending is never dropped. An item's `seq` is that of the
 * oldest call it stands for, so "everything up to seq is sent" can be asked.
 * A job leaves when it failed and all is sent, or for a newer one when nothing of
 * it is unsent. */
#ifndef LIB_BACKLOG_H
#define LIB_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

#define HASH_NONFATAL_OOM 1 /* uthash would end the process */
#include <uthash.h>

enum { JOB_ITEMS_MAX = 16, BACKLOG_NEVER_MS = -1 };

struct item {
    char *json;
    size_t len;
    uint64_t seq;
    bool is_urgent;
    bool is_ending;
    struct item *prev, *next;
};

struct entry {
    char id[JOB_ID_MAX + 1];
    char *stage; /* last reported */
    double progress;
    bool is_completed;
    bool has_failed;
    int64_t sent_ms; /* BACKLOG_NEVER_MS */
    int64_t said_ms;
    int in_flight; /* items taken and not settled yet */
    int count;     /* of items */
    struct item *items;
    struct entry *prev, *next; /* in `waiting`, while it has items */
    UT_hash_handle hh;
};

struct backlog {
    struct entry *entries;
    struct entry *waiting;
    uint64_t seq; /* of the last call */
    int max;      /* entries */
    int interval_ms;
    bool is_down;
};

/* What is taken for sending; the item is the taker's until it is settled. */
struct parcel {
    struct entry *entry;
    struct item *item;
};

void backlog_init(struct backlog *b, int max, int interval_ms);
void backlog_deinit(struct backlog *b);

/* The job's entry or NULL. */
struct entry *backlog_find(struct backlog *b, const char *id);

/* The same, made if there is none; FAIL_FULL, FAIL_NOMEM. */
int backlog_entry(struct backlog *b, const char *id, int64_t now_ms, struct entry **out);

/* What follows `e`: takes `json` (malloc) if OK. FAIL_FULL, FAIL_NOMEM. */
int backlog_put(struct backlog *b, struct entry *e, char *json, size_t len, bool is_urgent,
                bool is_ending);

/* Frees `e` if there is nothing to know of it: after a put that failed. */
void backlog_forget_empty(struct backlog *b, struct entry *e);

/* Nothing unsent of this job (NULL: of any) waits for its time any longer. */
void backlog_hurry(struct backlog *b, struct entry *e);

/* When the first item is due; INT64_MAX without one. */
int64_t backlog_due_ms(const struct backlog *b);

/* Takes what is due, at most `max` parcels and about `bytes`. */
int backlog_take(struct backlog *b, int64_t now_ms, struct parcel *out, int max, size_t bytes);

/* The first `sent` of them arrived; the others go back to where they were. */
void backlog_settle(struct backlog *b, struct parcel *parcels, int count, int sent);

/* From now on the latest of each job is enough. */
void backlog_fall_behind(struct backlog *b);

/* Whether something up to `seq`, of this job (NULL: any), waits to be taken. */
bool backlog_has(const struct backlog *b, const char *id, uint64_t seq);

#endif
