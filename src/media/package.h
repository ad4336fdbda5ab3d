/* Makes a finished tree of what ffmpeg left: playlists of a recording instead
 * of an event, and a master playlist with measured rates. What several runs
 * made is joined. The master comes last, so a tree that has one is whole.
 * Blocks: on a worker thread. */
#ifndef MEDIA_PACKAGE_H
#define MEDIA_PACKAGE_H

#include "base/buf.h"
#include "media/recipe.h"

/* Of what the recipe's last run was. FAIL_SYNTAX with a sentence when the output
 * is shorter than the input or a rendition is missing; FAIL_IO when a file is
 * not whole; FAIL_STATE when the runs do not fit together; FAIL_FULL. Without a
 * start it can be repeated on its own result. */
int package_finish(const struct recipe *recipe, struct buf *why);

#endif
