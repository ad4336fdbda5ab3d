#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "lib/address.h"

static struct address parsed(const char *url)
{
    struct address a = { 0 };

    if (address_parse(url, &a) != OK)
        fail_msg("refused: %s", url);
    return a;
}

static void a_tcp_address_has_host_port_and_database(void **state)
{
    (void)state;
    struct address a = parsed("redis://redis:6380/2");
    assert_string_equal(a.host, "redis");
    assert_int_equal(a.port, 6380);
    assert_int_equal(a.db, 2);
    assert_string_equal(a.path, "");

    a = parsed("redis://localhost");
    assert_int_equal(a.port, 6379);
    assert_int_equal(a.db, 0);
    a = parsed("redis://localhost/");
    assert_int_equal(a.db, 0);
    a = parsed("REDIS://[::1]:7000");
    assert_string_equal(a.host, "::1");
    assert_int_equal(a.port, 7000);
    a = parsed("redis://[::1]/3");
    assert_int_equal(a.port, 6379);
    assert_int_equal(a.db, 3);
}

static void user_and_password_are_decoded(void **state)
{
    (void)state;
    struct address a = parsed("redis://me:p%40ss%3a:w@host:1/0");
    assert_string_equal(a.user, "me");
    assert_string_equal(a.password, "p@ss::w");
    assert_string_equal(a.host, "host");
    a = parsed("redis://:secret@host");
    assert_string_equal(a.user, "");
    assert_string_equal(a.password, "secret");
}

static void a_unix_address_has_a_path(void **state)
{
    (void)state;
    struct address a = parsed("unix:///run/redis%20a.sock?db=4");
    assert_string_equal(a.path, "/run/redis a.sock");
    assert_string_equal(a.host, "");
    assert_int_equal(a.db, 4);
    a = parsed("unix://:pw@/run/r.sock");
    assert_string_equal(a.password, "pw");
    assert_string_equal(a.path, "/run/r.sock");
}

static void anything_else_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "localhost",
        "http://localhost",
        "redis:",
        "redis:/host",
        "redis://",
        "redis://:6379",
        "redis://host:0",
        "redis://host:65536",
        "redis://host:x",
        "redis://host/x",
        "redis://host/-1",
        "redis://user@host",
        "redis://user:@host",
        "redis://[::1",
        "redis://[::1]x",
        "redis://ho%st",
        "redis://h%00st",
        "unix://relative",
        "unix://",
        "unix:///a?x=1",
        "unix:///a?db=",
    };
    struct address a;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (address_parse(wrong[i], &a) != FAIL_SYNTAX && address_parse(wrong[i], &a) != FAIL_LIMIT)
            fail_msg("taken: %s", wrong[i]);
    assert_int_equal(address_parse("rediss://host", &a), FAIL_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tcp_address_has_host_port_and_database),
        cmocka_unit_test(user_and_password_are_decoded),
        cmocka_unit_test(a_unix_address_has_a_path),
        cmocka_unit_test(anything_else_is_refused),
    };

    return cmocka_run_group_tests_name("lib/address", tests, NULL, NULL);
}
