#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "media/complaint.h"

static void assert_read(const char *text, int err, const char *why)
{
    struct buf b;

    buf_init(&b, 512);
    assert_int_equal(complaint_read(text, &b), err);
    assert_string_equal(buf_text(&b), why);
    buf_deinit(&b);
}

static void the_cause_is_told_not_its_consequences(void **state)
{
    (void)state;
    assert_read("[hls @ 0x5] failed\nav_interleaved_write_frame(): No space left on device\n"
                "Conversion failed!\n",
                FAIL_FULL, "there is no space left");
    assert_read("[png @ 0x5] [IMGUTILS @ 0x7] Picture size 16000x16000 exceeds specified max pixel "
                "count 35389440, see the documentation\n",
                FAIL_LIMIT, "the picture has too many pixels");
}

static void an_unknown_line_is_told_without_paths_and_addresses(void **state)
{
    (void)state;
    assert_read("[mov,mp4 @ 0x55d0] something odd\nfile:/srv/my data/x.mp4: Invalid data found\n"
                "Conversion failed!\n",
                FAIL_SYNTAX, "the file is damaged or not what it seems: Invalid data found");
    assert_read("[h264 @ 0x1] bad \x1b[31mslice\x01 header\n", FAIL_SYNTAX,
                "the file is damaged or not what it seems: bad [31mslice header");
}

static void silence_and_nonsense_still_give_a_sentence(void **state)
{
    (void)state;
    assert_read("", FAIL_SYNTAX, "the file is damaged or not what it seems");
    assert_read("\n\n[[[]\n\xff\xfe", FAIL_SYNTAX, "the file is damaged or not what it seems");
}

static void a_long_line_is_cut(void **state)
{
    char text[6000];
    struct buf b;
    (void)state;

    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = i % 6 == 5 ? ' ' : 'a';
    text[sizeof(text) - 1] = '\0';
    buf_init(&b, 512);
    assert_int_equal(complaint_read(text, &b), FAIL_SYNTAX);
    assert_false(b.failed);
    assert_true(b.len < 300);
    buf_reset(&b);
    memset(text, 'a', sizeof(text) - 1);
    assert_int_equal(complaint_read(text, &b), FAIL_SYNTAX);
    assert_false(b.failed);
    assert_true(b.len < 300);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cause_is_told_not_its_consequences),
        cmocka_unit_test(an_unknown_line_is_told_without_paths_and_addresses),
        cmocka_unit_test(silence_and_nonsense_still_give_a_sentence),
        cmocka_unit_test(a_long_line_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
