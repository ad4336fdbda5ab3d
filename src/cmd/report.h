/* What `reelay report` was told to report. */
#ifndef CMD_REPORT_H
#define CMD_REPORT_H

#include "cmd/client.h"

struct report_options {
    struct client_options client;
    const char *stage, *progress, *message, *metadata, *result, *error; /* NULL: not said */
    bool is_complete;
};

/* Through Redis; the exit status. The options are checked. */
int report_to_redis(struct client *c, const struct report_options *o, const char *id);

#endif
