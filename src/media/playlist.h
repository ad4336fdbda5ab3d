/* A media playlist (RFC 8216, 4.3.3): read as ffmpeg leaves it, written as a
 * finished recording's. A codec without I/O. */
#ifndef MEDIA_PLAYLIST_H
#define MEDIA_PLAYLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum { PLAYLIST_NAME = 40, PLAYLIST_SEGMENTS_MAX = 200000 };

struct segment {
    double seconds;
    uint64_t size; /* bytes; the caller's to fill */
    char name[PLAYLIST_NAME];
};

struct playlist {
    char map[PLAYLIST_NAME]; /* the initialisation section, EXT-X-MAP */
    struct segment *segments;
    size_t count;
    bool is_ended;
};

/* FAIL_SYNTAX, also for a name that is more than a plain one: it is opened
 * beside the playlist. FAIL_LIMIT. */
int playlist_read(struct str text, struct playlist *out);
void playlist_deinit(struct playlist *p);

void playlist_write(const struct playlist *p, struct buf *out);

double playlist_seconds(const struct playlist *p);
/* Bits per second on the whole, and of the segment that has most: of those
 * that are at least half the longest, since a tail's header weighs too much. */
uint64_t playlist_average(const struct playlist *p);
uint64_t playlist_peak(const struct playlist *p);

#endif
