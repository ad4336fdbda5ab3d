/* Makes a finished tree of what ffmpeg left: playlists of a recording instead
 * of an event, and a master playlist with measured rates. The master comes
 * last, so a tree that has one is whole. Blocks: on a worker thread. */
#ifndef MEDIA_PACKAGE_H
#define MEDIA_PACKAGE_H

#include "base/buf.h"
#include "media/ladder.h"

/* FAIL_SYNTAX with a sentence when the output is shorter than the input or a
 * rendition is missing; FAIL_IO when a file is not whole; FAIL_FULL. Can be
 * repeated on its own result. */
int package_finish(const char *out_dir, const struct media_info *info, const struct rung *rungs,
                   unsigned rung_count, struct buf *why);

#endif
