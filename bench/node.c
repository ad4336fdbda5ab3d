#include "node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/ledger.h"
#include "dialect/dialects.h"
#include "fleet/jobs.h"
#include "fleet/port_redis.h"
#include "support.h"

struct node {
    struct listener listener; /* first: listeners are nodes */
    struct fleet_link *link;
    struct fleet_jobs *jobs;
    struct ledger *ledger;
    struct tally *tally;
    unsigned count;
    size_t prefix_len;
    uint64_t *numbers; /* last heard, by place */
};

static void post(struct listener *l, struct update *u)
{
    struct node *n = (struct node *)l;
    unsigned place = (unsigned)strtoul(u->text[TEXT_ID] + n->prefix_len, NULL, 10);
    const char *mark = update_text(u, TEXT_MESSAGE);

    if (place < n->count)
        tally_mark(n->tally, &n->numbers[place], mark, strlen(mark), now_ns());
}

static void up(void *context)
{
    fleet_jobs_up(((struct node *)context)->jobs);
}

static void down(void *context, const struct redis_down *why)
{
    fprintf(stderr, "node: down: %s\n", why->why);
    fleet_jobs_down(((struct node *)context)->jobs);
}

static void heard(void *context, struct str name, enum redis_topic kind)
{
    fleet_jobs_heard(((struct node *)context)->jobs, name, kind);
}

static void push(void *context, const struct redis_push *p)
{
    fleet_jobs_push(((struct node *)context)->jobs, p);
}

static void tick(void *context)
{
    struct node *n = context;

    fleet_jobs_tick(n->jobs);
    if (fleet_jobs_is_ready(n->jobs))
        n->tally->connected = n->count;
}

static const struct fleet_link_events events = {
    .up = up, .down = down, .heard = heard, .push = push, .tick = tick
};

static void render(const struct dialect *dialect, const struct update *u, struct buf *out)
{
    struct words words;

    words_init(&words);
    dialect->render(u, &words);
    if (words.count > 0)
        buf_append(out, words.bytes.data, words.ends[0]);
    words_deinit(&words);
}

static void report(const struct update *u, struct buf *out)
{
    render(&dialect_jobs, u, out);
}

static void bytes(const struct update *u, struct buf *out)
{
    render(&dialect_broadcast, u, out);
}

static const struct fleet_jobs_settings settings = {
    .report = report,
    .bytes = bytes,
    .status_ttl_s = 3600,
    .job_ttl_ms = 3600 * 1000,
    .report_ttl_ms = 3600 * 1000,
    .pending_max = 10000,
};

static void watch_all_of(struct node *n, const char *prefix)
{
    unsigned index;

    if (ledger_listen(n->ledger, &n->listener, &index) != OK)
        die("a ledger without listeners");
    for (unsigned i = 0; i < n->count; i++) {
        char id[64];
        snprintf(id, sizeof(id), "%s%u", prefix, i);
        struct update *u = ledger_watch(n->ledger, id, index);
        update_unref(&u);
        fleet_jobs_watch(n->jobs, id);
    }
}

static void run(struct node *n, const struct broker *b, const char *prefix)
{
    struct buf why;
    uv_loop_t loop;

    stay_on(SENDERS_CORE);
    buf_init(&why, 256);
    uv_loop_init(&loop);
    n->listener.post = post;
    n->prefix_len = strlen(prefix);
    n->numbers = mem_zalloc(n->count * sizeof(*n->numbers));
    if (fleet_link_open(&loop, b->url, &(struct fleet_link_settings){ .name = "node" }, &events, n,
                        &n->link, &why) != OK)
        die("%s", buf_text(&why));
    n->ledger = ledger_new_mirror(NULL);
    n->jobs = fleet_jobs_new(fleet_link_port(n->link), n->ledger, &settings);
    watch_all_of(n, prefix);
    uv_run(&loop, UV_RUN_DEFAULT);
    die("a loop that ended");
}

void node_start(struct receivers *r, const struct broker *b, const char *prefix, unsigned count)
{
    r->count = count;
    r->report = share_memory(sizeof(*r->report));
    r->pid = fork_child();
    if (r->pid == 0)
        run(&(struct node){ .tally = r->report, .count = count }, b, prefix);
}
