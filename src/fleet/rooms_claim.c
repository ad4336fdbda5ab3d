/* Clients that come back, and what Redis knows of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/job.h"
#include "fleet/keys.h"
#include "fleet/rooms_internal.h"

/* What Redis answers. */
enum { ANSWER_TOKEN, ANSWER_PREVIOUS, ANSWER_SID, ANSWER_JOBS };

/* Strangers say which: only what was given by a node gets near a key. */
static bool is_pid(const char *pid)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    return strlen(pid) == FLEET_PID_SIZE - 1 && strspn(pid, letters) == FLEET_PID_SIZE - 1;
}

static void settle(struct claim *c, const struct fleet_rooms_found *found)
{
    struct fleet_rooms *r = c->owner;

    DL_DELETE(r->claims, c);
    r->claim_count--;
    c->is_settled = true;
    c->number = found != NULL ? found->number : 0;
    c->done(c->context, found);
    if (!c->is_sent)
        mem_free(c);
}

static void list_jobs(const struct guest *g, struct buf *list, size_t *count)
{
    for (const struct room *room = g->rooms; room != NULL; room = room->hh.next) {
        if (room->is_parted)
            continue;
        buf_append(list, room->job, strlen(room->job) + 1);
        ++*count;
    }
}

static void give(struct claim *c, struct guest *g)
{
    struct fleet_rooms_found found = { .number = guest_hold(g) };
    struct buf jobs;

    buf_init(&jobs, SIZE_MAX / 2);
    list_jobs(g, &jobs, &found.count);
    found.jobs = buf_text(&jobs);
    memcpy(found.sid, g->sid, sizeof(found.sid));
    settle(c, &found);
    buf_deinit(&jobs);
}

/* Known here, and this subject's. */
static struct guest *own(const struct claim *c)
{
    struct guest *g = guest_find(c->owner, c->pid);

    return g != NULL && !g->is_over && strcmp(g->subject, c->subject) == 0 ? g : NULL;
}

/* Redis does not say. */
static void settle_alone(struct claim *c)
{
    struct guest *g = own(c);

    if (g != NULL)
        give(c, g);
    else
        settle(c, NULL);
}

static struct str text_at(const struct redis_reply *reply, size_t i)
{
    bool is_text = i < reply->count && reply->items[i].type == REDIS_TEXT;

    return is_text ? reply->items[i].text : STR("");
}

static uint64_t number_at(const struct redis_reply *reply, size_t i)
{
    uint64_t number = 0;

    return str_parse_u64(text_at(reply, i), UINT64_MAX, &number) == OK ? number : 0;
}

static struct guest *read_guest(struct claim *c, const struct redis_reply *reply)
{
    char sid[FLEET_SID_SIZE];

    snprintf(sid, sizeof(sid), "%.*s", STR_ARG(text_at(reply, ANSWER_SID)));
    struct guest *g = guest_add(c->owner, c->pid, sid, c->subject);
    g->token = number_at(reply, ANSWER_TOKEN);
    for (size_t i = ANSWER_JOBS; i < reply->count; i++) {
        struct str job = text_at(reply, i);
        struct room *room = job_id_is_valid(job) ? guest_add_room(g, job) : NULL;
        if (room != NULL)
            room->is_told = true;
    }
    return g;
}

/* The client as it is known now, or NULL. Whoever had it last knows it best: this node,
 * if nobody has claimed it since, else Redis. */
static struct guest *judge(struct claim *c, const struct redis_reply *reply)
{
    struct guest *g = guest_find(c->owner, c->pid);
    uint64_t previous = number_at(reply, ANSWER_PREVIOUS);
    bool is_given = reply->count >= ANSWER_JOBS;

    if (g != NULL && previous > g->token) {
        guest_remove(g);
        g = NULL;
    }
    if (g == NULL)
        return is_given ? read_guest(c, reply) : NULL;
    g = own(c);
    if (g == NULL)
        return NULL;
    bool is_behind = !is_given || previous < g->token;
    g->token = number_at(reply, ANSWER_TOKEN);
    if (is_behind)
        guest_tell_all(g);
    return g;
}

/* It was settled without Redis, which has given a token meanwhile. */
static void catch_up(const struct claim *c, const struct redis_reply *reply)
{
    struct guest *g = own(c);
    uint64_t token = number_at(reply, ANSWER_TOKEN);

    if (g == NULL || c->number == 0 || g->holder != c->number || g->token >= token)
        return;
    g->token = token;
    guest_tell_all(g);
}

static void on_reply(void *context, int err, const struct redis_reply *reply)
{
    struct claim *c = context;
    bool is_good = err == OK && reply->type == REDIS_ARRAY;

    c->is_sent = false;
    if (c->is_settled) {
        if (is_good)
            catch_up(c, reply);
        mem_free(c);
        return;
    }
    if (!is_good)
        return; /* asked again at the next tick, while it has time */
    struct guest *g = judge(c, reply);
    if (g != NULL)
        give(c, g);
    else
        settle(c, NULL);
}

static void ask(struct claim *c)
{
    struct fleet_rooms *r = c->owner;
    struct fleet_key key = fleet_key_room(c->pid);
    char ttl[24];

    snprintf(ttl, sizeof(ttl), "%" PRIu32, rooms_kept_ms(r));
    struct str args[] = { fleet_key_str(&key), str_of(c->subject), str_of(ttl) };
    c->is_sent = r->port->ops->run(r->port, &r->claim, 1, args, 3, on_reply, c) == OK;
}

void claims_run(struct fleet_rooms *r)
{
    bool is_up = r->port->ops->is_up(r->port);
    uint64_t now_ms = rooms_now(r);
    struct claim *c, *next;

    DL_FOREACH_SAFE(r->claims, c, next)
    if (now_ms >= c->deadline_ms)
        settle_alone(c);
    else if (is_up && !c->is_sent)
        ask(c);
}

void claims_end(struct fleet_rooms *r)
{
    while (r->claims != NULL)
        settle(r->claims, NULL);
}

void fleet_rooms_claim(struct fleet_rooms *r, const char *pid, const char *subject,
                       fleet_rooms_done *done, void *context)
{
    size_t len = strlen(subject);

    if (r->is_closed || !is_pid(pid) || r->claim_count >= r->settings.claims_max) {
        done(context, NULL);
        return;
    }
    struct claim *c = mem_zalloc(sizeof(*c) + len + 1);
    c->owner = r;
    c->done = done;
    c->context = context;
    c->deadline_ms = rooms_now(r) + r->settings.patience_ms;
    memcpy(c->pid, pid, FLEET_PID_SIZE);
    memcpy(c->subject, subject, len);
    DL_APPEND(r->claims, c);
    r->claim_count++;
    if (r->port->ops->is_up(r->port))
        ask(c);
    else if (own(c) != NULL)
        settle_alone(c);
}
