/* One try of a call: what is sent, and what is made of what comes. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/http_call.h"

enum {
    URL_MAX = 16 * 1024,
    BODY_MAX = 4 * 1024 * 1024,    /* the list of 10,000 parts has 1.5 MB */
    ANSWER_MAX = 16 * 1024 * 1024, /* a page of 5,000 keys of 1 KiB, in XML */
    ERROR_MAX = 64 * 1024,
    STALL_MS = 30 * 1000,
    STALL_MIN_MS = 1000,
    LABOUR_MS = 5 * 60 * 1000, /* a server that copies or joins is silent for minutes */
    HEADERS_MAX = HTTP_FIELDS_MAX + 1,
    UNREAD_MAX = 2,
    TYPE_SIZE = 60,
};

/* Known only of what came in one go. */
static bool has_come_whole(const struct http_call *c, uint64_t had)
{
    return c->s.has_sink && had == 0 && c->s.offset == 0 && c->s.length == 0;
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

/* Of the whole object, as far as a range's answer says so; else UINT64_MAX. */
static uint64_t size_of(const struct fetch_answer *answer)
{
    struct str rest = str_of(fetch_header_of(answer, "Content-Range"));
    uint64_t size;

    str_cut(&rest, '/');
    return str_parse_u64(str_trim(rest), UINT64_MAX - 1, &size) == OK ? size : UINT64_MAX;
}

static int refuse(struct http_call *c, int err, const char *why)
{
    c->amiss = why;
    return err;
}

/* Before a byte goes into the file: that it is the one which belongs there. */
static int on_begun(void *context, const struct fetch_answer *answer)
{
    struct http_call *c = context;
    uint64_t at = c->s.offset + c->got;
    char etag[HTTP_ETAG_SIZE];

    if (answer->status != 200 && answer->status != 206)
        return OK; /* an error, which is judged when it is there */
    if (!http_is_genuine(c->h->driver, VERB_GET, answer))
        return refuse(c, FAIL_IO, "the storage's answer is none of an object's");
    if (answer->status == 206 ? !begins_at(answer, at) : at > 0)
        return refuse(c, FAIL_UNSUPPORTED,
                      "the storage does not answer with the range that was asked for");
    http_etag_of(answer, etag);
    if (c->got > 0 && strcmp(etag, c->etag) != 0)
        return refuse(c, FAIL_STATE, "the object has become another one meanwhile");
    memcpy(c->etag, etag, sizeof(etag));
    c->is_filling = true;
    return OK;
}

static uint64_t stall_of(const struct http_call *c)
{
    uint32_t patience = c->h->patience_ms;

    if (c->s.ask.verb == VERB_COMPLETE || c->s.ask.verb == VERB_COPY ||
        c->s.ask.verb == VERB_PART_COPY)
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
    out->has_md5 = has_come_whole(c, c->got);
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

static void start_fetch(struct http_call *c, const struct http_request *request,
                        void (*done)(void *, const struct fetch_answer *), void (*released)(void *))
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
        .done = done,
        .released = released,
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
    c->amiss = NULL;
    c->fetch = fetch_start(c->h->fetcher, &out);
}

int http_attempt(struct http_call *c, void (*done)(void *, const struct fetch_answer *),
                 void (*released)(void *))
{
    struct http_request request = { .method = "GET" };

    buf_init(&request.url, URL_MAX);
    buf_init(&request.body, BODY_MAX);
    int err = c->h->driver->ask(c->h, &c->s.ask, &request, &c->result);
    if (err == OK && (request.url.failed || request.body.failed))
        err = FAIL_LIMIT;
    if (err == OK && request.url.len > 0)
        start_fetch(c, &request, done, released);
    http_request_deinit(&request);
    return err;
}

static bool is_sum_of(const struct fetch_answer *answer, struct str bytes)
{
    uint8_t md5[EVP_MAX_MD_SIZE];

    if (EVP_Digest(bytes.at, bytes.len, md5, NULL, EVP_md5(), NULL) != 1)
        return true;
    return http_sums_agree(answer, md5);
}

static bool has_sent_what_was_meant(struct http_call *c, const struct fetch_answer *answer)
{
    if (c->s.ask.verb != VERB_PUT && c->s.ask.verb != VERB_PART_PUT)
        return true;
    if (c->s.has_file)
        return answer->md5 == NULL || http_sums_agree(answer, answer->md5);
    return is_sum_of(answer, c->s.bytes);
}

static bool has_read_what_is_there(struct http_call *c, const struct fetch_answer *answer,
                                   uint64_t had)
{
    if (c->s.ask.verb == VERB_GET && !c->s.has_sink)
        return is_sum_of(answer, answer->body);
    return !has_come_whole(c, had) || answer->md5 == NULL || http_sums_agree(answer, answer->md5);
}

/* RFC 9110, 15.3: a range, of what is asked for as a whole, is none of it. */
static bool is_no_object(const struct http_call *c, const struct fetch_answer *answer)
{
    return c->s.ask.verb == VERB_GET && answer->status == 206 && !c->s.has_sink;
}

/* Once more from the beginning. */
static void judge_other_bytes(struct http_call *c, struct http_verdict *out, const char *why)
{
    out->err = FAIL_STATE;
    out->may_pass = !c->has_other_bytes;
    c->has_other_bytes = true;
    c->got = 0;
    snprintf(out->why, sizeof(out->why), "%s", why);
}

/* All of it has come, but not the end of the answer; there is no range behind it to ask for. */
static bool has_no_rest(const struct http_call *c, const struct fetch_answer *answer, bool may_pass)
{
    if (c->got == 0)
        return false;
    return answer->err ? may_pass && c->is_filling && c->s.length > 0 && c->got == c->s.length
                       : answer->status == 416;
}

/* By the answer itself all has come, and yet there is more of the object. */
static bool is_short(const struct http_call *c, const struct fetch_answer *answer)
{
    uint64_t size = size_of(answer), end = c->s.offset + c->got;

    if (!c->s.has_sink)
        return false;
    return c->s.length > 0 ? c->got < c->s.length && size > end : size != UINT64_MAX && size > end;
}

/* Who stands between may have spoilt it. */
static void judge_unread(struct http_call *c, const struct fetch_answer *answer, int err,
                         struct http_verdict *out)
{
    char type[TYPE_SIZE];

    http_copy_line(str_of(fetch_header_of(answer, "Content-Type")), type, sizeof(type));
    out->err = err;
    out->may_pass = c->unread++ < UNREAD_MAX;
    snprintf(out->why, sizeof(out->why), "the storage's answer cannot be understood (%d%s%s)",
             answer->status, type[0] ? ", " : "", type);
}

static bool is_asked_for(const struct http_ask *ask, const struct http_item *item)
{
    return item->key != NULL && item->key[0] != '\0' &&
           str_starts(str_of(item->key), str_of(ask->key));
}

/* What is listed may be removed because it is. So a list with anything else in it is an
 * answer to something else; but not every server looks for uploads by a beginning. */
static int keep_asked_for(const struct http_ask *ask, struct http_result *r)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->count; i++) {
        struct http_item item = r->items[i];
        bool has_id = item.id != NULL && item.id[0] != '\0';
        if (ask->verb == VERB_LIST && !is_asked_for(ask, &item))
            return FAIL_SYNTAX;
        if (ask->verb != VERB_UPLOADS || (has_id && is_asked_for(ask, &item))) {
            r->items[kept++] = item;
            continue;
        }
        mem_free(item.key);
        mem_free(item.id);
    }
    r->count = kept;
    return OK;
}

static int read_document(struct http_call *c, const struct fetch_answer *answer)
{
    http_result_deinit(&c->result);
    int err = c->h->driver->read(&c->s.ask, answer->body, &c->result);
    return err == OK ? keep_asked_for(&c->s.ask, &c->result) : err;
}

void http_attempt_judge(struct http_call *c, const struct fetch_answer *answer, uint64_t had,
                        struct http_verdict *out)
{
    int err;

    http_judge(c->h->driver, c->s.ask.verb, answer, out);
    if (has_no_rest(c, answer, out->may_pass)) {
        judge_other_bytes(c, out, "the end of the storage's answer is missing");
        return;
    }
    if (out->err && c->amiss != NULL)
        snprintf(out->why, sizeof(out->why), "%s", c->amiss);
    if (out->err)
        return;
    if (!http_is_genuine(c->h->driver, c->s.ask.verb, answer) || is_no_object(c, answer) ||
        (is_short(c, answer) && answer->status == 206)) {
        judge_unread(c, answer, FAIL_IO, out);
        return;
    }
    if (is_short(c, answer)) {
        judge_other_bytes(c, out, "the object is shorter than it should be");
        return;
    }
    if (!has_sent_what_was_meant(c, answer)) {
        judge_other_bytes(c, out, "the storage has received other bytes than were sent");
        return;
    }
    if (!has_read_what_is_there(c, answer, had)) {
        judge_other_bytes(c, out, "other bytes have come than the storage should have");
        return;
    }
    switch (c->s.ask.verb) {
    case VERB_LIST:
    case VERB_BEGIN:
    case VERB_COPY:
    case VERB_PART_COPY:
    case VERB_PARTS:
    case VERB_COMPLETE:
    case VERB_UPLOADS:
        err = read_document(c, answer);
        if (err)
            judge_unread(c, answer, err, out);
        break;
    default: break;
    }
}
