/* Deliveries: taken by the one node that delivers, settled, listed, replayed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "fleet/hooks_room.h"
#include "fleet/keys.h"

enum {
    LEADER_MS = 10 * 1000,
    LOOK_MS = 3000, /* who delivers says so, and the others ask whether it is gone */
    SWEEP_ROWS = 500,
    TAKEN_FIELDS = 9,
    LISTED_FIELDS = 12,
    URLS_MAX = 64,
};

/* A question under way. */
struct query {
    struct fleet_hooks *hooks;
    fleet_hooks_taken *taken;
    fleet_hooks_listed *listed;
    fleet_hooks_done *done;
    void *context;
};

static struct query *query_new(struct fleet_hooks *h, void *context)
{
    struct query *q = mem_new(struct query);

    q->hooks = h;
    q->context = context;
    return q;
}

static char *copy(const struct redis_reply *row, size_t at)
{
    return mem_strndup(row->items[at].text.at ? row->items[at].text.at : "",
                       row->items[at].text.len);
}

static uint64_t number_at(const struct redis_reply *row, size_t at)
{
    uint64_t number = 0;

    str_parse_u64(row->items[at].text, INT64_MAX, &number);
    return number;
}

/* Rows of at least so many texts; others are passed over. */
static struct hook_delivery *read_rows(const struct redis_reply *reply, size_t from, size_t fields,
                                       struct hook_delivery (*read)(const struct redis_reply *row),
                                       size_t *count)
{
    struct hook_delivery *rows = mem_zalloc((reply->count + 1) * sizeof(*rows));

    *count = 0;
    for (size_t i = from; i < reply->count; i++)
        if (reply->items[i].type == REDIS_ARRAY && reply->items[i].count >= fields)
            rows[(*count)++] = read(&reply->items[i]);
    return rows;
}

/* Taking */

static struct hook_delivery taken_row(const struct redis_reply *row)
{
    return (struct hook_delivery){ .id = number_at(row, 0),
                                   .message = copy(row, 1),
                                   .job = copy(row, 2),
                                   .type = copy(row, 3),
                                   .url = copy(row, 4),
                                   .attempts = (uint32_t)number_at(row, 5),
                                   .created_ms = (int64_t)number_at(row, 6),
                                   .body = copy(row, 7),
                                   .round = (uint32_t)number_at(row, 8) };
}

/* Redis' clock says when something is due; a difference of clocks delays it by so much. */
static int64_t next_look(const struct fleet_hooks *h, const struct redis_reply *next)
{
    int64_t look_ms = h->port->ops->wall_ms(h->port) + LOOK_MS;
    double due_ms;

    if (next == NULL || str_parse_double(next->text, &due_ms) != OK)
        return look_ms;
    return due_ms < (double)look_ms ? (int64_t)due_ms : look_ms;
}

static void on_taken(void *context, int err, const struct redis_reply *reply)
{
    struct query *q = context;
    bool is_mine = err == OK && reply->type == REDIS_ARRAY && reply->count >= 2;

    if (err == OK && reply->type != REDIS_ARRAY)
        err = FAIL_SYNTAX;
    if (!is_mine) {
        q->taken(q->context, err, NULL, 0, next_look(q->hooks, NULL));
    } else {
        size_t count;
        struct hook_delivery *rows = read_rows(reply, 2, TAKEN_FIELDS, taken_row, &count);
        q->taken(q->context, OK, rows, count, next_look(q->hooks, &reply->items[1]));
        hook_deliveries_free(rows, count);
    }
    mem_free(q);
}

static const char *hash_of(const struct fleet_hooks *h, const char *url)
{
    for (size_t i = 0; i < h->settings.url_count; i++)
        if (strcmp(h->settings.urls[i], url) == 0)
            return h->hashes[i];
    return "";
}

void fleet_hooks_take(struct fleet_hooks *h, const char *url, size_t max, fleet_hooks_taken *done,
                      void *context)
{
    char lead[STR_U64_SIZE], most[STR_U64_SIZE], hold[STR_U64_SIZE];
    struct str args[] = {
        STR(HOOK_KEYS),          str_of(h->settings.node), str_of_u64(LEADER_MS, lead),
        str_of(hash_of(h, url)), str_of_u64(max, most),    str_of_u64(h->settings.hold_ms, hold)
    };
    struct query *q = query_new(h, context);

    q->taken = done;
    if (h->port->ops->run(h->port, &h->take, 1, args, 6, on_taken, q) == OK)
        return;
    mem_free(q);
    done(context, FAIL_CLOSED, NULL, 0, 0);
}

/* Settling and replaying */

static void on_settled(void *context, int err, const struct redis_reply *reply)
{
    struct query *q = context;

    if (err == OK && reply->type == REDIS_TEXT && str_equal(reply->text, STR("missing")))
        err = FAIL_MISSING;
    if (err == OK)
        q->hooks->settings.ring(q->hooks->settings.context);
    q->done(q->context, err);
    mem_free(q);
}

static void ask(struct fleet_hooks *h, const struct redis_script *script, const struct str *args,
                size_t count, fleet_hooks_done *done, void *context)
{
    struct query *q = query_new(h, context);

    q->done = done;
    if (h->port->ops->run(h->port, script, 1, args, count, on_settled, q) == OK)
        return;
    mem_free(q);
    done(context, FAIL_CLOSED);
}

void fleet_hooks_settle(struct fleet_hooks *h, const struct hook_result *r, fleet_hooks_done *done,
                        void *context)
{
    char id[STR_U64_SIZE], attempts[STR_U64_SIZE], status[STR_U64_SIZE], next[STR_U64_SIZE];
    char round[STR_U64_SIZE];
    struct str args[] = { STR(HOOK_KEYS),
                          str_of_u64(r->id, id),
                          str_of(hook_state_name(r->state)),
                          str_of_u64(r->attempts, attempts),
                          str_of_u64((uint64_t)r->status, status),
                          str_of(r->why),
                          str_of_u64((uint64_t)r->next_ms, next),
                          str_of_u64(r->round, round) };

    ask(h, &h->settle, args, 8, done, context);
}

void fleet_hooks_replay(struct fleet_hooks *h, uint64_t id, fleet_hooks_done *done, void *context)
{
    char text[STR_U64_SIZE];
    struct str args[2 + URLS_MAX];
    size_t count = 0;

    args[count++] = STR(HOOK_KEYS);
    args[count++] = str_of_u64(id, text);
    for (size_t i = 0; i < h->settings.url_count; i++)
        args[count++] = str_of(h->hashes[i]);
    ask(h, &h->replay, args, count, done, context);
}

/* Listing */

static struct hook_delivery listed_row(const struct redis_reply *row)
{
    struct hook_delivery d = { .id = number_at(row, 0),
                               .message = copy(row, 1),
                               .job = copy(row, 2),
                               .type = copy(row, 3),
                               .url = copy(row, 4),
                               .attempts = (uint32_t)number_at(row, 6),
                               .status = (int)number_at(row, 7),
                               .why = copy(row, 8),
                               .created_ms = (int64_t)number_at(row, 9),
                               .ended_ms = (int64_t)number_at(row, 10),
                               .next_ms = HOOK_HELD,
                               .body = mem_strdup("") };
    double next_ms;

    hook_state_parse(row->items[5].text, &d.state);
    if (str_parse_double(row->items[11].text, &next_ms) == OK)
        d.next_ms = (int64_t)next_ms;
    return d;
}

static void on_listed(void *context, int err, const struct redis_reply *reply)
{
    struct query *q = context;
    struct hook_delivery *rows = NULL;
    size_t count = 0;

    if (err == OK && reply->type != REDIS_ARRAY)
        err = FAIL_SYNTAX;
    if (err == OK)
        rows = read_rows(reply, 0, LISTED_FIELDS, listed_row, &count);
    q->listed(q->context, err, rows, count);
    hook_deliveries_free(rows, count);
    mem_free(q);
}

void fleet_hooks_list(struct fleet_hooks *h, const struct hook_query *query,
                      fleet_hooks_listed *done, void *context)
{
    char before[STR_U64_SIZE], most[STR_U64_SIZE];
    struct str args[] = { STR(HOOK_KEYS), str_of(query->job),
                          query->state < 0 ? STR("")
                                           : str_of(hook_state_name((enum hook_state)query->state)),
                          query->before > 0 ? str_of_u64(query->before, before) : STR(""),
                          str_of_u64(query->max, most) };
    struct query *q = query_new(h, context);

    q->listed = done;
    if (h->port->ops->run(h->port, &h->list, 1, args, 5, on_listed, q) == OK)
        return;
    mem_free(q);
    done(context, FAIL_CLOSED, NULL, 0);
}

void fleet_hooks_sweep(struct fleet_hooks *h, int64_t before_ms)
{
    char before[STR_U64_SIZE], most[STR_U64_SIZE];
    struct str args[] = { STR(HOOK_KEYS),
                          str_of_u64(before_ms > 0 ? (uint64_t)before_ms : 0, before),
                          str_of_u64(SWEEP_ROWS, most) };

    h->port->ops->run(h->port, &h->sweep, 1, args, 3, NULL, NULL);
}
