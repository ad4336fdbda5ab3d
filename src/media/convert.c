#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/complaint.h"
#include "media/package.h"
#include "media/progress.h"
#include "media/recipe.h"
#include "media/task.h"

enum {
    CONVERT_FILE_MAX = 1 << 30, /* a segment of four seconds is far below */
    CONVERT_CPU_BASE_S = 3600,
    CONVERT_CPU_FACTOR = 300,       /* seconds of work for one of video */
    CONVERT_CPU_UNKNOWN_S = 864000, /* of unknown length: ten days */
    CONVERT_LOOK_MS = 250,          /* how often a stall is looked for */
};

/*   ffmpeg ──exit 0 and progress=end──> package (worker thread) ──> over
 *      └── anything else ───────────────────────────────────────────┘ */
struct convert {
    struct media_task task; /* first */
    uv_loop_t *loop;
    const struct media_settings *settings;
    struct media_info info;
    char *out_dir;
    struct rung rungs[LADDER_MAX];
    unsigned rung_count;
    struct child *child;
    uv_timer_t timer;
    uv_work_t work;
    struct progress_block block;
    struct progress progress;
    struct buf why;
    int err;
    bool is_cancelled, has_stalled;
    const struct convert_events *events;
    void *context;
};

static void free_convert(struct convert *c)
{
    buf_deinit(&c->why);
    mem_free(c->out_dir);
    mem_free(c);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct convert *c = handle->data;

    c->events->done(c->context, c->err, buf_text(&c->why));
    free_convert(c);
}

static void finish(struct convert *c, int err)
{
    c->err = err;
    if (c->is_cancelled) {
        c->err = FAIL_CANCELLED;
        buf_reset(&c->why);
        buf_puts(&c->why, "cancelled");
    }
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static void package_work(uv_work_t *work)
{
    struct convert *c = work->data;

    c->err = package_finish(c->out_dir, &c->info, c->rungs, c->rung_count, &c->why);
}

static void on_packaged(uv_work_t *work, int status)
{
    struct convert *c = work->data;

    finish(c, status ? FAIL_CANCELLED : c->err);
}

static int killed(struct convert *c, int signal)
{
    switch (signal) {
    case SIGXCPU:
        buf_puts(&c->why, "converting it takes more work than is allowed");
        return FAIL_LIMIT;
    case SIGXFSZ: buf_puts(&c->why, "the result would be too large"); return FAIL_LIMIT;
    case SIGSYS: buf_puts(&c->why, "the converter tried what it must not"); return FAIL_DENIED;
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGABRT: buf_puts(&c->why, "the converter crashed on this file"); return FAIL_SYNTAX;
    default: buf_puts(&c->why, "the converter was ended from outside"); return FAIL_IO;
    }
}

static int judge(struct convert *c, int status, const char *complaint)
{
    if (c->has_stalled) {
        buf_printf(&c->why, "ffmpeg made no progress for %" PRIu32 " s",
                   c->settings->stall_ms / 1000);
        return FAIL_TIMEOUT;
    }
    if (status < 0)
        return killed(c, -status);
    if (status > 0)
        return complaint_read(complaint, &c->why);
    if (!c->block.is_over) {
        buf_puts(&c->why, "the converter ended before its work did");
        return FAIL_IO;
    }
    return OK;
}

static void on_end(void *context, int status, const char *complaint)
{
    struct convert *c = context;

    c->child = NULL;
    uv_timer_stop(&c->timer);
    /* After SIGTERM ffmpeg ends its playlists and exits well: not to be read
     * as success. */
    int err = c->is_cancelled ? FAIL_CANCELLED : judge(c, status, complaint);
    if (err == OK && uv_queue_work(c->loop, &c->work, package_work, on_packaged) == 0)
        return;
    finish(c, err ? err : FAIL_IO);
}

static void on_line(void *context, const char *text, size_t len)
{
    struct convert *c = context;
    struct convert_progress told;

    if (!progress_read_line(&c->block, (struct str){ text, len }) || c->is_cancelled)
        return;
    progress_update(&c->progress, &c->block, uv_now(c->loop), &told);
    if (c->events->progress != NULL)
        c->events->progress(c->context, &told);
}

static void on_look(uv_timer_t *timer)
{
    struct convert *c = timer->data;

    if (c->child == NULL || c->has_stalled ||
        progress_stalled_ms(&c->progress, uv_now(c->loop)) < c->settings->stall_ms)
        return;
    c->has_stalled = true;
    child_stop(c->child, MEDIA_STOP_MS);
}

static void cancel(struct media_task *t)
{
    struct convert *c = (struct convert *)t;

    c->is_cancelled = true;
    if (c->child != NULL)
        child_stop(c->child, MEDIA_STOP_MS);
}

static uint32_t cpu_limit(const struct media_info *info)
{
    if (info->duration_ms < 0 || info->duration_ms / 1000 > CONVERT_CPU_UNKNOWN_S)
        return CONVERT_CPU_UNKNOWN_S;
    return CONVERT_CPU_BASE_S + (uint32_t)(info->duration_ms / 1000) * CONVERT_CPU_FACTOR;
}

static int start_child(struct convert *c, const char *path)
{
    static const struct child_events events = { .line = on_line, .end = on_end };
    struct child_limits limits = media_limits(c->settings, path, c->out_dir);
    struct arguments *a =
        recipe_build(c->settings, &c->info, c->rungs, c->rung_count, path, c->out_dir);
    const char *const *argv = arguments_list(a);

    limits.file_max = CONVERT_FILE_MAX;
    limits.cpu_max_s = cpu_limit(&c->info);
    int err = argv ? child_start(c->loop, argv, &limits, &events, c, &c->child) : FAIL_LIMIT;
    arguments_free(a);
    return err;
}

int convert_start(uv_loop_t *loop, const struct media_settings *settings, const char *path,
                  const struct media_info *info, const char *out_dir,
                  const struct convert_events *events, void *context, struct media_task **out)
{
    /* ffmpeg takes it for a pattern. */
    if (strchr(out_dir, '%') != NULL || (!info->has_video && info->audio_count == 0))
        return FAIL_STATE;
    struct convert *c = mem_new(struct convert);
    c->task.cancel = cancel;
    c->loop = loop;
    c->settings = settings;
    c->info = *info;
    c->out_dir = mem_strdup(out_dir);
    c->rung_count = ladder_build(info, c->rungs);
    c->events = events;
    c->context = context;
    c->timer.data = c->work.data = c;
    buf_init(&c->why, MEDIA_WHY_MAX);
    progress_block_init(&c->block);
    progress_init(&c->progress, info, uv_now(loop));
    int err = start_child(c, path);
    if (err) {
        free_convert(c);
        return err;
    }
    uv_timer_init(loop, &c->timer);
    uv_timer_start(&c->timer, on_look, CONVERT_LOOK_MS, CONVERT_LOOK_MS);
    *out = &c->task;
    return OK;
}
