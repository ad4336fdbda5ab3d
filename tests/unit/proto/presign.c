#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"
#include "proto/presign.h"

static const char secret[] = "thirty-two bytes, more or less...";
static const struct str path = { "/uploads/12/3", 13 };

static struct presign_key key_of(const char *text)
{
    struct presign_key key;

    assert_int_equal(presign_key_derive(text, strlen(text), &key), OK);
    return key;
}

static void query_of(const char *method, uint64_t size_max, int64_t expires_s, struct buf *out)
{
    struct presign_key key = key_of(secret);

    buf_init(out, 256);
    assert_int_equal(presign_query(&key, method, path, size_max, expires_s, out), OK);
}

static int check(const char *query, int64_t now_s)
{
    struct presign_key key = key_of(secret);
    uint64_t size_max = 77;

    int err = presign_check(&key, "PUT", path, str_of(query), now_s, &size_max);
    if (err)
        assert_int_equal(size_max, 77);
    return err;
}

/* HKDF-SHA256 (RFC 5869) without salt, info "reelay upload url 1", computed
 * with the Python standard library's hmac. */
static void the_key_is_that_of_rfc5869(void **state)
{
    struct presign_key key = key_of("secret");
    char hex[65];

    (void)state;
    encode_hex(key.bytes, sizeof(key.bytes), hex);
    assert_string_equal(hex, "d9aec3ceaacc93b22fadbb93fbda928deef1cabacbccc6fa441afcfe7ed00c0c");
    assert_int_equal(presign_key_derive("", 0, &key), FAIL_SYNTAX);
}

static void a_signed_query_is_accepted_until_it_expires(void **state)
{
    struct presign_key key = key_of(secret);
    uint64_t size_max = 0;
    struct buf query;

    (void)state;
    query_of("PUT", 5242880, 1700000060, &query);
    assert_int_equal(presign_check(&key, "PUT", path, buf_str(&query), 1700000059, &size_max), OK);
    assert_int_equal(size_max, 5242880);
    assert_int_equal(check(buf_text(&query), 1700000060), FAIL_TIMEOUT);
    buf_deinit(&query);
    query_of("PUT", UINT64_MAX, INT64_MAX, &query);
    assert_int_equal(presign_check(&key, "PUT", path, buf_str(&query), 0, &size_max), OK);
    assert_true(size_max == UINT64_MAX);
    buf_deinit(&query);
}

static void nothing_that_is_signed_can_be_changed(void **state)
{
    struct presign_key key = key_of(secret), other = key_of("another secret, not that one....");
    uint64_t size_max;
    struct buf query;

    (void)state;
    query_of("PUT", 100, 1700000060, &query);
    struct str good = buf_str(&query);
    assert_int_equal(presign_check(&key, "PUT", path, good, 0, &size_max), OK);
    assert_int_equal(presign_check(&other, "PUT", path, good, 0, &size_max), FAIL_DENIED);
    assert_int_equal(presign_check(&key, "GET", path, good, 0, &size_max), FAIL_DENIED);
    assert_int_equal(presign_check(&key, "PUT", STR("/uploads/12/4"), good, 0, &size_max),
                     FAIL_DENIED);
    assert_int_equal(presign_check(&key, "PUT", STR("/uploads/12/3/"), good, 0, &size_max),
                     FAIL_DENIED);
    for (size_t i = 0; i < query.len; i++) {
        char was = query.data[i];
        for (const char *c = "0129Aa_&=%"; *c; c++) {
            query.data[i] = *c;
            int err = check(buf_text(&query), 0);
            if (*c != was)
                assert_true(err == FAIL_DENIED || err == FAIL_SYNTAX);
        }
        query.data[i] = was;
    }
    assert_int_equal(check(buf_text(&query), 0), OK);
    buf_deinit(&query);
}

static void the_parts_cannot_be_shifted_into_each_other(void **state)
{
    struct presign_key key = key_of(secret);
    uint64_t size_max;
    struct buf query;

    (void)state;
    buf_init(&query, 256);
    assert_int_equal(presign_query(&key, "PUT", STR("7\n/a"), 1, 99, &query), OK);
    assert_int_equal(presign_check(&key, "PUT\n1", STR("/a"), buf_str(&query), 0, &size_max),
                     FAIL_DENIED);
    buf_deinit(&query);
}

static void a_query_that_is_incomplete_or_malformed_is_told_apart(void **state)
{
    struct buf query;
    char text[512];

    (void)state;
    query_of("PUT", 100, 1700000060, &query);
    const char *sig = strstr(buf_text(&query), "sig=") + 4;
    static const char *const formats[] = {
        "%s",
        "sig=%s",
        "max=100&sig=%s",
        "expires=1700000060&sig=%s",
        "max=&expires=1700000060&sig=%s",
        "max&expires=1700000060&sig=%s",
        "max=-1&expires=1700000060&sig=%s",
        "max=+100&expires=1700000060&sig=%s",
        "max=0x64&expires=1700000060&sig=%s",
        "max=100%%20&expires=1700000060&sig=%s",
        "max=99999999999999999999&expires=1700000060&sig=%s",
        "max=100&expires=9999999999999999999&sig=%s",
        "max=100&max=100&expires=1700000060&sig=%s",
        "max=100&expires=1700000060&sig=%s&sig=",
        "max=100&expires=1700000060&sig=%s=",
        "max=100&expires=1700000060&sig=%.42s",
        "max=100&expires=1700000060&sig=%.42s*",
        "max=100&expires=1700000060&sig=%.0s",
        "max=100&expires=1700000060&SIG=%s",
    };
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof(text), formats[i], sig);
#pragma GCC diagnostic pop
        if (check(text, 0) != FAIL_SYNTAX)
            fail_msg("%s is taken for well formed", text);
    }
    assert_int_equal(check("", 0), FAIL_SYNTAX);
    snprintf(text, sizeof(text), "sig=%s&x=1&expires=1700000060&max=100&flag", sig);
    assert_int_equal(check(text, 0), OK);
    buf_deinit(&query);
}

static void a_query_that_does_not_fit_is_an_error(void **state)
{
    struct presign_key key = key_of(secret);
    struct buf narrow;

    (void)state;
    buf_init(&narrow, 10);
    assert_int_equal(presign_query(&key, "PUT", path, 1, 1, &narrow), FAIL_LIMIT);
    assert_int_equal(presign_query(&key, "PUT", path, 1, -1, &narrow), FAIL_LIMIT);
    buf_deinit(&narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_that_of_rfc5869),
        cmocka_unit_test(a_signed_query_is_accepted_until_it_expires),
        cmocka_unit_test(nothing_that_is_signed_can_be_changed),
        cmocka_unit_test(the_parts_cannot_be_shifted_into_each_other),
        cmocka_unit_test(a_query_that_is_incomplete_or_malformed_is_told_apart),
        cmocka_unit_test(a_query_that_does_not_fit_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
