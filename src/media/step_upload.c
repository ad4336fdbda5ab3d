/* From chunks to one file that is known to be a video. Every step may be begun again
 * from nothing but its checkpoint and what lies in scratch. */
#include <stdio.h>

#include "base/err.h"
#include "media/assemble.h"
#include "media/bucket.h"
#include "media/pipeline_run.h"

/* Document 000, "Processing Stages", "Stage 1": where in it each activity lies. */
static const double found_chunks = 0.05, reading_from = 0.10, reading_to = 0.50, saving = 0.55,
                    cleaning = 0.70;

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
    if (bucket_has(p->owner, &p->spec.upload)) {
        bucket_assemble(p);
        return;
    }
    pipeline_say(p, "assembling", 0, "Starting chunk assembly", NULL);
    pipeline_say(p, "assembling", found_chunks, "Found chunks, preparing", NULL);
    pipeline_offload(p, assemble_work, pipeline_offloaded);
}

/* probe: before the chunks go, so that what is no video can be mended */

/* In a bucket the parts are gone with their assembly. What is no video is to be sent
 * anew; what failed otherwise can be tried again from the source. */
static void unusable(struct pipeline *p, int err, const char *why)
{
    if (!pipeline_is_inputs_fault(err)) {
        p->spec.upload.has_source = true;
        pipeline_step_done(p, err, why);
        return;
    }
    buf_reset(&p->why);
    buf_puts(&p->why, why != NULL && *why ? why : fail_text(err));
    bucket_refuse(p, err);
}

static void probed(void *context, int err, const char *why, const struct media_info *info)
{
    struct pipeline *p = context;

    p->task = NULL;
    if (err == OK) {
        p->spec.info = *info;
        p->spec.has_info = true;
        p->spec.upload.has_source = true;
    }
    if (err == OK || !bucket_has(p->owner, &p->spec.upload))
        pipeline_step_done(p, err, why);
    else
        unusable(p, err, why);
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
    pipeline_offloaded(p);
}

static void bucket_cleaned(void *context, int err, const char *why)
{
    struct pipeline *p = context;

    if (err)
        pipeline_step_done(p, err, why);
    else
        pipeline_offload(p, clean_work, cleaned);
}

static void run_clean(struct pipeline *p)
{
    pipeline_say(p, "assembling", cleaning, "Cleaning up chunks", NULL);
    if (bucket_has(p->owner, &p->spec.upload))
        bucket_clean(p, bucket_cleaned);
    else
        pipeline_offload(p, clean_work, cleaned);
}

const struct step step_assemble = { "assemble", run_assemble, "Chunk assembly failed" };
const struct step step_probe = { "probe", run_probe, "HLS conversion failed" };
const struct step step_clean = { "clean", run_clean, "Chunk assembly failed" };
