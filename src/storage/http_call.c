/* One request until its answer is final:
 *
 *   WAITING --its turn--> RUNNING --final--> OVER (`done`)
 *      ^                     |
 *      +---- SLEEPING <------+  it may pass
 *
 * Any of them becomes OVER when it is cancelled. A slot is taken only while it is RUNNING,
 * and what slept goes first. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "storage/http_internal.h"

enum {
    URL_MAX = 16 * 1024,
    BODY_MAX = 4 * 1024 * 1024,    /* the list of 10,000 parts has 1.5 MB */
    ANSWER_MAX = 16 * 1024 * 1024, /* a page of 5,000 keys of 1 KiB, in XML */
    ERROR_MAX = 64 * 1024,
    MOVED_EVERY_MS = 250,
    BACKOFF_MIN_MS = 200,
    BACKOFF_MAX_MS = 10 * 1000,
    STALL_MS = 30 * 1000,
    STALL_MIN_MS = 1000,
    LABOUR_MS = 5 * 60 * 1000, /* a server that copies or joins is silent for minutes */
    HEADERS_MAX = HTTP_HEADERS_MAX + 1,
};

enum call_state { CALL_WAITING, CALL_RUNNING, CALL_SLEEPING, CALL_OVER };

struct http_call {
    struct http_call *prev, *next; /* of the list that `state` names */
    struct http_storage *h;
    enum call_state state;
    struct http_call_settings s; /* its ask's strings are copies */
    struct fetch *fetch;         /* while it runs */
    struct http_result result;
    uint64_t due_ms;     /* when it sleeps no more */
    uint64_t failing_ms; /* since when it has failed without getting further; 0: it has not */
    unsigned failures;
    bool has_mended_clock, has_sent_other_bytes;
    bool is_filling;        /* what comes is the object, and goes into the sink */
    uint64_t said, said_ms; /* to `moved` */
    /* Of a GET into a file: */
    uint64_t got;              /* in the file, from all attempts that are over */
    char etag[HTTP_ETAG_SIZE]; /* of the version that it is */
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

static void call_move(struct http_call *c, enum call_state to)
{
    struct http_storage *h = c->h;
    bool goes_first = c->state == CALL_SLEEPING && to == CALL_WAITING;

    if (c->state == CALL_RUNNING)
        h->running_count--;
    if (to == CALL_RUNNING)
        h->running_count++;
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

/* Whether there is time for one more. */
static bool call_sleep(struct http_call *c, uint64_t wait_ms)
{
    uint64_t now = clock_mono_ms();
    uint64_t pause = backoff(c->failures++);

    if (c->failing_ms == 0)
        c->failing_ms = now;
    if (pause < wait_ms)
        pause = wait_ms;
    if (c->s.is_once || c->h->storage.is_hurried || now + pause > c->failing_ms + c->h->patience_ms)
        return false;
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

static bool has_sent_what_was_meant(struct http_call *c, const struct fetch_answer *answer)
{
    uint8_t md5[EVP_MAX_MD_SIZE];

    if (c->s.ask.verb != VERB_PUT && c->s.ask.verb != VERB_PART_PUT)
        return true;
    if (c->s.has_file)
        return answer->md5 == NULL || http_sums_agree(answer, answer->md5);
    if (EVP_Digest(c->s.bytes.at, c->s.bytes.len, md5, NULL, EVP_md5(), NULL) != 1)
        return true;
    return http_sums_agree(answer, md5);
}

static void judge_good(struct http_call *c, const struct fetch_answer *answer,
                       struct http_verdict *out)
{
    if (!has_sent_what_was_meant(c, answer)) {
        out->err = FAIL_STATE;
        out->may_pass = !c->has_sent_other_bytes;
        c->has_sent_other_bytes = true;
        snprintf(out->why, sizeof(out->why), "the storage has received other bytes than were sent");
        return;
    }
    switch (c->s.ask.verb) {
    case VERB_LIST:
    case VERB_BEGIN:
    case VERB_PART_COPY:
    case VERB_PARTS:
    case VERB_COMPLETE:
    case VERB_UPLOADS:
        http_result_deinit(&c->result);
        out->err = c->h->driver->read(&c->s.ask, answer->body, &c->result);
        if (out->err)
            snprintf(out->why, sizeof(out->why), "the storage's answer cannot be understood");
        break;
    default: break;
    }
}

static void on_answer(void *context, const struct fetch_answer *answer)
{
    struct http_call *c = context;
    struct http_verdict verdict;

    uint64_t moved = moved_of(c);
    if (c->s.has_sink && moved > c->got) {
        c->got = moved;
        c->failing_ms = 0;
        c->failures = 0;
    }
    c->fetch = NULL;
    http_judge(c->h->driver, c->s.ask.verb, answer, &verdict);
    if (verdict.err == OK)
        judge_good(c, answer, &verdict);
    if (answer->err == OK && (answer->status == 401 || answer->status == 403) &&
        mend_clock(c, answer))
        verdict.may_pass = true;
    if (verdict.err && verdict.may_pass && call_sleep(c, verdict.wait_ms))
        return;
    if (verdict.err == OK && !say_moved(c, c->s.bytes.len > 0 ? c->s.bytes.len : moved))
        return;
    call_end(c, verdict.err, verdict.err ? verdict.why : NULL, answer);
}

/* "bytes 100-199/1234", or "bytes 100-199" and "*" */
static bool begins_at(const struct fetch_answer *answer, uint64_t at)
{
    const char *range = fetch_header_of(answer, "Content-Range");
    struct str rest = str_trim(str_of(range));
    uint64_t from;

    if (!str_starts(rest, STR("bytes ")))
        return false;
    rest = (struct str){ rest.at + 6, rest.len - 6 };
    return str_parse_u64(str_trim(str_cut(&rest, '-')), UINT64_MAX, &from) == OK && from == at;
}

/* Before a byte goes into the file: that it is the one which belongs there. */
static int on_begun(void *context, const struct fetch_answer *answer)
{
    struct http_call *c = context;
    uint64_t at = c->s.offset + c->got;
    char etag[HTTP_ETAG_SIZE];

    if (answer->status != 200 && answer->status != 206)
        return OK; /* an error, which is judged when it is there */
    if (answer->status == 206 ? !begins_at(answer, at) : at > 0)
        return FAIL_UNSUPPORTED;
    http_etag_of(answer, etag);
    if (c->got > 0 && strcmp(etag, c->etag) != 0)
        return FAIL_STATE;
    memcpy(c->etag, etag, sizeof(etag));
    c->is_filling = true;
    return OK;
}

static uint64_t stall_of(const struct http_call *c)
{
    uint32_t patience = c->h->patience_ms;

    if (c->s.ask.verb == VERB_COMPLETE || c->s.ask.verb == VERB_PART_COPY)
        return LABOUR_MS;
    if (patience >= STALL_MS)
        return STALL_MS;
    return patience > STALL_MIN_MS ? patience : STALL_MIN_MS;
}

static void set_range(const struct http_call *c, struct fetch_request *out)
{
    uint64_t from = c->s.offset + c->got;

    out->has_sink = true;
    out->sink = c->s.sink;
    out->sink_at = c->s.sink_at + c->got;
    out->sink_max = c->s.length > 0 ? c->s.length - c->got : 0;
    out->begun = on_begun;
    if (from == 0 && c->s.length == 0)
        return; /* an empty object has no range */
    out->is_range = true;
    out->range_from = from;
    out->range_to = c->s.length > 0 ? c->s.offset + c->s.length - 1 : UINT64_MAX;
}

static void set_body(const struct http_call *c, const struct http_request *request,
                     struct fetch_request *out)
{
    enum http_verb verb = c->s.ask.verb;

    if (verb != VERB_PUT && verb != VERB_PART_PUT) {
        out->body = buf_str(&request->body);
        out->content_type = request->content_type;
        return;
    }
    out->content_type = verb == VERB_PUT ? c->s.ask.content_type : NULL;
    out->has_file = c->s.has_file;
    out->has_md5 = c->s.has_file;
    out->file = c->s.file;
    out->offset = c->s.offset;
    out->length = c->s.length;
    out->body = c->s.bytes;
}

static void call_fetch(struct http_call *c, const struct http_request *request)
{
    struct fetch_header headers[HEADERS_MAX];
    char match[HTTP_ETAG_SIZE + 2];
    struct fetch_request out = {
        .method = request->method,
        .url = buf_text(&request->url),
        .headers = headers,
        .header_count = request->header_count,
        .answer_max = c->s.answer_max ? c->s.answer_max + ERROR_MAX : ANSWER_MAX,
        .stall_ms = stall_of(c),
        .done = on_answer,
        .released = on_released,
        .context = c,
    };

    memcpy(headers, request->headers, request->header_count * sizeof(*headers));
    set_body(c, request, &out);
    if (c->s.has_sink)
        set_range(c, &out);
    if (c->s.has_sink && c->got > 0 && c->etag[0] != '\0') {
        snprintf(match, sizeof(match), "\"%s\"", c->etag);
        headers[out.header_count++] = (struct fetch_header){ "If-Match", match };
    }
    c->is_filling = false;
    c->fetch = fetch_start(c->h->fetcher, &out);
}

/* Signed anew each time. */
static void call_run(struct http_call *c)
{
    struct http_request request = { .method = "GET" };

    buf_init(&request.url, URL_MAX);
    buf_init(&request.body, BODY_MAX);
    call_move(c, CALL_RUNNING);
    int err = c->h->driver->ask(c->h, &c->s.ask, &request, &c->result);
    if (err == OK && (request.url.failed || request.body.failed))
        err = FAIL_LIMIT;
    if (err != OK)
        call_end(c, err, "the storage cannot be asked for that", NULL);
    else if (request.url.len == 0)
        call_end(c, OK, NULL, NULL);
    else
        call_fetch(c, &request);
    http_request_deinit(&request);
}

/* What is called may begin, cancel, or close. */
static void run_waiting(struct http_storage *h)
{
    while (h->waiting != NULL && h->running_count < h->parallel)
        call_run(h->waiting);
}

static void wake(struct http_storage *h, uint64_t now)
{
    struct http_call *c, *next;

    DL_FOREACH_SAFE(h->sleeping, c, next)
    if (c->due_ms <= now)
        call_move(c, CALL_WAITING);
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

    if (h->over != NULL || (h->waiting != NULL && h->running_count < h->parallel))
        return 0;
    DL_FOREACH(h->sleeping, c)
    due = earlier(due, c->due_ms > now ? c->due_ms - now : 0);
    DL_FOREACH(h->running, c)
    if (c->s.moved != NULL)
        due = earlier(due, MOVED_EVERY_MS);
    return due;
}
