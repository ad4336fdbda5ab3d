/* A reporter's thread: takes what is due from the backlog, sends it, and tries
 * again when that fails.
 *
 *        nothing due, or not yet        failed: backoff, at most 3 s
 *          ┌────────────┐                  ┌──────────────┐
 *          ▼            │                  ▼              │
 *   asleep ── due ──► taking ── unlock ─► exchanging ── lock ─► settling ─► taking
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "lib/reporter.h"
#include "reelay/reelay.h"

enum {
    BATCH_BYTES = 256 * 1024,
    QUESTIONS_MAX = 16,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 3000,
    BACKOFF_WAITING_MS = 250, /* while a caller waits */
    STATUS_MAX = 256 * 1024   /* of a value that anybody may have written */
};

/* What the thread asks and heard, while it does not hold the lock. */
struct asking {
    uint64_t number;
    char id[JOB_ID_MAX + 1];
    int code;
    char *json;
    bool is_answered;
};

struct exchange {
    int parcels, sent;
    int questions;
    struct asking asking[QUESTIONS_MAX];
};

static int64_t now_ms(void)
{
    return (int64_t)clock_mono_ms();
}

static int error_of(int fail)
{
    switch (fail) {
    case OK: return REELAY_OK;
    case FAIL_DENIED: return REELAY_REFUSED;
    case FAIL_TIMEOUT: return REELAY_TIMEOUT;
    case FAIL_NOMEM: return REELAY_NO_MEMORY;
    default: return REELAY_UNREACHABLE;
    }
}

/* When there is something to do, INT64_MAX if there is nothing. */
static int64_t due_ms(const struct reelay *r)
{
    int64_t due = r->questions ? 0 : backlog_due_ms(&r->backlog);
    int64_t retry = r->retry_ms;

    if (due == INT64_MAX || retry == 0)
        return due;
    if (r->waiting > 0 && retry > r->tried_ms + BACKOFF_WAITING_MS)
        retry = r->tried_ms + BACKOFF_WAITING_MS;
    return due > retry ? due : retry;
}

void sender_wake(struct reelay *r)
{
    uint64_t one = 1;

    if (r->sleeps_until_ms == 0 || due_ms(r) >= r->sleeps_until_ms)
        return;
    r->sleeps_until_ms = 0;
    while (write(r->interrupt, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void take(struct reelay *r, struct exchange *x)
{
    struct question *q;

    *x = (struct exchange){ 0 };
    r->flying_count = backlog_take(&r->backlog, now_ms(), r->flying, PARCELS_MAX, BATCH_BYTES);
    x->parcels = r->flying_count;
    r->tried_ms = now_ms();
    /* A question comes behind what was reported before it, all of it. */
    if (backlog_due_ms(&r->backlog) <= now_ms())
        return;
    DL_FOREACH(r->questions, q)
    {
        if (x->questions == QUESTIONS_MAX)
            break;
        struct asking *a = &x->asking[x->questions++];
        a->number = q->number;
        memcpy(a->id, q->id, sizeof(a->id));
    }
}

/* In one transaction, and the key first: who hears the message finds this status
 * or a newer one, and of two reporters the same one is last in both. */
static int queue_parcel(struct reelay *r, struct wire *w, const struct parcel *p)
{
    char key[JOB_ID_MAX + 16], channel[JOB_ID_MAX + 16];
    int key_len = snprintf(key, sizeof(key), "job_status:%s", p->entry->id);
    int channel_len = snprintf(channel, sizeof(channel), "job_progress:%s", p->entry->id);

    const char *multi[] = { "MULTI" }, *exec[] = { "EXEC" };
    size_t multi_len[] = { 5 }, exec_len[] = { 4 };
    const char *setex[] = { "SETEX", key, r->ttl_s, p->item->json };
    size_t setex_len[] = { 5, (size_t)key_len, strlen(r->ttl_s), p->item->len };
    const char *publish[] = { "PUBLISH", channel, p->item->json };
    size_t publish_len[] = { 7, (size_t)channel_len, p->item->len };
    int err = wire_command(w, 1, multi, multi_len);
    if (err == OK)
        err = wire_command(w, 4, setex, setex_len);
    if (err == OK)
        err = wire_command(w, 3, publish, publish_len);
    return err == OK ? wire_command(w, 1, exec, exec_len) : err;
}

static int hear_parcel(struct wire *w, int64_t deadline_ms)
{
    enum { COMMANDS = 4 }; /* of queue_parcel */
    int err = OK;

    for (int i = 0; i < COMMANDS && err == OK; i++)
        err = wire_answer(w, deadline_ms, NULL, NULL);
    return err;
}

/* GETRANGE and not GET: an answer has to have a bound. */
static int queue_question(struct wire *w, const struct asking *a)
{
    char key[JOB_ID_MAX + 16], end[16];
    int key_len = snprintf(key, sizeof(key), "job_status:%s", a->id);
    int end_len = snprintf(end, sizeof(end), "%d", STATUS_MAX);

    const char *words[] = { "GETRANGE", key, "0", end };
    size_t lengths[] = { 8, (size_t)key_len, 1, (size_t)end_len };
    return wire_command(w, 4, words, lengths);
}

static int send_all(struct reelay *r, struct wire *w, const struct exchange *x, int64_t deadline_ms)
{
    int err = wire_open(w, deadline_ms);

    for (int i = 0; err == OK && i < x->parcels; i++)
        err = queue_parcel(r, w, &r->flying[i]);
    for (int i = 0; err == OK && i < x->questions; i++)
        err = queue_question(w, &x->asking[i]);
    return err == OK ? wire_send(w, deadline_ms) : err;
}

/* A key of another type is that question's trouble alone. */
static int hear_answer(struct wire *w, struct asking *a, int64_t deadline_ms)
{
    size_t len = 0;
    int err = wire_answer(w, deadline_ms, &a->json, &len);

    if (err != OK && err != FAIL_DENIED)
        return err;
    a->is_answered = true;
    a->code = error_of(err);
    if (err == OK && len == 0)
        a->code = REELAY_NO_STATUS;
    else if (err == OK && len > STATUS_MAX)
        a->code = REELAY_TOO_LONG;
    if (a->code != REELAY_OK) {
        free(a->json);
        a->json = NULL;
    }
    return OK;
}

/* Without the lock: nobody else touches `flying` while flying_count is not 0. */
static int exchange(struct reelay *r, struct wire *w, struct exchange *x)
{
    int64_t deadline_ms = now_ms() + r->timeout_ms;
    int err = send_all(r, w, x, deadline_ms);

    while (err == OK && x->sent < x->parcels) {
        err = hear_parcel(w, deadline_ms);
        x->sent += err == OK;
    }
    for (int i = 0; err == OK && i < x->questions; i++)
        err = hear_answer(w, &x->asking[i], deadline_ms);
    if (err != OK)
        wire_close(w); /* answers are outstanding: it is of no more use */
    return err;
}

/* Its asker may have gone meanwhile. */
static void answer(struct reelay *r, struct asking *a)
{
    struct question *q;

    DL_SEARCH_SCALAR(r->questions, q, number, a->number);
    if (q == NULL) {
        free(a->json);
        return;
    }
    DL_DELETE(r->questions, q);
    q->is_answered = true;
    q->code = a->code;
    q->json = a->json;
}

/* Half of it certain, half of it chance: reporters that lost the same Redis do
 * not all come back in one moment. */
static int64_t backoff_ms(const struct reelay *r)
{
    int64_t most = BACKOFF_MAX_MS;
    uint64_t chance = clock_mono_ns() ^ (uint64_t)(uintptr_t)r;

    if (r->failures < 6)
        most = (int64_t)BACKOFF_FIRST_MS << (r->failures - 1);
    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    chance = (chance ^ chance >> 31) * 0x9e3779b97f4a7c15u;
    return most / 2 + (int64_t)((chance >> 33) % (uint64_t)(most / 2 + 1));
}

static void settle(struct reelay *r, struct exchange *x, int err, const char *text)
{
    backlog_settle(&r->backlog, r->flying, x->parcels, x->sent);
    r->flying_count = 0;
    for (int i = 0; i < x->questions; i++)
        if (x->asking[i].is_answered)
            answer(r, &x->asking[i]);
    r->trouble = error_of(err);
    if (err == OK) {
        r->failures = 0;
        r->retry_ms = 0;
        r->backlog.is_down = false;
    } else {
        r->failures += r->failures < 32;
        r->retry_ms = now_ms() + backoff_ms(r);
        backlog_fall_behind(&r->backlog);
        snprintf(r->error, sizeof(r->error), "%s", text);
    }
    pthread_cond_broadcast(&r->news);
}

static void step(struct reelay *r, struct wire *w, struct exchange *x)
{
    int64_t due = due_ms(r);

    if (due > now_ms()) {
        r->sleeps_until_ms = due;
        pthread_mutex_unlock(&r->lock);
        wire_idle(w, due);
        pthread_mutex_lock(&r->lock);
        r->sleeps_until_ms = 0;
        return;
    }
    take(r, x);
    pthread_mutex_unlock(&r->lock);
    int err = exchange(r, w, x);
    pthread_mutex_lock(&r->lock);
    settle(r, x, err, w->error);
}

void *sender_run(void *reporter)
{
    struct reelay *r = reporter;
    struct exchange x;
    struct wire w = {
        .url = &r->url, .interrupt = r->interrupt, .is_ending = &r->is_ending, .socket = &r->socket
    };

    pthread_mutex_lock(&r->lock);
    while (!atomic_load(&r->is_ending))
        step(r, &w, &x);
    pthread_mutex_unlock(&r->lock);
    wire_close(&w);
    return NULL;
}
