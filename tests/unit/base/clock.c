#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void a_moment_is_written_as_rfc_3339_with_milliseconds(void **state)
{
    char text[CLOCK_ISO_SIZE];

    (void)state;
    clock_iso8601(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_iso8601(INT64_C(1704067200000), text);
    assert_string_equal(text, "2024-01-01T00:00:00.000Z");
    clock_iso8601(INT64_C(1709210096007), text); /* a leap day */
    assert_string_equal(text, "2024-02-29T12:34:56.007Z");
    clock_iso8601(INT64_C(253402300799999), text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void a_moment_is_written_as_http_dates_it(void **state)
{
    char text[CLOCK_HTTP_SIZE];

    (void)state;
    clock_http_date(INT64_C(784111777000), text); /* the example of RFC 9110, 5.6.7 */
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    clock_http_date(INT64_C(1704067200999), text);
    assert_string_equal(text, "Mon, 01 Jan 2024 00:00:00 GMT");
    clock_http_date(INT64_C(1735689599000), text);
    assert_string_equal(text, "Tue, 31 Dec 2024 23:59:59 GMT");
}

static void the_monotonic_clock_never_goes_back(void **state)
{
    uint64_t before = clock_mono_ns();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_ns();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_mono_ms() >= before / 1000000);
}

static void the_wall_clock_counts_milliseconds_since_1970(void **state)
{
    int64_t now = clock_wall_ms();

    (void)state;
    assert_true(now > INT64_C(1704067200000)); /* 2024 */
    assert_true(now < INT64_C(253402300799999));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_is_written_as_rfc_3339_with_milliseconds),
        cmocka_unit_test(a_moment_is_written_as_http_dates_it),
        cmocka_unit_test(the_monotonic_clock_never_goes_back),
        cmocka_unit_test(the_wall_clock_counts_milliseconds_since_1970),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
