#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/complaint.h"
#include "media/probe_read.h"
#include "media/progress.h"
#include "media/sniff.h"
#include "media/task.h"

enum {
    PROBE_TIMEOUT_MS = 60 * 1000,
    PROBE_MEASURE_TIMEOUT_MS = 15 * 60 * 1000, /* it reads the whole file */
    PROBE_CPU_MAX_S = 15 * 60,
    PROBE_OUTPUT_MAX = 1 << 20,
};

/*   sniff (worker thread) ──> ffprobe ──┬──────────────────────────> over
 *                                       └─ no duration: measure ──┘
 *
 * Each step ends in one callback, which begins the next one or calls finish. */
struct probe {
    struct media_task task; /* first */
    uv_loop_t *loop;
    const struct media_settings *settings;
    char *path;
    uv_work_t work;
    uv_timer_t timer;
    struct child *child;
    struct buf output;           /* ffprobe's JSON */
    struct progress_block block; /* of the measuring run */
    struct media_info info;
    struct buf why;
    int err;
    bool is_cancelled, has_timed_out;
    void (*done)(void *context, int err, const char *why, const struct media_info *info);
    void *context;
};

static void on_timer_closed(uv_handle_t *handle)
{
    struct probe *p = handle->data;

    p->done(p->context, p->err, buf_text(&p->why), p->err == OK ? &p->info : NULL);
    buf_deinit(&p->output);
    buf_deinit(&p->why);
    mem_free(p->path);
    mem_free(p);
}

static void finish(struct probe *p, int err, const char *why)
{
    if (why != NULL)
        buf_puts(&p->why, why);
    p->err = err;
    if (p->is_cancelled) {
        buf_reset(&p->why);
        buf_puts(&p->why, "cancelled");
        p->err = FAIL_CANCELLED;
    }
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

static void check_limits(struct probe *p)
{
    const struct media_settings *s = p->settings;
    const struct media_info *info = &p->info;
    uint64_t pixels = (uint64_t)info->width * (uint64_t)info->height;

    if (info->has_video && s->pixels_max > 0 && pixels > s->pixels_max) {
        buf_printf(&p->why, "the picture has too many pixels (%dx%d)", info->width, info->height);
        finish(p, FAIL_LIMIT, NULL);
    } else if (s->duration_max_ms > 0 && info->duration_ms > (int64_t)s->duration_max_ms) {
        buf_printf(&p->why, "it is %" PRId64 " s long, at most %" PRIu64 " s are allowed",
                   info->duration_ms / 1000, s->duration_max_ms / 1000);
        finish(p, FAIL_LIMIT, NULL);
    } else {
        finish(p, OK, NULL);
    }
}

static void on_timeout(uv_timer_t *timer)
{
    struct probe *p = timer->data;

    p->has_timed_out = true;
    if (p->child != NULL)
        child_stop(p->child, 0);
}

static int run(struct probe *p, struct arguments *a, const struct child_events *events,
               uint64_t timeout_ms)
{
    struct child_limits limits = media_limits(p->settings, p->path, NULL);
    const char *const *argv = arguments_list(a);

    limits.cpu_max_s = PROBE_CPU_MAX_S;
    limits.file_max = 1; /* it has nowhere to write either */
    int err = argv ? child_start(p->loop, argv, &limits, events, p, &p->child) : FAIL_LIMIT;
    arguments_free(a);
    if (err == OK)
        uv_timer_start(&p->timer, on_timeout, timeout_ms, 0);
    return err;
}

/* True if the run failed; then the probe is finished. */
static bool run_failed(struct probe *p, int status, const char *complaint)
{
    p->child = NULL;
    uv_timer_stop(&p->timer);
    if (p->is_cancelled)
        finish(p, FAIL_CANCELLED, NULL);
    else if (p->has_timed_out)
        finish(p, FAIL_TIMEOUT, "finding out what it holds took too long");
    else if (status != 0)
        finish(p, complaint_read(complaint, &p->why), NULL);
    else
        return false;
    return true;
}

static void on_measure_line(void *context, const char *text, size_t len)
{
    struct probe *p = context;

    progress_read_line(&p->block, (struct str){ text, len });
}

static void on_measured(void *context, int status, const char *complaint)
{
    struct probe *p = context;

    if (run_failed(p, status, complaint))
        return;
    if (p->block.out_us > 0)
        p->info.duration_ms = (p->block.out_us + 999) / 1000;
    check_limits(p);
}

/* Live recordings and broken off ones carry no duration: copying everything to
 * nowhere finds it at the speed of the disk. */
static void measure(struct probe *p)
{
    static const struct child_events events = { .line = on_measure_line, .end = on_measured };
    static const char *const head[] = { "-hide_banner", "-nostdin", "-loglevel", "error",
                                        "-progress",    "pipe:1",   "-nostats",  NULL };
    static const char *const tail[] = { "-map", "0:V:0?", "-map", "0:a?", "-c",
                                        "copy", "-f",     "null", "-",    NULL };
    struct arguments *a = arguments_new();

    arguments_add(a, p->settings->ffmpeg);
    arguments_add_all(a, head);
    arguments_add_input(a, p->settings, p->info.demuxer);
    arguments_add(a, "-i");
    arguments_addf(a, "file:%s", p->path);
    arguments_add_all(a, tail);
    progress_block_init(&p->block);
    int err = run(p, a, &events, PROBE_MEASURE_TIMEOUT_MS);
    if (err)
        finish(p, err, "ffmpeg could not be started");
}

static void on_probe_line(void *context, const char *text, size_t len)
{
    struct probe *p = context;

    buf_append(&p->output, text, len);
    buf_putc(&p->output, '\n');
}

static void on_probed(void *context, int status, const char *complaint)
{
    struct probe *p = context;
    struct media_info info;

    if (run_failed(p, status, complaint))
        return;
    if (p->output.failed) {
        finish(p, FAIL_LIMIT, "its description is too long");
        return;
    }
    int err = probe_read(buf_str(&p->output), &info, &p->why);
    if (err) {
        /* The picture has no size because decoding it was refused. */
        if (strstr(complaint, "exceeds specified max pixel count") != NULL) {
            buf_reset(&p->why);
            err = complaint_read(complaint, &p->why);
        }
        finish(p, err, NULL);
        return;
    }
    memcpy(info.demuxer, p->info.demuxer, sizeof(info.demuxer));
    info.size = p->info.size;
    p->info = info;
    if (info.duration_ms > 0)
        check_limits(p);
    else
        measure(p);
}

static void ask(struct probe *p)
{
    static const struct child_events events = { .line = on_probe_line, .end = on_probed };
    struct arguments *a = arguments_new();

    arguments_add(a, p->settings->ffprobe);
    arguments_add_all(a, (const char *const[]){ "-hide_banner", "-loglevel", "error", NULL });
    arguments_add_input(a, p->settings, p->info.demuxer);
    arguments_add_all(a,
                      (const char *const[]){ "-show_entries", probe_entries, "-of", "json", NULL });
    arguments_addf(a, "file:%s", p->path);
    int err = run(p, a, &events, PROBE_TIMEOUT_MS);
    if (err)
        finish(p, err, "ffprobe could not be started");
}

static int sniff_open(struct probe *p, int fd, const char **why)
{
    struct stat st;
    char *bytes = NULL;
    int err = OK;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        *why = "this is not a file";
        return FAIL_UNSUPPORTED;
    }
    bytes = mem_alloc(SNIFF_BYTES);
    ssize_t len = pread(fd, bytes, SNIFF_BYTES, 0);
    const char *demuxer = len < 0 ? NULL : sniff_demuxer(bytes, (size_t)len, why);
    if (demuxer == NULL)
        err = len < 0 ? FAIL_IO : FAIL_UNSUPPORTED;
    else
        snprintf(p->info.demuxer, sizeof(p->info.demuxer), "%s", demuxer);
    p->info.size = (uint64_t)st.st_size;
    mem_free(bytes);
    return err;
}

static void sniff_work(uv_work_t *work)
{
    struct probe *p = work->data;
    const char *why = "the file cannot be read";
    int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        p->err = errno == ENOENT ? FAIL_MISSING : FAIL_IO;
    } else {
        p->err = sniff_open(p, fd, &why);
        close(fd);
    }
    if (p->err)
        buf_puts(&p->why, why);
}

static void on_sniffed(uv_work_t *work, int status)
{
    struct probe *p = work->data;

    if (p->err || status || p->is_cancelled)
        finish(p, p->err ? p->err : FAIL_CANCELLED, NULL);
    else
        ask(p);
}

static void cancel(struct media_task *t)
{
    struct probe *p = (struct probe *)t;

    p->is_cancelled = true;
    if (p->child != NULL)
        child_stop(p->child, 0);
}

int probe_start(uv_loop_t *loop, const struct media_settings *settings, const char *path,
                void (*done)(void *context, int err, const char *why,
                             const struct media_info *info),
                void *context, struct media_task **out)
{
    struct probe *p = mem_new(struct probe);

    p->task.cancel = cancel;
    p->loop = loop;
    p->settings = settings;
    p->path = mem_strdup(path);
    p->done = done;
    p->context = context;
    buf_init(&p->output, PROBE_OUTPUT_MAX);
    buf_init(&p->why, MEDIA_WHY_MAX);
    p->work.data = p->timer.data = p;
    int err = uv_queue_work(loop, &p->work, sniff_work, on_sniffed);
    if (err) {
        mem_free(p->path);
        mem_free(p);
        return FAIL_IO;
    }
    uv_timer_init(loop, &p->timer);
    *out = &p->task;
    return OK;
}
