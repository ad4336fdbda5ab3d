/* Azure's Blob Storage. With an account's key, what is asked of a blob is a URL with a
 * shared access signature for just that, the same for us and for clients; only lists,
 * which are of a container, are signed in a field (Shared Key). With a token that somebody
 * else has signed every URL ends with it, and clients get none: it is good for more. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/azure_sign.h"
#include "proto/url.h"
#include "storage/azure_id.h"
#include "storage/azure_read.h"
#include "storage/http_disposition.h"
#include "storage/http_driver.h"

enum {
    LIFETIME_S = 15 * 60, /* of what we ask ourselves: it begins at once */
    PATH_MAX_BYTES = 8 * 1024,
    SOURCE_MAX = 16 * 1024,
    DISPOSITION_MAX = 2 * 1024,
    AUTHORIZATION_MAX = 256,
    LIST_PARAMS_MAX = 5,
};

#define PAGE_MAX "1000"

static const struct storage_traits *azure_traits(const struct storage_url *url)
{
    enum { MIB = 1 << 20 };
    static const struct storage_traits with_key = {
        .provider = "azure",
        .has_urls = true,
        .part_max = 4000ull * MIB,
        .parts_max = STORAGE_PARTS_MAX,
        .has_part_copy = true,
        .copy_max = 5000ull * MIB,
    };
    static const struct storage_traits with_token = {
        .provider = "azure",
        .part_max = 4000ull * MIB,
        .parts_max = STORAGE_PARTS_MAX,
        .has_part_copy = true,
        .copy_max = 5000ull * MIB,
    };

    return url->secret != NULL ? &with_key : &with_token;
}

static int azure_check(const struct storage_url *url, struct buf *why)
{
    struct azure_key key;

    if (url->secret == NULL)
        return OK;
    int err = azure_key_init(&key, url->account, url->secret);
    if (err != OK) {
        buf_puts(why, "its key is not the base64 of one");
        return err;
    }
    azure_key_deinit(&key);
    return OK;
}

/* Without a query. */
static void put_place(const struct storage_url *url, const char *key, struct buf *out)
{
    buf_printf(out, "%s://%s", url->is_https ? "https" : "http", url->authority);
    url_encode(str_of(url->root), true, out);
    if (key == NULL)
        return;
    buf_putc(out, '/');
    url_encode(str_of(key), true, out);
}

/* What a request for a blob may do, and what its answer is to be called. */
struct permit {
    const char *permissions;
    const char *disposition; /* or NULL */
    uint64_t lifetime_s;
};

static int put_permit(const struct http_storage *h, const char *key, const struct permit *permit,
                      struct buf *out)
{
    const struct storage_url *url = http_storage_url(h);
    struct azure_key with;

    if (url->secret == NULL) {
        buf_puts(out, url->sas_token);
        return OK;
    }
    int64_t now_s = http_storage_now_s(h);
    bool is_far = permit->lifetime_s > (uint64_t)(INT32_MAX - 1);
    struct azure_sas sas = {
        .container = url->bucket,
        .blob = key,
        .permissions = permit->permissions,
        .expires_s = now_s + (is_far ? INT32_MAX : (int64_t)permit->lifetime_s),
        .is_https_only = url->is_https,
        .disposition = permit->disposition,
    };
    int err = azure_key_init(&with, url->account, url->secret);
    if (err != OK)
        return FAIL_DENIED;
    err = azure_sas(&with, &sas, out);
    azure_key_deinit(&with);
    return err;
}

/* `query` is what comes before the signature: "" or "comp=...&". */
static int put_blob(const struct http_storage *h, const char *key, const char *query,
                    const struct permit *permit, struct buf *out)
{
    put_place(http_storage_url(h), key, out);
    buf_printf(out, "?%s", query);
    return put_permit(h, key, permit, out);
}

static int put_block(const struct http_storage *h, const struct http_ask *ask, uint64_t lifetime_s,
                     struct buf *out)
{
    struct permit permit = { .permissions = "w", .lifetime_s = lifetime_s };
    char name[AZURE_BLOCK_SIZE];
    struct buf query;

    int err = azure_block_name(ask->id, ask->number, name);
    if (err != OK)
        return err;
    buf_init(&query, 256);
    buf_puts(&query, "comp=block&blockid=");
    url_encode(str_of(name), false, &query);
    buf_putc(&query, '&');
    err = put_blob(h, ask->key, buf_text(&query), &permit, out);
    buf_deinit(&query);
    return err;
}

static int authorize_list(const struct http_storage *h, const struct sign_field *params,
                          size_t count, struct http_request *out)
{
    const struct storage_url *url = http_storage_url(h);
    char date[CLOCK_HTTP_SIZE];
    struct buf path, authorization;
    struct azure_key key;

    int err = azure_key_init(&key, url->account, url->secret);
    if (err != OK)
        return FAIL_DENIED;
    clock_http_date(http_storage_now_s(h) * 1000, date);
    const struct sign_field headers[] = { { "x-ms-date", date },
                                          { "x-ms-version", AZURE_VERSION } };
    buf_init(&path, PATH_MAX_BYTES);
    buf_init(&authorization, AUTHORIZATION_MAX);
    url_encode(str_of(url->root), true, &path);
    struct azure_request request = {
        .method = out->method,
        .path = buf_str(&path),
        .params = params,
        .param_count = count,
        .headers = headers,
        .header_count = 2,
    };
    err = azure_authorize(&key, &request, &authorization);
    if (err == OK) {
        http_request_header(out, "x-ms-date", date);
        http_request_header(out, "Authorization", buf_text(&authorization));
    }
    azure_key_deinit(&key);
    buf_deinit(&path);
    buf_deinit(&authorization);
    return err;
}

static int ask_list(const struct http_storage *h, const struct http_ask *ask,
                    struct http_request *out)
{
    const struct storage_url *url = http_storage_url(h);
    struct sign_field params[LIST_PARAMS_MAX] = { { "restype", "container" },
                                                  { "comp", "list" },
                                                  { "maxresults", PAGE_MAX } };
    size_t count = 3;

    if (ask->key[0] != '\0')
        params[count++] = (struct sign_field){ "prefix", ask->key };
    if (ask->after != NULL)
        params[count++] = (struct sign_field){ "marker", ask->after };
    put_place(url, NULL, &out->url);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&out->url, "%c%s=", i == 0 ? '?' : '&', params[i].name);
        url_encode(str_of(params[i].value), false, &out->url);
    }
    if (url->secret != NULL)
        return authorize_list(h, params, count, out);
    buf_printf(&out->url, "&%s", url->sas_token);
    return OK;
}

/* Put Block From URL, and Put Blob From URL. */
static int ask_copy(const struct http_storage *h, const struct http_ask *ask,
                    struct http_request *out)
{
    struct permit permit = { .permissions = "r", .lifetime_s = LIFETIME_S };
    struct permit writes = { .permissions = "w", .lifetime_s = LIFETIME_S };
    struct buf source;

    buf_init(&source, SOURCE_MAX);
    int err = put_blob(h, ask->from, "", &permit, &source);
    if (err == OK && source.failed)
        err = FAIL_LIMIT;
    if (err == OK) {
        http_request_header(out, "x-ms-copy-source", buf_text(&source));
        if (ask->verb == VERB_COPY)
            http_request_header(out, "x-ms-blob-type", "BlockBlob");
        err = ask->verb == VERB_COPY ? put_blob(h, ask->key, "", &writes, &out->url)
                                     : put_block(h, ask, LIFETIME_S, &out->url);
    }
    buf_deinit(&source);
    return err;
}

static int ask_complete(const struct http_storage *h, const struct http_ask *ask,
                        struct http_request *out)
{
    struct permit permit = { .permissions = "w", .lifetime_s = LIFETIME_S };
    char type[AZURE_TYPE_SIZE], cache[AZURE_TYPE_SIZE], name[AZURE_BLOCK_SIZE];

    int err = azure_id_read(ask->id, type, cache);
    if (err != OK)
        return err;
    http_request_header(out, "x-ms-blob-content-type", type);
    if (cache[0] != '\0')
        http_request_header(out, "x-ms-blob-cache-control", cache);
    out->content_type = "application/xml";
    buf_puts(&out->body, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for (size_t i = 0; err == OK && i < ask->part_count; i++) {
        err = azure_block_name(ask->id, ask->parts[i].number, name);
        buf_printf(&out->body, "<Uncommitted>%s</Uncommitted>", name);
    }
    buf_puts(&out->body, "</BlockList>");
    return err == OK ? put_blob(h, ask->key, "comp=blocklist&", &permit, &out->url) : err;
}

static int ask_put(const struct http_storage *h, const struct http_ask *ask,
                   struct http_request *out)
{
    struct permit permit = { .permissions = "w", .lifetime_s = LIFETIME_S };

    http_request_header(out, "x-ms-blob-type", "BlockBlob");
    if (ask->cache_control != NULL)
        http_request_header(out, "x-ms-blob-cache-control", ask->cache_control);
    return put_blob(h, ask->key, "", &permit, &out->url);
}

static int ask_blob(const struct http_storage *h, const struct http_ask *ask, const char *query,
                    const char *permissions, struct http_request *out)
{
    struct permit permit = { .permissions = permissions, .lifetime_s = LIFETIME_S };

    return put_blob(h, ask->key, query, &permit, &out->url);
}

static int azure_ask(const struct http_storage *h, const struct http_ask *ask,
                     struct http_request *out, struct http_result *result)
{
    bool is_put = ask->verb == VERB_PUT || ask->verb == VERB_PART_PUT || ask->verb == VERB_COPY ||
                  ask->verb == VERB_PART_COPY || ask->verb == VERB_COMPLETE;

    out->method = is_put ? "PUT" : "GET";
    http_request_header(out, "x-ms-version", AZURE_VERSION);
    switch (ask->verb) {
    case VERB_PUT: return ask_put(h, ask, out);
    case VERB_GET: return ask_blob(h, ask, "", "r", out);
    case VERB_HEAD: out->method = "HEAD"; return ask_blob(h, ask, "", "r", out);
    case VERB_REMOVE: out->method = "DELETE"; return ask_blob(h, ask, "", "d", out);
    case VERB_LIST: return ask_list(h, ask, out);
    case VERB_PART_PUT: return put_block(h, ask, LIFETIME_S, &out->url);
    case VERB_COPY:
    case VERB_PART_COPY: return ask_copy(h, ask, out);
    case VERB_PARTS: return ask_blob(h, ask, "comp=blocklist&blocklisttype=uncommitted&", "r", out);
    case VERB_COMPLETE: return ask_complete(h, ask, out);
    case VERB_BEGIN:
        result->id = azure_id_make(ask->content_type, ask->cache_control);
        return result->id != NULL ? OK : FAIL_LIMIT;
    /* Blocks that are never committed are gone after a week. */
    case VERB_ABORT:
    case VERB_UPLOADS: return OK;
    }
    return FAIL_UNSUPPORTED;
}

static int azure_url(const struct http_storage *h, const struct http_ask *ask,
                     const char *file_name, uint64_t lifetime_s, struct buf *out)
{
    struct permit permit = { .permissions = "r", .lifetime_s = lifetime_s };
    struct buf disposition;

    if (ask->verb == VERB_PART_PUT)
        return put_block(h, ask, lifetime_s, out);
    if (ask->verb != VERB_GET && ask->verb != VERB_HEAD) /* one permission is for both */
        return FAIL_UNSUPPORTED;
    buf_init(&disposition, DISPOSITION_MAX);
    if (file_name != NULL) {
        http_disposition(file_name, &disposition);
        permit.disposition = buf_text(&disposition);
    }
    int err = disposition.failed ? FAIL_LIMIT : put_blob(h, ask->key, "", &permit, out);
    buf_deinit(&disposition);
    return err;
}

static const struct http_code codes[] = {
    { "InvalidBlockList", FAIL_MISSING, false }, /* among others: it was committed before */
    { "Md5Mismatch", FAIL_STATE, true },
    { "ServerBusy", FAIL_CLOSED, true },
    { "OperationTimedOut", FAIL_TIMEOUT, true },
    { "ContainerBeingDeleted", FAIL_MISSING, false },
    { "ContainerDisabled", FAIL_DENIED, false },
    { "AccountIsDisabled", FAIL_DENIED, false },
    { "BlobImmutableDueToPolicy", FAIL_DENIED, false },
    { "RequestBodyTooLarge", FAIL_LIMIT, false },
    { "BlockCountExceedsLimit", FAIL_LIMIT, false },
    { "InvalidResourceName", FAIL_MISSING, false },
    { NULL, OK, false },
};

const struct http_driver azure_driver = {
    .traits = azure_traits,
    .check = azure_check,
    .ask = azure_ask,
    .read = azure_read,
    .url = azure_url,
    .codes = codes,
    .made_status = 201,
    .has_no_uploads = true,
};
