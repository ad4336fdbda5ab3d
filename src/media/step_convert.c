/* From a video to HLS where the world can fetch it. Every step may be begun again from
 * nothing but its checkpoint and what lies in scratch. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "media/inherit.h"
#include "media/pipeline_run.h"
#include "media/publish.h"

/* Document 000, "Processing Stages", "Stage 2": where in it each activity lies. */
static const double fetching = 0.05, fetched = 0.15, running_from = 0.20, running_to = 0.70,
                    publishing = 0.90;

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
    if (p->inherited != NULL && p->publish != NULL)
        publish_inherit(p->publish, p->inherited, segments);
}

static void repeated(void *context, const char *why)
{
    struct pipeline *p = context;

    log_warn("conversion_repeated", LOG_S("job", p->video), LOG_S("why", why));
    if (p->publish != NULL)
        publish_again(p->publish);
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

static void write_tree(const struct pipeline *p, struct buf *out)
{
    buf_init(out, 4096);
    buf_printf(out, "%s/%s", p->scratch, p->spec.out);
}

static void follow(struct pipeline *p)
{
    const struct pipeline_parts *parts = &p->owner->parts;
    struct buf tree;

    write_tree(p, &tree);
    p->has_sent = true;
    p->publish = publish_begin(parts->loop, parts->storage, buf_text(&tree), p->spec.key, p->note);
    buf_deinit(&tree);
}

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
    else if (parts->storage != NULL)
        follow(p);
}

/* Each claim publishes under a key of its own: what is below others' keys may be gone on
 * with. */
static void folder_made(void *context)
{
    struct pipeline *p = context;
    struct buf path;

    if (p->token == 0 || p->owner->parts.storage == NULL || p->err || atomic_load(&p->is_stopped)) {
        convert_ready(p);
        return;
    }
    buf_init(&path, 4096);
    buf_printf(&path, "%s/%s", p->scratch, convert_folder);
    inherit_begin(p, buf_text(&path), convert_ready);
    buf_deinit(&path);
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
    pipeline_offload(p, convert_work, folder_made);
}

/* publish */

static void publish_work(void *context)
{
    struct pipeline *p = context;
    struct buf tree;

    write_tree(p, &tree);
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
    pipeline_offloaded(p);
}

/* publish, into a storage: what is not there yet */

static void storing(void *context, uint64_t sent, uint64_t total)
{
    double done = total > 0 ? (double)sent / (double)total : 0;

    pipeline_say(context, "converting", publishing + (1 - publishing) * done,
                 "Uploading HLS files to storage", NULL);
}

static void stored(void *context, int err, const char *why, uint64_t bytes)
{
    struct pipeline *p = context;

    p->task = NULL;
    p->err = err;
    p->published = bytes;
    buf_reset(&p->why);
    if (err)
        buf_printf(&p->why, "the HLS files could not be stored: %s", why);
    published(p);
}

static const struct publish_events publish_events = { .moved = storing, .done = stored };

static void look_for_tree(void *context)
{
    struct pipeline *p = context;
    struct buf path;

    write_tree(p, &path);
    buf_puts(&path, "/master.m3u8");
    p->err = access(buf_text(&path), R_OK) == 0 ? OK : fail_from_errno(errno);
    buf_deinit(&path);
}

/* What was converted lies in the scratch of another node. */
static void store(void *context)
{
    struct pipeline *p = context;

    if (atomic_load(&p->is_stopped)) {
        pipeline_step_done(p, FAIL_CANCELLED, "");
        return;
    }
    if (p->err) {
        pipeline_go_back(p, &step_convert);
        return;
    }
    if (p->publish == NULL)
        follow(p);
    publish_finish(p->publish, &publish_events, p, &p->task);
    p->publish = NULL;
}

static void run_publish(struct pipeline *p)
{
    pipeline_say(p, "converting", publishing, "Uploading HLS files to storage", NULL);
    if (p->owner->parts.storage != NULL)
        pipeline_offload(p, look_for_tree, store);
    else
        pipeline_offload(p, publish_work, published);
}

const struct step step_convert = { "convert", run_convert, "HLS conversion failed" };
const struct step step_publish = { "publish", run_publish, "HLS conversion failed" };
