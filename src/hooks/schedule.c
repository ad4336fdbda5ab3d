#include "hooks/schedule.h"

#include <stddef.h>

enum { DAY_MS = 24 * 3600 * 1000 };

/* In first waits: 5 s, 1 min, 5 min, 30 min, 2 h, 5 h, 7.5 h, 7.5 h. */
static const uint32_t waits[] = { 1, 12, 60, 360, 1440, 3600, 5400, 5400 };

bool hook_schedule(uint32_t attempts, uint64_t first_ms, int64_t retry_after_s, uint64_t dice,
                   uint64_t *wait_ms)
{
    if (attempts == 0 || attempts > sizeof(waits) / sizeof(*waits))
        return false;
    uint64_t wait = waits[attempts - 1] * first_ms;
    /* 95 to 105 %: who failed together does not come again together. */
    wait = wait / 100 * 95 + dice % (wait / 10 + 1);
    if (retry_after_s > 0) {
        uint64_t asked =
            retry_after_s > DAY_MS / 1000 ? DAY_MS : (uint64_t)retry_after_s * UINT64_C(1000);
        wait = wait > asked ? wait : asked;
    }
    *wait_ms = wait;
    return true;
}
