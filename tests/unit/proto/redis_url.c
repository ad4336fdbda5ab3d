#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "proto/redis_url.h"

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

static void expect_refusal(const char *text, const char *part)
{
    struct redis_url url = { .db = 7 };
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(redis_url_parse(text, &url, &why), FAIL_SYNTAX);
    assert_non_null(strstr(buf_text(&why), part));
    assert_null(strstr(buf_text(&why), "secret"));
    assert_int_equal(url.db, 7);
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
    expect("unix:///tmp/a@b.sock", "redis+unix:///tmp/a@b.sock?db=0", "-", "-");
    expect("Unix:///s?db=", "redis+unix:///s?db=0", "-", "-");
    expect("REDIS://h:", "redis://h:6379/0", "-", "-");
    expect("redis://[::1]:?db=3", "redis://[::1]:6379/3", "-", "-");
    expect("redis://h%2dx/1", "redis://h-x:6379/1", "-", "-");
    expect("rediss://:secret@h:7", "rediss://h:7/0", "-", "secret");
}

static void several_hosts_are_sentinels_or_the_seeds_of_a_cluster(void **state)
{
    (void)state;
    expect("redis://u:p@a,b:7001,[::2]:9", "redis://u@a:6379,b:7001,[::2]:9/0", "u", "p");
    expect("redis+sentinel://a/mymaster", "redis+sentinel://a:26379/mymaster/0", "-", "-");
    expect("redis+sentinel://:p@a,b:1/my%2fmaster/4", "redis+sentinel://a:26379,b:1/my%2Fmaster/4",
           "-", "p");
    expect("rediss+sentinel://[::1]/m/", "rediss+sentinel://[::1]:26379/m/0", "-", "-");
    expect_refusal("redis+sentinel://a", "no service");
    expect_refusal("redis+sentinel://a//1", "no service");
    expect_refusal("redis+sentinel://a/m/x", "database");
    expect_refusal("redis://a,b/1", "a cluster has no database but 0");
    expect_refusal("redis://a,", "no host");
    expect_refusal("redis://a,,b", "no host");
}

static void hosts_have_a_limit(void **state)
{
    struct redis_url url;
    struct buf text, why;

    (void)state;
    buf_init(&text, 1024);
    buf_init(&why, 256);
    buf_puts(&text, "redis://h");
    for (int i = 1; i < REDIS_HOSTS_MAX; i++)
        buf_puts(&text, ",h");
    assert_int_equal(redis_url_parse(buf_text(&text), &url, &why), OK);
    assert_int_equal(url.host_count, REDIS_HOSTS_MAX);
    redis_url_deinit(&url);
    buf_puts(&text, ",h");
    expect_refusal(buf_text(&text), "more than 64 hosts");
    buf_deinit(&text);
    buf_deinit(&why);
}

static void a_copy_and_one_server_of_many_keep_the_login(void **state)
{
    struct redis_url url, copy, one;
    struct buf text;

    (void)state;
    buf_init(&text, 1024);
    assert_int_equal(redis_url_parse("rediss+sentinel://u:p@a,b/m/3", &url, &text), OK);
    redis_url_copy(&url, &copy);
    redis_url_server(&url, "fe80::1", 7, &one);
    redis_url_deinit(&url);
    redis_url_describe(&copy, &text);
    assert_string_equal(buf_text(&text), "rediss+sentinel://u@a:26379,b:26379/m/3");
    buf_reset(&text);
    redis_url_describe(&one, &text);
    assert_string_equal(buf_text(&text), "rediss://u@[fe80::1]:7/3");
    assert_string_equal(one.password, "p");
    redis_url_deinit(&copy);
    redis_url_deinit(&one);
    buf_deinit(&text);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    expect_refusal("", "redis://");
    expect_refusal("http://h", "redis://");
    expect_refusal("redis:h", "begins with none");
    expect_refusal("redis+tcp://h", "begins with none");
    expect_refusal("rediss+unix:///s", "begins with none");
    expect_refusal("redis://", "no host");
    expect_refusal("redis://:secret@", "no host");
    expect_refusal("redis://:secret@h:0", "port");
    expect_refusal("redis://h:65536", "port");
    expect_refusal("redis://:secret@h/x", "database");
    expect_refusal("redis://h/1/2", "database");
    expect_refusal("redis://::1", "brackets");
    expect_refusal("redis://[::1", "']'");
    expect_refusal("redis://[::1]x", "']'");
    expect_refusal("redis://bob@h", "no password");
    expect_refusal("redis://bob:@h", "no password");
    expect_refusal("redis://:secret%4@h", "password has a broken");
    expect_refusal("redis://:secret%00@h", "password has a broken");
    expect_refusal("redis+unix://run/x", "absolute");
    expect_refusal("redis+unix:///x?timeout=3", "db=");
    expect_refusal("redis+unix:///x?db=-1", "database");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_taken_apart_and_described_without_its_password),
        cmocka_unit_test(several_hosts_are_sentinels_or_the_seeds_of_a_cluster),
        cmocka_unit_test(hosts_have_a_limit),
        cmocka_unit_test(a_copy_and_one_server_of_many_keep_the_login),
        cmocka_unit_test(what_is_wrong_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
