#include "media/progress.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "core/update.h"

static const double PROGRESS_MAX = 0.99;         /* the rest is for the end itself to claim */
static const double PROGRESS_MEMORY_MS = 10000;  /* how far back the rate looks */
static const uint64_t PROGRESS_SETTLE_MS = 1000; /* no estimate before */

void progress_block_init(struct progress_block *b)
{
    *b = (struct progress_block){ .frame = -1, .out_us = -1, .speed = -1 };
}

/* "1.23x"; "N/A" leaves it unknown. */
static double read_speed(struct str value)
{
    double speed;

    value = str_trim(value);
    if (!str_ends(value, STR("x")))
        return -1;
    value.len--;
    return str_parse_double(value, &speed) == OK && speed >= 0 ? speed : -1;
}

bool progress_read_line(struct progress_block *b, struct str line)
{
    struct str value = line;
    struct str key = str_trim(str_cut(&value, '='));
    uint64_t number;

    if (value.at == NULL)
        return false;
    value = str_trim(value);
    if (str_equal(key, STR("frame")) && str_parse_u64(value, INT64_MAX, &number) == OK)
        b->frame = (int64_t)number;
    /* Before the first packet it is negative, or N/A. (out_time_ms is the same
     * in microseconds, whatever its name says.) */
    else if (str_equal(key, STR("out_time_us")) && str_parse_u64(value, INT64_MAX, &number) == OK)
        b->out_us = (int64_t)number;
    else if (str_equal(key, STR("speed")))
        b->speed = read_speed(value);
    else if (str_equal(key, STR("progress"))) {
        b->is_over = str_equal(value, STR("end"));
        return true;
    }
    return false;
}

void progress_init(struct progress *p, const struct media_info *info, uint64_t now_ms)
{
    *p = (struct progress){ .seen_frame = -1, .seen_us = -1 };
    p->began_ms = p->last_ms = p->moved_ms = now_ms;
    p->duration_us = info->duration_ms > 0 ? info->duration_ms * 1000 : -1;
    if (!info->has_video)
        return;
    int64_t video_ms = info->video_ms > 0 ? info->video_ms : info->duration_ms;
    if (video_ms > 0)
        p->frames = (double)video_ms / 1000 * info->fps_num / info->fps_den;
}

void progress_begin_run(struct progress *p, uint64_t frames, uint64_t now_ms)
{
    double there = p->frames > 0 ? fmin((double)frames / p->frames, PROGRESS_MAX) : 0;

    p->began_ms = p->last_ms = p->moved_ms = now_ms;
    p->seen_frame = p->seen_us = -1;
    p->fraction = fmax(p->fraction, there);
    p->from = p->last_fraction = p->fraction;
    p->slope = 0;
}

/* out_time is that of the furthest output, so sound runs ahead of the picture:
 * the smaller of both is nearer to the truth. A picture that ends before the
 * sound stops counting by having reached its own end. */
static double measure(const struct progress *p, const struct progress_block *b)
{
    if (p->duration_us <= 0)
        return UNKNOWN_FRACTION;
    double fraction = b->out_us > 0 ? (double)b->out_us / (double)p->duration_us : 0;
    if (p->frames > 0 && b->frame >= 0)
        fraction = fmin(fraction, (double)b->frame / fmin(p->frames, 1e15));
    return fmin(fmax(fraction, 0), PROGRESS_MAX);
}

static void follow_slope(struct progress *p, uint64_t now_ms)
{
    double span = (double)(now_ms - p->last_ms);

    if (span <= 0)
        return;
    double slope = (p->fraction - p->last_fraction) / span;
    double weight = 1 - exp(-span / PROGRESS_MEMORY_MS);
    if (p->slope <= 0)
        p->slope = (p->fraction - p->from) / (double)(now_ms - p->began_ms);
    else
        p->slope += (slope - p->slope) * weight;
    p->last_ms = now_ms;
    p->last_fraction = p->fraction;
}

void progress_update(struct progress *p, const struct progress_block *b, uint64_t now_ms,
                     struct convert_progress *out)
{
    double fraction = measure(p, b);

    if (b->frame != p->seen_frame || b->out_us != p->seen_us)
        p->moved_ms = now_ms;
    p->seen_frame = b->frame;
    p->seen_us = b->out_us;
    *out =
        (struct convert_progress){ .fraction = UNKNOWN_FRACTION, .speed = b->speed, .eta_ms = -1 };
    if (fraction < 0)
        return;
    p->fraction = fmax(p->fraction, fraction);
    follow_slope(p, now_ms);
    out->fraction = p->fraction;
    if (p->slope > 0 && now_ms - p->began_ms >= PROGRESS_SETTLE_MS)
        out->eta_ms = (int64_t)fmin((1 - p->fraction) / p->slope, 1e12);
}

uint64_t progress_stalled_ms(const struct progress *p, uint64_t now_ms)
{
    return now_ms - p->moved_ms;
}
