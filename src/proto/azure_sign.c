#include "proto/azure_sign.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/crypto.h>

#include "base/encode.h"
#include "base/err.h"
#include "proto/url.h"

enum { TEXT_MAX = 64 * 1024, DATE_SIZE = 24, MAC_TEXT_SIZE = ENCODE_BASE64_SIZE(SIGN_SIZE) };

int azure_key_init(struct azure_key *key, const char *account, const char *base64)
{
    struct azure_key read = { .account = account };
    size_t len = strlen(base64);

    if (len == 0 || len / 4 * 3 > sizeof(read.bytes))
        return FAIL_SYNTAX;
    int err = decode_base64(base64, len, read.bytes, &read.len);
    if (err == OK)
        *key = read;
    OPENSSL_cleanse(&read, sizeof(read));
    return err == OK ? OK : FAIL_SYNTAX;
}

void azure_key_deinit(struct azure_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

static void sign_base64(const struct azure_key *key, struct str text, char out[MAC_TEXT_SIZE])
{
    uint8_t mac[SIGN_SIZE];

    sign_hmac(key->bytes, key->len, text, mac);
    encode_base64(mac, sizeof(mac), out);
}

/* "2026-11-21T18:00:00Z", or "" for 0 */
static void put_date(int64_t time_s, char out[DATE_SIZE])
{
    time_t at = (time_t)time_s;
    struct tm tm;

    out[0] = '\0';
    if (at == 0 || gmtime_r(&at, &tm) == NULL)
        return;
    if (strftime(out, DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
}

static void put_param(const char *name, const char *value, struct buf *out)
{
    if (value == NULL || value[0] == '\0')
        return;
    buf_printf(out, "&%s=", name);
    url_encode(str_of(value), false, out);
}

static bool has_line_end(const char *text)
{
    return text != NULL && strchr(text, '\n') != NULL;
}

/* The string to sign of version 2020-12-06: one line for each field, empty ones too. */
static void put_sas_text(const struct azure_key *key, const struct azure_sas *sas,
                         const char *starts, const char *expires, struct buf *out)
{
    const char *lines[] = {
        sas->permissions,
        starts,
        expires,
        NULL, /* the resource */
        "",   /* identifier of a stored policy */
        "",   /* addresses */
        sas->is_https_only ? "https" : "",
        AZURE_VERSION,
        "b",
        "", /* snapshot */
        "", /* encryption scope */
        "", /* Cache-Control */
        sas->disposition,
        "", /* Content-Encoding */
        "", /* Content-Language */
        sas->type,
    };
    size_t count = sizeof(lines) / sizeof(*lines);

    for (size_t i = 0; i < count; i++) {
        if (i == 3)
            buf_printf(out, "/blob/%s/%s/%s", key->account, sas->container, sas->blob);
        else
            buf_puts(out, lines[i] ? lines[i] : "");
        if (i + 1 < count)
            buf_putc(out, '\n');
    }
}

int azure_sas(const struct azure_key *key, const struct azure_sas *sas, struct buf *out)
{
    char starts[DATE_SIZE], expires[DATE_SIZE], mac[MAC_TEXT_SIZE];
    struct buf text;

    if (has_line_end(sas->blob) || has_line_end(sas->container) || has_line_end(sas->permissions) ||
        has_line_end(sas->disposition) || has_line_end(sas->type))
        return FAIL_SYNTAX;
    put_date(sas->starts_s, starts);
    put_date(sas->expires_s, expires);
    buf_init(&text, TEXT_MAX);
    put_sas_text(key, sas, starts, expires, &text);
    sign_base64(key, buf_str(&text), mac);
    int err = text.failed ? FAIL_LIMIT : OK;
    buf_deinit(&text);
    if (err)
        return err;
    buf_puts(out, "sv=" AZURE_VERSION "&sr=b");
    put_param("sp", sas->permissions, out);
    put_param("st", starts, out);
    put_param("se", expires, out);
    put_param("spr", sas->is_https_only ? "https" : NULL, out);
    put_param("rscd", sas->disposition, out);
    put_param("rsct", sas->type, out);
    put_param("sig", mac, out);
    return out->failed ? FAIL_LIMIT : OK;
}

static const char *header_of(const struct azure_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return "";
}

/* The fields that have a line of their own, in Azure's order. Date's stays empty:
 * x-ms-date stands for it. */
static void put_fixed(const struct azure_request *request, struct buf *out)
{
    static const char *const names[] = {
        "Content-Encoding",
        "Content-Language",
        "Content-Length",
        "Content-MD5",
        "Content-Type",
        "Date",
        "If-Modified-Since",
        "If-Match",
        "If-None-Match",
        "If-Unmodified-Since",
        "Range",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], "Content-Length") == 0) {
            if (request->length > 0)
                buf_put_u64(out, request->length);
        } else if (strcmp(names[i], "Date") != 0) {
            buf_puts(out, header_of(request, names[i]));
        }
        buf_putc(out, '\n');
    }
}

static void put_ms_headers(const struct azure_request *request, struct buf *out)
{
    size_t order[AZURE_FIELDS_MAX];

    sign_order_names(request->headers, request->header_count, order);
    for (size_t i = 0; i < request->header_count; i++) {
        const struct sign_field *field = &request->headers[order[i]];
        if (strncasecmp(field->name, "x-ms-", 5) != 0)
            continue;
        sign_put_lower(field->name, out);
        buf_putc(out, ':');
        sign_put_trimmed(field->value, out);
        buf_putc(out, '\n');
    }
}

static void put_resource(const struct azure_key *key, const struct azure_request *request,
                         struct buf *out)
{
    size_t order[AZURE_FIELDS_MAX];

    buf_printf(out, "/%s", key->account);
    buf_append(out, request->path.at, request->path.len);
    sign_order_names(request->params, request->param_count, order);
    for (size_t i = 0; i < request->param_count; i++) {
        const struct sign_field *param = &request->params[order[i]];
        buf_putc(out, '\n');
        sign_put_lower(param->name, out);
        buf_printf(out, ":%s", param->value ? param->value : "");
    }
}

int azure_authorize(const struct azure_key *key, const struct azure_request *request,
                    struct buf *out)
{
    char mac[MAC_TEXT_SIZE];
    struct buf text;

    if (request->param_count > AZURE_FIELDS_MAX || request->header_count > AZURE_FIELDS_MAX)
        return FAIL_LIMIT;
    buf_init(&text, TEXT_MAX);
    buf_printf(&text, "%s\n", request->method);
    put_fixed(request, &text);
    put_ms_headers(request, &text);
    put_resource(key, request, &text);
    sign_base64(key, buf_str(&text), mac);
    int err = text.failed ? FAIL_LIMIT : OK;
    buf_deinit(&text);
    if (err)
        return err;
    return buf_printf(out, "SharedKey %s:%s", key->account, mac) ? OK : FAIL_LIMIT;
}
