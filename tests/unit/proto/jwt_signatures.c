#include "tokens.h"

#include <pthread.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(threads_verify_with_the_same_keys_at_once),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
