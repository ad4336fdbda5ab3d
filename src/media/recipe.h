/* The arguments of the one ffmpeg that makes all renditions. */
#ifndef MEDIA_RECIPE_H
#define MEDIA_RECIPE_H

#include "media/ladder.h"
#include "media/task.h"

/* For the renditions of a sound track: the folder's name, "a0". */
enum { RECIPE_AUDIO_NAME = 8 };
void recipe_audio_name(unsigned track, char out[RECIPE_AUDIO_NAME]);

/* How many sound tracks are carried over: without a picture only the first,
 * because the variants of a master playlist are alternatives. */
unsigned recipe_audio_count(const struct media_info *info);

struct arguments *recipe_build(const struct media_settings *settings, const struct media_info *info,
                               const struct rung *rungs, unsigned rung_count, const char *path,
                               const char *out_dir);

#endif
