#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/job.h"
#include "fleet/keys.h"
#include "fleet/work.h"
#include "fleet/work_internal.h"

static struct str wake_channel(void)
{
    return STR(FLEET_WORK "wake");
}

static struct str own_channel(const struct fleet_work *w, char room[FLEET_KEY_MAX])
{
    int len = snprintf(room, FLEET_KEY_MAX, FLEET_WORK "worker:%s", w->node);

    return (struct str){ room, (size_t)len };
}

/* Events. */

void work_lose(struct fleet_work *w, struct work_lease *l)
{
    l->priority = 0; /* also what is wanted of it still may not put it back */
    if (!l->is_ours)
        return;
    l->is_ours = false;
    if (w->events != NULL)
        w->events->lost(w->context, l->job, l->token);
}

void work_tell_cancel(struct fleet_work *w, struct work_lease *l)
{
    if (!l->is_ours || l->is_cancelled)
        return;
    l->is_cancelled = true;
    if (w->events != NULL)
        w->events->cancel(w->context, l->job, l->token);
}

/* "JOB TOKEN" */
static void on_cancel(struct fleet_work *w, struct str message)
{
    struct str job = str_cut(&message, ' ');
    struct work_lease *l;
    uint64_t token;

    if (str_parse_u64(message, UINT64_MAX, &token) != OK)
        return;
    l = work_lease_find(w, job, token);
    if (l != NULL)
        work_tell_cancel(w, l);
}

void fleet_work_push(struct fleet_work *w, const struct redis_push *push)
{
    char room[FLEET_KEY_MAX];

    if (push->pattern.at != NULL)
        return;
    if (str_equal(push->channel, wake_channel()))
        work_claim(w);
    else if (str_equal(push->channel, own_channel(w, room)))
        on_cancel(w, push->message);
}

/* Claiming. */

static uint32_t count_ours(const struct fleet_work *w)
{
    const struct work_lease *l;
    uint32_t count = 0;

    DL_FOREACH(w->leases, l)
    count += l->is_ours;
    return count;
}

static void lose_older(struct fleet_work *w, struct str job, uint64_t token)
{
    struct work_lease *l;

    DL_FOREACH(w->leases, l)
    if (l->is_ours && l->token != token && str_equal(str_of(l->job), job))
        work_lose(w, l);
}

static char *copy(const struct redis_reply *item, size_t i)
{
    struct str field = work_field(item, i);

    return mem_strndup(field.at, field.len);
}

/* An item of what work_claim.lua answers. */
static struct work_lease *receive(struct fleet_work *w, const struct work_call *c,
                                  const struct redis_reply *item)
{
    char job[JOB_ID_MAX + 1];
    struct str name = work_field(item, 0);
    struct work_lease *l;

    memcpy(job, name.at, name.len);
    job[name.len] = '\0';
    l = work_lease_new(w, job, work_number(item, 1));
    l->attempt = (uint32_t)work_number(item, 2);
    l->is_cancelled = work_number(item, 4) == 1;
    l->step = copy(item, 5);
    l->spec = copy(item, 6);
    l->why = copy(item, 7);
    l->chunks = (uint32_t)work_number(item, 8);
    l->priority = (uint8_t)work_number(item, 9);
    l->is_over = work_number(item, 10) == 1;
    l->is_ours = true;
    /* Since it was asked for: an answer that was long under way is renewed at once. */
    l->beat_ms = c->asked_ms + w->settings.lease_ms / 3;
    work_lease_sure(l, c);
    return l;
}

static void give(struct fleet_work *w, const struct work_call *c, const struct redis_reply *item)
{
    struct work_lease *l;

    if (!job_id_is_valid(work_field(item, 0)))
        return;
    lose_older(w, work_field(item, 0), work_number(item, 1));
    l = receive(w, c, item);
    if (count_ours(w) > w->slots) {
        /* Asked for when there was room for it. */
        fleet_work_release(w, l->job, l->token, NULL, NULL);
        return;
    }
    struct fleet_lease lease = {
        .token = l->token,
        .attempt = l->attempt,
        .is_takeover = work_number(item, 3) == 1,
        .is_cancelled = l->is_cancelled,
        .is_exhausted = l->attempt > w->settings.attempts_max,
        .step = l->step,
        .spec = l->spec,
        .why = l->why,
    };
    memcpy(lease.job, l->job, sizeof(lease.job));
    w->events->claimed(w->context, &lease);
}

static void on_claimed(struct work_call *c, int err, const struct redis_reply *reply)
{
    struct fleet_work *w = c->work;
    bool is_woken = w->is_woken;
    size_t count = err == OK && reply->type == REDIS_ARRAY ? reply->count : 0;

    w->is_claiming = w->is_woken = false;
    if (w->events == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        give(w, c, &reply->items[i]);
    if (count > 0 || (err == OK && is_woken))
        work_claim(w);
}

/* `free`: 0 says goodbye. */
static void ask_for(struct fleet_work *w, uint32_t free)
{
    struct work_args args = { .count = 0 };

    w->is_claiming = true;
    w->is_known = free > 0;
    w->claim_ms = work_now(w) + WORK_CHECK_MS;
    work_arg(&args, w->node);
    work_arg_number(&args, free < WORK_CLAIM_MAX ? free : WORK_CLAIM_MAX);
    work_arg_number(&args, w->settings.lease_ms);
    work_arg_number(&args, work_now(w) >= w->patience_ms);
    work_ask(work_call_new(w, on_claimed), WORK_CLAIM, "", &args);
}

void work_claim(struct fleet_work *w)
{
    uint32_t held;

    if (w->events == NULL || !w->port->ops->is_up(w->port))
        return;
    if (w->is_claiming) {
        w->is_woken = true;
        return;
    }
    held = count_ours(w);
    if (held < w->slots)
        ask_for(w, w->slots - held);
    else if (w->slots == 0 && w->is_known && w->leases == NULL)
        ask_for(w, 0);
}

void fleet_work_serve(struct fleet_work *w, uint32_t slots,
                      const struct fleet_worker_events *events, void *context)
{
    struct fleet_port *port = w->port;
    char room[FLEET_KEY_MAX];

    w->events = events;
    w->context = context;
    w->slots = slots;
    if (slots > 0 && !w->is_subscribed) {
        port->ops->subscribe(port, wake_channel(), REDIS_CHANNEL);
        port->ops->subscribe(port, own_channel(w, room), REDIS_CHANNEL);
        w->is_subscribed = true;
    }
    work_claim(w);
}

void work_serve_end(struct fleet_work *w)
{
    struct fleet_port *port = w->port;
    char room[FLEET_KEY_MAX];

    w->events = NULL;
    if (!w->is_subscribed)
        return;
    port->ops->unsubscribe(port, wake_channel(), REDIS_CHANNEL);
    port->ops->unsubscribe(port, own_channel(w, room), REDIS_CHANNEL);
}
