#include "cmd/pace.h"

#include <math.h>

enum { KNOWN_AFTER_MS = 1000, ETA_MAX_S = 99 * 3600 };

void pace_note(struct pace *p, uint64_t now_ms, uint64_t value)
{
    if (p->count > 0 && now_ms - p->at_ms[p->last] < PACE_STEP_MS)
        return;
    p->last = p->count > 0 ? (p->last + 1) % PACE_SAMPLES : 0;
    p->at_ms[p->last] = now_ms;
    p->value[p->last] = value;
    if (p->count < PACE_SAMPLES)
        p->count++;
}

double pace_per_second(const struct pace *p)
{
    if (p->count < 2)
        return -1;
    unsigned first = (p->last + PACE_SAMPLES + 1 - p->count) % PACE_SAMPLES;
    uint64_t ms = p->at_ms[p->last] - p->at_ms[first];
    if (ms < KNOWN_AFTER_MS)
        return -1;
    if (p->value[p->last] < p->value[first])
        return 0;
    return (double)(p->value[p->last] - p->value[first]) * 1000 / (double)ms;
}

int64_t pace_eta_s(double per_second, uint64_t left)
{
    if (per_second <= 0)
        return -1;
    double seconds = ceil((double)left / per_second);
    return seconds <= ETA_MAX_S ? (int64_t)seconds : -1;
}
