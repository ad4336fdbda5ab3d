#include "io/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct wheel wheel;
static unsigned fired;
static struct wheel_entry *last;

static void note(struct wheel_entry *e)
{
    fired++;
    last = e;
}

static int begin(void **state)
{
    (void)state;
    wheel_init(&wheel, 10, 1000);
    fired = 0;
    last = NULL;
    return 0;
}

static void a_deadline_fires_once_and_not_early(void **state)
{
    struct wheel_entry e = { 0 };

    (void)state;
    wheel_put(&wheel, &e, 1055);
    wheel_advance(&wheel, 1054, note);
    assert_int_equal(fired, 0);
    wheel_advance(&wheel, 1060, note);
    assert_int_equal(fired, 1);
    wheel_advance(&wheel, 9000, note);
    assert_int_equal(fired, 1);
}

static void who_advances_when_told_to_is_never_more_than_a_tick_late(void **state)
{
    (void)state;
    for (uint64_t start = 1000; start < 1010; start++) {
        for (uint64_t due = start; due < start + 40; due++) {
            struct wheel_entry e = { 0 };
            uint64_t now = start;

            begin(NULL);
            wheel_init(&wheel, 10, now);
            wheel_put(&wheel, &e, due);
            while (fired == 0) {
                now += wheel_pause_ms(&wheel, now);
                wheel_advance(&wheel, now, note);
            }
            assert_in_range(now, due, due + 10);
        }
    }
}

static void a_deadline_that_moves_away_fires_at_its_new_time(void **state)
{
    struct wheel_entry e = { 0 };

    (void)state;
    wheel_put(&wheel, &e, 1050);
    wheel_put(&wheel, &e, 1200);
    wheel_advance(&wheel, 1190, note);
    assert_int_equal(fired, 0);
    wheel_advance(&wheel, 1200, note);
    assert_int_equal(fired, 1);
}

static void a_deadline_that_comes_nearer_fires_at_its_new_time(void **state)
{
    struct wheel_entry e = { 0 };

    (void)state;
    wheel_put(&wheel, &e, WHEEL_NEVER);
    wheel_put(&wheel, &e, 1030);
    wheel_advance(&wheel, 1030, note);
    assert_int_equal(fired, 1);
}

static void a_deadline_beyond_the_ring_waits_for_its_round(void **state)
{
    uint64_t far = 1000 + 10 * WHEEL_SLOTS * 3 + 5;
    struct wheel_entry e = { 0 };

    (void)state;
    wheel_put(&wheel, &e, far);
    for (uint64_t now = 1000; now < far; now += 10)
        wheel_advance(&wheel, now, note);
    assert_int_equal(fired, 0);
    wheel_advance(&wheel, far + 10, note);
    assert_int_equal(fired, 1);
}

static void what_is_overdue_after_a_long_sleep_fires(void **state)
{
    struct wheel_entry near = { 0 }, never = { 0 };

    (void)state;
    wheel_put(&wheel, &near, 1500);
    wheel_put(&wheel, &never, WHEEL_NEVER);
    wheel_advance(&wheel, 10000000, note);
    assert_int_equal(fired, 1);
    assert_ptr_equal(last, &near);
}

static void what_was_removed_never_fires(void **state)
{
    struct wheel_entry a = { 0 }, b = { 0 };

    (void)state;
    wheel_put(&wheel, &a, 1050);
    wheel_put(&wheel, &b, 1050);
    wheel_remove(&a);
    wheel_remove(&a);
    wheel_advance(&wheel, 2000, note);
    assert_int_equal(fired, 1);
    assert_ptr_equal(last, &b);
}

static void every_entry_is_visited(void **state)
{
    struct wheel_entry entries[300] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        wheel_put(&wheel, &entries[i], i % 3 == 0 ? WHEEL_NEVER : 1000 + i * 7);
    wheel_each(&wheel, note);
    assert_int_equal(fired, 300);
}

static void remove_and_note(struct wheel_entry *e)
{
    wheel_remove(e);
    note(e);
}

static void a_visit_may_remove_what_it_visits(void **state)
{
    struct wheel_entry entries[50] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 50; i++)
        wheel_put(&wheel, &entries[i], 1500);
    wheel_each(&wheel, remove_and_note);
    assert_int_equal(fired, 50);
    wheel_each(&wheel, remove_and_note);
    assert_int_equal(fired, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_deadline_fires_once_and_not_early, begin),
        cmocka_unit_test_setup(who_advances_when_told_to_is_never_more_than_a_tick_late, begin),
        cmocka_unit_test_setup(a_deadline_that_moves_away_fires_at_its_new_time, begin),
        cmocka_unit_test_setup(a_deadline_that_comes_nearer_fires_at_its_new_time, begin),
        cmocka_unit_test_setup(a_deadline_beyond_the_ring_waits_for_its_round, begin),
        cmocka_unit_test_setup(what_is_overdue_after_a_long_sleep_fires, begin),
        cmocka_unit_test_setup(what_was_removed_never_fires, begin),
        cmocka_unit_test_setup(every_entry_is_visited, begin),
        cmocka_unit_test_setup(a_visit_may_remove_what_it_visits, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
