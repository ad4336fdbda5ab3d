/* Which renditions an input is converted to: standard sizes by the short side
 * of the picture, none larger than the input. */
#ifndef MEDIA_LADDER_H
#define MEDIA_LADDER_H

#include "media/media.h"

enum { LADDER_MAX = 6 };

struct rung {
    char name[12]; /* "720p": its folder */
    int width, height;
    unsigned maxrate_k; /* kbit/s, also half of the rate control's buffer */
    const char *profile;
};

/* Fills `rungs` from the largest down and returns how many: at least one if
 * there is a picture (at the input's own size, if that is below all), else 0. */
unsigned ladder_build(const struct media_info *info, struct rung rungs[LADDER_MAX]);

#endif
