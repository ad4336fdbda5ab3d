#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static void it_allocates_nothing_before_the_first_append(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    assert_null(b.data);
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(buf_str(&b).len, 0);
    buf_deinit(&b);
}

static void it_holds_exactly_its_maximum(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5);
    assert_true(buf_append(&b, "abcde", 5));
    assert_false(b.failed);
    assert_string_equal(buf_text(&b), "abcde");
    assert_true(b.cap <= 6);
    assert_false(buf_putc(&b, 'f'));
    assert_true(b.failed);
    assert_string_equal(buf_text(&b), "abcde");
    buf_deinit(&b);
}

static void an_append_that_does_not_fit_adds_nothing_of_itself(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    buf_puts(&b, "abcd");
    assert_false(buf_puts(&b, "efghi"));
    assert_string_equal(buf_text(&b), "abcd");
    buf_deinit(&b);
}

static void a_failure_stays_until_the_reset(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4);
    buf_puts(&b, "abc");
    assert_false(buf_puts(&b, "defg"));
    assert_false(buf_putc(&b, 'd')); /* it would fit, but something before it is missing */
    assert_false(buf_printf(&b, "%d", 1));
    assert_false(buf_append(&b, "", 0));
    assert_null(buf_reserve(&b, 0));
    assert_int_equal(b.len, 3);
    buf_reset(&b);
    assert_false(b.failed);
    assert_string_equal(buf_text(&b), "");
    assert_true(buf_puts(&b, "defg"));
    assert_string_equal(buf_text(&b), "defg");
    buf_deinit(&b);
}

static void a_length_that_would_overflow_is_refused(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_puts(&b, "abc");
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_null(buf_reserve(&b, SIZE_MAX - 2));
    buf_deinit(&b);
}

static void it_grows_step_by_step_and_keeps_every_byte(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100000);
    for (int i = 0; i < 100000; i++)
        assert_true(buf_putc(&b, (char)('a' + i % 26)));
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(b.data[i], 'a' + (int)(i % 26));
    assert_int_equal(b.data[100000], '\0');
    assert_true(b.cap <= b.max + 1);
    assert_false(buf_putc(&b, 'x'));
    buf_deinit(&b);
}

static void it_holds_zero_bytes_too(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_append(&b, "a\0b", 3);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "a\0b", 4);
    buf_deinit(&b);
}

static void printf_fits_or_adds_nothing(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    assert_true(buf_printf(&b, "%s-%d", "abc", 42));
    assert_string_equal(buf_text(&b), "abc-42");
    assert_false(buf_printf(&b, "%03d", 7));
    assert_string_equal(buf_text(&b), "abc-42");
    buf_reset(&b);
    assert_true(buf_printf(&b, "%08d", 7));
    assert_string_equal(buf_text(&b), "00000007");
    buf_deinit(&b);
}

static void what_was_reserved_is_text_even_when_nothing_is_written(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    char *at = buf_reserve(&b, 500);
    assert_non_null(at);
    assert_string_equal(buf_text(&b), "");
    memcpy(at, "abc", 4);
    b.len += 3;
    at = buf_reserve(&b, 500);
    assert_ptr_equal(at, b.data + 3);
    assert_string_equal(buf_text(&b), "abc");
    buf_deinit(&b);
}

static void consuming_removes_from_the_front(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_consume(&b, 0);
    buf_puts(&b, "abcdef");
    buf_consume(&b, 2);
    assert_string_equal(buf_text(&b), "cdef");
    buf_consume(&b, 4);
    assert_string_equal(buf_text(&b), "");
    assert_true(buf_puts(&b, "0123456789"));
    buf_deinit(&b);
}

static void taking_gives_the_bytes_away_and_leaves_it_usable(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    char *nothing = buf_take(&b);
    assert_string_equal(nothing, "");
    buf_puts(&b, "abc");
    char *taken = buf_take(&b);
    assert_string_equal(taken, "abc");
    assert_int_equal(b.len, 0);
    assert_int_equal(b.max, 10);
    assert_true(buf_puts(&b, "0123456789"));
    assert_string_equal(taken, "abc");
    mem_free(nothing);
    mem_free(taken);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_allocates_nothing_before_the_first_append),
        cmocka_unit_test(it_holds_exactly_its_maximum),
        cmocka_unit_test(an_append_that_does_not_fit_adds_nothing_of_itself),
        cmocka_unit_test(a_failure_stays_until_the_reset),
        cmocka_unit_test(a_length_that_would_overflow_is_refused),
        cmocka_unit_test(it_grows_step_by_step_and_keeps_every_byte),
        cmocka_unit_test(it_holds_zero_bytes_too),
        cmocka_unit_test(printf_fits_or_adds_nothing),
        cmocka_unit_test(what_was_reserved_is_text_even_when_nothing_is_written),
        cmocka_unit_test(consuming_removes_from_the_front),
        cmocka_unit_test(taking_gives_the_bytes_away_and_leaves_it_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
