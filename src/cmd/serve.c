/* `reelay serve`: puts the house together, floor by floor, and takes it down in
 * the opposite order.
 *
 *   disk -> desk (loop, mailbox) -> storage -> keeping (ledger, book) -> pipelines -> I/O threads
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "api/api.h"
#include "api/shelf.h"
#include "api/turns.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/depot.h"
#include "cmd/fetching.h"
#include "cmd/keeping.h"
#include "cmd/programs.h"
#include "cmd/serve_settings.h"
#include "cmd/webhooks.h"
#include "io/child.h"
#include "io/thread.h"

enum { SWEEP_MS = 60 * 1000, SWEEP_FIRST_MS = 12 * 1000, WHY_MAX = 4096 };

struct server {
    struct serve_options options;
    struct buf why;
    uv_loop_t loop;
    uv_signal_t sigterm, sigint;
    uv_timer_t sweep;
    struct mailbox *mailbox;
    struct disk *disk;
    struct storage *storage; /* NULL: on the disk */
    struct shelf *shelf;     /* of that */
    struct buf mark;         /* by what the fleet knows it */
    struct fetching fetching;
    struct hooks *hooks;
    struct keeping *keeping;
    struct pipelines *pipelines;
    struct io_pool *pool;
    struct engine *engine;
    struct turns *turns;
    struct jwt_keys *keys;
    struct presign_key presign;
    struct serve_settings settings;
    struct api api;
    bool is_loop_open, is_draining, is_stopping;
};

/* Floor by floor */

static int open_folder(struct server *s)
{
    const char *dir = s->options.data_dir;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        buf_printf(&s->why, "%s: %s", dir, strerror(errno));
        return fail_from_errno(errno);
    }
    bool is_shared = keeping_is_shared(&s->options) && !depot_is_bucket(&s->options);
    int err = disk_open(dir, s->options.min_free, is_shared, &s->disk, &s->why);
    if (err)
        return err;
    disk_clean(s->disk);
    return keys_load(&s->options.keys, dir, true, &s->keys, &s->presign, &s->why);
}

static void sweep(uv_timer_t *timer)
{
    struct server *s = timer->data;
    int64_t now_ms = clock_wall_ms();

    pipelines_sweep(s->pipelines, now_ms - (int64_t)s->options.upload_ttl_ms);
    keeping_sweep(s->keeping, now_ms);
}

static int open_loop(struct server *s)
{
    if (uv_loop_init(&s->loop) != 0 || mailbox_open(&s->loop, &s->mailbox) != OK)
        return FAIL_IO;
    s->is_loop_open = true;
    uv_signal_init(&s->loop, &s->sigterm);
    uv_signal_init(&s->loop, &s->sigint);
    uv_timer_init(&s->loop, &s->sweep);
    s->sigterm.data = s->sigint.data = s->sweep.data = s;
    uint64_t shortest = s->options.upload_ttl_ms < s->options.report_ttl_ms
                            ? s->options.upload_ttl_ms
                            : s->options.report_ttl_ms;
    uint64_t every = shortest < SWEEP_MS ? 1000 : SWEEP_MS;
    uv_timer_start(&s->sweep, sweep, every < SWEEP_FIRST_MS ? every : SWEEP_FIRST_MS, every);
    return OK;
}

static int open_storage(struct server *s)
{
    int err = depot_open(&s->loop, &s->options, &s->storage, &s->why);

    depot_try(s->storage);
    if (s->storage != NULL)
        s->shelf = shelf_new(&s->loop, s->storage, s->settings.api.storage_url_lifetime_s);
    if (err == OK && keeping_is_shared(&s->options))
        err = depot_mark(s->storage, s->options.data_dir, &s->mark, &s->why);
    return err;
}

static const struct fleet_mark_events of_mark;

static int open_desk(struct server *s)
{
    int err = fetching_open(&s->loop, &s->options, &s->fetching, &s->why);

    if (err == OK)
        err = webhooks_open(&s->loop, s->mailbox, &s->options, &s->hooks, &s->why);
    if (err)
        return err;
    err = keeping_open(&(struct keeping_parts){ .options = &s->options,
                                                .loop = &s->loop,
                                                .mailbox = s->mailbox,
                                                .disk = s->disk,
                                                .hooks = s->hooks,
                                                .storage = buf_text(&s->mark),
                                                .mark_events = &of_mark,
                                                .context = s },
                       &s->keeping, &s->why);

    if (err)
        return err;
    s->pipelines = pipelines_new(&(struct pipeline_parts){
        .loop = &s->loop,
        .book = keeping_book(s->keeping),
        .disk = s->disk,
        .storage = s->storage,
        .settings = &s->settings.pipeline,
        .fetcher = s->fetching.fetcher,
        .guard = s->fetching.guard,
    });
    keeping_resume(s->keeping, s->pipelines);
    return OK;
}

static void open_engine(struct server *s, const struct io_settings *io)
{
    s->engine = engine_new(&(struct engine_settings){
        .ping_interval_ms = ENGINE_PING_INTERVAL_MS,
        .ping_timeout_ms = ENGINE_PING_TIMEOUT_MS,
        .payload_max = io->ws.message_max,
        .sockets_max = io->connections_max,
        .allows_eio3 = true,
    });
}

static void end_thread(void *context, struct io_thread *t)
{
    struct api *api = context;

    engine_thread_end(api->engine, t);
}

static int open_doors(struct server *s)
{
    struct io_settings io = s->settings.io;

    io.thread_end = end_thread;
    open_engine(s, &io);
    s->turns = turns_new();
    s->api = (struct api){
        .settings = &s->settings.api,
        .records = keeping_records(s->keeping),
        .fleet = keeping_fleet(s->keeping),
        .ledger = keeping_ledger(s->keeping),
        .store = keeping_store(s->keeping),
        .disk = s->disk,
        .storage = s->storage,
        .shelf = s->shelf,
        .uploads = keeping_uploads(s->keeping),
        .pipelines = s->pipelines,
        .guard = s->fetching.guard,
        .desk = s->mailbox,
        .hooks = s->hooks,
        .engine = s->engine,
        .turns = s->turns,
        .recovery = keeping_recovery(s->keeping),
        .keys = s->keys,
        .presign = &s->presign,
        .started_ms = clock_mono_ms(),
        .started_wall_ms = clock_wall_ms(),
    };
    int err =
        io_pool_start(&io, keeping_ledger(s->keeping), api_handle, &s->api, &s->pool, &s->why);
    if (err)
        return err;
    for (size_t i = 0; i < io.address_count; i++)
        log_info("listening", LOG_S("address", io_pool_address(s->pool, i)),
                 LOG_I("threads", io.threads),
                 LOG_S("auth", s->settings.api.asks_all ? "all doors" : "uploads only"));
    return OK;
}

/* The end */

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void all_ended(void *context)
{
    struct server *s = context;

    uv_stop(&s->loop);
}

static void stop_pool(void *context)
{
    io_pool_stop(((struct server *)context)->pool, 2000);
}

/* A request that was taken back last may have left something to clear away. */
static void pool_stopped(void *context)
{
    struct server *s = context;

    s->pool = NULL;
    pipelines_drain(s->pipelines, 0, all_ended, s);
}

/* The desk's loop goes on: requests that are still under way may need it. */
static void viewers_told(void *context)
{
    struct server *s = context;

    io_offload(&s->loop, stop_pool, pool_stopped, s);
}

static void pipelines_ended(void *context)
{
    struct server *s = context;

    s->is_stopping = true;
    if (s->shelf != NULL)
        shelf_drain(s->shelf, viewers_told, s);
    else
        viewers_told(s);
}

static void drain(struct server *s)
{
    s->is_draining = true;
    atomic_store(&s->api.is_draining, true);
    io_pool_drain(s->pool);
    pipelines_drain(s->pipelines, (uint32_t)s->options.drain_ms, pipelines_ended, s);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct server *s = handle->data;

    if (s->is_draining) {
        log_warn("hurried", LOG_I("signal", signal_number));
        s->options.drain_ms = 0;
        if (!s->is_stopping)
            pipelines_drain(s->pipelines, 0, pipelines_ended, s);
        return;
    }
    log_info("draining", LOG_I("signal", signal_number),
             LOG_I("jobs", pipelines_running(s->pipelines)));
    drain(s);
}

static void agreed(void *context)
{
    (void)context;
}

static void differs(void *context, const char *theirs)
{
    struct server *s = context;

    if (s->is_draining)
        return;
    depot_explain(&s->options, buf_text(&s->mark), theirs, &s->why);
    drain(s);
}

static const struct fleet_mark_events of_mark = { .agreed = agreed, .differs = differs };

static void close_all(struct server *s)
{
    if (s->pool != NULL)
        io_pool_stop(s->pool, 2000);
    if (s->engine != NULL)
        engine_free(s->engine);
    turns_free(s->turns);
    keeping_close(s->keeping);
    shelf_close(s->shelf);
    if (s->storage != NULL)
        storage_close(s->storage);
    fetching_close(&s->fetching);
    if (s->is_loop_open) {
        mailbox_close(s->mailbox);
        uv_walk(&s->loop, close_handle, NULL);
        uv_run(&s->loop, UV_RUN_DEFAULT);
        uv_loop_close(&s->loop);
    }
    if (s->pipelines != NULL)
        pipelines_free(s->pipelines);
    keeping_free(s->keeping);
    hooks_free(s->hooks);
    fetching_free(&s->fetching);
    jwt_keys_free(s->keys);
    if (s->disk != NULL)
        disk_close(s->disk);
}

/* Before anybody can see that it is up: who does may end it at once. They are heard when the
 * loop runs. */
static void heed_signals(struct server *s)
{
    uv_signal_start(&s->sigterm, on_signal, SIGTERM);
    uv_signal_start(&s->sigint, on_signal, SIGINT);
}

static int start(struct server *s)
{
    int err = serve_settings_read(&s->options, &s->settings, &s->why);

    if (err == OK)
        err = depot_check(&s->options, keeping_is_shared(&s->options), true, &s->why);
    if (err == OK)
        err = open_folder(s);
    if (err == OK)
        err = open_loop(s);
    if (err == OK)
        err = open_storage(s);
    if (err == OK)
        err = open_desk(s);
    if (err != OK)
        return err;
    heed_signals(s);
    return open_doors(s);
}

static void raise_descriptors(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int serve(struct server *s, const struct config *config)
{
    log_setup((enum log_level)s->options.log_level, (enum log_format)s->options.log_format);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    buf_init(&s->why, WHY_MAX);
    buf_init(&s->mark, WHY_MAX);
    int err = start(s);
    if (err == OK) {
        programs_warn(s->options.ffmpeg, s->options.ffprobe);
        if (s->options.downloads > 0 && !keeping_is_shared(&s->options))
            programs_warn_pages(s->options.yt_dlp);
        log_info("sandbox", LOG_S("walls", child_sandbox_describe()));
        uv_run(&s->loop, UV_RUN_DEFAULT);
        log_info("stopped");
    }
    bool is_refused = err || s->why.len > 0;
    config_blame(config, serve_option_table, &s->why);
    if (is_refused)
        fprintf(stderr, "reelay serve: %s\n", s->why.len ? buf_text(&s->why) : fail_text(err));
    close_all(s);
    buf_deinit(&s->why);
    buf_deinit(&s->mark);
    return is_refused ? 1 : 0;
}

static const struct command_help help = {
    .usage = "reelay serve [--listen ADDR:PORT]... [--data-dir DIR] [options]",
    .about = "Takes videos in, turns them into HLS, and tells everyone who watches how far it is.",
    .options = serve_option_table,
};

int cmd_serve(int argc, char **argv)
{
    struct server *s = mem_new(struct server);
    struct config config = { .into = &s->options };
    int status = command_begin(&help, &config, argc, argv, 0, 0);

    if (status < 0)
        status = serve(s, &config);
    config_release(&config, serve_option_table);
    mem_free(s);
    return status;
}
