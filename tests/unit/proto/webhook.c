#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "proto/webhook.h"

static void expect(const char *secrets, const char *signature)
{
    struct webhook_secrets read;
    struct buf out;

    buf_init(&out, 1024);
    assert_int_equal(webhook_secrets_read(secrets, &read, &out), OK);
    assert_int_equal(webhook_sign(&read, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                  STR("{\"test\": 2432232314}"), &out),
                     OK);
    assert_string_equal(buf_text(&out), signature);
    webhook_secrets_wipe(&read);
    buf_deinit(&out);
}

#define PUBLISHED "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static void the_specifications_example_has_its_signature(void **state)
{
    (void)state;
    expect(PUBLISHED, SIGNATURE);
}

static void each_secret_signs_while_one_takes_anothers_place(void **state)
{
    (void)state;
    expect(" " PUBLISHED "  " PUBLISHED " ", SIGNATURE " " SIGNATURE);

    expect("plain", "v1,tgOMx2V+ymftc5zrV4Kwy5UOWZAx1XMh0yu4Sm/6/r0=");
    expect("whsec_cGxhaW4=", "v1,tgOMx2V+ymftc5zrV4Kwy5UOWZAx1XMh0yu4Sm/6/r0=");
}

static void expect_refusal(const char *secrets, int err)
{
    struct webhook_secrets read = { .count = 7 };
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(webhook_secrets_read(secrets, &read, &why), err);
    assert_true(why.len > 0);
    assert_null(strstr(buf_text(&why), "plain"));
    assert_int_equal(read.count, 7);
    buf_deinit(&why);
}

static void what_is_no_secret_is_refused(void **state)
{
    char longest[258];

    (void)state;
    memset(longest, 'a', 257);
    longest[257] = '\0';
    expect_refusal("", FAIL_SYNTAX);
    expect_refusal("  ", FAIL_SYNTAX);
    expect_refusal("whsec_", FAIL_SYNTAX);
    expect_refusal("whsec_plain*", FAIL_SYNTAX);
    expect_refusal(longest, FAIL_LIMIT);
    expect_refusal("1 2 3 4 5 6 7 8 9", FAIL_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specifications_example_has_its_signature),
        cmocka_unit_test(each_secret_signs_while_one_takes_anothers_place),
        cmocka_unit_test(what_is_no_secret_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
