/* A URL that leads to a page or a manifest: yt-dlp is asked what is there, then to get it.
 *
 *   folder ──> info (-j) ──> get ──(it broke)──> get ... ──> move to PATH
 *
 * It runs in a sandbox, without any network but a proxy of ours that judges every
 * address (io/guard.h), and writes in FOLDER/page only: parts of an earlier run that lie
 * there are gone on with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/counters.h"
#include "io/child.h"
#include "io/fetch.h"
#include "io/guard.h"
#include "io/thread.h"
#include "media/download_read.h"
#include "media/downloads.h"
#include "media/task.h"
#include "storage/disk_dir.h"

enum {
    TICK_MS = 1000,
    INFO_MAX = 8 << 20,      /* of the JSON: a page can offer very many formats */
    INFO_MS = 3 * 60 * 1000, /* until it has said what there is */
    TRIES_MAX = 3,
    FILES_MAX = 256,
    CONNECTIONS_MAX = 32,
    PATH_LIMIT = 4096,
};
static const uint64_t ROOM_STEP = UINT64_C(64) << 20;
static const char page_folder[] = "page";

struct page {
    struct media_task task; /* first */
    struct download_request r;
    char *folder; /* FOLDER/page */
    char *path;
    struct child *child; /* running, or NULL */
    struct guard_proxy *proxy;
    uint64_t counted; /* of its bytes, in COUNT_DOWNLOADED */
    uv_timer_t tick;
    uint64_t deadline_ms, heard_ms;
    uint64_t roomed;
    struct buf info_json;
    struct page_info info;
    struct page_progress progress;
    char file[256];    /* what it made, below `folder`; "": nothing yet */
    char refusal[256]; /* of the proxy, or "" */
    bool is_getting, is_ending;
    unsigned tries;
    int err, work_err; /* of the end; of work on a worker thread */
    struct buf why;
};

/* The end */

static void on_closed(uv_handle_t *handle)
{
    struct page *p = handle->data;

    p->r.events->done(p->r.context, p->err, buf_text(&p->why));
    buf_deinit(&p->info_json);
    buf_deinit(&p->why);
    mem_free(p->folder);
    mem_free(p->path);
    mem_free(p);
}

/* Nothing runs any more. */
static void finish(struct page *p)
{
    uv_close((uv_handle_t *)&p->tick, on_closed);
}

/* The first reason counts. */
static void note(struct page *p, int err, const char *why)
{
    if (p->is_ending)
        return;
    p->is_ending = true;
    p->err = err;
    buf_reset(&p->why);
    buf_puts(&p->why, why);
}

static void stop(struct page *p, int err, const char *why)
{
    note(p, err, why);
    if (p->child != NULL)
        child_stop(p->child, MEDIA_STOP_MS);
}

static void end(struct page *p, int err, const char *why)
{
    note(p, err, why);
    finish(p);
}

static void cancel(struct media_task *t)
{
    stop((struct page *)t, FAIL_CANCELLED, "cancelled");
}

/* How far it is */

/* While it puts picture and sound together it says nothing. */
static bool is_stalled(const struct page *p, uint64_t now)
{
    uint64_t most_ms = p->is_getting ? p->r.settings->stall_ms : INFO_MS;

    return p->progress.fraction < 1 && now > p->heard_ms + most_ms;
}

static void count_bytes(struct page *p)
{
    uint64_t now = guard_proxy_bytes(p->proxy);

    counter_add(COUNT_DOWNLOADED, (int64_t)(now - p->counted));
    p->counted = now;
}

static void on_tick(uv_timer_t *timer)
{
    struct page *p = timer->data;
    uint64_t now = uv_now(p->r.loop);

    if (p->proxy != NULL)
        count_bytes(p);
    if (p->child == NULL || p->is_ending)
        return;
    if (now > p->deadline_ms)
        stop(p, FAIL_LIMIT, "the download takes too long");
    else if (p->proxy != NULL && guard_proxy_is_over(p->proxy))
        stop(p, FAIL_LIMIT, "it is too large");
    else if (is_stalled(p, now))
        stop(p, FAIL_UNSUPPORTED, "the server does not answer");
}

static bool has_room(struct page *p, uint64_t bytes)
{
    while (p->roomed < bytes) {
        if (p->r.events->room(p->r.context, ROOM_STEP) != OK)
            return false;
        p->roomed += ROOM_STEP;
    }
    return true;
}

static void on_progress(struct page *p)
{
    struct download_progress now;

    page_progress_now(&p->progress, &now);
    if ((uint64_t)now.done > p->r.settings->bytes_max)
        stop(p, FAIL_LIMIT, "it is too large");
    else if (!has_room(p, (uint64_t)now.done + 1))
        stop(p, FAIL_FULL, "there is no room for it");
    else
        p->r.events->progress(p->r.context, &now);
}

/* Only the name counts: where it lies is known. */
static void on_file(struct page *p, struct str path)
{
    struct str name = { 0 };

    while (path.at != NULL)
        name = str_cut(&path, '/');
    if (name_is_normal(name) && name.len < sizeof(p->file))
        snprintf(p->file, sizeof(p->file), "%.*s", STR_ARG(name));
}

static void on_line(void *context, const char *text, size_t len)
{
    struct page *p = context;
    struct str line = { text, len };

    p->heard_ms = uv_now(p->r.loop);
    if (!p->is_getting) {
        buf_append(&p->info_json, text, len);
    } else if (str_starts(line, STR("FILE "))) {
        on_file(p, (struct str){ text + 5, len - 5 });
    } else if (page_progress_line(&p->progress, &p->info, line) && !p->is_ending) {
        on_progress(p);
    }
}

/* Running it */

/* Of a video in pieces the heads and broken tries come on top. */
static uint64_t bytes_left(const struct page *p)
{
    return p->r.settings->bytes_max + p->r.settings->bytes_max / 4 + INFO_MAX;
}

static void add_formats(const struct page *p, struct arguments *a)
{
    static const char *const sorted[DOWNLOAD_QUALITIES] = {
        [QUALITY_BEST] = "res,vcodec:h264,acodec:aac",
        [QUALITY_2160P] = "res:2160,vcodec:h264,acodec:aac",
        [QUALITY_1080P] = "res:1080,vcodec:h264,acodec:aac",
        [QUALITY_720P] = "res:720,vcodec:h264,acodec:aac",
        [QUALITY_480P] = "res:480,vcodec:h264,acodec:aac",
        [QUALITY_360P] = "res:360,vcodec:h264,acodec:aac",
        [QUALITY_AUDIO] = "acodec:aac",
    };

    arguments_add(a, "-S");
    arguments_add(a, sorted[p->r.what->quality]);
    arguments_add(a, "-f");
    arguments_add(a, p->r.what->quality == QUALITY_AUDIO ? "ba/b" : "bv*+ba/b");
}

static void add_common(const struct page *p, struct arguments *a)
{
    static const char *const common[] = { "--no-config", "--no-playlist",  "--playlist-items",
                                          "1",           "--no-cache-dir", "--socket-timeout",
                                          "30",          "--no-colors",    NULL };

    arguments_add(a, p->r.settings->yt_dlp);
    arguments_add_all(a, common);
    if (fetch_trust_file() != NULL) { /* else it knows certifi's alone */
        arguments_add(a, "--compat-options");
        arguments_add(a, "no-certifi");
    }
    add_formats(p, a);
}

/* A percent sign of the folder's own is none of the template's. */
static void add_template(const struct page *p, struct arguments *a)
{
    struct buf path;

    buf_init(&path, PATH_LIMIT);
    for (const char *at = p->folder; *at; at++)
        buf_puts(&path, *at == '%' ? "%%" : (const char[]){ *at, '\0' });
    arguments_addf(a, "%s/video.%%(ext)s", buf_text(&path));
    buf_deinit(&path);
}

static const char progress_template[] =
    "download:RLY %(progress.status)s %(progress.downloaded_bytes)s %(progress.total_bytes)s "
    "%(progress.total_bytes_estimate)s %(progress.fragment_index)s "
    "%(progress.fragment_count)s %(info.format_id)s";

static void add_getting(const struct page *p, struct arguments *a)
{
    static const char *const getting[] = { "--newline",
                                           "--progress",
                                           "--quiet",
                                           "--no-simulate",
                                           "--continue",
                                           "--no-mtime",
                                           "--retries",
                                           "10",
                                           "--fragment-retries",
                                           "10",
                                           "--abort-on-unavailable-fragment",
                                           "--hls-prefer-native",
                                           "--merge-output-format",
                                           "mp4",
                                           "--progress-template",
                                           progress_template,
                                           "--print",
                                           "after_move:FILE %(filepath)s",
                                           NULL };

    arguments_add_all(a, getting);
    if (p->r.what->quality == QUALITY_AUDIO)
        arguments_add(a, "-x");
    arguments_add(a, "--max-filesize");
    arguments_addf(a, "%llu", (unsigned long long)p->r.settings->bytes_max);
    arguments_add(a, "-o");
    add_template(p, a);
}

static void on_end(void *context, int status, const char *complaint);
static void on_listening(void *context, int fd);
static const struct child_events child_events = { .line = on_line,
                                                  .end = on_end,
                                                  .listening = on_listening };

/* Its only way out. */
static void on_listening(void *context, int fd)
{
    struct page *p = context;
    const struct guard_proxy_limits limits = { .bytes_max = bytes_left(p),
                                               .connections_max = CONNECTIONS_MAX,
                                               .idle_ms = (uint32_t)p->r.settings->stall_ms };

    p->counted = 0;
    if (guard_proxy_open(p->r.loop, p->r.guard, fd, &limits, &p->proxy) != OK)
        stop(p, FAIL_IO, "yt-dlp could not be given a network");
}

static int run(struct page *p)
{
    struct arguments *a = arguments_new();
    struct child_limits limits = {
        .memory_max = p->r.settings->memory_max,
        .file_max = p->r.settings->bytes_max + 1,
        .files_max = FILES_MAX,
        .ca_file = fetch_trust_file(),
        .write_path = p->folder,
        .has_private_network = true,
        .may_run = true,
    };

    add_common(p, a);
    if (p->is_getting)
        add_getting(p, a);
    else
        arguments_add(a, "-j");
    arguments_add(a, "--");
    arguments_add(a, p->r.what->url);
    p->heard_ms = uv_now(p->r.loop);
    const char *const *argv = arguments_list(a);
    int err = argv == NULL ? FAIL_LIMIT
                           : child_start(p->r.loop, argv, &limits, &child_events, p, &p->child);
    arguments_free(a);
    return err;
}

/* What came of it */

static void move_work(void *context)
{
    struct page *p = context;
    struct buf from;
    struct stat st;

    buf_init(&from, PATH_LIMIT);
    buf_printf(&from, "%s/%s", p->folder, p->file);
    int fd = open(buf_text(&from), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    p->work_err = fd < 0 ? fail_from_errno(errno) : OK;
    if (p->work_err == OK && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
        p->work_err = FAIL_IO;
    if (p->work_err == OK && (fsync(fd) != 0 || rename(buf_text(&from), p->path) != 0))
        p->work_err = fail_from_errno(errno);
    if (fd >= 0)
        close(fd);
    fd = open(p->r.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        if (p->work_err == OK)
            dir_remove(fd, page_folder);
        close(fd);
    }
    buf_deinit(&from);
}

static void moved(void *context)
{
    struct page *p = context;

    end(p, p->work_err, p->work_err ? "the file could not be stored" : "");
}

static void got(struct page *p)
{
    if (p->file[0] == '\0')
        end(p, FAIL_LIMIT, "it is too large");
    else
        io_offload(p->r.loop, move_work, moved, p);
}

static void get(struct page *p)
{
    p->is_getting = true;
    page_progress_init(&p->progress, &p->info);
    if (run(p) != OK)
        end(p, FAIL_IO, "yt-dlp could not be started");
}

static void found(struct page *p)
{
    uint64_t size = 0;

    if (p->info_json.failed || page_info_read(buf_str(&p->info_json), &p->info) != OK) {
        end(p, FAIL_UNSUPPORTED, "no video was found on this page");
        return;
    }
    buf_deinit(&p->info_json);
    for (unsigned i = 0; i < p->info.passes; i++)
        size += p->info.pass[i].size > 0 ? (uint64_t)p->info.pass[i].size : 0;
    if (p->info.is_live) {
        end(p, FAIL_UNSUPPORTED, "it is live: it can be downloaded when it has ended");
    } else if (size > p->r.settings->bytes_max) {
        end(p, FAIL_LIMIT, "it is too large");
    } else if (!has_room(p, size)) {
        end(p, FAIL_FULL, "there is no room for it");
    } else {
        p->r.events->info(p->r.context, &p->info.remote);
        get(p);
    }
}

static bool may_pass(const char *complaint)
{
    static const char *const words[] = { "timed out",          "Connection reset", "IncompleteRead",
                                         "HTTP Error 50",      "bytes read",       "HTTP Error 429",
                                         "RemoteDisconnected", "EOF occurred",     NULL };

    for (const char *const *w = words; *w; w++)
        if (strstr(complaint, *w) != NULL)
            return true;
    return false;
}

static void failed(struct page *p, int status, const char *complaint)
{
    struct buf why;

    if (p->proxy == NULL && strncmp(complaint, "sandbox: ", 9) == 0 && status == 126)
        log_warn("page_refused", LOG_S("why", complaint));
    bool is_refused = p->refusal[0] != '\0';
    if (!is_refused && may_pass(complaint) && ++p->tries < TRIES_MAX) {
        buf_reset(&p->info_json);
        if (run(p) == OK)
            return;
    }
    buf_init(&why, MEDIA_WHY_MAX);
    if (status == 127)
        buf_puts(&why, "pages cannot be downloaded here, only files: yt-dlp is not installed");
    else if (status == 126)
        buf_puts(&why, "pages cannot be downloaded here, only files: yt-dlp cannot be confined");
    else if (is_refused)
        buf_puts(&why, p->refusal);
    else
        page_complaint(complaint, &why);
    end(p, strstr(complaint, "larger than max-filesize") ? FAIL_LIMIT : FAIL_UNSUPPORTED,
        buf_text(&why));
    buf_deinit(&why);
}

/* What it refused is kept: it is why yt-dlp has failed. */
static void close_proxy(struct page *p)
{
    p->refusal[0] = '\0';
    if (p->proxy == NULL)
        return;
    snprintf(p->refusal, sizeof(p->refusal), "%s", guard_proxy_refused(p->proxy));
    if (guard_proxy_is_over(p->proxy))
        note(p, FAIL_LIMIT, "it is too large");
    count_bytes(p);
    guard_proxy_close(p->proxy);
    p->proxy = NULL;
}

static void on_end(void *context, int status, const char *complaint)
{
    struct page *p = context;

    p->child = NULL;
    close_proxy(p);
    if (p->is_ending)
        finish(p);
    else if (status != 0)
        failed(p, status, complaint);
    else if (p->is_getting)
        got(p);
    else
        found(p);
}

/* The beginning */

static void folder_work(void *context)
{
    struct page *p = context;

    p->work_err = mkdir(p->folder, 0700) == 0 || errno == EEXIST ? OK : fail_from_errno(errno);
}

static void folder_made(void *context)
{
    struct page *p = context;

    if (p->is_ending)
        finish(p);
    else if (p->work_err)
        end(p, p->work_err, "the scratch folder could not be made");
    else if (run(p) != OK)
        end(p, FAIL_IO, "yt-dlp could not be started");
}

int download_page_start(const struct download_request *request, struct media_task **out)
{
    struct page *p = mem_new(struct page);
    struct buf folder;

    p->task.cancel = cancel;
    p->r = *request;
    buf_init(&folder, PATH_LIMIT);
    buf_printf(&folder, "%s/%s", request->folder, page_folder);
    p->folder = buf_take(&folder);
    p->path = mem_strdup(request->path);
    buf_init(&p->info_json, INFO_MAX);
    buf_init(&p->why, MEDIA_WHY_MAX);
    uv_timer_init(p->r.loop, &p->tick);
    p->tick.data = p;
    p->deadline_ms = uv_now(p->r.loop) + p->r.settings->timeout_ms;
    uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
    io_offload(p->r.loop, folder_work, folder_made, p);
    *out = &p->task;
    return OK;
}
