/* Where a run's reports go: one report or creation at a time. To add a place: a
 * file with its ops, and a line in run.c that makes it. Only on the loop's
 * thread. */
#ifndef CMD_RUN_TARGET_H
#define CMD_RUN_TARGET_H

#include "base/buf.h"
#include "cmd/client.h"
#include "cmd/run_read.h"

enum { RUN_ERROR_MAX = 1024 };

enum run_state { RUN_PROCESSING, RUN_COMPLETED, RUN_FAILED };

/* All there is to say at a moment; nothing refers to an earlier one. */
struct run_report {
    enum run_state state;
    const char *stage;         /* lives as long as the target */
    const char *result;        /* JSON, when completed; lives so too */
    char error[RUN_ERROR_MAX]; /* when failed */
    struct run_news news;
};

enum run_reply { RUN_TOLD, RUN_AGAIN /* trying again may help */, RUN_REFUSED };

struct run_answer {
    enum run_reply reply;
    const char *why; /* unless told; borrowed, as `id` is */
    const char *id;  /* of the job that was created, or NULL */
};

typedef void run_answer_fn(void *context, const struct run_answer *answer);

struct run_target;

struct run_target_ops {
    const char *name;
    /* `done` runs once, never within these, and not at all after a cancel. The
     * report is borrowed for the call. create NULL: nobody makes jobs there. */
    void (*create)(struct run_target *t, const char *title, run_answer_fn *done, void *context);
    void (*tell)(struct run_target *t, const char *id, const struct run_report *report,
                 run_answer_fn *done, void *context);
    void (*cancel)(struct run_target *t); /* fine when nothing is under way */
    void (*free)(struct run_target *t);   /* the loop must run behind it */
};

struct run_target {
    const struct run_target_ops *ops;
};

/* A Reelay server, over HTTP. Borrows the client. */
struct run_target *run_http_new(struct client *c);

/* Redis, without a server in between. NULL: the URL is none, `why` says how. */
struct run_target *run_redis_new(uv_loop_t *loop, const char *url, const char *ca_file,
                                 struct buf *why);

/* The report as POST /api/jobs/{id}/progress takes it. */
void run_report_write(const struct run_report *r, struct buf *out);
/* What is known beyond progress and message: an object, or nothing. */
void run_metadata_write(const struct run_news *n, struct buf *out);

#endif
