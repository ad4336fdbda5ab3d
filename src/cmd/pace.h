/* How fast something goes: over the last seconds, so that a pause shows and a
 * hiccup does not. Pure. */
#ifndef CMD_PACE_H
#define CMD_PACE_H

#include <stdint.h>

enum { PACE_SAMPLES = 32, PACE_STEP_MS = 250 };

struct pace {
    uint64_t at_ms[PACE_SAMPLES]; /* a ring, PACE_STEP_MS apart */
    uint64_t value[PACE_SAMPLES];
    unsigned count, last;
};

/* Times do not go back; the value may (a chunk is sent again). */
void pace_note(struct pace *p, uint64_t now_ms, uint64_t value);

/* Negative while it cannot be known: for the first second. */
double pace_per_second(const struct pace *p);

/* Seconds, or -1 when the pace is unknown or nearly nothing. */
int64_t pace_eta_s(double per_second, uint64_t left);

#endif
