/*   due --> an attempt: a request --> its result is settled --> gone, and the next one is due
 *
 * At most HOOK_PARALLEL attempts there are at a time. One whose result could not be
 * settled (the disk has trouble) stays, and is settled later: it is not due meanwhile.
 * One that is settled while the queue is asked stays until it has answered: that may be
 * of a moment before. By its round and the count of attempts it shows whether it is of before or
 * of behind: what is of behind is to be tried, for a queue that several share gives it only once.
 */
#include "hooks/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/counters.h"
#include "hooks/event.h"
#include "hooks/hooks.h"
#include "hooks/schedule.h"

enum {
    ANSWER_MAX = 64 * 1024, /* nobody reads it */
    SIGNATURE_MAX = 1024,
    UNSETTLED_MS = 1000,
    IDLE_MOST_MS = 60 * 1000,
    GONE = 410,
};

struct attempt {
    struct attempt *prev, *next;
    struct target *target;
    struct hook_delivery delivery;
    struct fetch *fetch; /* NULL once it was answered */
    struct hook_result result;
    char why[HOOK_WHY_MAX];
    bool is_unsettled; /* and nobody is asked to */
    bool is_over;
};

struct target {
    struct target_tools *tools;
    char *url;
    struct buf shown;
    uv_timer_t timer;
    struct attempt *attempts;
    size_t count; /* of those that are not over */
    bool is_asking, is_rung, is_closing;
    int64_t next_ms;
};

static void pump(struct target *t);

static void attempt_free(struct attempt *a)
{
    DL_DELETE(a->target->attempts, a);
    hook_delivery_deinit(&a->delivery);
    mem_free(a);
}

static void on_time(uv_timer_t *timer);

/* For what is due later, and for what could not be settled. */
static void set_timer(struct target *t)
{
    int64_t wait_ms = t->next_ms == HOOK_HELD ? IDLE_MOST_MS : t->next_ms - clock_wall_ms();
    struct attempt *a;

    wait_ms = wait_ms < 1 ? 1 : wait_ms > IDLE_MOST_MS ? IDLE_MOST_MS : wait_ms;
    DL_FOREACH(t->attempts, a)
    if (a->is_unsettled && wait_ms > UNSETTLED_MS)
        wait_ms = UNSETTLED_MS;
    uv_timer_start(&t->timer, on_time, (uint64_t)wait_ms, 0);
}

/* What came of it */

static void settled(void *context, int err)
{
    struct attempt *a = context;
    struct target *t = a->target;

    if (err != OK) {
        a->is_unsettled = true;
        set_timer(t);
        return;
    }
    t->count--;
    a->is_over = true;
    if (!t->is_asking)
        attempt_free(a);
    pump(t);
}

static void settle(struct attempt *a)
{
    struct target_tools *tools = a->target->tools;

    a->is_unsettled = false;
    tools->queue->ops->settle(tools->queue, &a->result, settled, a);
}

/* The head of an answer says it all; what becomes of its body is of no concern. */
static void judge(struct attempt *a, const struct fetch_answer *answer)
{
    struct target_tools *tools = a->target->tools;
    struct hook_result *r = &a->result;
    int status = answer->head_status;
    uint64_t wait_ms;

    *r = (struct hook_result){ .id = a->delivery.id,
                               .round = a->delivery.round,
                               .attempts = a->delivery.attempts + 1,
                               .status = status,
                               .now_ms = clock_wall_ms(),
                               .why = a->why };
    if (status >= 200 && status <= 299) {
        r->state = HOOK_DELIVERED;
        return;
    }
    if (status == 0)
        snprintf(a->why, sizeof(a->why), "%s", answer->why);
    else if (status >= 300 && status <= 399)
        snprintf(a->why, sizeof(a->why), "answered %d: redirects are not followed", status);
    else
        snprintf(a->why, sizeof(a->why), "answered %d", status);
    if (status != GONE &&
        hook_schedule(r->attempts, tools->retry_ms, answer->err ? 0 : answer->retry_after_s,
                      random_u64(), &wait_ms))
        r->next_ms = r->now_ms + (int64_t)wait_ms;
    else
        r->state = HOOK_GIVEN_UP;
}

static void tell(const struct attempt *a)
{
    const struct hook_result *r = &a->result;
    const struct hook_delivery *d = &a->delivery;

    counter_add(r->state == HOOK_DELIVERED ? COUNT_WEBHOOKS_DELIVERED
                : r->state == HOOK_PENDING ? COUNT_WEBHOOKS_FAILED
                                           : COUNT_WEBHOOKS_GIVEN_UP,
                1);
    if (r->state == HOOK_DELIVERED)
        log_debug("webhook_delivered", LOG_S("job", d->job), LOG_S("type", d->type),
                  LOG_S("url", buf_text(&a->target->shown)), LOG_I("attempts", r->attempts));
    else
        log_warn(r->state == HOOK_PENDING ? "webhook_failed" : "webhook_given_up",
                 LOG_S("job", d->job), LOG_S("type", d->type),
                 LOG_S("url", buf_text(&a->target->shown)), LOG_I("attempts", r->attempts),
                 LOG_S("why", a->why));
}

static void answered(void *context, const struct fetch_answer *answer)
{
    struct attempt *a = context;

    a->fetch = NULL;
    judge(a, answer);
    tell(a);
    settle(a);
}

/* An attempt */

static void post(struct attempt *a)
{
    struct target *t = a->target;
    const struct hook_delivery *d = &a->delivery;
    int64_t now_s = clock_wall_ms() / 1000;
    char timestamp[24];
    struct buf signature;

    snprintf(timestamp, sizeof(timestamp), "%" PRId64, now_s);
    buf_init(&signature, SIGNATURE_MAX);
    webhook_sign(&t->tools->secrets, d->message, now_s, str_of(d->body), &signature);
    const struct fetch_header headers[] = {
        { "webhook-id", d->message },
        { "webhook-timestamp", timestamp },
        { "webhook-signature", buf_text(&signature) },
        { "User-Agent", "reelay/" REELAY_VERSION },
    };
    a->fetch =
        fetch_start(t->tools->fetcher, &(struct fetch_request){
                                           .method = "POST",
                                           .url = t->url,
                                           .content_type = "application/json",
                                           .body = str_of(d->body),
                                           .headers = headers,
                                           .header_count = sizeof(headers) / sizeof(*headers),
                                           .answer_max = ANSWER_MAX,
                                           .timeout_ms = t->tools->timeout_ms,
                                           .done = answered,
                                           .context = a,
                                       });
    buf_deinit(&signature);
}

static bool is_under_way(const struct target *t, const struct hook_delivery *d)
{
    const struct attempt *a;

    DL_FOREACH(t->attempts, a)
    if (a->delivery.id == d->id && a->delivery.round == d->round &&
        a->delivery.attempts == d->attempts)
        return true;
    return false;
}

static void begin(struct target *t, struct hook_delivery *d)
{
    struct attempt *a = mem_new(struct attempt);

    a->target = t;
    a->delivery = *d;
    *d = (struct hook_delivery){ .id = d->id };
    DL_APPEND(t->attempts, a);
    t->count++;
    post(a);
}

static void forget_over(struct target *t)
{
    struct attempt *a, *next;

    DL_FOREACH_SAFE(t->attempts, a, next)
    if (a->is_over)
        attempt_free(a);
}

static void taken(void *context, int err, struct hook_delivery *rows, size_t count, int64_t next_ms)
{
    struct target *t = context;

    t->is_asking = false;
    if (err != OK)
        next_ms = clock_wall_ms() + UNSETTLED_MS;
    for (size_t i = 0; err == OK && i < count && t->count < HOOK_PARALLEL; i++)
        if (!is_under_way(t, &rows[i]))
            begin(t, &rows[i]);
    forget_over(t);
    t->next_ms = next_ms;
    if (t->is_rung)
        pump(t);
    else
        set_timer(t);
}

static void pump(struct target *t)
{
    struct target_tools *tools = t->tools;

    t->is_rung = t->is_asking;
    if (t->is_closing || t->is_asking || t->count >= HOOK_PARALLEL)
        return;
    t->is_asking = true;
    tools->queue->ops->due(tools->queue, t->url, HOOK_PARALLEL - t->count, taken, t);
}

static void on_time(uv_timer_t *timer)
{
    struct target *t = timer->data;
    struct attempt *a, *next;

    DL_FOREACH_SAFE(t->attempts, a, next)
    if (a->is_unsettled)
        settle(a);
    pump(t);
}

void target_ring(struct target *t)
{
    pump(t);
}

struct target *target_open(struct target_tools *tools, const char *url)
{
    struct target *t = mem_new(struct target);

    t->tools = tools;
    t->url = mem_strdup(url);
    t->next_ms = HOOK_HELD;
    buf_init(&t->shown, 4096);
    hook_url_show(url, &t->shown);
    uv_timer_init(tools->loop, &t->timer);
    uv_unref((uv_handle_t *)&t->timer);
    t->timer.data = t;
    pump(t);
    return t;
}

void target_close(struct target *t)
{
    struct attempt *a;

    t->is_closing = true;
    uv_close((uv_handle_t *)&t->timer, NULL);
    DL_FOREACH(t->attempts, a)
    if (a->fetch != NULL) {
        fetch_cancel(a->fetch);
        a->fetch = NULL;
    }
}

void target_free(struct target *t)
{
    while (t->attempts != NULL)
        attempt_free(t->attempts);
    buf_deinit(&t->shown);
    mem_free(t->url);
    mem_free(t);
}
