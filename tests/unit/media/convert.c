#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "clips.h"
#include "cmd/sandbox.h"
#include "media/package.h"

#define PICTURE(size, rate, seconds) "-f lavfi -i testsrc2=s=" size ":r=" rate ":d=" seconds " "
#define SOUND(seconds)               "-f lavfi -i sine=r=48000:d=" seconds " "
#define X264                         "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "

static struct clips_converted c;

static void convert(const char *input, const char *out)
{
    clips_convert(&clips_settings, input, out, CLIPS_LET, &c);
    if (c.err != OK)
        fail_msg("%s: %s", input, c.why);
    assert_false(c.was_out_of_range);
    assert_string_equal(c.why, "");
}

static bool exists(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", c.out, name);
    return access(path, F_OK) == 0;
}

static const char *line_of(const char *file, const char *word)
{
    return clips_ask("grep -F '%s' %s/%s", word, c.out, file);
}

/* Decodes all of it without a complaint, and measures what came out. */
static void assert_plays(const char *rendition, const char *codec, double seconds, double tolerance)
{
    assert_string_equal(clips_ask("ffmpeg -v error -nostdin -i %s/%s/index.m3u8 -f null - 2>&1",
                                  c.out, rendition),
                        "");
    assert_string_equal(clips_ask("ffprobe -v error -show_entries stream=codec_name -of "
                                  "default=nk=1:nw=1 %s/%s/index.m3u8 | grep . | sort -u",
                                  c.out, rendition),
                        codec);
    double have = strtod(clips_ask("grep EXTINF %s/%s/index.m3u8 | tr -c '0-9.\\n' ' ' |"
                                   " awk '{s+=$1} END {print s}'",
                                   c.out, rendition),
                         NULL);
    if (fabs(have - seconds) > tolerance)
        fail_msg("%s: %f s instead of %f", rendition, have, seconds);
}

static void assert_size(const char *rendition, const char *size)
{
    assert_string_equal(
        clips_ask("ffprobe -v error -select_streams v -show_entries "
                  "stream=width,height -of csv=p=0:s=x %s/%s/index.m3u8 | grep . | sort -u",
                  c.out, rendition),
        size);
}

static void a_video_with_sound_becomes_a_ladder_with_one_sound_group(void **state)
{
    (void)state;
    convert(clips_make("ladder.mp4", PICTURE("1280x720", "25", "5") SOUND("5") X264), "ladder");
    assert_plays("720p", "h264", 5, 0.1);
    assert_plays("480p", "h264", 5, 0.1);
    assert_plays("360p", "h264", 5, 0.1);
    assert_plays("a0", "aac", 5, 0.1);
    assert_size("480p", "854x480");
    assert_false(exists("1080p"));
    assert_non_null(strstr(line_of("master.m3u8", "1280x720"), "FRAME-RATE=25.000,AUDIO=\"aud\""));
    assert_non_null(strstr(line_of("master.m3u8", "1280x720"), "CODECS=\"avc1.42c01f,mp4a.40.2\""));
    assert_non_null(strstr(line_of("master.m3u8", "TYPE=AUDIO"), "URI=\"a0/index.m3u8\""));
    assert_string_equal(line_of("720p/index.m3u8", "PLAYLIST-TYPE"), "#EXT-X-PLAYLIST-TYPE:VOD");
    assert_true(c.steps > 0);
}

static void the_rates_in_the_master_are_those_of_the_files(void **state)
{
    (void)state;
    convert(clips_make("rates.mp4", PICTURE("320x240", "25", "3") X264), "rates");
    unsigned long bytes = strtoul(clips_ask("cat %s/240p/*.m4s | wc -c", c.out), NULL, 10);
    char expected[96];
    snprintf(expected, sizeof(expected), "BANDWIDTH=%lu,AVERAGE-BANDWIDTH=%lu,",
             (bytes * 8 + 2) / 3, (bytes * 8 + 2) / 3);
    assert_non_null(strstr(line_of("master.m3u8", "STREAM-INF"), expected));
}

static void a_silent_video_has_one_plain_init_and_no_group(void **state)
{
    (void)state;
    convert(clips_make("silent.mp4", PICTURE("320x240", "25", "2") X264), "silent");
    assert_plays("240p", "h264", 2, 0.1);
    assert_true(exists("240p/init.mp4"));
    assert_string_equal(line_of("master.m3u8", "AUDIO="), "");
}

static void sound_alone_becomes_one_variant(void **state)
{
    (void)state;
    convert(clips_make("song.mp3", SOUND("3") "-c:a libmp3lame"), "song");
    assert_plays("a0", "aac", 3, 0.1);
    assert_non_null(strstr(line_of("master.m3u8", "STREAM-INF"), "CODECS=\"mp4a.40.2\""));
}

static void several_tracks_are_carried_over_with_their_language(void **state)
{
    (void)state;
    convert(clips_make("tracks.mkv",
                       PICTURE("320x240", "25", "2") SOUND("2")
                           SOUND("2") "-map 0 -map 1 -map 2 " X264 "-metadata:s:a:0 language=eng "
                                      "-metadata:s:a:1 language=deu"),
            "tracks");
    assert_plays("a0", "aac", 2, 0.1);
    assert_plays("a1", "aac", 2, 0.1);
    assert_non_null(strstr(line_of("master.m3u8", "LANGUAGE=\"eng\""), "DEFAULT=YES"));
    assert_non_null(strstr(line_of("master.m3u8", "LANGUAGE=\"deu\""), "DEFAULT=NO"));
}

static void a_turned_portrait_video_stands_upright(void **state)
{
    (void)state;
    clips_make("lying.mp4", PICTURE("640x360", "25", "1") X264);
    convert(clips_make("upright.mp4", "-i lying.mp4 -c copy -metadata:s:v rotate=90"), "upright");
    assert_size("360p", "360x640");
    assert_plays("360p", "h264", 1, 0.1);
}

static void odd_sizes_and_odd_pixels_become_even_and_square(void **state)
{
    (void)state;
    convert(clips_make("odd.mkv", PICTURE("321x241", "25", "1") "-c:v ffv1 -pix_fmt yuv444p"),
            "odd");
    assert_plays("240p", "h264", 1, 0.1);
    convert(clips_make("wide.mp4", PICTURE("180x144", "25", "1") "-vf setsar=64/45 " X264), "wide");
    assert_size("144p", "256x144");
}

static void a_variable_rate_becomes_constant(void **state)
{
    (void)state;
    convert(clips_make("vfr.mkv",
                       PICTURE("320x240", "30",
                               "4") "-vf select='not(mod(n\\,3))+gt(n\\,60)' -vsync vfr " X264),
            "vfr");
    assert_plays("240p", "h264", 4, 0.15);
    assert_string_equal(
        clips_ask("ffprobe -v error -select_streams v -show_entries "
                  "packet=duration_time -of csv=p=0 %s/240p/index.m3u8 | grep . | sort -u |"
                  " wc -l",
                  c.out),
        "1");
}

static void hdr_comes_out_in_the_colours_of_ordinary_screens(void **state)
{
    (void)state;
    convert(
        clips_make("hdr.mkv",
                   PICTURE("320x240", "25",
                           "1") "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params "
                                "log-level=none:transfer=smpte2084"),
        "hdr");
    assert_plays("240p", "h264", 1, 0.1);
    assert_string_equal(clips_ask("ffprobe -v error -select_streams v -show_entries "
                                  "stream=pix_fmt,color_transfer -of csv=p=0 %s/240p/index.m3u8 |"
                                  " grep . | sort -u",
                                  c.out),
                        "yuv420p,bt709");
}

static void the_shortest_clips_convert(void **state)
{
    (void)state;
    convert(clips_make("frame.mp4", PICTURE("320x240", "25", "1") "-frames:v 1 " X264), "frame");
    assert_plays("240p", "h264", 0.04, 0.01);
    convert(clips_make("tenth.mp4", PICTURE("320x240", "30", "0.1") SOUND("0.1") X264), "tenth");
    assert_plays("240p", "aac\nh264", 0.1, 0.05);
    assert_false(exists("a0"));
    assert_non_null(strstr(line_of("master.m3u8", "STREAM-INF"), ",mp4a.40.2\""));
    assert_string_equal(line_of("master.m3u8", "AUDIO="), "");
    convert(clips_make("tall.mp4", PICTURE("1280x720", "30", "0.1") SOUND("0.1") X264), "tall");
    assert_plays("720p", "aac\nh264", 0.1, 0.05);
    assert_plays("360p", "aac\nh264", 0.1, 0.05);
}

static void a_track_of_a_few_frames_is_made_to_last_a_second(void **state)
{
    (void)state;
    convert(clips_make("click.mp4", PICTURE("320x240", "25", "3") SOUND("0.1") X264), "click");
    assert_plays("240p", "h264", 3, 0.1);
    assert_plays("a0", "aac", 1, 0.1);
    convert(clips_make("flash.mp4", PICTURE("320x240", "25", "0.08") SOUND("3") X264), "flash");
    assert_plays("240p", "h264", 1, 0.1);
    assert_plays("a0", "aac", 3, 0.1);
}

static void a_tail_of_one_frame_of_sound_is_dropped(void **state)
{
    (void)state;
    convert(clips_make("tail.mkv", PICTURE("320x240", "25", "4") SOUND(
                                       "4") "-c:a pcm_s16le "
                                            "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"),
            "tail");
    assert_string_equal(clips_ask("ls %s/a0 | grep -c m4s", c.out), "1");
    assert_plays("a0", "aac", 4, 0.05);
}

static void a_change_of_size_in_mid_stream_is_survived(void **state)
{
    (void)state;
    const char *a = clips_make("small.ts", PICTURE("320x240", "25", "1") X264);
    const char *b = clips_make("large.ts", PICTURE("640x360", "25", "1") X264);
    clips_ask("cat %s %s > %s", a, b, clips_path("change.ts"));
    convert(clips_path("change.ts"), "change");
    assert_plays("240p", "h264", 2, 0.1);
}

static void an_input_that_breaks_off_is_not_a_success(void **state)
{
    (void)state;
    const char *whole = clips_make("whole.mp4", PICTURE("320x240", "25", "12") SOUND("12") X264
                                   "-movflags +faststart");
    const char *cut = clips_cut("cut.mp4", whole, clips_size(whole) / 2);
    clips_convert(&clips_settings, cut, "cut", CLIPS_LET, &c);
    assert_int_equal(c.err, FAIL_SYNTAX);
    assert_non_null(strstr(c.why, "the video breaks off after "));
    assert_non_null(strstr(c.why, " of 12.0 s"));
    assert_false(exists("master.m3u8"));
}

/* Which a full disk does, of which ffmpeg says nothing. */
static void a_segment_that_was_cut_off_is_noticed(void **state)
{
    struct rung rungs[LADDER_MAX];
    struct buf why;
    char path[512];
    (void)state;

    convert(clips_make("full.mp4", PICTURE("320x240", "25", "2") SOUND("2") X264), "full");
    struct recipe recipe = { .info = &c.info, .rungs = rungs, .out_dir = c.out };
    recipe.rung_count = ladder_build(&c.info, rungs);
    buf_init(&why, 256);
    assert_int_equal(package_finish(&recipe, &why), OK);
    snprintf(path, sizeof(path), "%s/a0/s00000.m4s", c.out);
    assert_int_equal(truncate(path, (off_t)clips_size(path) - 1), 0);
    assert_int_equal(package_finish(&recipe, &why), FAIL_IO);
    assert_string_equal(buf_text(&why), "what was made of its sound is not whole");
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(package_finish(&recipe, &why), FAIL_IO);
    buf_deinit(&why);
}

static void cancelling_leaves_no_master(void **state)
{
    struct media_settings settings = clips_settings;
    (void)state;

    settings.preset = "veryslow";
    const char *path = clips_make("ladder.mp4", PICTURE("1280x720", "25", "5") SOUND("5") X264);
    clips_convert(&settings, path, "cancelled", CLIPS_CANCEL, &c);
    assert_int_equal(c.err, FAIL_CANCELLED);
    assert_int_equal(c.steps, 1);
    assert_false(exists("master.m3u8"));
}

/* A stand-in for ffmpeg, in the place of the real one. */
static const char *stand_in(const char *name, const char *script)
{
    const char *path = clips_write(name, script, strlen(script));

    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static void no_progress_for_too_long_is_a_timeout(void **state)
{
    struct media_settings settings = clips_settings;
    (void)state;

    settings.preset = "veryslow";
    settings.stall_ms = 1000;
    const char *path = clips_make("ladder.mp4", PICTURE("1280x720", "25", "5") SOUND("5") X264);
    clips_convert(&settings, path, "stalled", CLIPS_FREEZE, &c);
    assert_int_equal(c.err, FAIL_TIMEOUT);
    assert_string_equal(c.why, "ffmpeg made no progress for 1 s");
    assert_false(exists("master.m3u8"));
}

static void a_converter_that_cannot_be_started_is_not_the_files_fault(void **state)
{
    struct media_settings settings = clips_settings;
    (void)state;

    settings.ffmpeg = "no-such-ffmpeg";
    clips_convert(&settings, clips_make("silent.mp4", PICTURE("320x240", "25", "2") X264), "none",
                  CLIPS_LET, &c);
    assert_int_equal(c.err, FAIL_IO);
    settings.ffmpeg = stand_in("ffmpeg-stub", "#!/bin/sh\nexit 0\n");
    clips_convert(&settings, clips_path("silent.mp4"), "stub", CLIPS_LET, &c);
    assert_int_equal(c.err, FAIL_IO);
}

static void exit_0_without_its_word_is_not_believed(void **state)
{
    struct media_settings settings = clips_settings;
    (void)state;

    settings.ffmpeg = "true";
    clips_convert(&settings, clips_make("silent.mp4", PICTURE("320x240", "25", "2") X264), "true",
                  CLIPS_LET, &c);
    assert_int_equal(c.err, FAIL_IO);
    assert_string_equal(c.why, "the converter ended before its work did");
}

static void too_little_memory_is_said_so(void **state)
{
    struct media_settings settings = clips_settings;
    (void)state;

    settings.memory_max = 700u << 20;
    const char *path = clips_make("ladder.mp4", PICTURE("1280x720", "25", "5") SOUND("5") X264);
    clips_convert(&settings, path, "memory", CLIPS_LET, &c);
    assert_int_not_equal(c.err, OK);
    assert_null(strchr(c.why, '/'));
    assert_false(exists("master.m3u8"));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sandbox") == 0)
        return cmd_sandbox(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_video_with_sound_becomes_a_ladder_with_one_sound_group),
        cmocka_unit_test(the_rates_in_the_master_are_those_of_the_files),
        cmocka_unit_test(a_silent_video_has_one_plain_init_and_no_group),
        cmocka_unit_test(sound_alone_becomes_one_variant),
        cmocka_unit_test(several_tracks_are_carried_over_with_their_language),
        cmocka_unit_test(a_turned_portrait_video_stands_upright),
        cmocka_unit_test(odd_sizes_and_odd_pixels_become_even_and_square),
        cmocka_unit_test(a_variable_rate_becomes_constant),
        cmocka_unit_test(hdr_comes_out_in_the_colours_of_ordinary_screens),
        cmocka_unit_test(the_shortest_clips_convert),
        cmocka_unit_test(a_track_of_a_few_frames_is_made_to_last_a_second),
        cmocka_unit_test(a_tail_of_one_frame_of_sound_is_dropped),
        cmocka_unit_test(a_change_of_size_in_mid_stream_is_survived),
        cmocka_unit_test(an_input_that_breaks_off_is_not_a_success),
        cmocka_unit_test(a_segment_that_was_cut_off_is_noticed),
        cmocka_unit_test(cancelling_leaves_no_master),
        cmocka_unit_test(no_progress_for_too_long_is_a_timeout),
        cmocka_unit_test(a_converter_that_cannot_be_started_is_not_the_files_fault),
        cmocka_unit_test(exit_0_without_its_word_is_not_believed),
        cmocka_unit_test(too_little_memory_is_said_so),
    };
    return cmocka_run_group_tests(tests, clips_setup, clips_teardown);
}
