/* What the options of `reelay serve` mean to the house: whether they fit each
 * other, and each room's settings. */
#ifndef CMD_SERVE_SETTINGS_H
#define CMD_SERVE_SETTINGS_H

#include "api/api.h"
#include "cmd/serve_options.h"
#include "io/network.h"
#include "io/thread.h"
#include "media/pipeline.h"

struct serve_settings {
    const struct serve_options *options; /* borrowed, as are their texts below */
    struct pipeline_settings pipeline;
    struct api_settings api;
    struct io_settings io; /* without thread_end */
    struct io_timeouts timeouts;
    struct network trusted[OPTION_LIST_MAX];
};

/* `why` names the option and what is allowed: FAIL_SYNTAX, FAIL_DENIED. `out`
 * points into itself: it stays where it is. */
int serve_settings_read(const struct serve_options *o, struct serve_settings *out, struct buf *why);

/* An origin as browsers send it ("https://app.example.com"), or "*". */
bool serve_settings_is_origin(const char *text);

/* The part that a `worker` has too. */
void serve_settings_pipeline(const struct serve_options *o, struct pipeline_settings *out);

#endif
