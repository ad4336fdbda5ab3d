/* What somebody wants downloaded, what is known of it, and getting it: a URL becomes a
 * file. What the URL leads to decides how: a video or sound file is fetched as it is
 * (download_direct.c); of a page or a manifest yt-dlp finds the video (download_page.c).
 *
 * A download can be broken off at any moment, also by a crash: begun again in the same
 * folder it goes on where it was, if the other side allows that. On the loop's thread. */
#ifndef MEDIA_DOWNLOADS_H
#define MEDIA_DOWNLOADS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/str.h"

struct buf;
struct fetcher;
struct guard;
struct media_task;

enum { DOWNLOAD_URL_MAX = 2048 };

/* By the picture's height at most; "audio" takes the sound alone. A URL that leads to a
 * file has but one. */
enum download_quality {
    QUALITY_BEST,
    QUALITY_2160P,
    QUALITY_1080P,
    QUALITY_720P,
    QUALITY_480P,
    QUALITY_360P,
    QUALITY_AUDIO,
    DOWNLOAD_QUALITIES
};

const char *download_quality_name(enum download_quality quality);        /* "best", "1080p", ... */
int download_quality_parse(struct str name, enum download_quality *out); /* FAIL_SYNTAX */

struct download {
    char url[DOWNLOAD_URL_MAX + 1]; /* "": not a download */
    enum download_quality quality;
    bool is_hls; /* it shall become HLS */
};

/* What is known of a video before it is there. */
struct remote_info {
    char id[128];         /* its own, where it has one, or "" */
    char title[256];      /* or "" */
    char thumbnail[1024]; /* a URL, or "" */
    char quality[16];     /* "1080p", "audio", or "" */
    int64_t duration_ms;  /* -1: not known */
};

/* As JSON, for a checkpoint, and back (FAIL_SYNTAX). */
void remote_info_write(const struct remote_info *info, struct buf *out);
int remote_info_read(struct str json, struct remote_info *out);

struct download_settings {
    const char *yt_dlp;  /* program name or path */
    uint64_t bytes_max;  /* of the file */
    uint64_t timeout_ms; /* for all of it */
    uint64_t stall_ms;   /* without a byte */
    uint64_t memory_max; /* RLIMIT_AS of yt-dlp, bytes */
    unsigned at_a_time;  /* others wait */
};

/* How far it is. */
struct download_progress {
    double fraction; /* 0.0-1.0, never less than before; an estimate while `total` is not known */
    int64_t done;    /* bytes */
    int64_t total;   /* -1: not known */
};

struct download_events {
    /* What the other side says of it; once, before the first progress. */
    void (*info)(void *context, const struct remote_info *info);
    void (*progress)(void *context, const struct download_progress *progress);
    /* So many bytes more will be written; not OK ends it with that. */
    int (*room)(void *context, uint64_t bytes);
    /* OK: the file is at `path` as a whole, and synced. Otherwise `why` is a clause for
     * people, and `err`:
     * FAIL_UNSUPPORTED  there is nothing to be had at this URL, or not by us
     * FAIL_LIMIT        it is too large, or took too long
     * FAIL_CANCELLED, FAIL_FULL, FAIL_IO (ours) */
    void (*done)(void *context, int err, const char *why);
};

struct download_request {
    uv_loop_t *loop;
    const struct download_settings *settings;
    struct fetcher *fetcher; /* a guarded one */
    const struct guard *guard;
    const struct download *what;
    const char *folder; /* scratch: what an earlier call left there is gone on with */
    const char *path;   /* of the file, in `folder` */
    const struct download_events *events;
    void *context;
};

/* Borrows everything until `done`, but for the request itself and its two paths.
 * `done` comes exactly once, not within the call. */
int download_start(const struct download_request *request, struct media_task **out);

/* The two ways, for download.c. `is_page` (out, when `done` comes with
 * FAIL_UNSUPPORTED): the URL leads to a page or a manifest. */
int download_direct_start(const struct download_request *request, bool *is_page,
                          struct media_task **out);
int download_page_start(const struct download_request *request, struct media_task **out);

#endif
