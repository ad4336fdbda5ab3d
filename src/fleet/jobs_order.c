/* How a job's changes get their order: derived here, compared and set in Redis.
 *
 * At most one script of a job is under way. Whatever it was, its answer brings the
 * present state, and the next one is chosen from what is wanted then. A script
 * whose answer was lost may have been done: it is sent again as it was, with the
 * mark of the write in it, so that its own doing is recognised. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/jobs_room.h"

enum {
    CROWDED = 16,      /* so many changes of one job wait: they are merged from then on */
    BATCH_MAX = 64,    /* into one */
    WRITES_MAX = 1024, /* of one job; the oldest that others replace makes room */
    RUNNING_MAX = 4000 /* scripts under way: more, and the last is answered too late */
};
enum { RETRY_MS = 200, REFUSED_RETRY_MS = 1000, REFUSED_LOG_MS = 60 * 1000, HASH_SIZE = 17 };

struct write *write_new(const struct fleet_apply *a, fleet_job_done *done, void *context)
{
    struct write *w = mem_new(struct write);

    w->change = *a->change;
    for (int i = 0; i < UPDATE_TEXTS; i++) {
        w->texts[i] = a->change->text[i] != NULL ? mem_strdup(a->change->text[i]) : NULL;
        w->change.text[i] = w->texts[i];
    }
    w->when = a->when;
    w->is_report = a->is_report;
    w->is_latest_only = a->is_latest_only;
    w->viewer = a->viewer != NULL ? viewer_ref((struct viewer *)a->viewer) : NULL;
    w->token = a->token;
    w->done = done;
    w->context = context;
    return w;
}

static void write_end(struct write *w, int err, struct update *u)
{
    if (w->done != NULL)
        w->done(w->context, err, err == OK ? u : NULL);
    viewer_unref(&w->viewer);
    for (int i = 0; i < UPDATE_TEXTS; i++)
        mem_free(w->texts[i]);
    mem_free(w);
}

static void detach(struct job *job, struct write *w)
{
    DL_DELETE(job->writes, w);
    job->write_count--;
    job->owner->pending--;
}

/* Those behind it say all that it says, or nobody can promise that it is heard. */
static bool is_dispensable(const struct write *w)
{
    bool is_end = w->change.state >= 0 && job_is_final((enum job_state)w->change.state);

    return !is_end && (w->hash != 0 || (w->is_latest_only && w->done == NULL));
}

bool order_make_room(struct job *job)
{
    struct write *w;
    size_t at = 0;

    DL_FOREACH(job->writes, w)
    if (at++ >= job->sent && is_dispensable(w)) {
        detach(job, w);
        write_end(w, OK, NULL);
        return true;
    }
    return false;
}

void order_append(struct job *job, struct write *w)
{
    if (job->write_count >= WRITES_MAX)
        order_make_room(job);
    /* What was asked for before it came does not judge it. */
    job->is_fresh = false;
    job->is_outdated = job->is_running;
    DL_APPEND(job->writes, w);
    job->write_count++;
    job->owner->pending++;
}

void order_find(struct job *job, struct finder *f)
{
    DL_APPEND(job->finders, f);
    job->owner->pending++;
    job->needs_look = true;
}

void order_look(struct job *job)
{
    job->needs_look = true;
    order_run(job);
}

static void answer_finders(struct job *job, int err)
{
    struct finder *all = job->finders, *f, *next;
    struct update *u = job->known.update ? update_ref(job->known.update) : NULL;

    job->finders = NULL;
    DL_FOREACH_SAFE(all, f, next)
    {
        job->owner->pending--;
        f->done(f->context, err ? err : u ? OK : FAIL_MISSING, err ? NULL : u);
        mem_free(f);
    }
    update_unref(&u);
}

/* What Redis says */

/* What was only looked at, and has ended, is no news to those who watch all, unless they were
 * shown it before. */
static void tell(struct job *job, bool is_news)
{
    if (job->owner->ledger == NULL || job->known.update == NULL)
        return;
    if (is_news || job->is_watched || index_is_shown(job->owner, job->known.update))
        ledger_hear(job->owner->ledger, job->known.update);
}

static uint64_t known_number(const struct job *job)
{
    return job->known.update != NULL ? job->known.update->seq : 0;
}

/* The batch under way is over, with what each of it came to. */
static void end_sent(struct job *job, int err)
{
    struct write *ended = NULL, *w, *next;
    struct update *u = job->known.update ? update_ref(job->known.update) : NULL;

    if (err == OK && job->next != NULL && job->is_turn)
        index_note(job->owner, u);
    for (; job->sent > 0; job->sent--) {
        w = job->writes;
        detach(job, w);
        DL_APPEND(ended, w);
    }
    update_unref(&job->next);
    DL_FOREACH_SAFE(ended, w, next)
    write_end(w, err ? err : w->err, u);
    update_unref(&u);
}

/* Everything that a state says, as a change; borrows its texts. */
static struct change change_of(const struct update *u)
{
    struct change c;

    change_init(&c);
    c.state = (int)u->state;
    c.kind = (int)u->kind;
    c.fraction = u->fraction;
    c.stage_fraction = u->stage_fraction;
    c.speed = u->speed;
    c.eta_ms = u->eta_ms;
    c.bytes_done = u->bytes_done;
    c.bytes_total = u->bytes_total;
    c.file_size = u->file_size;
    for (int i = 0; i < UPDATE_TEXTS; i++)
        c.text[i] = u->text[i];
    return c;
}

/* While Redis had lost its memory, somebody who did not know the job made it anew.
 * What is known here is more: the other one's words are a change of that. */
static void contest(struct job *job, struct fleet_record *r)
{
    struct change c = change_of(r->update);

    if (job->contested < r->update->seq) {
        log_info("job_contested", LOG_S("job", job->id));
        job->contested = r->update->seq;
        order_append(job, write_new(&(struct fleet_apply){ .id = job->id,
                                                           .change = &c,
                                                           .when = FLEET_ALWAYS },
                                    NULL, NULL));
    }
    fleet_record_deinit(r);
}

/* An older one is passed over: what Redis has lost is not unlearnt. */
static void learn(struct job *job, struct fleet_record *r, bool is_news)
{
    const struct update *known = job->known.update;

    if (r->update->seq == known_number(job))
        job->known.from = r->from;
    if (r->update->seq <= known_number(job)) {
        fleet_record_deinit(r);
        return;
    }
    if (known != NULL && known->created_ms < r->update->created_ms) {
        contest(job, r);
        return;
    }
    /* An end that was put back is the same end. */
    bool is_same_end =
        known != NULL && job_is_final(known->state) && known->state == r->update->state;
    fleet_record_deinit(&job->known);
    job->known = *r;
    if (!is_same_end)
        tell(job, is_news);
}

static bool is_own_doing(const struct job *job, const struct fleet_record *r)
{
    return job->sent > 0 && r->write == job->next_write;
}

/* What those under way have come to, with the number it got; takes it. */
static void learn_next(struct job *job, struct update *u)
{
    struct fleet_record r = {
        .update = u, .token = job->writes->token, .write = job->next_write, .from = job->next_from
    };

    learn(job, &r, true);
}

/* Before its answer, which may be lost and then give it another number. */
static struct update *copy_of_next(const struct job *job, uint64_t number)
{
    struct change c = change_of(job->next);
    struct update *u = update_restore(&c, number, job->next->created_ms, job->next->time_ms);

    u->is_start = job->next->is_start;
    return u;
}

bool order_knows(struct job *job, struct str record)
{
    struct str rest = record;
    uint64_t number;

    if (str_parse_u64(str_cut(&rest, ' '), UINT64_MAX, &number) != OK)
        return false; /* who reads it complains */
    bool is_known = number <= known_number(job);
    if (!is_known && (job->sent == 0 || !fleet_record_is_of(record, job->next_write)))
        return false;
    if (number > job->number_there)
        job->number_there = number;
    /* It may have been overtaken, or be all that is left in a Redis that lost the newer one. */
    job->is_doubted |= number < known_number(job);
    if (!is_known)
        learn_next(job, copy_of_next(job, number));
    if (!is_known && !job->is_running)
        end_sent(job, OK);
    return true;
}

void order_take(struct job *job, struct fleet_record *r)
{
    if (r->update->seq > job->number_there)
        job->number_there = r->update->seq;
    bool is_done = is_own_doing(job, r) && !job->is_running;
    learn(job, r, true);
    if (is_done)
        end_sent(job, OK);
}

/* The record in an answer: it is what is there now. */
static void take_text(struct job *job, struct str text)
{
    struct fleet_record r;
    struct str rest = text, number = str_cut(&rest, ' ');

    job->is_fresh = !job->is_outdated;
    job->is_outdated = false;
    job->number_there = 0;
    if (text.len == 0)
        return;
    if (str_parse_u64(number, UINT64_MAX, &job->number_there) != OK ||
        fleet_record_read(text, &r) != OK) {
        log_error("record_unreadable", LOG_S("job", job->id));
        return;
    }
    bool is_done = is_own_doing(job, &r);
    learn(job, &r, is_done);
    if (is_done)
        end_sent(job, OK);
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

/* Looking */

static void status_taken(void *context, int err, struct update *u)
{
    (void)err;
    (void)u;
    answer_finders(context, OK);
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
    take_text(job, reply->items[0].text);
    bridge_mark_read(job);
    tell(job, false); /* also what was known before it was watched */
    if (!bridge_take_status(job, reply->items[1].text, status_taken, job) && !job->needs_look)
        answer_finders(job, OK);
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

/* Changing */

static int judge(const struct write *w, const struct update *at)
{
    if (at == NULL)
        return w->when == FLEET_IF_THERE ? FAIL_MISSING : OK;
    if (w->when == FLEET_IF_NEW)
        return FAIL_EXISTS;
    if (w->viewer != NULL && !viewer_may_see(w->viewer, at))
        return FAIL_DENIED;
    if (w->is_report && at->kind != JOB_EXTERNAL)
        return FAIL_UNSUPPORTED;
    return OK;
}

static int derive(const struct job *job, struct write *w, const struct update *at,
                  struct update **out)
{
    struct fleet_port *port = job->owner->port;
    int err = judge(w, at);

    if (err)
        return err;
    w->change.text[TEXT_ID] = job->id;
    return update_derive(at, &w->change, at ? at->seq + 1 : 1, port->ops->wall_ms(port), out);
}

/* Another step of the same stage is worded otherwise, and worth hearing. */
static bool is_same_step(const struct write *a, const struct write *b)
{
    const char *one = a->change.text[TEXT_MESSAGE], *other = b->change.text[TEXT_MESSAGE];

    return one == NULL || other == NULL || strcmp(one, other) == 0;
}

/* Whether it goes into the same record as `first`, which nobody hears by itself then.
 * An end does not: how far it had come is heard before. */
static bool may_join(const struct job *job, const struct write *first, const struct write *w)
{
    bool is_crowded = job->write_count > CROWDED;

    if (w->change.state >= 0 && job_is_final((enum job_state)w->change.state))
        return false;
    if (w->token != first->token)
        return false;
    if (w->is_latest_only && first->is_latest_only)
        return is_crowded || is_same_step(first, w);
    return is_crowded && w->hash && first->hash;
}

/* Whether a stage that was left within the batch begins anew: without the record between,
 * its progress would seem to run backwards. */
static bool comes_back(const struct update *known, const struct update *at,
                       const struct update *following)
{
    const char *stage = known != NULL ? update_text(known, TEXT_STAGE) : NULL;

    return stage != NULL && strcmp(update_text(at, TEXT_STAGE), stage) != 0 &&
           strcmp(update_text(following, TEXT_STAGE), stage) == 0;
}

/* The state that the first changes come to, as many as may be merged; false: none of
 * those `count` is possible. */
static bool derive_batch(struct job *job, size_t *count)
{
    struct update *at = job->known.update ? update_ref(job->known.update) : NULL;
    struct write *w, *first = job->writes;
    bool is_changed = false;

    *count = 0;
    DL_FOREACH(job->writes, w)
    {
        struct update *following;
        if (*count == BATCH_MAX || (w != first && !may_join(job, first, w)))
            break;
        ++*count;
        w->err = derive(job, w, at, &following);
        if (w->err)
            continue;
        if (is_changed && comes_back(job->known.update, at, following)) {
            update_unref(&following);
            --*count;
            break;
        }
        /* What was not heard by itself still began the attempt. */
        following->is_start |= is_changed && at->is_start;
        update_unref(&at);
        at = following;
        is_changed = true;
        if (job_is_final(at->state))
            break;
    }
    job->is_turn =
        is_changed && (job->known.update == NULL || job->known.update->state != at->state);
    if (is_changed)
        job->next = at;
    else
        update_unref(&at);
    return is_changed;
}

/* Redis came back without what it had said: then it gets that back, under its number. */
static bool has_lost(const struct job *job)
{
    return job->number_there < known_number(job);
}

static void refuse(struct job *job, size_t count)
{
    job->sent = count;
    job->is_fresh = false;
    end_sent(job, OK); /* each with its own */
}

/* Those whose message is in the state already, by the script's flags. */
static void end_seen(struct job *job, const struct redis_reply *flags, size_t count)
{
    struct write *ended = NULL, *w, *next;
    size_t at = 0;

    DL_FOREACH_SAFE(job->writes, w, next)
    {
        if (job->sent == 0)
            break;
        job->sent--;
        if (w->hash == 0)
            continue;
        bool is_seen = count == 0 || (at < count && str_equal(flags[at].text, STR("1")));
        at++;
        if (!is_seen)
            continue;
        detach(job, w);
        DL_APPEND(ended, w);
    }
    update_unref(&job->next);
    DL_FOREACH_SAFE(ended, w, next)
    write_end(w, OK, job->known.update);
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
    end_sent(job, OK);
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
        take_text(job, rest);
        end_sent(job, FAIL_STALE);
    } else {
        uint64_t write = job->next_write;
        take_text(job, rest); /* ends those under way if they were done after all */
        if (job->sent > 0 && job->next_write == write && !job->is_running)
            end_seen(job, reply->items + 2, reply->count - 2);
    }
    go_on(job);
}

/* Sending */

struct texts {
    struct buf state, report, bytes;
    bool is_report_there, is_bytes_there; /* on its channel, as the foreign message it came by */
    bool keeps_status;
};

static void write_texts(struct job *job, const struct update *u, struct texts *t)
{
    const struct fleet_jobs_settings *s = &job->owner->settings;
    struct write *w = job->writes;

    buf_init(&t->state, FLEET_RECORD_MAX);
    buf_init(&t->report, FLEET_RECORD_MAX);
    buf_init(&t->bytes, FLEET_RECORD_MAX);
    job->next_from = job->known.from;
    for (size_t i = 0; i < job->sent; i++, w = w->next) {
        if (w->hash == 0)
            continue;
        t->keeps_status = true;
        t->is_report_there |= w->is_of_reports;
        t->is_bytes_there |= !w->is_of_reports;
        if (w->is_of_reports)
            job->next_from = w->hash;
    }
    fleet_record_write(u, job->next_write, job->next_from, &t->state);
    s->report(u, &t->report);
    s->bytes(u, &t->bytes);
    if (t->report.len > 0)
        buf_putc(&t->report, '\t');
    if (t->bytes.len > 0)
        buf_putc(&t->bytes, '\t');
}

static size_t hash_args(const struct job *job, char hashes[BATCH_MAX][HASH_SIZE], struct str *args)
{
    const struct write *w = job->writes;
    size_t count = 0;

    for (size_t i = 0; i < job->sent; i++, w = w->next) {
        if (w->hash == 0)
            continue;
        snprintf(hashes[count], HASH_SIZE, "%016" PRIx64, w->hash);
        args[count] = str_of(hashes[count]);
        count++;
    }
    return count;
}

/* `u` with a number of its own choice (0: Redis'). Nothing is published of what is put back
 * but to the other nodes. */
static int send_state(struct job *job, const struct update *u, uint64_t number, redis_done *done)
{
    struct fleet_jobs *j = job->owner;
    const struct fleet_jobs_settings *s = &j->settings;
    struct fleet_key record = fleet_key_record(job->id), status = fleet_key_status(job->id);
    struct fleet_key seen = fleet_key_seen(job->id), channel = fleet_key_channel(job->id);
    struct fleet_key reports = fleet_key_reports(job->id), bytes = fleet_key_bytes(job->id);
    char token[STR_U64_SIZE], known[STR_U64_SIZE], put[STR_U64_SIZE];
    char ttl[STR_U64_SIZE], status_ttl[STR_U64_SIZE];
    char hashes[BATCH_MAX][HASH_SIZE];
    struct str args[3 + 15 + BATCH_MAX];
    struct texts t = { .keeps_status = false };
    uint64_t ttl_ms = s->job_ttl_ms + (job_is_final(u->state) ? 0 : s->report_ttl_ms);
    size_t count = 0;

    write_texts(job, u, &t);
    args[count++] = fleet_key_str(&record);
    args[count++] = fleet_key_str(&status);
    args[count++] = fleet_key_str(&seen);
    args[count++] = str_of(job->expected);
    args[count++] = str_of_u64(number || !job->writes ? 0 : job->writes->token, token);
    args[count++] = buf_str(&t.state);
    args[count++] = str_of_u64(ttl_ms, ttl);
    args[count++] = buf_str(&t.report);
    args[count++] = str_of_u64(s->status_ttl_s, status_ttl);
    args[count++] = t.keeps_status ? STR("1") : STR("0");
    args[count++] = fleet_key_str(&channel);
    args[count++] = j->port->ops->is_cluster(j->port) ? STR("1") : STR("0");
    args[count++] = fleet_key_str(&reports);
    args[count++] = t.is_report_there || number ? STR("") : buf_str(&t.report);
    args[count++] = fleet_key_str(&bytes);
    args[count++] = t.is_bytes_there || number ? STR("") : buf_str(&t.bytes);
    args[count++] = str_of_u64(known_number(job), known);
    args[count++] = str_of_u64(number, put);
    count += hash_args(job, hashes, args + count);
    int err = t.state.failed || t.report.failed
                  ? FAIL_NOMEM
                  : j->port->ops->run(j->port, &j->apply, 3, args, count, done, job);
    buf_deinit(&t.state);
    buf_deinit(&t.report);
    buf_deinit(&t.bytes);
    set_running(job, err == OK);
    return err;
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
            refuse(job, count);
            if (is_held(job)) /* by what those who were told asked for within */
                return;
        } else {
            send_look(job);
            return;
        }
    }
    if (job->sent == 0)
        return;
    int err = send_state(job, job->next, 0, applied);
    if (err == FAIL_NOMEM)
        end_sent(job, FAIL_LIMIT);
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
        take_text(job, rest);
    } else if (str_parse_u64(rest, UINT64_MAX, &number) == OK) {
        struct change c = change_of(job->known.update);
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
        put_back(job, known_number(job));
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

/* Who is told may ask for more at once: nobody is while these are gone through. */
static void give_up_late(struct job *job, uint64_t now_ms)
{
    struct write *late = NULL, *w, *next_write;
    struct finder *waited = NULL, *f, *next_finder;
    size_t at = 0;

    DL_FOREACH_SAFE(job->writes, w, next_write)
    {
        bool is_sent = at++ < job->sent;
        if (w->deadline_ms == 0 || now_ms < w->deadline_ms || (is_sent && job->is_running))
            continue;
        /* Nobody knows whether those were done; the rest of them is tried anew. */
        if (is_sent)
            update_unref(&job->next);
        if (is_sent)
            job->sent = 0;
        detach(job, w);
        DL_APPEND(late, w);
    }
    DL_FOREACH_SAFE(job->finders, f, next_finder)
    if (now_ms >= f->deadline_ms) {
        DL_DELETE(job->finders, f);
        job->owner->pending--;
        DL_APPEND(waited, f);
    }
    DL_FOREACH_SAFE(late, w, next_write)
    write_end(w, FAIL_CLOSED, NULL);
    DL_FOREACH_SAFE(waited, f, next_finder)
    {
        f->done(f->context, FAIL_CLOSED, NULL);
        mem_free(f);
    }
}

void order_tick(struct job *job, uint64_t now_ms)
{
    give_up_late(job, now_ms);
    if (job->retry_ms != 0 && now_ms >= job->retry_ms)
        job->retry_ms = 0;
    order_run(job);
}

void order_abandon(struct job *job, int err)
{
    job->sent = job->write_count;
    end_sent(job, err);
    answer_finders(job, err);
}
