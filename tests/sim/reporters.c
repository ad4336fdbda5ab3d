/* Those whose jobs are done elsewhere: one reports over HTTP, to whichever node, the
 * other publishes at Redis by itself and knows nothing of us. */
#include <stdio.h>
#include <string.h>

#include "actors.h"
#include "base/err.h"
#include "base/mem.h"
#include "facts.h"
#include "fleet/keys.h"

enum { REPORTS = 6 };

static void over(struct actor *a)
{
    world_trace(a->world, "%s is over", a->id);
    a->is_over = true;
}

static void reported(void *context, int err, struct update *u)
{
    struct actor *a = context;

    (void)u;
    actor_told(a, err, "report");
    if (err == OK)
        a->step++;
    if (err == FAIL_STATE || a->step > REPORTS) {
        facts_job(a->world, a->id)->is_expected = true;
        over(a);
        return;
    }
    actor_go(a, 1 * MS, 2 * SECOND);
}

/* At the same moment somebody else says something of the job, at another node, and
 * does not wait for what comes of it. */
static void speak_up(struct actor *a, const struct change *c)
{
    struct node *n = some_node(a->world);
    struct change other = *c;

    if (n == NULL || n->paused_until_us > a->world->now_us)
        return;
    other.fraction = c->fraction + 0.05;
    other.text[TEXT_MESSAGE] = "by another";
    other.text[TEXT_STAGE] = NULL; /* whichever it is then: an old one would begin anew */
    fleet_jobs_apply(n->jobs,
                     &(struct fleet_apply){ .id = a->id,
                                            .change = &other,
                                            .is_report = true,
                                            .patience_ms = 1000,
                                            .is_latest_only = true },
                     NULL, NULL);
}

static void report(struct actor *a)
{
    struct change c;
    bool is_last = a->step == REPORTS;

    change_init(&c);
    c.kind = JOB_EXTERNAL;
    c.state = a->step == 0 ? JOB_QUEUED : is_last ? JOB_COMPLETED : JOB_PROCESSING;
    if (is_last && random_permille(&a->world->random, 200))
        c.state = JOB_FAILED;
    c.text[TEXT_STAGE] = a->step < REPORTS / 2 ? "fetching" : "rendering";
    c.fraction = (double)a->step / REPORTS;
    if (a->step > 0 && !is_last && random_permille(&a->world->random, 300))
        speak_up(a, &c);
    actor_asks(a);
    fleet_jobs_apply(a->node->jobs,
                     &(struct fleet_apply){
                         .id = a->id,
                         .change = &c,
                         .when = FLEET_ALWAYS,
                         .is_report = a->step > 0,
                         .patience_ms = 2000,
                         .is_latest_only = !is_last && random_permille(&a->world->random, 500),
                     },
                     reported, a);
}

void reporter_begin(struct world *w)
{
    actor_go(actor_new(w, "http", report), 0, 20 * SECOND);
}

/* Whoever asks which jobs there are: the list is written behind the records, and what it
 * misses while things break is made good. */

enum { LISTED_MAX = 200 };

static void listed(void *context, int err, struct update *const *updates, size_t count)
{
    struct actor *a = context;

    actor_told(a, err, "list");
    if (count > LISTED_MAX || (err != OK && count > 0))
        world_fail(a->world, "a list of %zu", count);
    if (a->world->is_calm && err == OK && --a->left == 0) {
        facts_listed(a->world, updates, count);
        over(a);
        return;
    }
    actor_go(a, 100 * MS, 5 * SECOND);
}

static void list(struct actor *a)
{
    actor_asks(a);
    fleet_jobs_list(a->node->jobs, NULL, -1, 0, LISTED_MAX, listed, a);
}

void lister_begin(struct world *w)
{
    struct actor *a = actor_new(w, "list", list);

    a->left = 3;
    actor_go(a, 0, 20 * SECOND);
}

/* Foreign ones */

enum { FOREIGN_LOOKS = REPORTS + 1 };

static bool redis_takes(struct world *w, const struct str *args, size_t count)
{
    struct redis_reply *reply = redis_execute(w, args, count);
    bool is_taken = reply != NULL;

    redis_reply_free(reply);
    return is_taken;
}

static void message_of(const struct actor *a, char out[256])
{
    bool is_last = a->step == REPORTS;

    snprintf(out, 256,
             "{\"job_id\": \"%s\", \"status\": \"%s\", \"stage\": \"%s\", \"progress\": %.3f, "
             "\"message\": \"message %d\"%s}",
             a->id, is_last ? "completed" : "processing", is_last ? "complete" : "transcribing",
             (double)a->step / REPORTS, a->step, is_last ? ", \"result\": {\"n\": 1}" : "");
}

/* And, now and then, document 004's message of the same job. */
static void publish_bytes(struct actor *a)
{
    struct fleet_key key = fleet_key_bytes(a->id);
    char text[128];

    snprintf(text, sizeof(text), "{\"percent\": %d, \"downloaded_bytes\": %d, \"total_bytes\": %d}",
             100 * a->step / REPORTS, 1000 * a->step, 1000 * REPORTS);
    struct str args[] = { STR("PUBLISH"), fleet_key_str(&key), str_of(text) };
    redis_takes(a->world, args, 3);
}

static bool set_status(struct actor *a)
{
    struct fleet_key key = fleet_key_status(a->id);
    char text[256];

    message_of(a, text);
    struct str args[] = { STR("SETEX"), fleet_key_str(&key), STR("3600"), str_of(text) };
    return redis_takes(a->world, args, 4);
}

static bool publish(struct actor *a)
{
    struct fleet_key key = fleet_key_reports(a->id);
    char text[256];

    message_of(a, text);
    struct str args[] = { STR("PUBLISH"), fleet_key_str(&key), str_of(text) };
    return redis_takes(a->world, args, 3);
}

static void foreign_act(void *context);

static void foreign_next(struct actor *a)
{
    world_after(a->world, (int64_t)random_between(&a->world->random, 1 * MS, 2 * SECOND),
                foreign_act, NULL, a);
}

/* A progress message that is lost is lost; the last one is said until it is heard. */
static void said_both(struct actor *a, bool is_taken)
{
    world_trace(a->world, "%s says %d: %s", a->id, a->step, is_taken ? "taken" : "redis is away");
    a->left = is_taken ? a->left : 1;
    if (a->step < REPORTS || a->left == 0)
        a->step++;
    a->left = 0;
    if (a->step > REPORTS)
        actor_go(a, 1 * SECOND, 4 * SECOND);
    else
        foreign_next(a);
}

static void foreign_second(void *context)
{
    struct actor *a = context;
    bool is_taken = a->count == 0 ? publish(a) : set_status(a);

    said_both(a, is_taken && a->left == 0);
}

static void foreign_act(void *context)
{
    struct actor *a = context;

    if (a->step < REPORTS && random_permille(&a->world->random, 200))
        publish_bytes(a);
    a->left = !(a->count == 0 ? set_status(a) : publish(a));
    world_after(a->world, (int64_t)random_between(&a->world->random, 0, 20 * MS), foreign_second,
                NULL, a);
}

static void looked(void *context, int err, struct update *u)
{
    struct actor *a = context;
    struct fact *j = facts_job(a->world, a->id);

    actor_told(a, err, "look");
    if ((err == OK && job_is_final(u->state)) || (err == FAIL_MISSING && j->was_lost)) {
        j->is_expected = true;
        over(a);
        return;
    }
    if (err == OK && j->was_lost)
        over(a); /* its last word may be lost: it fails for its silence */
    else if (err == FAIL_MISSING && redis_is_there(a->world))
        world_fail(a->world, "%s has said its last word, and is not found", a->id);
    else
        actor_go(a, 100 * MS, 2 * SECOND);
}

static void foreign_look(struct actor *a)
{
    actor_asks(a);
    fleet_jobs_find(a->node->jobs, a->id, looked, a);
}

/* count: whether it publishes first (1) or keeps first (0). */
void foreign_begin(struct world *w)
{
    struct actor *a = actor_new(w, "alien", foreign_look);

    a->count = (int)random_below(&w->random, 2);
    world_after(w, (int64_t)random_between(&w->random, 0, 20 * SECOND), foreign_act, NULL, a);
}
