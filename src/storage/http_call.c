/* One request until its answer is final:
 *
 *   WAITING --its turn--> RUNNING --final--> OVER (`done`)
 *      ^                     |
 *      +---- SLEEPING <------+  it may pass
 *
 * Any of them becomes OVER when it is cancelled. A slot is taken only while it is RUNNING,
 * and what slept goes first. Large bodies leave one slot to all else: a viewer's playlist
 * does not wait until they are through. */
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/counters.h"
#include "storage/http_call.h"

enum {
    MOVED_EVERY_MS = 250,
    TROUBLE_EVERY_MS = 60 * 1000,
    BACKOFF_MIN_MS = 200,
    BACKOFF_MAX_MS = 10 * 1000,
    HURRY_MS = 5 * 1000, /* for what runs when the process is to end */
};

static struct http_call **list_of(struct http_storage *h, enum call_state state)
{
    switch (state) {
    case CALL_WAITING: return &h->waiting;
    case CALL_RUNNING: return &h->running;
    case CALL_SLEEPING: return &h->sleeping;
    case CALL_OVER: break;
    }
    return &h->over;
}

static bool is_large(const struct http_call *c)
{
    enum http_verb verb = c->s.ask.verb;

    return c->s.has_file || c->s.has_sink || verb == VERB_COPY || verb == VERB_PART_COPY ||
           verb == VERB_COMPLETE;
}

static void count_running(const struct http_call *c, unsigned by)
{
    c->h->running_count += by;
    if (is_large(c))
        c->h->large_count += by;
}

static void call_move(struct http_call *c, enum call_state to)
{
    struct http_storage *h = c->h;
    bool goes_first = c->state == CALL_SLEEPING && to == CALL_WAITING;

    if (c->state == CALL_RUNNING)
        count_running(c, -1u);
    if (to == CALL_RUNNING)
        count_running(c, 1);
    DL_DELETE(*list_of(h, c->state), c);
    c->state = to;
    if (goes_first)
        DL_PREPEND(*list_of(h, to), c);
    else
        DL_APPEND(*list_of(h, to), c);
    http_storage_stir(h);
}

static char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

struct http_call *http_call_start(struct http_storage *h, const struct http_call_settings *settings)
{
    struct http_call *c = mem_new(struct http_call);

    c->h = h;
    c->s = *settings;
    c->s.ask.key = copy(settings->ask.key);
    c->s.ask.id = copy(settings->ask.id);
    c->s.ask.from = copy(settings->ask.from);
    c->s.ask.content_type = copy(settings->ask.content_type);
    c->s.ask.cache_control = copy(settings->ask.cache_control);
    c->s.ask.after = copy(settings->ask.after);
    DL_APPEND(h->waiting, c);
    http_storage_stir(h);
    return c;
}

static void call_free(struct http_call *c)
{
    if (c->s.has_sink)
        close(c->s.sink);
    const char *const texts[] = { c->s.ask.key,           c->s.ask.id,
                                  c->s.ask.from,          c->s.ask.content_type,
                                  c->s.ask.cache_control, c->s.ask.after };

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        mem_free((char *)texts[i]);
    http_result_deinit(&c->result);
    mem_free(c);
}

void http_calls_free(struct http_storage *h)
{
    struct http_call *c, *next;

    DL_FOREACH_SAFE(h->over, c, next)
    {
        DL_DELETE(h->over, c);
        call_free(c);
    }
}

/* A worker thread may still be writing: the call stays until it has ended, whatever
 * becomes of the storage. */
static void on_released(void *context)
{
    call_free(context);
}

void http_call_cancel(struct http_call *c)
{
    if (c == NULL || c->state == CALL_OVER)
        return;
    struct fetch *fetch = c->fetch;
    c->fetch = NULL;
    call_move(c, CALL_OVER);
    if (fetch == NULL)
        return;
    if (c->s.has_sink)
        DL_DELETE(c->h->over, c);
    fetch_cancel(fetch);
}

void http_calls_cancel(struct http_storage *h)
{
    static const enum call_state states[] = { CALL_WAITING, CALL_RUNNING, CALL_SLEEPING };

    for (size_t i = 0; i < 3; i++)
        while (*list_of(h, states[i]) != NULL)
            http_call_cancel(*list_of(h, states[i]));
}

/* The last thing that is done with a call. */
static void call_end(struct http_call *c, int err, const char *why,
                     const struct fetch_answer *answer)
{
    struct http_outcome outcome = {
        .err = err, .why = why, .answer = answer, .result = &c->result, .bytes = c->got
    };

    call_move(c, CALL_OVER);
    if (c->s.done != NULL)
        c->s.done(c->s.context, &outcome);
}

static uint64_t moved_of(const struct http_call *c)
{
    if (c->fetch == NULL)
        return c->said;
    if (c->s.has_sink)
        return c->is_filling ? c->got + fetch_received(c->fetch) : c->got;
    return fetch_sent(c->fetch);
}

/* True unless it was cancelled by what it called. */
static bool say_moved(struct http_call *c, uint64_t bytes)
{
    if (c->s.moved != NULL && bytes > c->said) {
        c->said = bytes;
        c->s.moved(c->s.context, bytes);
    }
    return c->state != CALL_OVER;
}

/* Full jitter above the half: who failed together does not come back together. */
static uint64_t backoff(unsigned failures)
{
    unsigned doublings = failures < 8 ? failures : 8;
    uint64_t most = (uint64_t)BACKOFF_MIN_MS << doublings;

    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    return most / 2 + random_u64() % (most / 2);
}

/* Whether there is time for one more; the last is where patience ends. */
static bool call_sleep(struct http_call *c, uint64_t wait_ms)
{
    uint64_t now = clock_mono_ms();
    uint64_t pause = backoff(c->failures++);

    if (c->failing_ms == 0)
        c->failing_ms = now;
    uint64_t end_ms = c->failing_ms + c->h->patience_ms;
    if (c->s.is_once || c->h->storage.is_hurried || now >= end_ms || wait_ms > end_ms - now)
        return false;
    if (pause > end_ms - now)
        pause = end_ms - now;
    if (pause < wait_ms)
        pause = wait_ms;
    c->due_ms = now + pause;
    call_move(c, CALL_SLEEPING);
    return true;
}

/* Once for a call: a clock that is still wrong then is not the reason. */
static bool mend_clock(struct http_call *c, const struct fetch_answer *answer)
{
    int64_t skew = http_skew(answer, http_storage_now_s(c->h));

    if (c->has_mended_clock || skew == 0)
        return false;
    c->has_mended_clock = true;
    atomic_fetch_add(&c->h->skew_s, skew);
    return true;
}

/* The bucket is away, not there, or somewhere else, is full, or lets nobody in; not what
 * was asked of it, as far as an error alone does not say so. */
static bool is_trouble(enum http_verb verb, int err)
{
    if (err == FAIL_MISSING || err == FAIL_UNSUPPORTED || err == FAIL_SYNTAX || err == FAIL_FULL)
        return verb == VERB_LIST || verb == VERB_PUT || verb == VERB_BEGIN;
    return err == FAIL_DENIED || err == FAIL_UNTRUSTED || err == FAIL_CLOSED ||
           err == FAIL_TIMEOUT || err == FAIL_IO;
}

static void note_trouble(struct http_storage *h, const struct http_verdict *verdict)
{
    uint64_t now = clock_mono_ms();

    atomic_store(&h->storage.trouble, verdict->err);
    if (h->told_ms != 0 && now < h->told_ms + TROUBLE_EVERY_MS)
        return;
    h->told_ms = now;
    h->has_told = true;
    log_warn("storage_trouble", LOG_S("reason", fail_name(verdict->err)),
             LOG_S("why", verdict->why));
}

static void note(struct http_storage *h, enum http_verb verb, const struct http_verdict *verdict)
{
    if (is_trouble(verb, verdict->err)) {
        note_trouble(h, verdict);
        return;
    }
    if (atomic_exchange(&h->storage.trouble, OK) == OK || !h->has_told)
        return;
    h->has_told = false;
    log_info("storage_well");
}

static void count(const struct http_call *c, const struct http_verdict *verdict, bool is_repeated,
                  uint64_t moved)
{
    enum http_verb verb = c->s.ask.verb;
    bool is_good = verdict->err == OK || verdict->err == FAIL_MISSING;

    counter_add(is_repeated ? COUNT_STORAGE_REPEATED
                : is_good   ? COUNT_STORAGE_GOOD
                            : COUNT_STORAGE_FAILED,
                1);
    if (c->s.has_sink)
        counter_add(COUNT_STORAGE_RECEIVED, (int64_t)moved);
    else if (verb == VERB_PUT || verb == VERB_PART_PUT)
        counter_add(COUNT_STORAGE_SENT, (int64_t)(c->s.has_file ? moved : c->s.bytes.len));
}

static void on_answer(void *context, const struct fetch_answer *answer)
{
    struct http_call *c = context;
    struct http_verdict verdict;

    uint64_t moved = moved_of(c), had = c->got;
    if (c->s.has_sink && moved > c->got) {
        c->got = moved;
        c->failing_ms = 0;
        c->failures = 0;
        c->unread = 0;
    }
    c->fetch = NULL;
    http_attempt_judge(c, answer, had, &verdict);
    if (answer->err == OK && (answer->status == 401 || answer->status == 403) &&
        mend_clock(c, answer))
        verdict.may_pass = true;
    bool is_repeated = verdict.err && verdict.may_pass && call_sleep(c, verdict.wait_ms);

    note(c->h, c->s.ask.verb, &verdict);
    count(c, &verdict, is_repeated, c->s.has_sink ? moved - had : moved);
    if (is_repeated)
        return;
    if (verdict.err == OK && !say_moved(c, c->s.bytes.len > 0 ? c->s.bytes.len : moved))
        return;
    call_end(c, verdict.err, verdict.err ? verdict.why : NULL, answer);
}

static void hurry(struct http_call *c)
{
    c->due_ms = clock_mono_ms() + HURRY_MS;
}

static void call_run(struct http_call *c)
{
    call_move(c, CALL_RUNNING);
    if (c->h->storage.is_hurried)
        hurry(c);
    int err = http_attempt(c, on_answer, on_released);
    if (err != OK)
        call_end(c, err, "the storage cannot be asked for that", NULL);
    else if (c->fetch == NULL)
        call_end(c, OK, NULL, NULL);
}

static struct http_call *next_waiting(const struct http_storage *h)
{
    bool is_for_all = h->parallel == 1 || h->large_count + 1 < h->parallel;
    struct http_call *c;

    if (h->running_count >= h->parallel)
        return NULL;
    DL_FOREACH(h->waiting, c)
    if (is_for_all || !is_large(c))
        return c;
    return NULL;
}

/* What is called may begin, cancel, or close. */
static void run_waiting(struct http_storage *h)
{
    struct http_call *c;

    while ((c = next_waiting(h)) != NULL)
        call_run(c);
}

static void wake(struct http_storage *h, uint64_t now)
{
    struct http_call *c, *next;

    DL_FOREACH_SAFE(h->sleeping, c, next)
    if (c->due_ms <= now)
        call_move(c, CALL_WAITING);
}

void http_calls_hurry(struct http_storage *h)
{
    struct http_call *c;

    DL_FOREACH(h->sleeping, c)
    c->due_ms = 0;
    DL_FOREACH(h->running, c)
    hurry(c);
    http_storage_stir(h);
}

static void give_up(struct http_call *c)
{
    struct http_result nothing = { 0 };
    struct http_outcome outcome = { .err = FAIL_TIMEOUT,
                                    .why = "the storage did not answer in time",
                                    .result = &nothing,
                                    .bytes = c->got };
    void (*done)(void *, const struct http_outcome *) = c->s.done;
    void *context = c->s.context;

    http_call_cancel(c); /* a worker thread may still write for it */
    if (done != NULL)
        done(context, &outcome);
}

/* True if there was one; what hears of it may cancel any of them. */
static bool give_up_one(struct http_storage *h, uint64_t now)
{
    struct http_call *c;

    if (!h->storage.is_hurried)
        return false;
    DL_FOREACH(h->running, c)
    {
        if (now < c->due_ms)
            continue;
        give_up(c);
        return true;
    }
    return false;
}

/* One at a time, for what hears of it may cancel any of them. */
static bool say_one(struct http_storage *h, uint64_t now)
{
    struct http_call *c;

    DL_FOREACH(h->running, c)
    {
        if (c->s.moved == NULL || now < c->said_ms + MOVED_EVERY_MS)
            continue;
        c->said_ms = now;
        say_moved(c, moved_of(c));
        return true;
    }
    return false;
}

void http_calls_tick(struct http_storage *h)
{
    uint64_t now = clock_mono_ms();

    while (give_up_one(h, now))
        ;
    wake(h, now);
    run_waiting(h);
    while (say_one(h, now))
        ;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t http_calls_due(const struct http_storage *h)
{
    uint64_t now = clock_mono_ms(), due = UINT64_MAX;
    const struct http_call *c;

    if (h->over != NULL || next_waiting(h) != NULL)
        return 0;
    DL_FOREACH(h->sleeping, c)
    due = earlier(due, c->due_ms > now ? c->due_ms - now : 0);
    DL_FOREACH(h->running, c)
    {
        if (c->s.moved != NULL)
            due = earlier(due, MOVED_EVERY_MS);
        if (h->storage.is_hurried)
            due = earlier(due, c->due_ms > now ? c->due_ms - now : 0);
    }
    return due;
}
