#include "cmd/keeping.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/book_fleet.h"
#include "media/book_local.h"
#include "media/uploads.h"

enum { DAY_MS = 24 * 3600 * 1000, SWEEP_JOBS = 1000 };

struct keeping {
    struct keeping_parts parts;
    struct ledger *ledger; /* own, or the node's */
    struct pipeline_book *book;
    struct recovery *recovery;
    struct store *store;
    struct uploads *uploads;
    struct node *node;
    struct fleet_parts fleet;
    bool is_sweeping;
};

bool keeping_is_shared(const struct serve_options *o)
{
    struct str engine = str_of(o->engine);

    /* REDIS_URL may be there and empty, as compose files make it. */
    return engine.len > 0 && !str_equal(engine, STR("local"));
}

/* One's own */

static bool restore_job(void *context, struct update *u)
{
    ledger_restore(context, u);
    return true;
}

static int open_store(struct keeping *k, struct buf *why)
{
    struct buf path;
    uint64_t start = 0;

    buf_init(&path, 4096);
    buf_printf(&path, "%s/reelay.db", k->parts.options->data_dir);
    int err = store_open(buf_text(&path), &k->store, why);
    buf_deinit(&path);
    if (err == OK)
        err = store_count_start(k->store, &start);
    if (err)
        return err;
    k->ledger = ledger_new(store_journal(k->store), start << STORE_SEQ_BITS);
    err = store_each_unfinished(k->store, restore_job, k->ledger);
    if (err == OK && k->parts.hooks != NULL) {
        struct store_hooks hooks = hooks_of_store(k->parts.hooks);
        err = store_set_hooks(k->store, &hooks);
    }
    if (err == OK && k->parts.hooks != NULL)
        hooks_serve_store(k->parts.hooks, k->store);
    return err ? err : store_start(k->store, k->ledger);
}

static int open_local(struct keeping *k, struct buf *why)
{
    int err = open_store(k, why);

    if (err)
        return err;
    k->uploads = uploads_new(k->store, k->parts.disk);
    k->book = book_local_new(&(struct book_local_parts){
        .mailbox = k->parts.mailbox,
        .ledger = k->ledger,
        .store = k->store,
        .disk = k->parts.disk,
        .uploads = k->uploads,
    });
    k->recovery = recovery_new_local(k->store,
                                     &(struct recovery_settings){
                                         .lifetime_ms = RECOVERY_LIFETIME_MS,
                                         .rooms_max = RECOVERY_ROOMS_MAX,
                                     },
                                     clock_mono_ms());
    return OK;
}

static void sweep_reports(struct keeping *k, int64_t now_ms)
{
    char *silent[SWEEP_JOBS];
    int64_t before_ms = now_ms - (int64_t)k->parts.options->report_ttl_ms;
    size_t count = ledger_silent(k->ledger, before_ms, SWEEP_JOBS, silent);
    struct change c;

    change_init(&c);
    c.state = JOB_FAILED;
    c.text[TEXT_ERROR] = "Nothing was reported for too long";
    for (size_t i = 0; i < count; i++) {
        ledger_apply(k->ledger, silent[i], &c, false, NULL);
        mem_free(silent[i]);
    }
}

static void sweep_records(void *context)
{
    struct keeping *k = context;
    int64_t before_ms = clock_wall_ms() - (int64_t)k->parts.options->job_ttl_ms;
    size_t count;

    /* What cannot be removed now is tried again at the next sweep. */
    store_sweep(k->store, before_ms, SWEEP_JOBS, &count);
}

static void sweep_ended(void *context)
{
    ((struct keeping *)context)->is_sweeping = false;
}

/* Shared */

static int open_hooks(struct keeping *k, struct buf *why)
{
    const struct serve_options *o = k->parts.options;
    struct fleet_hooks_settings settings = hooks_of_fleet(k->parts.hooks);
    struct fleet_hooks *fleet;

    settings.known_ms = o->job_ttl_ms + o->report_ttl_ms + DAY_MS;
    int err = node_open_hooks(k->node, &settings, &fleet);
    if (err == OK)
        hooks_serve_fleet(k->parts.hooks, fleet);
    else
        buf_puts(why, "--webhook: there are too many threads (--threads) or URLs");
    return err;
}

static int open_node(struct keeping *k, struct buf *why)
{
    const struct serve_options *o = k->parts.options;
    int err = node_open(k->parts.loop,
                        &(struct node_settings){
                            .engine = o->engine,
                            .ca_file = o->redis_ca_file,
                            .cert_file = o->redis_cert_file,
                            .key_file = o->redis_key_file,
                            .role = "serve",
                            .mailbox = k->parts.mailbox,
                            .status_ttl_ms = o->status_ttl_ms,
                            .job_ttl_ms = o->job_ttl_ms,
                            .report_ttl_ms = o->report_ttl_ms,
                            .lease_ms = NODE_LEASE_MS,
                            .attempts_max = NODE_ATTEMPTS_MAX,
                            .has_viewers = true,
                            .storage = k->parts.storage,
                            .mark_events = k->parts.mark_events,
                            .context = k->parts.context,
                        },
                        &k->node, why);

    if (err)
        return err;
    k->ledger = node_ledger(k->node);
    k->fleet = (struct fleet_parts){
        .jobs = node_jobs(k->node),
        .work = node_work(k->node),
        .look = node_look,
        .context = k->node,
    };
    k->book = book_fleet_new(&(struct book_fleet_parts){
        .mailbox = k->parts.mailbox,
        .jobs = node_jobs(k->node),
        .work = node_work(k->node),
        .disk = k->parts.disk,
    });
    k->recovery = recovery_new_fleet(k->parts.mailbox, node_rooms(k->node));
    return k->parts.hooks != NULL ? open_hooks(k, why) : OK;
}

/* Whichever */

int keeping_open(const struct keeping_parts *parts, struct keeping **out, struct buf *why)
{
    struct keeping *k = mem_new(struct keeping);

    k->parts = *parts;
    *out = k;
    return keeping_is_shared(parts->options) ? open_node(k, why) : open_local(k, why);
}

void keeping_resume(struct keeping *k, struct pipelines *ps)
{
    if (k->store != NULL)
        book_local_resume(k->book, ps);
}

void keeping_sweep(struct keeping *k, int64_t now_ms)
{
    if (k->recovery != NULL)
        recovery_sweep(k->recovery, clock_mono_ms());
    if (k->parts.hooks != NULL)
        hooks_sweep(k->parts.hooks, now_ms);
    if (k->store == NULL)
        return;
    sweep_reports(k, now_ms);
    if (k->is_sweeping)
        return;
    k->is_sweeping = true;
    io_offload(k->parts.loop, sweep_records, sweep_ended, k);
}

void keeping_close(struct keeping *k)
{
    if (k == NULL)
        return;
    hooks_close(k->parts.hooks);
    if (k->store != NULL)
        store_close(k->store);
    if (k->node == NULL)
        return;
    book_fleet_close(k->book);
    node_close(k->node);
}

void keeping_free(struct keeping *k)
{
    if (k == NULL)
        return;
    recovery_free(k->recovery);
    if (k->node != NULL) {
        book_fleet_free(k->book);
        node_free(k->node);
    } else {
        book_local_free(k->book);
        uploads_free(k->uploads);
        ledger_free(k->ledger);
    }
    mem_free(k);
}

struct ledger *keeping_ledger(struct keeping *k)
{
    return k->ledger;
}

struct pipeline_book *keeping_book(struct keeping *k)
{
    return k->book;
}

const struct records_ops *keeping_records(const struct keeping *k)
{
    return k->node != NULL ? &records_fleet : &records_local;
}

struct recovery *keeping_recovery(struct keeping *k)
{
    return k->recovery;
}

struct store *keeping_store(struct keeping *k)
{
    return k->store;
}

struct uploads *keeping_uploads(struct keeping *k)
{
    return k->uploads;
}

const struct fleet_parts *keeping_fleet(struct keeping *k)
{
    return k->node != NULL ? &k->fleet : NULL;
}
