#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <string.h>

#include <jansson.h>

#include "base/utf8.h"
#include "cmd/bar.h"

static const struct bar_state converting = {
    .state = "processing",
    .stage = "converting",
    .message = "FFmpeg conversion running",
    .fraction = 0.6249,
    .unit = BAR_TIMES,
    .speed = 2.44,
    .eta_s = 63,
};

static const struct bar_state uploading = {
    .state = "uploading",
    .stage = "uploading",
    .fraction = 0.5,
    .unit = BAR_BYTES,
    .speed = 12.3 * 1024 * 1024,
    .eta_s = 7265,
    .done = 512 << 20,
    .total = 1 << 30,
};

static void expect_line(const struct bar_state *s, unsigned width, bool is_utf8, const char *line)
{
    struct buf out;

    buf_init(&out, 4096);
    bar_format(s, width, is_utf8, &out);
    assert_string_equal(buf_text(&out), line);
    buf_deinit(&out);
}

static void a_wide_line_has_everything(void **state)
{
    (void)state;
    expect_line(&converting, 120, false,
                "Converting  ########################----------------   62%  2.4x  ETA 1:03  "
                "FFmpeg conversion running");
    expect_line(&uploading, 120, false,
                "Uploading   ####################--------------------   50%  512.0 MiB of 1.0 GiB  "
                "12.3 MiB/s  ETA 2:01:05");
}

static void the_least_important_goes_first(void **state)
{
    (void)state;
    expect_line(&uploading, 79, false,
                "Uploading   #######-------   50%  512.0 MiB of 1.0 GiB  12.3 MiB/s  ETA 2:01:05");
    expect_line(&uploading, 60, false,
                "Uploading   ########---------   50%  12.3 MiB/s  ETA 2:01:05");
    expect_line(&uploading, 40, false, "Uploading   ####-----   50%  ETA 2:01:05");
    expect_line(&uploading, 30, false, "Uploading   ######------   50%");
    expect_line(&uploading, 20, false, "Uploading  50%");
    expect_line(&uploading, 9, false, "Uploading");
    expect_line(&uploading, 4, false, "Upl.");
    expect_line(&uploading, 0, false, "");
}

/* Columns, for text in which every character has one. */
static size_t columns(const char *text)
{
    size_t n = 0;

    for (; *text; text += utf8_length(text, strlen(text)))
        n++;
    return n;
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    struct bar_state states[] = { converting, uploading };
    struct buf out;

    (void)state;
    for (unsigned width = 0; width < 200; width++) {
        for (int i = 0; i < 4; i++) {
            buf_init(&out, 4096);
            bar_format(&states[i % 2], width, i < 2, &out);
            assert_false(out.failed);
            if (columns(buf_text(&out)) > width)
                fail_msg("%u columns: %s", width, buf_text(&out));
            buf_deinit(&out);
        }
    }
}

static void wide_characters_count_twice(void **state)
{
    struct bar_state s = converting;

    (void)state;
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        skip();
    s.message = "\xe5\x8b\x95\xe7\x94\xbb\xe5\x8b\x95\xe7\x94\xbb\xe5\x8b\x95\xe7\x94\xbb"
                "\xe5\x8b\x95\xe7\x94\xbb";
    s.speed = -1;
    s.eta_s = -1;
    /* 12 + 40 + 6 are taken: of 72 columns 12 are left behind the gap. */
    struct buf out;
    buf_init(&out, 4096);
    bar_format(&s, 72, true, &out);
    assert_true(str_ends(buf_str(&out), STR("  \xe5\x8b\x95\xe7\x94\xbb\xe5\x8b\x95\xe7\x94\xbb"
                                            "\xe5\x8b\x95\xe2\x80\xa6")));
    buf_deinit(&out);
}

static void what_is_unknown_is_not_shown(void **state)
{
    struct bar_state s = {
        .state = "queued", .stage = "waiting", .fraction = -1, .speed = -1, .eta_s = -1
    };

    (void)state;
    expect_line(&s, 60, false, "Waiting     ----------------------------------------");
    s.fraction = 0.999;
    expect_line(&s, 30, false, "Waiting     ###########-   99%");
    s.fraction = 1;
    expect_line(&s, 30, false, "Waiting     ############  100%");
    s.fraction = 7;
    expect_line(&s, 30, false, "Waiting     ############  100%");
}

static void expect_text(const char *text, unsigned width, bool is_utf8, const char *shown)
{
    struct buf out;

    buf_init(&out, 4096);
    assert_true(bar_put_text(&out, text, width, is_utf8) <= width);
    assert_string_equal(buf_text(&out), shown);
    buf_deinit(&out);
}

static void text_cannot_command_the_terminal(void **state)
{
    (void)state;
    expect_text("a\033[31mb\r\n\tc\a\x7f", 80, true, "a?[31mb???c??");
    expect_text("\xc2\x9b"
                "31m",
                80, true, "?31m"); /* CSI as one character */
    expect_text("a\xff\xc0\x80z", 80, true, "a???z");
    expect_text("left\xe2\x80\xaeright", 80, true, "left?right");
    expect_text("\xc3\xa9t\xc3\xa9", 80, true, "\xc3\xa9t\xc3\xa9");
    expect_text("\xc3\xa9t\xc3\xa9", 80, false, "?t?");
}

static void text_is_cut_with_an_ellipsis(void **state)
{
    (void)state;
    expect_text("abcdef", 6, true, "abcdef");
    expect_text("abcdef", 5, true, "abcd\xe2\x80\xa6");
    expect_text("abcdef", 5, false, "abcd.");
    expect_text("abcdef", 1, true, "\xe2\x80\xa6");
    expect_text("abcdef", 0, true, "");
}

static void sizes_and_times_are_for_people(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 256);
    static const double sizes[] = { 0, 1023, 1024, 1536, 1048576, 1.5e12, 9e15 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        bar_put_bytes(&out, sizes[i]);
        buf_putc(&out, '|');
    }
    assert_string_equal(buf_text(&out), "0 B|1023 B|1.0 KiB|1.5 KiB|1.0 MiB|1.4 TiB|8185.5 TiB|");
    buf_reset(&out);
    static const int64_t times[] = { 0, 9, 63, 3599, 3600, 7265, 360000 };
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        bar_put_time(&out, times[i]);
        buf_putc(&out, '|');
    }
    assert_string_equal(buf_text(&out), "0:00|0:09|1:03|59:59|1:00:00|2:01:05|100:00:00|");
    buf_deinit(&out);
}

static void programs_get_json(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    bar_json(&converting, "42", &out);
    assert_string_equal(buf_text(&out),
                        "{\"id\":\"42\",\"state\":\"processing\",\"stage\":\"converting\","
                        "\"progress\":0.6249,\"message\":\"FFmpeg conversion running\","
                        "\"speed\":2.44,\"eta_seconds\":63}");
    buf_reset(&out);
    bar_json(&uploading, NULL, &out);
    assert_string_equal(buf_text(&out),
                        "{\"state\":\"uploading\",\"stage\":\"uploading\",\"progress\":0.5,"
                        "\"sent\":536870912,\"total\":1073741824,"
                        "\"bytes_per_second\":12897484.8,\"eta_seconds\":7265}");
    buf_deinit(&out);
}

/* Showing, into a file instead of a terminal. */

static size_t lines_of(FILE *file, char *last, size_t size)
{
    size_t n = 0;

    rewind(file);
    while (fgets(last, (int)size, file) != NULL)
        n++;
    return n;
}

static void the_same_is_not_said_twice_to_programs(void **state)
{
    struct bar_state s = converting;
    struct bar bar;
    char last[1024];
    FILE *file = tmpfile();

    (void)state;
    bar_init(&bar, file, false);
    assert_true(bar.is_json);
    bar_show_now(&bar, &s);
    bar_show_now(&bar, &s);
    s.fraction = 0.7;
    bar_show_now(&bar, &s);
    bar_show(&bar, &s);
    bar_say(&bar, true, "for people only");
    bar_keep(&bar);
    assert_int_equal(lines_of(file, last, sizeof(last)), 2);
    assert_non_null(strstr(last, "\"progress\":0.7"));
    bar_deinit(&bar);
    fclose(file);
}

static void a_new_stage_is_shown_at_once(void **state)
{
    struct bar_state s = converting;
    struct bar bar;
    char last[1024];
    FILE *file = tmpfile();

    (void)state;
    bar_init(&bar, file, true);
    bar_show(&bar, &s);
    s.fraction = 0.7;
    bar_show(&bar, &s); /* too soon */
    s.stage = "publishing";
    bar_show(&bar, &s);
    assert_int_equal(lines_of(file, last, sizeof(last)), 2);
    assert_non_null(strstr(last, "publishing"));
    bar_deinit(&bar);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wide_line_has_everything),
        cmocka_unit_test(the_least_important_goes_first),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(wide_characters_count_twice),
        cmocka_unit_test(what_is_unknown_is_not_shown),
        cmocka_unit_test(text_cannot_command_the_terminal),
        cmocka_unit_test(text_is_cut_with_an_ellipsis),
        cmocka_unit_test(sizes_and_times_are_for_people),
        cmocka_unit_test(programs_get_json),
        cmocka_unit_test(the_same_is_not_said_twice_to_programs),
        cmocka_unit_test(a_new_stage_is_shown_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
