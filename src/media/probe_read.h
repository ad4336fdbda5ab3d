/* Reads what ffprobe printed about a file: a codec without I/O. What it says
 * is the stranger's, so nothing in it is trusted to be there or to be sane. */
#ifndef MEDIA_PROBE_READ_H
#define MEDIA_PROBE_READ_H

#include "base/buf.h"
#include "base/str.h"
#include "media/media.h"

/* The value of ffprobe's -show_entries that this reads. */
extern const char probe_entries[];

/* Fills all but demuxer and size. FAIL_SYNTAX: not ffprobe's JSON;
 * FAIL_UNSUPPORTED: nothing to convert in it; with a clause for the user. */
int probe_read(struct str json, struct media_info *out, struct buf *why);

/* The frame rate to convert to. `nominal` is the rate that all timestamps fit,
 * `average` frames over duration; either may be 0/0. Constant rates are kept,
 * or divided until at most 60; others become the next standard rate. */
struct probe_rate {
    int num, den;
};
struct probe_rate probe_choose_rate(struct probe_rate nominal, struct probe_rate average);

#endif
