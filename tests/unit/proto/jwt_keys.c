#include "tokens.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>

#include "base/err.h"
#include "base/mem.h"

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
    assert_int_equal(jwt_keys_from_secret(&settings, secret, SECRET_LEN, &keys, &why),
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_secret_is_refused_and_the_reason_does_not_hold_it),
        cmocka_unit_test(keys_that_do_not_fit_the_algorithm_are_refused),
        cmocka_unit_test(a_tokens_kid_selects_the_key),
        cmocka_unit_test(keys_of_a_set_that_do_not_fit_are_passed_over),
        cmocka_unit_test(sets_that_are_broken_are_refused),
        cmocka_unit_test(rsa_keys_with_an_exponent_that_proves_nothing_are_refused),
        cmocka_unit_test(a_set_with_too_many_keys_is_refused),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
