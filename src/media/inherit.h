/* Of several nodes with a bucket: what claims that have ended had made of a video, and sent,
 * becomes the beginning of this one's conversion.
 *
 *   identify (worker): the source's digest; the note that says of what, and by what, a tree is made
 *   list: trees of this video, and how long the row of segments is that each has
 *   read the note of the longest; of the next one, if that was made otherwise
 *   fetch its segments into convert/tree, several at a time
 *
 * Whatever goes wrong only means that less, or nothing, is kept: media/resume looks at what is
 * there as at files of its own. Other claims' trees are only read. */
#ifndef MEDIA_INHERIT_H
#define MEDIA_INHERIT_H

#include "media/pipeline_run.h"

/* Of a claim whose source is there; `folder` (SCRATCH/convert) exists, and is copied. Sets
 * p->note and, if something was fetched, p->inherited. p->task meanwhile. `done` perhaps
 * within the call. */
void inherit_begin(struct pipeline *p, const char *folder, void (*done)(void *context));

#endif
