#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "core/limits.h"
#include "lib/compact.h"

static int compacted(const char *text, bool only_object, const char *expected)
{
    struct buf out;
    size_t at;

    buf_init(&out, JOB_JSON_MAX);
    int err = compact_json(text, only_object, &out, &at);
    if (expected != NULL)
        assert_string_equal(buf_text(&out), expected);
    buf_deinit(&out);
    return err;
}

static void valid_json_loses_its_spaces_only(void **state)
{
    (void)state;
    assert_int_equal(compacted(" { \"a b\" : [ 1 , -2.50e+3,\ttrue,false , null ] ,\n\"\":{ } } ",
                               false, "{\"a b\":[1,-2.50e+3,true,false,null],\"\":{}}"),
                     OK);
    assert_int_equal(compacted("[]\n", false, "[]"), OK);
    assert_int_equal(compacted(" \"\\u00e4\\ud83d\\ude00\\n\xc3\xa4 \"", false,
                               "\"\\u00e4\\ud83d\\ude00\\n\xc3\xa4 \""),
                     OK);
    assert_int_equal(compacted("9223372036854775807", false, NULL), OK);
    assert_int_equal(compacted("-9223372036854775808", false, NULL), OK);
    assert_int_equal(compacted("-0", false, "-0"), OK);
    assert_int_equal(compacted("1e307", false, "1e307"), OK);
    assert_int_equal(compacted("1e-999", false, "1e-999"), OK);
}

static void what_is_not_json_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "{\"a\" 1}",
        "[1 2]",
        "[] []",
        "tru",
        "True",
        "nul",
        "nan",
        "Infinity",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "--1",
        "0x10",
        "'a'",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u00g0\"",
        "\"\n\"",
        "\"\t\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "// x\n1",
        "[1}",
        "{\"a\":1]",
        /* JSON, but not what Reelay's reader takes */
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\ude00\"",
        "\"\\ud800\\u0041\"",
        "9223372036854775808",
        "-9223372036854775809",
        "1e309",
        "0.1e400",
        "12345e99999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (compacted(wrong[i], false, NULL) != FAIL_SYNTAX)
            fail_msg("taken: %s", wrong[i]);
}

static void metadata_has_to_be_an_object(void **state)
{
    (void)state;
    assert_int_equal(compacted("[]", true, NULL), FAIL_SYNTAX);
    assert_int_equal(compacted("1", true, NULL), FAIL_SYNTAX);
    assert_int_equal(compacted(" {}", true, "{}"), OK);
}

static void nesting_has_a_limit(void **state)
{
    char text[2 * JOB_JSON_DEPTH_MAX + 3] = "";

    (void)state;
    memset(text, '[', JOB_JSON_DEPTH_MAX);
    memset(text + JOB_JSON_DEPTH_MAX, ']', JOB_JSON_DEPTH_MAX);
    assert_int_equal(compacted(text, false, text), OK);
    memset(text, '[', JOB_JSON_DEPTH_MAX + 1);
    memset(text + JOB_JSON_DEPTH_MAX + 1, ']', JOB_JSON_DEPTH_MAX + 1);
    assert_int_equal(compacted(text, false, NULL), FAIL_LIMIT);
}

static void size_counts_without_spaces(void **state)
{
    static char text[3 * JOB_JSON_MAX];

    (void)state;
    memset(text, ' ', sizeof(text) - 1);
    memcpy(text + 2 * JOB_JSON_MAX, "{}", 2);
    assert_int_equal(compacted(text, true, "{}"), OK);
    memset(text, 'x', sizeof(text) - 1);
    text[0] = text[JOB_JSON_MAX] = '"';
    text[JOB_JSON_MAX + 1] = '\0';
    assert_int_equal(compacted(text, false, NULL), FAIL_LIMIT);
    text[JOB_JSON_MAX - 1] = '"';
    text[JOB_JSON_MAX] = '\0';
    assert_int_equal(compacted(text, false, text), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_json_loses_its_spaces_only),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(metadata_has_to_be_an_object),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(size_counts_without_spaces),
    };

    return cmocka_run_group_tests_name("lib/compact", tests, NULL, NULL);
}
