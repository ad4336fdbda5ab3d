/* How a job's changes get their order: derived here, compared and set in Redis.
 *
 * At most one script of a job is under way. Whatever it was, its answer brings the
 * present state, and the next one is chosen from what is wanted then. A script
 * whose answer was lost may have been done: it is sent again as it was, with the
 * mark of the write in it, so that its own doing is recognised. */
#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/jobs_room.h"

enum { RUNNING_MAX = 4000 }; /* scripts under way: more, and the last is answered too late */
enum { RETRY_MS = 200, REFUSED_RETRY_MS = 1000, REFUSED_LOG_MS = 60 * 1000 };

void order_look(struct job *job)
{
    job->needs_look = true;
    order_run(job);
}

/* Redis is there and does not do it: its memory is full, an ACL is against it, ... */
static void note_refusal(struct fleet_jobs *j, const char *why, uint64_t now_ms)
{
    snprintf(j->refusal, sizeof(j->refusal), "%s", why);
    j->refusal_ms = now_ms;
    if (j->refusal_told_ms != 0 && now_ms - j->refusal_told_ms < REFUSED_LOG_MS)
        return;
    j->refusal_told_ms = now_ms;
    log_error("redis_refused", LOG_S("why", j->refusal));
}

/* A script whose answer did not come, or was that it cannot be done now. */
static void try_later(struct job *job, int err, const struct redis_reply *reply)
{
    struct fleet_jobs *j = job->owner;
    uint64_t now_ms = j->port->ops->mono_ms(j->port);

    if (err == FAIL_CANCELLED)
        return;
    job->retry_ms = now_ms + RETRY_MS;
    if (reply == NULL)
        return;
    job->retry_ms = now_ms + REFUSED_RETRY_MS;
    note_refusal(j, reply->type == REDIS_ERROR ? reply->text.at : fail_name(err), now_ms);
}

/* At most RUNNING_MAX of all jobs are under way; who comes then stands in line, but for those
 * that somebody waits for, or that are of a lease. */

static void set_running(struct job *job, bool is_running)
{
    assert(!is_running || !job->is_running);
    job->owner->running += is_running;
    job->owner->running -= job->is_running;
    job->is_running = is_running;
}

static bool is_urgent(const struct job *job)
{
    return job->finders != NULL || (job->writes != NULL && job->writes->hash == 0);
}

void order_leave_line(struct job *job)
{
    if (job->is_in_line)
        DL_DELETE2(job->owner->line, job, line_prev, line_next);
    job->is_in_line = false;
}

/* Whether it has to, and does. */
static bool stand_in_line(struct job *job)
{
    struct fleet_jobs *j = job->owner;

    if (is_urgent(job) || (j->running < RUNNING_MAX && j->line == NULL))
        return false;
    if (!job->is_in_line)
        DL_APPEND2(j->line, job, line_prev, line_next);
    job->is_in_line = true;
    return true;
}

static void run(struct job *job);

/* Behind every answer. */
static void go_on(struct job *job)
{
    struct fleet_jobs *j = job->owner;

    order_run(job);
    while (j->line != NULL && j->running < RUNNING_MAX) {
        struct job *next = j->line;
        order_leave_line(next);
        run(next);
    }
}

/* It was listed as a new one, and another had made it already: perhaps it has even ended. */
static void correct_list(struct job *job)
{
    if (job->is_begun && job->known.update != NULL)
        index_note(job->owner, job->known.update);
    job->is_begun &= job->known.update == NULL;
}

/* Looking */

static void status_taken(void *context, int err, struct update *u)
{
    (void)err;
    (void)u;
    writes_answer(context, OK);
}

static void looked(void *context, int err, const struct redis_reply *reply)
{
    struct job *job = context;

    set_running(job, false);
    if (err || reply->type != REDIS_ARRAY || reply->count != 2) {
        job->needs_look = true;
        try_later(job, err ? err : FAIL_SYNTAX, reply);
        go_on(job);
        return;
    }
    learn_text(job, reply->items[0].text);
    correct_list(job);
    bridge_mark_read(job);
    learn_tell(job, false); /* also what was known before it was watched */
    if (!bridge_take_status(job, reply->items[1].text, status_taken, job) && !job->needs_look)
        writes_answer(job, OK);
    go_on(job);
}

static void send_look(struct job *job)
{
    struct fleet_jobs *j = job->owner;
    struct fleet_key record = fleet_key_record(job->id), status = fleet_key_status(job->id);
    struct str args[] = { fleet_key_str(&record), fleet_key_str(&status) };
    int err = j->port->ops->run(j->port, &j->look, 2, args, 2, looked, job);

    if (err) {
        try_later(job, err, NULL);
        return;
    }
    job->needs_look = false;
    set_running(job, true);
}

/* Redis came back without what it had said: then it gets that back, under its number. */
static bool has_lost(const struct job *job)
{
    return job->number_there < learn_number(job);
}

static void end_done(struct job *job, struct str number)
{
    uint64_t there = job->next->seq;

    if (str_parse_u64(number, UINT64_MAX, &there) != OK)
        log_error("number_unreadable", LOG_S("job", job->id));
    job->number_there = there;
    job->is_fresh = false;
    job->contested = 0;
    job->next->seq = there;
    learn_next(job, update_ref(job->next));
    job->is_begun &= !job->is_turn; /* it is listed with what follows */
    writes_end_sent(job, OK);
}

static void applied(void *context, int err, const struct redis_reply *reply)
{
    struct job *job = context;

    set_running(job, false);
    if (err || reply->type != REDIS_ARRAY || reply->count < 2) {
        try_later(job, err ? err : FAIL_SYNTAX, reply);
        go_on(job);
        return;
    }
    struct str word = reply->items[0].text, rest = reply->items[1].text;
    if (str_equal(word, STR("ok"))) {
        job->owner->refusal[0] = '\0';
        end_done(job, rest);
    } else if (str_equal(word, STR("stale"))) {
        learn_text(job, rest);
        writes_end_sent(job, FAIL_STALE);
    } else {
        uint64_t write = job->next_write;
        learn_text(job, rest); /* ends those under way if they were done after all */
        if (job->sent > 0 && job->next_write == write && !job->is_running)
            writes_end_seen(job, reply->items + 2, reply->count - 2);
    }
    correct_list(job);
    go_on(job);
}

static bool is_held(const struct job *job)
{
    const struct fleet_jobs *j = job->owner;

    return job->is_running || j->is_over || job->retry_ms != 0 || !j->port->ops->is_up(j->port);
}

static void send_writes(struct job *job)
{
    struct fleet_port *port = job->owner->port;
    size_t count;

    while (job->sent == 0 && job->writes != NULL) {
        if (derive_batch(job, &count)) {
            job->sent = count;
            job->next_write = port->ops->random(port) | 1;
            str_of_u64(job->number_there, job->expected);
        } else if (job->is_fresh) {
            writes_refuse(job, count);
            if (is_held(job)) /* by what those who were told asked for within */
                return;
        } else {
            send_look(job);
            return;
        }
    }
    if (job->sent == 0)
        return;
    if (job->known.update == NULL)
        index_begin(job->owner, job->id);
    job->is_begun |= job->known.update == NULL;
    int err = send_state(job, job->next, 0, applied);
    set_running(job, err == OK);
    if (err == FAIL_NOMEM)
        writes_end_sent(job, FAIL_LIMIT);
    else if (err)
        try_later(job, err, NULL);
}

static void put_back_done(void *context, int err, const struct redis_reply *reply)
{
    struct job *job = context;
    uint64_t number;

    set_running(job, false);
    if (err || reply->type != REDIS_ARRAY || reply->count < 2) {
        try_later(job, err ? err : FAIL_SYNTAX, reply);
        go_on(job);
        return;
    }
    struct str rest = reply->items[1].text;
    if (!str_equal(reply->items[0].text, STR("ok"))) {
        learn_text(job, rest);
    } else if (str_parse_u64(rest, UINT64_MAX, &number) == OK) {
        struct change c = learn_change(job->known.update);
        struct update *u =
            update_restore(&c, number, job->known.update->created_ms, job->known.update->time_ms);
        log_info("job_put_back", LOG_S("job", job->id));
        update_unref(&job->known.update);
        job->known.update = u;
        job->number_there = number;
        job->contested = 0;
        index_note(job->owner, u); /* the lists were lost as well */
    }
    go_on(job);
}

static void put_back(struct job *job, uint64_t number)
{
    struct fleet_port *port = job->owner->port;

    job->next_write = port->ops->random(port) | 1;
    str_of_u64(job->number_there, job->expected);
    int err = send_state(job, job->known.update, number, put_back_done);
    set_running(job, err == OK);
    if (err)
        try_later(job, err, NULL);
}

static void run(struct job *job)
{
    if (is_held(job))
        return;
    if (job->needs_look)
        send_look(job);
    else if (job->writes != NULL)
        send_writes(job);
    if (is_held(job) || job->writes != NULL)
        return;
    if (job->needs_look)
        send_look(job);
    else if (has_lost(job))
        put_back(job, learn_number(job));
    else if (job->contested != 0)
        put_back(job, 0);
}

static bool wants_to_run(const struct job *job)
{
    return job->needs_look || job->writes != NULL || has_lost(job) || job->contested != 0;
}

void order_run(struct job *job)
{
    if (!is_held(job) && wants_to_run(job) && !stand_in_line(job))
        run(job);
}

void order_tick(struct job *job, uint64_t now_ms)
{
    writes_give_up(job, now_ms);
    if (job->retry_ms != 0 && now_ms >= job->retry_ms)
        job->retry_ms = 0;
    order_run(job);
}
