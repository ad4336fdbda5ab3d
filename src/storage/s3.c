/* Amazon S3 and what speaks like it: every request is a URL that was signed (SigV4, the
 * payload unsigned: TLS and the checksums that come back see to that), so there is one
 * way of signing for us and for clients. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/sigv4.h"
#include "proto/url.h"
#include "proto/xml.h"
#include "storage/http_disposition.h"
#include "storage/http_driver.h"
#include "storage/s3_read.h"

enum {
    LIFETIME_S = 15 * 60, /* of what we ask ourselves: it begins at once */
    PARAMS_MAX = 6,
    PAGE_MAX = 1000,
    NUMBER_SIZE = 12,
    PATH_MAX_BYTES = 4 * 1024,
    COPY_SOURCE_MAX = 8 * 1024, /* a key of 1 KiB, each byte of it encoded */
    DISPOSITION_MAX = 2 * 1024,
};

/* A request as it is being made up. */
struct s3_request {
    const char *method;
    struct sign_field params[PARAMS_MAX];
    size_t param_count;
    struct sign_field header; /* to be signed, if it has a name */
    char number[NUMBER_SIZE], size[NUMBER_SIZE];
};

static const struct storage_traits *s3_traits(const struct storage_url *url)
{
    enum { MIB = 1 << 20 };
    static const struct storage_traits s3 = {
        .provider = "s3",
        .has_urls = true,
        .part_min = 5 * MIB,
        .part_max = 5ull * 1024 * MIB,
        .parts_max = STORAGE_PARTS_MAX,
        .has_object_urls = true,
        .has_part_copy = true,
        .copy_max = 5ull * 1024 * MIB,
    };
    static const struct storage_traits gcs = {
        .provider = "gcs",
        .has_urls = true,
        .part_min = 5 * MIB,
        .part_max = 5ull * 1024 * MIB,
        .parts_max = STORAGE_PARTS_MAX,
        .has_object_urls = true,
        .copy_max = 5ull * 1024 * MIB,
    };

    return strcmp(url->provider, "gcs") == 0 ? &gcs : &s3;
}

static void add_param(struct s3_request *r, const char *name, const char *value)
{
    r->params[r->param_count++] = (struct sign_field){ name, value };
}

/* "/BUCKET/folder/key", or of the bucket itself. */
static void put_path(const struct storage_url *url, const char *key, struct buf *out)
{
    buf_puts(out, url->root);
    if (key != NULL)
        buf_printf(out, "/%s", key);
    else if (out->len == 0)
        buf_putc(out, '/');
}

static int sign(const struct http_storage *h, const char *key, const struct s3_request *r,
                uint64_t lifetime_s, struct buf *out)
{
    const struct storage_url *url = http_storage_url(h);
    struct buf path;

    buf_init(&path, PATH_MAX_BYTES);
    put_path(url, key, &path);
    struct sigv4_key with = { .id = url->key_id,
                              .secret = url->secret,
                              .session = url->session,
                              .region = url->region,
                              .service = "s3" };
    struct sigv4_request request = { .method = r->method,
                                     .scheme = url->is_https ? "https" : "http",
                                     .host = url->authority,
                                     .path = buf_str(&path),
                                     .params = r->params,
                                     .param_count = r->param_count,
                                     .headers = &r->header,
                                     .header_count = r->header.name != NULL,
                                     .now_s = http_storage_now_s(h) };
    int err = path.failed ? FAIL_LIMIT : sigv4_presign(&with, &request, lifetime_s, out);
    buf_deinit(&path);
    return err;
}

static void name_part(struct s3_request *r, const struct http_ask *ask)
{
    snprintf(r->number, sizeof(r->number), "%" PRIu32, ask->number);
    add_param(r, "partNumber", r->number);
    add_param(r, "uploadId", ask->id);
}

static void name_page(struct s3_request *r, const char *name)
{
    snprintf(r->size, sizeof(r->size), "%d", PAGE_MAX);
    add_param(r, name, r->size);
}

/* Where a page of uploads begins is a key and an id. */
static void name_uploads(struct s3_request *r, const struct http_ask *ask, char *after)
{
    r->method = "GET";
    add_param(r, "uploads", NULL);
    add_param(r, "prefix", ask->key);
    name_page(r, "max-uploads");
    if (after == NULL)
        return;
    char *id = strchr(after, '\n');
    if (id != NULL)
        *id++ = '\0';
    add_param(r, "key-marker", after);
    if (id != NULL)
        add_param(r, "upload-id-marker", id);
}

static void name_list(struct s3_request *r, const struct http_ask *ask)
{
    r->method = "GET";
    add_param(r, "list-type", "2");
    add_param(r, "prefix", ask->key);
    name_page(r, "max-keys");
    if (ask->after != NULL)
        add_param(r, "continuation-token", ask->after);
}

static void name_parts(struct s3_request *r, const struct http_ask *ask)
{
    r->method = "GET";
    add_param(r, "uploadId", ask->id);
    name_page(r, "max-parts");
    if (ask->after != NULL)
        add_param(r, "part-number-marker", ask->after);
}

/* `after` is a copy that may be cut up. */
static void name(struct s3_request *r, const struct http_ask *ask, char *after)
{
    switch (ask->verb) {
    case VERB_PUT:
    case VERB_COPY: r->method = "PUT"; break;
    case VERB_GET: r->method = "GET"; break;
    case VERB_HEAD: r->method = "HEAD"; break;
    case VERB_REMOVE: r->method = "DELETE"; break;
    case VERB_LIST: name_list(r, ask); break;
    case VERB_BEGIN:
        r->method = "POST";
        add_param(r, "uploads", NULL);
        break;
    case VERB_PART_PUT:
    case VERB_PART_COPY:
        r->method = "PUT";
        name_part(r, ask);
        break;
    case VERB_PARTS: name_parts(r, ask); break;
    case VERB_COMPLETE:
        r->method = "POST";
        add_param(r, "uploadId", ask->id);
        break;
    case VERB_ABORT:
        r->method = "DELETE";
        add_param(r, "uploadId", ask->id);
        break;
    case VERB_UPLOADS: name_uploads(r, ask, after); break;
    }
}

static void write_completion(const struct http_ask *ask, struct http_request *out)
{
    out->content_type = "application/xml";
    buf_puts(&out->body,
             "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < ask->part_count; i++) {
        buf_printf(&out->body, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>\"",
                   ask->parts[i].number);
        xml_escape(str_of(ask->parts[i].etag), &out->body);
        buf_puts(&out->body, "\"</ETag></Part>");
    }
    buf_puts(&out->body, "</CompleteMultipartUpload>");
}

static void add_headers(const struct http_ask *ask, struct http_request *out)
{
    if (ask->verb == VERB_BEGIN)
        out->content_type = ask->content_type;
    if ((ask->verb == VERB_BEGIN || ask->verb == VERB_PUT) && ask->cache_control != NULL)
        http_request_header(out, "Cache-Control", ask->cache_control);
    if (ask->verb == VERB_COMPLETE)
        write_completion(ask, out);
}

/* Amazon's own fields count only if they are signed. */
static void add_source(const struct storage_url *url, const char *from, struct s3_request *r,
                       struct http_request *out, struct buf *source)
{
    buf_printf(source, "/%s/", url->bucket);
    url_encode(str_of(from), true, source);
    r->header = (struct sign_field){ "x-amz-copy-source", buf_text(source) };
    http_request_header(out, r->header.name, r->header.value);
}

static int s3_ask(const struct http_storage *h, const struct http_ask *ask,
                  struct http_request *out, struct http_result *result)
{
    const struct storage_url *url = http_storage_url(h);
    bool is_of_bucket = ask->verb == VERB_LIST || ask->verb == VERB_UPLOADS;
    struct s3_request r = { .method = NULL };
    struct buf source;

    (void)result;
    /* Google's XML API has multipart uploads, but would take this for an empty part. */
    if (ask->verb == VERB_PART_COPY && strcmp(url->provider, "gcs") == 0)
        return FAIL_UNSUPPORTED;
    char *after = ask->after ? mem_strdup(ask->after) : NULL;
    buf_init(&source, COPY_SOURCE_MAX);
    name(&r, ask, after);
    out->method = r.method;
    add_headers(ask, out);
    if (ask->verb == VERB_COPY || ask->verb == VERB_PART_COPY)
        add_source(url, ask->from, &r, out, &source);
    int err = source.failed ? FAIL_LIMIT
                            : sign(h, is_of_bucket ? NULL : ask->key, &r, LIFETIME_S, &out->url);
    buf_deinit(&source);
    mem_free(after);
    return err;
}

static int s3_url(const struct http_storage *h, const struct http_ask *ask, const char *file_name,
                  uint64_t lifetime_s, struct buf *out)
{
    struct s3_request r = { .method = NULL };
    struct buf disposition;

    buf_init(&disposition, DISPOSITION_MAX);
    name(&r, ask, NULL);
    if (file_name != NULL) {
        http_disposition(file_name, &disposition);
        add_param(&r, "response-content-disposition", buf_text(&disposition));
    }
    int err = disposition.failed ? FAIL_LIMIT : sign(h, ask->key, &r, lifetime_s, out);
    buf_deinit(&disposition);
    return err;
}

static const struct http_code codes[] = {
    { "InvalidPart", FAIL_STATE, false },
    { "InvalidPartOrder", FAIL_SYNTAX, false },
    { "OperationAborted", FAIL_CLOSED, true },
    { "ExpiredToken", FAIL_DENIED, false },
    { "InvalidToken", FAIL_DENIED, false },
    { "RequestTimeTooSkewed", FAIL_DENIED, false },
    { "PermanentRedirect", FAIL_DENIED, false },
    { "AuthorizationHeaderMalformed", FAIL_DENIED, false },
    { "AuthorizationQueryParametersError", FAIL_DENIED, false }, /* a wrong region */
    { "XMinioStorageFull", FAIL_FULL, false },
    { NULL, OK, false },
};

const struct http_driver s3_driver = {
    .traits = s3_traits,
    .ask = s3_ask,
    .read = s3_read,
    .url = s3_url,
    .codes = codes,
    .needs_etags = true,
};
