/* What a watcher knows of a job, read from the messages of document 003 and from
 * GET /api/jobs/{id}. Progress is the whole job's. Text comes from the server and
 * is shown only through the bar, which takes the sting out of it. */
#ifndef CMD_JOB_VIEW_H
#define CMD_JOB_VIEW_H

#include <jansson.h>

#include "base/buf.h"
#include "base/str.h"
#include "cmd/bar.h"

struct job_view {
    bool is_final, is_completed;
    char state[16]; /* "queued", ... as the server has it */
    struct buf stage, message, error;
    struct buf url;    /* hls_url as the server has it, or url of a downloaded file */
    bool is_file;      /* it is the latter */
    struct buf result; /* JSON, or empty */
    double fraction, speed;
    int64_t eta_s;
};

void job_view_init(struct job_view *v);
void job_view_deinit(struct job_view *v);

/* A WebSocket message; anything else than a job's state is passed over. */
void job_view_read_message(struct job_view *v, struct str message);
void job_view_read_job(struct job_view *v, const json_t *job);

/* Borrows the view's texts. */
void job_view_state(const struct job_view *v, struct bar_state *out);

/* Says how it ended; returns the exit status. `base` makes the URL absolute. */
int job_view_end(const struct job_view *v, struct bar *bar, const char *base);

#endif
