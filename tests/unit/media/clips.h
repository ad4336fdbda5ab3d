/* Inputs for the tests of probe and convert: made by ffmpeg in a folder of
 * their own, removed with it. */
#ifndef TESTS_MEDIA_CLIPS_H
#define TESTS_MEDIA_CLIPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/media.h"

/* For the group: makes and removes the folder. */
int clips_setup(void **state);
int clips_teardown(void **state);

/* A path in the folder; valid for the next seven calls. */
const char *clips_path(const char *name);

/* Runs ffmpeg with these shell words, ending in the output's options; the
 * output is NAME, whose path is returned. Made once, then kept. */
const char *clips_make(const char *name, const char *words);

const char *clips_write(const char *name, const void *bytes, size_t len);
/* The first `len` bytes of another. */
const char *clips_cut(const char *name, const char *from, size_t len);
uint64_t clips_size(const char *path);

/* What the shell command prints, without the last newline; static. */
const char *clips_ask(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern const struct media_settings clips_settings;

/* Probes on a loop of its own, which must close clean. `why` keeps 256 bytes. */
int clips_probe(const struct media_settings *settings, const char *path, struct media_info *info,
                char *why);

struct clips_converted {
    int err;
    unsigned times, steps;       /* calls of done and of progress */
    bool fell, was_out_of_range; /* what progress must never do */
    double first, last;
    char why[256];
    unsigned resumed;           /* segments kept of an earlier run */
    unsigned repeated;          /* times it began anew */
    char reason[256];           /* for the last of these */
    char folder[128], out[136]; /* the conversion's, and the tree in it */
    struct media_info info;
};

/* What happens at the first progress: nothing, it is cancelled, or ffmpeg is
 * stopped in its tracks; or what happens when the fourth segment is there: it is
 * cancelled, or every ffmpeg is killed. */
enum clips_act { CLIPS_LET, CLIPS_CANCEL, CLIPS_FREEZE, CLIPS_CANCEL_LATE, CLIPS_KILL_LATE };

/* Probes and then converts in the folder OUT, which is made if need be. */
void clips_convert(const struct media_settings *settings, const char *path, const char *out,
                   enum clips_act act, struct clips_converted *c);

#endif
