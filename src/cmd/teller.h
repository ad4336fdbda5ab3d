/* A job's status in Redis, as the jobs document's ProgressReporter keeps it:
 * `job_status:{id}` for an hour, and the same message on `job_progress:{id}`.
 * Both in one script: who hears a message finds it, or a newer one, and of two
 * reporters the same one is last in both.
 *
 * One thing at a time, on the loop's thread. The Redis is io/redis_service's,
 * so a URL means here what it means to the server, and what was under way when a
 * connection broke is not sent again by itself. */
#ifndef CMD_TELLER_H
#define CMD_TELLER_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "base/str.h"
#include "core/update.h"

struct teller_answer {
    int err;         /* OK; FAIL_DENIED, ... as in io/redis.h */
    const char *why; /* unless OK: for people; borrowed, as `text` is */
    struct str text; /* what was asked for; at NULL: there is nothing */
};

typedef void teller_done(void *context, const struct teller_answer *answer);

struct teller;

/* Connects by itself. `ca_file` (NULL: the system's) has the certificates to trust of a
 * rediss://. NULL: the URL is none, `why` says how. */
struct teller *teller_open(uv_loop_t *loop, const char *url, const char *ca_file, struct buf *why);

/* The memory goes in the loop's close callbacks. */
void teller_close(struct teller *t);

/* `done` runs once, never within these, and not at all after a cancel. Both wait
 * for the first connection, until an attempt to get it fails. */
void teller_tell(struct teller *t, const struct update *u, teller_done *done, void *context);
void teller_ask(struct teller *t, const char *id, teller_done *done, void *context);
void teller_cancel(struct teller *t); /* fine when nothing is under way */

/* The message that was told last. Valid until the next one. */
struct str teller_message(const struct teller *t);

/* Whether trying again may help. */
bool teller_is_transient(int err);

#endif
