#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "media/playlist.h"

#define HEAD "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:EVENT\n"
#define MAP  "#EXT-X-MAP:URI=\"init_0.mp4\"\n"

static void what_ffmpeg_leaves_is_read(void **state)
{
    struct playlist p;
    (void)state;

    assert_int_equal(playlist_read(STR(HEAD MAP
                                       "#EXTINF:4.000000,\ns00000.m4s\n"
                                       "#EXTINF:1.520000,\r\ns00001.m4s\n#EXT-X-ENDLIST\n"),
                                   &p),
                     OK);
    assert_string_equal(p.map, "init_0.mp4");
    assert_int_equal(p.count, 2);
    assert_string_equal(p.segments[1].name, "s00001.m4s");
    assert_true(fabs(playlist_seconds(&p) - 5.52) < 1e-9);
    assert_true(p.is_ended);
    playlist_deinit(&p);
}

static void a_finished_recording_is_written(void **state)
{
    struct playlist p;
    struct buf out;
    (void)state;

    assert_int_equal(playlist_read(STR(HEAD MAP "#EXTINF:4.6,\na.m4s\n#EXTINF:1,\nb.m4s\n"), &p),
                     OK);
    assert_false(p.is_ended);
    buf_init(&out, 4096);
    playlist_write(&p, &out);
    assert_string_equal(buf_text(&out),
                        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:5\n"
                        "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n"
                        "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init_0.mp4\"\n"
                        "#EXTINF:4.600000,\na.m4s\n#EXTINF:1.000000,\nb.m4s\n#EXT-X-ENDLIST\n");
    buf_deinit(&out);
    playlist_deinit(&p);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
    static const char *const names[] = { "../secret", "/etc/passwd", "a/b",
                                         ".hidden",   "http:x",      "a b" };
    struct playlist p;
    char text[256];
    (void)state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(text, sizeof(text), HEAD MAP "#EXTINF:4,\n%s\n", names[i]);
        assert_int_equal(playlist_read(str_of(text), &p), FAIL_SYNTAX);
        snprintf(text, sizeof(text), HEAD "#EXT-X-MAP:URI=\"%s\"\n", names[i]);
        assert_int_equal(playlist_read(str_of(text), &p), FAIL_SYNTAX);
    }
}

static void what_is_malformed_is_refused(void **state)
{
    struct playlist p;
    (void)state;

    assert_int_equal(playlist_read(STR(""), &p), FAIL_SYNTAX);
    assert_int_equal(playlist_read(STR("hello\n"), &p), FAIL_SYNTAX);
    assert_int_equal(playlist_read(STR(HEAD "#EXTINF:4,\na.m4s\n"), &p), FAIL_SYNTAX);
    assert_int_equal(playlist_read(STR(HEAD MAP "a.m4s\n"), &p), FAIL_SYNTAX);
    assert_int_equal(playlist_read(STR(HEAD MAP "#EXTINF:4,\na.m4s\nb.m4s\n"), &p), FAIL_SYNTAX);
    assert_int_equal(playlist_read(STR(HEAD MAP "#EXTINF:-4,\na.m4s\n"), &p), FAIL_SYNTAX);
    assert_int_equal(playlist_read(STR(HEAD MAP "#EXTINF:nan,\na.m4s\n"), &p), FAIL_SYNTAX);
    assert_int_equal(playlist_read(STR(HEAD "#EXT-X-MAP:URI=\"a.mp4\n"), &p), FAIL_SYNTAX);
}

static void rates_are_measured_and_a_short_tail_does_not_count_as_peak(void **state)
{
    struct playlist p;
    (void)state;

    assert_int_equal(playlist_read(STR(HEAD MAP "#EXTINF:4,\na\n#EXTINF:4,\nb\n#EXTINF:0.5,\nc\n"),
                                   &p),
                     OK);
    p.segments[0].size = 1000;
    p.segments[1].size = 2000;
    p.segments[2].size = 1000;
    assert_int_equal(playlist_peak(&p), 4000);
    assert_int_equal(playlist_average(&p), 3765);
    playlist_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ffmpeg_leaves_is_read),
        cmocka_unit_test(a_finished_recording_is_written),
        cmocka_unit_test(names_that_lead_elsewhere_are_refused),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(rates_are_measured_and_a_short_tail_does_not_count_as_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
