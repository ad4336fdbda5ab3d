/* Following one job to its end: over a WebSocket, and by asking whenever that
 * breaks. A job that is not known yet is waited for. */
#ifndef CMD_FOLLOW_H
#define CMD_FOLLOW_H

#include "cmd/bar.h"
#include "cmd/client.h"

/* Shows the job until it has ended, then says how; returns the exit status.
 * `has_been_reached`: the server was there a moment ago, so that not finding it
 * now is no reason to give up at once. `has_ended`: the job has; else it was
 * left to itself. */
int follow_job(struct client *c, struct bar *bar, const char *id, bool has_been_reached,
               bool *has_ended);

/* "/api/jobs/a%20b" for the format "/api/jobs/%s". */
void follow_path(struct buf *out, const char *before, const char *id, const char *behind);

#endif
