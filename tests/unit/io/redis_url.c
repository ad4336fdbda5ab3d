#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "io/redis.h"

static void expect(const char *text, const char *described, const char *user, const char *password)
{
    struct redis_url url;
    struct buf out;

    buf_init(&out, 1024);
    assert_int_equal(redis_url_parse(text, &url, &out), OK);
    redis_url_describe(&url, &out);
    assert_string_equal(buf_text(&out), described);
    assert_string_equal(url.user ? url.user : "-", user);
    assert_string_equal(url.password ? url.password : "-", password);
    redis_url_deinit(&url);
    buf_deinit(&out);
}

static void expect_refusal(const char *text, int err, const char *part)
{
    struct redis_url url = { .port = 7 };
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(redis_url_parse(text, &url, &why), err);
    assert_non_null(strstr(buf_text(&why), part));
    assert_null(strstr(buf_text(&why), "secret"));
    assert_int_equal(url.port, 7);
    buf_deinit(&why);
}

static void a_url_is_taken_apart_and_described_without_its_password(void **state)
{
    (void)state;
    expect("redis://localhost", "redis://localhost:6379/0", "-", "-");
    expect("redis://h:1/", "redis://h:1/0", "-", "-");
    expect("redis://:secret@h:65535/15", "redis://h:65535/15", "-", "secret");
    expect("redis://bob:se%40cret@h", "redis://bob@h:6379/0", "bob", "se@cret");
    expect("redis://bob:a:b@c@h/2", "redis://bob@h:6379/2", "bob", "a:b@c");
    expect("redis://[::1]/3", "redis://[::1]:6379/3", "-", "-");
    expect("redis://[fe80::2]:99", "redis://[fe80::2]:99/0", "-", "-");
    expect("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock?db=0", "-", "-");
    expect("redis+unix://u:p@/a%20b?db=4", "redis+unix://u@/a b?db=4", "u", "p");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    expect_refusal("", FAIL_SYNTAX, "redis://");
    expect_refusal("http://h", FAIL_SYNTAX, "redis://");
    expect_refusal("rediss://:secret@h", FAIL_UNSUPPORTED, "rediss");
    expect_refusal("redis://", FAIL_SYNTAX, "no host");
    expect_refusal("redis://:secret@", FAIL_SYNTAX, "no host");
    expect_refusal("redis://:secret@h:0", FAIL_SYNTAX, "port");
    expect_refusal("redis://h:65536", FAIL_SYNTAX, "port");
    expect_refusal("redis://h:", FAIL_SYNTAX, "port");
    expect_refusal("redis://:secret@h/x", FAIL_SYNTAX, "database");
    expect_refusal("redis://h/1/2", FAIL_SYNTAX, "database");
    expect_refusal("redis://::1", FAIL_SYNTAX, "brackets");
    expect_refusal("redis://[::1", FAIL_SYNTAX, "']'");
    expect_refusal("redis://[::1]x", FAIL_SYNTAX, "']'");
    expect_refusal("redis://bob@h", FAIL_SYNTAX, "no password");
    expect_refusal("redis://bob:@h", FAIL_SYNTAX, "no password");
    expect_refusal("redis://:secret%4@h", FAIL_SYNTAX, "password has a broken");
    expect_refusal("redis://:secret%00@h", FAIL_SYNTAX, "password has a broken");
    expect_refusal("redis+unix://run/x", FAIL_SYNTAX, "absolute");
    expect_refusal("redis+unix:///x?timeout=3", FAIL_SYNTAX, "db=");
    expect_refusal("redis+unix:///x?db=-1", FAIL_SYNTAX, "database");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_taken_apart_and_described_without_its_password),
        cmocka_unit_test(what_is_wrong_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
