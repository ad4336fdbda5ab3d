/* Fragmented MP4 by its boxes (ISO/IEC 14496-12, 4.2): whether a file is whole,
 * that is, filled by its outermost boxes to the last byte, and what time it
 * covers. ffmpeg's HLS muxer says nothing, and exits 0, when the disk was full. */
#ifndef MEDIA_FRAGMENT_H
#define MEDIA_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

/* `needed` is the name of a box that must be there: "moov", "mdat". Reads a
 * few bytes for each box. */
bool fragment_is_whole(int fd, uint64_t size, const char needed[4]);

/* A media segment of one track. */
struct fragment {
    uint64_t begin;    /* decoding time of its first sample, in the track's timescale */
    uint64_t duration; /* of all its samples together */
    uint64_t samples;
};

/* FAIL_SYNTAX when it is not whole, not as large as it should be for what it
 * lists, or has gaps inside; FAIL_LIMIT; FAIL_IO. */
int fragment_read(int fd, uint64_t size, struct fragment *out);

#endif
