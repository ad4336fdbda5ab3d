/* Which jobs there are: two sorted sets of ids by the time of the last change of
 * state, all of them and those that have not ended. They are written behind the
 * record and are no more than hints: who reads them looks at the records. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/jobs_room.h"

#define ALL_JOBS  FLEET_JOBS "all"
#define LIVE_JOBS FLEET_JOBS "live"

enum { LIVE_MAX = 10000, SWEEP_MS = 60 * 1000, SWEEP_JOBS = 1000, SILENT_MS = 60 * 1000 };
enum { LIST_MAX = 200, LIST_PAGE = 200, LIST_PAGES = 20 };

static struct str score_text(char out[24], int64_t score)
{
    int len = snprintf(out, 24, "%" PRId64, score);

    return (struct str){ out, (size_t)len };
}

static void put(struct fleet_jobs *j, struct str set, const char *id, int64_t time_ms)
{
    char score[24];
    struct str args[] = { STR("ZADD"), set, score_text(score, time_ms), str_of(id) };

    j->port->ops->command(j->port, set, args, 4, NULL, NULL);
}

static void take_out(struct fleet_jobs *j, struct str set, const char *id)
{
    struct str args[] = { STR("ZREM"), set, str_of(id) };

    j->port->ops->command(j->port, set, args, 3, NULL, NULL);
}

void index_note(struct fleet_jobs *j, const struct update *u)
{
    const char *id = u->text[TEXT_ID];

    put(j, STR(ALL_JOBS), id, u->time_ms);
    if (job_is_final(u->state))
        take_out(j, STR(LIVE_JOBS), id);
    else
        put(j, STR(LIVE_JOBS), id, u->time_ms);
}

/* Before the first record: who dies between the two leaves a name without a job, which is taken out
 * again, and not a job without a name, which nobody would find. */
void index_begin(struct fleet_jobs *j, const char *id)
{
    put(j, STR(LIVE_JOBS), id, j->port->ops->wall_ms(j->port));
}

static void mend(struct fleet_jobs *j, struct update *u)
{
    put(j, STR(ALL_JOBS), u->text[TEXT_ID], u->time_ms);
    if (j->settings.mended != NULL)
        j->settings.mended(j->settings.context, u);
}

/* One id of the live ones, looked at. */
struct glance {
    struct fleet_jobs *owner;
    void (*seen)(struct fleet_jobs *j, struct update *u);
    char id[JOB_ID_MAX + 1];
};

static void glanced(void *context, int err, struct update *u)
{
    struct glance *g = context;

    if (err == OK && job_is_final(u->state))
        mend(g->owner, u);
    if (err == FAIL_MISSING || (err == OK && job_is_final(u->state)))
        take_out(g->owner, STR(LIVE_JOBS), g->id);
    if (err == OK)
        g->seen(g->owner, u);
    mem_free(g);
}

static void glance_at(struct fleet_jobs *j, struct str id,
                      void (*seen)(struct fleet_jobs *j, struct update *u))
{
    if (!job_id_is_valid(id))
        return;
    struct glance *g = mem_new(struct glance);
    g->owner = j;
    g->seen = seen;
    snprintf(g->id, sizeof(g->id), "%.*s", STR_ARG(id));
    fleet_jobs_find(j, g->id, glanced, g);
}

static void glance(struct fleet_jobs *j, const struct redis_reply *ids,
                   void (*seen)(struct fleet_jobs *j, struct update *u))
{
    for (size_t i = 0; i < ids->count; i++)
        glance_at(j, ids->items[i].text, seen);
}

/* Who watches all begins with those that are in progress. */

bool index_is_shown(struct fleet_jobs *j, const struct update *u)
{
    if (!job_is_final(u->state))
        return true;
    struct update *shown = ledger_snapshot(j->ledger, u->text[TEXT_ID]);
    bool is_shown = shown != NULL;
    update_unref(&shown);
    return is_shown;
}

static void show(struct fleet_jobs *j, struct update *u)
{
    if (j->is_all_watched && index_is_shown(j, u))
        ledger_hear(j->ledger, u);
}

/* What was shown as in progress may have ended while nothing was heard: then it is in
 * no list any more. */
static void glance_at_shown(struct fleet_jobs *j)
{
    char **ids = mem_alloc(LIVE_MAX * sizeof(*ids));
    size_t count = ledger_unfinished(j->ledger, LIVE_MAX, ids);

    for (size_t i = 0; i < count; i++) {
        glance_at(j, str_of(ids[i]), show);
        mem_free(ids[i]);
    }
    mem_free(ids);
}

static void live_read(void *context, int err, const struct redis_reply *reply)
{
    struct fleet_jobs *j = context;

    j->is_indexing = false;
    if (err || reply->type != REDIS_ARRAY) {
        j->needs_index = j->is_all_watched;
        return;
    }
    glance(j, reply, show);
    glance_at_shown(j);
}

void index_read_live(struct fleet_jobs *j)
{
    char last[24];
    struct str args[] = { STR("ZRANGE"), STR(LIVE_JOBS), STR("0"), score_text(last, LIVE_MAX - 1) };

    if (!j->needs_index || j->is_indexing || j->all_heard != HEARD_ALL ||
        j->port->ops->command(j->port, STR(LIVE_JOBS), args, 4, live_read, j) != OK)
        return;
    j->needs_index = false;
    j->is_indexing = true;
}

/* Jobs of workers that are heard of no more */

static void judge_silence(struct fleet_jobs *j, struct update *u)
{
    int64_t now_ms = j->port->ops->wall_ms(j->port);
    struct change c;

    if (job_is_final(u->state))
        return;
    if (u->kind != JOB_EXTERNAL || u->time_ms + (int64_t)j->settings.report_ttl_ms > now_ms) {
        put(j, STR(LIVE_JOBS), u->text[TEXT_ID], u->time_ms);
        return;
    }
    change_init(&c);
    c.state = JOB_FAILED;
    c.text[TEXT_ERROR] = "Nothing was reported for too long";
    c.text[TEXT_MESSAGE] = "Error: Nothing was reported for too long";
    fleet_jobs_apply(j,
                     &(struct fleet_apply){
                         .id = u->text[TEXT_ID], .change = &c, .patience_ms = SWEEP_MS },
                     NULL, NULL);
}

/* What others work on is theirs to fail; of what is worked on here, whoever knows the work judges.
 */
static int64_t silence_ms(const struct fleet_jobs *j)
{
    return j->settings.report_ttl_ms < SILENT_MS ? (int64_t)j->settings.report_ttl_ms : SILENT_MS;
}

static void judge_work(struct fleet_jobs *j, struct update *u)
{
    int64_t now_ms = j->port->ops->wall_ms(j->port);

    if (u->kind == JOB_EXTERNAL || job_is_final(u->state) || u->time_ms + silence_ms(j) > now_ms)
        return;
    put(j, STR(LIVE_JOBS), u->text[TEXT_ID], now_ms); /* the next time those behind it */
    if (j->settings.silent != NULL)
        j->settings.silent(j->settings.context, u);
}

static void working_read(void *context, int err, const struct redis_reply *reply)
{
    if (err == OK && reply->type == REDIS_ARRAY)
        glance(context, reply, judge_work);
}

static void silent_read(void *context, int err, const struct redis_reply *reply)
{
    if (err == OK && reply->type == REDIS_ARRAY)
        glance(context, reply, judge_silence);
}

static void sweep(struct fleet_jobs *j)
{
    int64_t now_ms = j->port->ops->wall_ms(j->port);
    char silent[24], forgotten[24], count[24];
    struct str find[] = { STR("ZRANGEBYSCORE"),
                          STR(LIVE_JOBS),
                          STR("-inf"),
                          score_text(silent, now_ms - (int64_t)j->settings.report_ttl_ms),
                          STR("LIMIT"),
                          STR("0"),
                          score_text(count, SWEEP_JOBS) };
    struct str forget[] = { STR("ZREMRANGEBYSCORE"), STR(ALL_JOBS), STR("-inf"),
                            score_text(forgotten, now_ms - (int64_t)j->settings.job_ttl_ms -
                                                      (int64_t)j->settings.report_ttl_ms) };

    j->port->ops->command(j->port, STR(LIVE_JOBS), find, 7, silent_read, j);
    find[3] = score_text(silent, now_ms - silence_ms(j));
    j->port->ops->command(j->port, STR(LIVE_JOBS), find, 7, working_read, j);
    j->port->ops->command(j->port, STR(ALL_JOBS), forget, 4, NULL, NULL);
}

/* Any node may do it; each does. */
void index_tick(struct fleet_jobs *j, uint64_t now_ms)
{
    uint64_t every =
        j->settings.report_ttl_ms < SWEEP_MS ? j->settings.report_ttl_ms / 2 + 1 : SWEEP_MS;

    index_read_live(j);
    if (j->ledger == NULL || now_ms - j->swept_ms < every || !j->port->ops->is_up(j->port))
        return;
    j->swept_ms = now_ms;
    sweep(j);
}

/* GET /api/jobs */

struct listing {
    struct fleet_jobs *owner;
    struct viewer *viewer; /* one reference */
    int state;
    int64_t before_ms; /* the next page's ids are of this time or earlier ... */
    size_t skip;       /* ... behind so many */
    size_t max, count, wanted, pages;
    struct update *found[LIST_MAX];
    struct update *page[LIST_PAGE];
    size_t page_count;
    fleet_list_done *done;
    void *context;
};

struct listed {
    struct listing *of;
    size_t place;
};

static void list_page(struct listing *l);

static void list_end(struct listing *l, int err)
{
    l->done(l->context, err, l->found, err ? 0 : l->count);
    for (size_t i = 0; i < l->count; i++)
        update_unref(&l->found[i]);
    viewer_unref(&l->viewer);
    mem_free(l);
}

static bool is_listed(const struct listing *l, const struct update *u)
{
    return u != NULL && (l->state < 0 || (int)u->state == l->state) &&
           (l->viewer == NULL || viewer_may_see(l->viewer, u));
}

static void page_done(struct listing *l)
{
    for (size_t i = 0; i < l->page_count; i++) {
        if (l->count < l->max && is_listed(l, l->page[i]))
            l->found[l->count++] = update_ref(l->page[i]);
        update_unref(&l->page[i]);
    }
    if (l->count == l->max || l->page_count < LIST_PAGE || l->pages == LIST_PAGES)
        list_end(l, OK);
    else
        list_page(l);
}

static void one_listed(void *context, int err, struct update *u)
{
    struct listed *one = context;
    struct listing *l = one->of;

    if (err == OK)
        l->page[one->place] = update_ref(u);
    mem_free(one);
    if (--l->wanted == 0)
        page_done(l);
}

static void page_read(void *context, int err, const struct redis_reply *reply)
{
    struct listing *l = context;
    char id[JOB_ID_MAX + 1];

    if (err || reply->type != REDIS_ARRAY || reply->count > LIST_PAGE) {
        list_end(l, err ? err : FAIL_SYNTAX);
        return;
    }
    l->page_count = reply->count;
    l->skip += reply->count;
    l->wanted = 1; /* until all are asked for */
    for (size_t i = 0; i < reply->count; i++) {
        if (!job_id_is_valid(reply->items[i].text))
            continue;
        struct listed *one = mem_new(struct listed);
        one->of = l;
        one->place = i;
        l->wanted++;
        snprintf(id, sizeof(id), "%.*s", STR_ARG(reply->items[i].text));
        fleet_jobs_find(l->owner, id, one_listed, one);
    }
    if (--l->wanted == 0)
        page_done(l);
}

static void list_page(struct listing *l)
{
    char before[24], skip[24], count[24];
    struct str args[] = { STR("ZREVRANGEBYSCORE"),
                          STR(ALL_JOBS),
                          l->before_ms > 0 ? score_text(before, l->before_ms - 1) : STR("+inf"),
                          STR("-inf"),
                          STR("LIMIT"),
                          score_text(skip, (int64_t)l->skip),
                          score_text(count, LIST_PAGE) };
    struct fleet_port *port = l->owner->port;

    l->pages++;
    int err = port->ops->command(port, STR(ALL_JOBS), args, 7, page_read, l);
    if (err)
        list_end(l, err);
}

void fleet_jobs_list(struct fleet_jobs *j, const struct viewer *viewer, int state,
                     int64_t before_ms, size_t max, fleet_list_done *done, void *context)
{
    struct listing *l = mem_new(struct listing);

    l->owner = j;
    l->viewer = viewer != NULL ? viewer_ref((struct viewer *)viewer) : NULL;
    l->state = state;
    l->before_ms = before_ms;
    l->max = max < LIST_MAX ? max : LIST_MAX;
    l->done = done;
    l->context = context;
    list_page(l);
}
