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
#include "media/resume.h"
#include "media/task.h"

enum {
    CONVERT_FILE_MAX = 1 << 30, /* a segment of four seconds is far below */
    CONVERT_CPU_BASE_S = 3600,
    CONVERT_CPU_FACTOR = 300,       /* seconds of work for one of video */
    CONVERT_CPU_UNKNOWN_S = 864000, /* of unknown length: ten days */
    CONVERT_LOOK_MS = 250,          /* how often a stall is looked for */
};

enum convert_state { LOOKING, RUNNING, PACKAGING, OVER };

/* The picture's ffmpeg, and the one of the sound: either may be missing. */
struct side {
    struct convert *owner;
    struct child *child;
    struct progress_block block;
    bool is_over; /* all of it is there */
};

/*   look (worker) ──> picture and sound, side by side ──both exit 0 and
 *     ^                 │                               progress=end──> package
 *     │                 │                                          (worker) │
 *     │                 └── one fails: the other is stopped ──┐             │
 *     └── once, from the beginning, if it had been resumed ───┴── bad ──────┴──> over
 *
 * `busy` counts what runs: children and work on worker threads. When it falls to
 * nothing the next state begins. */
struct convert {
    struct media_task task; /* first */
    uv_loop_t *loop;
    const struct media_settings *settings;
    struct media_info info;
    char *path, *folder, *tree;
    struct rung rungs[LADDER_MAX];
    struct recipe recipe; /* borrows the above */
    struct resume resume;
    struct side picture, sound;
    enum convert_state state;
    unsigned busy;
    uv_timer_t timer;
    uv_work_t work, note;
    struct progress progress;
    uint64_t began_ms; /* this run */
    struct buf why;
    int err;
    bool is_cancelled, has_stalled, has_repeated;
    const struct convert_events *events;
    void *context;
};

static void free_convert(struct convert *c)
{
    buf_deinit(&c->why);
    mem_free(c->path);
    mem_free(c->folder);
    mem_free(c->tree);
    mem_free(c);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct convert *c = handle->data;

    c->events->done(c->context, c->err, buf_text(&c->why));
    free_convert(c);
}

static void finish(struct convert *c)
{
    if (c->is_cancelled) {
        c->err = FAIL_CANCELLED;
        buf_reset(&c->why);
        buf_puts(&c->why, "cancelled");
    }
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static void step_ended(struct convert *c);

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

static int judge(struct convert *c, const struct side *side, int status, const char *complaint)
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
    if (!side->block.is_over) {
        buf_puts(&c->why, "the converter ended before its work did");
        return FAIL_IO;
    }
    return OK;
}

static void stop_children(struct convert *c)
{
    if (c->picture.child != NULL)
        child_stop(c->picture.child, MEDIA_STOP_MS);
    if (c->sound.child != NULL)
        child_stop(c->sound.child, MEDIA_STOP_MS);
}

static void on_note_made(uv_work_t *work, int status)
{
    struct convert *c = work->data;

    (void)status;
    step_ended(c);
}

/* Should it fail, the sound is made again: nothing worse. */
static void note_work(uv_work_t *work)
{
    struct convert *c = work->data;

    resume_note_sound(c->folder);
}

static void on_end(void *context, int status, const char *complaint)
{
    struct side *side = context;
    struct convert *c = side->owner;

    side->child = NULL;
    /* After SIGTERM ffmpeg ends its playlists and exits well: not to be read
     * as success. Nor is the one that was stopped the one to blame. */
    if (c->err == OK && !c->is_cancelled) {
        c->err = judge(c, side, status, complaint);
        side->is_over = c->err == OK;
        if (c->err)
            stop_children(c);
    }
    if (side == &c->sound && side->is_over &&
        uv_queue_work(c->loop, &c->note, note_work, on_note_made) == 0)
        c->busy++;
    step_ended(c);
}

/* Of frames that were there already ffmpeg knows nothing, and its clock begins
 * somewhere else. */
static void add_start(const struct convert *c, struct progress_block *b)
{
    uint64_t elapsed_ms = uv_now(c->loop) - c->began_ms;

    if (c->resume.start.frames == 0 || b->frame < 0)
        return;
    double seconds = (double)b->frame * c->info.fps_den / c->info.fps_num;
    b->speed = elapsed_ms > 0 ? seconds * 1000 / (double)elapsed_ms : -1;
    b->frame += (int64_t)c->resume.start.frames;
    b->out_us = (int64_t)((double)b->frame * c->info.fps_den / c->info.fps_num * 1e6);
}

/* Of both sides: the sound holds back as long as it runs, and counts for the
 * time behind the picture's end. */
static struct progress_block both_sides(const struct convert *c)
{
    struct progress_block b = c->picture.block, sound = c->sound.block;

    if (c->recipe.rung_count == 0)
        return sound;
    add_start(c, &b);
    if (c->sound.child != NULL || sound.out_us > b.out_us)
        b.out_us = sound.out_us;
    if (c->picture.is_over)
        b.speed = sound.speed;
    return b;
}

static void on_line(void *context, const char *text, size_t len)
{
    struct side *side = context;
    struct convert *c = side->owner;
    struct convert_progress told;

    if (!progress_read_line(&side->block, (struct str){ text, len }) || c->is_cancelled || c->err)
        return;
    struct progress_block block = both_sides(c);
    progress_update(&c->progress, &block, uv_now(c->loop), &told);
    if (c->events->progress != NULL)
        c->events->progress(c->context, &told);
}

static int64_t start_ms(const struct convert *c)
{
    return (int64_t)((double)c->resume.start.frames * c->info.fps_den / c->info.fps_num * 1000);
}

/* Where no seek is possible all that was made before is decoded once more, and
 * until it has been nothing moves. */
static uint64_t stall_limit(const struct convert *c)
{
    enum { DECODING_FACTOR = 4 };
    uint64_t limit = c->settings->stall_ms;

    if (c->resume.start.frames > 0 && c->picture.block.frame <= 0)
        limit += DECODING_FACTOR * (uint64_t)start_ms(c);
    return limit;
}

static void on_look(uv_timer_t *timer)
{
    struct convert *c = timer->data;

    if (c->has_stalled || progress_stalled_ms(&c->progress, uv_now(c->loop)) < stall_limit(c))
        return;
    c->has_stalled = true;
    stop_children(c);
}

static void cancel(struct media_task *t)
{
    struct convert *c = (struct convert *)t;

    c->is_cancelled = true;
    stop_children(c);
}

static uint32_t cpu_limit(const struct media_info *info)
{
    if (info->duration_ms < 0 || info->duration_ms / 1000 > CONVERT_CPU_UNKNOWN_S)
        return CONVERT_CPU_UNKNOWN_S;
    return CONVERT_CPU_BASE_S + (uint32_t)(info->duration_ms / 1000) * CONVERT_CPU_FACTOR;
}

static int start_child(struct convert *c, struct side *side, struct arguments *a)
{
    static const struct child_events events = { .line = on_line, .end = on_end };
    struct child_limits limits = media_limits(c->settings, c->path, c->tree);
    const char *const *argv = arguments_list(a);

    limits.file_max = CONVERT_FILE_MAX;
    limits.cpu_max_s = cpu_limit(&c->info);
    int err = argv ? child_start(c->loop, argv, &limits, &events, side, &side->child) : FAIL_LIMIT;
    arguments_free(a);
    if (err == OK)
        c->busy++;
    else
        buf_puts(&c->why, "ffmpeg could not be started");
    return err;
}

static int start_children(struct convert *c)
{
    int err = OK;

    if (c->recipe.rung_count > 0)
        err = start_child(c, &c->picture, recipe_picture(&c->recipe));
    if (err == OK && !c->sound.is_over)
        err = start_child(c, &c->sound, recipe_sound(&c->recipe));
    return err;
}

static void init_side(struct convert *c, struct side *side)
{
    *side = (struct side){ .owner = c };
    progress_block_init(&side->block);
}

/* Everything is as the look left it. */
static void run(struct convert *c)
{
    uint64_t now = uv_now(c->loop);

    c->recipe.start = c->resume.start;
    c->began_ms = now;
    init_side(c, &c->picture);
    init_side(c, &c->sound);
    c->sound.is_over = c->resume.has_sound || recipe_audio_count(&c->info) == 0;
    progress_begin_run(&c->progress, c->resume.start.frames, now);
    if (c->resume.start.segments > 0 && c->events->resumed != NULL)
        c->events->resumed(c->context, c->resume.start.segments, start_ms(c));
    uv_timer_start(&c->timer, on_look, CONVERT_LOOK_MS, CONVERT_LOOK_MS);
    c->state = RUNNING;
    c->err = start_children(c);
    if (c->err)
        stop_children(c);
}

static void look_work(uv_work_t *work)
{
    struct convert *c = work->data;

    c->resume = (struct resume){ 0 };
    c->err = c->has_repeated ? resume_wipe(c->folder, &c->recipe)
                             : resume_look(c->folder, &c->recipe, &c->resume);
    if (c->err)
        buf_printf(&c->why, "the scratch folder could not be made: %s", fail_text(c->err));
}

static void package_work(uv_work_t *work)
{
    struct convert *c = work->data;

    c->err = package_finish(&c->recipe, &c->why);
}

static void on_worked(uv_work_t *work, int status)
{
    struct convert *c = work->data;

    if (status)
        c->err = FAIL_CANCELLED;
    step_ended(c);
}

static void begin_work(struct convert *c, enum convert_state state, uv_work_cb work)
{
    c->state = state;
    c->err = OK; /* from here on the worker's */
    if (uv_queue_work(c->loop, &c->work, work, on_worked) == 0)
        c->busy++;
    else
        c->err = FAIL_IO;
}

/* Whatever was wrong with it, work done in one go is not. */
static bool may_repeat(const struct convert *c)
{
    bool has_kept = c->resume.start.segments > 0 || c->resume.has_sound;

    return c->state != LOOKING && has_kept && !c->has_repeated && c->err != FAIL_FULL &&
           c->err != FAIL_CANCELLED;
}

static void repeat(struct convert *c)
{
    c->has_repeated = true;
    c->has_stalled = false;
    if (c->events->repeated != NULL)
        c->events->repeated(c->context, buf_text(&c->why));
    buf_reset(&c->why);
    begin_work(c, LOOKING, look_work);
}

static void next_state(struct convert *c)
{
    uv_timer_stop(&c->timer);
    if (c->err && !c->is_cancelled && may_repeat(c))
        repeat(c);
    else if (c->err || c->is_cancelled || c->state == PACKAGING)
        c->state = OVER;
    else if (c->state == LOOKING)
        run(c);
    else
        begin_work(c, PACKAGING, package_work);
}

static void step_ended(struct convert *c)
{
    c->busy--;
    while (c->busy == 0 && c->state != OVER)
        next_state(c);
    if (c->busy == 0)
        finish(c);
}

static struct convert *convert_new(uv_loop_t *loop, const struct media_settings *settings,
                                   const char *path, const struct media_info *info,
                                   const char *folder)
{
    struct convert *c = mem_new(struct convert);
    struct buf tree;

    buf_init(&tree, MEDIA_PATH_MAX);
    buf_printf(&tree, "%s/tree", folder);
    c->task.cancel = cancel;
    c->loop = loop;
    c->settings = settings;
    c->info = *info;
    c->path = mem_strdup(path);
    c->folder = mem_strdup(folder);
    c->tree = buf_take(&tree);
    c->recipe = (struct recipe){ .settings = settings,
                                 .info = &c->info,
                                 .rungs = c->rungs,
                                 .rung_count = ladder_build(info, c->rungs),
                                 .path = c->path,
                                 .out_dir = c->tree };
    c->timer.data = c->work.data = c->note.data = c;
    buf_init(&c->why, MEDIA_WHY_MAX);
    progress_init(&c->progress, info, uv_now(loop));
    return c;
}

int convert_start(uv_loop_t *loop, const struct media_settings *settings, const char *path,
                  const struct media_info *info, const char *folder,
                  const struct convert_events *events, void *context, struct media_task **out)
{
    /* ffmpeg takes it for a pattern. */
    if (strchr(folder, '%') != NULL || strlen(folder) > MEDIA_PATH_MAX / 2 ||
        (!info->has_video && info->audio_count == 0))
        return FAIL_STATE;
    struct convert *c = convert_new(loop, settings, path, info, folder);
    c->events = events;
    c->context = context;
    begin_work(c, LOOKING, look_work);
    if (c->busy == 0) {
        free_convert(c);
        return FAIL_IO;
    }
    uv_timer_init(loop, &c->timer);
    *out = &c->task;
    return OK;
}
