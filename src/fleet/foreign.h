/* What a worker that publishes by itself says: the messages of
 * `job_progress:{id}` (document 003) and `progress:{id}` (document 004). They are read
 * as a report over HTTP is; whoever may write to Redis need not be right. Nobody is
 * told of what is refused here, and an end must not be lost for the length of its
 * traceback: texts that are too long are cut, JSON that is too large is left out, a
 * dict for a text is shown as JSON, a number may be in quotes ("42", "42%").
 * Pure. */
#ifndef FLEET_FOREIGN_H
#define FLEET_FOREIGN_H

#include "fleet/keys.h"
#include "input/report.h"

enum { FOREIGN_MESSAGE_MAX = 256 * 1024, FOREIGN_WHY_MAX = 256 };

/* FAIL_LIMIT, FAIL_SYNTAX; `why` is a clause. OK: end with report_deinit. */
int foreign_read(struct str text, struct report *out, char why[FOREIGN_WHY_MAX]);

/* Tells messages apart; never 0. */
uint64_t foreign_hash(enum fleet_channel kind, struct str text);

/* Our own end with a tab, which is nothing in JSON: so every node knows them. */
bool foreign_is_own(struct str text);

#endif
