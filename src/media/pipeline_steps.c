/* What each step does. Every one may be begun again from nothing but its
 * checkpoint and what lies in scratch. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/log.h"
#include "io/thread.h"
#include "media/assemble.h"
#include "media/pipeline_run.h"

/* Document 000, "Processing Stages": where in its stage each activity lies. */
static const double found_chunks = 0.05, reading_from = 0.10, reading_to = 0.50, saving = 0.55,
                    cleaning = 0.70;
static const double fetching = 0.05, fetched = 0.15, running_from = 0.20, running_to = 0.70,
                    publishing = 0.90;

static void offload(struct pipeline *p, void (*work)(void *), void (*done)(void *))
{
    buf_reset(&p->why);
    p->err = OK;
    io_offload(p->owner->parts.loop, work, done, p);
}

static void offload_done(void *context)
{
    struct pipeline *p = context;

    pipeline_step_done(p, p->err, buf_text(&p->why));
}

/* assemble */

static void reading(void *context, uint32_t chunk)
{
    struct pipeline *p = context;
    uint32_t total = p->spec.upload.total_chunks;
    char message[64];

    if (chunk > total) {
        pipeline_say(p, "assembling", saving, "Saving assembled video", NULL);
        return;
    }
    snprintf(message, sizeof(message), "Reading chunk %u/%u", chunk, total);
    pipeline_say(p, "assembling", reading_from + (reading_to - reading_from) * chunk / total,
                 message, NULL);
}

static void assemble_work(void *context)
{
    struct pipeline *p = context;
    uint64_t size;
    struct assembly a = {
        .disk = p->owner->parts.disk,
        .video = p->video,
        .total_chunks = p->spec.upload.total_chunks,
        .path = p->source,
        .is_stopped = &p->is_stopped,
        .progress = reading,
        .context = p,
    };

    p->err = assemble(&a, &size, &p->why);
}

static void run_assemble(struct pipeline *p)
{
    pipeline_say(p, "assembling", 0, "Starting chunk assembly", NULL);
    pipeline_say(p, "assembling", found_chunks, "Found chunks, preparing", NULL);
    offload(p, assemble_work, offload_done);
}

/* probe: before the chunks go, so that what is no video can be mended */

static void probed(void *context, int err, const char *why, const struct media_info *info)
{
    struct pipeline *p = context;

    p->task = NULL;
    if (err == OK) {
        p->spec.info = *info;
        p->spec.has_info = true;
        p->spec.upload.has_source = true;
    }
    pipeline_step_done(p, err, why);
}

static void run_probe(struct pipeline *p)
{
    const struct pipeline_parts *parts = &p->owner->parts;

    pipeline_say(p, "assembling", saving, "Saving assembled video", NULL);
    int err = probe_start(parts->loop, &parts->settings->media, p->source, probed, p, &p->task);
    if (err)
        pipeline_step_done(p, err, "ffprobe could not be started");
}

/* clean */

static void clean_work(void *context)
{
    struct pipeline *p = context;

    p->err = disk_chunks_remove(p->owner->parts.disk, p->video);
    if (p->err)
        buf_printf(&p->why, "the chunks could not be removed: %s", fail_text(p->err));
}

static void cleaned(void *context)
{
    struct pipeline *p = context;

    if (p->err == OK)
        pipeline_say(p, "assembling", 1, "Assembly complete", NULL);
    offload_done(p);
}

static void run_clean(struct pipeline *p)
{
    pipeline_say(p, "assembling", cleaning, "Cleaning up chunks", NULL);
    offload(p, clean_work, cleaned);
}

/* convert: goes on with what an earlier attempt left in its folder */

static const char convert_folder[] = "convert";

static void convert_work(void *context)
{
    struct pipeline *p = context;
    struct buf path;

    buf_init(&path, 4096);
    buf_printf(&path, "%s/%s", p->scratch, convert_folder);
    if (mkdir(buf_text(&path), 0700) != 0 && errno != EEXIST) {
        p->err = fail_from_errno(errno);
        buf_printf(&p->why, "the scratch folder could not be made: %s", fail_text(p->err));
    }
    buf_deinit(&path);
}

static void resumed(void *context, uint32_t segments, int64_t ms)
{
    struct pipeline *p = context;

    log_info("conversion_resumed", LOG_S("job", p->video), LOG_I("segments", segments),
             LOG_I("ms", ms));
}

static void repeated(void *context, const char *why)
{
    struct pipeline *p = context;

    log_warn("conversion_repeated", LOG_S("job", p->video), LOG_S("why", why));
}

static void converting(void *context, const struct convert_progress *progress)
{
    double done = progress->fraction > 0 ? progress->fraction : 0;

    pipeline_say(context, "converting", running_from + (running_to - running_from) * done,
                 "FFmpeg conversion running", progress);
}

static void converted(void *context, int err, const char *why)
{
    struct pipeline *p = context;

    p->task = NULL;
    if (err == OK)
        pipeline_say(p, "converting", running_to, "Conversion complete", NULL);
    pipeline_step_done(p, err, why);
}

static const struct convert_events convert_events = {
    .progress = converting, .resumed = resumed, .repeated = repeated, .done = converted
};

static void convert_ready(void *context)
{
    struct pipeline *p = context;
    const struct pipeline_parts *parts = &p->owner->parts;
    struct buf path;

    if (p->err || atomic_load(&p->is_stopped)) {
        pipeline_step_done(p, p->err ? p->err : FAIL_CANCELLED, buf_text(&p->why));
        return;
    }
    pipeline_say(p, "converting", fetched, "Download complete", NULL);
    pipeline_say(p, "converting", running_from, "FFmpeg conversion running", NULL);
    buf_init(&path, 4096);
    buf_printf(&path, "%s/%s", p->scratch, convert_folder);
    int err = convert_start(parts->loop, &parts->settings->media, p->source, &p->spec.info,
                            buf_text(&path), &convert_events, p, &p->task);
    buf_deinit(&path);
    if (err)
        pipeline_step_done(p, err, "ffmpeg could not be started");
}

static void run_convert(struct pipeline *p)
{
    struct pipelines *ps = p->owner;

    if (ps->converting >= ps->parts.settings->conversions_max) {
        p->is_waiting = true;
        return;
    }
    p->is_converting = true;
    ps->converting++;
    snprintf(p->spec.out, sizeof(p->spec.out), "%s/tree", convert_folder);
    pipeline_say(p, "converting", 0, "Starting HLS conversion", NULL);
    pipeline_say(p, "converting", fetching, "Downloading from storage", NULL);
    offload(p, convert_work, convert_ready);
}

/* publish */

static void publish_work(void *context)
{
    struct pipeline *p = context;
    struct buf tree;

    buf_init(&tree, 4096);
    buf_printf(&tree, "%s/%s", p->scratch, p->spec.out);
    p->err = disk_publish(p->owner->parts.disk, buf_text(&tree), p->spec.key, "master.m3u8",
                          &p->published);
    if (p->err)
        buf_printf(&p->why, "the HLS files could not be stored: %s", fail_text(p->err));
    buf_deinit(&tree);
}

static void published(void *context)
{
    struct pipeline *p = context;

    if (p->err == OK)
        pipeline_say(p, "converting", 1, "Complete", NULL);
    offload_done(p);
}

static void run_publish(struct pipeline *p)
{
    pipeline_say(p, "converting", publishing, "Uploading HLS files to storage", NULL);
    offload(p, publish_work, published);
}

const struct step pipeline_steps[] = {
    { "assemble", run_assemble, "Chunk assembly failed" },
    { "probe", run_probe, "HLS conversion failed" },
    { "clean", run_clean, "Chunk assembly failed" },
    { "convert", run_convert, "HLS conversion failed" },
    { "publish", run_publish, "HLS conversion failed" },
    { NULL, NULL, NULL },
};

const struct step *step_named(const char *name)
{
    for (const struct step *s = pipeline_steps; s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}
