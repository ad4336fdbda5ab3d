#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "media/ladder.h"

static struct rung rungs[LADDER_MAX];

static unsigned build(int width, int height, int fps)
{
    struct media_info info = {
        .has_video = true, .width = width, .height = height, .fps_num = fps, .fps_den = 1
    };

    return ladder_build(&info, rungs);
}

#define assert_rung(i, text, w, h)                                                                 \
    do {                                                                                           \
        assert_string_equal(rungs[i].name, text);                                                  \
        assert_int_equal(rungs[i].width, w);                                                       \
        assert_int_equal(rungs[i].height, h);                                                      \
    } while (0)

static void rungs_go_down_from_the_source(void **state)
{
    (void)state;
    assert_int_equal(build(1920, 1080, 25), 4);
    assert_rung(0, "1080p", 1920, 1080);
    assert_rung(1, "720p", 1280, 720);
    assert_rung(2, "480p", 854, 480);
    assert_rung(3, "360p", 640, 360);
    assert_int_equal(build(3840, 2160, 25), 6);
    assert_int_equal(build(1918, 1078, 25), 3);
}

static void the_short_side_counts_also_when_it_is_the_width(void **state)
{
    (void)state;
    assert_int_equal(build(720, 1280, 25), 3);
    assert_rung(0, "720p", 720, 1280);
    assert_rung(2, "360p", 360, 640);
}

static void a_small_source_keeps_its_size_in_even_numbers(void **state)
{
    (void)state;
    assert_int_equal(build(321, 241, 25), 1);
    assert_rung(0, "242p", 322, 242);
    assert_int_equal(build(1, 1, 25), 1);
    assert_rung(0, "16p", 16, 16);
}

static void every_side_is_even_and_no_larger_than_the_source_by_more_than_rounding(void **state)
{
    (void)state;
    for (int width = 1; width < 4000; width += 37)
        for (int height = 1; height < 4000; height += 41) {
            unsigned count = build(width, height, 30);
            assert_in_range(count, 1, LADDER_MAX);
            for (unsigned i = 0; i < count; i++) {
                assert_int_equal(rungs[i].width % 2 + rungs[i].height % 2, 0);
                assert_true(rungs[i].width <= (width < 16 ? 16 : width + 1));
                assert_true(rungs[i].height <= (height < 16 ? 16 : height + 1));
            }
        }
}

static void more_pictures_get_more_bits(void **state)
{
    (void)state;
    build(1280, 720, 30);
    unsigned plain = rungs[0].maxrate_k;
    build(1280, 720, 60);
    assert_true(rungs[0].maxrate_k > plain);
}

static void without_a_picture_there_is_no_rung(void **state)
{
    struct media_info info = { .audio_count = 1 };
    (void)state;

    assert_int_equal(ladder_build(&info, rungs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rungs_go_down_from_the_source),
        cmocka_unit_test(the_short_side_counts_also_when_it_is_the_width),
        cmocka_unit_test(a_small_source_keeps_its_size_in_even_numbers),
        cmocka_unit_test(every_side_is_even_and_no_larger_than_the_source_by_more_than_rounding),
        cmocka_unit_test(more_pictures_get_more_bits),
        cmocka_unit_test(without_a_picture_there_is_no_rung),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
