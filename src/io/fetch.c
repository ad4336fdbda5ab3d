/* One request and its answer. */
#include "io/fetch.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/fetch_funnel.h"
#include "io/fetch_internal.h"
#include "io/fetch_md5.h"

enum {
    READ_BUFFER = 64 * 1024,
    HEADER_MAX = 64 * 1024,
    REDIRECT_BODY_MAX = 1024 * 1024, /* of an answer that leads on */
    SLOWEST = 8 * 1024,              /* bytes a second that a body may go by with */
    DRAIN_MAX_S = 15 * 60,
    DEAD_MS = 60 * 1000,
    HEADS_MAX = 1024 * 1024, /* of all answers on the way, with their trailers */
};

struct fetch {
    struct transfer transfer; /* first */
    struct curl_slist *headers;
    struct buf answer;
    int file;
    uint64_t offset, length, sent, received;
    size_t heads;          /* bytes of heads and trailers */
    int head_status;       /* as of the answer */
    struct funnel *funnel; /* or NULL */
    uint64_t sink_max;
    uint64_t stall_s; /* 0: no limit */
    struct md5 *md5;  /* of the file's range that is sent */
    bool has_begun, is_to_sink, is_paused, is_over;
    CURLcode code; /* once is_over */
    int err;       /* what one of our callbacks ended the transfer for */
    int (*begun)(void *context, const struct fetch_answer *answer);
    void (*done)(void *context, const struct fetch_answer *answer);
    void (*released)(void *context);
    void *context;
};

static void fetch_free(struct fetch *fetch)
{
    transfer_end(&fetch->transfer);
    curl_slist_free_all(fetch->headers);
    buf_deinit(&fetch->answer);
    md5_free(fetch->md5);
    mem_free(fetch);
}

void fetch_cancel(struct fetch *fetch)
{
    if (fetch->funnel != NULL)
        funnel_free(fetch->funnel, fetch->released, fetch->context);
    fetch_free(fetch);
}

static void on_cancel(struct transfer *t)
{
    fetch_cancel((struct fetch *)t);
}

static const char *explain(struct fetch *fetch, CURLcode code)
{
    switch (fetch->err) {
    case FAIL_LIMIT: return "the answer is too long";
    case FAIL_FULL: return "the disk is full";
    default: break;
    }
    if (fetch->err == FAIL_STATE && code == CURLE_ABORTED_BY_CALLBACK)
        return "the file has become shorter";
    if (fetch->err == FAIL_IO && code == CURLE_ABORTED_BY_CALLBACK)
        return "the file cannot be read";
    if (fetch->err == FAIL_IO && fetch->funnel != NULL && funnel_err(fetch->funnel))
        return "the file cannot be written";
    return fetch->err ? fail_text(fetch->err) : transfer_why(&fetch->transfer, code);
}

/* What can be said from the moment that the head is there. */
static void describe_head(struct fetch *fetch, struct fetch_answer *out)
{
    CURL *easy = fetch->transfer.easy;
    long status = 0;
    char *location = NULL, *url = NULL;
    curl_off_t retry_after = 0, length = -1;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &location);
    curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    out->status = (int)status;
    out->location = location;
    out->url = url;
    out->retry_after_s = retry_after;
    out->length = length;
    out->of = fetch;
}

/* libcurl hands out no body of a redirect that it follows, so whatever comes first belongs
 * to the answer. */
static int begin(struct fetch *fetch)
{
    struct fetch_answer answer = { .length = -1 };

    fetch->has_begun = true;
    describe_head(fetch, &answer);
    fetch->is_to_sink = fetch->funnel != NULL && (answer.status == 200 || answer.status == 206);
    if (fetch->begun != NULL)
        fetch->err = fetch->begun(fetch->context, &answer);
    if (!fetch->err && fetch->is_to_sink && fetch->sink_max > 0 && answer.length > 0 &&
        (uint64_t)answer.length > fetch->sink_max)
        fetch->err = FAIL_LIMIT;
    return fetch->err;
}

static size_t take_for_funnel(struct fetch *fetch, const char *bytes, size_t len)
{
    fetch->err = funnel_err(fetch->funnel);
    if (!fetch->err && fetch->sink_max > 0 && len > fetch->sink_max - fetch->received)
        fetch->err = FAIL_LIMIT;
    if (fetch->err)
        return CURL_WRITEFUNC_ERROR;
    if (!funnel_take(fetch->funnel, bytes, len)) {
        fetch->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    fetch->received += len;
    return len;
}

static size_t take_answer(char *bytes, size_t size, size_t count, void *context)
{
    struct fetch *fetch = context;
    size_t len = size * count;

    if (!fetch->has_begun && begin(fetch) != OK)
        return CURL_WRITEFUNC_ERROR;
    if (fetch->is_to_sink)
        return take_for_funnel(fetch, bytes, len);
    fetch->received += len;
    if (buf_append(&fetch->answer, bytes, len))
        return len;
    fetch->err = FAIL_LIMIT;
    return CURL_WRITEFUNC_ERROR;
}

static void limit_stall(struct fetch *fetch, uint64_t seconds)
{
    curl_easy_setopt(fetch->transfer.easy, CURLOPT_LOW_SPEED_TIME, (long)seconds);
}

/* Behind its last byte a body is in the kernel's buffers, ours and theirs, which hold some
 * MiB: on a slow way it takes minutes until all is through, and no byte is seen to move.
 * That nobody is there any more is TCP's to find out. */
static void let_drain(struct fetch *fetch)
{
    uint64_t drain_s = fetch->length / SLOWEST;
    curl_socket_t fd = CURL_SOCKET_BAD;
    unsigned dead_ms = DEAD_MS;

    if (fetch->stall_s == 0)
        return;
    limit_stall(fetch, fetch->stall_s + (drain_s < DRAIN_MAX_S ? drain_s : DRAIN_MAX_S));
    curl_easy_getinfo(fetch->transfer.easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd != CURL_SOCKET_BAD)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
}

static const char *header_of(const struct fetch *fetch, const char *name)
{
    struct curl_header *header = NULL;

    if (curl_easy_header(fetch->transfer.easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

/* RFC 9112, 6.3: there is no body. A server that sends the one which it has announced would
 * answer the next request on this connection with it. */
static void leave_what_follows(struct fetch *fetch)
{
    const char *length = header_of(fetch, "Content-Length");

    if (header_of(fetch, "Transfer-Encoding") != NULL ||
        (length != NULL && strcmp(length, "0") != 0))
        curl_easy_setopt(fetch->transfer.easy, CURLOPT_FORBID_REUSE, 1L);
}

/* libcurl bounds each head, but not the trailers (RFC 9112, 7.1.2), all of which it keeps. */
static size_t watch_heads(char *line, size_t size, size_t count, void *context)
{
    struct fetch *fetch = context;
    size_t len = size * count;
    long status = 0;

    fetch->heads += len;
    if (fetch->heads > HEADS_MAX) {
        fetch->err = FAIL_LIMIT;
        return CURL_WRITEFUNC_ERROR;
    }
    if (*line != '\r' && *line != '\n')
        return len;
    curl_easy_getinfo(fetch->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200) /* RFC 9110, 15.2: those before announce another */
        fetch->head_status = (int)status;
    if (status == 204 || status == 304)
        leave_what_follows(fetch);
    return len;
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
    md5_add(fetch->md5, out, (size_t)got);
    fetch->sent += (uint64_t)got;
    if (fetch->sent == fetch->length)
        let_drain(fetch);
    return (size_t)got;
}

/* Only back to the start: an idle connection turned out to be dead. */
static int rewind_file(void *context, curl_off_t offset, int origin)
{
    struct fetch *fetch = context;

    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    md5_restart(fetch->md5);
    fetch->sent = 0;
    if (fetch->stall_s > 0)
        limit_stall(fetch, fetch->stall_s);
    return CURL_SEEKFUNC_OK;
}

/* All that was received is in the file by now. */
static void finish(struct fetch *fetch)
{
    struct fetch_answer answer = { .length = -1, .of = fetch, .head_status = fetch->head_status };

    if (!fetch->err && fetch->funnel != NULL)
        fetch->err = funnel_err(fetch->funnel);
    answer.err = fetch->err ? fetch->err : transfer_fail(&fetch->transfer, fetch->code);
    if (answer.err) {
        answer.why = explain(fetch, fetch->code);
    } else {
        describe_head(fetch, &answer);
        answer.head_status = answer.status;
        answer.body = buf_str(&fetch->answer);
        answer.md5 = fetch->funnel != NULL ? funnel_md5(fetch->funnel) : md5_end(fetch->md5);
    }
    transfer_leave(&fetch->transfer);
    fetch->done(fetch->context, &answer);
    if (fetch->funnel != NULL)
        funnel_free(fetch->funnel, NULL, NULL);
    fetch_free(fetch);
}

static void on_finished(struct transfer *t, CURLcode code)
{
    struct fetch *fetch = (struct fetch *)t;

    if (code == CURLE_OK && !fetch->has_begun)
        begin(fetch);
    fetch->code = code;
    fetch->is_over = true;
    /* Also what came before an error: it can be gone on with from there. */
    if (fetch->funnel == NULL || funnel_flush(fetch->funnel))
        finish(fetch);
}

static void on_written(void *context)
{
    struct fetch *fetch = context;

    if (fetch->is_over) {
        if (funnel_flush(fetch->funnel))
            finish(fetch);
        return;
    }
    if (funnel_err(fetch->funnel)) {
        on_finished(&fetch->transfer, CURLE_WRITE_ERROR);
        return;
    }
    if (!fetch->is_paused)
        return;
    fetch->is_paused = false;
    CURLcode code = curl_easy_pause(fetch->transfer.easy, CURLPAUSE_CONT);
    if (code != CURLE_OK) /* of the bytes that it kept; the transfer would never end */
        on_finished(&fetch->transfer, code);
}

static void add_header(struct fetch *fetch, const char *name, const char *value)
{
    struct buf line;

    buf_init(&line, HEADER_MAX);
    buf_printf(&line, *value ? "%s: %s" : "%s;", name, value);
    struct curl_slist *longer =
        line.failed ? NULL : curl_slist_append(fetch->headers, buf_text(&line));
    if (longer != NULL)
        fetch->headers = longer;
    buf_deinit(&line);
}

/* One that libcurl would add by itself. */
static void omit_header(struct fetch *fetch, const char *line)
{
    struct curl_slist *longer = curl_slist_append(fetch->headers, line);

    if (longer != NULL)
        fetch->headers = longer;
}

static void set_headers(struct fetch *fetch, const struct fetch_request *request)
{
    struct buf token;

    /* A server that does not know of it would be waited for, a second each time. */
    omit_header(fetch, "Expect:");
    if (request->content_type != NULL)
        add_header(fetch, "Content-Type", request->content_type);
    else
        omit_header(fetch, "Content-Type:");
    if (request->token != NULL) {
        buf_init(&token, HEADER_MAX);
        buf_printf(&token, "Bearer %s", request->token);
        add_header(fetch, "Authorization", buf_text(&token));
        buf_deinit(&token);
    }
    for (size_t i = 0; i < request->header_count; i++)
        add_header(fetch, request->headers[i].name, request->headers[i].value);
    curl_easy_setopt(fetch->transfer.easy, CURLOPT_HTTPHEADER, fetch->headers);
}

static void set_file(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->transfer.easy;

    fetch->file = request->file;
    fetch->offset = request->offset;
    fetch->length = request->length;
    fetch->md5 = request->has_md5 ? md5_new() : NULL;
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)READ_BUFFER);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_file);
    curl_easy_setopt(easy, CURLOPT_READDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_file);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->length);
}

static void set_body(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->transfer.easy;
    bool is_get = strcmp(request->method, "GET") == 0;

    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L); /* as leave_what_follows */
        return;
    }
    if (request->has_file) {
        set_file(fetch, request);
    } else if (!is_get || request->body.len > 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body.at ? request->body.at : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_sink(struct fetch *fetch, const struct fetch_request *request)
{
    struct funnel_settings settings = {
        .file = request->sink,
        .at = request->sink_at,
        .has_md5 = request->has_md5,
        .moved = on_written,
        .context = fetch,
    };

    fetch->funnel = funnel_new(fetcher_loop(fetch->transfer.fetcher), &settings);
    fetch->sink_max = request->sink_max;
    curl_easy_setopt(fetch->transfer.easy, CURLOPT_BUFFERSIZE, (long)READ_BUFFER);
}

static void set_range(CURL *easy, const struct fetch_request *request)
{
    char range[64];

    if (request->range_to == UINT64_MAX)
        snprintf(range, sizeof(range), "%" CURL_FORMAT_CURL_OFF_TU "-", request->range_from);
    else
        snprintf(range, sizeof(range), "%" CURL_FORMAT_CURL_OFF_TU "-%" CURL_FORMAT_CURL_OFF_TU,
                 request->range_from, request->range_to);
    curl_easy_setopt(easy, CURLOPT_RANGE, range);
}

/* libcurl reads the body of a redirect to its end, which may never come, and shows it to
 * nobody: what is received before an answer has begun is of one. */
static int watch_redirects(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                           curl_off_t up_now)
{
    struct fetch *fetch = context;

    (void)total;
    (void)up_total;
    (void)up_now;
    if (fetch->has_begun || now <= REDIRECT_BODY_MAX)
        return 0;
    fetch->err = FAIL_LIMIT;
    return 1;
}

static void follow(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->transfer.easy;

    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    /* Some lead to themselves until a cookie comes back. Kept for this request only. */
    curl_easy_setopt(easy, CURLOPT_COOKIEFILE, "");
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)request->redirects_max);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, watch_redirects);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, fetch);
}

static void set_way(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->transfer.easy;
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;

    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    if (request->stall_ms > 0) {
        fetch->stall_s = (request->stall_ms + 999) / 1000;
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        limit_stall(fetch, fetch->stall_s);
    }
    if (request->redirects_max > 0 && reads)
        follow(fetch, request);
    if (request->is_range)
        set_range(easy, request);
}

struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *request)
{
    struct fetch *fetch = mem_new(struct fetch);
    CURL *easy = transfer_prepare(&fetch->transfer, f, request->url);

    if (easy == NULL)
        abort(); /* as any small allocation */
    fetch->transfer.finished = on_finished;
    fetch->transfer.cancel = on_cancel;
    fetch->begun = request->begun;
    fetch->done = request->done;
    fetch->released = request->released;
    fetch->context = request->context;
    buf_init(&fetch->answer, request->answer_max);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, watch_heads);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    set_headers(fetch, request);
    set_body(fetch, request);
    if (request->has_sink)
        set_sink(fetch, request);
    set_way(fetch, request);
    transfer_begin(&fetch->transfer);
    return fetch;
}

uint64_t fetch_sent(const struct fetch *fetch)
{
    return fetch->sent;
}

uint64_t fetch_received(const struct fetch *fetch)
{
    return fetch->received;
}

const char *fetch_header_of(const struct fetch_answer *answer, const char *name)
{
    return answer->of != NULL ? header_of(answer->of, name) : NULL;
}
