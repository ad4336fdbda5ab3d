/* What ffmpeg's standard error says, as one sentence for a user: without
 * paths, addresses and control characters. */
#ifndef MEDIA_COMPLAINT_H
#define MEDIA_COMPLAINT_H

#include "base/buf.h"

/* Appends the sentence and returns the FAIL_* that fits; FAIL_SYNTAX, with
 * ffmpeg's own most telling line, when it is nothing we know. */
int complaint_read(const char *text, struct buf *why);

#endif
