/* What a worker elsewhere says about its job, as JSON: the body of a report and
 * what it does to the job's state. Pure; any thread. */
#ifndef INPUT_REPORT_H
#define INPUT_REPORT_H

#include <stdbool.h>

#include "core/update.h"
#include "input/fields.h"

struct report {
    struct change change; /* its texts are those below, owned here */
    char *stage, *message, *error, *metadata, *result;
};

/* False: the complaint is in `f`, `out` is untouched. True: end with
 * report_deinit. Everything is optional; without a status the job is processing.
 * `progress` is 0-1, `percent` 0-100, and the first wins. */
bool report_read(struct fields *f, struct report *out);
void report_deinit(struct report *r);

#endif
