#include "core/ledger.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define HASH_NONFATAL_OOM 0
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/counters.h"
#include "core/limits.h"

/* A job, or an id that somebody watches although no job has it yet. */
struct entry {
    UT_hash_handle hh;
    struct update *head;       /* last accepted, or NULL: no job yet */
    struct update *heard;      /* last written down and posted, or NULL */
    uint64_t watchers;         /* bit per listener */
    struct entry *prev, *next; /* in `finished`, oldest first */
    bool is_finished;          /* is in that list */
    char id[];
};

struct ledger {
    pthread_mutex_t lock;
    struct journal *journal;
    struct observer *observer; /* of a mirror, or NULL */
    struct entry *entries;
    struct entry *finished; /* heard their last: candidates for forgetting */
    size_t jobs, finished_count;
    uint64_t seq; /* of the last update, of whatever job */
    struct listener *listeners[LEDGER_LISTENERS_MAX];
    unsigned listener_count;
    uint64_t all_watchers; /* listeners that hear everything */
};

struct ledger *ledger_new(struct journal *journal, uint64_t first_seq)
{
    struct ledger *l = mem_new(struct ledger);

    pthread_mutex_init(&l->lock, NULL);
    l->journal = journal;
    l->seq = first_seq;
    return l;
}

struct ledger *ledger_new_mirror(struct observer *observer)
{
    struct ledger *l = ledger_new(NULL, 0);

    l->observer = observer;
    return l;
}

static struct entry *find(struct ledger *l, const char *id)
{
    struct entry *e;

    HASH_FIND_STR(l->entries, id, e);
    return e;
}

static struct entry *find_or_add(struct ledger *l, const char *id)
{
    struct entry *e = find(l, id);

    if (e != NULL)
        return e;
    size_t len = strlen(id);
    e = mem_zalloc(sizeof(*e) + len + 1);
    memcpy(e->id, id, len);
    HASH_ADD_KEYPTR(hh, l->entries, e->id, len, e);
    return e;
}

static void leave_finished(struct ledger *l, struct entry *e)
{
    if (!e->is_finished)
        return;
    DL_DELETE(l->finished, e);
    e->is_finished = false;
    l->finished_count--;
}

static void forget(struct ledger *l, struct entry *e)
{
    leave_finished(l, e);
    if (e->head != NULL)
        l->jobs--;
    HASH_DEL(l->entries, e);
    update_unref(&e->head);
    update_unref(&e->heard);
    mem_free(e);
}

void ledger_free(struct ledger *l)
{
    struct entry *e, *next;

    if (l == NULL)
        return;
    HASH_ITER(hh, l->entries, e, next)
    forget(l, e);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

int ledger_listen(struct ledger *l, struct listener *listener, unsigned *index)
{
    int err = OK;

    pthread_mutex_lock(&l->lock);
    if (l->listener_count == LEDGER_LISTENERS_MAX)
        err = FAIL_LIMIT;
    else {
        *index = l->listener_count;
        l->listeners[l->listener_count++] = listener;
    }
    pthread_mutex_unlock(&l->lock);
    return err;
}

static bool is_settled(const struct entry *e)
{
    return e->head != NULL && e->head == e->heard && job_is_final(e->head->state) &&
           e->watchers == 0;
}

/* Entries that nobody needs in memory: the oldest finished ones beyond the
 * limit, ids without a job that nobody watches any more, and of a mirror all
 * that nobody watches. */
static void settle(struct ledger *l, struct entry *e)
{
    bool is_idle_mirror = l->observer != NULL && l->all_watchers == 0;

    if (e->watchers == 0 && (e->head == NULL || is_idle_mirror)) {
        forget(l, e);
        return;
    }
    if (!is_settled(e)) {
        leave_finished(l, e);
        return;
    }
    if (!e->is_finished) {
        DL_APPEND(l->finished, e);
        e->is_finished = true;
        l->finished_count++;
    }
    if (l->finished_count > LEDGER_FINISHED_MAX)
        forget(l, l->finished);
}

static void post(struct ledger *l, uint64_t watchers, struct update *u)
{
    for (unsigned i = 0; watchers != 0; i++, watchers >>= 1)
        if (watchers & 1)
            l->listeners[i]->post(l->listeners[i], u);
}

static void count_end(const struct update *u)
{
    int way = (int)u->state - JOB_COMPLETED;

    counter_add((enum counter)(COUNT_ENDED + way), 1);
    if (u->kind == JOB_DOWNLOAD)
        counter_add((enum counter)(COUNT_DOWNLOADS_ENDED + way), 1);
}

static void hear(struct ledger *l, struct entry *e, struct update *u)
{
    if (e->heard != NULL && e->heard->seq >= u->seq)
        return;
    update_unref(&e->heard);
    e->heard = update_ref(u);
    counter_add(COUNT_UPDATES, 1);
    if (job_is_final(u->state))
        count_end(u);
    post(l, e->watchers | l->all_watchers, u);
    settle(l, e);
}

static int accept(struct ledger *l, struct entry *e, const struct change *c, struct update **out)
{
    struct update *u;
    int err = update_derive(e->head, c, l->seq + 1, clock_wall_ms(), &u);

    if (err)
        return err;
    l->seq++;
    if (e->head == NULL)
        l->jobs++;
    leave_finished(l, e);
    update_unref(&e->head);
    e->head = u;
    if (out != NULL)
        *out = update_ref(u);
    if (l->journal != NULL)
        l->journal->append(l->journal, u);
    else
        hear(l, e, u);
    return OK;
}

enum when { IF_THERE, IF_NEW, ALWAYS };

static int apply_locked(struct ledger *l, const char *id, const struct change *c, enum when when,
                        struct update **out)
{
    struct entry *e = find(l, id);
    bool is_new = e == NULL || e->head == NULL;
    struct change named = *c;

    if (is_new && when == IF_THERE)
        return FAIL_MISSING;
    if (!is_new && when == IF_NEW)
        return FAIL_EXISTS;
    if (is_new && l->jobs - l->finished_count >= LEDGER_JOBS_MAX)
        return FAIL_LIMIT;
    if (is_new)
        e = find_or_add(l, id);
    named.text[TEXT_ID] = e->id;
    return accept(l, e, &named, out);
}

static int apply(struct ledger *l, const char *id, const struct change *c, enum when when,
                 struct update **out)
{
    assert(job_id_is_valid(str_of(id)));
    pthread_mutex_lock(&l->lock);
    int err = apply_locked(l, id, c, when, out);
    pthread_mutex_unlock(&l->lock);
    return err;
}

int ledger_apply(struct ledger *l, const char *id, const struct change *c, bool may_create,
                 struct update **out)
{
    return apply(l, id, c, may_create ? ALWAYS : IF_THERE, out);
}

int ledger_create(struct ledger *l, const char *id, const struct change *c, struct update **out)
{
    return apply(l, id, c, IF_NEW, out);
}

void ledger_restore(struct ledger *l, struct update *u)
{
    pthread_mutex_lock(&l->lock);
    struct entry *e = find_or_add(l, u->text[TEXT_ID]);
    if (e->head == NULL) {
        e->head = update_ref(u);
        l->jobs++;
        e->heard = update_ref(u);
        /* Whoever began to watch before it was read back has not heard it. To
         * those who hear all, a job that ended long ago is no news. */
        post(l, e->watchers | (job_is_final(u->state) ? 0 : l->all_watchers), u);
        settle(l, e);
    }
    pthread_mutex_unlock(&l->lock);
}

void ledger_hear(struct ledger *l, struct update *u)
{
    pthread_mutex_lock(&l->lock);
    struct entry *e = find(l, u->text[TEXT_ID]);
    bool is_wanted = e != NULL || (l->all_watchers != 0 && l->jobs < LEDGER_JOBS_MAX);
    if (is_wanted && e == NULL)
        e = find_or_add(l, u->text[TEXT_ID]);
    if (is_wanted && (e->head == NULL || e->head->seq < u->seq)) {
        if (e->head == NULL)
            l->jobs++;
        update_unref(&e->head);
        e->head = update_ref(u);
        hear(l, e, u);
    }
    pthread_mutex_unlock(&l->lock);
}

void ledger_confirm(struct ledger *l, struct update *const *updates, size_t count)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < count; i++) {
        struct entry *e = find(l, updates[i]->text[TEXT_ID]);
        if (e != NULL)
            hear(l, e, updates[i]);
    }
    pthread_mutex_unlock(&l->lock);
}

struct update *ledger_snapshot(struct ledger *l, const char *id)
{
    pthread_mutex_lock(&l->lock);
    struct entry *e = find(l, id);
    struct update *u = e && e->heard ? update_ref(e->heard) : NULL;
    pthread_mutex_unlock(&l->lock);
    return u;
}

struct update *ledger_head(struct ledger *l, const char *id)
{
    pthread_mutex_lock(&l->lock);
    struct entry *e = find(l, id);
    struct update *u = e && e->head ? update_ref(e->head) : NULL;
    pthread_mutex_unlock(&l->lock);
    return u;
}

struct update *ledger_watch(struct ledger *l, const char *id, unsigned index)
{
    pthread_mutex_lock(&l->lock);
    struct entry *e = find_or_add(l, id);
    if (l->observer != NULL && e->watchers == 0)
        l->observer->watched(l->observer, id);
    e->watchers |= UINT64_C(1) << index;
    leave_finished(l, e);
    struct update *u = e->heard ? update_ref(e->heard) : NULL;
    pthread_mutex_unlock(&l->lock);
    return u;
}

void ledger_unwatch(struct ledger *l, const char *id, unsigned index)
{
    pthread_mutex_lock(&l->lock);
    struct entry *e = find(l, id);
    if (e != NULL && e->watchers != 0) {
        e->watchers &= ~(UINT64_C(1) << index);
        if (l->observer != NULL && e->watchers == 0)
            l->observer->unwatched(l->observer, id);
        settle(l, e);
    }
    pthread_mutex_unlock(&l->lock);
}

void ledger_watch_all(struct ledger *l, unsigned index,
                      void (*each)(void *context, struct update *u), void *context)
{
    struct entry *e, *next;

    pthread_mutex_lock(&l->lock);
    if (l->observer != NULL && l->all_watchers == 0)
        l->observer->watched_all(l->observer, true);
    l->all_watchers |= UINT64_C(1) << index;
    HASH_ITER(hh, l->entries, e, next)
    if (e->heard != NULL && !job_is_final(e->heard->state))
        each(context, e->heard);
    pthread_mutex_unlock(&l->lock);
}

void ledger_unwatch_all(struct ledger *l, unsigned index)
{
    struct entry *e, *next;

    pthread_mutex_lock(&l->lock);
    uint64_t before = l->all_watchers;
    l->all_watchers &= ~(UINT64_C(1) << index);
    if (l->observer != NULL && before != 0 && l->all_watchers == 0) {
        l->observer->watched_all(l->observer, false);
        HASH_ITER(hh, l->entries, e, next)
        settle(l, e);
    }
    pthread_mutex_unlock(&l->lock);
}

static bool is_silent(const struct update *u, int64_t before_ms)
{
    return u != NULL && u->kind == JOB_EXTERNAL && !job_is_final(u->state) &&
           u->time_ms < before_ms;
}

size_t ledger_silent(struct ledger *l, int64_t before_ms, size_t max, char **out)
{
    struct entry *e, *next;
    size_t count = 0;

    pthread_mutex_lock(&l->lock);
    HASH_ITER(hh, l->entries, e, next)
    if (count < max && is_silent(e->head, before_ms))
        out[count++] = mem_strdup(e->id);
    pthread_mutex_unlock(&l->lock);
    return count;
}

size_t ledger_unfinished(struct ledger *l, size_t max, char **out)
{
    struct entry *e, *next;
    size_t count = 0;

    pthread_mutex_lock(&l->lock);
    HASH_ITER(hh, l->entries, e, next)
    if (count < max && e->heard != NULL && !job_is_final(e->heard->state))
        out[count++] = mem_strdup(e->id);
    pthread_mutex_unlock(&l->lock);
    return count;
}

void ledger_count(struct ledger *l, struct ledger_count *out)
{
    struct entry *e, *next;

    *out = (struct ledger_count){ 0 };
    pthread_mutex_lock(&l->lock);
    out->jobs = l->jobs;
    HASH_ITER(hh, l->entries, e, next)
    {
        out->unfinished += e->head != NULL && !job_is_final(e->head->state);
        out->watched += e->watchers != 0;
    }
    pthread_mutex_unlock(&l->lock);
}
