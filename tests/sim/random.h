/* Numbers that look random and are the same for the same seed. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators". */
static inline uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t random_below(struct random *r, uint64_t end)
{
    return end ? random_next(r) % end : 0;
}

static inline uint64_t random_between(struct random *r, uint64_t first, uint64_t last)
{
    return first + random_below(r, last - first + 1);
}

/* So often in a thousand. */
static inline bool random_permille(struct random *r, uint64_t permille)
{
    return random_below(r, 1000) < permille;
}

#endif
