#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "core/update.h"
#include "media/progress.h"

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static const struct media_info ten_seconds = {
    .duration_ms = 10000, .video_ms = 10000, .has_video = true, .fps_num = 25, .fps_den = 1
};

static struct progress_block block_of(int64_t frame, int64_t ms)
{
    return (struct progress_block){ .frame = frame, .out_us = ms * 1000, .speed = 1 };
}

static void a_block_is_read_line_by_line(void **state)
{
    struct progress_block b;
    (void)state;

    progress_block_init(&b);
    assert_false(progress_read_line(&b, STR("frame=  123")));
    assert_false(progress_read_line(&b, STR("out_time_us=4920000")));
    assert_false(progress_read_line(&b, STR("out_time_ms=77")));
    assert_false(progress_read_line(&b, STR("total_size=N/A")));
    assert_false(progress_read_line(&b, STR("speed=2.35x")));
    assert_true(progress_read_line(&b, STR("progress=continue")));
    assert_int_equal(b.frame, 123);
    assert_int_equal(b.out_us, 4920000);
    assert_near(b.speed, 2.35, 1e-9);
    assert_false(b.is_over);
    assert_true(progress_read_line(&b, STR("progress=end")));
    assert_true(b.is_over);
}

static void what_cannot_be_read_changes_nothing(void **state)
{
    struct progress_block b;
    (void)state;

    progress_block_init(&b);
    progress_read_line(&b, STR("out_time_us=-21000"));
    progress_read_line(&b, STR("out_time_us=N/A"));
    progress_read_line(&b, STR("frame=99999999999999999999999"));
    progress_read_line(&b, STR("frame"));
    progress_read_line(&b, STR("="));
    progress_read_line(&b, STR(""));
    progress_read_line(&b, STR("speed=   N/A"));
    assert_int_equal(b.frame, -1);
    assert_int_equal(b.out_us, -1);
    assert_near(b.speed, -1, 0);
}

static void the_smaller_of_time_and_frames_counts(void **state)
{
    struct progress p;
    struct convert_progress out;
    struct progress_block sound_is_ahead = block_of(50, 5000), picture = block_of(200, 5000);
    (void)state;

    progress_init(&p, &ten_seconds, 0);
    progress_update(&p, &sound_is_ahead, 1000, &out);
    assert_near(out.fraction, 0.2, 1e-9);
    progress_update(&p, &picture, 2000, &out);
    assert_near(out.fraction, 0.5, 1e-9);
}

static void it_never_falls_and_never_claims_the_end(void **state)
{
    struct progress p;
    struct convert_progress out;
    struct progress_block far = block_of(5000, 900000), back = block_of(3, 100);
    (void)state;

    progress_init(&p, &ten_seconds, 0);
    progress_update(&p, &far, 1000, &out);
    assert_near(out.fraction, 0.99, 1e-9);
    progress_update(&p, &back, 2000, &out);
    assert_near(out.fraction, 0.99, 1e-9);
}

static void sound_that_outlasts_the_picture_goes_on(void **state)
{
    struct media_info info = ten_seconds;
    struct progress p;
    struct convert_progress out;
    struct progress_block half = block_of(50, 5000), late = block_of(50, 9000);
    (void)state;

    info.video_ms = 2000;
    progress_init(&p, &info, 0);
    progress_update(&p, &half, 1000, &out);
    assert_near(out.fraction, 0.5, 1e-9);
    progress_update(&p, &late, 2000, &out);
    assert_near(out.fraction, 0.9, 1e-9);
}

static void an_unknown_duration_is_an_unknown_fraction(void **state)
{
    struct media_info info = { .duration_ms = -1, .video_ms = -1 };
    struct progress p;
    struct convert_progress out;
    struct progress_block b = block_of(50, 5000);
    (void)state;

    progress_init(&p, &info, 0);
    progress_update(&p, &b, 5000, &out);
    assert_near(out.fraction, UNKNOWN_FRACTION, 0);
    assert_int_equal(out.eta_ms, -1);
    assert_near(out.speed, 1, 0);
}

static void the_estimate_follows_a_change_of_pace(void **state)
{
    struct media_info info = ten_seconds;
    struct progress p;
    struct convert_progress out = { 0 };
    (void)state;

    info.duration_ms = info.video_ms = 1000000;
    progress_init(&p, &info, 0);
    for (int i = 1; i <= 20; i++) { /* ten times as fast as it plays */
        struct progress_block b = block_of(i * 125, i * 5000);
        progress_update(&p, &b, (uint64_t)i * 500, &out);
    }
    assert_near((double)out.eta_ms, 90000, 1000);
    for (int i = 1; i <= 100; i++) { /* then half of that */
        struct progress_block b = block_of(2500 + i * 62, 100000 + i * 2500);
        progress_update(&p, &b, 10000 + (uint64_t)i * 500, &out);
    }
    assert_near((double)out.eta_ms, 130000, 5000);
}

static void a_later_run_goes_on_where_the_picture_is(void **state)
{
    struct progress p;
    struct convert_progress out = { 0 };
    struct progress_block nothing = block_of(-1, -1);
    (void)state;

    progress_init(&p, &ten_seconds, 0);
    progress_begin_run(&p, 100, 50000);
    nothing.out_us = -1;
    progress_update(&p, &nothing, 51500, &out);
    assert_near(out.fraction, 0.4, 1e-9);
    assert_int_equal(out.eta_ms, -1); /* what was there before says nothing of the pace */
    for (int i = 1; i <= 4; i++) {    /* as fast as it plays */
        struct progress_block b = block_of(100 + i * 25, 4000 + i * 1000);
        progress_update(&p, &b, 51500 + (uint64_t)i * 1000, &out);
    }
    assert_near(out.fraction, 0.8, 1e-9);
    assert_true(out.eta_ms > 1500 && out.eta_ms < 4000);
}

static void a_run_from_the_beginning_does_not_fall_back(void **state)
{
    struct progress p;
    struct convert_progress out;
    struct progress_block far = block_of(200, 8000), near = block_of(5, 200);
    (void)state;

    progress_init(&p, &ten_seconds, 0);
    progress_begin_run(&p, 150, 0);
    progress_update(&p, &far, 2000, &out);
    progress_begin_run(&p, 0, 3000);
    progress_update(&p, &near, 5000, &out);
    assert_near(out.fraction, 0.8, 1e-9);
    assert_int_equal(out.eta_ms, -1);
}

static void standing_still_is_noticed(void **state)
{
    struct progress p;
    struct convert_progress out;
    struct progress_block b = block_of(50, 5000);
    (void)state;

    progress_init(&p, &ten_seconds, 100);
    assert_int_equal(progress_stalled_ms(&p, 600), 500);
    progress_update(&p, &b, 1000, &out);
    assert_int_equal(progress_stalled_ms(&p, 1000), 0);
    progress_update(&p, &b, 3000, &out);
    assert_int_equal(progress_stalled_ms(&p, 4000), 3000);
    b.frame++;
    progress_update(&p, &b, 5000, &out);
    assert_int_equal(progress_stalled_ms(&p, 5000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_read_line_by_line),
        cmocka_unit_test(what_cannot_be_read_changes_nothing),
        cmocka_unit_test(the_smaller_of_time_and_frames_counts),
        cmocka_unit_test(it_never_falls_and_never_claims_the_end),
        cmocka_unit_test(sound_that_outlasts_the_picture_goes_on),
        cmocka_unit_test(an_unknown_duration_is_an_unknown_fraction),
        cmocka_unit_test(the_estimate_follows_a_change_of_pace),
        cmocka_unit_test(a_later_run_goes_on_where_the_picture_is),
        cmocka_unit_test(a_run_from_the_beginning_does_not_fall_back),
        cmocka_unit_test(standing_still_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
