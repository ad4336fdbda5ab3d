#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/jwt.h"

/* The tokens here are signed with OpenSSL alone, so that what verifies them is
 * not also what made them. */

enum { TEXT_MAX = 64 * 1024 };

static const char secret[] = "a secret of forty-eight bytes, neither more nor.";
static const int64_t now_ms = 1700000000000;

static EVP_PKEY *rsa, *other_rsa, *small_rsa, *p256, *other_p256, *p384;

static void put_base64url(struct buf *out, const void *bytes, size_t len)
{
    char *text = mem_alloc(ENCODE_BASE64URL_SIZE(len));

    encode_base64url(bytes, len, text);
    buf_puts(out, text);
    mem_free(text);
}

static void put_signing_input(struct buf *out, const char *header, const char *payload)
{
    buf_init(out, TEXT_MAX);
    put_base64url(out, header, strlen(header));
    buf_putc(out, '.');
    put_base64url(out, payload, strlen(payload));
}

static char *with_signature(struct buf *input, const void *signature, size_t len)
{
    buf_putc(input, '.');
    put_base64url(input, signature, len);
    assert_false(input->failed);
    return buf_take(input);
}

static char *hmac_token_with(const EVP_MD *digest, const void *key, size_t key_len,
                             const char *header, const char *payload)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    struct buf input;

    put_signing_input(&input, header, payload);
    assert_non_null(
        HMAC(digest, key, (int)key_len, (uint8_t *)input.data, input.len, mac, &mac_len));
    return with_signature(&input, mac, mac_len);
}

static char *hmac_token(const char *header, const char *payload)
{
    return hmac_token_with(EVP_sha256(), secret, sizeof(secret) - 1, header, payload);
}

static size_t pkey_sign(EVP_PKEY *key, const EVP_MD *digest, int padding, const struct buf *input,
                        uint8_t out[1024])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *settings;
    size_t len = 1024;

    assert_int_equal(EVP_DigestSignInit(context, &settings, digest, NULL, key), 1);
    if (padding)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(settings, padding), 1);
    assert_int_equal(EVP_DigestSign(context, out, &len, (uint8_t *)input->data, input->len), 1);
    EVP_MD_CTX_free(context);
    return len;
}

static char *rsa_token(EVP_PKEY *key, const EVP_MD *digest, int padding, const char *header,
                       const char *payload)
{
    uint8_t signature[1024];
    struct buf input;

    put_signing_input(&input, header, payload);
    size_t len = pkey_sign(key, digest, padding, &input, signature);
    return with_signature(&input, signature, len);
}

/* r || s of `half` bytes each. */
static void ec_sign(EVP_PKEY *key, const struct buf *input, uint8_t *out, int half)
{
    uint8_t der[1024];
    const uint8_t *at = der;

    size_t len = pkey_sign(key, EVP_sha256(), 0, input, der);
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)len);
    assert_non_null(signature);
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, half);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + half, half);
    ECDSA_SIG_free(signature);
}

static char *ec_token(EVP_PKEY *key, int half, const char *header, const char *payload)
{
    uint8_t signature[256];
    struct buf input;

    put_signing_input(&input, header, payload);
    ec_sign(key, &input, signature, half);
    return with_signature(&input, signature, 2 * (size_t)half);
}

static struct jwt_keys *keys_of_secret_with(const struct jwt_settings *settings, const void *bytes,
                                            size_t len)
{
    struct jwt_keys *keys = NULL;
    struct buf why;

    buf_init(&why, 256);
    assert_int_equal(jwt_keys_from_secret(settings, bytes, len, &keys, &why), OK);
    assert_int_equal(why.len, 0);
    buf_deinit(&why);
    return keys;
}

static struct jwt_keys *keys_of_secret(const struct jwt_settings *settings)
{
    return keys_of_secret_with(settings, secret, sizeof(secret) - 1);
}

enum form { PUBLIC, PUBLIC_PKCS1, PRIVATE, ENCRYPTED, CERTIFICATE };

static X509 *certificate_of(EVP_PKEY *key)
{
    X509 *certificate = X509_new();

    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static char *pem_of(EVP_PKEY *key, enum form form)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *bytes;

    if (form == PUBLIC)
        PEM_write_bio_PUBKEY(out, key);
    if (form == PUBLIC_PKCS1) {
        OSSL_ENCODER_CTX *encoder =
            OSSL_ENCODER_CTX_new_for_pkey(key, EVP_PKEY_PUBLIC_KEY, "PEM", "pkcs1", NULL);
        OSSL_ENCODER_to_bio(encoder, out);
        OSSL_ENCODER_CTX_free(encoder);
    }
    if (form == PRIVATE)
        PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    if (form == ENCRYPTED)
        PEM_write_bio_PrivateKey(out, key, EVP_aes_128_cbc(), (uint8_t *)"word", 4, NULL, NULL);
    if (form == CERTIFICATE) {
        X509 *certificate = certificate_of(key);
        PEM_write_bio_X509(out, certificate);
        X509_free(certificate);
    }
    long len = BIO_get_mem_data(out, &bytes);
    assert_true(len > 0);
    char *pem = mem_strndup(bytes, (size_t)len);
    BIO_free(out);
    return pem;
}

static int pem_keys(enum jwt_algorithm algorithm, EVP_PKEY *key, enum form form,
                    struct jwt_keys **out, struct buf *why)
{
    struct jwt_settings settings = { .algorithm = algorithm };
    char *pem = pem_of(key, form);

    int err = jwt_keys_from_pem(&settings, pem, strlen(pem), out, why);
    mem_free(pem);
    assert_int_equal(ERR_peek_error(), 0);
    return err;
}

static struct jwt_keys *keys_of_pem(enum jwt_algorithm algorithm, EVP_PKEY *key, enum form form)
{
    struct jwt_keys *keys = NULL;
    struct buf why;

    buf_init(&why, 256);
    assert_int_equal(pem_keys(algorithm, key, form, &keys, &why), OK);
    buf_deinit(&why);
    return keys;
}

static void expect_at(const struct jwt_keys *keys, const char *token, int64_t at, int expected)
{
    struct jwt_claims claims, before;

    memset(&claims, 0x5a, sizeof(claims));
    before = claims;
    int got = jwt_verify(keys, str_of(token), at, &claims);
    if (got != expected)
        fail_msg("%s instead of %s for %s", fail_name(got), fail_name(expected), token);
    if (got != OK)
        assert_memory_equal(&claims, &before, sizeof(claims));
    assert_int_equal(ERR_peek_error(), 0);
}

static void expect(const struct jwt_keys *keys, char *token, int expected)
{
    expect_at(keys, token, now_ms, expected);
    mem_free(token);
}

/* Replaces the signature, or (at 0, 1) another part, by a text. */
static char *with_part(const char *token, int which, const char *text)
{
    struct str rest = str_of(token);
    struct buf out;

    buf_init(&out, TEXT_MAX);
    for (int i = 0; i < 3; i++) {
        struct str part = str_cut(&rest, '.');
        if (i > 0)
            buf_putc(&out, '.');
        if (i == which)
            buf_puts(&out, text);
        else
            buf_append(&out, part.at, part.len);
    }
    return buf_take(&out);
}

static char *with_raw_signature(const char *token, const void *bytes, size_t len)
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    put_base64url(&text, bytes, len);
    char *made = with_part(token, 2, buf_text(&text));
    buf_deinit(&text);
    return made;
}

#define HS256_HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define RS256_HEADER "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"
#define ES256_HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\"}"

/* RFC 7515, appendix A. */

#define A_PAYLOAD                                                                                  \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

static void appendix(enum jwt_algorithm algorithm, const char *jwks, const char *token)
{
    struct jwt_settings settings = { .algorithm = algorithm, .issuer = "joe" };
    struct jwt_keys *keys = NULL;
    struct jwt_claims claims;
    struct buf why;

    buf_init(&why, 256);
    assert_int_equal(jwt_keys_from_jwks(&settings, jwks, strlen(jwks), &keys, &why), OK);
    assert_int_equal(jwt_verify(keys, str_of(token), 1300819379999, &claims), OK);
    assert_string_equal(claims.subject, "");
    assert_false(claims.is_admin);
    assert_int_equal(claims.expires_ms, 1300819380000);
    expect_at(keys, token, 1300819380000, FAIL_TIMEOUT);
    jwt_keys_free(keys);
    buf_deinit(&why);
}

static void rfc7515_a1_hs256_verifies(void **state)
{
    (void)state;
    appendix(JWT_HS256,
             "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0"
             "gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}",
             "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." A_PAYLOAD
             ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

static void rfc7515_a2_rs256_verifies(void **state)
{
    (void)state;
    appendix(JWT_RS256,
             "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
             "wWJcyQoTbji9k0l8W26mPdd"
             "xHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
             "YpRPEwOWvG6b32690r2jZ47soMZo9"
             "wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
             "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZ"
             "lxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_"
             "h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4"
             "FRWyuXpoQ\",\"e\":\"AQAB\"}]}",
             "eyJhbGciOiJSUzI1NiJ9." A_PAYLOAD
             ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_"
             "lF5YKt_O8W2Fp"
             "5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
             "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHl"
             "b1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
             "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9Q"
             "OYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw");
}

static void rfc7515_a3_es256_verifies(void **state)
{
    (void)state;
    appendix(
        JWT_ES256,
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9u"
        "PHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
        "eyJhbGciOiJFUzI1NiJ9." A_PAYLOAD
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
}

/* Claims */

struct claim_case {
    const char *payload;
    int expected;
};

static void each_payload_has_its_answer(void **state)
{
    static const struct claim_case table[] = {
        { "{}", OK },
        { "{\"exp\":1700000001}", OK },
        { "{\"exp\":1700000000.001}", OK },
        { "{\"exp\":1.7000001e9}", OK },
        { "{\"exp\":1700000000}", FAIL_TIMEOUT },
        { "{\"exp\":1699999999.999}", FAIL_TIMEOUT },
        { "{\"exp\":0}", FAIL_TIMEOUT },
        { "{\"nbf\":1700000000}", OK },
        { "{\"nbf\":1700000001}", FAIL_TIMEOUT },
        { "{\"iat\":1700000009}", OK },
        { "{\"exp\":\"1700000001\"}", FAIL_SYNTAX },
        { "{\"exp\":null}", FAIL_SYNTAX },
        { "{\"exp\":true}", FAIL_SYNTAX },
        { "{\"exp\":-1}", FAIL_SYNTAX },
        { "{\"exp\":1e300}", FAIL_SYNTAX },
        { "{\"exp\":1e400}", FAIL_SYNTAX },
        { "{\"exp\":1700000001000}", FAIL_SYNTAX },
        { "{\"exp\":99999999999999999999}", FAIL_SYNTAX },
        { "{\"exp\":NaN}", FAIL_SYNTAX },
        { "{\"nbf\":\"now\"}", FAIL_SYNTAX },
        { "{\"iat\":[]}", FAIL_SYNTAX },
        { "{\"sub\":null}", FAIL_SYNTAX },
        { "{\"sub\":1.5}", FAIL_SYNTAX },
        { "{\"sub\":[\"a\"]}", FAIL_SYNTAX },
        { "{\"sub\":\"a\\u0000b\"}", FAIL_SYNTAX },
        { "{\"sub\":\"\\ud800\"}", FAIL_SYNTAX },
        { "{\"sub\":\"\xff\"}", FAIL_SYNTAX },
        { "{\"sub\":\"a\",\"sub\":\"b\"}", FAIL_SYNTAX },
        { "{\"sub\":\"a\",\"s\\u0075b\":\"b\"}", FAIL_SYNTAX },
        { "{\"x\":{\"y\":1,\"y\":1}}", FAIL_SYNTAX },
        { "{\"scope\":1}", FAIL_SYNTAX },
        { "{\"scope\":[\"admin\",1]}", FAIL_SYNTAX },
        { "{\"scope\":{\"admin\":true}}", FAIL_SYNTAX },
        { "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", FAIL_SYNTAX },
        { "{\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", OK },
        { "{\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", FAIL_SYNTAX },
        { "{\"x\":\"\\\"[[[[[[[[[[[[[[[[[[[[\"}", OK },
        { "", FAIL_SYNTAX },
        { "\"text\"", FAIL_SYNTAX },
        { "[]", FAIL_SYNTAX },
        { "null", FAIL_SYNTAX },
        { "{", FAIL_SYNTAX },
        { "{} {}", FAIL_SYNTAX },
        { "{}x", FAIL_SYNTAX },
        { "{'exp':1}", FAIL_SYNTAX },
        { "\xef\xbb\xbf{}", FAIL_SYNTAX },
    };
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        expect(keys, hmac_token(HS256_HEADER, table[i].payload), table[i].expected);
    jwt_keys_free(keys);
}

static void each_header_has_its_answer(void **state)
{
    static const struct claim_case table[] = {
        { "{\"alg\":\"HS256\"}", OK },
        { "{\"alg\":\"HS256\",\"kid\":\"any\"}", OK },
        { "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"jku\":\"http://evil/\"}", OK },
        { "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", OK },
        { "{\"alg\":\"none\"}", FAIL_DENIED },
        { "{\"alg\":\"None\"}", FAIL_DENIED },
        { "{\"alg\":\"NONE\"}", FAIL_DENIED },
        { "{\"alg\":\"nOnE\"}", FAIL_DENIED },
        { "{\"alg\":\"\"}", FAIL_DENIED },
        { "{\"alg\":\"hs256\"}", FAIL_DENIED },
        { "{\"alg\":\"HS384\"}", FAIL_DENIED },
        { "{\"alg\":\"HS512\"}", FAIL_DENIED },
        { "{\"alg\":\"RS256\"}", FAIL_DENIED },
        { "{\"alg\":\"ES256\"}", FAIL_DENIED },
        { "{\"alg\":\"HS256 \"}", FAIL_DENIED },
        { "{\"alg\":\"HS256\",\"crit\":[]}", FAIL_DENIED },
        { "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", FAIL_DENIED },
        { "{\"alg\":\"HS256\",\"crit\":null}", FAIL_DENIED },
        { "{\"alg\":\"HS256\",\"b64\":false}", FAIL_DENIED },
        { "{\"alg\":\"HS256\",\"b64\":true}", FAIL_DENIED },
        { "{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", FAIL_DENIED },
        { "{\"alg\":\"HS256\",\"alg\":\"none\"}", FAIL_SYNTAX },
        { "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", FAIL_SYNTAX },
        { "{\"alg\":[\"HS256\"]}", FAIL_SYNTAX },
        { "{\"alg\":null}", FAIL_SYNTAX },
        { "{\"alg\":256}", FAIL_SYNTAX },
        { "{\"ALG\":\"HS256\"}", FAIL_SYNTAX },
        { "{\"alg\":\"HS256\",\"kid\":1}", FAIL_SYNTAX },
        { "{\"alg\":\"HS256\\u0000\"}", FAIL_SYNTAX },
        { "{\"typ\":\"JWT\"}", FAIL_SYNTAX },
        { "{}", FAIL_SYNTAX },
        { "[]", FAIL_SYNTAX },
        { "\"HS256\"", FAIL_SYNTAX },
        { "", FAIL_SYNTAX },
    };
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        expect(keys, hmac_token(table[i].payload, "{}"), table[i].expected);
    jwt_keys_free(keys);
}

static void audience_and_issuer_must_fit_when_they_are_asked_for(void **state)
{
    static const struct claim_case table[] = {
        { "{\"aud\":\"reelay\",\"iss\":\"me\"}", OK },
        { "{\"aud\":[\"a\",\"reelay\"],\"iss\":\"me\"}", OK },
        { "{\"aud\":\"Reelay\",\"iss\":\"me\"}", FAIL_DENIED },
        { "{\"aud\":\"reelay2\",\"iss\":\"me\"}", FAIL_DENIED },
        { "{\"aud\":[],\"iss\":\"me\"}", FAIL_DENIED },
        { "{\"aud\":[\"a\"],\"iss\":\"me\"}", FAIL_DENIED },
        { "{\"aud\":[\"reelay\",1],\"iss\":\"me\"}", FAIL_SYNTAX },
        { "{\"aud\":1,\"iss\":\"me\"}", FAIL_SYNTAX },
        { "{\"aud\":{\"reelay\":1},\"iss\":\"me\"}", FAIL_SYNTAX },
        { "{\"iss\":\"me\"}", FAIL_DENIED },
        { "{\"aud\":\"reelay\"}", FAIL_DENIED },
        { "{\"aud\":\"reelay\",\"iss\":\"you\"}", FAIL_DENIED },
        { "{\"aud\":\"reelay\",\"iss\":[\"me\"]}", FAIL_SYNTAX },
    };
    struct jwt_settings settings = { .algorithm = JWT_HS256, .audience = "reelay", .issuer = "me" };
    struct jwt_keys *keys = keys_of_secret(&settings);

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        expect(keys, hmac_token(HS256_HEADER, table[i].payload), table[i].expected);
    jwt_keys_free(keys);
    settings = (struct jwt_settings){ .algorithm = JWT_HS256 };
    keys = keys_of_secret(&settings);
    expect(keys, hmac_token(HS256_HEADER, "{\"aud\":\"them\",\"iss\":\"you\"}"), OK);
    jwt_keys_free(keys);
}

static void the_leeway_widens_both_ends(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256, .leeway_ms = 5000 };
    struct jwt_keys *keys = keys_of_secret(&settings);

    (void)state;
    expect(keys, hmac_token(HS256_HEADER, "{\"exp\":1699999996}"), OK);
    expect(keys, hmac_token(HS256_HEADER, "{\"exp\":1699999995}"), FAIL_TIMEOUT);
    expect(keys, hmac_token(HS256_HEADER, "{\"nbf\":1700000005}"), OK);
    expect(keys, hmac_token(HS256_HEADER, "{\"nbf\":1700000006}"), FAIL_TIMEOUT);
    jwt_keys_free(keys);
}

static void expect_subject(const struct jwt_keys *keys, const char *payload, const char *subject,
                           bool is_admin)
{
    struct jwt_claims claims;
    char *token = hmac_token(HS256_HEADER, payload);

    assert_int_equal(jwt_verify(keys, str_of(token), now_ms, &claims), OK);
    assert_string_equal(claims.subject, subject);
    assert_int_equal(claims.is_admin, is_admin);
    assert_int_equal(claims.expires_ms, 0);
    mem_free(token);
}

static void subject_and_scope_are_read(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    char longest[JWT_SUBJECT_MAX + 2], payload[512];

    (void)state;
    expect_subject(keys, "{\"sub\":\"ada\"}", "ada", false);
    expect_subject(keys, "{\"sub\":\"\xc3\x84\xf0\x9f\x8e\xac\"}", "\xc3\x84\xf0\x9f\x8e\xac",
                   false);
    expect_subject(keys, "{\"sub\":\"\\u00c4\"}", "\xc3\x84", false);
    expect_subject(keys, "{\"sub\":42}", "42", false);
    expect_subject(keys, "{\"sub\":-9223372036854775808}", "-9223372036854775808", false);
    expect_subject(keys, "{\"sub\":\"\"}", "", false);
    expect_subject(keys, "{\"scope\":\"admin\"}", "", true);
    expect_subject(keys, "{\"scope\":\"read admin write\"}", "", true);
    expect_subject(keys, "{\"scope\":[\"read\",\"admin\"]}", "", true);
    expect_subject(keys, "{\"scope\":\"administrator Admin no-admin\"}", "", false);
    expect_subject(keys, "{\"scope\":[\"read admin\"]}", "", false);
    expect_subject(keys, "{\"scope\":\"\"}", "", false);
    expect_subject(keys, "{\"scopes\":\"admin\"}", "", false);

    memset(longest, 'x', sizeof(longest));
    longest[JWT_SUBJECT_MAX] = '\0';
    snprintf(payload, sizeof(payload), "{\"sub\":\"%s\"}", longest);
    expect_subject(keys, payload, longest, false);
    snprintf(payload, sizeof(payload), "{\"sub\":\"%sx\"}", longest);
    expect(keys, hmac_token(HS256_HEADER, payload), FAIL_SYNTAX);
    jwt_keys_free(keys);
}

/* Texts that are not tokens */

static void a_text_that_is_not_exactly_three_parts_is_refused(void **state)
{
    static const char *const formats[] = { "%s.", ".%s",  "%s.x", "x.%s", "%s=", "%s==",  " %s",
                                           "%s ", "%s\n", "%s+",  "%s/",  "%s~", "\"%s\"" };
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    char *token = hmac_token(HS256_HEADER, "{\"sub\":\"a\"}");
    char text[512];

    (void)state;
    expect_at(keys, token, now_ms, OK);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof(text), formats[i], token);
#pragma GCC diagnostic pop
        expect_at(keys, text, now_ms, FAIL_SYNTAX);
    }
    static const char *const texts[] = { "",        ".",        "..",         "...", "a",
                                         "a.b",     "a..",      ".a.",        "..a", "{}",
                                         "e30.e30", "e30.e30.", "e30.e30.e30" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect_at(keys, texts[i], now_ms, FAIL_SYNTAX);
    mem_free(token);
    jwt_keys_free(keys);
}

static void a_token_cut_anywhere_is_refused(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    char *token = hmac_token(HS256_HEADER, "{\"sub\":\"a\"}");
    struct jwt_claims claims;

    (void)state;
    for (size_t len = 0; len < strlen(token); len++)
        assert_int_not_equal(jwt_verify(keys, (struct str){ token, len }, now_ms, &claims), OK);
    mem_free(token);
    jwt_keys_free(keys);
}

static void a_token_with_any_character_changed_is_refused(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    char *token = hmac_token(HS256_HEADER, "{\"sub\":\"a\",\"scope\":\"read\"}");
    struct jwt_claims claims;

    (void)state;
    for (size_t i = 0; i < strlen(token); i++) {
        char was = token[i];
        for (const char *c = "AQgw_-9.=\xff"; *c; c++) {
            token[i] = *c == was ? 'B' : *c;
            if (token[i] != was)
                assert_int_not_equal(jwt_verify(keys, str_of(token), now_ms, &claims), OK);
        }
        token[i] = was;
    }
    expect(keys, token, OK);
    jwt_keys_free(keys);
}

static void a_token_longer_than_the_limit_is_not_looked_at(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    struct buf payload;

    (void)state;
    for (size_t filler = 6000; filler < 6200; filler++) {
        buf_init(&payload, TEXT_MAX);
        buf_puts(&payload, "{\"x\":\"");
        memset(buf_reserve(&payload, filler), 'x', filler);
        payload.len += filler;
        buf_puts(&payload, "\"}");
        char *token = hmac_token(HS256_HEADER, buf_text(&payload));
        int expected = strlen(token) <= JWT_TEXT_MAX ? OK : FAIL_SYNTAX;
        assert_true(filler > 6000 || expected == OK);
        assert_true(filler < 6199 || expected != OK);
        expect(keys, token, expected);
        buf_deinit(&payload);
    }
    jwt_keys_free(keys);
}

/* jansson alone would pass over it. */
static void a_payload_with_a_nul_is_no_json(void **state)
{
    const struct str payloads[] = { STR("{\"sub\":\"u\",\"n\":1\0}"),
                                    STR("{\"sub\":\"u\",\"n\":true\0}"), STR("{\"sub\":\"u\"}\0") };
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len;
    struct buf input;

    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        buf_init(&input, TEXT_MAX);
        put_base64url(&input, HS256_HEADER, strlen(HS256_HEADER));
        buf_putc(&input, '.');
        put_base64url(&input, payloads[i].at, payloads[i].len);
        assert_non_null(HMAC(EVP_sha256(), secret, (int)sizeof(secret) - 1, (uint8_t *)input.data,
                             input.len, mac, &mac_len));
        expect(keys, with_signature(&input, mac, mac_len), FAIL_SYNTAX);
    }
    jwt_keys_free(keys);
}

/* Signatures */

static void an_unsigned_token_is_refused(void **state)
{
    static const char *const headers[] = { "{\"alg\":\"none\"}", "{\"alg\":\"None\"}",
                                           HS256_HEADER };
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);

    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        char *token = hmac_token(headers[i], "{\"scope\":\"admin\"}");
        expect(keys, with_part(token, 2, ""), FAIL_DENIED);
        mem_free(token);
    }
    jwt_keys_free(keys);
}

static void an_hmac_of_another_length_is_refused(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    char *token = hmac_token(HS256_HEADER, "{}");
    uint8_t mac[64] = { 0 };
    size_t len;

    (void)state;
    const char *text = strrchr(token, '.') + 1;
    assert_int_equal(decode_base64url(text, strlen(text), mac, &len), OK);
    assert_int_equal(len, 32);
    for (len = 0; len <= sizeof(mac); len++)
        expect(keys, with_raw_signature(token, mac, len), len == 32 ? OK : FAIL_DENIED);
    mem_free(token);
    jwt_keys_free(keys);
}

static void each_hmac_algorithm_verifies_its_own_only(void **state)
{
    static const char *const headers[] = { "{\"alg\":\"HS256\"}", "{\"alg\":\"HS384\"}",
                                           "{\"alg\":\"HS512\"}" };
    const EVP_MD *digests[] = { EVP_sha256(), EVP_sha384(), EVP_sha512() };
    char key[64];

    (void)state;
    memset(key, 'k', sizeof(key));
    for (int i = 0; i < 3; i++) {
        struct jwt_settings settings = { .algorithm = (enum jwt_algorithm)i };
        struct jwt_keys *keys = keys_of_secret_with(&settings, key, sizeof(key));
        for (int j = 0; j < 3; j++) {
            expect(keys, hmac_token_with(digests[j], key, sizeof(key), headers[j], "{}"),
                   i == j ? OK : FAIL_DENIED);
            expect(keys, hmac_token_with(digests[j], key, sizeof(key), headers[i], "{}"),
                   i == j ? OK : FAIL_DENIED);
        }
        key[0] = 'K';
        expect(keys, hmac_token_with(digests[i], key, sizeof(key), headers[i], "{}"), FAIL_DENIED);
        key[0] = 'k';
        jwt_keys_free(keys);
    }
}

static void rs256_verifies_with_every_form_of_the_key(void **state)
{
    static const enum form forms[] = { PUBLIC, PUBLIC_PKCS1, PRIVATE, CERTIFICATE };

    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct jwt_keys *keys = keys_of_pem(JWT_RS256, rsa, forms[i]);
        expect(keys, rsa_token(rsa, EVP_sha256(), 0, RS256_HEADER, "{}"), OK);
        expect(keys, rsa_token(other_rsa, EVP_sha256(), 0, RS256_HEADER, "{}"), FAIL_DENIED);
        jwt_keys_free(keys);
    }
}

static void es256_verifies_with_every_form_of_the_key(void **state)
{
    static const enum form forms[] = { PUBLIC, PRIVATE, CERTIFICATE };

    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct jwt_keys *keys = keys_of_pem(JWT_ES256, p256, forms[i]);
        /* Often enough that r or s begins with a zero byte. */
        for (int j = 0; j < 100; j++)
            expect(keys, ec_token(p256, 32, ES256_HEADER, "{}"), OK);
        expect(keys, ec_token(other_p256, 32, ES256_HEADER, "{}"), FAIL_DENIED);
        jwt_keys_free(keys);
    }
}

/* One key in 128 has a coordinate whose first byte is zero. */
static void es256_keys_with_short_coordinates_are_read(void **state)
{
    int found = 0;

    (void)state;
    while (found != 3) {
        EVP_PKEY *key = EVP_EC_gen("P-256");
        BIGNUM *x = NULL, *y = NULL;
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x);
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y);
        int shorter = (BN_num_bytes(x) < 32 ? 1 : 0) | (BN_num_bytes(y) < 32 ? 2 : 0);
        if (shorter & ~found) {
            struct jwt_keys *keys = keys_of_pem(JWT_ES256, key, PUBLIC);
            expect(keys, ec_token(key, 32, ES256_HEADER, "{}"), OK);
            jwt_keys_free(keys);
            found |= shorter;
        }
        BN_free(x);
        BN_free(y);
        EVP_PKEY_free(key);
    }
}

/* The classic confusion: the public key's text as the secret of an HMAC. */
static void a_public_key_never_serves_as_a_secret(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_pem(JWT_RS256, rsa, PUBLIC), *none = NULL;
    char *pem = pem_of(rsa, PUBLIC);
    struct buf why;

    (void)state;
    expect(keys, hmac_token_with(EVP_sha256(), pem, strlen(pem), HS256_HEADER, "{}"), FAIL_DENIED);
    expect(keys, hmac_token_with(EVP_sha256(), pem, strlen(pem), RS256_HEADER, "{}"), FAIL_DENIED);
    jwt_keys_free(keys);

    buf_init(&why, 256);
    assert_int_equal(jwt_keys_from_secret(&settings, pem, strlen(pem), &none, &why), FAIL_DENIED);
    assert_null(none);
    assert_non_null(strstr(buf_text(&why), "PEM"));
    buf_deinit(&why);
    mem_free(pem);

    keys = keys_of_secret(&settings);
    expect(keys, rsa_token(rsa, EVP_sha256(), 0, RS256_HEADER, "{}"), FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha256(), 0, HS256_HEADER, "{}"), FAIL_DENIED);
    jwt_keys_free(keys);
}

static void rsa_signatures_of_another_kind_are_refused(void **state)
{
    struct jwt_keys *keys = keys_of_pem(JWT_RS256, rsa, PUBLIC);
    uint8_t signature[1024] = { 0 };
    size_t len;

    (void)state;
    expect(keys, rsa_token(rsa, EVP_sha1(), 0, RS256_HEADER, "{}"), FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha512(), 0, RS256_HEADER, "{}"), FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha256(), RSA_PKCS1_PSS_PADDING, RS256_HEADER, "{}"),
           FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha256(), RSA_PKCS1_PSS_PADDING, "{\"alg\":\"PS256\"}", "{}"),
           FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha512(), 0, "{\"alg\":\"RS512\"}", "{}"), FAIL_DENIED);

    char *token = rsa_token(rsa, EVP_sha256(), 0, RS256_HEADER, "{}");
    const char *text = strrchr(token, '.') + 1;
    assert_int_equal(decode_base64url(text, strlen(text), signature + 1, &len), OK);
    expect(keys, with_raw_signature(token, signature + 1, len), OK);
    expect(keys, with_raw_signature(token, signature + 1, len - 1), FAIL_DENIED);
    expect(keys, with_raw_signature(token, signature + 1, len + 1), FAIL_DENIED);
    expect(keys, with_raw_signature(token, signature, len + 1), FAIL_DENIED);
    expect(keys, with_raw_signature(token, signature, len), FAIL_DENIED);
    memset(signature, 0, sizeof(signature));
    expect(keys, with_raw_signature(token, signature, len), FAIL_DENIED);
    signature[len - 1] = 1;
    expect(keys, with_raw_signature(token, signature, len), FAIL_DENIED);
    memset(signature, 0xff, sizeof(signature));
    expect(keys, with_raw_signature(token, signature, len), FAIL_DENIED);
    mem_free(token);
    jwt_keys_free(keys);
}

static void ecdsa_signatures_out_of_form_are_refused(void **state)
{
    static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    struct jwt_keys *keys = keys_of_pem(JWT_ES256, p256, PUBLIC);
    uint8_t good[64], bad[80] = { 0 }, der[1024], n[32];
    struct buf input;

    (void)state;
    assert_int_equal(decode_hex(order, 64, n, sizeof(n)), OK);
    put_signing_input(&input, ES256_HEADER, "{}");
    ec_sign(p256, &input, good, 32);
    size_t der_len = pkey_sign(p256, EVP_sha256(), 0, &input, der);
    char *token = with_signature(&input, good, sizeof(good));
    expect(keys, with_raw_signature(token, good, 64), OK);
    expect(keys, with_raw_signature(token, der, der_len), FAIL_DENIED);
    for (size_t len = 0; len < 64; len++)
        expect(keys, with_raw_signature(token, good, len), FAIL_DENIED);
    memcpy(bad, good, 64); /* a byte or two behind it, which halving would ignore */
    expect(keys, with_raw_signature(token, bad, 65), FAIL_DENIED);
    expect(keys, with_raw_signature(token, bad, 66), FAIL_DENIED);
    memcpy(bad, good + 32, 32); /* s || r */
    memcpy(bad + 32, good, 32);
    expect(keys, with_raw_signature(token, bad, 64), FAIL_DENIED);
    memset(bad, 0, sizeof(bad)); /* 0, 0: the "psychic" signature */
    expect(keys, with_raw_signature(token, bad, 64), FAIL_DENIED);
    memcpy(bad, good, 32); /* r, 0 */
    expect(keys, with_raw_signature(token, bad, 64), FAIL_DENIED);
    memset(bad, 0, 32); /* 0, s */
    memcpy(bad + 32, good + 32, 32);
    expect(keys, with_raw_signature(token, bad, 64), FAIL_DENIED);
    memcpy(bad, n, 32); /* n, n */
    memcpy(bad + 32, n, 32);
    expect(keys, with_raw_signature(token, bad, 64), FAIL_DENIED);
    memset(bad, 0, sizeof(bad)); /* 1, 1 */
    bad[31] = bad[63] = 1;
    expect(keys, with_raw_signature(token, bad, 64), FAIL_DENIED);
    memset(bad, 0xff, sizeof(bad));
    expect(keys, with_raw_signature(token, bad, 64), FAIL_DENIED);
    mem_free(token);

    expect(keys, ec_token(p384, 48, ES256_HEADER, "{}"), FAIL_DENIED);
    expect(keys, ec_token(p384, 48, "{\"alg\":\"ES384\"}", "{}"), FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha256(), 0, ES256_HEADER, "{}"), FAIL_DENIED);
    jwt_keys_free(keys);
}

static void a_payload_from_another_token_is_refused(void **state)
{
    struct jwt_keys *keys = keys_of_pem(JWT_ES256, p256, PUBLIC);
    char *token = ec_token(p256, 32, ES256_HEADER, "{\"sub\":\"a\"}");
    struct buf payload;

    (void)state;
    buf_init(&payload, 256);
    put_base64url(&payload, "{\"sub\":\"b\"}", 11);
    expect(keys, with_part(token, 1, buf_text(&payload)), FAIL_DENIED);
    expect(keys, with_part(token, 1, ""), FAIL_DENIED);
    buf_deinit(&payload);
    expect(keys, token, OK);
    jwt_keys_free(keys);
}

/* Keys */

static void a_short_secret_is_refused_and_the_reason_does_not_hold_it(void **state)
{
    static const size_t least[] = { 32, 48, 64 };
    struct jwt_keys *keys = NULL;
    struct buf why;
    char key[5000];

    (void)state;
    memset(key, 'k', sizeof(key));
    for (int i = 0; i < 3; i++) {
        struct jwt_settings settings = { .algorithm = (enum jwt_algorithm)i };
        buf_init(&why, 256);
        assert_int_equal(jwt_keys_from_secret(&settings, key, least[i] - 1, &keys, &why),
                         FAIL_SYNTAX);
        assert_non_null(strstr(buf_text(&why), "RFC 7518"));
        assert_null(strstr(buf_text(&why), "kkk"));
        assert_int_equal(jwt_keys_from_secret(&settings, "", 0, &keys, &why), FAIL_SYNTAX);
        assert_int_equal(jwt_keys_from_secret(&settings, key, sizeof(key), &keys, &why),
                         FAIL_LIMIT);
        assert_null(keys);
        jwt_keys_free(keys_of_secret_with(&settings, key, least[i]));
        buf_deinit(&why);
    }
}

static void keys_that_do_not_fit_the_algorithm_are_refused(void **state)
{
    struct jwt_keys *keys = NULL;
    struct buf why;

    (void)state;
    buf_init(&why, 2048);
    assert_int_equal(pem_keys(JWT_RS256, p256, PUBLIC, &keys, &why), FAIL_UNSUPPORTED);
    assert_int_equal(pem_keys(JWT_ES256, rsa, PUBLIC, &keys, &why), FAIL_UNSUPPORTED);
    assert_int_equal(pem_keys(JWT_HS256, rsa, PUBLIC, &keys, &why), FAIL_UNSUPPORTED);
    assert_int_equal(pem_keys(JWT_ES256, p384, PUBLIC, &keys, &why), FAIL_UNSUPPORTED);
    assert_int_equal(pem_keys(JWT_ES256, p384, CERTIFICATE, &keys, &why), FAIL_UNSUPPORTED);
    assert_int_equal(pem_keys(JWT_RS256, small_rsa, PUBLIC, &keys, &why), FAIL_SYNTAX);
    assert_non_null(strstr(buf_text(&why), "2048"));
    assert_int_equal(pem_keys(JWT_RS256, rsa, ENCRYPTED, &keys, &why), FAIL_SYNTAX);
    struct jwt_settings settings = { .algorithm = JWT_RS256 };
    assert_int_equal(jwt_keys_from_secret(&settings, secret, sizeof(secret), &keys, &why),
                     FAIL_UNSUPPORTED);
    assert_int_equal(jwt_keys_from_pem(&settings, "no key", 6, &keys, &why), FAIL_SYNTAX);
    assert_int_equal(jwt_keys_from_pem(&settings, "", 0, &keys, &why), FAIL_SYNTAX);
    assert_null(keys);
    buf_deinit(&why);
}

static int jwks(enum jwt_algorithm algorithm, const char *json, struct jwt_keys **out,
                struct buf *why)
{
    struct jwt_settings settings = { .algorithm = algorithm };

    buf_reset(why);
    return jwt_keys_from_jwks(&settings, json, strlen(json), out, why);
}

static void put_number(struct buf *out, EVP_PKEY *key, const char *name, const char *member,
                       int width)
{
    BIGNUM *number = NULL;
    uint8_t bytes[1024];

    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
    int len = width ? width : BN_num_bytes(number);
    BN_bn2binpad(number, bytes, len);
    buf_printf(out, ",\"%s\":\"", member);
    put_base64url(out, bytes, (size_t)len);
    buf_putc(out, '"');
    BN_free(number);
}

/* A JWK with `extra` members behind its own. */
static void put_jwk(struct buf *out, EVP_PKEY *key, const char *extra)
{
    if (EVP_PKEY_is_a(key, "RSA")) {
        buf_puts(out, "{\"kty\":\"RSA\"");
        put_number(out, key, OSSL_PKEY_PARAM_RSA_N, "n", 0);
        put_number(out, key, OSSL_PKEY_PARAM_RSA_E, "e", 0);
    } else {
        int width = key == p384 ? 48 : 32;
        buf_printf(out, "{\"kty\":\"EC\",\"crv\":\"P-%d\"", width * 8);
        put_number(out, key, OSSL_PKEY_PARAM_EC_PUB_X, "x", width);
        put_number(out, key, OSSL_PKEY_PARAM_EC_PUB_Y, "y", width);
    }
    buf_printf(out, "%s}", extra);
}

static void a_tokens_kid_selects_the_key(void **state)
{
    struct jwt_keys *keys = NULL;
    struct buf set, why;

    (void)state;
    buf_init(&set, TEXT_MAX);
    buf_init(&why, 256);
    buf_puts(&set, "{\"keys\":[");
    put_jwk(&set, rsa, ",\"kid\":\"one\",\"use\":\"sig\",\"alg\":\"RS256\"");
    buf_puts(&set, ",");
    put_jwk(&set, other_rsa, ",\"kid\":\"two\",\"key_ops\":[\"verify\"]");
    buf_puts(&set, ",");
    put_jwk(&set, p256, ",\"kid\":\"three\"");
    buf_puts(&set, "]}");
    assert_int_equal(jwks(JWT_RS256, buf_text(&set), &keys, &why), OK);
#define KID(id) "{\"alg\":\"RS256\",\"kid\":\"" id "\"}"
    expect(keys, rsa_token(rsa, EVP_sha256(), 0, KID("one"), "{}"), OK);
    expect(keys, rsa_token(other_rsa, EVP_sha256(), 0, KID("two"), "{}"), OK);
    expect(keys, rsa_token(rsa, EVP_sha256(), 0, KID("two"), "{}"), FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha256(), 0, KID("One"), "{}"), FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha256(), 0, KID(""), "{}"), FAIL_DENIED);
    expect(keys, rsa_token(rsa, EVP_sha256(), 0, RS256_HEADER, "{}"), OK);
    expect(keys, rsa_token(other_rsa, EVP_sha256(), 0, RS256_HEADER, "{}"), OK);
    jwt_keys_free(keys);
    keys = NULL;
    assert_int_equal(jwks(JWT_ES256, buf_text(&set), &keys, &why), OK);
    expect(keys, ec_token(p256, 32, ES256_HEADER, "{}"), OK);
    jwt_keys_free(keys);
    keys = NULL;
    assert_int_equal(jwks(JWT_HS256, buf_text(&set), &keys, &why), FAIL_MISSING);
    assert_null(keys);
    buf_deinit(&set);
    buf_deinit(&why);
}

static void keys_of_a_set_that_do_not_fit_are_passed_over(void **state)
{
    static const char *const misfits[] = { ",\"use\":\"enc\"",   ",\"alg\":\"RS512\"",
                                           ",\"alg\":\"PS256\"", ",\"key_ops\":[\"encrypt\"]",
                                           ",\"key_ops\":[]",    ",\"use\":1",
                                           ",\"kid\":7" };
    struct jwt_keys *keys = NULL;
    struct buf set, why;

    (void)state;
    buf_init(&set, TEXT_MAX);
    buf_init(&why, 256);
    for (size_t i = 0; i < sizeof(misfits) / sizeof(misfits[0]); i++) {
        buf_reset(&set);
        buf_puts(&set, "{\"keys\":[");
        put_jwk(&set, rsa, misfits[i]);
        buf_puts(&set, "]}");
        assert_int_equal(jwks(JWT_RS256, buf_text(&set), &keys, &why), FAIL_MISSING);
        assert_true(why.len > 0);
        set.len -= 2;
        buf_puts(&set, ",");
        put_jwk(&set, other_rsa, "");
        buf_puts(&set, "]}");
        assert_int_equal(jwks(JWT_RS256, buf_text(&set), &keys, &why), OK);
        expect(keys, rsa_token(rsa, EVP_sha256(), 0, RS256_HEADER, "{}"), FAIL_DENIED);
        expect(keys, rsa_token(other_rsa, EVP_sha256(), 0, RS256_HEADER, "{}"), OK);
        jwt_keys_free(keys);
        keys = NULL;
    }
    buf_reset(&set);
    buf_puts(&set, "{\"keys\":[");
    put_jwk(&set, small_rsa, "");
    buf_puts(&set, "]}");
    assert_int_equal(jwks(JWT_RS256, buf_text(&set), &keys, &why), FAIL_MISSING);
    assert_non_null(strstr(buf_text(&why), "2048"));
    buf_reset(&set);
    buf_puts(&set, "{\"keys\":[");
    put_jwk(&set, p384, "");
    buf_puts(&set, "]}");
    assert_int_equal(jwks(JWT_ES256, buf_text(&set), &keys, &why), FAIL_MISSING);
    buf_deinit(&set);
    buf_deinit(&why);
}

static void sets_that_are_broken_are_refused(void **state)
{
    static const char good_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[1,null,\"x\",[]]}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"oct\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":7}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ=EstJQLr_T\"}]}",
        "{\"keys\":[{\"kty\":\"OCT\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"}]}",
        "{\"keys\":[{\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"}]}",
    };
    struct jwt_keys *keys = NULL;
    char set[512];
    struct buf why;

    (void)state;
    buf_init(&why, 256);
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_int_not_equal(jwks(JWT_HS256, broken[i], &keys, &why), OK);
        assert_true(why.len > 0);
    }
    /* A point that is not on the curve, and ones that are none. */
    static const char *const ys[] = { "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1", "", "AA",
                                      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
    for (size_t i = 0; i < sizeof(ys) / sizeof(ys[0]); i++) {
        snprintf(set, sizeof(set),
                 "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}]}",
                 good_x, ys[i]);
        assert_int_equal(jwks(JWT_ES256, set, &keys, &why), FAIL_MISSING);
        assert_int_equal(ERR_peek_error(), 0);
    }
    assert_null(keys);
    buf_deinit(&why);
}

static void rsa_keys_with_an_exponent_that_proves_nothing_are_refused(void **state)
{
    static const char *const exponents[] = {
        "AQ", "AAE", "AA", "", "Ag", "AQAA", "AQAAAAAAAAAAAAE"
    };
    struct jwt_keys *keys = NULL;
    struct buf set, why;

    (void)state;
    buf_init(&set, TEXT_MAX);
    buf_init(&why, 256);
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        buf_reset(&set);
        buf_printf(&set, "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"%s\"", exponents[i]);
        put_number(&set, rsa, OSSL_PKEY_PARAM_RSA_N, "n", 0);
        buf_puts(&set, "}]}");
        assert_int_equal(jwks(JWT_RS256, buf_text(&set), &keys, &why), FAIL_MISSING);
        assert_non_null(strstr(buf_text(&why), "exponent"));
    }
    buf_deinit(&set);
    buf_deinit(&why);
}

static void a_set_with_too_many_keys_is_refused(void **state)
{
    struct jwt_keys *keys = NULL;
    struct buf set, why;

    (void)state;
    buf_init(&set, TEXT_MAX);
    buf_init(&why, 256);
    buf_puts(&set, "{\"keys\":[");
    for (int i = 0; i < 33; i++)
        buf_printf(&set, "%s{\"kty\":\"oct\",\"k\":\"%043d\"}", i ? "," : "", 0);
    buf_puts(&set, "]}");
    assert_int_equal(jwks(JWT_HS256, buf_text(&set), &keys, &why), FAIL_LIMIT);
    assert_null(keys);
    buf_deinit(&set);
    buf_deinit(&why);
}

/* Minting */

static void what_is_minted_verifies(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS384, .audience = "a\"b", .issuer = "me" };
    struct jwt_keys *keys = keys_of_secret(&settings);
    struct jwt_claims claims;
    struct buf token;

    (void)state;
    buf_init(&token, JWT_TEXT_MAX);
    assert_int_equal(jwt_mint(keys, "Zo\xc3\xab \"q\"\n", true, now_ms, 60000, &token), OK);
    assert_int_equal(jwt_verify(keys, buf_str(&token), now_ms, &claims), OK);
    assert_string_equal(claims.subject, "Zo\xc3\xab \"q\"\n");
    assert_true(claims.is_admin);
    assert_int_equal(claims.expires_ms, now_ms + 60000);
    expect_at(keys, buf_text(&token), now_ms + 60000, FAIL_TIMEOUT);
    buf_reset(&token);
    assert_int_equal(jwt_mint(keys, NULL, false, now_ms, 1, &token), OK);
    assert_int_equal(jwt_verify(keys, buf_str(&token), now_ms, &claims), OK);
    assert_string_equal(claims.subject, "");
    assert_false(claims.is_admin);
    jwt_keys_free(keys);

    settings.audience = NULL;
    settings.algorithm = JWT_HS256;
    keys = keys_of_secret(&settings);
    expect_at(keys, buf_text(&token), now_ms, FAIL_DENIED);
    jwt_keys_free(keys);
    buf_deinit(&token);
}

static void what_cannot_be_minted_is_said(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    char subject[JWT_SUBJECT_MAX + 2];
    struct buf token, narrow;

    (void)state;
    buf_init(&token, JWT_TEXT_MAX);
    buf_init(&narrow, 20);
    memset(subject, 'x', sizeof(subject));
    subject[sizeof(subject) - 1] = '\0';
    assert_int_equal(jwt_mint(keys, subject, false, now_ms, 1000, &token), FAIL_SYNTAX);
    assert_int_equal(jwt_mint(keys, "\xff", false, now_ms, 1000, &token), FAIL_SYNTAX);
    assert_int_equal(jwt_mint(keys, "a", false, now_ms, 0, &token), FAIL_LIMIT);
    assert_int_equal(jwt_mint(keys, "a", false, now_ms, INT64_MAX, &token), FAIL_LIMIT);
    assert_int_equal(jwt_mint(keys, "a", false, -1, 1000, &token), FAIL_LIMIT);
    assert_int_equal(jwt_mint(keys, "a", false, now_ms, 1000, &narrow), FAIL_LIMIT);
    jwt_keys_free(keys);
    keys = keys_of_pem(JWT_ES256, p256, PRIVATE);
    assert_int_equal(jwt_mint(keys, "a", false, now_ms, 1000, &token), FAIL_UNSUPPORTED);
    assert_int_equal(token.len, 0);
    jwt_keys_free(keys);
    buf_deinit(&token);
    buf_deinit(&narrow);
}

/* Threads */

struct verifier {
    const struct jwt_keys *keys;
    const char *good, *bad;
    int surprises;
};

static void *verify_many(void *context)
{
    struct verifier *v = context;
    struct jwt_claims claims;

    for (int i = 0; i < 200; i++) {
        if (jwt_verify(v->keys, str_of(v->good), now_ms, &claims) != OK)
            v->surprises++;
        if (jwt_verify(v->keys, str_of(v->bad), now_ms, &claims) != FAIL_DENIED)
            v->surprises++;
    }
    return NULL;
}

static void threads_verify_with_the_same_keys_at_once(void **state)
{
    struct jwt_keys *keys = keys_of_pem(JWT_RS256, rsa, PUBLIC);
    char *good = rsa_token(rsa, EVP_sha256(), 0, RS256_HEADER, "{\"sub\":\"a\"}");
    char *bad = rsa_token(other_rsa, EVP_sha256(), 0, RS256_HEADER, "{\"sub\":\"a\"}");
    struct verifier verifiers[4];
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        verifiers[i] = (struct verifier){ .keys = keys, .good = good, .bad = bad };
        assert_int_equal(pthread_create(&threads[i], NULL, verify_many, &verifiers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(verifiers[i].surprises, 0);
    }
    mem_free(good);
    mem_free(bad);
    jwt_keys_free(keys);
}

static int make_keys(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    small_rsa = EVP_RSA_gen(1024);
    p256 = EVP_EC_gen("P-256");
    other_p256 = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    return rsa && other_rsa && small_rsa && p256 && other_p256 && p384 ? 0 : -1;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other_rsa);
    EVP_PKEY_free(small_rsa);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(other_p256);
    EVP_PKEY_free(p384);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc7515_a1_hs256_verifies),
        cmocka_unit_test(rfc7515_a2_rs256_verifies),
        cmocka_unit_test(rfc7515_a3_es256_verifies),
        cmocka_unit_test(each_payload_has_its_answer),
        cmocka_unit_test(each_header_has_its_answer),
        cmocka_unit_test(audience_and_issuer_must_fit_when_they_are_asked_for),
        cmocka_unit_test(the_leeway_widens_both_ends),
        cmocka_unit_test(subject_and_scope_are_read),
        cmocka_unit_test(a_text_that_is_not_exactly_three_parts_is_refused),
        cmocka_unit_test(a_token_cut_anywhere_is_refused),
        cmocka_unit_test(a_token_with_any_character_changed_is_refused),
        cmocka_unit_test(a_token_longer_than_the_limit_is_not_looked_at),
        cmocka_unit_test(a_payload_with_a_nul_is_no_json),
        cmocka_unit_test(an_unsigned_token_is_refused),
        cmocka_unit_test(an_hmac_of_another_length_is_refused),
        cmocka_unit_test(each_hmac_algorithm_verifies_its_own_only),
        cmocka_unit_test(rs256_verifies_with_every_form_of_the_key),
        cmocka_unit_test(es256_verifies_with_every_form_of_the_key),
        cmocka_unit_test(es256_keys_with_short_coordinates_are_read),
        cmocka_unit_test(a_public_key_never_serves_as_a_secret),
        cmocka_unit_test(rsa_signatures_of_another_kind_are_refused),
        cmocka_unit_test(ecdsa_signatures_out_of_form_are_refused),
        cmocka_unit_test(a_payload_from_another_token_is_refused),
        cmocka_unit_test(a_short_secret_is_refused_and_the_reason_does_not_hold_it),
        cmocka_unit_test(keys_that_do_not_fit_the_algorithm_are_refused),
        cmocka_unit_test(a_tokens_kid_selects_the_key),
        cmocka_unit_test(keys_of_a_set_that_do_not_fit_are_passed_over),
        cmocka_unit_test(sets_that_are_broken_are_refused),
        cmocka_unit_test(rsa_keys_with_an_exponent_that_proves_nothing_are_refused),
        cmocka_unit_test(a_set_with_too_many_keys_is_refused),
        cmocka_unit_test(what_is_minted_verifies),
        cmocka_unit_test(what_cannot_be_minted_is_said),
        cmocka_unit_test(threads_verify_with_the_same_keys_at_once),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
