#include "proto/jwt.h"

#include <math.h>
#include <string.h>

#include <jansson.h>
#include <openssl/err.h>

#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/utf8.h"
#include "proto/jwt_keys.h"

enum { PART_MAX = JWT_TEXT_MAX * 3 / 4 + 3, DEPTH_MAX = 16 };

static const double SECONDS_MAX = 253402300799.0; /* the end of the year 9999 */

struct parts {
    uint8_t header[PART_MAX], payload[PART_MAX], signature[PART_MAX];
    size_t header_len, payload_len, signature_len;
};

/* cjose decodes the parts again, but only after they passed here: its decoder
 * stops at padding wherever it stands, so that one token would have many texts. */
static int split(struct str token, struct parts *parts)
{
    if (token.len == 0 || token.len > JWT_TEXT_MAX)
        return FAIL_SYNTAX;
    struct str rest = token;
    struct str header = str_cut(&rest, '.');
    struct str payload = str_cut(&rest, '.');
    if (rest.at == NULL || memchr(rest.at, '.', rest.len) != NULL)
        return FAIL_SYNTAX;
    if (decode_base64url(header.at, header.len, parts->header, &parts->header_len) != OK ||
        decode_base64url(payload.at, payload.len, parts->payload, &parts->payload_len) != OK ||
        decode_base64url(rest.at, rest.len, parts->signature, &parts->signature_len) != OK)
        return FAIL_SYNTAX;
    return OK;
}

/* jansson's own bound is 2048 levels of recursion. */
static bool is_shallow(const uint8_t *json, size_t len)
{
    bool in_text = false;
    int depth = 0;

    for (size_t i = 0; i < len; i++) {
        if (in_text && json[i] == '\\')
            i++;
        else if (json[i] == '"')
            in_text = !in_text;
        else if (!in_text && (json[i] == '{' || json[i] == '['))
            depth++;
        else if (!in_text && (json[i] == '}' || json[i] == ']'))
            depth--;
        if (depth > DEPTH_MAX)
            return false;
    }
    return true;
}

/* An object, or NULL. Of a member that is there twice, another reader might
 * take the other one. */
static json_t *parse_object(const uint8_t *bytes, size_t len)
{
    json_error_t error;

    /* jansson passes over a NUL behind a number or a word. */
    if (!is_shallow(bytes, len) || (len > 0 && memchr(bytes, '\0', len) != NULL))
        return NULL;
    json_t *json = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

static int check_header(const struct jwt_keys *keys, const json_t *header)
{
    const json_t *algorithm = json_object_get(header, "alg");
    const json_t *kid = json_object_get(header, "kid");

    if (!json_is_string(algorithm) || (kid != NULL && !json_is_string(kid)))
        return FAIL_SYNTAX;
    if (strcmp(json_string_value(algorithm), jwt_algorithm_info(keys->algorithm)->name) != 0)
        return FAIL_DENIED;
    /* RFC 7515, 4.1.11: what is not understood must be refused, and nothing
     * critical is understood here. RFC 7797's "b64" changes what is signed. */
    if (json_object_get(header, "crit") != NULL || json_object_get(header, "b64") != NULL)
        return FAIL_DENIED;
    return OK;
}

static int check_signature(const struct jwt_keys *keys, struct str token, size_t signature_len,
                           const char *kid)
{
    cjose_jws_t *jws = NULL;
    cjose_err error;
    int err = FAIL_DENIED;

    for (size_t i = 0; i < keys->count && err; i++) {
        const struct jwt_key *key = &keys->list[i];
        if (kid != NULL && key->id != NULL && strcmp(kid, key->id) != 0)
            continue;
        /* cjose compares HMACs before their lengths (and reads too far), and
         * halves an ECDSA signature of any length. */
        if (signature_len != key->signature_len)
            continue;
        if (jws == NULL)
            jws = cjose_jws_import(token.at, token.len, &error);
        if (jws != NULL && cjose_jws_verify(jws, key->jwk, &error))
            err = OK;
    }
    cjose_jws_release(jws);
    /* A TLS connection of this thread would take the leftover for its own. */
    ERR_clear_error();
    return err;
}

/* OK with `out` untouched if the claim is not there. */
static int read_time(const json_t *claims, const char *name, int64_t *out)
{
    const json_t *claim = json_object_get(claims, name);

    if (claim == NULL)
        return OK;
    double seconds = json_number_value(claim);
    if (!json_is_number(claim) || !(seconds >= 0 && seconds <= SECONDS_MAX))
        return FAIL_SYNTAX;
    *out = (int64_t)floor(seconds * 1000);
    return OK;
}

static int check_times(const struct jwt_keys *keys, const json_t *claims, int64_t now_ms,
                       struct jwt_claims *out)
{
    int64_t expires = -1, not_before = -1, issued = -1;

    if (read_time(claims, "exp", &expires) || read_time(claims, "nbf", &not_before) ||
        read_time(claims, "iat", &issued))
        return FAIL_SYNTAX;
    if (expires >= 0 && now_ms >= expires + keys->leeway_ms)
        return FAIL_TIMEOUT;
    if (not_before >= 0 && now_ms < not_before - keys->leeway_ms)
        return FAIL_TIMEOUT;
    /* 0 means "never": a second before it is as expired as it gets. */
    out->expires_ms = expires < 0 ? 0 : expires == 0 ? 1 : expires;
    out->refused_ms = expires < 0 ? 0 : expires + keys->leeway_ms;
    return OK;
}

/* RFC 7519, 4.1.3: one string, or an array of them. */
static int check_audience(const char *wanted, const json_t *claims)
{
    const json_t *claim = json_object_get(claims, "aud"), *item;
    int err = FAIL_DENIED;
    size_t i;

    if (wanted == NULL || claim == NULL)
        return wanted ? FAIL_DENIED : OK;
    if (json_is_string(claim))
        return strcmp(json_string_value(claim), wanted) == 0 ? OK : FAIL_DENIED;
    if (!json_is_array(claim))
        return FAIL_SYNTAX;
    json_array_foreach(claim, i, item)
    {
        if (!json_is_string(item))
            return FAIL_SYNTAX;
        if (strcmp(json_string_value(item), wanted) == 0)
            err = OK;
    }
    return err;
}

static int check_issuer(const char *wanted, const json_t *claims)
{
    const json_t *claim = json_object_get(claims, "iss");

    if (wanted == NULL)
        return OK;
    if (claim != NULL && !json_is_string(claim))
        return FAIL_SYNTAX;
    return claim && strcmp(json_string_value(claim), wanted) == 0 ? OK : FAIL_DENIED;
}

static int read_subject(const char *name, const json_t *claims, char out[JWT_SUBJECT_MAX + 1])
{
    const json_t *claim = json_object_get(claims, name);

    if (claim == NULL)
        return OK;
    if (json_is_integer(claim)) {
        snprintf(out, JWT_SUBJECT_MAX + 1, "%lld", (long long)json_integer_value(claim));
        return OK;
    }
    if (!json_is_string(claim) || json_string_length(claim) > JWT_SUBJECT_MAX)
        return FAIL_SYNTAX;
    memcpy(out, json_string_value(claim), json_string_length(claim) + 1);
    return OK;
}

static int read_scope(const json_t *claims, bool *is_admin)
{
    const json_t *claim = json_object_get(claims, "scope"), *item;
    size_t i;

    if (json_is_string(claim)) {
        struct str rest = str_of(json_string_value(claim));
        while (rest.at != NULL)
            if (str_equal(str_cut(&rest, ' '), STR("admin")))
                *is_admin = true;
        return OK;
    }
    if (claim != NULL && !json_is_array(claim))
        return FAIL_SYNTAX;
    json_array_foreach(claim, i, item)
    {
        if (!json_is_string(item))
            return FAIL_SYNTAX;
        if (strcmp(json_string_value(item), "admin") == 0)
            *is_admin = true;
    }
    return OK;
}

static int check_claims(const struct jwt_keys *keys, const json_t *claims, int64_t now_ms,
                        struct jwt_claims *out)
{
    int err = check_times(keys, claims, now_ms, out);

    if (err == OK)
        err = check_audience(keys->audience, claims);
    if (err == OK)
        err = check_issuer(keys->issuer, claims);
    if (err == OK)
        err = read_subject(keys->subject, claims, out->subject);
    return err ? err : read_scope(claims, &out->is_admin);
}

int jwt_verify(const struct jwt_keys *keys, struct str token, int64_t now_ms,
               struct jwt_claims *out)
{
    struct jwt_claims claims = { 0 };
    struct parts parts;
    json_t *payload = NULL;

    int err = split(token, &parts);
    if (err)
        return err;
    json_t *header = parse_object(parts.header, parts.header_len);
    err = header ? check_header(keys, header) : FAIL_SYNTAX;
    if (err == OK)
        err = check_signature(keys, token, parts.signature_len,
                              json_string_value(json_object_get(header, "kid")));
    if (err == OK) {
        payload = parse_object(parts.payload, parts.payload_len);
        err = payload ? check_claims(keys, payload, now_ms, &claims) : FAIL_SYNTAX;
    }
    json_decref(header);
    json_decref(payload);
    if (err == OK)
        *out = claims;
    return err;
}

static void write_claims(const struct jwt_keys *keys, const char *subject, bool is_admin,
                         int64_t now_ms, int64_t lifetime_ms, struct buf *out)
{
    emit_open(out, '{');
    if (subject != NULL)
        emit_field_string(out, keys->subject, subject);
    if (is_admin)
        emit_field_string(out, "scope", "admin");
    if (keys->issuer != NULL)
        emit_field_string(out, "iss", keys->issuer);
    if (keys->audience != NULL)
        emit_field_string(out, "aud", keys->audience);
    emit_field_int(out, "iat", now_ms / 1000);
    emit_field_int(out, "exp", (now_ms + lifetime_ms + 999) / 1000);
    emit_close(out, '}');
}

static int sign(const struct jwt_keys *keys, const struct buf *claims, struct buf *out)
{
    const struct jwt_key *key = &keys->list[0];
    cjose_jws_t *jws = NULL;
    const char *text = NULL;
    cjose_err error;

    cjose_header_t *header = cjose_header_new(&error);
    bool is_ready = header != NULL &&
                    cjose_header_set(header, CJOSE_HDR_ALG,
                                     jwt_algorithm_info(keys->algorithm)->name, &error) &&
                    cjose_header_set(header, "typ", "JWT", &error) &&
                    (key->id == NULL || cjose_header_set(header, CJOSE_HDR_KID, key->id, &error));
    if (is_ready)
        jws = cjose_jws_sign(key->jwk, header, (const uint8_t *)claims->data, claims->len, &error);
    int err = FAIL_NOMEM;
    if (jws != NULL && cjose_jws_export(jws, &text, &error) && text != NULL)
        err = buf_puts(out, text) ? OK : FAIL_LIMIT;
    cjose_jws_release(jws);
    cjose_header_release(header);
    ERR_clear_error();
    return err;
}

int jwt_mint(const struct jwt_keys *keys, const char *subject, bool is_admin, int64_t now_ms,
             int64_t lifetime_ms, struct buf *out)
{
    size_t len = subject ? strlen(subject) : 0;
    struct buf claims;

    if (jwt_algorithm_info(keys->algorithm)->family != JWT_FAMILY_HMAC)
        return FAIL_UNSUPPORTED;
    if (len > JWT_SUBJECT_MAX || (subject != NULL && !utf8_is_valid(subject, len)))
        return FAIL_SYNTAX;
    if (now_ms < 0 || lifetime_ms <= 0 ||
        (double)now_ms + (double)lifetime_ms >= SECONDS_MAX * 1000)
        return FAIL_LIMIT;
    buf_init(&claims, JWT_TEXT_MAX);
    write_claims(keys, subject, is_admin, now_ms, lifetime_ms, &claims);
    int err = claims.failed ? FAIL_LIMIT : sign(keys, &claims, out);
    buf_deinit(&claims);
    return err;
}
