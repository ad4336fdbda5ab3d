/* When a delivery is tried again: soon at first, then ever later, within a day. Pure. */
#ifndef HOOKS_SCHEDULE_H
#define HOOKS_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum { HOOK_RETRY_DEFAULT_MS = 5000 };

/* How long to wait behind the `attempts`th attempt, with jitter by `dice` (any number), but at
 * least what the receiver asked for (a day at most). False: it was the last. `first_ms` is the
 * first wait, to which the others are in proportion; at the default they come to 23 hours. */
bool hook_schedule(uint32_t attempts, uint64_t first_ms, int64_t retry_after_s, uint64_t dice,
                   uint64_t *wait_ms);

#endif
