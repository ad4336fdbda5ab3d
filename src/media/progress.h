/* What ffmpeg's -progress prints, and what it says about the whole: how far,
 * how fast, how long still. A codec without I/O; the caller brings the clock. */
#ifndef MEDIA_PROGRESS_H
#define MEDIA_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "media/media.h"

/* The latest value of each field that was printed. */
struct progress_block {
    int64_t frame;  /* -1: none yet */
    int64_t out_us; /* furthest output; -1: none yet */
    double speed;   /* media seconds per second; -1: not known */
    bool is_over;   /* it said progress=end */
};

void progress_block_init(struct progress_block *b);

/* One line. True when it completes a block. Anything else is skipped. */
bool progress_read_line(struct progress_block *b, struct str line);

struct progress {
    int64_t duration_us; /* of the whole; <= 0: unknown */
    double frames;       /* expected of the video; 0: no video, or unknown */
    double fraction;     /* told last; never falls */
    double from;         /* where this run began */
    double slope;        /* fraction per ms, smoothed; 0: not known yet */
    uint64_t began_ms;
    uint64_t last_ms;
    double last_fraction;
    int64_t seen_frame, seen_us; /* for the stall */
    uint64_t moved_ms;           /* when one of them last changed */
};

void progress_init(struct progress *p, const struct media_info *info, uint64_t now_ms);

/* A run begins where `frames` of the picture are there already: the fraction
 * goes on from that, the pace is measured anew. Frames in the blocks to come
 * count from the beginning of the whole. */
void progress_begin_run(struct progress *p, uint64_t frames, uint64_t now_ms);

/* Takes a block in and fills what is to be told. */
void progress_update(struct progress *p, const struct progress_block *b, uint64_t now_ms,
                     struct convert_progress *out);

/* For how long neither frames nor time have moved. */
uint64_t progress_stalled_ms(const struct progress *p, uint64_t now_ms);

#endif
