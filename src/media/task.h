/* What a stage is made of that runs on a loop: the cancellable base, and the
 * limits its children get. */
#ifndef MEDIA_TASK_H
#define MEDIA_TASK_H

#include "io/child.h"
#include "media/media.h"

/* The first member of each stage. */
struct media_task {
    void (*cancel)(struct media_task *t);
};

/* Soon, on the loop: for a stage that ends because it is cancelled, which its pipeline must
 * not hear of within. */
void media_later(uv_loop_t *loop, void (*done)(void *context), void *context);

enum {
    MEDIA_STOP_MS = 2000, /* from SIGTERM to SIGKILL */
    MEDIA_PATH_MAX = 4096,
    MEDIA_WHY_MAX = 512,
};

struct child_limits media_limits(const struct media_settings *settings, const char *read_path,
                                 const char *write_path);

/* A list of arguments that owns its texts. */
struct arguments;
struct arguments *arguments_new(void);
void arguments_free(struct arguments *a);
void arguments_add(struct arguments *a, const char *text);
void arguments_addf(struct arguments *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Several at once, NULL-terminated. */
void arguments_add_all(struct arguments *a, const char *const *texts);
/* For child_start; NULL when there were too many or one was too long. */
const char *const *arguments_list(struct arguments *a);

/* What every ffmpeg and ffprobe gets that opens `path`: bounds, no protocol but
 * files, and the demuxer forced. Ends before -i for the former. */
void arguments_add_input(struct arguments *a, const struct media_settings *settings,
                         const char *demuxer);

#endif
