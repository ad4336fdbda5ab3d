#include "facts_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "fleet/keys.h"
#include "fleet/record.h"
#include "model_internal.h"

enum { FLIGHTS_MAX = 400, KEYS_MAX = 600 };

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

const char *facts_describe(char out[DESCRIPTION_SIZE], const struct update *u)
{
    snprintf(out, DESCRIPTION_SIZE, "%" PRIu64 " %s %s %.3f/%.3f", u->seq, job_state_name(u->state),
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
        world_fail(w, "record of %s: %s: %s, then %s", j->id, wrong,
                   facts_describe(before, j->last), facts_describe(after, u));
    if (r->token < j->token)
        world_fail(w, "record of %s: token %" PRIu64 " wrote after %" PRIu64, j->id, r->token,
                   j->token);
}

bool facts_read_record(struct model *m, const char *id, struct fleet_record *out)
{
    struct fleet_key key = fleet_key_record(id);
    struct str args[] = { STR("GET"), fleet_key_str(&key) };
    struct redis_reply *reply = model_run(m, args, 2);
    bool is_there = reply->type == REDIS_TEXT && fleet_record_read(reply->text, out) == OK;

    redis_reply_free(reply);
    return is_there;
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
    world_trace(w, "redis: %s is %s token %" PRIu64, id, facts_describe(text, r.update), r.token);
    w->facts->records++;
    judge_record(w, j, &r);
    update_unref(&j->last);
    j->last = update_ref(r.update);
    j->token = r.token;
    fleet_record_deinit(&r);
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

    world_trace(w, "v%d at n%d sees %s %s", s->number, s->node->index, id,
                facts_describe(after, u));
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
                   facts_describe(before, v->last), facts_describe(after, u));
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
