#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/str.h"

static bool is_text(struct str s, const char *text)
{
    return str_equal(s, str_of(text));
}

static void no_text_is_the_empty_string(void **state)
{
    (void)state;
    assert_int_equal(str_of(NULL).len, 0);
    assert_true(str_equal(str_of(NULL), STR("")));
    assert_true(str_equal((struct str){ 0 }, STR("")));
}

static void comparing_looks_at_every_byte_and_the_length(void **state)
{
    (void)state;
    assert_true(str_equal(STR("abc"), STR("abc")));
    assert_false(str_equal(STR("abc"), STR("abd")));
    assert_false(str_equal(STR("abc"), STR("ab")));
    assert_false(str_equal(STR("a\0b"), STR("a\0c")));
    assert_true(str_equal_nocase(STR("KeEp-aLive"), STR("keep-ALIVE")));
    assert_false(str_equal_nocase(STR("["), STR("{"))); /* 0x20 apart, but no letters */
    assert_false(str_equal_nocase(STR("@"), STR("`")));
    assert_false(str_equal_nocase(STR("\xc4"), STR("\xe4")));
}

static void beginnings_and_ends_are_found(void **state)
{
    (void)state;
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR("")));
    assert_false(str_starts(STR("ab"), STR("abc")));
    assert_false(str_starts(STR("abc"), STR("b")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_true(str_ends(STR("abc"), STR("")));
    assert_false(str_ends(STR("bc"), STR("abc")));
    assert_false(str_ends(STR("abc"), STR("b")));
}

static void trimming_takes_spaces_and_tabs_at_both_ends_only(void **state)
{
    (void)state;
    assert_true(is_text(str_trim(STR(" \t a b\t ")), "a b"));
    assert_true(is_text(str_trim(STR(" \t ")), ""));
    assert_true(is_text(str_trim(STR("\na\r")), "\na\r"));
}

static void cutting_walks_through_every_part(void **state)
{
    struct str rest = STR("a,,bc,");

    (void)state;
    assert_true(is_text(str_cut(&rest, ','), "a"));
    assert_true(is_text(str_cut(&rest, ','), ""));
    assert_true(is_text(str_cut(&rest, ','), "bc"));
    assert_non_null(rest.at); /* an empty part is still to come */
    assert_true(is_text(str_cut(&rest, ','), ""));
    assert_null(rest.at);
    assert_true(is_text(str_cut(&rest, ','), ""));
    assert_null(rest.at);
}

static void cutting_without_the_character_gives_everything(void **state)
{
    struct str rest = STR("abc");

    (void)state;
    assert_true(is_text(str_cut(&rest, ','), "abc"));
    assert_null(rest.at);
    assert_int_equal(rest.len, 0);
}

static void whole_numbers_are_read_up_to_their_limit(void **state)
{
    uint64_t n = 7;

    (void)state;
    assert_int_equal(str_parse_u64(STR("0"), 10, &n), OK);
    assert_int_equal(n, 0);
    assert_int_equal(str_parse_u64(STR("0010"), 10, &n), OK);
    assert_int_equal(n, 10);
    assert_int_equal(str_parse_u64(STR("11"), 10, &n), FAIL_LIMIT);
    assert_int_equal(str_parse_u64(STR("18446744073709551615"), UINT64_MAX, &n), OK);
    assert_true(n == UINT64_MAX);
    assert_int_equal(str_parse_u64(STR("18446744073709551616"), UINT64_MAX, &n), FAIL_LIMIT);
    assert_int_equal(str_parse_u64(STR("18446744073709551620"), UINT64_MAX, &n), FAIL_LIMIT);
    assert_int_equal(str_parse_u64(STR("99999999999999999999999"), UINT64_MAX, &n), FAIL_LIMIT);
    assert_true(n == UINT64_MAX);
}

static void what_is_no_whole_number_is_refused(void **state)
{
    static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "1.0", "0x10", "1e3", "a" };
    uint64_t n = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(str_parse_u64(str_of(bad[i]), UINT64_MAX, &n), FAIL_SYNTAX);
    assert_int_equal(str_parse_u64(STR("1\0"), 100, &n), FAIL_SYNTAX);
    assert_int_equal(n, 7);
}

static void a_number_ends_where_its_string_ends(void **state)
{
    uint64_t n;
    double d;

    (void)state;
    assert_int_equal(str_parse_u64((struct str){ "1234", 2 }, 100, &n), OK);
    assert_int_equal(n, 12);
    assert_int_equal(str_parse_double((struct str){ "1.234", 3 }, &d), OK);
    assert_true(d == 1.2);
}

static void whole_numbers_are_written_as_they_are_read(void **state)
{
    char text[STR_U64_SIZE];

    (void)state;
    assert_true(is_text(str_of_u64(0, text), "0"));
    assert_true(is_text(str_of_u64(9, text), "9"));
    assert_true(is_text(str_of_u64(10, text), "10"));
    assert_true(is_text(str_of_u64(1000200030, text), "1000200030"));
    assert_true(is_text(str_of_u64(UINT64_MAX, text), "18446744073709551615"));
    assert_string_equal(text, "18446744073709551615");
}

static void decimal_numbers_are_read(void **state)
{
    static const struct {
        const char *text;
        double value;
    } good[] = { { "0", 0 },      { "-1.5", -1.5 }, { "+2", 2 },     { ".5", 0.5 },     { "5.", 5 },
                 { "1e3", 1000 }, { "1E-2", .01 },  { "1e-999", 0 }, { "1e308", 1e308 } };
    double d;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(str_parse_double(str_of(good[i].text), &d), OK);
        assert_true(d == good[i].value);
    }
}

static void what_is_no_finite_decimal_number_is_refused(void **state)
{
    static const char *const bad[] = {
        "",  "nan", "inf", "-inf", "0x1p3", " 1",  "1 ",    ".",
        "-", "e5",  "1e",  "--1",  "1,5",   "1_0", "1e999", "1.2.3"
    };
    char digits[80];
    double d = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (str_parse_double(str_of(bad[i]), &d) != FAIL_SYNTAX)
            fail_msg("read as a number: \"%s\"", bad[i]);
    assert_int_equal(str_parse_double(STR("1\0"), &d), FAIL_SYNTAX);
    memset(digits, '1', sizeof(digits));
    assert_int_equal(str_parse_double((struct str){ digits, sizeof(digits) }, &d), FAIL_SYNTAX);
    assert_true(d == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_text_is_the_empty_string),
        cmocka_unit_test(comparing_looks_at_every_byte_and_the_length),
        cmocka_unit_test(beginnings_and_ends_are_found),
        cmocka_unit_test(trimming_takes_spaces_and_tabs_at_both_ends_only),
        cmocka_unit_test(cutting_walks_through_every_part),
        cmocka_unit_test(cutting_without_the_character_gives_everything),
        cmocka_unit_test(whole_numbers_are_read_up_to_their_limit),
        cmocka_unit_test(what_is_no_whole_number_is_refused),
        cmocka_unit_test(a_number_ends_where_its_string_ends),
        cmocka_unit_test(whole_numbers_are_written_as_they_are_read),
        cmocka_unit_test(decimal_numbers_are_read),
        cmocka_unit_test(what_is_no_finite_decimal_number_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
