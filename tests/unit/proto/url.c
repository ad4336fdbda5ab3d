#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/url.h"

/* What the buffer holds before; a failure must leave it alone. */
#define BEFORE "before "

struct url_case {
    const char *name;
    struct str text;
    const char *want; /* NULL: `result` */
    int result;
    void (*check)(const struct url_case *c, struct buf *out);
};

static void check_result(const struct url_case *c, struct buf *out, int result)
{
    assert_int_equal(result, c->want ? OK : c->result);
    assert_string_equal(buf_text(out), c->want ? c->want : "");
}

static void path(const struct url_case *c, struct buf *out)
{
    check_result(c, out, url_decode(c->text, false, out));
}

static void query(const struct url_case *c, struct buf *out)
{
    check_result(c, out, url_decode(c->text, true, out));
}

static void get_name(const struct url_case *c, struct buf *out)
{
    check_result(c, out, url_query_get(c->text, "na me", out));
}

static void normalize(const struct url_case *c, struct buf *out)
{
    check_result(c, out, url_normalize_path(c->text, out));
}

static void encode(const struct url_case *c, struct buf *out)
{
    url_encode(c->text, false, out);
    assert_string_equal(buf_text(out), c->want);
}

static void encode_path(const struct url_case *c, struct buf *out)
{
    url_encode(c->text, true, out);
    assert_string_equal(buf_text(out), c->want);
}

#define GIVES(check, name, text, want)                                                             \
    {                                                                                              \
        name, STR(text), want, OK, check                                                           \
    }
#define FAILS(check, name, text, result)                                                           \
    {                                                                                              \
        name, STR(text), NULL, result, check                                                       \
    }

static const struct url_case cases[] = {
    GIVES(path, "escapes_of_either_case_are_decoded", "/a%2Fb%2fc%20", "/a/b/c "),
    GIVES(path, "a_plus_in_a_path_stays_a_plus", "a+b", "a+b"),
    GIVES(query, "a_plus_in_a_query_is_a_space", "a+b%2B", "a b+"),
    GIVES(path, "nothing_decodes_to_nothing", "", ""),
    GIVES(path, "escaped_utf8_becomes_text", "%C3%A9\xc3\xa9", "\xc3\xa9\xc3\xa9"),
    GIVES(path, "an_escape_is_decoded_once", "%2541", "%41"),
    FAILS(path, "an_escape_without_digits_is_refused", "ab%", FAIL_SYNTAX),
    FAILS(path, "an_escape_with_one_digit_is_refused", "ab%4", FAIL_SYNTAX),
    FAILS(path, "an_escape_that_is_no_number_is_refused", "%4g", FAIL_SYNTAX),
    FAILS(path, "an_escape_with_a_sign_is_refused", "%+4", FAIL_SYNTAX),
    FAILS(path, "an_escaped_nul_is_refused", "a%00b", FAIL_SYNTAX),
    FAILS(path, "a_plain_nul_is_refused", "a\0b", FAIL_SYNTAX),
    FAILS(path, "half_a_character_is_refused", "a%C3", FAIL_SYNTAX),
    FAILS(path, "an_overlong_slash_is_refused", "%c0%af", FAIL_SYNTAX),
    FAILS(path, "a_surrogate_is_refused", "%ed%a0%80", FAIL_SYNTAX),

    GIVES(encode, "unreserved_characters_stay", "azAZ09-._~", "azAZ09-._~"),
    GIVES(encode, "all_else_is_encoded", "a/b c%\xc3\xa9?", "a%2Fb%20c%25%C3%A9%3F"),
    GIVES(encode_path, "slashes_stay_in_a_path", "/a b/", "/a%20b/"),

    GIVES(get_name, "a_parameter_is_found_among_others", "x=1&na+me=2&y", "2"),
    GIVES(get_name, "the_first_of_two_counts", "na%20me=1&na+me=2", "1"),
    GIVES(get_name, "the_value_is_decoded", "na+me=a+%26%3d=b", "a &==b"),
    GIVES(get_name, "a_parameter_without_a_value_is_empty", "x&na+me&y", ""),
    FAILS(get_name, "an_absent_parameter_is_missing", "name=1&na+me2=1&na=1", FAIL_MISSING),
    FAILS(get_name, "an_empty_query_has_no_parameter", "", FAIL_MISSING),
    FAILS(get_name, "a_broken_name_matches_nothing", "na%2=1&=2&%", FAIL_MISSING),
    FAILS(get_name, "a_broken_value_is_refused", "na+me=%zz", FAIL_SYNTAX),

    GIVES(normalize, "the_root_stays", "/", "/"),
    GIVES(normalize, "a_plain_path_stays", "/a/b.c", "/a/b.c"),
    GIVES(normalize, "a_slash_at_the_end_stays", "/a/b/", "/a/b/"),
    GIVES(normalize, "doubled_slashes_are_one", "//a///b//", "/a/b/"),
    GIVES(normalize, "single_dots_go", "/./a/./b/.", "/a/b/"),
    GIVES(normalize, "two_dots_take_the_segment_before", "/a/b/../c/..", "/a/"),
    GIVES(normalize, "two_dots_may_lead_back_to_the_root", "/a/..", "/"),
    GIVES(normalize, "the_root_may_be_left_open", "/a/b/../../c", "/c"),
    GIVES(normalize, "three_dots_are_a_name", "/.../..a/a../.a", "/.../..a/a../.a"),
    FAILS(normalize, "nothing_is_above_the_root", "/..", FAIL_DENIED),
    FAILS(normalize, "nothing_is_above_the_root_for_a_while_either", "/a/../../a", FAIL_DENIED),
    FAILS(normalize, "doubled_slashes_do_not_help_upwards", "/a//../..", FAIL_DENIED),
    FAILS(normalize, "a_relative_path_is_refused", "a/b", FAIL_SYNTAX),
    FAILS(normalize, "an_empty_path_is_refused", "", FAIL_SYNTAX),
};

static void url_case(void **state)
{
    const struct url_case *c = *state;
    struct buf out;

    buf_init(&out, 1000);
    c->check(c, &out);
    buf_deinit(&out);
}

static void what_the_buffer_held_stays_before_the_result(void **state)
{
    (void)state;
    struct buf out;

    buf_init(&out, 100);
    buf_puts(&out, BEFORE);
    assert_int_equal(url_decode(STR("a%zz"), false, &out), FAIL_SYNTAX);
    assert_string_equal(buf_text(&out), BEFORE);
    assert_int_equal(url_normalize_path(STR("/a/../.."), &out), FAIL_DENIED);
    assert_string_equal(buf_text(&out), BEFORE);
    assert_int_equal(url_normalize_path(STR("/a/../b"), &out), OK);
    assert_int_equal(url_decode(STR("%20c"), false, &out), OK);
    assert_string_equal(buf_text(&out), BEFORE "/b c");
    buf_deinit(&out);
}

static void letters_of_a_url_are_encoded_and_nothing_else(void **state)
{
    (void)state;
    struct buf out;

    buf_init(&out, 100);
    url_encode_letters(STR("http://a:b@c/d%20é/ü?x=я&y=%2f#z"), &out);
    assert_string_equal(buf_text(&out), "http://a:b@c/d%20%C3%A9/%C3%BC?x=%D1%8F&y=%2f#z");
    buf_deinit(&out);
}

static void a_full_buffer_is_a_limit(void **state)
{
    (void)state;
    struct buf out;

    buf_init(&out, 3);
    assert_int_equal(url_decode(STR("abc"), false, &out), OK);
    buf_reset(&out);
    assert_int_equal(url_decode(STR("abcd"), false, &out), FAIL_LIMIT);
    assert_int_equal(out.len, 0);
    buf_reset(&out);
    assert_int_equal(url_normalize_path(STR("/abc"), &out), FAIL_LIMIT);
    assert_int_equal(url_normalize_path(STR("/"), &out), FAIL_LIMIT);
    buf_deinit(&out);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_the_buffer_held_stays_before_the_result),
    cmocka_unit_test(letters_of_a_url_are_encoded_and_nothing_else),
    cmocka_unit_test(a_full_buffer_is_a_limit),
};

enum {
    CASES = sizeof(cases) / sizeof(cases[0]),
    TESTS = sizeof(tests) / sizeof(tests[0]),
};

int main(void)
{
    static struct CMUnitTest all[CASES + TESTS];

    for (size_t i = 0; i < CASES; i++)
        all[i] = (struct CMUnitTest){ .name = cases[i].name,
                                      .test_func = url_case,
                                      .initial_state = (void *)&cases[i] };
    memcpy(all + CASES, tests, sizeof(tests));
    return cmocka_run_group_tests(all, NULL, NULL);
}
