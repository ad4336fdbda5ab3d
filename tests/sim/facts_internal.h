/* Private to facts*.c. */
#ifndef SIM_FACTS_INTERNAL_H
#define SIM_FACTS_INTERNAL_H

#include "facts.h"
#include "fleet/record.h"

enum { DESCRIPTION_SIZE = 256 };

const char *facts_describe(char out[DESCRIPTION_SIZE], const struct update *u);

/* What a model has; true: end with fleet_record_deinit. */
bool facts_read_record(struct model *m, const char *id, struct fleet_record *out);

#endif
