#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "clips.h"
#include "cmd/sandbox.h"
#include "media/probe_read.h"

#define VIDEO(size, rate, seconds)                                                                 \
    "-f lavfi -i testsrc=s=" size ":r=" rate ":d=" seconds                                         \
    " -pix_fmt yuv420p -c:v libx264 -preset ultrafast"

static struct media_info info;
static char why[256];

static int ask(const char *path)
{
    memset(&info, 0, sizeof(info));
    return clips_probe(&clips_settings, path, &info, why);
}

#define assert_rate(n, d, an, ad, num_, den_)                                                      \
    do {                                                                                           \
        struct probe_rate r =                                                                      \
            probe_choose_rate((struct probe_rate){ n, d }, (struct probe_rate){ an, ad });         \
        assert_int_equal(r.num, num_);                                                             \
        assert_int_equal(r.den, den_);                                                             \
    } while (0)

static void a_constant_rate_is_kept(void **state)
{
    (void)state;
    assert_rate(25, 1, 25, 1, 25, 1);
    assert_rate(30000, 1001, 30000, 1001, 30000, 1001);
    assert_rate(60, 1, 60, 1, 60, 1);
    assert_rate(13, 1, 13, 1, 13, 1);
}

static void a_high_rate_is_divided(void **state)
{
    (void)state;
    assert_rate(120, 1, 120, 1, 120, 2);
    assert_rate(100, 1, 100, 1, 100, 2);
    assert_rate(240, 1, 240, 1, 240, 4);
    assert_rate(1000000, 1, 1000000, 1, 60, 1);
}

static void a_variable_rate_becomes_the_next_standard_one(void **state)
{
    (void)state;
    assert_rate(90000, 1, 1477, 50, 30000, 1001);
    assert_rate(1000, 1, 1, 1, 1, 1);
    assert_rate(50, 1, 25, 1, 25, 1);
    assert_rate(0, 0, 0, 0, 25, 1);
    assert_rate(90000, 1, 0, 0, 30, 1);
}

static int read_text(const char *json)
{
    struct buf b;
    buf_init(&b, 256);
    int err = probe_read(str_of(json), &info, &b);
    snprintf(why, sizeof(why), "%s", buf_text(&b));
    buf_deinit(&b);
    return err;
}

static void odd_descriptions_are_refused_not_believed(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), FAIL_SYNTAX);
    assert_int_equal(read_text("[]"), FAIL_SYNTAX);
    assert_int_equal(read_text("{}"), FAIL_UNSUPPORTED);
    assert_int_equal(read_text("{\"streams\":[{\"codec_type\":\"video\",\"codec_name\":\"h264\","
                               "\"width\":-5,\"height\":99999999999}]}"),
                     FAIL_UNSUPPORTED);
    assert_int_equal(read_text(
                         "{\"streams\":[{\"codec_type\":\"video\",\"width\":5,\"height\":5}]}"),
                     FAIL_UNSUPPORTED);
    assert_int_equal(
        read_text(
            "{\"format\":{\"duration\":\"1e300\"},\"streams\":[{\"codec_type\":\"video\","
            "\"codec_name\":\"h264\",\"width\":64,\"height\":64,\"r_frame_rate\":\"1/0\","
            "\"sample_aspect_ratio\":\"1:2000000000\"},{\"codec_type\":\"audio\",\"codec_name\":"
            "\"aac\",\"channels\":2,\"tags\":{\"language\":\"../x\"}}]}"),
        OK);
    assert_int_equal(info.duration_ms, -1);
    assert_int_equal(info.width, 64);
    assert_int_equal(info.fps_num, 25);
    assert_string_equal(info.audio[0].language, "und");
}

static void an_ordinary_video_is_described(void **state)
{
    (void)state;
    const char *path = clips_make("sound.mp4", "-f lavfi -i testsrc=s=320x240:r=30:d=1 -f lavfi -i "
                                               "sine=d=1 -map 0 -map 1 -pix_fmt yuv420p "
                                               "-preset ultrafast -c:a aac -ac 2 "
                                               "-metadata:s:a language=deu");
    assert_int_equal(ask(path), OK);
    assert_string_equal(info.demuxer, "mov");
    assert_true(info.has_video);
    assert_int_equal(info.width, 320);
    assert_int_equal(info.height, 240);
    assert_in_range(info.duration_ms, 990, 1100);
    assert_in_range(info.video_ms, 990, 1010);
    assert_int_equal(info.fps_num, 30);
    assert_int_equal(info.bits, 8);
    assert_int_equal(info.audio_count, 1);
    assert_int_equal(info.audio[0].channels, 2);
    assert_string_equal(info.audio[0].language, "deu");
    assert_string_equal(info.video_codec, "h264");
    assert_int_equal(info.size, clips_size(path));
    assert_false(info.is_interlaced);
    assert_false(info.is_hdr);
}

static void the_name_of_a_file_says_nothing(void **state)
{
    (void)state;
    assert_int_equal(ask(clips_make("really.mkv", VIDEO("64x64", "10", "1") " -f mov")), OK);
    assert_string_equal(info.demuxer, "mov");
}

static void rotation_and_pixel_aspect_give_the_size_people_see(void **state)
{
    (void)state;
    clips_make("plain.mp4", VIDEO("320x240", "30", "1"));
    assert_int_equal(ask(clips_make("turned.mp4", "-i plain.mp4 -c copy -metadata:s:v rotate=90")),
                     OK);
    assert_int_equal(info.width, 240);
    assert_int_equal(info.height, 320);
    assert_int_equal(ask(clips_make("wide.mkv", VIDEO("180x144", "25", "1") " -vf setsar=64/45")),
                     OK);
    assert_int_equal(info.width, 256);
    assert_int_equal(info.height, 144);
}

static void interlace_bit_depth_and_hdr_are_seen(void **state)
{
    (void)state;
    assert_int_equal(ask(clips_make("fields.ts",
                                    "-f lavfi -i testsrc=s=320x240:r=50:d=1 -vf "
                                    "interlace,setfield=tff -c:v mpeg2video -flags +ildct+ilme")),
                     OK);
    assert_true(info.is_interlaced);
    assert_int_equal(info.fps_num, 25);
    assert_int_equal(
        ask(clips_make("hdr.mkv", "-f lavfi -i testsrc=s=320x240:r=25:d=1 -c:v libx265 -preset "
                                  "ultrafast -pix_fmt yuv420p10le -x265-params "
                                  "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix="
                                  "bt2020nc")),
        OK);
    assert_true(info.is_hdr);
    assert_int_equal(info.bits, 10);
}

static void a_song_with_a_cover_has_no_video(void **state)
{
    (void)state;
    assert_int_equal(ask(clips_make("song.mp3",
                                    "-f lavfi -i sine=d=1 -f lavfi -i color=s=64x64:d=1 "
                                    "-map 0 -map 1 -frames:v 1 -c:v png "
                                    "-disposition:v attached_pic")),
                     OK);
    assert_false(info.has_video);
    assert_int_equal(info.audio_count, 1);
}

static void a_missing_duration_is_measured(void **state)
{
    (void)state;
    clips_make("live.mkv", VIDEO("64x64", "25", "2") " -f matroska -live 1");
    assert_int_equal(ask(clips_path("live.mkv")), OK);
    assert_in_range(info.duration_ms, 1900, 2100);
}

static void what_is_no_video_is_refused_with_its_reason(void **state)
{
    (void)state;
    clips_make("other.ts", VIDEO("64x64", "25", "1"));
    static const char m3u8[] = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nother.ts\n";
    assert_int_equal(ask(clips_write("list.mp4", m3u8, strlen(m3u8))), FAIL_UNSUPPORTED);
    assert_string_equal(why, "this is a playlist, not a video");
    static const char concat[] = "ffconcat version 1.0\nfile other.ts\n";
    assert_int_equal(ask(clips_write("concat.mp4", concat, strlen(concat))), FAIL_UNSUPPORTED);
    assert_string_equal(why, "this is a playlist, not a video");
    assert_int_equal(ask(clips_write("empty.mp4", "", 0)), FAIL_UNSUPPORTED);
    assert_string_equal(why, "the file is empty");
    assert_int_equal(ask(clips_write("text.mp4", "hello\n", 6)), FAIL_UNSUPPORTED);
    assert_string_equal(why, "this is text, not a video");
    assert_int_equal(ask("/tmp"), FAIL_UNSUPPORTED);
    assert_string_equal(why, "this is not a file");
    assert_int_equal(ask(clips_path("not-there.mp4")), FAIL_MISSING);
}

static void a_file_without_its_index_is_called_incomplete(void **state)
{
    (void)state;
    const char *path = clips_make("plain.mp4", VIDEO("320x240", "30", "1"));
    assert_int_equal(ask(clips_cut("cut.mp4", path, clips_size(path) / 2)), FAIL_SYNTAX);
    assert_non_null(strstr(why, "incomplete"));
    assert_null(strstr(why, "/tmp"));
}

static void a_giant_picture_in_a_small_file_is_refused(void **state)
{
    static const char *const names[] = { "giant.mov", "giant.mkv" };
    (void)state;

    clips_make("giant.mov",
               "-f lavfi -i color=s=16000x16000:r=1 -frames:v 1 -c:v png -pix_fmt gray");
    clips_make("giant.mkv", "-i giant.mov -c copy");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(clips_path(names[i])), FAIL_LIMIT);
        assert_non_null(strstr(why, "too many pixels"));
    }
}

static void too_long_is_refused(void **state)
{
    struct media_settings settings = clips_settings;
    (void)state;

    settings.duration_max_ms = 1000;
    const char *path = clips_make("two.mp4", VIDEO("64x64", "25", "2"));
    assert_int_equal(clips_probe(&settings, path, &info, why), FAIL_LIMIT);
    assert_string_equal(why, "it is 2 s long, at most 1 s are allowed");
}

static void a_program_that_is_not_there_is_an_error_not_the_files_fault(void **state)
{
    struct media_settings settings = clips_settings;
    (void)state;

    settings.ffprobe = "no-such-ffprobe";
    const char *path = clips_make("plain.mp4", VIDEO("320x240", "30", "1"));
    assert_int_equal(clips_probe(&settings, path, &info, why), FAIL_IO);
}

static void on_cancelled(void *context, int err, const char *text, const struct media_info *i)
{
    (void)text;
    (void)i;
    *(int *)context = err;
}

static void cancelling_ends_it_with_cancelled(void **state)
{
    struct media_task *task;
    uv_loop_t loop;
    int err = 1;
    (void)state;

    const char *path = clips_make("plain.mp4", VIDEO("320x240", "30", "1"));
    uv_loop_init(&loop);
    assert_int_equal(probe_start(&loop, &clips_settings, path, on_cancelled, &err, &task), OK);
    media_task_cancel(task);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(err, FAIL_CANCELLED);
}

static void the_info_survives_its_checkpoint(void **state)
{
    struct media_info again;
    struct buf b;
    (void)state;

    const char *path = clips_make("plain.mp4", VIDEO("320x240", "30", "1"));
    assert_int_equal(ask(path), OK);
    buf_init(&b, 4096);
    media_info_write(&info, &b);
    memset(&again, 0, sizeof(again));
    assert_int_equal(media_info_read(buf_str(&b), &again), OK);
    assert_memory_equal(&again, &info, sizeof(info));
    b.data[b.len - 1] = ' ';
    assert_int_equal(media_info_read(buf_str(&b), &again), FAIL_SYNTAX);
    assert_int_equal(media_info_read(STR("{\"demuxer\":\"a-name-that-is-too-long\"}"), &again),
                     FAIL_SYNTAX);
    buf_deinit(&b);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sandbox") == 0)
        return cmd_sandbox(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_rate_is_kept),
        cmocka_unit_test(a_high_rate_is_divided),
        cmocka_unit_test(a_variable_rate_becomes_the_next_standard_one),
        cmocka_unit_test(odd_descriptions_are_refused_not_believed),
        cmocka_unit_test(an_ordinary_video_is_described),
        cmocka_unit_test(the_name_of_a_file_says_nothing),
        cmocka_unit_test(rotation_and_pixel_aspect_give_the_size_people_see),
        cmocka_unit_test(interlace_bit_depth_and_hdr_are_seen),
        cmocka_unit_test(a_song_with_a_cover_has_no_video),
        cmocka_unit_test(a_missing_duration_is_measured),
        cmocka_unit_test(what_is_no_video_is_refused_with_its_reason),
        cmocka_unit_test(a_file_without_its_index_is_called_incomplete),
        cmocka_unit_test(a_giant_picture_in_a_small_file_is_refused),
        cmocka_unit_test(too_long_is_refused),
        cmocka_unit_test(a_program_that_is_not_there_is_an_error_not_the_files_fault),
        cmocka_unit_test(cancelling_ends_it_with_cancelled),
        cmocka_unit_test(the_info_survives_its_checkpoint),
    };
    return cmocka_run_group_tests(tests, clips_setup, clips_teardown);
}
