#include "proto/jwt_keys.h"

#include <string.h>

#include <openssl/err.h>

#include "base/err.h"
#include "base/mem.h"

enum { SECRET_MAX = 4096, RSA_BYTES_MIN = 2048 / 8 };

const struct jwt_algorithm_info *jwt_algorithm_info(enum jwt_algorithm algorithm)
{
    static const struct jwt_algorithm_info table[JWT_ALGORITHMS] = {
        [JWT_HS256] = { "HS256", JWT_FAMILY_HMAC, 32 },
        [JWT_HS384] = { "HS384", JWT_FAMILY_HMAC, 48 },
        [JWT_HS512] = { "HS512", JWT_FAMILY_HMAC, 64 },
        [JWT_RS256] = { "RS256", JWT_FAMILY_RSA, 32 },
        [JWT_ES256] = { "ES256", JWT_FAMILY_EC, 32 },
    };

    return &table[algorithm];
}

struct jwt_keys *jwt_keys_new(const struct jwt_settings *settings)
{
    struct jwt_keys *keys = mem_new(struct jwt_keys);

    keys->algorithm = settings->algorithm;
    keys->audience = settings->audience ? mem_strdup(settings->audience) : NULL;
    keys->issuer = settings->issuer ? mem_strdup(settings->issuer) : NULL;
    keys->subject = mem_strdup(settings->subject ? settings->subject : "sub");
    keys->leeway_ms = settings->leeway_ms;
    return keys;
}

void jwt_keys_free(struct jwt_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        cjose_jwk_release(keys->list[i].jwk);
        mem_free(keys->list[i].id);
    }
    mem_free(keys->audience);
    mem_free(keys->issuer);
    mem_free(keys->subject);
    mem_free(keys);
}

/* Takes the jwk; NULL, because the library refused it, is FAIL_SYNTAX. */
static int keys_add(struct jwt_keys *keys, cjose_jwk_t *jwk, const char *id, size_t signature_len)
{
    /* What a library left in this thread's queue would be read as the next
     * TLS connection's failure. */
    ERR_clear_error();
    if (jwk == NULL)
        return FAIL_SYNTAX;
    keys->list[keys->count++] = (struct jwt_key){
        .jwk = jwk,
        .id = id ? mem_strdup(id) : NULL,
        .signature_len = signature_len,
    };
    return OK;
}

int jwt_keys_add_secret(struct jwt_keys *keys, const void *secret, size_t len, const char *id,
                        struct buf *why)
{
    const struct jwt_algorithm_info *info = jwt_algorithm_info(keys->algorithm);
    cjose_err error;

    if (len < info->digest_len) {
        buf_printf(why, "the secret has %zu bytes, %s needs at least %zu (RFC 7518, 3.2)", len,
                   info->name, info->digest_len);
        return FAIL_SYNTAX;
    }
    if (len > SECRET_MAX) {
        buf_printf(why, "the secret has %zu bytes, at most %d are taken", len, SECRET_MAX);
        return FAIL_LIMIT;
    }
    return keys_add(keys, cjose_jwk_create_oct_spec(secret, len, &error), id, info->digest_len);
}

int jwt_keys_add_rsa(struct jwt_keys *keys, struct str n, struct str e, const char *id,
                     struct buf *why)
{
    cjose_err error;

    while (n.len > 0 && n.at[0] == '\0')
        n = (struct str){ n.at + 1, n.len - 1 };
    while (e.len > 0 && e.at[0] == '\0')
        e = (struct str){ e.at + 1, e.len - 1 };
    if (n.len < RSA_BYTES_MIN || (n.len == RSA_BYTES_MIN && !(n.at[0] & 0x80)) ||
        n.len > JWT_RSA_BYTES_MAX) {
        buf_puts(why, "an RSA key must have 2048 to 8192 bits");
        return FAIL_SYNTAX;
    }
    /* With an exponent of 1 every signature would be its own proof. */
    if (e.len == 0 || e.len > JWT_RSA_EXPONENT_MAX || !(e.at[e.len - 1] & 1) ||
        (e.len == 1 && e.at[0] == 1)) {
        buf_puts(why, "the RSA key's public exponent is not usable");
        return FAIL_SYNTAX;
    }
    cjose_jwk_rsa_keyspec spec = {
        .n = (uint8_t *)(uintptr_t)n.at,
        .nlen = n.len,
        .e = (uint8_t *)(uintptr_t)e.at,
        .elen = e.len,
    };
    return keys_add(keys, cjose_jwk_create_RSA_spec(&spec, &error), id, n.len);
}

/* The library refuses a point that is not on the curve. */
int jwt_keys_add_p256(struct jwt_keys *keys, struct str x, struct str y, const char *id,
                      struct buf *why)
{
    cjose_err error;

    cjose_jwk_ec_keyspec spec = {
        .crv = CJOSE_JWK_EC_P_256,
        .x = (uint8_t *)(uintptr_t)x.at,
        .xlen = x.len,
        .y = (uint8_t *)(uintptr_t)y.at,
        .ylen = y.len,
    };
    int err = FAIL_SYNTAX;
    if (x.len == JWT_P256_BYTES && y.len == JWT_P256_BYTES)
        err = keys_add(keys, cjose_jwk_create_EC_spec(&spec, &error), id, 2 * JWT_P256_BYTES);
    if (err)
        buf_puts(why, "the EC key is not a point on P-256");
    return err;
}

bool jwt_needs(const struct jwt_settings *settings, bool secret, struct buf *why)
{
    const struct jwt_algorithm_info *info = jwt_algorithm_info(settings->algorithm);

    if ((info->family == JWT_FAMILY_HMAC) == secret)
        return true;
    buf_printf(why, secret ? "%s needs a public key, not a secret" : "%s needs a secret, not a key",
               info->name);
    return false;
}

int jwt_keys_finish(struct jwt_keys *keys, int err, struct jwt_keys **out)
{
    if (err)
        jwt_keys_free(keys);
    else
        *out = keys;
    return err;
}

int jwt_keys_from_secret(const struct jwt_settings *settings, const void *secret, size_t len,
                         struct jwt_keys **out, struct buf *why)
{
    static const char armour[] = "-----BEGIN ";

    if (!jwt_needs(settings, true, why))
        return FAIL_UNSUPPORTED;
    /* A public key used as a secret lets everyone who has it mint tokens. */
    if (len >= sizeof(armour) - 1 && memcmp(secret, armour, sizeof(armour) - 1) == 0) {
        buf_puts(why, "the secret is a PEM key: RS256 or ES256 verify with one");
        return FAIL_DENIED;
    }
    struct jwt_keys *keys = jwt_keys_new(settings);
    return jwt_keys_finish(keys, jwt_keys_add_secret(keys, secret, len, NULL, why), out);
}
