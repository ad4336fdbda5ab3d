#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <float.h>
#include <math.h>

#include "base/emit.h"

static struct buf out;

static int begin(void **state)
{
    (void)state;
    buf_init(&out, 4096);
    return 0;
}

static int end(void **state)
{
    (void)state;
    buf_deinit(&out);
    return 0;
}

static void written(const char *json)
{
    assert_string_equal(buf_text(&out), json);
    buf_reset(&out);
}

static void commas_stand_between_and_nowhere_else(void **state)
{
    (void)state;
    emit_open(&out, '{');
    emit_field_int(&out, "a", 1);
    emit_key(&out, "b");
    emit_open(&out, '[');
    emit_int(&out, 1);
    emit_string(&out, "two");
    emit_open(&out, '{');
    emit_close(&out, '}');
    emit_open(&out, '[');
    emit_close(&out, ']');
    emit_null(&out);
    emit_bool(&out, true);
    emit_real(&out, 0.5, 1);
    emit_close(&out, ']');
    emit_field_bool(&out, "c", false);
    emit_field_raw(&out, "d", "{\"x\":[]}");
    emit_field_real(&out, "e", 1, 2);
    emit_field_string(&out, "f", NULL);
    emit_close(&out, '}');
    written("{\"a\":1,\"b\":[1,\"two\",{},[],null,true,0.5],\"c\":false,\"d\":{\"x\":[]},"
            "\"e\":1.0,\"f\":null}");
}

static void text_that_ends_like_json_does_not_confuse_the_commas(void **state)
{
    static const char *const tricky[] = { ",", "[", "{", ":", "\n", "\\", "\"", "" };

    (void)state;
    emit_open(&out, '[');
    for (size_t i = 0; i < sizeof(tricky) / sizeof(*tricky); i++)
        emit_string(&out, tricky[i]);
    emit_close(&out, ']');
    written("[\",\",\"[\",\"{\",\":\",\"\\n\",\"\\\\\",\"\\\"\",\"\"]");
}

static void behind_a_newline_or_a_space_a_new_document_begins(void **state)
{
    (void)state;
    emit_open(&out, '{');
    emit_close(&out, '}');
    buf_putc(&out, '\n');
    emit_open(&out, '{');
    emit_field_int(&out, "a", 1);
    emit_close(&out, '}');
    buf_puts(&out, "\ndata: ");
    emit_int(&out, 7);
    written("{}\n{\"a\":1}\ndata: 7");
}

static void every_control_character_is_escaped(void **state)
{
    (void)state;
    emit_string(&out, "\b\t\n\f\r\"\\/");
    written("\"\\b\\t\\n\\f\\r\\\"\\\\/\"");
    emit_string(&out, "\x01\x0b\x1f\x7f");
    written("\"\\u0001\\u000b\\u001f\\u007f\"");
    emit_string_n(&out, "a\0b", 3);
    written("\"a\\u0000b\"");
    for (int c = 1; c < 0x20; c++)
        emit_string_n(&out, &(char){ (char)c }, 1);
    for (size_t i = 0; i < out.len; i++)
        assert_true((unsigned char)out.data[i] >= 0x20);
}

static void utf8_passes_unchanged(void **state)
{
    (void)state;
    emit_string(&out, "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xac");
    written("\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xac\"");
}

#define BAD "\xef\xbf\xbd"

static void what_is_not_utf8_becomes_the_replacement_character(void **state)
{
    (void)state;
    emit_string(&out, "a\xff"
                      "b");
    written("\"a" BAD "b\"");
    emit_string(&out, "\xc3"); /* cut off */
    written("\"" BAD "\"");
    emit_string(&out, "\xc3\"x"); /* must not swallow the quote */
    written("\"" BAD "\\\"x\"");
    emit_string(&out, "\xc0\xaf"); /* overlong */
    written("\"" BAD BAD "\"");
    emit_string(&out, "\xed\xa0\x80"); /* surrogate */
    written("\"" BAD BAD BAD "\"");
    emit_string_n(&out, "\xe2\x82\xac", 2); /* the length ends within a character */
    written("\"" BAD BAD "\"");
}

static void integers_of_any_size_are_exact(void **state)
{
    (void)state;
    emit_open(&out, '[');
    emit_int(&out, INT64_MIN);
    emit_int(&out, INT64_MAX);
    emit_int(&out, 0);
    emit_close(&out, ']');
    written("[-9223372036854775808,9223372036854775807,0]");
}

static void reals(double value, int decimals, const char *json)
{
    emit_real(&out, value, decimals);
    written(json);
}

static void reals_lose_their_trailing_zeros_but_one(void **state)
{
    (void)state;
    reals(1, 4, "1.0");
    reals(0, 4, "0.0");
    reals(0.75, 4, "0.75");
    reals(0.123456, 4, "0.1235");
    reals(100, 2, "100.0");
    reals(42.5, 2, "42.5");
    reals(42, 0, "42");
    reals(100, 0, "100");
    reals(0.5, 1, "0.5");
    reals(-0.25, 2, "-0.25");
}

static void what_is_no_number_is_null(void **state)
{
    (void)state;
    reals(NAN, 2, "null");
    reals(INFINITY, 2, "null");
    reals(-INFINITY, 0, "null");
}

static void the_largest_real_fits(void **state)
{
    (void)state;
    emit_real(&out, -DBL_MAX, 4);
    assert_int_equal(out.len, 1 + 309 + 2);
}

static void a_document_that_does_not_fit_is_marked(void **state)
{
    struct buf small;

    (void)state;
    buf_init(&small, 10);
    emit_open(&small, '{');
    emit_field_string(&small, "key", "value");
    emit_close(&small, '}');
    assert_true(small.failed);
    buf_deinit(&small);
}

#define EMITS(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMITS(commas_stand_between_and_nowhere_else),
        EMITS(text_that_ends_like_json_does_not_confuse_the_commas),
        EMITS(behind_a_newline_or_a_space_a_new_document_begins),
        EMITS(every_control_character_is_escaped),
        EMITS(utf8_passes_unchanged),
        EMITS(what_is_not_utf8_becomes_the_replacement_character),
        EMITS(integers_of_any_size_are_exact),
        EMITS(reals_lose_their_trailing_zeros_but_one),
        EMITS(what_is_no_number_is_null),
        EMITS(the_largest_real_fits),
        EMITS(a_document_that_does_not_fit_is_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
