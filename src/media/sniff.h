/* What a file is, by its first bytes and never by its name: the demuxer that
 * ffmpeg is then forced to use. Left to guess, ffmpeg would take a playlist
 * for a video and read whatever other files it names. To add a container: a
 * row in sniff.c, and only one whose demuxer opens no second file. */
#ifndef MEDIA_SNIFF_H
#define MEDIA_SNIFF_H

#include <stddef.h>

enum { SNIFF_BYTES = 64 * 1024 }; /* as much of the start as is worth having */

/* The demuxer's name, or NULL and in *why a clause for the user ("this is a
 * picture, not a video"). Both static. */
const char *sniff_demuxer(const void *bytes, size_t len, const char **why);

#endif
