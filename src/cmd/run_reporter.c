#include "cmd/run_reporter.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"

enum {
    PAUSE_MS = 250,
    ATTEMPT_MS = 10 * 1000,    /* without an answer: try again */
    BACKOFF_MAX_MS = 5 * 1000, /* while the command runs, */
    BACKOFF_END_MAX_MS = 1000, /* and behind its end */
    GRACE_MS = 1000,           /* for what is under way when the command ends */
};

static void step(struct run_reporter *r);

static void on_timer(uv_timer_t *timer)
{
    step(timer->data);
}

void run_reporter_init(struct run_reporter *r, struct run_target *target, const char *id,
                       uv_loop_t *loop)
{
    *r = (struct run_reporter){ .target = target, .id = id };
    uv_timer_init(loop, &r->timer);
    r->timer.data = r;
}

void run_reporter_deinit(struct run_reporter *r)
{
    r->target->ops->cancel(r->target);
    uv_close((uv_handle_t *)&r->timer, NULL);
}

static void wake_at(struct run_reporter *r, uint64_t when_ms, uint64_t now_ms)
{
    if (r->has_ended && when_ms > r->deadline_ms)
        when_ms = r->deadline_ms;
    uv_update_time(r->timer.loop);
    uv_timer_start(&r->timer, on_timer, when_ms > now_ms ? when_ms - now_ms : 1, 0);
}

static void complain(struct run_reporter *r, const char *why, const char *and_now)
{
    if (why != r->why)
        snprintf(r->why, sizeof(r->why), "%s", why);
    if (r->has_complained)
        return;
    r->has_complained = true;
    fprintf(stderr, "reelay run: %s%s\n", why, and_now);
}

static void failed(struct run_reporter *r, const char *why, uint64_t now_ms)
{
    uint64_t most = r->has_ended ? BACKOFF_END_MAX_MS : BACKOFF_MAX_MS;

    r->has_news = true;
    r->next_ms = now_ms + client_backoff_ms(r->attempt++, most, random_u64());
    complain(r, why, "; the command goes on and this is tried again");
}

static void refused(struct run_reporter *r, const char *why)
{
    r->is_refused = true;
    complain(r, why, "; the command goes on without being reported");
}

static void on_answer(void *context, const struct run_answer *answer)
{
    struct run_reporter *r = context;
    uint64_t now_ms = clock_mono_ms();
    bool was_end = r->is_sending_end;

    r->is_sending = r->is_sending_end = false;
    if (answer->reply == RUN_TOLD) {
        r->attempt = 0;
        r->next_ms = r->has_ended ? now_ms : r->sent_ms + PAUSE_MS;
    } else if (answer->reply == RUN_AGAIN) {
        failed(r, answer->why, now_ms);
        if (r->has_ended && !was_end)
            r->next_ms = now_ms;
    } else {
        refused(r, answer->why);
    }
    if (was_end && answer->reply != RUN_AGAIN)
        r->is_done = true;
    step(r);
}

/* Until when the one under way may take. */
static uint64_t patience_ms(const struct run_reporter *r)
{
    uint64_t until = r->sent_ms + ATTEMPT_MS;

    if (!r->has_ended)
        return until;
    if (!r->is_sending_end && until > r->ended_ms + GRACE_MS)
        until = r->ended_ms + GRACE_MS;
    return until < r->deadline_ms ? until : r->deadline_ms;
}

static void cut_off(struct run_reporter *r, uint64_t now_ms)
{
    bool was_end = r->is_sending_end;

    r->target->ops->cancel(r->target);
    r->is_sending = r->is_sending_end = false;
    failed(r, r->attempt > 0 ? r->why : "the server does not answer", now_ms);
    if (r->has_ended && !was_end)
        r->next_ms = now_ms;
}

static void send_latest(struct run_reporter *r, uint64_t now_ms)
{
    r->has_news = false;
    r->is_sending = true;
    r->is_sending_end = r->has_ended;
    r->sent_ms = now_ms;
    r->target->ops->tell(r->target, r->id, &r->latest, on_answer, r);
    wake_at(r, patience_ms(r), now_ms);
}

static void step(struct run_reporter *r)
{
    uint64_t now_ms = clock_mono_ms();

    uv_timer_stop(&r->timer);
    if (r->is_done)
        return;
    if (r->is_sending) {
        if (now_ms < patience_ms(r)) {
            wake_at(r, patience_ms(r), now_ms);
            return;
        }
        cut_off(r, now_ms);
    }
    if (r->has_ended && now_ms >= r->deadline_ms) {
        run_reporter_give_up(r);
        return;
    }
    if (!r->has_news || (r->is_refused && !r->has_ended))
        return;
    if (now_ms < r->next_ms)
        wake_at(r, r->next_ms, now_ms);
    else
        send_latest(r, now_ms);
}

void run_reporter_tell(struct run_reporter *r, const struct run_report *report)
{
    r->latest = *report;
    r->has_news = true;
    step(r);
}

void run_reporter_end(struct run_reporter *r, const struct run_report *report, uint64_t timeout_ms)
{
    r->latest = *report;
    r->has_news = r->has_ended = true;
    r->attempt = 0;
    r->ended_ms = r->next_ms = clock_mono_ms();
    r->deadline_ms = r->ended_ms + timeout_ms;
    step(r);
}

void run_reporter_give_up(struct run_reporter *r)
{
    if (r->is_done)
        return;
    r->target->ops->cancel(r->target);
    uv_timer_stop(&r->timer);
    r->is_sending = r->is_sending_end = false;
    r->is_done = true;
    fprintf(stderr, "reelay run: how the command ended could not be reported%s%s\n",
            r->why[0] ? ": " : "", r->why);
}
