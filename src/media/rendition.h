/* One rendition on disk: a folder with a playlist, an initialisation section
 * and segments, as ffmpeg leaves it. Blocks: on a worker thread. */
#ifndef MEDIA_RENDITION_H
#define MEDIA_RENDITION_H

#include "base/buf.h"
#include "media/playlist.h"
#include "media/recipe.h"

struct rendition {
    char name[12]; /* of the folder */
    int dir;       /* its descriptor, or -1 */
    struct playlist list;
    uint64_t frames; /* of a joined one: how many all its segments hold */
    char codec[16];  /* the package's to fill */
};

/* Closes, and frees the playlist. */
void rendition_close(struct rendition *r);

/* Opens the folder `name`, which is there, below `tree`, and reads its
 * playlist, which has ended. FAIL_MISSING, FAIL_SYNTAX. */
int rendition_open(int tree, const char *name, struct rendition *out);

/* FAIL_IO unless all that is listed is whole; fills the sizes. */
int rendition_measure(struct rendition *r);

/* The playlist is that of a run that began with segment start->segments: puts
 * those before it in front, and the first run's initialisation section, whose
 * name is `init`. FAIL_STATE unless both runs' sections are the same and the
 * frames of all segments follow each other without a gap. `info` has the frame
 * rate. */
int rendition_join(struct rendition *r, const struct recipe_start *start, const char *init,
                   const struct media_info *info);

/* "s00012.m4s" */
void rendition_segment_name(uint32_t number, char out[PLAYLIST_NAME]);

/* A whole segment's place in time. FAIL_MISSING, FAIL_SYNTAX, FAIL_IO. */
struct fragment;
int rendition_segment(int dir, const char *name, struct fragment *out);

/* Whether both files are there, whole initialisation sections, and the same. */
bool rendition_same_init(int dir, const char *a, const char *b);

/* A whole small file. */
int rendition_read_file(int dir, const char *name, size_t max, struct buf *out);

#endif
