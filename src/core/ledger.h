/* The one writer of job state. Every job that is unfinished or lately finished
 * has an entry; a change is applied to it under one mutex and becomes the next
 * update.
 *
 * An update is first accepted, then written down by the journal, then heard:
 *
 *   ledger_apply -> accepted -> journal->append ... ledger_confirm -> heard
 *                                                        |
 *                                     post() to every listener that watches
 *
 * so nobody hears what a crash could take back. Each listener is one I/O
 * thread. Posts happen while the ledger's lock is held, so a listener sees a
 * job's updates in order; a watch returns the last heard update under the same
 * lock, so nothing falls between the two.
 *
 * Every function may be called on any thread. */
#ifndef CORE_LEDGER_H
#define CORE_LEDGER_H

#include <stddef.h>

#include "core/update.h"
#include "core/viewer.h"

enum { LEDGER_LISTENERS_MAX = 64 };

struct ledger;

/* Where accepted updates are written down. `append` shares a reference, is
 * called with the ledger's lock held and must neither block nor call back; the
 * journal later calls ledger_confirm with what it has written, in order. */
struct journal {
    void (*append)(struct journal *journal, struct update *u);
};

/* An I/O thread's ear. `post` shares a reference, is called with the lock held
 * and must neither block nor call back. */
struct listener {
    void (*post)(struct listener *listener, struct update *u);
};

/* Hears who is watched, for whoever has to listen elsewhere meanwhile. Called with
 * the lock held; must neither block nor call back. */
struct observer {
    void (*watched)(struct observer *o, const char *id);   /* its first watcher came */
    void (*unwatched)(struct observer *o, const char *id); /* its last one went */
    void (*watched_all)(struct observer *o, bool is_watched);
};

/* `journal` is borrowed; NULL: what is accepted is heard at once (tests, and
 * processes that keep nothing). Numbers begin after `first_seq`. */
struct ledger *ledger_new(struct journal *journal, uint64_t first_seq);

/* One that is not the writer but hears one elsewhere: nothing is applied to it,
 * ledger_hear feeds it, and it keeps what is watched. Borrows `observer`. */
struct ledger *ledger_new_mirror(struct observer *observer);
void ledger_free(struct ledger *l);

/* Borrows `listener` and returns its index; at most LEDGER_LISTENERS_MAX. */
int ledger_listen(struct ledger *l, struct listener *listener, unsigned *index);

/* Applies a change. A job that is not there is created if `may_create` (then
 * `c->kind` and the owner count). Gives the accepted update (if `out`).
 * FAIL_MISSING, FAIL_STATE (the move is not allowed), FAIL_LIMIT. */
int ledger_apply(struct ledger *l, const char *id, const struct change *c, bool may_create,
                 struct update **out);

/* Creates a job that must not exist; FAIL_EXISTS. */
int ledger_create(struct ledger *l, const char *id, const struct change *c, struct update **out);

/* Puts back a state that the store had: nothing is appended, and it is posted
 * only to those who wait for just this job (and an unfinished one to those who
 * hear all). Does nothing when the job is there. Shares the reference. */
void ledger_restore(struct ledger *l, struct update *u);

/* A mirror's: the state of a job as it is elsewhere. What is not newer than what was
 * heard, or watched by nobody, is passed over. Shares the reference. */
void ledger_hear(struct ledger *l, struct update *u);

/* From the journal: these, in this order, are written down. Keeps its own
 * references; the caller's stay the caller's. */
void ledger_confirm(struct ledger *l, struct update *const *updates, size_t count);

/* The last heard update, or NULL. Gives a reference. */
struct update *ledger_snapshot(struct ledger *l, const char *id);

/* The last accepted one: what the next change will be measured against. */
struct update *ledger_head(struct ledger *l, const char *id);

/* From now on `index` hears of this job (which need not exist yet); gives the
 * last heard update or NULL. Not counted: once per thread and job. */
struct update *ledger_watch(struct ledger *l, const char *id, unsigned index);
void ledger_unwatch(struct ledger *l, const char *id, unsigned index);

/* From now on `index` hears of every job; `each` gets the last heard update of
 * every unfinished job (borrowed), under the lock: it must not call back. */
void ledger_watch_all(struct ledger *l, unsigned index,
                      void (*each)(void *context, struct update *u), void *context);
void ledger_unwatch_all(struct ledger *l, unsigned index);

/* Ids (mem_free) of at most `max` unfinished external jobs of which nothing has
 * been heard since `before_ms`. */
size_t ledger_silent(struct ledger *l, int64_t before_ms, size_t max, char **out);

/* Ids (mem_free) of at most `max` jobs that were heard of and have not ended. */
size_t ledger_unfinished(struct ledger *l, size_t max, char **out);

struct ledger_count {
    size_t jobs, unfinished, watched;
};
void ledger_count(struct ledger *l, struct ledger_count *out);

#endif
