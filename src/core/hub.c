#include "core/hub.h"

#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/counters.h"
#include "core/limits.h"
#include "core/topic.h"

struct hub *hub_new(struct ledger *ledger, unsigned index)
{
    struct hub *h = mem_new(struct hub);

    h->ledger = ledger;
    h->index = index;
    h->subscriptions_max = SESSION_SUBSCRIPTIONS_MAX;
    h->now_ms = clock_mono_ms();
    return h;
}

void hub_limit(struct hub *h, unsigned subscriptions_max)
{
    assert(subscriptions_max <= UINT16_MAX);
    h->subscriptions_max = subscriptions_max;
}

static void topic_free(struct hub *h, struct topic *t)
{
    assert(t->subscriptions == NULL && t->first_entry < 0);
    if (t->is_watched)
        ledger_unwatch(h->ledger, t->id, h->index);
    HASH_DEL(h->topics, t);
    DL_DELETE(h->recent, t);
    update_unref(&t->latest);
    update_unref(&t->start);
    mem_free(t);
}

void hub_free(struct hub *h)
{
    struct topic *t, *next;

    assert(h->sessions == NULL);
    hub_flush(h);
    HASH_ITER(hh, h->topics, t, next)
    topic_free(h, t);
    mem_free(h);
}

static struct topic *topic_of(struct hub *h, const char *job)
{
    struct topic *t;

    HASH_FIND_STR(h->topics, job, t);
    if (t != NULL)
        return t;
    size_t len = strlen(job);
    t = mem_zalloc(sizeof(*t) + len + 1);
    memcpy(t->id, job, len);
    t->first_entry = t->last_entry = -1;
    HASH_ADD_KEYPTR(hh, h->topics, t->id, len, t);
    DL_PREPEND(h->recent, t);
    return t;
}

/* False: the topic knows this update, or a newer one. */
static bool topic_advance(struct hub *h, struct topic *t, struct update *u)
{
    if (t->latest != NULL && t->latest->seq >= u->seq)
        return false;
    update_unref(&t->latest);
    t->latest = update_ref(u);
    if (u->is_start) {
        update_unref(&t->start);
        t->start = update_ref(u);
    }
    t->changed = ++h->published;
    DL_DELETE(h->recent, t);
    DL_APPEND(h->recent, t);
    return true;
}

void hub_join(struct hub *h, struct session *s)
{
    DL_APPEND(h->sessions, s);
    h->session_count++;
}

/* Nobody subscribes and nobody who hears all can still need it. */
static bool is_idle(const struct hub *h, const struct topic *t)
{
    if (t->subscriptions != NULL || t->first_entry >= 0)
        return false;
    if (h->all_sessions == NULL || t->latest == NULL)
        return true;
    if (!job_is_final(t->latest->state))
        return false;
    for (const struct session *s = h->all_sessions; s; s = s->all_next)
        if (s->all_seen < t->changed)
            return false;
    return true;
}

static void prune(struct hub *h)
{
    struct topic *t, *next;

    DL_FOREACH_SAFE(h->recent, t, next)
    if (is_idle(h, t))
        topic_free(h, t);
}

void hub_leave(struct hub *h, struct session *s)
{
    if (s->is_dirty) {
        LL_DELETE2(h->dirty_sessions, s, next_dirty);
        s->is_dirty = false;
    }
    if (s->hears_all) {
        DL_DELETE2(h->all_sessions, s, all_prev, all_next);
        s->hears_all = false;
        if (h->all_sessions == NULL) {
            ledger_unwatch_all(h->ledger, h->index);
            prune(h);
        }
    }
    DL_DELETE(h->sessions, s);
    h->session_count--;
}

void hub_mark_dirty(struct hub *h, struct session *s)
{
    if (s->is_dirty || s->is_closed)
        return;
    s->is_dirty = true;
    LL_PREPEND2(h->dirty_sessions, s, next_dirty);
}

static struct subscription *find_subscription(struct session *s, const char *job)
{
    struct subscription *sub;

    DL_FOREACH2(s->subscriptions, sub, session_next)
    if (strcmp(sub->topic->id, job) == 0)
        return sub;
    return NULL;
}

int hub_subscribe(struct hub *h, struct session *s, const char *job)
{
    return hub_subscribe_after(h, s, job, 0);
}

int hub_subscribe_after(struct hub *h, struct session *s, const char *job, uint64_t seq)
{
    struct subscription *sub = find_subscription(s, job);

    assert(job_id_is_valid(str_of(job)));
    if (sub == NULL) {
        if (s->subscription_count >= h->subscriptions_max) {
            counter_add(COUNT_LIMITED_SUBSCRIPTIONS, 1);
            return FAIL_LIMIT;
        }
        sub = mem_new(struct subscription);
        sub->session = s;
        sub->topic = topic_of(h, job);
        DL_APPEND(sub->topic->subscriptions, sub);
        DL_APPEND2(s->subscriptions, sub, session_prev, session_next);
        s->subscription_count++;
    }
    /* The ledger gives its last heard state together with the promise to post
     * what follows. It is asked every time, since the topic may be behind it: on
     * another thread this client may have heard what lies in our mailbox still.
     * The answer stays this subscriber's: were it made the topic's, the copy in
     * the mailbox would be news to nobody. */
    update_unref(&sub->present);
    sub->present = ledger_watch(h->ledger, job, h->index);
    /* Numbers only come to run ahead of the job's where its records were lost:
     * taken at their word, they would keep this client in silence for good. */
    uint64_t newest = sub->present != NULL ? sub->present->seq : 0;
    sub->seq = seq < newest ? seq : newest;
    sub->topic->is_watched = true;
    sub->is_behind = true;
    hub_mark_dirty(h, s);
    return OK;
}

void hub_drop_subscription(struct hub *h, struct subscription *sub)
{
    struct topic *t = sub->topic;

    DL_DELETE(t->subscriptions, sub);
    DL_DELETE2(sub->session->subscriptions, sub, session_prev, session_next);
    sub->session->subscription_count--;
    update_unref(&sub->present);
    mem_free(sub);
    if (is_idle(h, t))
        topic_free(h, t);
}

void hub_unsubscribe(struct hub *h, struct session *s, const char *job)
{
    struct subscription *sub = find_subscription(s, job);

    if (sub != NULL)
        hub_drop_subscription(h, sub);
}

/* The copy in the mailbox, if it is still there, will be news to nobody: so
 * whoever follows this job is owed its present. */
static void learn(void *context, struct update *u)
{
    struct hub *h = context;
    struct topic *t = topic_of(h, u->text[TEXT_ID]);

    if (!topic_advance(h, t, u))
        return;
    for (struct subscription *sub = t->subscriptions; sub; sub = sub->next) {
        sub->is_behind = true;
        hub_mark_dirty(h, sub->session);
    }
}

void hub_subscribe_all(struct hub *h, struct session *s)
{
    if (h->all_sessions == NULL)
        ledger_watch_all(h->ledger, h->index, learn, h);
    assert(!s->hears_all);
    DL_APPEND2(h->all_sessions, s, all_prev, all_next);
    s->hears_all = true;
    s->all_seen = 0;
    s->all_joined = h->published;
    s->is_behind = true;
    hub_mark_dirty(h, s);
}

static void log_update(struct hub *h, struct topic *t, struct update *u)
{
    int entry = h->log_count++;

    h->log[entry] =
        (struct hub_entry){ .update = update_ref(u), .count = h->published, .next = -1 };
    if (t->first_entry < 0) {
        t->first_entry = entry;
        LL_PREPEND2(h->dirty_topics, t, next_dirty);
    } else {
        h->log[t->last_entry].next = entry;
    }
    t->last_entry = entry;
}

void hub_publish(struct hub *h, struct update *u)
{
    struct topic *t;

    if (h->log_count == HUB_LOG_MAX)
        hub_flush(h);
    if (h->all_sessions != NULL) {
        t = topic_of(h, u->text[TEXT_ID]);
    } else {
        HASH_FIND_STR(h->topics, u->text[TEXT_ID], t);
        if (t == NULL)
            return;
    }
    if (topic_advance(h, t, u))
        log_update(h, t, u);
}

static void mark_subscribers(struct hub *h, struct topic *t)
{
    for (struct subscription *sub = t->subscriptions; sub; sub = sub->next)
        hub_mark_dirty(h, sub->session);
}

static void clear_log(struct hub *h)
{
    struct topic *t, *next;

    LL_FOREACH_SAFE2(h->dirty_topics, t, next, next_dirty)
    {
        t->first_entry = t->last_entry = -1;
        t->next_dirty = NULL;
        /* Its last subscriber may have left while it was in the log. */
        if (h->all_sessions == NULL && is_idle(h, t))
            topic_free(h, t);
    }
    h->dirty_topics = NULL;
    for (int i = 0; i < h->log_count; i++)
        update_unref(&h->log[i].update);
    h->log_count = 0;
}

void hub_flush(struct hub *h)
{
    struct topic *t;

    if (h->log_count == 0 && h->dirty_sessions == NULL)
        return;
    h->now_ms = clock_mono_ms();
    LL_FOREACH2(h->dirty_topics, t, next_dirty)
    mark_subscribers(h, t);
    if (h->log_count > 0)
        for (struct session *s = h->all_sessions; s; s = s->all_next)
            hub_mark_dirty(h, s);
    while (h->dirty_sessions != NULL) {
        struct session *s = h->dirty_sessions;
        LL_DELETE2(h->dirty_sessions, s, next_dirty);
        s->is_dirty = false;
        session_flush(s);
    }
    clear_log(h);
}

void hub_tick(struct hub *h, uint64_t now_ms)
{
    int64_t now_wall_ms = clock_wall_ms();

    h->now_ms = now_ms;
    for (struct session *s = h->sessions; s; s = s->next) {
        session_expire(s, now_wall_ms);
        session_keepalive(s, now_ms);
    }
    if (h->all_sessions != NULL)
        prune(h);
}

size_t hub_sessions(const struct hub *h)
{
    return h->session_count;
}
