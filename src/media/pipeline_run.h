/* Private to the pipeline's files: one video on its way, and the steps' table. */
#ifndef MEDIA_PIPELINE_RUN_H
#define MEDIA_PIPELINE_RUN_H

#include <stdatomic.h>

#include "core/limits.h"
#include "core/update.h"
#include "media/book.h"
#include "media/pipeline.h"

struct pipeline;

enum { PIPELINE_SPEC_MAX = 64 * 1024 };

struct step {
    const char *name; /* as in the work record */
    void (*run)(struct pipeline *p);
    const char *failure; /* the job's message when it fails */
};

/* step_upload.c, step_convert.c */
extern const struct step step_assemble, step_probe, step_clean, step_convert, step_publish;
/* step_download.c */
extern const struct step step_fetch, step_examine, step_store;

/* The way a job goes (pipeline_plans.c). */
enum pipeline_plan { PLAN_UPLOAD, PLAN_DOWNLOAD, PLAN_DOWNLOAD_HLS, PIPELINE_PLANS };

const char *pipeline_plan_name(enum pipeline_plan plan);
enum pipeline_plan pipeline_plan_named(const char *name); /* PIPELINE_PLANS: no such plan */

/* What the steps know, and what a checkpoint keeps. */
struct spec {
    enum pipeline_plan plan;
    struct upload upload;         /* file name, chunk count, whether chunks are gone */
    char title[JOB_TEXT_MAX + 1]; /* the job's, or "" */
    char key[192];                /* "videos/hls/ID-RANDOM": where it will be published */
    char out[32];                 /* the converted tree in scratch, or "" */
    uint64_t bytes;               /* of the source, where chunks lie in a bucket */
    bool has_info;
    struct media_info info;
    bool has_remote;
    struct remote_info remote; /* what a download's other side says of it */
};

void spec_write(const struct spec *s, struct buf *out);
int spec_read(const char *json, struct spec *out);

/* Of its plan. */
const struct step *pipeline_first(const struct spec *s);
const struct step *pipeline_next(const struct spec *s, const struct step *step); /* NULL: done */
const struct step *pipeline_step(const struct spec *s, const char *name); /* NULL: no such step */

struct pipeline {
    struct pipelines *owner;
    struct pipeline *prev, *next;
    const struct step *step;
    struct spec spec;
    uint64_t token;          /* of the lease, or 0 */
    struct media_task *task; /* running ffmpeg or ffprobe, or what is stored, or NULL */
    struct publish *publish; /* follows a conversion into a storage, or NULL */
    atomic_bool is_stopped;  /* read by worker threads */
    bool is_cancelled;
    bool is_lost;       /* another node has taken over: to be forgotten */
    bool is_ending;     /* the job's end is being told */
    bool is_given_up;   /* it failed too often */
    bool is_waiting;    /* for another's conversion, or download, to end */
    bool is_converting; /* holds one of conversions_max */
    bool is_fetching;   /* holds one of download.at_a_time */
    uint64_t told_ms;   /* when bytes were last told of */
    bool is_stale;      /* a newer lease's scratch is there */
    bool is_published;  /* ended well: the tree under the key stays */
    bool has_sent;      /* something may lie under the key in the storage */
    bool has_file;      /* `source` is there, whole */
    uint64_t reserved;  /* bytes promised by the disk */
    uint64_t published; /* bytes of the finished tree */
    char *scratch;      /* folder; set before the first step runs */
    char *source;       /* SCRATCH/source */
    char *note;         /* what it is converted of and by, the same on every node; or NULL */
    char *inherited;    /* the key of the tree that its first segments were fetched from; or NULL */
    int err;            /* of the work on a worker thread */
    struct buf why;
    void (*answer)(void *context, int err, const char *why);
    void *answer_context;
    char video[JOB_ID_MAX + 1];
};

struct pipelines {
    struct pipeline_parts parts;
    struct pipeline_book *book;
    struct pipeline *running; /* in order of arrival */
    size_t count;
    unsigned converting, fetching;
    struct bucket_desk *bucket; /* media/bucket.h; NULL: on the disk */
    struct remains *kept;       /* of ended jobs, to be cleared away at the next sweep */
    size_t kept_count;
    bool is_draining;
    bool is_looking;   /* pipeline_idle.c's, both */
    int64_t looked_ms; /* wall clock: uploads that were idle then have been looked at */
    size_t pending;    /* what is being admitted, ended, cleared away, or given back */
    uv_timer_t *drain_timer;
    void (*drained)(void *context);
    void *drained_context;
};

/* A step has ended: the next one begins, or the job. */
void pipeline_step_done(struct pipeline *p, int err, const char *why);

/* For steps that block: `work` on a worker thread, which sets p->err and p->why, then
 * `done`; pipeline_offloaded ends the step with those. */
void pipeline_offload(struct pipeline *p, void (*work)(void *), void (*done)(void *));
void pipeline_offloaded(void *context);

/* What another attempt would end with too. */
bool pipeline_is_inputs_fault(int err);
/* What a storage says of its own never is. */
int pipeline_storage_err(int err);

/* Tells everybody how far it is. Any thread. `fraction` of the stage. */
struct convert_progress;
void pipeline_say(struct pipeline *p, const char *stage, double fraction, const char *message,
                  const struct convert_progress *more);

/* The same of a download: percent of the job as document 002 has it, bytes where they are
 * known (-1: as they were). */
void pipeline_say_bytes(struct pipeline *p, const char *stage, double fraction, const char *message,
                        int64_t done, int64_t total);

/* What another node had fetched is not on this one: then that is to be done again. */
void download_find_step(struct pipeline *p);

/* A download that ended well: what clients hear of it, and where it lies. */
void pipeline_end_downloaded(struct pipeline *p);

bool spec_is_download(const struct spec *s);

/* Work that was begun before: by a process that is gone, or by another node. */
struct taken {
    const char *video;
    uint64_t token;
    const char *step; /* of its last checkpoint */
    const struct spec *spec;
    const struct update *job; /* as it is now, or NULL: forgotten */
    bool is_cancelled;
    unsigned failures; /* not 0: it went wrong that often, and is to be given up */
    const char *why;   /* of the last failure, or "" */
};

/* Goes on with it, or ends what is left of it to do. */
void pipelines_take(struct pipelines *ps, const struct taken *t);
/* What a lease's holder is told. */
void pipelines_lose(struct pipelines *ps, const char *video, uint64_t token);
void pipelines_end_lease(struct pipelines *ps, const char *video, uint64_t token);

/* An upload that is not being processed here: ends it, and clears away what it leaves. */
void pipelines_end_upload(struct pipelines *ps, const char *video, uint64_t token,
                          enum job_state state, const char *error);

/* Nothing more will be told of such a job. NULL: it was forgotten. */
bool pipeline_is_over(const struct update *job);
/* The same, of a job of that kind: only an upload can be mended. */
bool pipeline_is_settled(const struct spec *spec, const struct update *job);
/* What a checkpoint's name means. */
bool pipeline_is_step(const char *name);
bool pipeline_is_cancellation(const char *name);

/* Starts with `step`, after the checkpoint that says so. */
struct pipeline *pipeline_new(struct pipelines *ps, const char *video, const struct spec *spec,
                              const struct step *step);
void pipeline_begin(struct pipeline *p);

/* What a step needs is not on this node: goes back to an earlier one, by a checkpoint. */
void pipeline_go_back(struct pipeline *p, const struct step *step);

/* Its turn at converting, or at downloading, is over; the next one's begins. */
void pipeline_stop_converting(struct pipeline *p);

/* Out of the list; nothing refers to it any more. */
void pipeline_free(struct pipeline *p);

/* Freed, to be gone on with later; BOOK_RETRY: because it failed, for p->why. */
void pipeline_leave(struct pipeline *p, enum book_leaving how);

/* Whether another has taken over, or nobody may be told any more: then it was freed. */
bool pipeline_forget(struct pipeline *p, int err);

/* Ends what runs; the pipeline goes on in its callbacks. */
void pipeline_stop(struct pipeline *p);
/* The same, for its job is cancelled. */
void pipeline_cancel(struct pipeline *p);

/* The job has ended; each frees the pipeline. What runs must have stopped. */
void pipeline_end_completed(struct pipeline *p);
void pipeline_end_cancelled(struct pipeline *p);
void pipeline_end_failed(struct pipeline *p, int err, const char *why);
/* However often it could be tried again. */
void pipeline_end_for_good(struct pipeline *p, int err, const char *why);

/* What becomes of published trees when a job has ended. With leases, in a storage, every
 * claim has a key of its own: then an end that was told is that of all of them. */
enum tree_fate {
    TREE_REMOVED,  /* that under the key */
    TREE_KEPT,     /* that one alone stays */
    TREES_REMOVED, /* whatever was published of it */
};

/* Removes what an ended upload leaves, and then its work record. */
void pipelines_clear(struct pipelines *ps, const char *video, uint64_t token, const char *key,
                     enum tree_fate fate);

/* Tries some of those again that could not be removed. */
void pipelines_clear_kept(struct pipelines *ps);
/* They are left to the next start. */
void pipelines_forget_kept(struct pipelines *ps);

/* A new one for the video, in the folder of the one it has; nobody can guess it. */
void pipeline_make_key(struct spec *s, const char *video);
/* Of what stands behind "videos/hls/VIDEO-" in an object's key: the bytes before the slash, if
 * it is a key of that video; else 0, for "videos/hls/12-" begins those of video "12-5", too. */
size_t pipeline_key_random(const char *text);

/* In the storage (publish_clear.c). `done` not within the call. */
void trees_clear(struct storage *s, const char *video, const char *key, enum tree_fate fate,
                 storage_done *done, void *context);

/* Begins the assembly of what is whole, and was left so. Sometimes. */
void pipelines_look_for_idle(struct pipelines *ps);

/* One thing less is pending. */
void pipelines_settled(struct pipelines *ps);

/* Tells whoever waits for the drain, when nothing is left to wait for. */
void pipelines_drained(struct pipelines *ps);

#endif
