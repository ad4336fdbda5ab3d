/* From a URL to a file that anybody can fetch from here. Every step may be begun again
 * from nothing but its checkpoint and what lies in scratch.
 *
 *   fetch -> examine -> store -> (job completed)
 *                  \--> convert -> publish (step_convert.c), if it shall become HLS */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/download_read.h"
#include "media/pipeline_run.h"
#include "media/task.h"
#include "proto/content.h"

enum { TELL_MS = 250, STORE_PATH_MAX = 4096 };

/* Document 002, "Progress Updates": how far the job is. */
static const double starting = 0.05, info_fetched = 0.10, downloading_from = 0.15,
                    downloading_to = 0.89, downloaded = 0.90, uploading = 0.92, cleaning = 0.98;
/* Where it becomes HLS, the second half is converting it. */
static const double hls_downloading_to = 0.49, hls_downloaded = 0.50;

static bool becomes_hls(const struct pipeline *p)
{
    return p->spec.plan == PLAN_DOWNLOAD_HLS;
}

/* fetch */

static void take_title(struct pipeline *p)
{
    struct spec *s = &p->spec;

    if (s->title[0] == '\0')
        snprintf(s->title, sizeof(s->title), "%s", s->remote.title);
}

static void on_info(void *context, const struct remote_info *info)
{
    struct pipeline *p = context;

    p->spec.remote = *info;
    p->spec.has_remote = true;
    take_title(p);
    pipeline_say_bytes(p, "downloading", info_fetched, "Video info fetched", -1, -1);
}

static void on_progress(void *context, const struct download_progress *progress)
{
    struct pipeline *p = context;
    double to = becomes_hls(p) ? hls_downloading_to : downloading_to;
    uint64_t now_ms = clock_mono_ms();

    if (now_ms < p->told_ms + TELL_MS && progress->fraction < 1)
        return;
    p->told_ms = now_ms;
    pipeline_say_bytes(p, "downloading",
                       downloading_from + (to - downloading_from) * progress->fraction,
                       "Video download in progress", progress->done, progress->total);
}

/* Converting takes about as much again. */
static int on_room(void *context, uint64_t bytes)
{
    struct pipeline *p = context;
    uint64_t wanted = becomes_hls(p) ? 2 * bytes : bytes;
    int err = disk_reserve(p->owner->parts.disk, wanted);

    if (err == OK)
        p->reserved += wanted;
    return err;
}

static void say_fetched(struct pipeline *p)
{
    pipeline_say_bytes(p, "downloading", becomes_hls(p) ? hls_downloaded : downloaded,
                       becomes_hls(p) ? "Download complete, starting conversion"
                                      : "Download complete, starting upload",
                       -1, -1);
}

void download_find_step(struct pipeline *p)
{
    bool is_needed = p->step == &step_examine || p->step == &step_store || p->step == &step_convert;

    if (spec_is_download(&p->spec) && p->owner->parts.storage != NULL && is_needed && !p->has_file)
        p->step = &step_fetch;
}

static void on_done(void *context, int err, const char *why)
{
    struct pipeline *p = context;

    p->task = NULL;
    p->has_file = err == OK;
    if (err == OK)
        say_fetched(p);
    pipeline_step_done(p, err, why);
}

static const struct download_events download_events = {
    .info = on_info, .progress = on_progress, .room = on_room, .done = on_done
};

/* It has its name only when it is whole: an earlier attempt may have come so far. */
static void look_work(void *context)
{
    struct pipeline *p = context;
    struct stat st;

    p->err = lstat(p->source, &st) == 0 && S_ISREG(st.st_mode) ? FAIL_EXISTS : OK;
}

static void looked(void *context)
{
    struct pipeline *p = context;
    const struct pipeline_parts *parts = &p->owner->parts;
    bool is_there = p->err == FAIL_EXISTS;

    p->err = OK;
    p->has_file = is_there;
    if (is_there || atomic_load(&p->is_stopped)) {
        pipeline_step_done(p, is_there ? OK : FAIL_CANCELLED, NULL);
        return;
    }
    int err = download_start(&(struct download_request){ .loop = parts->loop,
                                                         .settings = &parts->settings->download,
                                                         .fetcher = parts->fetcher,
                                                         .guard = parts->guard,
                                                         .what = &p->spec.upload.download,
                                                         .folder = p->scratch,
                                                         .path = p->source,
                                                         .events = &download_events,
                                                         .context = p },
                             &p->task);
    if (err)
        pipeline_step_done(p, err, "the download could not be started");
}

static void run_fetch(struct pipeline *p)
{
    struct pipelines *ps = p->owner;

    if (ps->fetching >= ps->parts.settings->download.at_a_time) {
        p->is_waiting = true;
        return;
    }
    p->is_fetching = true;
    ps->fetching++;
    if (ps->parts.fetching != NULL)
        ps->parts.fetching(ps->parts.context, ps->fetching);
    if (ps->parts.fetcher == NULL) {
        pipeline_step_done(p, FAIL_UNSUPPORTED, "nothing is downloaded here");
        return;
    }
    pipeline_say_bytes(p, "downloading", starting, "Starting to process", -1, -1);
    pipeline_offload(p, look_work, looked);
}

/* examine: what came is no video perhaps; and now its ending is known */

static void name_file(struct pipeline *p)
{
    struct spec *s = &p->spec;
    struct buf name;

    buf_init(&name, sizeof(s->upload.file_name) - 1);
    download_file_name(str_of(s->title), download_ending(s->info.demuxer, s->info.has_video),
                       &name);
    snprintf(s->upload.file_name, sizeof(s->upload.file_name), "%s", buf_text(&name));
    buf_deinit(&name);
}

static void examined(void *context, int err, const char *why, const struct media_info *info)
{
    struct pipeline *p = context;

    p->task = NULL;
    if (err == OK) {
        p->spec.info = *info;
        p->spec.has_info = true;
        p->spec.upload.has_source = true;
        name_file(p);
        say_fetched(p);
    }
    pipeline_step_done(p, err, why);
}

static void run_examine(struct pipeline *p)
{
    const struct pipeline_parts *parts = &p->owner->parts;
    int err = probe_start(parts->loop, &parts->settings->media, p->source, examined, p, &p->task);

    if (err)
        pipeline_step_done(p, err, "ffprobe could not be started");
}

/* store, on the disk */

/* Its folder in scratch becomes the published one. */
static int move_into(struct pipeline *p, const char *folder)
{
    struct buf path;
    struct stat st;
    int err = OK;

    buf_init(&path, STORE_PATH_MAX);
    buf_printf(&path, "%s/%s", folder, p->spec.upload.file_name);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        err = fail_from_errno(errno);
    else if (rename(p->source, buf_text(&path)) != 0 && lstat(buf_text(&path), &st) != 0)
        /* An earlier attempt may have published it already: then there is neither. */
        err = errno == ENOENT ? OK : fail_from_errno(errno);
    buf_deinit(&path);
    return err;
}

static void keep_work(void *context)
{
    struct pipeline *p = context;
    struct buf folder;

    buf_init(&folder, STORE_PATH_MAX);
    buf_printf(&folder, "%s/file", p->scratch);
    p->err = move_into(p, buf_text(&folder));
    if (p->err == OK)
        p->err = disk_publish(p->owner->parts.disk, buf_text(&folder), p->spec.key,
                              p->spec.upload.file_name, &p->published);
    if (p->err)
        buf_printf(&p->why, "the file could not be stored: %s", fail_text(p->err));
    buf_deinit(&folder);
}

static void kept(void *context)
{
    struct pipeline *p = context;

    if (p->err == OK)
        pipeline_say_bytes(p, "downloading", cleaning, "Upload complete, cleaning up", -1, -1);
    pipeline_offloaded(p);
}

/* store, in a bucket */

struct sending {
    struct media_task task; /* first */
    struct pipeline *pipeline;
    struct storage_task *put; /* under way, or NULL */
    int file, err;
    uint64_t size;
};

static void open_work(void *context)
{
    struct sending *s = context;
    struct stat st;

    s->file = open(s->pipeline->source, O_RDONLY | O_CLOEXEC);
    if (s->file < 0 || fstat(s->file, &st) != 0)
        s->err = fail_from_errno(errno);
    else
        s->size = (uint64_t)st.st_size;
}

static void close_work(void *context)
{
    struct sending *s = context;

    if (s->file >= 0)
        close(s->file);
}

static void sent(void *context)
{
    struct sending *s = context;
    struct pipeline *p = s->pipeline;
    int err = s->err;

    p->task = NULL;
    if (err == OK) {
        p->published = s->size;
        pipeline_say_bytes(p, "downloading", cleaning, "Upload complete, cleaning up", -1, -1);
    }
    mem_free(s);
    pipeline_step_done(p, err, buf_text(&p->why));
}

static void put_done(void *context, int err, const char *why)
{
    struct sending *s = context;

    s->put = NULL;
    s->err = pipeline_storage_err(err);
    if (err)
        buf_printf(&s->pipeline->why, "the file could not be stored: %s", why);
    io_offload(s->pipeline->owner->parts.loop, close_work, sent, s);
}

static void put_moved(void *context, uint64_t bytes)
{
    struct sending *s = context;
    struct pipeline *p = s->pipeline;
    double fraction = s->size > 0 ? (double)bytes / (double)s->size : 1;
    uint64_t now_ms = clock_mono_ms();

    if (now_ms < p->told_ms + TELL_MS)
        return;
    p->told_ms = now_ms;
    pipeline_say_bytes(p, "downloading", uploading + (cleaning - uploading) * fraction,
                       "Uploading to cloud storage", -1, -1);
}

static void opened(void *context)
{
    struct sending *s = context;
    struct pipeline *p = s->pipeline;
    struct storage *storage = p->owner->parts.storage;
    char key[sizeof(p->spec.key) + sizeof(p->spec.upload.file_name) + 1];

    if (atomic_load(&p->is_stopped))
        s->err = FAIL_CANCELLED;
    if (s->err) {
        buf_printf(&p->why, "the file cannot be read: %s", fail_text(s->err));
        io_offload(p->owner->parts.loop, close_work, sent, s);
        return;
    }
    snprintf(key, sizeof(key), "%s/%s", p->spec.key, p->spec.upload.file_name);
    p->has_sent = true;
    s->put =
        storage_put(storage,
                    &(struct storage_put){ .key = key,
                                           .content_type = content_type_of(str_of(key)),
                                           .cache_control = "public, max-age=31536000, immutable",
                                           .has_file = true,
                                           .file = s->file,
                                           .length = s->size,
                                           .moved = put_moved,
                                           .done = put_done,
                                           .context = s });
}

static void stop_sending(struct media_task *t)
{
    struct sending *s = (struct sending *)t;

    if (s->put == NULL) /* on its way to or from a worker thread */
        return;
    storage_cancel(s->put);
    put_done(s, FAIL_CANCELLED, "cancelled");
}

static void send_file(struct pipeline *p)
{
    struct sending *s = mem_new(struct sending);

    s->task.cancel = stop_sending;
    s->pipeline = p;
    p->task = &s->task;
    io_offload(p->owner->parts.loop, open_work, opened, s);
}

static void run_store(struct pipeline *p)
{
    buf_reset(&p->why);
    pipeline_say_bytes(p, "downloading", uploading, "Uploading to cloud storage", -1, -1);
    if (p->owner->parts.storage != NULL)
        send_file(p);
    else
        pipeline_offload(p, keep_work, kept);
}

const struct step step_fetch = { "fetch", run_fetch, "Download failed" };
const struct step step_examine = { "examine", run_examine, "Download failed" };
const struct step step_store = { "store", run_store, "The file could not be stored" };
