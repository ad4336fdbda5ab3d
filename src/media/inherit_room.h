/* What inherit.h is made of, for src/media/inherit*.c alone. */
#ifndef MEDIA_INHERIT_ROOM_H
#define MEDIA_INHERIT_ROOM_H

#include "media/inherit.h"
#include "media/ladder.h"
#include "media/recipe.h"
#include "media/task.h"

enum {
    INHERIT_TREES_MAX = 16,
    INHERIT_FOLDERS_MAX = LADDER_MAX + MEDIA_AUDIO_MAX,
    INHERIT_KEY_MAX = 256,
    INHERIT_GETS_MAX = 8, /* at a time */
};

/* A rendition: rungs first, then tracks of sound. */
struct inherit_folder {
    char name[12];
    char init[RECIPE_INIT_NAME];
};

/* Below one key, as the list has it. */
struct inherit_tree {
    char key[sizeof((struct spec *)0)->key];
    bool has_note;
    bool has_init[INHERIT_FOLDERS_MAX];
    bool is_whole[INHERIT_FOLDERS_MAX];     /* of sound: a note says so */
    uint32_t segments[INHERIT_FOLDERS_MAX]; /* in a row, from the first one on */
};

/* A file on its way: opened by a worker thread, then filled. */
struct inherit_get {
    struct inherit *owner;
    struct storage_task *task; /* under way, or NULL */
    bool is_busy;
    int file, err;
    char name[64]; /* "720p/s00012.m4s": in the tree */
    char from[64]; /* below the key */
};

struct inherit {
    struct media_task task; /* first */
    struct pipeline *pipeline;
    void (*done)(void *context);
    char *folder;
    struct rung rungs[LADDER_MAX];
    struct recipe recipe;
    struct inherit_folder folders[INHERIT_FOLDERS_MAX];
    unsigned folder_count;
    struct storage_task *asked; /* a list, or a note being read */
    bool is_offloaded, is_cancelled;
    uint32_t have; /* segments that are in the folder already */
    char *note;
    char prefix[INHERIT_KEY_MAX]; /* of all keys of the video */
    struct inherit_tree trees[INHERIT_TREES_MAX];
    size_t count;
    struct inherit_tree *from; /* the one that is tried */
    uint32_t row;              /* its segments */
    struct inherit_get fetches[INHERIT_GETS_MAX];
    unsigned running;
    /* Files of `from`: initialisation sections, segment by segment, then the sound. */
    uint64_t next, picture, total;
    uint64_t got; /* files */
    uint64_t bytes, began_ms;
    bool has_sound;
    int err;
};

/* inherit_fetch.c */

/* All of `from`; ends with inherit_end. */
void inherit_fetch(struct inherit *in);
void inherit_fetch_cancel(struct inherit *in);

/* inherit.c */

/* Frees it, and the step goes on; not within the call. */
void inherit_end(struct inherit *in);
bool inherit_is_stopped(const struct inherit *in);

#endif
