#include "tokens.h"

#include <stdio.h>
#include <string.h>

#include <openssl/hmac.h>

#include "base/err.h"
#include "base/mem.h"

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
        assert_non_null(HMAC(EVP_sha256(), secret, (int)strlen(secret), (uint8_t *)input.data,
                             input.len, mac, &mac_len));
        expect(keys, with_signature(&input, mac, mac_len), FAIL_SYNTAX);
    }
    jwt_keys_free(keys);
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

static void another_claim_may_name_the_subject(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256, .subject = "user_id" };
    struct jwt_keys *keys = keys_of_secret(&settings);
    struct jwt_claims claims;
    struct buf token;

    (void)state;
    expect_subject(keys, "{\"user_id\":42,\"sub\":\"ada\"}", "42", false);
    expect_subject(keys, "{\"user_id\":\"42\"}", "42", false);
    expect_subject(keys, "{\"sub\":\"ada\"}", "", false);
    expect(keys, hmac_token(HS256_HEADER, "{\"user_id\":[1]}"), FAIL_SYNTAX);
    expect(keys, hmac_token(HS256_HEADER, "{\"user_id\":1.5}"), FAIL_SYNTAX);
    buf_init(&token, JWT_TEXT_MAX);
    assert_int_equal(jwt_mint(keys, "ada", false, now_ms, 60000, &token), OK);
    assert_int_equal(jwt_verify(keys, buf_str(&token), now_ms, &claims), OK);
    assert_string_equal(claims.subject, "ada");
    buf_deinit(&token);
    jwt_keys_free(keys);
}

static void a_token_is_refused_when_its_end_and_the_leeway_are_over(void **state)
{
    struct jwt_settings settings = { .algorithm = JWT_HS256, .leeway_ms = 5000 };
    struct jwt_keys *keys = keys_of_secret(&settings);
    struct jwt_claims claims;
    char *token = hmac_token(HS256_HEADER, "{\"exp\":1700000001}");

    (void)state;
    assert_int_equal(jwt_verify(keys, str_of(token), now_ms, &claims), OK);
    assert_int_equal(claims.expires_ms, 1700000001000);
    assert_int_equal(claims.refused_ms, 1700000006000);
    assert_int_equal(jwt_verify(keys, str_of(token), claims.refused_ms - 1, &claims), OK);
    assert_int_equal(jwt_verify(keys, str_of(token), claims.refused_ms, &claims), FAIL_TIMEOUT);
    mem_free(token);
    token = hmac_token(HS256_HEADER, "{}");
    assert_int_equal(jwt_verify(keys, str_of(token), now_ms, &claims), OK);
    assert_int_equal(claims.refused_ms, 0);
    mem_free(token);
    jwt_keys_free(keys);
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
        cmocka_unit_test(another_claim_may_name_the_subject),
        cmocka_unit_test(a_token_is_refused_when_its_end_and_the_leeway_are_over),
        cmocka_unit_test(a_text_that_is_not_exactly_three_parts_is_refused),
        cmocka_unit_test(a_token_cut_anywhere_is_refused),
        cmocka_unit_test(a_token_with_any_character_changed_is_refused),
        cmocka_unit_test(a_token_longer_than_the_limit_is_not_looked_at),
        cmocka_unit_test(a_payload_with_a_nul_is_no_json),
        cmocka_unit_test(what_is_minted_verifies),
        cmocka_unit_test(what_cannot_be_minted_is_said),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
