/* What downloads need besides a pipeline, as the options of `serve` and `worker` say: the
 * guard, and a client for HTTP that goes only where that lets it. */
#ifndef CMD_FETCHING_H
#define CMD_FETCHING_H

#include <uv.h>

#include "cmd/serve_options.h"
#include "io/fetch.h"
#include "io/guard.h"
#include "media/downloads.h"

struct fetching {
    struct guard *guard; /* both NULL: nothing is downloaded */
    struct fetcher *fetcher;
};

/* FAIL_SYNTAX: `why` names the rule. */
int fetching_open(uv_loop_t *loop, const struct serve_options *o, struct fetching *out,
                  struct buf *why);
void fetching_close(struct fetching *f); /* run the loop behind it */
void fetching_free(struct fetching *f);  /* behind the loop's end */

void fetching_settings(const struct serve_options *o, struct download_settings *out);

#endif
