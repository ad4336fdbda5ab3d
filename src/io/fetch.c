/* One request and its answer. */
#include "io/fetch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/fetch_internal.h"

enum { READ_BUFFER = 64 * 1024 };

struct fetch {
    struct transfer transfer; /* first */
    struct curl_slist *headers;
    struct buf answer;
    int file;
    uint64_t offset, length, sent;
    int err; /* what one of our callbacks ended the transfer for */
    void (*done)(void *context, const struct fetch_answer *answer);
    void *context;
};

static void fetch_free(struct fetch *fetch)
{
    transfer_end(&fetch->transfer);
    curl_slist_free_all(fetch->headers);
    buf_deinit(&fetch->answer);
    mem_free(fetch);
}

void fetch_cancel(struct fetch *fetch)
{
    fetch_free(fetch);
}

static void on_cancel(struct transfer *t)
{
    fetch_free((struct fetch *)t);
}

static size_t take_answer(char *bytes, size_t size, size_t count, void *context)
{
    struct fetch *fetch = context;

    if (buf_append(&fetch->answer, bytes, size * count))
        return count;
    fetch->err = FAIL_LIMIT;
    return CURL_WRITEFUNC_ERROR;
}

static size_t give_file(char *out, size_t size, size_t count, void *context)
{
    struct fetch *fetch = context;
    uint64_t left = fetch->length - fetch->sent;
    size_t want = size * count < left ? size * count : (size_t)left;

    if (want == 0)
        return 0;
    ssize_t got = pread(fetch->file, out, want, (off_t)(fetch->offset + fetch->sent));
    if (got <= 0) {
        fetch->err = got < 0 ? FAIL_IO : FAIL_STATE;
        return CURL_READFUNC_ABORT;
    }
    fetch->sent += (uint64_t)got;
    return (size_t)got;
}

/* Only back to the start: an idle connection turned out to be dead. */
static int rewind_file(void *context, curl_off_t offset, int origin)
{
    struct fetch *fetch = context;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > fetch->length)
        return CURL_SEEKFUNC_CANTSEEK;
    fetch->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static const char *explain(const struct fetch *fetch, CURLcode code)
{
    switch (fetch->err) {
    case FAIL_LIMIT: return "the answer is too long";
    case FAIL_STATE: return "the file has become shorter";
    case FAIL_IO: return "the file cannot be read";
    default: break;
    }
    return transfer_why(&fetch->transfer, code);
}

static void on_finished(struct transfer *t, CURLcode code)
{
    struct fetch *fetch = (struct fetch *)t;
    struct fetch_answer answer = { .err = fetch->err ? fetch->err : fail_from_curl(code) };
    long status = 0;
    char *location = NULL;
    curl_off_t retry_after = 0;

    if (answer.err) {
        answer.why = explain(fetch, code);
    } else {
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
        curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after);
        answer.status = (int)status;
        answer.location = location;
        answer.retry_after_s = retry_after;
        answer.body = buf_str(&fetch->answer);
    }
    fetch->done(fetch->context, &answer);
    fetch_free(fetch);
}

static void add_header(struct fetch *fetch, const char *name, const char *value)
{
    struct buf line;

    buf_init(&line, 64 * 1024);
    buf_printf(&line, "%s%s", name, value);
    struct curl_slist *longer =
        line.failed ? NULL : curl_slist_append(fetch->headers, buf_text(&line));
    if (longer != NULL)
        fetch->headers = longer;
    buf_deinit(&line);
}

static void set_body(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->transfer.easy;

    if (request->has_file) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)READ_BUFFER);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_file);
        curl_easy_setopt(easy, CURLOPT_READDATA, fetch);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_file);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, fetch);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->length);
    } else if (strcmp(request->method, "GET") != 0 || request->body.len > 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body.at ? request->body.at : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_limits(CURL *easy, const struct fetch_request *request)
{
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    if (request->stall_ms > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((request->stall_ms + 999) / 1000));
    }
}

struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *request)
{
    struct fetch *fetch = mem_new(struct fetch);
    CURL *easy = transfer_prepare(&fetch->transfer, f, request->url);

    if (easy == NULL)
        abort(); /* as any small allocation */
    fetch->transfer.finished = on_finished;
    fetch->transfer.cancel = on_cancel;
    fetch->done = request->done;
    fetch->context = request->context;
    fetch->file = request->file;
    fetch->offset = request->offset;
    fetch->length = request->length;
    buf_init(&fetch->answer, request->answer_max);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    if (request->content_type != NULL)
        add_header(fetch, "Content-Type: ", request->content_type);
    if (request->token != NULL)
        add_header(fetch, "Authorization: Bearer ", request->token);
    if (fetch->headers != NULL)
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers);
    set_body(fetch, request);
    set_limits(easy, request);
    transfer_begin(&fetch->transfer);
    return fetch;
}

uint64_t fetch_sent(const struct fetch *fetch)
{
    return fetch->sent;
}
