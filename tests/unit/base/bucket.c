#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bucket.h"

static const struct bucket_limit limit = { .per_second = 50, .burst = 200 };

static unsigned take_all(struct bucket *b, uint32_t now_ms)
{
    unsigned taken = 0;

    while (bucket_take(b, &limit, now_ms))
        taken++;
    return taken;
}

static void a_burst_passes_and_then_so_many_a_second(void **state)
{
    struct bucket b = { 0 };

    (void)state;
    assert_int_equal(take_all(&b, 123456), 200);
    assert_int_equal(take_all(&b, 123456), 0);
    assert_int_equal(take_all(&b, 124456), 50);
    assert_int_equal(take_all(&b, 125456), 50);
    assert_int_equal(take_all(&b, 127456), 100);
}

static void milliseconds_add_up(void **state)
{
    struct bucket b = { 0 };
    unsigned taken = 0;

    (void)state;
    take_all(&b, 0);
    for (uint32_t now = 1; now <= 1000; now++)
        taken += take_all(&b, now);
    assert_int_equal(taken, 50);
}

static void a_steady_pace_at_the_limit_is_never_refused(void **state)
{
    struct bucket b = { 0 };

    (void)state;
    take_all(&b, 0);
    for (uint32_t now = 20; now <= 60000; now += 20)
        assert_true(bucket_take(&b, &limit, now));
    assert_false(bucket_take(&b, &limit, 60000));
}

static void what_is_refused_costs_nothing(void **state)
{
    struct bucket b = { 0 };

    (void)state;
    take_all(&b, 0);
    for (int i = 0; i < 100000; i++)
        assert_false(bucket_take(&b, &limit, 10));
    assert_true(bucket_take(&b, &limit, 20));
}

static void silence_fills_it_and_no_more(void **state)
{
    struct bucket b = { 0 };

    (void)state;
    take_all(&b, 0);
    assert_int_equal(take_all(&b, 3600 * 1000), 200);
}

static void the_clock_may_wrap(void **state)
{
    struct bucket b = { 0 };

    (void)state;
    assert_int_equal(take_all(&b, UINT32_MAX - 499), 200);
    assert_int_equal(take_all(&b, 500), 50);
}

static void no_limit_is_none(void **state)
{
    const struct bucket_limit none = { 0 };
    struct bucket b = { 0 };

    (void)state;
    for (int i = 0; i < 100000; i++)
        assert_true(bucket_take(&b, &none, 0));
}

static void the_largest_limit_does_not_overflow(void **state)
{
    const struct bucket_limit most = { .per_second = 100000, .burst = BUCKET_BURST_MAX };
    struct bucket b = { 0 };
    unsigned taken = 0;

    (void)state;
    while (bucket_take(&b, &most, 7))
        taken++;
    assert_int_equal(taken, BUCKET_BURST_MAX);
    assert_false(bucket_take(&b, &most, 7));
    assert_true(bucket_take(&b, &most, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_and_then_so_many_a_second),
        cmocka_unit_test(milliseconds_add_up),
        cmocka_unit_test(a_steady_pace_at_the_limit_is_never_refused),
        cmocka_unit_test(what_is_refused_costs_nothing),
        cmocka_unit_test(silence_fills_it_and_no_more),
        cmocka_unit_test(the_clock_may_wrap),
        cmocka_unit_test(no_limit_is_none),
        cmocka_unit_test(the_largest_limit_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
