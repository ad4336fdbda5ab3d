/* What the stages that run ffmpeg share: settings, and what is known about an
 * input once it was probed. */
#ifndef MEDIA_MEDIA_H
#define MEDIA_MEDIA_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/str.h"

/* Outlive the tasks that are given them, as do event tables. */
struct media_settings {
    const char *ffmpeg; /* program names or paths */
    const char *ffprobe;
    const char *preset;       /* x264 preset: "veryfast" */
    unsigned crf;             /* 0-51 */
    uint32_t stall_ms;        /* no progress for so long: failed */
    uint64_t memory_max;      /* RLIMIT_AS of a child, bytes */
    uint64_t pixels_max;      /* of one picture */
    uint64_t duration_max_ms; /* 0: none */
};

enum { MEDIA_AUDIO_MAX = 4 }; /* audio tracks carried over */

struct media_audio {
    int index;        /* among the input's audio streams: 0:a:INDEX */
    char language[8]; /* ISO 639-2, "und" if unknown */
    int channels;
};

struct media_info {
    char demuxer[16];     /* what -f is given: "mov", "matroska", ... */
    int64_t duration_ms;  /* -1: could not be found */
    int64_t video_ms;     /* of the video stream alone, or -1 */
    uint64_t size;        /* bytes of the file */
    bool has_video;       /* moving pictures; a cover picture is none */
    int width, height;    /* as displayed: after pixel aspect and rotation */
    int fps_num, fps_den; /* of the output */
    int bits;             /* per sample */
    bool is_interlaced, is_hdr;
    char video_codec[16], pixel_format[24], transfer[24];
    unsigned audio_count; /* used entries */
    struct media_audio audio[MEDIA_AUDIO_MAX];
};

/* As JSON, for a checkpoint, and back (FAIL_SYNTAX). */
void media_info_write(const struct media_info *info, struct buf *out);
int media_info_read(struct str json, struct media_info *out);

/* A stage that runs on a loop. Cancelling ends its child; `done` still comes,
 * with FAIL_CANCELLED. */
struct media_task;
void media_task_cancel(struct media_task *t);

/* Sniffs the file's first bytes (never trusting its name), then asks ffprobe
 * with that demuxer forced. `done` comes exactly once, not within the call:
 * OK with the info; FAIL_UNSUPPORTED when it is no video or sound we read,
 * FAIL_SYNTAX when it is damaged, FAIL_LIMIT (too many pixels, too long),
 * FAIL_TIMEOUT, FAIL_MISSING, FAIL_IO; `why` is a clause for the user that
 * names no path. */
int probe_start(uv_loop_t *loop, const struct media_settings *settings, const char *path,
                void (*done)(void *context, int err, const char *why,
                             const struct media_info *info),
                void *context, struct media_task **out);

struct convert_progress {
    double fraction; /* 0.0-0.99, monotone; UNKNOWN_FRACTION if it cannot be told */
    double speed;    /* media seconds per second, -1 unknown */
    int64_t eta_ms;  /* -1 unknown */
};

struct convert_events {
    void (*progress)(void *context, const struct convert_progress *p);
    /* Both may be NULL. `resumed`: an earlier run's first `segments` of each
     * rendition, `ms` of the picture, are kept. `repeated`: what came of that is
     * not good, for the reason `why`; it begins anew, once. */
    void (*resumed)(void *context, uint32_t segments, int64_t ms);
    void (*repeated)(void *context, const char *why);
    /* OK: FOLDER/tree holds a complete tree with master.m3u8. Otherwise `why` says
     * what ffmpeg said, cut to one sentence, and `err` whose fault it is:
     * FAIL_SYNTAX, FAIL_UNSUPPORTED, FAIL_LIMIT the input's, FAIL_FULL the
     * disk's, FAIL_TIMEOUT, FAIL_IO, FAIL_DENIED ours. Exactly once. */
    void (*done)(void *context, int err, const char *why);
};

/* The whole ladder into FOLDER/tree: NAME/index.m3u8, its segments, and
 * master.m3u8. FOLDER exists; what an earlier call, of this process or another,
 * left there of the same work is gone on with (media/resume.h). Success is
 * claimed only when ffmpeg exits 0, said progress=end, and the output is as long
 * as the input. */
int convert_start(uv_loop_t *loop, const struct media_settings *settings, const char *path,
                  const struct media_info *info, const char *folder,
                  const struct convert_events *events, void *context, struct media_task **out);

#endif
