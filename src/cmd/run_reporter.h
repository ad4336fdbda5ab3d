/* Brings the latest news to a target without ever holding up who has them: one
 * report at a time, the newest wins, a pause between two, retries with backoff.
 * The last report is tried until a deadline. What goes wrong is said once, on
 * standard error.
 *
 *   idle ──news──> waiting (pause or backoff) ──> sending ──told──> idle
 *                     ^────────── no answer, try again ──┘
 *   behind the end: sending the last one ──told, refused or too late──> done */
#ifndef CMD_RUN_REPORTER_H
#define CMD_RUN_REPORTER_H

#include "cmd/run_target.h"

struct run_reporter {
    struct run_target *target;
    const char *id;
    uv_timer_t timer;
    struct run_report latest;
    bool has_news;       /* `latest` has not been sent */
    bool is_sending;     /* one is under way, */
    bool is_sending_end; /* the last one */
    bool has_ended;      /* `latest` is the last one */
    bool is_refused;     /* nobody wants to hear more */
    bool has_complained;
    bool is_done;
    unsigned attempt; /* failures in a row */
    uint64_t sent_ms; /* when the one under way was */
    uint64_t next_ms; /* not before */
    uint64_t ended_ms, deadline_ms;
    char why[CLIENT_WHY_MAX]; /* of the last failure */
};

/* Borrows target and id. */
void run_reporter_init(struct run_reporter *r, struct run_target *target, const char *id,
                       uv_loop_t *loop);
/* The loop must run behind this, for the timer to be closed. */
void run_reporter_deinit(struct run_reporter *r);

void run_reporter_tell(struct run_reporter *r, const struct run_report *report);
/* The last report; `is_done` once it is told, refused, or `timeout_ms` over. */
void run_reporter_end(struct run_reporter *r, const struct run_report *report, uint64_t timeout_ms);
/* Behind the end: enough waited. */
void run_reporter_give_up(struct run_reporter *r);

#endif
