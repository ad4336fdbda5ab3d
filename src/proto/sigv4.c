#include "proto/sigv4.h"

#include <stdio.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "base/encode.h"
#include "base/err.h"
#include "proto/url.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define UNSIGNED  "UNSIGNED-PAYLOAD"

enum {
    CANONICAL_MAX = 256 * 1024,
    SECRET_MAX = 1024,
    SCOPE_MAX = 512,
    ADDED_MAX = 6, /* parameters that presigning adds */
};

static void put_params(const struct sign_field *params, size_t count, struct buf *out)
{
    size_t order[SIGV4_FIELDS_MAX + ADDED_MAX];

    sign_order_encoded(params, count, order);
    for (size_t i = 0; i < count; i++) {
        const struct sign_field *param = &params[order[i]];
        if (i > 0)
            buf_putc(out, '&');
        url_encode(str_of(param->name), false, out);
        buf_putc(out, '=');
        url_encode(str_of(param->value), false, out);
    }
}

/* The fields to be signed: Host among the others. */
struct headers {
    struct sign_field fields[SIGV4_FIELDS_MAX + 1];
    size_t order[SIGV4_FIELDS_MAX + 1];
    size_t count;
};

static void headers_gather(const struct sigv4_request *request, struct headers *h)
{
    h->fields[0] = (struct sign_field){ "host", request->host };
    for (size_t i = 0; i < request->header_count; i++)
        h->fields[i + 1] = request->headers[i];
    h->count = request->header_count + 1;
    sign_order_names(h->fields, h->count, h->order);
}

static const struct sign_field *header_at(const struct headers *h, size_t i)
{
    return &h->fields[h->order[i]];
}

/* Whether the field before it has the same name: they are one line, then. */
static bool is_repeated(const struct headers *h, size_t i)
{
    return i > 0 && strcasecmp(header_at(h, i)->name, header_at(h, i - 1)->name) == 0;
}

static void put_headers(const struct headers *h, struct buf *out)
{
    for (size_t i = 0; i < h->count; i++) {
        if (is_repeated(h, i)) {
            buf_putc(out, ',');
        } else {
            if (i > 0)
                buf_putc(out, '\n');
            sign_put_lower(header_at(h, i)->name, out);
            buf_putc(out, ':');
        }
        sign_put_trimmed(header_at(h, i)->value, out);
    }
    buf_putc(out, '\n');
}

static void put_header_names(const struct headers *h, struct buf *out)
{
    for (size_t i = 0; i < h->count; i++) {
        if (is_repeated(h, i))
            continue;
        if (i > 0)
            buf_putc(out, ';');
        sign_put_lower(header_at(h, i)->name, out);
    }
}

static bool is_sane(const struct sigv4_request *request)
{
    return request->param_count <= SIGV4_FIELDS_MAX && request->header_count <= SIGV4_FIELDS_MAX;
}

static int canonical(const struct sigv4_request *request, const struct headers *headers,
                     struct str query, struct buf *out)
{
    buf_printf(out, "%s\n", request->method);
    url_encode(request->path, true, out);
    buf_putc(out, '\n');
    buf_append(out, query.at, query.len);
    buf_putc(out, '\n');
    put_headers(headers, out);
    buf_putc(out, '\n');
    put_header_names(headers, out);
    buf_printf(out, "\n%s", request->payload ? request->payload : UNSIGNED);
    return out->failed ? FAIL_LIMIT : OK;
}

int sigv4_canonical(const struct sigv4_request *request, struct buf *out)
{
    struct headers headers;
    struct buf query;

    if (!is_sane(request))
        return FAIL_LIMIT;
    headers_gather(request, &headers);
    buf_init(&query, CANONICAL_MAX);
    put_params(request->params, request->param_count, &query);
    int err = query.failed ? FAIL_LIMIT : canonical(request, &headers, buf_str(&query), out);
    buf_deinit(&query);
    return err;
}

/* "20130524/us-east-1/s3/aws4_request" */
static int put_scope(const struct sigv4_key *key, int64_t now_s, struct buf *out)
{
    char date[SIGN_BASIC_SIZE];

    sign_basic_date(now_s, date);
    return buf_printf(out, "%.8s/%s/%s/aws4_request", date, key->region, key->service) ? OK
                                                                                       : FAIL_LIMIT;
}

static int derive(const struct sigv4_key *key, const char *date, uint8_t out[SIGN_SIZE])
{
    char secret[SECRET_MAX + 5];
    int len = snprintf(secret, sizeof(secret), "AWS4%s", key->secret);

    if (len < 0 || (size_t)len >= sizeof(secret))
        return FAIL_LIMIT;
    sign_hmac(secret, (size_t)len, (struct str){ date, 8 }, out);
    OPENSSL_cleanse(secret, sizeof(secret));
    sign_hmac(out, SIGN_SIZE, str_of(key->region), out);
    sign_hmac(out, SIGN_SIZE, str_of(key->service), out);
    sign_hmac(out, SIGN_SIZE, STR("aws4_request"), out);
    return OK;
}

static int sign(const struct sigv4_key *key, int64_t now_s, struct str text,
                char out[SIGN_HEX_SIZE])
{
    char date[SIGN_BASIC_SIZE], digest[SIGN_HEX_SIZE];
    uint8_t derived[SIGN_SIZE], mac[SIGN_SIZE];
    struct buf signed_text;
    int err = derive(key, (sign_basic_date(now_s, date), date), derived);

    if (err)
        return err;
    sign_sha256_hex(text, digest);
    buf_init(&signed_text, SCOPE_MAX + SIGN_HEX_SIZE);
    buf_printf(&signed_text, ALGORITHM "\n%s\n", date);
    put_scope(key, now_s, &signed_text);
    buf_printf(&signed_text, "\n%s", digest);
    sign_hmac(derived, sizeof(derived), buf_str(&signed_text), mac);
    OPENSSL_cleanse(derived, sizeof(derived));
    encode_hex(mac, sizeof(mac), out);
    err = signed_text.failed ? FAIL_LIMIT : OK;
    buf_deinit(&signed_text);
    return err;
}

/* Scheme, host and path. */
static void put_place(const struct sigv4_request *request, struct buf *out)
{
    buf_printf(out, "%s://%s", request->scheme, request->host);
    url_encode(request->path, true, out);
}

int sigv4_url(const struct sigv4_request *request, struct buf *out)
{
    if (!is_sane(request))
        return FAIL_LIMIT;
    put_place(request, out);
    if (request->param_count > 0) {
        buf_putc(out, '?');
        put_params(request->params, request->param_count, out);
    }
    return out->failed ? FAIL_LIMIT : OK;
}

/* The text of what presigning adds. */
struct added {
    char date[SIGN_BASIC_SIZE], lifetime[STR_U64_SIZE];
    struct buf credential, names;
};

static int added_gather(const struct sigv4_key *key, const struct sigv4_request *request,
                        const struct headers *headers, uint64_t lifetime_s, struct added *a)
{
    sign_basic_date(request->now_s, a->date);
    str_of_u64(lifetime_s, a->lifetime);
    buf_printf(&a->credential, "%s/", key->id);
    put_scope(key, request->now_s, &a->credential);
    put_header_names(headers, &a->names);
    return a->credential.failed || a->names.failed ? FAIL_LIMIT : OK;
}

/* The query without its signature. */
static int put_presigned_query(const struct sigv4_key *key, const struct sigv4_request *request,
                               const struct headers *headers, uint64_t lifetime_s, struct buf *out)
{
    struct sign_field params[SIGV4_FIELDS_MAX + ADDED_MAX];
    size_t count = request->param_count;
    struct added added;

    buf_init(&added.credential, SCOPE_MAX + SECRET_MAX);
    buf_init(&added.names, CANONICAL_MAX);
    int err = added_gather(key, request, headers, lifetime_s, &added);
    for (size_t i = 0; i < count; i++)
        params[i] = request->params[i];
    params[count++] = (struct sign_field){ "X-Amz-Algorithm", ALGORITHM };
    params[count++] = (struct sign_field){ "X-Amz-Credential", buf_text(&added.credential) };
    params[count++] = (struct sign_field){ "X-Amz-Date", added.date };
    params[count++] = (struct sign_field){ "X-Amz-Expires", added.lifetime };
    params[count++] = (struct sign_field){ "X-Amz-SignedHeaders", buf_text(&added.names) };
    if (key->session != NULL)
        params[count++] = (struct sign_field){ "X-Amz-Security-Token", key->session };
    put_params(params, count, out);
    buf_deinit(&added.credential);
    buf_deinit(&added.names);
    return out->failed ? FAIL_LIMIT : err;
}

int sigv4_presign(const struct sigv4_key *key, const struct sigv4_request *request,
                  uint64_t lifetime_s, struct buf *out)
{
    char signature[SIGN_HEX_SIZE];
    struct headers headers;
    struct buf query, text;

    if (!is_sane(request) || lifetime_s == 0 || lifetime_s > SIGV4_LIFETIME_MAX)
        return FAIL_LIMIT;
    headers_gather(request, &headers);
    buf_init(&query, CANONICAL_MAX);
    buf_init(&text, CANONICAL_MAX);
    int err = put_presigned_query(key, request, &headers, lifetime_s, &query);
    if (err == OK)
        err = canonical(request, &headers, buf_str(&query), &text);
    if (err == OK)
        err = sign(key, request->now_s, buf_str(&text), signature);
    if (err == OK) {
        put_place(request, out);
        buf_printf(out, "?%s&X-Amz-Signature=%s", buf_text(&query), signature);
        err = out->failed ? FAIL_LIMIT : OK;
    }
    buf_deinit(&query);
    buf_deinit(&text);
    return err;
}

int sigv4_authorize(const struct sigv4_key *key, const struct sigv4_request *request,
                    struct buf *out)
{
    char signature[SIGN_HEX_SIZE];
    struct headers headers;
    struct buf text;

    buf_init(&text, CANONICAL_MAX);
    int err = sigv4_canonical(request, &text);
    if (err == OK)
        err = sign(key, request->now_s, buf_str(&text), signature);
    buf_deinit(&text);
    if (err)
        return err;
    headers_gather(request, &headers);
    buf_printf(out, ALGORITHM " Credential=%s/", key->id);
    put_scope(key, request->now_s, out);
    buf_puts(out, ", SignedHeaders=");
    put_header_names(&headers, out);
    buf_printf(out, ", Signature=%s", signature);
    return out->failed ? FAIL_LIMIT : OK;
}
