#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reelay/reelay.h"

static int opened(const char *url)
{
    struct reelay_options options = { .redis_url = url, .timeout_ms = 1 };
    struct reelay *r = reelay_open(&options);
    int number = r == NULL ? errno : 0;

    reelay_close(r);
    return number;
}

static void one_server_is_taken_in_every_form(void **state)
{
    static const char *const right[] = {
        "redis://redis:6380/2",
        "redis://localhost",
        "REDIS://[::1]:7000",
        "redis://me:p%40ss%3a:w@host:1/0",
        "redis://:secret@host",
        "unix:///run/redis%20a.sock?db=4",
        "unix://:pw@/run/r.sock?db=",
        "redis+unix:///run/redis.sock",
        "redis://host:",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++)
        if (opened(right[i]) != 0)
            fail_msg("refused: %s", right[i]);
}

static void what_it_cannot_do_is_told_apart_from_what_is_wrong(void **state)
{
    static const char *const others[] = {
        "rediss://host",
        "redis+sentinel://host/mymaster",
        "rediss+sentinel://host/mymaster",
        "redis://a,b",
    };
    static const char *const wrong[] = {
        "localhost",         "http://localhost", "redis:",
        "redis://",          "redis://host:0",   "redis://host/x",
        "redis://user@host", "unix://relative",  "redis+sentinel://host",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (opened(others[i]) != ENOTSUP)
            fail_msg("not ENOTSUP: %s", others[i]);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (opened(wrong[i]) != EINVAL)
            fail_msg("not EINVAL: %s", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_server_is_taken_in_every_form),
        cmocka_unit_test(what_it_cannot_do_is_told_apart_from_what_is_wrong),
    };

    return cmocka_run_group_tests_name("lib/url", tests, NULL, NULL);
}
