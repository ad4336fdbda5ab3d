/* What is watched, and what is heard of it. A node subscribes to a job's three
 * channels while somebody watches it, and to everybody's by pattern while a viewer
 * of all jobs is there. Each time a channel is confirmed anew, the record and the
 * status are read: what was published meanwhile is in them. */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "core/counters.h"
#include "fleet/jobs_room.h"

enum { AGAIN_MS = 1000 }; /* a reporter between its two commands, on a busy machine */

/* Each, also where one fails: what was refused before is not there to be given up. */
static int each_channel(struct job *job,
                        int (*tell)(struct fleet_port *, struct str, enum redis_topic))
{
    struct fleet_port *port = job->owner->port;
    struct fleet_key records = fleet_key_channel(job->id), reports = fleet_key_reports(job->id);
    struct fleet_key bytes = fleet_key_bytes(job->id);
    int errs[] = { tell(port, fleet_key_str(&records), REDIS_SHARD),
                   tell(port, fleet_key_str(&reports), REDIS_CHANNEL),
                   tell(port, fleet_key_str(&bytes), REDIS_CHANNEL) };

    return errs[0] ? errs[0] : errs[1] ? errs[1] : errs[2];
}

static int subscribe_to(struct fleet_port *port, struct str name, enum redis_topic kind)
{
    int err = port->ops->subscribe(port, name, kind);

    return err == FAIL_EXISTS ? OK : err;
}

static bool is_first_complaint(struct fleet_jobs *j, struct str channel, char name[FLEET_KEY_MAX]);

/* Where more is watched than can be listened to, that is no reason for all others to wait:
 * what there is of it is read once, and its channels are asked for until there is room. */
static void subscribe(struct job *job)
{
    char name[FLEET_KEY_MAX];
    int err = each_channel(job, subscribe_to);

    job->is_deaf = err != OK;
    if (err == OK || job->heard == HEARD_ALL)
        return;
    if (is_first_complaint(job->owner, STR("too many"), name))
        log_error("not_subscribed", LOG_S("job", job->id), LOG_S("reason", fail_name(err)));
    job->heard = HEARD_ALL;
    order_look(job);
}

/* Some publish first and write the status behind that, as the document's reporter does: whoever
 * begins to listen between the two has missed the one and reads too early for the other. Who
 * works here writes both at once. */
static void look_again(struct job *job, uint64_t now_ms)
{
    const struct update *u = job->known.update;

    if (job->again_ms == 0 || now_ms < job->again_ms)
        return;
    job->again_ms = 0;
    if (job->is_watched && job->known.token == 0 && (u == NULL || !job_is_final(u->state)))
        order_look(job);
}

void bridge_tick(struct job *job, uint64_t now_ms)
{
    if (job->is_deaf && job->is_watched)
        subscribe(job);
    look_again(job, now_ms);
}

static void mark_unread(struct job *job)
{
    if (!job->is_unread)
        job->owner->unread++;
    job->is_unread = true;
}

void bridge_mark_read(struct job *job)
{
    if (!job->is_unread || job->heard != HEARD_ALL)
        return;
    job->is_unread = false;
    job->owner->unread--;
}

/* What is known already may be old, and whoever comes may have seen newer at another
 * node: it is shown when the record was read. */
void fleet_jobs_watch(struct fleet_jobs *j, const char *id)
{
    struct job *job = shared_get(j, id);

    if (job->is_watched)
        return;
    job->is_watched = true;
    job->heard = 0;
    mark_unread(job);
    subscribe(job);
}

void fleet_jobs_unwatch(struct fleet_jobs *j, const char *id)
{
    struct job *job = shared_lookup(j, id);

    if (job == NULL || !job->is_watched)
        return;
    job->is_watched = false;
    job->used_ms = j->port->ops->mono_ms(j->port);
    if (job->is_unread)
        j->unread--;
    job->is_unread = false;
    each_channel(job, j->port->ops->unsubscribe);
}

static const char *const patterns[] = { FLEET_PATTERN_RECORDS, FLEET_PATTERN_REPORTS,
                                        FLEET_PATTERN_BYTES };
enum { PATTERNS = sizeof(patterns) / sizeof(*patterns) };

void fleet_jobs_watch_all(struct fleet_jobs *j)
{
    if (j->is_all_watched)
        return;
    j->is_all_watched = true;
    j->needs_index = true;
    j->all_heard = 0;
    for (int i = 0; i < PATTERNS; i++)
        j->port->ops->subscribe(j->port, str_of(patterns[i]), REDIS_PATTERN);
}

void fleet_jobs_unwatch_all(struct fleet_jobs *j)
{
    if (!j->is_all_watched)
        return;
    j->is_all_watched = false;
    j->needs_index = false;
    for (int i = 0; i < PATTERNS; i++)
        j->port->ops->unsubscribe(j->port, str_of(patterns[i]), REDIS_PATTERN);
}

/* The connection that is listened on may live on: only `heard` says that it is a new
 * one, and `up` that all is read anew. */
void fleet_jobs_down(struct fleet_jobs *j)
{
    struct job *job, *next;

    HASH_ITER(hh, j->jobs, job, next)
    if (job->is_watched)
        mark_unread(job);
    j->needs_index = j->is_all_watched;
}

void bridge_up(struct fleet_jobs *j)
{
    struct job *job, *next;

    HASH_ITER(hh, j->jobs, job, next)
    if (job->is_watched && job->heard == HEARD_ALL) {
        mark_unread(job);
        job->needs_look = true;
    }
}

/* Once for each channel, and of so many a minute: who sends one wrong message sends many. */
static bool is_first_complaint(struct fleet_jobs *j, struct str channel, char name[FLEET_KEY_MAX])
{
    enum { KEPT = sizeof(j->complained) / sizeof(*j->complained), KEPT_MS = 60 * 1000 };
    uint64_t now_ms = j->port->ops->mono_ms(j->port);

    if (now_ms - j->complained_ms >= KEPT_MS) {
        j->complained_ms = now_ms;
        j->complaints = 0;
    }
    size_t len = channel.len < FLEET_KEY_MAX ? channel.len : FLEET_KEY_MAX - 1;
    memcpy(name, channel.at, len);
    name[len] = '\0';
    for (unsigned i = 0; i < j->complaints; i++)
        if (strcmp(j->complained[i], name) == 0)
            return false;
    if (j->complaints == KEPT)
        return false;
    memcpy(j->complained[j->complaints++], name, len + 1);
    return true;
}

static void heard_pattern(struct fleet_jobs *j, struct str name)
{
    for (unsigned i = 0; i < PATTERNS; i++)
        if (str_equal(name, str_of(patterns[i])))
            j->all_heard |= 1U << i;
    if (j->is_all_watched && j->all_heard == HEARD_ALL) {
        j->needs_index = true;
        index_read_live(j);
    }
}

void fleet_jobs_heard(struct fleet_jobs *j, struct str name, enum redis_topic kind)
{
    enum fleet_channel channel;
    char id[JOB_ID_MAX + 1];

    if (kind == REDIS_PATTERN) {
        heard_pattern(j, name);
        return;
    }
    struct job *job = fleet_channel_read(name, &channel, id) ? shared_lookup(j, id) : NULL;
    if (job == NULL || !job->is_watched)
        return;
    job->heard |= 1U << channel;
    if (job->heard == HEARD_ALL) {
        mark_unread(job);
        job->again_ms = j->port->ops->mono_ms(j->port) + AGAIN_MS;
        order_look(job);
    }
}

/* By its rules this node may not listen there. What else there is to be heard is worth more
 * than to wait for it for ever. */
void fleet_jobs_refused(struct fleet_jobs *j, struct str name, enum redis_topic kind,
                        const char *why)
{
    char channel[FLEET_KEY_MAX];

    if (is_first_complaint(j, name, channel))
        log_error("not_let_in", LOG_S("channel", channel), LOG_S("why", why));
    fleet_jobs_heard(j, name, kind);
}

/* Foreign messages */

static void complain(struct fleet_jobs *j, struct str channel, const char *why)
{
    char name[FLEET_KEY_MAX];

    counter_add(COUNT_FOREIGN_DROPPED, 1);
    if (is_first_complaint(j, channel, name))
        log_warn("message_dropped", LOG_S("channel", name), LOG_S("why", why));
}

void fleet_jobs_dropped(struct fleet_jobs *j, struct str channel)
{
    complain(j, channel, "it is far too large");
}

static struct write *write_of(struct job *job, const struct report *report, uint64_t hash,
                              bool is_of_reports, fleet_job_done *done, void *context)
{
    struct write *w = write_new(
        &(struct fleet_apply){
            .id = job->id,
            .change = &report->change,
            .when = FLEET_ALWAYS,
            .is_report = true,
        },
        done, context);

    w->hash = hash;
    w->is_of_reports = is_of_reports;
    return w;
}

/* Where too much waits, a message takes the place of an earlier one of its job; an end is
 * let in beyond that. */
static bool has_room(struct job *job, const struct report *report)
{
    enum { ENDS_MAX = 16 };

    return job->owner->pending < job->owner->settings.pending_max / 2 || writes_make_room(job) ||
           (job_is_final((enum job_state)report->change.state) && job->write_count < ENDS_MAX);
}

static bool bring_in(struct job *job, enum fleet_channel kind, struct str text, struct str channel,
                     fleet_job_done *done, void *context)
{
    struct fleet_jobs *j = job->owner;
    struct report report;
    char why[FOREIGN_WHY_MAX];

    if (foreign_read(text, &report, why) != OK) {
        complain(j, channel, why);
        return false;
    }
    if (!has_room(job, &report)) {
        complain(j, channel, "too much waits for Redis");
        report_deinit(&report);
        return false;
    }
    counter_add(COUNT_FOREIGN, 1);
    writes_append(job, write_of(job, &report, foreign_hash(kind, text),
                                kind == FLEET_CHANNEL_REPORTS, done, context));
    report_deinit(&report);
    return true;
}

bool bridge_take_status(struct job *job, struct str status, fleet_job_done *done, void *context)
{
    struct fleet_key key = fleet_key_status(job->id);
    bool is_over = job->known.update != NULL && job_is_final(job->known.update->state);

    if (status.len == 0 || foreign_is_own(status) || is_over ||
        job->known.from == foreign_hash(FLEET_CHANNEL_REPORTS, status))
        return false;
    return bring_in(job, FLEET_CHANNEL_REPORTS, status, fleet_key_str(&key), done, context);
}

/* Viewers of all jobs were shown a newer state than this. */
static bool is_overtaken(struct fleet_jobs *j, const char *id, struct str text)
{
    struct update *shown = ledger_snapshot(j->ledger, id);
    struct str rest = text;
    uint64_t number;
    bool is_older = shown != NULL &&
                    str_parse_u64(str_cut(&rest, ' '), UINT64_MAX, &number) == OK &&
                    number < shown->seq;

    update_unref(&shown);
    return is_older;
}

static void push_record(struct fleet_jobs *j, const char *id, struct str text)
{
    struct job *job = shared_lookup(j, id);
    struct fleet_record r;

    if (job == NULL && is_overtaken(j, id, text))
        job = shared_get(j, id);
    if (job != NULL && learn_knows(job, text))
        return;
    if (fleet_record_read(text, &r) != OK || strcmp(r.update->text[TEXT_ID], id) != 0) {
        log_error("record_unreadable", LOG_S("job", id));
        return;
    }
    if (job != NULL) {
        learn_take(job, &r);
        return;
    }
    ledger_hear(j->ledger, r.update);
    fleet_record_deinit(&r);
}

void fleet_jobs_push(struct fleet_jobs *j, const struct redis_push *push)
{
    enum fleet_channel kind;
    char id[JOB_ID_MAX + 1];

    if (j->ledger == NULL || !fleet_channel_read(push->channel, &kind, id))
        return;
    struct job *job = shared_lookup(j, id);
    /* By its channel it has come, or will come, as well. */
    if (push->pattern.at != NULL && job != NULL && job->is_watched)
        return;
    if (kind == FLEET_CHANNEL_RECORDS) {
        push_record(j, id, push->message);
    } else if (!foreign_is_own(push->message)) {
        job = shared_get(j, id);
        if (bring_in(job, kind, push->message, push->channel, NULL, NULL))
            order_run(job);
    } else if (push->pattern.at != NULL && j->port->ops->is_cluster(j->port)) {
        /* The channel of records is sharded there, and has no patterns. */
        order_look(shared_get(j, id));
    }
}
