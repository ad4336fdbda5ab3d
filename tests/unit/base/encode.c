#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"

static void hex_is_written_in_lower_case(void **state)
{
    char out[9];

    (void)state;
    encode_hex("\x00\x7f\xab\xff", 4, out);
    assert_string_equal(out, "007fabff");
    encode_hex("", 0, out);
    assert_string_equal(out, "");
}

static void hex_is_read_in_either_case(void **state)
{
    uint8_t bytes[4];

    (void)state;
    assert_int_equal(decode_hex("007FabFf", 8, bytes, 4), OK);
    assert_memory_equal(bytes, "\x00\x7f\xab\xff", 4);
}

static void hex_of_another_length_or_alphabet_is_refused(void **state)
{
    uint8_t bytes[2] = { 1, 2 };

    (void)state;
    assert_int_equal(decode_hex("abc", 3, bytes, 2), FAIL_SYNTAX);
    assert_int_equal(decode_hex("abcdef", 6, bytes, 2), FAIL_SYNTAX);
    assert_int_equal(decode_hex("abcg", 4, bytes, 2), FAIL_SYNTAX);
    assert_int_equal(decode_hex("ab d", 4, bytes, 2), FAIL_SYNTAX);
    assert_memory_equal(bytes, "\x01\x02", 2);
}

/* RFC 4648, section 10, without the padding. */
static const char *const vectors[][2] = {
    { "", "" },
    { "f", "Zg" },
    { "fo", "Zm8" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg" },
    { "fooba", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy" },
    { "\xff\xef\xbe", "_---" },
};

static void base64url_is_that_of_the_rfc(void **state)
{
    char text[16];
    char bytes[16];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
        const char *plain = vectors[i][0], *coded = vectors[i][1];
        encode_base64url(plain, strlen(plain), text);
        assert_string_equal(text, coded);
        assert_true(strlen(text) < ENCODE_BASE64URL_SIZE(strlen(plain)));
        assert_int_equal(decode_base64url(coded, strlen(coded), bytes, &len), OK);
        assert_int_equal(len, strlen(plain));
        assert_memory_equal(bytes, plain, len);
    }
}

static void base64_is_padded_and_has_one_form_only(void **state)
{
    static const char *const pairs[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "\xfb\xff", "+/8=" },
    };
    static const char *const bad[] = { "Zg",       "Zg=",  "Zh==", "Zm9=", "=",      "====",
                                       "Zg==Zg==", "Z===", "-_8=", "Zm 8", "Zm8=\n", "Zg=a" };
    char text[32], bytes[32];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        const char *plain = pairs[i][0], *coded = pairs[i][1];
        encode_base64(plain, strlen(plain), text);
        assert_string_equal(text, coded);
        assert_int_equal(ENCODE_BASE64_SIZE(strlen(plain)), strlen(coded) + 1);
        assert_int_equal(decode_base64(coded, strlen(coded), bytes, &len), OK);
        assert_int_equal(len, strlen(plain));
        assert_memory_equal(bytes, plain, len);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (decode_base64(bad[i], strlen(bad[i]), bytes, &len) != FAIL_SYNTAX)
            fail_msg("taken: %s", bad[i]);
}

static void base64url_has_one_form_only(void **state)
{
    static const char *const bad[] = {
        "Zg==", "Zm8=",          /* padding */
        "Z",    "Zm9vY",         /* six bits are no byte */
        "Zh",   "Zm9",           /* spare bits that are not zero */
        "+/--", "Zm 8",  "Zm\n", /* another alphabet */
    };
    char bytes[16];
    size_t len = 99;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (decode_base64url(bad[i], strlen(bad[i]), bytes, &len) != FAIL_SYNTAX)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(decode_base64url("Zg\0A", 4, bytes, &len), FAIL_SYNTAX);
    assert_int_equal(len, 99);
}

static void every_byte_comes_back(void **state)
{
    uint8_t all[256], back[256];
    char text[ENCODE_BASE64URL_SIZE(256)];
    size_t len;

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    encode_base64url(all, sizeof(all), text);
    assert_int_equal(strlen(text) + 1, sizeof(text));
    assert_int_equal(decode_base64url(text, strlen(text), back, &len), OK);
    assert_int_equal(len, 256);
    assert_memory_equal(all, back, 256);
}

static void a_uuid_has_the_form_of_version_4(void **state)
{
    char id[UUID_SIZE], other[UUID_SIZE];

    (void)state;
    for (int round = 0; round < 64; round++) {
        random_uuid(id);
        assert_int_equal(strlen(id), 36);
        for (int i = 0; i < 36; i++) {
            bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
            assert_true(is_dash ? id[i] == '-' : strchr("0123456789abcdef", id[i]) != NULL);
        }
        assert_int_equal(id[14], '4');
        assert_non_null(strchr("89ab", id[19]));
    }
    random_uuid(other);
    assert_string_not_equal(id, other);
}

static void random_bytes_fill_all_that_was_asked_for(void **state)
{
    uint8_t bytes[600], seen[600] = { 0 };

    (void)state;
    for (int round = 0; round < 8; round++) {
        memset(bytes, 0, sizeof(bytes));
        random_bytes(bytes, sizeof(bytes) - 1);
        assert_int_equal(bytes[sizeof(bytes) - 1], 0);
        for (size_t i = 0; i < sizeof(bytes); i++)
            seen[i] |= bytes[i];
    }
    /* Eight zeros at one place: once in 2^64. */
    for (size_t i = 0; i + 1 < sizeof(bytes); i++)
        assert_int_not_equal(seen[i], 0);
    assert_true(random_u64() != random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_is_written_in_lower_case),
        cmocka_unit_test(hex_is_read_in_either_case),
        cmocka_unit_test(hex_of_another_length_or_alphabet_is_refused),
        cmocka_unit_test(base64url_is_that_of_the_rfc),
        cmocka_unit_test(base64url_has_one_form_only),
        cmocka_unit_test(base64_is_padded_and_has_one_form_only),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(a_uuid_has_the_form_of_version_4),
        cmocka_unit_test(random_bytes_fill_all_that_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
