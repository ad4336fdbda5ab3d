/* Leases, and what Redis' lost memory excuses. */
#include "facts_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "actors.h"
#include "base/err.h"
#include "base/mem.h"
#include "model_internal.h"

/* Redis' memory */

static bool is_held(const struct world *w, const struct fact *j)
{
    return j->holder >= 0 && w->nodes[j->holder]->is_up &&
           w->nodes[j->holder]->life == j->holder_life;
}

static void compare_memory(struct world *w, struct fact *j, struct model *last)
{
    struct fleet_record before, now;
    uint64_t number = 0;

    bool is_there = facts_read_record(w->redis.model, j->id, &now);
    if (is_there)
        number = now.update->seq;
    if (facts_read_record(last, j->id, &before)) {
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
