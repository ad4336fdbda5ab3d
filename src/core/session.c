#include "core/session.h"

#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "base/mem.h"
#include "core/counters.h"
#include "core/limits.h"
#include "core/topic.h"
#include "proto/ws.h"

/* Messages on their way into the sink in one call, each with what is to be
 * noted once it was taken. */
enum { BATCH_MAX = 64 };

struct batch {
    struct session *session;
    unsigned count;
    struct msg *messages[BATCH_MAX];
    uint64_t *marks[BATCH_MAX]; /* where to note ... */
    uint64_t values[BATCH_MAX]; /* ... this, or NULL */
    uint64_t *refused;          /* the mark of the first that was not taken, or NULL */
};

void session_open(struct session *s, struct hub *hub, const struct dialect *dialect,
                  struct sink *sink, enum framing framing, struct viewer *viewer)
{
    *s = (struct session){ .hub = hub, .dialect = dialect, .sink = sink };
    s->viewer = viewer_ref(viewer);
    s->sees_all = viewer->sees_all;
    s->framing = (uint8_t)framing;
    s->spoke_ms = hub->now_ms;
    hub_join(hub, s);
    counter_session(dialect, 1);
}

static void drop_replies(struct session *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        msg_unref(&s->replies[i]);
    s->reply_count = (uint8_t)(s->reply_count - count);
    if (s->reply_count > 0) {
        memmove(s->replies, s->replies + count, s->reply_count * sizeof(*s->replies));
        return;
    }
    mem_free(s->replies);
    s->replies = NULL;
}

void session_set_framing(struct session *s, enum framing framing)
{
    assert(s->reply_count == 0); /* those are framed already */
    s->framing = (uint8_t)framing;
}

void session_close(struct session *s)
{
    while (s->subscriptions != NULL)
        hub_drop_subscription(s->hub, s->subscriptions);
    if (s->replies != NULL)
        drop_replies(s, s->reply_count);
    hub_leave(s->hub, s);
    viewer_unref(&s->viewer);
    counter_session(s->dialect, -1);
    s->is_closed = true;
}

/* False: the sink is blocked, stop. */
static bool batch_send(struct batch *b)
{
    struct session *s = b->session;

    if (b->count == 0)
        return !s->is_blocked;
    unsigned taken = s->sink->ops->send(s->sink, b->messages, b->count);
    for (unsigned i = 0; i < taken; i++)
        if (b->marks[i] != NULL)
            *b->marks[i] = b->values[i];
    s->is_blocked = taken < b->count;
    b->refused = s->is_blocked ? b->marks[taken] : NULL;
    if (taken > 0) {
        s->spoke_ms = s->hub->now_ms;
        counter_add(COUNT_DELIVERIES, taken);
    }
    b->count = 0;
    return !s->is_blocked;
}

static bool batch_add(struct batch *b, struct msg *message, uint64_t *mark, uint64_t value)
{
    if (b->count == BATCH_MAX && !batch_send(b))
        return false;
    b->messages[b->count] = message;
    b->marks[b->count] = mark;
    b->values[b->count] = value;
    b->count++;
    return true;
}

static bool add_update(struct batch *b, struct update *u, uint64_t *mark, uint64_t value)
{
    struct session *s = b->session;
    struct msg *m = NULL;

    if (s->sees_all || viewer_may_see(s->viewer, u))
        m = frames_of(u, s->dialect, (enum framing)s->framing);
    return m == NULL || batch_add(b, m, mark, value);
}

static bool send_replies(struct session *s)
{
    if (s->reply_count == 0)
        return true;
    unsigned taken = s->sink->ops->send(s->sink, s->replies, s->reply_count);
    s->is_blocked = taken < s->reply_count;
    s->spoke_ms = s->hub->now_ms;
    drop_replies(s, taken);
    return !s->is_blocked;
}

/* The topic's chain of this tick. A queue of marks may name one subscription
 * several times; they are noted in order, so the last one stays. */
static bool add_steps_of(struct batch *b, struct subscription *sub)
{
    const struct hub *h = b->session->hub;

    for (int i = sub->topic->first_entry; i >= 0; i = h->log[i].next) {
        struct update *u = h->log[i].update;
        if (u->seq > sub->seq && !add_update(b, u, &sub->seq, u->seq))
            return false;
    }
    return true;
}

static bool add_all_steps(struct batch *b)
{
    struct session *s = b->session;
    struct hub *h = s->hub;

    for (int i = 0; i < h->log_count; i++) {
        const struct hub_entry *e = &h->log[i];
        if (e->count > s->all_seen && !add_update(b, e->update, &s->all_seen, e->count))
            return false;
    }
    return true;
}

static struct update *present_of(const struct subscription *sub)
{
    struct update *mailed = sub->topic->latest;

    if (mailed == NULL || (sub->present != NULL && sub->present->seq > mailed->seq))
        return sub->present;
    return mailed;
}

/* What began while this subscription was behind, if its dialect cares. */
static struct update *missed_start(const struct subscription *sub)
{
    struct update *start = sub->topic->start;

    if (!sub->session->dialect->tells_starts || start == NULL || start->seq <= sub->seq)
        return NULL;
    return sub->present == NULL || sub->present->seq < start->seq ? start : NULL;
}

static bool add_present_of(struct batch *b, struct subscription *sub)
{
    struct update *u = present_of(sub);

    if (u == NULL || u->seq <= sub->seq)
        return true;
    struct update *start = missed_start(sub);
    if (start != NULL && start->seq < u->seq && !add_update(b, start, &sub->seq, start->seq))
        return false;
    return add_update(b, u, &sub->seq, u->seq);
}

static bool add_jobs(struct batch *b)
{
    struct session *s = b->session;
    struct subscription *sub;

    DL_FOREACH2(s->subscriptions, sub, session_next)
    if (!(s->is_behind || sub->is_behind ? add_present_of(b, sub) : add_steps_of(b, sub)))
        return false;
    return true;
}

/* What ended before this session came is not news to it. */
static bool is_news(const struct session *s, const struct topic *t)
{
    return t->latest != NULL && t->changed > s->all_seen &&
           (t->changed > s->all_joined || t->latest->state == JOB_PROCESSING);
}

static bool add_all_present(struct batch *b)
{
    struct session *s = b->session;
    struct topic *last =
        s->hub->recent ? s->hub->recent->prev : NULL; /* utlist: head->prev is the tail */
    struct topic *t = last;

    if (t == NULL)
        return true;
    while (t != s->hub->recent && t->prev->changed > s->all_seen)
        t = t->prev;
    for (; t; t = t->next)
        if (is_news(s, t) && !add_update(b, t->latest, &s->all_seen, t->changed))
            return false;
    return true;
}

/* What a session was spared (rendered to nothing, not its own) is noted too, so
 * that it counts as seen: only once everything before it was taken. */
static void note_all_seen(struct session *s)
{
    struct hub *h = s->hub;
    struct subscription *sub;

    s->is_behind = false;
    if (s->hears_all)
        s->all_seen = h->published;
    else
        DL_FOREACH2(s->subscriptions, sub, session_next)
        {
            struct update *u = present_of(sub);
            if (u != NULL && u->seq > sub->seq)
                sub->seq = u->seq;
            update_unref(&sub->present);
            sub->is_behind = false;
        }
}

/* Everything is sent, and nothing will follow what was sent last. */
static bool has_ended(const struct session *s)
{
    const struct subscription *sub;

    if (!s->dialect->ends_with_job || s->hears_all)
        return false;
    DL_FOREACH2(s->subscriptions, sub, session_next)
    {
        const struct update *u = present_of(sub);
        if (u == NULL || !job_is_final(u->state) || !viewer_may_see(s->viewer, u))
            return false;
    }
    return s->subscriptions != NULL;
}

static void end_with_job(struct session *s)
{
    s->is_closed = true;
    s->sink->ops->close(s->sink, WS_CLOSE_NORMAL, "the job has ended");
}

/* The next turn begins with whom this one broke off at: were it the first of all
 * again, those behind a few busy jobs would never be heard of by a slow reader. */
static void turn_to(struct session *s, const uint64_t *mark)
{
    struct subscription *first, *last = s->subscriptions->session_prev;

    DL_FOREACH2(s->subscriptions, first, session_next)
    if (&first->seq == mark)
        break;
    if (first == NULL || first == s->subscriptions)
        return;
    last->session_next = s->subscriptions;
    first->session_prev->session_next = NULL;
    s->subscriptions = first;
}

void session_flush(struct session *s)
{
    struct batch b;

    if (s->is_closed)
        return;
    b.session = s;
    b.count = 0;
    b.refused = NULL;
    if (s->is_blocked || !send_replies(s)) {
        s->is_behind = true;
        return;
    }
    bool fits = !s->hears_all  ? add_jobs(&b)
                : s->is_behind ? add_all_present(&b)
                               : add_all_steps(&b);
    if (!fits || !batch_send(&b)) {
        s->is_behind = true;
        if (!s->hears_all && b.refused != NULL)
            turn_to(s, b.refused);
        return;
    }
    bool is_over = has_ended(s);
    note_all_seen(s);
    if (is_over)
        end_with_job(s);
}

void session_drain(struct session *s)
{
    s->is_blocked = false;
    if (s->is_behind || s->reply_count > 0)
        hub_mark_dirty(s->hub, s);
}

static void end(struct session *s, uint16_t code, const char *reason)
{
    s->is_closed = true;
    s->sink->ops->close(s->sink, code, reason);
}

static void reply(struct session *s, struct msg *m)
{
    if (m == NULL || s->is_closed) {
        msg_unref(&m);
        return;
    }
    /* One packet may bring more questions than there is room for answers: only
     * who does not read them is to blame. */
    if (s->reply_count == SESSION_REPLIES_MAX && !s->is_blocked)
        send_replies(s);
    if (s->reply_count == SESSION_REPLIES_MAX) {
        msg_unref(&m);
        counter_add(COUNT_LIMITED_REPLIES, 1);
        end(s, WS_CLOSE_POLICY, "too many answers are waiting to be read");
        return;
    }
    if (s->replies == NULL)
        s->replies = mem_alloc(SESSION_REPLIES_MAX * sizeof(*s->replies));
    s->replies[s->reply_count++] = m;
    hub_mark_dirty(s->hub, s);
}

void session_say(struct session *s, const struct words *words)
{
    if (words->count > 0)
        reply(s, frames_pack(words, (enum framing)s->framing));
}

void session_greet(struct session *s, const char *job)
{
    struct words words;

    if (s->dialect->greet == NULL)
        return;
    words_init(&words);
    s->dialect->greet(job, &words);
    session_say(s, &words);
    words_deinit(&words);
}

void session_receive(struct session *s, struct str message, struct request *request)
{
    struct words words;

    *request = (struct request){ 0 };
    if (s->dialect->receive == NULL)
        return;
    words_init(&words);
    s->dialect->receive(message, &words, request);
    session_say(s, &words);
    words_deinit(&words);
}

void session_expire(struct session *s, int64_t now_wall_ms)
{
    int64_t expires_ms = s->viewer->expires_ms;

    if (!s->is_closed && expires_ms != 0 && now_wall_ms >= expires_ms)
        end(s, WS_CLOSE_UNAUTHORIZED, "token expired");
}

void session_keepalive(struct session *s, uint64_t now_ms)
{
    struct words words;

    if (s->dialect->keepalive_ms == 0 || s->is_blocked || s->is_closed ||
        now_ms < s->spoke_ms + s->dialect->keepalive_ms)
        return;
    words_init(&words);
    s->dialect->keepalive(s->subscriptions ? s->subscriptions->topic->id : "", &words);
    session_say(s, &words);
    words_deinit(&words);
}
