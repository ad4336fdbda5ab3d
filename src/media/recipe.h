/* The arguments of the ffmpegs that make the renditions: one for all sizes of
 * the picture, one for all tracks of sound. */
#ifndef MEDIA_RECIPE_H
#define MEDIA_RECIPE_H

#include "media/ladder.h"
#include "media/task.h"

/* What of the picture there is already, from its beginning on. */
struct recipe_start {
    uint32_t segments; /* whole ones in every rendition, or 0 */
    uint64_t frames;   /* that they hold */
};

/* Borrows all it points to. */
struct recipe {
    const struct media_settings *settings;
    const struct media_info *info;
    const struct rung *rungs;
    unsigned rung_count;
    const char *path;    /* the input */
    const char *out_dir; /* gets NAME/index.m3u8 and segments */
    struct recipe_start start;
};

/* NULL-terminated lists come of them with arguments_list. Without a picture,
 * or a sound track of its own, there is nothing to be made of it: ask before. */
struct arguments *recipe_picture(const struct recipe *r);
struct arguments *recipe_sound(const struct recipe *r);

/* What is made, of what, and by which program: what was made by the same text can be put
 * together. `source` says which input it is, the same on every node; NULL: its size, time
 * and inode do, on this one. Initialises `out`. Blocks. */
enum { RECIPE_DESCRIBED_MAX = 256 * 1024 };
void recipe_describe(const struct recipe *r, const char *source, struct buf *out);

/* For the renditions of a sound track: the folder's name, "a0". */
enum { RECIPE_AUDIO_NAME = 8 };
void recipe_audio_name(unsigned track, char out[RECIPE_AUDIO_NAME]);

/* The initialisation section of a rung that begins with segment `from`. */
enum { RECIPE_INIT_NAME = 40 };
void recipe_init_name(const struct rung *rung, unsigned rung_count, uint32_t from,
                      char out[RECIPE_INIT_NAME]);

/* A clip of a few frames: its one sound track goes into the picture's segments,
 * because players that fetch sound apart never come to the end of it (seen with
 * hls.js below 0.2 s). */
bool recipe_is_muxed(const struct media_info *info);

/* How many renditions of sound alone there are: without a picture only the
 * first track, because the variants of a master playlist are alternatives. */
unsigned recipe_audio_count(const struct media_info *info);

/* Seconds of the input that are skipped for a start; 0: all of it is decoded. */
uint64_t recipe_seek_seconds(const struct media_info *info, const struct recipe_start *start);

#endif
