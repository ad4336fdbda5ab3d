/* Whether a file of fragmented MP4 is whole: its outermost boxes (ISO/IEC
 * 14496-12, 4.2) fill it to the last byte. ffmpeg's HLS muxer says nothing, and
 * exits 0, when the disk was full. */
#ifndef MEDIA_FRAGMENT_H
#define MEDIA_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

/* `needed` is the name of a box that must be there: "moov", "mdat". Reads a
 * few bytes for each box. */
bool fragment_is_whole(int fd, uint64_t size, const char needed[4]);

#endif
