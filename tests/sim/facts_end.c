/* What must be true once nothing has broken for long. */
#include "facts_internal.h"

#include <inttypes.h>
#include <string.h>

#include "base/err.h"

enum { QUIET_FLIGHTS_MAX = 8 };

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
        /* The list is written behind the record, and may be lost alone. */
        if (j->last != NULL && !j->was_lost && !w->redis.has_forgotten &&
            !is_listed(j->id, updates, count))
            world_fail(w, "%s is not listed", j->id);
}

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
    if (!facts_read_record(w->redis.model, j->id, &r)) {
        if (!j->was_lost)
            world_fail(w, "%s has no record", j->id);
        return;
    }
    if (j->is_work_excused && !job_is_final(r.update->state))
        w->facts->orphans++;
    if (j->is_expected && !job_is_final(r.update->state) && !j->is_work_excused)
        world_fail(w, "%s has not ended: %s", j->id, facts_describe(text, r.update));
    for (int i = 0; i < SEATS && !w->is_failed; i++) {
        struct view *v;
        HASH_FIND_STR(w->facts->views[i], j->id, v);
        if (v == NULL || v->is_left)
            continue;
        if (v->last == NULL || !is_present(v->last, r.update))
            world_fail(w, "v%d last saw %s of %s, Redis has number %" PRIu64, i,
                       v->last ? facts_describe(text, v->last) : "nothing", j->id, r.update->seq);
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
        bool is_there = facts_read_record(w->redis.model, id, &r);
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
