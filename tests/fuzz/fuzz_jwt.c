/* What strangers and operators hand to proto/jwt and proto/presign. The first
 * byte chooses: a token as it is, a header and a payload that get the right
 * signature (so that the claims are reached), a key set, a PEM, a query. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/jwt.h"
#include "proto/presign.h"

enum { NOW_S = 1700000000 };

static const char secret[] = "forty-eight bytes of secret, known to the world.";

static struct jwt_keys *hmac_keys(void)
{
    static struct jwt_keys *keys;
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct buf why;

    if (keys == NULL) {
        buf_init(&why, 256);
        if (jwt_keys_from_secret(&settings, secret, sizeof(secret) - 1, &keys, &why) != OK)
            abort();
        buf_deinit(&why);
    }
    return keys;
}

static void verify(const struct jwt_keys *keys, struct str token, bool may_be_good)
{
    struct jwt_claims claims;

    memset(&claims, 'x', sizeof(claims));
    if (jwt_verify(keys, token, NOW_S * 1000ll, &claims) != OK)
        return;
    if (!may_be_good || token.len > JWT_TEXT_MAX ||
        strnlen(claims.subject, sizeof(claims.subject)) > JWT_SUBJECT_MAX ||
        !utf8_is_valid(claims.subject, strlen(claims.subject)) || claims.expires_ms < 0)
        abort();
}

static void put_base64url(struct buf *out, const void *bytes, size_t len)
{
    char *text = mem_alloc(ENCODE_BASE64URL_SIZE(len));

    encode_base64url(bytes, len, text);
    buf_puts(out, text);
    mem_free(text);
}

/* Header and payload, divided by a newline. */
static void signed_token(const uint8_t *data, size_t len)
{
    const uint8_t *line = memchr(data, '\n', len);
    uint8_t mac[32];
    struct buf token;

    if (line == NULL)
        return;
    buf_init(&token, 64 * 1024);
    put_base64url(&token, data, (size_t)(line - data));
    buf_putc(&token, '.');
    put_base64url(&token, line + 1, len - (size_t)(line + 1 - data));
    if (!token.failed && HMAC(EVP_sha256(), secret, sizeof(secret) - 1, (uint8_t *)token.data,
                              token.len, mac, NULL)) {
        buf_putc(&token, '.');
        put_base64url(&token, mac, sizeof(mac));
        verify(hmac_keys(), buf_str(&token), true);
    }
    buf_deinit(&token);
}

static void keys_of(const char *data, size_t len, bool is_pem)
{
    for (int i = 0; i < JWT_ALGORITHMS; i++) {
        struct jwt_settings settings = { .algorithm = (enum jwt_algorithm)i };
        struct jwt_keys *keys = NULL;
        struct buf why;
        buf_init(&why, 512);
        int err = is_pem ? jwt_keys_from_pem(&settings, data, len, &keys, &why)
                         : jwt_keys_from_jwks(&settings, data, len, &keys, &why);
        if ((err == OK) != (keys != NULL) || (err != OK && why.len == 0))
            abort();
        if (keys != NULL)
            verify(keys, STR("eyJhbGciOiJIUzI1NiJ9.e30.AAAA"), false);
        jwt_keys_free(keys);
        buf_deinit(&why);
    }
}

static void query(const char *data, size_t len)
{
    static const struct presign_key key = { { 1, 2, 3 } };
    uint64_t size_max;

    if (presign_check(&key, "PUT", STR("/a"), (struct str){ data, len }, NOW_S, &size_max) == OK)
        abort(); /* nobody guesses 32 bytes */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    /* A copy that ends where it ends, so that reading on is seen. */
    char *rest = mem_alloc(len);
    memcpy(rest, data + 1, len - 1);
    switch (data[0]) {
    case 't': verify(hmac_keys(), (struct str){ rest, len - 1 }, true); break;
    case 's': signed_token((const uint8_t *)rest, len - 1); break;
    case 'j': keys_of(rest, len - 1, false); break;
    case 'p': keys_of(rest, len - 1, true); break;
    case 'q': query(rest, len - 1); break;
    default: break;
    }
    mem_free(rest);
    return 0;
}
