/* `reelay worker`: processes what any `serve` of the same Redis and storage has queued.
 * No doors, no records of its own.
 *
 *   disk -> desk (loop, mailbox) -> storage -> node (Redis) -> book -> pipelines
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/depot.h"
#include "cmd/fetching.h"
#include "cmd/node.h"
#include "cmd/programs.h"
#include "cmd/serve_settings.h"
#include "io/child.h"
#include "io/mailbox.h"
#include "media/book_fleet.h"
#include "media/pipeline.h"

enum {
    WHY_MAX = 4096,
    LEASE_MIN_MS = 1000,
    LEASE_MAX_MS = 10 * 60 * 1000,
    OPTIONS_MAX = 48,
    SCRATCH_KEPT_S = 24 * 3600, /* of a job that this node may yet go on with */
    FAREWELL_MS = 3000,         /* for Redis to hear what is given back; ffmpeg has 2 s to end */
};

struct worker_options {
    struct serve_options shared; /* first: rows of serve's table point into it */
    uint64_t lease_ms, attempts_max;
};

struct worker {
    struct worker_options options;
    struct pipeline_settings settings;
    struct buf why;
    uv_loop_t loop;
    uv_signal_t sigterm, sigint;
    uv_timer_t farewell;
    struct mailbox *mailbox;
    struct disk *disk;
    struct storage *storage; /* NULL: on the disk */
    struct buf mark;         /* by what the fleet knows it */
    struct fetching fetching;
    struct node *node;
    struct pipeline_book *book;
    struct pipelines *pipelines;
    unsigned downloads; /* under way */
    bool is_loop_open, is_node_open, is_agreed, is_draining;
};

#define AT(member) .offset = offsetof(struct worker_options, member)

/* Besides those that it shares with `serve`. */
static const struct option own_options[] = {
    { .name = "engine",
      .type = OPTION_TEXT,
      AT(shared.engine),
      .fallback = "",
      .value = "URL",
      .help = "the Redis that it takes work from: redis://[user:password@]host[:port][/db]",
      .alias = "REDIS_URL" },
    { .name = "lease",
      .type = OPTION_DURATION,
      AT(lease_ms),
      .fallback = "10s",
      .min = LEASE_MIN_MS,
      .max = LEASE_MAX_MS,
      .value = "TIME",
      .help = "a worker not heard of for so long loses what it was processing to another" },
    { .name = "attempts",
      .type = OPTION_COUNT,
      AT(attempts_max),
      .fallback = "5",
      .min = 1,
      .max = 100,
      .value = "N",
      .help = "how often a video is tried whose processing fails by no fault of its own" },
};

static const char *const shared_options[] = {
    "redis-ca-file",    "redis-cert-file",
    "redis-key-file",   "data-dir",
    "public-url",       "conversions",
    "ffmpeg",           "ffprobe",
    "preset",           "crf",
    "max-pixels",       "max-duration",
    "max-memory",       "stall-timeout",
    "drain-timeout",    "min-free",
    "status-ttl",       "report-ttl",
    "job-ttl",          "log-level",
    "log-format",       "downloads",
    "download-max",     "download-timeout",
    "download-stall",   "download-allow",
    "download-deny",    "download-only",
    "yt-dlp",           "storage",
    "storage-ca-file",  "storage-public-url",
    "storage-parallel", "storage-patience",
};

static const struct option *serve_option(const char *name)
{
    const struct option *o = serve_option_table;

    while (o->name != NULL && strcmp(o->name, name) != 0)
        o++;
    return o;
}

const struct option *worker_option_table(void)
{
    static struct option table[OPTIONS_MAX + 1];
    enum { SHARED = sizeof(shared_options) / sizeof(*shared_options) };
    enum { OWN = sizeof(own_options) / sizeof(*own_options) };
    size_t count = 0;

    _Static_assert(SHARED + OWN <= OPTIONS_MAX, "the table is too small");
    for (size_t i = 0; i < OWN; i++)
        table[count++] = own_options[i];
    for (size_t i = 0; i < SHARED; i++)
        table[count++] = *serve_option(shared_options[i]);
    return table;
}

/* The end: no more is claimed; what runs has its time and is then given back. What
 * Redis does not hear of that any more, it finds out by the lease. */

static void ended(void *context)
{
    uv_stop(&((struct worker *)context)->loop);
}

static void leave_node(struct worker *w)
{
    if (w->book != NULL)
        book_fleet_close(w->book);
    if (w->is_node_open)
        node_close(w->node);
    w->is_node_open = false;
}

/* Whatever is still waited for ends with FAIL_CANCELLED. */
static void farewell(uv_timer_t *timer)
{
    struct worker *w = timer->data;

    log_warn("not_given_back", LOG_I("jobs", pipelines_running(w->pipelines)));
    leave_node(w);
}

static void drain(struct worker *w, uint64_t grace_ms)
{
    w->is_draining = true;
    book_fleet_serve(w->book, w->pipelines, 0);
    uv_timer_start(&w->farewell, farewell, grace_ms + FAREWELL_MS, 0);
    pipelines_drain(w->pipelines, (uint32_t)grace_ms, ended, w);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct worker *w = handle->data;
    uint64_t grace_ms = w->is_draining ? 0 : w->options.shared.drain_ms;

    if (w->is_draining)
        log_warn("hurried", LOG_I("signal", signal_number));
    else
        log_info("draining", LOG_I("signal", signal_number),
                 LOG_I("jobs", pipelines_running(w->pipelines)));
    drain(w, grace_ms);
}

/* Downloading takes next to nothing of the machine: it keeps nobody from converting. */
static void claim(struct worker *w)
{
    if (!w->is_draining && w->is_agreed)
        book_fleet_serve(w->book, w->pipelines, w->settings.conversions_max + w->downloads);
}

static void downloads_changed(void *context, unsigned count)
{
    struct worker *w = context;

    w->downloads = count;
    claim(w);
}

/* What it would take before it knows that it has the fleet's files would cost them an
 * attempt. */
static void agreed(void *context)
{
    struct worker *w = context;

    w->is_agreed = true;
    claim(w);
}

static void differs(void *context, const char *theirs)
{
    struct worker *w = context;

    if (w->is_draining)
        return;
    depot_explain(&w->options.shared, buf_text(&w->mark), theirs, &w->why);
    drain(w, 0);
}

static const struct fleet_mark_events of_mark = { .agreed = agreed, .differs = differs };

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_all(struct worker *w)
{
    leave_node(w);
    if (w->storage != NULL)
        storage_close(w->storage);
    fetching_close(&w->fetching);
    if (w->is_loop_open) {
        mailbox_close(w->mailbox);
        uv_walk(&w->loop, close_handle, NULL);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        uv_loop_close(&w->loop);
    }
    if (w->pipelines != NULL)
        pipelines_free(w->pipelines);
    book_fleet_free(w->book);
    node_free(w->node);
    fetching_free(&w->fetching);
    if (w->disk != NULL)
        disk_close(w->disk);
}

/* Floor by floor */

static int open_disk(struct worker *w)
{
    const struct serve_options *o = &w->options.shared;

    if (*o->engine == '\0') {
        buf_puts(&w->why, "--engine: which Redis it takes its work from is missing (redis://...)");
        return FAIL_SYNTAX;
    }
    int err = depot_check(o, true, false, &w->why);
    if (err)
        return err;
    if (mkdir(o->data_dir, 0700) != 0 && errno != EEXIST) {
        buf_printf(&w->why, "%s: %s", o->data_dir, strerror(errno));
        return fail_from_errno(errno);
    }
    err = disk_open(o->data_dir, o->min_free, !depot_is_bucket(o), &w->disk, &w->why);
    if (err == OK && depot_is_bucket(o))
        disk_scratch_sweep(w->disk, clock_wall_ms() / 1000 - SCRATCH_KEPT_S);
    return err;
}

static int open_desk(struct worker *w)
{
    if (uv_loop_init(&w->loop) != 0 || mailbox_open(&w->loop, &w->mailbox) != OK)
        return FAIL_IO;
    w->is_loop_open = true;
    uv_signal_init(&w->loop, &w->sigterm);
    uv_signal_init(&w->loop, &w->sigint);
    uv_timer_init(&w->loop, &w->farewell);
    w->sigterm.data = w->sigint.data = w->farewell.data = w;
    return OK;
}

static int open_storage(struct worker *w)
{
    const struct serve_options *o = &w->options.shared;
    int err = depot_open(&w->loop, o, &w->storage, &w->why);

    depot_try(w->storage);
    return err ? err : depot_mark(w->storage, o->data_dir, &w->mark, &w->why);
}

static int open_node(struct worker *w)
{
    const struct worker_options *o = &w->options;

    return node_open(&w->loop,
                     &(struct node_settings){ .engine = o->shared.engine,
                                              .ca_file = o->shared.redis_ca_file,
                                              .cert_file = o->shared.redis_cert_file,
                                              .key_file = o->shared.redis_key_file,
                                              .role = "worker",
                                              .mailbox = w->mailbox,
                                              .status_ttl_ms = o->shared.status_ttl_ms,
                                              .job_ttl_ms = o->shared.job_ttl_ms,
                                              .report_ttl_ms = o->shared.report_ttl_ms,
                                              .lease_ms = (uint32_t)o->lease_ms,
                                              .attempts_max = (uint32_t)o->attempts_max,
                                              .storage = buf_text(&w->mark),
                                              .mark_events = &of_mark,
                                              .context = w },
                     &w->node, &w->why);
}

static void begin_work(struct worker *w)
{
    serve_settings_pipeline(&w->options.shared, &w->settings);
    w->book = book_fleet_new(&(struct book_fleet_parts){ .mailbox = w->mailbox,
                                                         .jobs = node_jobs(w->node),
                                                         .work = node_work(w->node),
                                                         .disk = w->disk });
    w->pipelines = pipelines_new(&(struct pipeline_parts){ .loop = &w->loop,
                                                           .book = w->book,
                                                           .disk = w->disk,
                                                           .storage = w->storage,
                                                           .settings = &w->settings,
                                                           .fetcher = w->fetching.fetcher,
                                                           .guard = w->fetching.guard,
                                                           .fetching = downloads_changed,
                                                           .context = w });
    uv_signal_start(&w->sigterm, on_signal, SIGTERM);
    uv_signal_start(&w->sigint, on_signal, SIGINT);
}

static int start(struct worker *w)
{
    int err = open_disk(w);

    if (err == OK)
        err = open_desk(w);
    if (err == OK)
        err = open_storage(w);
    if (err == OK)
        err = fetching_open(&w->loop, &w->options.shared, &w->fetching, &w->why);
    if (err == OK)
        err = open_node(w);
    w->is_node_open = err == OK;
    return err;
}

static int work(struct worker *w, const struct config *config, const struct option *table)
{
    const struct serve_options *o = &w->options.shared;

    log_setup((enum log_level)o->log_level, (enum log_format)o->log_format);
    signal(SIGPIPE, SIG_IGN);
    buf_init(&w->why, WHY_MAX);
    buf_init(&w->mark, WHY_MAX);
    int err = start(w);
    if (err == OK) {
        begin_work(w);
        programs_warn(o->ffmpeg, o->ffprobe);
        if (o->downloads > 0)
            programs_warn_pages(o->yt_dlp);
        log_info("working", LOG_S("node", node_name(w->node)),
                 LOG_I("conversions", w->settings.conversions_max));
        log_info("sandbox", LOG_S("walls", child_sandbox_describe()));
        uv_run(&w->loop, UV_RUN_DEFAULT);
        log_info("stopped");
    }
    bool is_refused = err || w->why.len > 0;
    config_blame(config, table, &w->why);
    if (is_refused)
        fprintf(stderr, "reelay worker: %s\n", w->why.len ? buf_text(&w->why) : fail_text(err));
    close_all(w);
    buf_deinit(&w->why);
    buf_deinit(&w->mark);
    return is_refused ? 1 : 0;
}

int cmd_worker(int argc, char **argv)
{
    const struct option *table = worker_option_table();
    const struct command_help help = {
        .usage = "reelay worker --engine redis://... [--data-dir DIR] [--storage URL] [options]",
        .about = "Processes the videos that servers with the same Redis and storage have taken in.",
        .options = table,
    };
    struct worker *w = mem_new(struct worker);
    struct config config = { .into = &w->options };
    int status = command_begin(&help, &config, argc, argv, 0, 0);

    if (status < 0)
        status = work(w, &config, table);
    config_release(&config, table);
    mem_free(w);
    return status;
}
