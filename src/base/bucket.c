#include "base/bucket.h"

enum { ONE = 1000 }; /* so that a millisecond gives back a whole number */

bool bucket_take(struct bucket *b, const struct bucket_limit *limit, uint32_t now_ms)
{
    if (limit->per_second == 0)
        return true;
    uint64_t back = (uint64_t)(now_ms - b->at_ms) * limit->per_second;
    b->spent = back < b->spent ? b->spent - (uint32_t)back : 0;
    b->at_ms = now_ms;
    if ((uint64_t)b->spent + ONE > (uint64_t)limit->burst * ONE)
        return false;
    b->spent += ONE;
    return true;
}
