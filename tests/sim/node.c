#include "node.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "actors.h"
#include "base/err.h"
#include "base/mem.h"
#include "dialect/dialects.h"
#include "facts.h"

uint64_t node_mono_ms(const struct node *n)
{
    return (uint64_t)((n->world->now_us + n->mono_offset_us) / 1000);
}

int64_t node_wall_ms(const struct node *n)
{
    return (n->world->now_us + n->wall_offset_us) / 1000;
}

static void report(const struct update *u, struct buf *out)
{
    struct words words;

    words_init(&words);
    dialect_jobs.render(u, &words);
    if (words.count > 0)
        buf_append(out, words.bytes.data, words.ends[0]);
    words_deinit(&words);
}

static void bytes(const struct update *u, struct buf *out)
{
    if (u->bytes_total > 0)
        buf_printf(out, "{\"percent\": %d, \"downloaded_bytes\": %lld, \"total_bytes\": %lld}",
                   percent_of(u->fraction), (long long)u->bytes_done, (long long)u->bytes_total);
}

static const struct fleet_jobs_settings jobs_settings = {
    .report = report,
    .bytes = bytes,
    .status_ttl_s = 600,
    .job_ttl_ms = 600 * 1000,
    .report_ttl_ms = REPORT_TTL_MS,
    .pending_max = 1000,
};

/* The ledger is heard with its lock held: it is mail for the node's thread. */

struct mail {
    struct node *node;
    enum { MAIL_WATCH, MAIL_UNWATCH, MAIL_ALL, MAIL_NOT_ALL } what;
    char id[JOB_ID_MAX + 1];
};

static void read_mail(void *context)
{
    struct mail *m = context;
    struct fleet_jobs *jobs = m->node->jobs;

    switch (m->what) {
    case MAIL_WATCH: fleet_jobs_watch(jobs, m->id); break;
    case MAIL_UNWATCH: fleet_jobs_unwatch(jobs, m->id); break;
    case MAIL_ALL: fleet_jobs_watch_all(jobs); break;
    case MAIL_NOT_ALL: fleet_jobs_unwatch_all(jobs); break;
    }
    mem_free(m);
}

static void send_mail(struct observer *o, int what, const char *id)
{
    struct node *n = (struct node *)((char *)o - offsetof(struct node, observer));
    struct mail *m = mem_new(struct mail);

    if (n->jobs == NULL) {
        mem_free(m);
        return;
    }
    m->node = n;
    m->what = what;
    snprintf(m->id, sizeof(m->id), "%s", id);
    node_after(n, 1, read_mail, mem_free, m);
}

static void watched(struct observer *o, const char *id)
{
    send_mail(o, MAIL_WATCH, id);
}

static void unwatched(struct observer *o, const char *id)
{
    send_mail(o, MAIL_UNWATCH, id);
}

static void watched_all(struct observer *o, bool is_watched)
{
    send_mail(o, is_watched ? MAIL_ALL : MAIL_NOT_ALL, "");
}

static void post(struct listener *listener, struct update *u)
{
    struct seat *s = (struct seat *)listener;

    facts_posted(s->node->world, s, u);
}

static void tick(void *context)
{
    struct node *n = context;

    fleet_jobs_tick(n->jobs);
    fleet_work_tick(n->work);
    node_after(n, FLEET_TICK_MS * MS, tick, NULL, n);
}

void node_start(struct node *n)
{
    char name[32];
    struct fleet_work_settings work_settings = {
        .node = name,
        .lease_ms = LEASE_MS,
        .attempts_max = ATTEMPTS_MAX,
        .backoff_min_ms = 100,
        .backoff_max_ms = 2000,
    };

    n->life++;
    n->is_up = true;
    n->paused_until_us = 0;
    n->mono_offset_us = (int64_t)random_between(&n->world->random, 0, 1000) * SECOND;
    world_trace(n->world, "n%d starts", n->index);
    snprintf(name, sizeof(name), "n%d.%u", n->index, n->life);
    n->port = port_new(n);
    n->observer = (struct observer){ watched, unwatched, watched_all };
    n->ledger = ledger_new_mirror(&n->observer);
    for (int i = 0; i < SEATS; i++) {
        n->seats[i] = (struct seat){ .listener.post = post, .node = n, .number = i };
        ledger_listen(n->ledger, &n->seats[i].listener, &n->seats[i].index);
    }
    n->jobs = fleet_jobs_new(port_fleet(n->port), n->ledger, &jobs_settings);
    n->work = fleet_work_new(port_fleet(n->port), &work_settings);
    port_start(n->port);
    node_after(n, FLEET_TICK_MS * MS, tick, NULL, n);
    actors_node_started(n);
}

/* In the order in which a process that ends lets go of them. */
void node_crash(struct node *n)
{
    if (!n->is_up)
        return;
    world_trace(n->world, "n%d crashes", n->index);
    n->is_up = false;
    actors_node_crashed(n);
    struct port *port = n->port;
    port_close(port);
    fleet_jobs_free(n->jobs);
    fleet_work_free(n->work);
    n->port = NULL;
    n->jobs = NULL;
    n->work = NULL;
    n->life++;
    ledger_free(n->ledger);
    n->ledger = NULL;
    port_free(port);
}

void node_up(struct node *n)
{
    fleet_jobs_up(n->jobs);
    fleet_work_up(n->work);
}

void node_down(struct node *n)
{
    fleet_jobs_down(n->jobs);
    fleet_work_down(n->work);
}

void node_heard(struct node *n, struct str name, enum redis_topic kind)
{
    world_trace(n->world, "n%d heard %.*s", n->index, STR_ARG(name));
    fleet_jobs_heard(n->jobs, name, kind);
}

void node_push(struct node *n, const struct redis_push *push)
{
    fleet_jobs_push(n->jobs, push);
    fleet_work_push(n->work, push);
}

struct node *node_new(struct world *w, int index)
{
    struct node *n = mem_new(struct node);

    n->world = w;
    n->index = index;
    n->wall_offset_us =
        INT64_C(1700000000) * SECOND + (int64_t)random_below(&w->random, 4000) * MS - 2 * SECOND;
    return n;
}

void node_free(struct node *n)
{
    if (n == NULL)
        return;
    node_crash(n);
    mem_free(n);
}
