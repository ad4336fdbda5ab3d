#include "proto/presign.h"

#include <inttypes.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/encode.h"
#include "base/err.h"

enum { MAC_SIZE = 32, MAC_TEXT_SIZE = ENCODE_BASE64URL_SIZE(MAC_SIZE), SIGNED_MAX = 16 * 1024 };

static const char label[] = "reelay upload url 1";

int presign_key_derive(const void *secret, size_t len, struct presign_key *out)
{
    struct presign_key key;

    if (len == 0)
        return FAIL_SYNTAX;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    EVP_KDF_free(kdf);
    if (context == NULL)
        return FAIL_NOMEM;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)label,
                                          sizeof(label) - 1),
        OSSL_PARAM_construct_end(),
    };
    int is_derived = EVP_KDF_derive(context, key.bytes, sizeof(key.bytes), params);
    EVP_KDF_CTX_free(context);
    if (is_derived == 1)
        *out = key;
    OPENSSL_cleanse(&key, sizeof(key));
    ERR_clear_error();
    return is_derived == 1 ? OK : FAIL_NOMEM;
}

/* The path stands last: it is the one part that might hold a line's end, and
 * there it cannot be taken for another part. */
static int sign(const struct presign_key *key, const char *method, struct str path,
                uint64_t size_max, int64_t expires_s, uint8_t mac[MAC_SIZE])
{
    struct buf text;
    int err = FAIL_LIMIT;

    buf_init(&text, SIGNED_MAX);
    buf_printf(&text, "%s\n%" PRIu64 "\n%" PRId64 "\n", method, size_max, expires_s);
    if (buf_append(&text, path.at, path.len))
        err = HMAC(EVP_sha256(), key->bytes, sizeof(key->bytes), (const uint8_t *)text.data,
                   text.len, mac, NULL)
                  ? OK
                  : FAIL_NOMEM;
    buf_deinit(&text);
    return err;
}

int presign_query(const struct presign_key *key, const char *method, struct str path,
                  uint64_t size_max, int64_t expires_s, struct buf *out)
{
    char encoded[MAC_TEXT_SIZE];
    uint8_t mac[MAC_SIZE];

    if (expires_s < 0)
        return FAIL_LIMIT;
    int err = sign(key, method, path, size_max, expires_s, mac);
    if (err)
        return err;
    encode_base64url(mac, sizeof(mac), encoded);
    return buf_printf(out, "max=%" PRIu64 "&expires=%" PRId64 "&sig=%s", size_max, expires_s,
                      encoded)
               ? OK
               : FAIL_LIMIT;
}

/* None of the three needs percent-coding, so one that has it is not ours. What
 * else the query holds has no say. */
static int find_once(struct str query, struct str name, struct str *out)
{
    struct str value = { 0 };

    while (query.at != NULL) {
        struct str rest = str_cut(&query, '&');
        if (!str_equal(str_cut(&rest, '='), name))
            continue;
        if (value.at != NULL || rest.at == NULL)
            return FAIL_SYNTAX;
        value = rest;
    }
    if (value.at == NULL)
        return FAIL_SYNTAX;
    *out = value;
    return OK;
}

static int find_number(struct str query, struct str name, uint64_t most, uint64_t *out)
{
    struct str text;

    if (find_once(query, name, &text) != OK || str_parse_u64(text, most, out) != OK)
        return FAIL_SYNTAX;
    return OK;
}

static int find_mac(struct str query, uint8_t mac[MAC_SIZE])
{
    struct str text;
    size_t len;

    if (find_once(query, STR("sig"), &text) != OK || text.len != MAC_TEXT_SIZE - 1)
        return FAIL_SYNTAX;
    return decode_base64url(text.at, text.len, mac, &len);
}

int presign_check(const struct presign_key *key, const char *method, struct str path,
                  struct str query, int64_t now_s, uint64_t *size_max)
{
    uint8_t given[MAC_SIZE + 1], mac[MAC_SIZE];
    uint64_t most, expires;

    if (find_number(query, STR("max"), UINT64_MAX, &most) != OK ||
        find_number(query, STR("expires"), INT64_MAX, &expires) != OK ||
        find_mac(query, given) != OK)
        return FAIL_SYNTAX;
    int err = sign(key, method, path, most, (int64_t)expires, mac);
    if (err)
        return FAIL_DENIED;
    if (CRYPTO_memcmp(mac, given, MAC_SIZE) != 0)
        return FAIL_DENIED;
    if (now_s >= (int64_t)expires)
        return FAIL_TIMEOUT;
    *size_max = most;
    return OK;
}
