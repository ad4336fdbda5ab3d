#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"

/* RFC 3629: each row of section 4's grammar at both ends of its ranges. */
static const char *const valid[] = {
    "",
    "\x01",
    "\x7f",
    "\xc2\x80",
    "\xdf\xbf",
    "\xe0\xa0\x80",
    "\xe0\xbf\xbf",
    "\xe1\x80\x80",
    "\xec\xbf\xbf",
    "\xed\x80\x80",
    "\xed\x9f\xbf", /* U+D7FF */
    "\xee\x80\x80", /* U+E000 */
    "\xef\xbf\xbf",
    "\xf0\x90\x80\x80",
    "\xf0\xbf\xbf\xbf",
    "\xf1\x80\x80\x80",
    "\xf3\xbf\xbf\xbf",
    "\xf4\x80\x80\x80",
    "\xf4\x8f\xbf\xbf", /* U+10FFFF */
};

static const char *const invalid[] = {
    "\x80",
    "\xbf",
    "\xc0\x80", /* overlong */
    "\xc1\xbf",
    "\xc2\x7f",
    "\xc2\xc0",
    "\xdf\x7f",
    "\xe0\x80\x80", /* overlong */
    "\xe0\x9f\xbf",
    "\xe0\xc0\x80",
    "\xe1\x7f\x80",
    "\xe1\x80\xc0",
    "\xed\xa0\x80",     /* U+D800 */
    "\xed\xbf\xbf",     /* U+DFFF */
    "\xf0\x80\x80\x80", /* overlong */
    "\xf0\x8f\xbf\xbf",
    "\xf0\x90\x80\x7f",
    "\xf0\x90\xc0\x80",
    "\xf4\x90\x80\x80", /* U+110000 */
    "\xf5\x80\x80\x80",
    "\xf8\x88\x80\x80\x80",
    "\xfe",
    "\xff",
};

enum { VALID = sizeof(valid) / sizeof(*valid), INVALID = sizeof(invalid) / sizeof(*invalid) };

static void every_boundary_of_the_grammar_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < VALID; i++) {
        assert_true(utf8_is_valid(valid[i], strlen(valid[i])));
        assert_int_equal(utf8_length(valid[i], strlen(valid[i])), strlen(valid[i]));
    }
    for (size_t i = 0; i < INVALID; i++) {
        if (utf8_is_valid(invalid[i], strlen(invalid[i])))
            fail_msg("row %zu was taken for valid", i);
        assert_int_equal(utf8_length(invalid[i], strlen(invalid[i])), 0);
    }
    assert_true(utf8_is_valid("\0", 1));
}

static bool feed_bytewise(const char *text, size_t len)
{
    struct utf8 u = { 0 };

    for (size_t i = 0; i < len; i++)
        if (!utf8_feed(&u, text + i, 1))
            return false;
    return utf8_is_complete(&u);
}

static void byte_by_byte_it_judges_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < VALID; i++)
        assert_true(feed_bytewise(valid[i], strlen(valid[i])));
    for (size_t i = 0; i < INVALID; i++)
        assert_false(feed_bytewise(invalid[i], strlen(invalid[i])));
}

static void text_may_only_end_between_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < VALID; i++) {
        struct utf8 u = { 0 };
        size_t len = strlen(valid[i]);
        for (size_t n = 0; n + 1 < len; n++) {
            assert_true(utf8_feed(&u, valid[i] + n, 1));
            assert_false(utf8_is_complete(&u));
            assert_false(utf8_is_valid(valid[i], n + 1));
            assert_int_equal(utf8_length(valid[i], n + 1), 0);
        }
    }
}

static void a_bad_byte_is_noticed_when_it_arrives(void **state)
{
    struct utf8 u = { 0 };

    (void)state;
    assert_true(utf8_feed(&u, "\xed", 1));
    assert_false(utf8_feed(&u, "\xa0", 1)); /* a surrogate whatever follows */
    u = (struct utf8){ 0 };
    assert_false(utf8_feed(&u, "\xf5", 1));
}

/* ASCII is skipped in words of eight: no place in them may hide a bad byte. */
static void a_bad_byte_is_found_wherever_it_stands(void **state)
{
    char text[40];

    (void)state;
    for (size_t at = 0; at < sizeof(text); at++) {
        memset(text, 'a', sizeof(text));
        assert_true(utf8_is_valid(text, sizeof(text)));
        text[at] = (char)0x80;
        assert_false(utf8_is_valid(text, sizeof(text)));
        if (at + 1 == sizeof(text))
            break;
        text[at] = (char)0xc3;
        text[at + 1] = (char)0xa4;
        assert_true(utf8_is_valid(text, sizeof(text)));
    }
}

static void a_character_may_be_cut_by_a_long_run_of_text(void **state)
{
    struct utf8 u = { 0 };

    (void)state;
    assert_true(utf8_feed(&u, "12345678\xe2\x82", 10));
    assert_false(utf8_is_complete(&u));
    assert_true(utf8_feed(&u,
                          "\xac"
                          "12345678",
                          9));
    assert_true(utf8_is_complete(&u));
    u = (struct utf8){ 0 };
    assert_true(utf8_feed(&u, "\xe2\x82", 2));
    assert_false(utf8_feed(&u, "12345678", 8)); /* eight plain bytes, in the middle of one */
}

static void the_length_is_that_of_the_first_character_alone(void **state)
{
    (void)state;
    assert_int_equal(utf8_length("ab", 2), 1);
    assert_int_equal(utf8_length("\xc3\xa4\xff", 3), 2);
    assert_int_equal(utf8_length("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_boundary_of_the_grammar_is_kept),
        cmocka_unit_test(byte_by_byte_it_judges_the_same),
        cmocka_unit_test(text_may_only_end_between_characters),
        cmocka_unit_test(a_bad_byte_is_noticed_when_it_arrives),
        cmocka_unit_test(a_bad_byte_is_found_wherever_it_stands),
        cmocka_unit_test(a_character_may_be_cut_by_a_long_run_of_text),
        cmocka_unit_test(the_length_is_that_of_the_first_character_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
