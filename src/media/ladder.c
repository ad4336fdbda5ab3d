#include "media/ladder.h"

#include <math.h>
#include <stdio.h>

static const struct {
    int side;
    unsigned maxrate_k;
    const char *profile;
} standard[LADDER_MAX] = {
    { 2160, 16000, "high" }, { 1440, 9000, "high" }, { 1080, 5000, "high" },
    { 720, 2800, "high" },   { 480, 1400, "main" },  { 360, 800, "main" },
};

enum { SIDE_MIN = 16, FAST_RATE = 32, SMALL_MAXRATE_K = 600 };

/* 4:2:0 colour needs even sides. */
static int even(double side)
{
    int value = 2 * (int)lround(side / 2);

    return value < SIDE_MIN ? SIDE_MIN : value;
}

static void set_rung(struct rung *rung, const struct media_info *info, double scale, int side)
{
    rung->width = even(info->width * scale);
    rung->height = even(info->height * scale);
    snprintf(rung->name, sizeof(rung->name), "%dp", side);
    /* More pictures in a second need more bits, but not as many more. */
    if (info->fps_num / info->fps_den >= FAST_RATE)
        rung->maxrate_k += rung->maxrate_k / 2;
}

unsigned ladder_build(const struct media_info *info, struct rung rungs[LADDER_MAX])
{
    int side = info->width < info->height ? info->width : info->height;
    unsigned count = 0;

    if (!info->has_video)
        return 0;
    for (unsigned i = 0; i < LADDER_MAX; i++) {
        if (standard[i].side > side)
            continue;
        rungs[count] =
            (struct rung){ .maxrate_k = standard[i].maxrate_k, .profile = standard[i].profile };
        set_rung(&rungs[count++], info, (double)standard[i].side / side, standard[i].side);
    }
    if (count == 0) {
        rungs[0] = (struct rung){ .maxrate_k = SMALL_MAXRATE_K, .profile = "main" };
        set_rung(&rungs[count++], info, 1, even(side));
    }
    return count;
}
