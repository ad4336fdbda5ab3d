/* A conversion's folder, made ready for a run: what an earlier one that was
 * broken off left there is kept as far as it can be trusted, all else goes.
 *
 *   FOLDER/recipe   how it is made, and of what: anything else, and nothing is kept
 *   FOLDER/sound    is there: a run has made all of the sound
 *   FOLDER/tree     NAME/index.m3u8, NAME/s00000.m4s, ...
 *
 * Of the picture the segments are kept that are whole in every rendition, from
 * the first one on, but never a rendition's last: it may have been cut short.
 * Sound is kept when all of it is there, or not at all: an AAC encoder begins
 * with silence, which would be heard at each seam. Blocks: on a worker thread. */
#ifndef MEDIA_RESUME_H
#define MEDIA_RESUME_H

#include "media/recipe.h"

struct resume {
    struct recipe_start start;
    bool has_sound;
};

/* Looks at the folder, which exists, and makes it ready. recipe->start is not
 * read. recipe->out_dir is the tree, made if need be. Can be broken off and
 * repeated at any time. FAIL_IO, FAIL_FULL. */
int resume_look(const char *folder, const struct recipe *recipe, struct resume *out);

/* Makes it ready for a run from the beginning. */
int resume_wipe(const char *folder, const struct recipe *recipe);

/* How many segments the folder has in every rendition that were made by this recipe, whole
 * or not. */
uint32_t resume_count(const char *folder, const struct recipe *recipe);

/* For a tree that was made by this recipe elsewhere: the folder, which exists, is made
 * empty but for the renditions' folders; `adopt`, when files are in them, makes them
 * what resume_look looks at. Broken off in between, nothing is kept. */
int resume_empty(const char *folder, const struct recipe *recipe);
int resume_adopt(const char *folder, const struct recipe *recipe);

/* All of the sound is there. */
int resume_note_sound(const char *folder);
/* Whether that was said; of a folder's tree. */
bool resume_has_sound(int tree);

#endif
