/* How many of something a stranger may do: so many a second, and a number at
 * once. What was spent comes back with time. Eight bytes, kept where the
 * stranger is kept; zeroed it is full. Not shared between threads. */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

enum { BUCKET_BURST_MAX = 4000000 }; /* thousandths of it fit in 32 bits */

struct bucket_limit {
    uint32_t per_second; /* 0: any number */
    uint32_t burst;      /* at once; at most BUCKET_BURST_MAX */
};

struct bucket {
    uint32_t at_ms; /* of the last look; cut to 32 bits: only differences count */
    uint32_t spent; /* thousandths */
};

/* One more at this moment of a clock that never goes back. False: too many, and
 * nothing was spent. */
bool bucket_take(struct bucket *b, const struct bucket_limit *limit, uint32_t now_ms);

#endif
