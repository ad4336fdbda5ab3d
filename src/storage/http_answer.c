/* What an answer means: good or not, final or not, and a clause for people. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/content_date.h"
#include "proto/xml.h"
#include "storage/http_internal.h"

enum {
    CODE_SIZE = 64,
    MESSAGE_SIZE = 200,
    SKEW_MIN_S = 60, /* less is no reason to refuse anything */
};

/* <Error><Code>..</Code><Message>..</Message></Error>, of Amazon's and Azure's alike. */
struct error_document {
    char code[CODE_SIZE], message[MESSAGE_SIZE];
    bool is_error;
};

void http_copy_line(struct str text, char *out, size_t size)
{
    size_t len = 0;

    text = str_trim(text);
    for (size_t i = 0; i < text.len && len + 1 < size; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '\n' || c == '\r')
            break;
        out[len++] = (char)(c < 0x20 || c >= 0x7f ? '?' : c);
    }
    out[len] = '\0';
}

static int error_begun(void *context, const char *path)
{
    struct error_document *e = context;

    if (strchr(path, '/') == NULL)
        e->is_error = strcmp(path, "Error") == 0;
    return e->is_error ? OK : FAIL_CANCELLED; /* nothing further of it is wanted */
}

static int error_ended(void *context, const char *path, struct str text)
{
    struct error_document *e = context;

    if (strcmp(path, "Error/Code") == 0)
        http_copy_line(text, e->code, sizeof(e->code));
    else if (strcmp(path, "Error/Message") == 0)
        http_copy_line(text, e->message, sizeof(e->message));
    return OK;
}

static void read_error(struct str body, struct error_document *out)
{
    struct xml_handler handler = { error_begun, error_ended, out };

    memset(out, 0, sizeof(*out));
    if (body.len > 0)
        (void)xml_read(body, &handler, NULL); /* what is not XML says nothing */
}

static bool has_document(enum http_verb verb)
{
    return verb == VERB_LIST || verb == VERB_BEGIN || verb == VERB_COPY || verb == VERB_PART_COPY ||
           verb == VERB_PARTS || verb == VERB_COMPLETE || verb == VERB_UPLOADS;
}

/* Where the code says more than the status. */
static const struct http_code common_codes[] = {
    { "RequestTimeout", FAIL_TIMEOUT, true },
    { "SlowDown", FAIL_CLOSED, true },
    { "InternalError", FAIL_CLOSED, true },
    { "ServiceUnavailable", FAIL_CLOSED, true },
    { "IncompleteBody", FAIL_IO, true },
    { "BadDigest", FAIL_STATE, true },
    { "QuotaExceeded", FAIL_FULL, false },
    { "NoSuchUpload", FAIL_MISSING, false },
    { "NoSuchBucket", FAIL_MISSING, false },
    { "EntityTooLarge", FAIL_LIMIT, false },
    { "EntityTooSmall", FAIL_LIMIT, false },
    { "InvalidAccessKeyId", FAIL_DENIED, false },
    { "SignatureDoesNotMatch", FAIL_DENIED, false },
    { NULL, OK, false },
};

static const struct http_code *find_code(const struct http_code *codes, const char *code)
{
    for (; codes != NULL && codes->code != NULL; codes++)
        if (strcmp(codes->code, code) == 0)
            return codes;
    return NULL;
}

static void judge_status(int status, struct http_verdict *out)
{
    static const struct {
        int status, err;
        bool may_pass;
    } known[] = {
        { 302, FAIL_UNSUPPORTED, true },  { 303, FAIL_UNSUPPORTED, true },
        { 307, FAIL_UNSUPPORTED, true }, /* for now; a portal, for example */
        { 400, FAIL_SYNTAX, false },      { 401, FAIL_DENIED, false },
        { 403, FAIL_DENIED, false },      { 404, FAIL_MISSING, false },
        { 408, FAIL_TIMEOUT, true },      { 409, FAIL_STATE, false },
        { 410, FAIL_MISSING, false },     { 412, FAIL_STATE, false },
        { 413, FAIL_LIMIT, false },       { 416, FAIL_STATE, false },
        { 425, FAIL_CLOSED, true },       { 429, FAIL_CLOSED, true },
        { 501, FAIL_UNSUPPORTED, false }, { 507, FAIL_FULL, false },
    };

    out->err = status >= 500 ? FAIL_CLOSED : FAIL_UNSUPPORTED;
    out->may_pass = status >= 500;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (known[i].status == status) {
            out->err = known[i].err;
            out->may_pass = known[i].may_pass;
        }
    }
}

/* Amazon's, of a bucket that is asked for where it is not. */
static void name_region(const struct fetch_answer *answer, struct http_verdict *out)
{
    const char *region = fetch_header_of(answer, "x-amz-bucket-region");
    size_t len = strlen(out->why);
    char name[CODE_SIZE];

    http_copy_line(str_of(region), name, sizeof(name));
    if (name[0] != '\0')
        snprintf(out->why + len, sizeof(out->why) - len, " (the bucket is in region %s)", name);
}

static void judge_error(const struct http_driver *driver, const struct fetch_answer *answer,
                        const struct error_document *e, struct http_verdict *out)
{
    const struct http_code *known = find_code(driver->codes, e->code);

    /* A 200 that turned into an error while it was being worked on. */
    judge_status(answer->status < 300 ? 500 : answer->status, out);
    if (known == NULL)
        known = find_code(common_codes, e->code);
    if (known != NULL) {
        out->err = known->err;
        out->may_pass = known->may_pass;
    }
    if (answer->retry_after_s > 0)
        out->wait_ms = (uint64_t)answer->retry_after_s * 1000;
    if (e->code[0] != '\0')
        snprintf(out->why, sizeof(out->why), "the storage says %s (%d)%s%s", e->code,
                 answer->status, e->message[0] ? ": " : "", e->message);
    else
        snprintf(out->why, sizeof(out->why), "the storage answers %d", answer->status);
    if (answer->status >= 300 && answer->status < 400)
        name_region(answer, out);
}

/* The storage is not there for a while; that is not to say that an object is not. */
static void judge_absence(const struct fetch_answer *answer, struct http_verdict *out)
{
    out->err = FAIL_CLOSED;
    out->may_pass = true;
    snprintf(out->why, sizeof(out->why), "something else than the storage answers %d",
             answer->status);
}

void http_judge(const struct http_driver *driver, enum http_verb verb,
                const struct fetch_answer *answer, struct http_verdict *out)
{
    struct error_document e = { .is_error = false };

    memset(out, 0, sizeof(*out));
    if (answer->err) {
        out->err = answer->err;
        out->may_pass =
            answer->err == FAIL_CLOSED || answer->err == FAIL_TIMEOUT || answer->err == FAIL_IO;
        http_copy_line(str_of(answer->why), out->why, sizeof(out->why));
        return;
    }
    bool is_good = answer->status >= 200 && answer->status < 300;
    if (!is_good || has_document(verb))
        read_error(answer->body, &e);
    if (!is_good || e.is_error)
        judge_error(driver, answer, &e, out);
    if (out->err == FAIL_MISSING && !e.is_error && http_is_nobodys(answer))
        judge_absence(answer, out);
}

int64_t http_skew(const struct fetch_answer *answer, int64_t now_s)
{
    const char *date = fetch_header_of(answer, "Date");
    int64_t then_s = date ? content_parse_date(str_of(date)) : -1;
    int64_t skew = then_s < 0 ? 0 : then_s - now_s;

    return skew >= -SKEW_MIN_S && skew <= SKEW_MIN_S ? 0 : skew;
}

static bool says(const struct fetch_answer *answer, const char *name, const char *what)
{
    const char *value = fetch_header_of(answer, name);

    return value != NULL && strstr(value, what) != NULL;
}

bool http_sums_agree(const struct fetch_answer *answer, const uint8_t md5[16])
{
    const char *sum = fetch_header_of(answer, "Content-MD5");
    char etag[HTTP_ETAG_SIZE], hex[33], base64[ENCODE_BASE64_SIZE(16)];
    uint8_t bytes[16];

    encode_base64(md5, 16, base64);
    if (sum != NULL)
        return strcmp(sum, base64) == 0;
    http_etag_of(answer, etag);
    if (strlen(etag) != 32 || decode_hex(etag, 32, bytes, 16) != OK)
        return true; /* something else */
    /* Of what is encrypted by a key of the client's or of KMS the tag is not the MD5. */
    if (says(answer, "x-amz-server-side-encryption", "kms") ||
        fetch_header_of(answer, "x-amz-server-side-encryption-customer-algorithm") != NULL)
        return true;
    encode_hex(md5, 16, hex);
    return strcasecmp(etag, hex) == 0;
}

static struct str unquoted(struct str text)
{
    text = str_trim(text);
    if (str_starts(text, STR("W/")))
        text = (struct str){ text.at + 2, text.len - 2 };
    if (text.len >= 2 && text.at[0] == '"' && text.at[text.len - 1] == '"')
        text = (struct str){ text.at + 1, text.len - 2 };
    return text;
}

void http_etag_of(const struct fetch_answer *answer, char out[HTTP_ETAG_SIZE])
{
    const char *etag = fetch_header_of(answer, "ETag");

    snprintf(out, HTTP_ETAG_SIZE, "%.*s", STR_ARG(unquoted(str_of(etag))));
}

void http_item_etag(struct http_item *item, struct str etag)
{
    snprintf(item->etag, sizeof(item->etag), "%.*s", STR_ARG(unquoted(etag)));
}

struct http_item *http_result_add(struct http_result *r, struct str key, struct str id)
{
    if (r->count == r->room) {
        r->room = r->room ? r->room * 2 : 16;
        r->items = mem_resize(r->items, r->room * sizeof(*r->items));
    }
    struct http_item *item = &r->items[r->count++];
    memset(item, 0, sizeof(*item));
    item->modified_s = -1;
    item->key = key.at ? mem_strndup(key.at, key.len) : NULL;
    item->id = id.at ? mem_strndup(id.at, id.len) : NULL;
    return item;
}

void http_result_deinit(struct http_result *r)
{
    for (size_t i = 0; i < r->count; i++) {
        mem_free(r->items[i].key);
        mem_free(r->items[i].id);
    }
    mem_free(r->items);
    mem_free(r->id);
    mem_free(r->after);
    memset(r, 0, sizeof(*r));
}

void http_request_header(struct http_request *r, const char *name, const char *value)
{
    if (r->header_count == HTTP_FIELDS_MAX)
        return;
    r->headers[r->header_count++] = (struct fetch_header){ mem_strdup(name), mem_strdup(value) };
}

void http_request_deinit(struct http_request *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        mem_free((char *)r->headers[i].name);
        mem_free((char *)r->headers[i].value);
    }
    buf_deinit(&r->url);
    buf_deinit(&r->body);
}
