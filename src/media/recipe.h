/* The arguments of the one ffmpeg that makes all renditions. */
#ifndef MEDIA_RECIPE_H
#define MEDIA_RECIPE_H

#include "media/ladder.h"
#include "media/task.h"

/* For the renditions of a sound track: the folder's name, "a0". */
enum { RECIPE_AUDIO_NAME = 8 };
void recipe_audio_name(unsigned track, char out[RECIPE_AUDIO_NAME]);

/* A clip of a few frames: its one sound track goes into the picture's segments,
 * because players that fetch sound apart never come to the end of it (seen with
 * hls.js below 0.2 s). */
bool recipe_is_muxed(const struct media_info *info);

/* How many renditions of sound alone there are: without a picture only the
 * first track, because the variants of a master playlist are alternatives. */
unsigned recipe_audio_count(const struct media_info *info);

struct arguments *recipe_build(const struct media_settings *settings, const struct media_info *info,
                               const struct rung *rungs, unsigned rung_count, const char *path,
                               const char *out_dir);

#endif
