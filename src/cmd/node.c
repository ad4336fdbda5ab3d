#include "cmd/node.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "dialect/dialects.h"
#include "fleet/hooks.h"
#include "proto/redis_url.h"

enum {
    PENDING_MAX = 100000,
    BACKOFF_MIN_MS = 1000,
    BACKOFF_MAX_MS = 60 * 1000,
    REDIS_URL_TEXT_MAX = 4096
};

struct node {
    struct observer observer; /* first: observers are nodes */
    struct fleet_link *link;
    struct fleet_jobs *jobs;
    struct fleet_work *work;
    struct fleet_mark *mark;
    struct fleet_rooms *rooms; /* of a node that has viewers */
    struct fleet_hooks *hooks; /* of one that has webhooks */
    struct ledger *ledger;
    struct mailbox *mailbox;
    bool is_closed;
    pthread_mutex_t lock; /* of `state` */
    struct fleet_state state;
    char name[FLEET_NODE_MAX];
};

/* The texts of the contract's channels */

static void write_report(const struct update *u, struct buf *out)
{
    struct words words;

    words_init(&words);
    dialect_jobs.render(u, &words);
    if (words.count > 0)
        buf_append(out, words.bytes.data, words.ends[0]);
    words_deinit(&words);
}

/* How it is */

static void set_state(struct node *n, bool is_up, const char *why)
{
    pthread_mutex_lock(&n->lock);
    if (n->state.is_up != is_up)
        n->state.since_ms = clock_wall_ms();
    n->state.is_up = is_up;
    snprintf(n->state.why, sizeof(n->state.why), "%s", why);
    pthread_mutex_unlock(&n->lock);
}

static void on_up(void *context)
{
    struct node *n = context;

    log_info("redis_up", LOG_S("node", n->name));
    set_state(n, true, "");
    fleet_mark_up(n->mark);
    fleet_jobs_up(n->jobs);
    fleet_work_up(n->work);
    if (n->rooms != NULL)
        fleet_rooms_up(n->rooms);
    if (n->hooks != NULL)
        fleet_hooks_up(n->hooks);
}

static void on_down(void *context, const struct redis_down *down)
{
    struct node *n = context;

    log_warn("redis_down", LOG_S("reason", fail_name(down->err)), LOG_S("why", down->why),
             LOG_I("retry_ms", down->retry_ms));
    set_state(n, false, down->why);
    fleet_jobs_down(n->jobs);
    fleet_work_down(n->work);
}

static void on_heard(void *context, struct str name, enum redis_topic kind)
{
    fleet_jobs_heard(((struct node *)context)->jobs, name, kind);
}

static void on_push(void *context, const struct redis_push *push)
{
    struct node *n = context;

    fleet_jobs_push(n->jobs, push);
    fleet_work_push(n->work, push);
    if (n->hooks != NULL)
        fleet_hooks_push(n->hooks, push);
}

static void on_refused(void *context, struct str name, enum redis_topic kind, const char *why)
{
    fleet_jobs_refused(((struct node *)context)->jobs, name, kind, why);
}

static void on_dropped(void *context, struct str channel)
{
    fleet_jobs_dropped(((struct node *)context)->jobs, channel);
}

static void on_tick(void *context)
{
    struct node *n = context;

    fleet_mark_tick(n->mark);
    fleet_jobs_tick(n->jobs);
    fleet_work_tick(n->work);
    if (n->rooms != NULL)
        fleet_rooms_tick(n->rooms);
    if (n->hooks != NULL)
        fleet_hooks_tick(n->hooks);
    bool is_ready = fleet_jobs_is_ready(n->jobs);
    const char *refusal = fleet_jobs_refusal(n->jobs);
    pthread_mutex_lock(&n->lock);
    n->state.is_ready = is_ready;
    n->state.is_refusing = n->state.is_up && refusal != NULL;
    if (n->state.is_up)
        snprintf(n->state.why, sizeof(n->state.why), "%s", refusal != NULL ? refusal : "");
    pthread_mutex_unlock(&n->lock);
}

static const struct fleet_link_events of_link = {
    .up = on_up,
    .down = on_down,
    .heard = on_heard,
    .push = on_push,
    .refused = on_refused,
    .dropped = on_dropped,
    .tick = on_tick,
};

void node_look(void *context, struct fleet_state *out)
{
    struct node *n = context;

    pthread_mutex_lock(&n->lock);
    *out = n->state;
    pthread_mutex_unlock(&n->lock);
    out->is_ready = out->is_ready && out->is_up;
    if (out->is_up && !out->is_ready)
        snprintf(out->why, sizeof(out->why), "what was missed is still being read");
}

/* Who is watched: from under the ledger's lock, by mail to the desk */

struct notice {
    struct mail mail;
    struct node *node;
    void (*tell)(struct fleet_jobs *j, const char *id);
    char id[JOB_ID_MAX + 1];
};

static void notice_open(struct mail *mail)
{
    struct notice *notice = (struct notice *)mail;

    if (!notice->node->is_closed)
        notice->tell(notice->node->jobs, notice->id);
    mem_free(notice);
}

static void notify(struct observer *o, void (*tell)(struct fleet_jobs *j, const char *id),
                   const char *id)
{
    struct notice *notice = mem_new(struct notice);

    notice->mail.open = notice_open;
    notice->node = (struct node *)o;
    notice->tell = tell;
    snprintf(notice->id, sizeof(notice->id), "%s", id);
    mailbox_post(notice->node->mailbox, &notice->mail);
}

static void watched(struct observer *o, const char *id)
{
    notify(o, fleet_jobs_watch, id);
}

static void unwatched(struct observer *o, const char *id)
{
    notify(o, fleet_jobs_unwatch, id);
}

static void all_watched(struct fleet_jobs *j, const char *id)
{
    (void)id;
    fleet_jobs_watch_all(j);
}

static void all_unwatched(struct fleet_jobs *j, const char *id)
{
    (void)id;
    fleet_jobs_unwatch_all(j);
}

static void watched_all(struct observer *o, bool is_watched)
{
    notify(o, is_watched ? all_watched : all_unwatched, "");
}

/* Names are for people: which machine, which process; and never given twice. */
static void make_name(struct node *n, const char *role)
{
    char host[24] = "";

    gethostname(host, sizeof(host) - 1);
    for (char *c = host; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == ':')
            *c = '-';
    snprintf(n->name, sizeof(n->name), "%s-%s-%d-%06x", role, *host ? host : "host", (int)getpid(),
             (unsigned)(random_u64() & 0xffffff));
}

static struct fleet_rooms *open_rooms(struct node *n)
{
    return fleet_rooms_new(fleet_link_port(n->link), &(struct fleet_rooms_settings){
                                                         .lifetime_ms = RECOVERY_LIFETIME_MS,
                                                         .refresh_ms = RECOVERY_REFRESH_MS,
                                                         .patience_ms = RECOVERY_PATIENCE_MS,
                                                         .rooms_max = RECOVERY_ROOMS_MAX,
                                                         .claims_max = RECOVERY_CLAIMS_MAX,
                                                     });
}

/* A job whose work is nowhere: Redis has lost it, and nobody held it. */

struct orphan {
    struct node *node;
    char id[JOB_ID_MAX + 1];
};

static void work_sought(void *context, int err, const struct fleet_work_state *state)
{
    struct orphan *o = context;
    struct change c;

    (void)state;
    if (err == FAIL_MISSING && !o->node->is_closed) {
        log_warn("work_lost", LOG_S("job", o->id));
        change_init(&c);
        c.state = JOB_FAILED;
        c.text[TEXT_MESSAGE] = "Video processing failed";
        c.text[TEXT_ERROR] = "Redis has lost what was to be done: it has to be uploaded again";
        fleet_jobs_apply(o->node->jobs, &(struct fleet_apply){ .id = o->id, .change = &c }, NULL,
                         NULL);
    }
    mem_free(o);
}

static void on_silent(void *context, const struct update *u)
{
    struct orphan *o = mem_new(struct orphan);

    o->node = context;
    snprintf(o->id, sizeof(o->id), "%s", u->text[TEXT_ID]);
    fleet_work_find(o->node->work, o->id, work_sought, o);
}

static void on_mended(void *context, struct update *u)
{
    struct node *n = context;

    if (n->hooks != NULL)
        fleet_hooks_mended(n->hooks, u);
}

/* Whoever has a REDIS_URL for something else should find out where this comes from. */
static const char *source_of(const char *engine)
{
    const char *url = getenv("REDIS_URL");
    bool is_alias = url != NULL && strcmp(url, engine) == 0 && getenv("REELAY_ENGINE") == NULL;

    return is_alias ? "REDIS_URL" : "--engine";
}

static int check_engine(const char *engine, struct buf *why)
{
    struct redis_url url;
    struct buf text;

    buf_init(&text, REDIS_URL_TEXT_MAX);
    int err = redis_url_parse(engine, &url, &text);
    if (err) {
        buf_printf(why, "%s: %s", source_of(engine), buf_text(&text));
    } else {
        redis_url_describe(&url, &text);
        log_info("engine", LOG_S("redis", buf_text(&text)), LOG_S("from", source_of(engine)));
        redis_url_deinit(&url);
    }
    buf_deinit(&text);
    return err;
}

int node_open(uv_loop_t *loop, const struct node_settings *settings, struct node **out,
              struct buf *why)
{
    int err = check_engine(settings->engine, why);
    if (err == OK)
        err = command_check_ca("--redis-ca-file", settings->ca_file, why);
    if (err)
        return err;
    struct node *n = mem_new(struct node);
    make_name(n, settings->role);
    pthread_mutex_init(&n->lock, NULL);
    n->observer = (struct observer){ watched, unwatched, watched_all };
    n->mailbox = settings->mailbox;
    n->state.since_ms = clock_wall_ms();
    snprintf(n->state.why, sizeof(n->state.why), "it was not reached yet");
    err = fleet_link_open(loop, settings->engine,
                          &(struct fleet_link_settings){
                              .name = n->name,
                              .ca_file = settings->ca_file,
                              .cert_file = settings->cert_file,
                              .key_file = settings->key_file,
                          },
                          &of_link, n, &n->link, why);
    if (err) {
        node_free(n);
        return err;
    }
    n->mark = fleet_mark_new(fleet_link_port(n->link), settings->storage, settings->mark_events,
                             settings->context);
    if (settings->has_viewers)
        n->ledger = ledger_new_mirror(&n->observer);
    n->jobs = fleet_jobs_new(fleet_link_port(n->link), n->ledger,
                             &(struct fleet_jobs_settings){
                                 .report = write_report,
                                 .bytes = broadcast_bytes,
                                 .status_ttl_s = (uint32_t)(settings->status_ttl_ms / 1000),
                                 .job_ttl_ms = settings->job_ttl_ms,
                                 .report_ttl_ms = settings->report_ttl_ms,
                                 .silent = on_silent,
                                 .mended = on_mended,
                                 .context = n,
                                 .pending_max = PENDING_MAX,
                             });
    n->work = fleet_work_new(fleet_link_port(n->link), &(struct fleet_work_settings){
                                                           .node = n->name,
                                                           .lease_ms = settings->lease_ms,
                                                           .attempts_max = settings->attempts_max,
                                                           .backoff_min_ms = BACKOFF_MIN_MS,
                                                           .backoff_max_ms = BACKOFF_MAX_MS,
                                                       });
    if (settings->has_viewers)
        n->rooms = open_rooms(n);
    *out = n;
    return OK;
}

int node_open_hooks(struct node *n, const struct fleet_hooks_settings *settings,
                    struct fleet_hooks **out)
{
    struct fleet_hooks_settings own = *settings;

    own.node = n->name;
    int err = fleet_hooks_new(fleet_link_port(n->link), n->ledger, n->jobs, &own, &n->hooks);
    if (err == OK)
        *out = n->hooks;
    return err;
}

void node_close(struct node *n)
{
    n->is_closed = true;
    if (n->rooms != NULL)
        fleet_rooms_close(n->rooms);
    fleet_link_close(n->link);
    fleet_jobs_free(n->jobs);
    fleet_work_free(n->work);
    fleet_mark_free(n->mark);
    fleet_hooks_free(n->hooks);
    n->hooks = NULL;
    n->jobs = NULL;
    n->work = NULL;
}

void node_free(struct node *n)
{
    if (n == NULL)
        return;
    fleet_rooms_free(n->rooms);
    ledger_free(n->ledger);
    pthread_mutex_destroy(&n->lock);
    mem_free(n);
}

struct ledger *node_ledger(struct node *n)
{
    return n->ledger;
}

struct fleet_jobs *node_jobs(struct node *n)
{
    return n->jobs;
}

struct fleet_work *node_work(struct node *n)
{
    return n->work;
}

struct fleet_rooms *node_rooms(struct node *n)
{
    return n->rooms;
}

const char *node_name(const struct node *n)
{
    return n->name;
}
