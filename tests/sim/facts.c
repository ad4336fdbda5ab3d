#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/keys.h"
#include "fleet/record.h"
#include "model_internal.h"

enum { FLIGHTS_MAX = 400, QUIET_FLIGHTS_MAX = 8, KEYS_MAX = 600 };

/* A record has nine digits of a fraction; who wrote it knows them all. */
static const double ROUNDED = 1e-9;

struct facts *facts_new(void)
{
    return mem_new(struct facts);
}

static void forget_views(struct facts *f, int viewer)
{
    struct view *v, *next;

    HASH_ITER(hh, f->views[viewer], v, next)
    {
        HASH_DEL(f->views[viewer], v);
        update_unref(&v->last);
        mem_free(v);
    }
}

void facts_free(struct facts *f)
{
    struct fact *j, *next;

    HASH_ITER(hh, f->jobs, j, next)
    {
        HASH_DEL(f->jobs, j);
        update_unref(&j->last);
        mem_free(j->losses);
        mem_free(j);
    }
    for (int i = 0; i < SEATS; i++)
        forget_views(f, i);
    mem_free(f);
}

struct fact *facts_job(struct world *w, const char *id)
{
    struct facts *f = w->facts;
    struct fact *j;
    size_t len = strlen(id);

    HASH_FIND_STR(f->jobs, id, j);
    if (j != NULL)
        return j;
    j = mem_zalloc(sizeof(*j) + len + 1);
    memcpy(j->id, id, len);
    j->holder = -1;
    HASH_ADD_KEYPTR(hh, f->jobs, j->id, len, j);
    return j;
}

/* Nothing grows without bound. */
void facts_step(struct world *w)
{
    for (int i = 0; i < NODES; i++)
        if (w->nodes[i]->is_up && port_flights(w->nodes[i]->port) > FLIGHTS_MAX)
            world_fail(w, "n%d has %zu commands under way", i, port_flights(w->nodes[i]->port));
    if (redis_is_there(w) && w->steps % 64 == 0 && model_size(w->redis.model) > KEYS_MAX)
        world_fail(w, "there are %zu keys", model_size(w->redis.model));
}

/* Order of states: of the records as Redis published them, and of what a viewer saw. */

static const char *describe(char out[256], const struct update *u)
{
    snprintf(out, 256, "%" PRIu64 " %s %s %.3f/%.3f", u->seq, job_state_name(u->state),
             update_text(u, TEXT_STAGE), u->fraction, u->stage_fraction);
    return out;
}

static bool is_same_stage(const struct update *a, const struct update *b)
{
    return strcmp(update_text(a, TEXT_STAGE), update_text(b, TEXT_STAGE)) == 0;
}

static bool is_loss_between(const struct fact *j, uint64_t a, uint64_t b)
{
    for (size_t i = 0; i < j->loss_count; i++)
        if (j->losses[i] > a && j->losses[i] <= b)
            return true;
    return false;
}

/* NULL: `b` may follow `a`, perhaps with others between. */
static const char *wrong_order(const struct fact *j, const struct update *a, const struct update *b)
{
    bool is_anew = j->retry > a->seq && j->retry <= b->seq;

    if (b->seq <= a->seq)
        return "the number does not grow";
    /* What was said is gone, and so is what could have been held against it. */
    if (is_loss_between(j, a->seq, b->seq))
        return NULL;
    /* Somebody who did not know it had made it anew; who knows it puts that right. */
    if (j->was_lost && b->created_ms < a->created_ms)
        return NULL;
    if (j->was_lost && job_is_final(a->state) && a->state == b->state)
        return NULL; /* the same end, put back by a node that did not know of it */
    if (job_is_final(a->state) && !is_anew)
        return "something follows its end";
    if (is_anew || !is_same_stage(a, b) || j->stage > a->seq)
        return NULL;
    if (b->fraction < a->fraction - ROUNDED || b->stage_fraction < a->stage_fraction - ROUNDED)
        return "progress runs backwards";
    return a->state == JOB_PROCESSING && b->state == JOB_QUEUED ? "it is queued again" : NULL;
}

static void judge_record(struct world *w, struct fact *j, const struct fleet_record *r)
{
    char before[256], after[256];
    const struct update *u = r->update;

    if (j->last != NULL && u->seq == j->last->seq && j->loss_count > 0)
        return; /* put back, while others put it back too */
    if (u->state == JOB_QUEUED && j->last != NULL && j->last->state == JOB_FAILED)
        j->retry = u->seq;
    if (j->last == NULL || !is_same_stage(j->last, u))
        j->stage = u->seq;
    const char *wrong = j->last != NULL ? wrong_order(j, j->last, u) : NULL;
    if (wrong != NULL)
        world_fail(w, "record of %s: %s: %s, then %s", j->id, wrong, describe(before, j->last),
                   describe(after, u));
    if (r->token < j->token)
        world_fail(w, "record of %s: token %" PRIu64 " wrote after %" PRIu64, j->id, r->token,
                   j->token);
}

void facts_published(struct world *w, struct str channel, struct str message)
{
    enum fleet_channel kind;
    char id[JOB_ID_MAX + 1], text[256];
    struct fleet_record r;

    if (!fleet_channel_read(channel, &kind, id) || kind != FLEET_CHANNEL_RECORDS)
        return;
    if (fleet_record_read(message, &r) != OK) {
        world_fail(w, "a record that cannot be read: %.*s", STR_ARG(message));
        return;
    }
    struct fact *j = facts_job(w, id);
    world_trace(w, "redis: %s is %s token %" PRIu64, id, describe(text, r.update), r.token);
    w->facts->records++;
    judge_record(w, j, &r);
    update_unref(&j->last);
    j->last = update_ref(r.update);
    j->token = r.token;
    fleet_record_deinit(&r);
}

/* Redis' memory */

static bool read_record(struct model *m, const char *id, struct fleet_record *out)
{
    struct fleet_key key = fleet_key_record(id);
    struct str args[] = { STR("GET"), fleet_key_str(&key) };
    struct redis_reply *reply = model_run(m, args, 2);
    bool is_there = reply->type == REDIS_TEXT && fleet_record_read(reply->text, out) == OK;

    redis_reply_free(reply);
    return is_there;
}

static bool is_held(const struct world *w, const struct fact *j)
{
    return j->holder >= 0 && w->nodes[j->holder]->is_up &&
           w->nodes[j->holder]->life == j->holder_life;
}

static void compare_memory(struct world *w, struct fact *j, struct model *last)
{
    struct fleet_record before, now;
    uint64_t number = 0;

    bool is_there = read_record(w->redis.model, j->id, &now);
    if (is_there)
        number = now.update->seq;
    if (read_record(last, j->id, &before)) {
        if (before.update->seq > number) {
            world_trace(w, "redis: lost %s", j->id);
            *ARRAY_GROW(j->losses, j->loss_count) = (uint64_t)redis_now_us(w);
            j->token = is_there ? now.token : 0;
            update_unref(&j->last);
            j->last = is_there ? update_ref(now.update) : NULL;
            w->facts->losses++;
        }
        fleet_record_deinit(&before);
    }
    if (is_there)
        fleet_record_deinit(&now);
}

void facts_redis_started(struct world *w, struct model *last)
{
    for (struct fact *j = w->facts->jobs; j != NULL; j = j->hh.next)
        compare_memory(w, j, last);
    if (w->redis.kept_all)
        return;
    for (struct fact *j = w->facts->jobs; j != NULL; j = j->hh.next) {
        j->was_lost = true;
        if (!is_held(w, j))
            j->is_work_excused = true;
    }
}

/* Viewers */

static struct view *find_view(struct facts *f, int viewer, const char *id)
{
    struct view *v;
    size_t len = strlen(id);

    HASH_FIND_STR(f->views[viewer], id, v);
    if (v != NULL)
        return v;
    v = mem_zalloc(sizeof(*v) + len + 1);
    memcpy(v->id, id, len);
    HASH_ADD_KEYPTR(hh, f->views[viewer], v->id, len, v);
    return v;
}

static void see(struct world *w, struct seat *s, const char *id, struct update *u)
{
    struct view *v = find_view(w->facts, s->number, id);
    struct fact *j = facts_job(w, id);
    char before[256], after[256];

    world_trace(w, "v%d at n%d sees %s %s", s->number, s->node->index, id, describe(after, u));
    w->facts->posts++;
    v->is_left = false;
    if (v->last != NULL && v->is_new && u->seq <= v->last->seq) {
        /* Another node may know less than the last one did, until it has read. */
        w->facts->steps_back += u->seq < v->last->seq;
        v->is_new = false;
        update_unref(&v->last);
        v->last = update_ref(u);
        return;
    }
    v->is_new = false;
    const char *wrong = v->last != NULL ? wrong_order(j, v->last, u) : NULL;
    if (wrong != NULL)
        world_fail(w, "v%d at n%d, %s: %s: %s, then %s", s->number, s->node->index, id, wrong,
                   describe(before, v->last), describe(after, u));
    update_unref(&v->last);
    v->last = update_ref(u);
}

void facts_posted(struct world *w, struct seat *s, struct update *u)
{
    see(w, s, u->text[TEXT_ID], u);
}

void facts_watched(struct world *w, struct seat *s, const char *id, struct update *u)
{
    struct view *v = find_view(w->facts, s->number, id);

    v->is_new = true;
    v->is_left = false;
    if (u != NULL)
        see(w, s, id, u);
}

void facts_left(struct world *w, int viewer, const char *id)
{
    for (struct view *v = w->facts->views[viewer]; v != NULL; v = v->hh.next)
        if (id == NULL || strcmp(v->id, id) == 0)
            v->is_left = v->is_new = true;
}

/* Work */

void facts_enqueued(struct world *w, const char *id)
{
    struct fact *j = facts_job(w, id);

    world_trace(w, "%s is enqueued", id);
    j->is_expected = true;
    j->is_work_excused = false;
}

void facts_enqueuing(struct world *w, const char *id)
{
    struct fact *j = facts_job(w, id);

    j->old_token = j->top_token;
    j->cancel_us = 0;
}

void facts_cancelled(struct world *w, const char *id)
{
    facts_job(w, id)->cancel_us = (uint64_t)redis_now_us(w);
}

void facts_checkpointed(struct world *w, const char *id, uint64_t token, int step)
{
    struct fact *j = facts_job(w, id);

    if (token <= j->old_token || token < j->step_token)
        return;
    j->step_token = token;
    j->step = step;
}

static void judge_lease(struct world *w, const struct fact *j, const struct fleet_lease *lease)
{
    int64_t step = strtol(lease->step, NULL, 10);

    if (lease->is_exhausted != (lease->attempt > ATTEMPTS_MAX))
        world_fail(w, "attempt %u of %s is %sexhausted", lease->attempt, j->id,
                   lease->is_exhausted ? "" : "not ");
    if (lease->is_takeover && w->script->trouble == TROUBLE_NONE)
        world_fail(w, "%s is taken over though nothing broke", j->id);
    if (j->was_lost)
        return;
    if (lease->token > j->step_token && j->step_token > j->old_token && step < j->step)
        world_fail(w, "%s begins at step %d, the last checkpoint was %d", j->id, (int)step,
                   (int)j->step);
    if (j->cancel_us != 0 && lease->token > j->cancel_us && !lease->is_cancelled)
        world_fail(w, "%s was cancelled, and its holder is not told", j->id);
}

/* A work that has ended is not handed out again, unless somebody enqueued it. */
void facts_claimed(struct world *w, struct node *n, const struct fleet_lease *lease)
{
    struct fact *j = facts_job(w, lease->job);

    world_trace(w, "n%d claimed %s token %" PRIu64 " attempt %u step %s%s%s%s", n->index,
                lease->job, lease->token, lease->attempt, lease->step,
                lease->is_takeover ? " takeover" : "", lease->is_cancelled ? " cancelled" : "",
                lease->is_exhausted ? " exhausted" : "");
    w->facts->claims++;
    judge_lease(w, j, lease);
    if (j->end == WORK_FINISHED && lease->token > j->end_token && !j->was_lost)
        world_fail(w, "%s was finished by token %" PRIu64 " and is handed out to %" PRIu64,
                   lease->job, j->end_token, lease->token);
    if (lease->token == j->top_token)
        world_fail(w, "token %" PRIu64 " of %s is handed out twice", lease->token, lease->job);
    if (lease->token < j->top_token)
        return; /* heard of late: lost already */
    j->top_token = lease->token;
    j->holder = n->index;
    j->holder_life = n->life;
}

void facts_let_go(struct world *w, struct node *n, const char *id, uint64_t token)
{
    struct fact *j = facts_job(w, id);

    (void)n;
    if (j->top_token == token)
        j->holder = -1;
}

void facts_ended(struct world *w, const char *id, uint64_t token, enum work_end end)
{
    struct fact *j = facts_job(w, id);

    world_trace(w, "%s ends (%d) by token %" PRIu64, id, end, token);
    w->facts->finishes++;
    if (j->end != WORK_FINISHED || token > j->end_token) {
        j->end = end;
        j->end_token = token;
    }
    if (j->top_token == token)
        j->holder = -1;
}

/* A holder's last word (work_give.lua): id, token and "finish" are its ARGV 2 to 4. Whoever
 * does not hold it may be told that all is well, once it is gone; but it is not his to end. */
enum { FIRST_KEY = 3, GIVE_KEYS = 8, GIVE_TOKEN = FIRST_KEY + GIVE_KEYS + 2 };

static struct redis_reply *work_token(struct world *w, struct str key)
{
    struct str args[] = { STR("HGET"), key, STR("token") };

    return redis_execute(w, args, 3);
}

struct redis_reply *facts_executing(struct world *w, const struct str *args, size_t count)
{
    bool is_finish = count > GIVE_TOKEN + 1 && str_starts(args[0], STR("EVAL")) &&
                     str_equal(args[GIVE_TOKEN + 1], STR("finish"));

    return is_finish ? work_token(w, args[FIRST_KEY]) : NULL;
}

void facts_executed(struct world *w, const struct str *args, struct redis_reply *before)
{
    if (before == NULL)
        return;
    struct redis_reply *after = work_token(w, args[FIRST_KEY]);
    uint64_t was = 0, mine = 0;
    if (before->type == REDIS_TEXT && after->type == REDIS_NIL &&
        str_parse_u64(before->text, UINT64_MAX, &was) == OK &&
        str_parse_u64(args[GIVE_TOKEN], UINT64_MAX, &mine) == OK && was > mine)
        world_fail(w, "%.*s, held by token %" PRIu64 ", was finished by %" PRIu64,
                   STR_ARG(args[FIRST_KEY]), was, mine);
    redis_reply_free(before);
    redis_reply_free(after);
}

/* Who held a work that Redis had lost, and was to put it back, is gone. */
void facts_crashed(struct world *w, struct node *n)
{
    for (struct fact *j = w->facts->jobs; j != NULL; j = j->hh.next)
        if (j->holder == n->index) {
            if (j->was_lost)
                j->is_work_excused = true;
            j->holder = -1;
        }
}

static bool is_listed(const char *id, struct update *const *updates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(updates[i]->text[TEXT_ID], id) == 0)
            return true;
    return false;
}

void facts_listed(struct world *w, struct update *const *updates, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (is_listed(updates[i]->text[TEXT_ID], updates, i))
            world_fail(w, "%s is listed twice", updates[i]->text[TEXT_ID]);
    for (const struct fact *j = w->facts->jobs; j != NULL; j = j->hh.next)
        if (j->last != NULL && !j->was_lost && !is_listed(j->id, updates, count))
            world_fail(w, "%s is not listed", j->id);
}

/* At the end */

/* An end that was put back is the same end: nobody is told again. */
static bool is_present(const struct update *seen, const struct update *there)
{
    return seen->seq == there->seq || (job_is_final(seen->state) && seen->state == there->state);
}

static void judge_job(struct world *w, struct fact *j)
{
    struct fleet_record r;
    char text[256];

    if (j->last == NULL)
        return;
    if (!read_record(w->redis.model, j->id, &r)) {
        if (!j->was_lost)
            world_fail(w, "%s has no record", j->id);
        return;
    }
    if (j->is_work_excused && !job_is_final(r.update->state))
        w->facts->orphans++;
    if (j->is_expected && !job_is_final(r.update->state) && !j->is_work_excused)
        world_fail(w, "%s has not ended: %s", j->id, describe(text, r.update));
    for (int i = 0; i < SEATS && !w->is_failed; i++) {
        struct view *v;
        HASH_FIND_STR(w->facts->views[i], j->id, v);
        if (v == NULL || v->is_left)
            continue;
        if (v->last == NULL || !is_present(v->last, r.update))
            world_fail(w, "v%d last saw %s of %s, Redis has number %" PRIu64, i,
                       v->last ? describe(text, v->last) : "nothing", j->id, r.update->seq);
    }
    fleet_record_deinit(&r);
}

/* The list of those in progress is written behind the records. */
static void judge_live(struct world *w, struct str key)
{
    struct str args[] = { STR("ZRANGE"), key, STR("0"), STR("-1") };
    struct redis_reply *reply = model_run(w->redis.model, args, 4);
    struct fleet_record r;

    for (size_t i = 0; reply->type == REDIS_ARRAY && i < reply->count; i++) {
        const char *id = reply->items[i].text.at;
        bool is_there = read_record(w->redis.model, id, &r);
        bool is_over = is_there && job_is_final(r.update->state);
        if (is_there)
            fleet_record_deinit(&r);
        if (is_over || (!is_there && !facts_job(w, id)->was_lost))
            world_fail(w, "%s has ended and is still listed as in progress", id);
    }
    redis_reply_free(reply);
}

static void judge_key(void *context, struct str key, bool has_ttl)
{
    static const char *const lasting[] = { "{reelay}:queue:", "{reelay}:over", "{reelay}:workers",
                                           "{reelay:jobs}:all" };
    struct world *w = context;

    if (has_ttl)
        return;
    if (str_equal(key, STR("{reelay:jobs}:live"))) {
        judge_live(w, key);
        return;
    }
    for (size_t i = 0; i < sizeof(lasting) / sizeof(*lasting); i++)
        if (str_starts(key, str_of(lasting[i])))
            return;
    world_fail(w, "left behind: %.*s", STR_ARG(key));
}

static void judge_queue(struct world *w, const char *name)
{
    struct str length[] = { STR("XLEN"), str_of(name) };
    struct redis_reply *reply = model_run(w->redis.model, length, 2);

    if (reply->type != REDIS_INTEGER || reply->integer != 0)
        world_fail(w, "%s still has %d entries", name, (int)reply->integer);
    redis_reply_free(reply);
}

static void judge_node(struct world *w, const struct node *n)
{
    struct fleet_work_count c;

    if (port_flights(n->port) > QUIET_FLIGHTS_MAX)
        world_fail(w, "n%d still has %zu commands under way", n->index, port_flights(n->port));
    if (!fleet_jobs_is_ready(n->jobs))
        world_fail(w, "n%d is not ready", n->index);
    fleet_work_count(n->work, &c);
    if (c.queued != 0 || c.leased != 0 || c.delayed != 0 || c.open != 0)
        world_fail(w, "n%d counts %d queued, %d leased, %d delayed, %d open", n->index,
                   (int)c.queued, (int)c.leased, (int)c.delayed, (int)c.open);
    if (c.workers != NODES)
        world_fail(w, "n%d counts %d workers", n->index, (int)c.workers);
}

void facts_settled(struct world *w)
{
    for (struct fact *j = w->facts->jobs; j != NULL && !w->is_failed; j = j->hh.next)
        judge_job(w, j);
    model_keys(w->redis.model, judge_key, w);
    judge_queue(w, "{reelay}:queue:high");
    judge_queue(w, "{reelay}:queue:normal");
    judge_queue(w, "{reelay}:queue:low");
    for (int i = 0; i < NODES; i++)
        judge_node(w, w->nodes[i]);
}
