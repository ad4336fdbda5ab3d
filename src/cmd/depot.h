/* Where chunks and what is published lie, as the options of `serve` and `worker` say:
 * in the data directory, or in a bucket. */
#ifndef CMD_DEPOT_H
#define CMD_DEPOT_H

#include <uv.h>

#include "cmd/serve_options.h"
#include "storage/storage.h"

/* Else it is the data directory. */
bool depot_is_bucket(const struct serve_options *o);

/* What the options must agree on, before anything is opened. `serves`: it has doors.
 * FAIL_SYNTAX, FAIL_DENIED; `why` names the option. */
int depot_check(const struct serve_options *o, bool is_fleet, bool serves, struct buf *why);

/* NULL if it is the data directory. Logs which it is. */
int depot_open(uv_loop_t *loop, const struct serve_options *o, struct storage **out,
               struct buf *why);

/* Asks the bucket something as soon as the loop runs, so that the log says at once, and not
 * with the first upload, that it cannot be used. It may be away for now: no reason to end. */
void depot_try(struct storage *s);

/* By what nodes of a fleet know that they have the same one: a text for people, with no
 * secret in it. A shared folder is known by a file in it, which the first node makes. */
int depot_mark(const struct storage *s, const char *data_dir, struct buf *out, struct buf *why);

/* What a node says that has another one than the rest of its fleet. */
void depot_explain(const struct serve_options *o, const char *own, const char *theirs,
                   struct buf *out);

#endif
