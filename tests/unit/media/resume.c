/* Conversions that are broken off and gone on with, with the real ffmpeg. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "clips.h"
#include "cmd/sandbox.h"
#include "media/resume.h"

#define PICTURE(size, rate, seconds) "-f lavfi -i testsrc2=s=" size ":r=" rate ":d=" seconds " "
#define SOUND(seconds)               "-f lavfi -i sine=r=48000:d=" seconds " "
#define X264                         "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "

static struct clips_converted c;

/* Slow enough that something can happen in between. */
static struct media_settings slow(void)
{
    struct media_settings settings = clips_settings;

    settings.preset = "slow";
    return settings;
}

static const char *usual_clip(void)
{
    return clips_make("usual.mp4", PICTURE("640x480", "5000/1001", "20.02") SOUND("20") X264);
}

static void convert(const char *input, const char *out, enum clips_act act)
{
    struct media_settings settings = slow();

    clips_convert(&settings, input, out, act, &c);
}

static void break_off(const char *input, const char *out, enum clips_act act)
{
    convert(input, out, act);
    if (c.err != (act == CLIPS_CANCEL_LATE ? FAIL_CANCELLED : FAIL_IO))
        fail_msg("it was too quick, or failed otherwise: %d %s", c.err, c.why);
}

/* Names, inodes and times of the rendition's first segments. */
static void list_first(const char *rendition, unsigned count, char *out, size_t size)
{
    snprintf(out, size, "%s",
             clips_ask("cd %s/%s && ls -i --full-time s*.m4s | head -n %u", c.out, rendition,
                       count));
}

static const char *frames_of(const char *rendition)
{
    return clips_ask("ffprobe -v error -select_streams v -count_frames -show_entries "
                     "stream=nb_read_frames -of csv=p=0 %s/%s/index.m3u8 | grep . | sort -u",
                     c.out, rendition);
}

/* How far one packet's time is from the one before, in the track's units:
 * one number if all follow each other evenly. */
static const char *steps_of(const char *rendition, const char *field)
{
    return clips_ask("ffprobe -v error -show_entries packet=%s -of csv=p=0 %s/%s/index.m3u8 |"
                     " tr -d ',' | grep . | sort -n | awk 'NR>1 {print $1-last} {last=$1}' |"
                     " sort -u | tr '\\n' ' '",
                     field, c.out, rendition);
}

static void assert_even(const char *rendition)
{
    char all[64];

    assert_string_equal(clips_ask("ffmpeg -v error -nostdin -i %s/%s/index.m3u8 -f null - 2>&1",
                                  c.out, rendition),
                        "");
    snprintf(all, sizeof(all), "%s", steps_of(rendition, "pts"));
    if (strchr(all, ' ') != all + strlen(all) - 1)
        fail_msg("%s: steps of %s", rendition, all);
    assert_string_equal(steps_of(rendition, "dts"), all);
}

/* Two renditions of the picture. */
static void assert_good(const char *frames)
{
    if (c.err != OK)
        fail_msg("%s", c.why);
    assert_string_equal(frames_of("480p"), frames);
    assert_string_equal(frames_of("360p"), frames);
    assert_even("480p");
    assert_even("360p");
    assert_string_equal(clips_ask("find %s -name 'init-*' -o -name '*.tmp'", c.out), "");
}

/* What is listed is there, and what is there is listed. */
static void assert_tidy(const char *rendition)
{
    char listed[2048];

    snprintf(listed, sizeof(listed), "%s",
             clips_ask("grep -v '^#' %s/%s/index.m3u8", c.out, rendition));
    assert_string_equal(clips_ask("cd %s/%s && ls s*.m4s", c.out, rendition), listed);
}

/* What was broken off: the segments of the first run are the same files. */
static void go_on(const char *input, const char *out, unsigned least)
{
    char before[2048], after[2048];

    list_first("480p", least, before, sizeof(before));
    convert(input, out, CLIPS_LET);
    list_first("480p", least, after, sizeof(after));
    assert_true(c.resumed >= least);
    assert_int_equal(c.repeated, 0);
    assert_string_equal(after, before);
    assert_true(c.first > 0.18); /* progress, too, goes on */
    assert_good("100");
    assert_tidy("480p");
    assert_tidy("360p");
}

static void what_a_stopped_run_made_is_kept(void **state)
{
    (void)state;
    break_off(usual_clip(), "stopped", CLIPS_CANCEL_LATE);
    go_on(usual_clip(), "stopped", 2);
    assert_even("a0");
}

static void what_a_killed_run_made_is_kept(void **state)
{
    (void)state;
    break_off(usual_clip(), "killed", CLIPS_KILL_LATE);
    go_on(usual_clip(), "killed", 2);
    assert_even("a0");
}

/* It is decoded from its beginning, and what was made already is not encoded. */
static void an_input_without_an_index_is_gone_on_with_too(void **state)
{
    const char *path =
        clips_make("stream.ts", PICTURE("640x480", "5", "20") SOUND("20") X264 "-g 100");
    (void)state;

    clips_convert(&clips_settings, path, "stream", CLIPS_LET, &c);
    clips_ask("cd %s && rm 480p/s00004.m4s 360p/s00003.m4s", c.out);
    clips_convert(&clips_settings, path, "stream", CLIPS_LET, &c);
    assert_int_equal(c.resumed, 2);
    assert_int_equal(c.repeated, 0);
    assert_good("100");
    assert_tidy("480p");
    assert_tidy("360p");
}

/* The looks below: at one whole conversion, damaged in one way or another. */

static struct recipe recipe;
static struct rung rungs[LADDER_MAX];
static struct media_settings settings;
static struct resume found;
static char source[256];

/* 20 s: five segments. */
static void prepare(void)
{
    snprintf(source, sizeof(source), "%s", usual_clip());
    settings = clips_settings;
    clips_convert(&settings, source, "whole", CLIPS_LET, &c);
    assert_int_equal(c.err, OK);
    recipe = (struct recipe){
        .settings = &settings, .info = &c.info, .rungs = rungs, .path = source, .out_dir = c.out
    };
    recipe.rung_count = ladder_build(&c.info, rungs);
    assert_int_equal(recipe.rung_count, 2);
}

/* Segments kept once `damage`, words for the shell, was done. */
static unsigned kept_behind(const char *damage)
{
    if (recipe.info == NULL)
        prepare();
    clips_ask("rm -rf %s.saved; cp -a %s %s.saved; cd %s && { %s; }", c.folder, c.folder, c.folder,
              c.out, damage);
    assert_int_equal(resume_look(c.folder, &recipe, &found), OK);
    const char *left = clips_ask("cat %s/480p/s*.m4s 2>/dev/null | wc -c", c.out);
    assert_int_equal(strtoul(left, NULL, 10) > 0, found.start.segments > 0);
    assert_int_equal(strtoul(clips_ask("ls %s/360p/s*.m4s 2>/dev/null | wc -l", c.out), NULL, 10),
                     found.start.segments);
    clips_ask("rm -rf %s; mv %s.saved %s", c.folder, c.folder, c.folder);
    return found.start.segments;
}

static void the_last_segment_is_never_trusted(void **state)
{
    (void)state;
    assert_int_equal(kept_behind("true"), 4);
    assert_int_equal(found.start.frames, 80);
    assert_true(found.has_sound);
    assert_int_equal(kept_behind("rm 360p/s00004.m4s"), 3);
    assert_int_equal(found.start.frames, 60);
}

static void what_a_power_cut_spoils_is_made_again(void **state)
{
    (void)state;
    assert_int_equal(kept_behind("truncate -s 0 480p/s00003.m4s"), 2);
    assert_int_equal(kept_behind("truncate -s -1 360p/s00003.m4s"), 2);
    assert_int_equal(kept_behind("truncate -s +9 360p/s00003.m4s"), 2);
    assert_int_equal(kept_behind("rm 480p/s00001.m4s"), 0);
    assert_int_equal(kept_behind("rm 480p/init_480p.mp4"), 0);
    assert_int_equal(kept_behind("truncate -s 100 360p/init_360p.mp4"), 0);
    assert_int_equal(kept_behind("rm -r 360p"), 0);
    assert_true(found.has_sound);
    assert_int_equal(kept_behind("mv 480p/s00001.m4s x; mv 480p/s00002.m4s 480p/s00001.m4s"), 0);
    assert_int_equal(kept_behind("rm 480p/s00003.m4s; mkfifo 480p/s00003.m4s"), 2);
    assert_int_equal(kept_behind("rm 480p/s00003.m4s; ln -s s00002.m4s 480p/s00003.m4s"), 2);
}

static void sound_is_kept_when_all_of_it_is_there(void **state)
{
    (void)state;
    assert_int_equal(kept_behind("rm ../sound"), 4);
    assert_false(found.has_sound);
    kept_behind("truncate -s -1 a0/s00002.m4s");
    assert_false(found.has_sound);
    kept_behind("rm a0/index.m3u8");
    assert_false(found.has_sound);
}

static void runs_whose_streams_differ_are_not_joined(void **state)
{
    (void)state;
    assert_int_equal(kept_behind("cp 480p/init_480p.mp4 480p/init-00002_480p.mp4"), 4);
    assert_int_equal(kept_behind("cp 360p/init_360p.mp4 480p/init-00002_480p.mp4"), 2);
    assert_int_equal(kept_behind(": > 480p/init-00003_480p.mp4"), 3);
}

static void another_recipe_or_input_begins_anew(void **state)
{
    (void)state;
    assert_int_equal(kept_behind("true"), 4);
    settings.crf++;
    assert_int_equal(kept_behind("true"), 0);
    assert_false(found.has_sound);
    settings.crf--;
    assert_int_equal(kept_behind("rm ../recipe"), 0);
    assert_int_equal(kept_behind("truncate -s -1 ../recipe"), 0);
    settings.ffmpeg = "true";
    assert_int_equal(kept_behind("true"), 0);
    settings.ffmpeg = "ffmpeg";
    clips_ask("touch %s", source);
    assert_int_equal(kept_behind("true"), 0);
}

static void describe(const char *path, const char *as, struct buf *out)
{
    recipe.path = path;
    recipe_describe(&recipe, as, out);
    recipe.path = source;
}

static void an_input_is_known_by_name_or_by_its_file(void **state)
{
    struct buf a, b, c_, d;
    char copy[256];
    (void)state;

    if (recipe.info == NULL)
        prepare();
    snprintf(copy, sizeof(copy), "%s", clips_path("copy.mp4"));
    clips_ask("cp %s %s", source, copy);
    describe(source, "a name", &a);
    describe(copy, "a name", &b);
    describe(source, NULL, &c_);
    describe(copy, NULL, &d);
    assert_string_equal(buf_text(&a), buf_text(&b));
    assert_string_not_equal(buf_text(&c_), buf_text(&d));
    buf_deinit(&a);
    buf_deinit(&b);
    buf_deinit(&c_);
    buf_deinit(&d);
}

/* Files that were made by the same recipe elsewhere. */
static void a_picture_from_elsewhere_is_looked_at_once_it_is_adopted(void **state)
{
    (void)state;
    if (recipe.info == NULL)
        prepare();
    assert_int_equal(resume_count(c.folder, &recipe), 5);
    settings.crf++;
    assert_int_equal(resume_count(c.folder, &recipe), 0);
    settings.crf--;
    clips_ask("rm -rf %s.saved; cp -a %s %s.saved", c.folder, c.folder, c.folder);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(resume_empty(c.folder, &recipe), OK);
        assert_string_equal(clips_ask("ls %s; ls %s", c.folder, c.out), "tree\n360p\n480p\na0");
        clips_ask("for i in 480p 360p; do cp %s.saved/tree/$i/init* %s.saved/tree/$i/s0000[0-3]* "
                  "%s/$i; done",
                  c.folder, c.folder, c.out);
        if (round == 0)
            assert_int_equal(resume_count(c.folder, &recipe), 0);
    }
    assert_int_equal(resume_adopt(c.folder, &recipe), OK);
    assert_int_equal(resume_count(c.folder, &recipe), 4);
    assert_int_equal(resume_look(c.folder, &recipe, &found), OK);
    assert_int_equal(found.start.segments, 3);
    assert_false(found.has_sound);
    clips_ask("cp -a %s.saved/tree/a0 %s", c.folder, c.out);
    assert_int_equal(resume_note_sound(c.folder), OK);
    assert_int_equal(resume_look(c.folder, &recipe, &found), OK);
    assert_true(found.has_sound);
    clips_ask("rm -rf %s; mv %s.saved %s", c.folder, c.folder, c.folder);
}

static void a_seam_that_does_not_hold_makes_it_begin_anew_once(void **state)
{
    (void)state;
    clips_convert(&clips_settings, usual_clip(), "seam", CLIPS_LET, &c);
    /* Another word in the first run's own description: still a whole one. */
    clips_ask("cd %s/480p && sed -i s/VideoHandler/VideoHandled/ init_480p.mp4", c.out);
    clips_convert(&clips_settings, usual_clip(), "seam", CLIPS_LET, &c);
    assert_int_equal(c.resumed, 4);
    assert_int_equal(c.repeated, 1);
    assert_string_equal(c.reason, "what several runs made of its picture does not fit together");
    assert_good("100");
}

static void what_was_complete_is_soon_complete_again(void **state)
{
    (void)state;
    clips_convert(&clips_settings, usual_clip(), "again", CLIPS_LET, &c);
    clips_convert(&clips_settings, usual_clip(), "again", CLIPS_LET, &c);
    assert_int_equal(c.resumed, 4);
    assert_good("100");
}

static void clips_without_sound_or_picture_convert_twice(void **state)
{
    const char *silent = clips_make("silent.mp4", PICTURE("640x480", "10", "9") X264);
    const char *song = clips_make("song.mp3", SOUND("9") "-c:a libmp3lame");
    const char *brief = clips_make("brief.mp4", PICTURE("640x480", "25", "2") SOUND("2") X264);
    const char *blink = clips_make("blink.mp4", PICTURE("640x480", "25", "0.2") SOUND("0.2") X264);
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        clips_convert(&clips_settings, silent, "silent", CLIPS_LET, &c);
        assert_int_equal(c.resumed, i ? 2 : 0);
        assert_good("90");
        clips_convert(&clips_settings, song, "song", CLIPS_LET, &c);
        assert_int_equal(c.err, OK);
        assert_even("a0");
        clips_convert(&clips_settings, brief, "brief", CLIPS_LET, &c);
        assert_int_equal(c.resumed, 0);
        assert_good("50");
        clips_convert(&clips_settings, blink, "blink", CLIPS_LET, &c);
        assert_int_equal(c.err, OK);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sandbox") == 0)
        return cmd_sandbox(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_stopped_run_made_is_kept),
        cmocka_unit_test(what_a_killed_run_made_is_kept),
        cmocka_unit_test(an_input_without_an_index_is_gone_on_with_too),
        cmocka_unit_test(a_seam_that_does_not_hold_makes_it_begin_anew_once),
        cmocka_unit_test(what_was_complete_is_soon_complete_again),
        cmocka_unit_test(clips_without_sound_or_picture_convert_twice),
        cmocka_unit_test(the_last_segment_is_never_trusted),
        cmocka_unit_test(what_a_power_cut_spoils_is_made_again),
        cmocka_unit_test(sound_is_kept_when_all_of_it_is_there),
        cmocka_unit_test(runs_whose_streams_differ_are_not_joined),
        cmocka_unit_test(an_input_is_known_by_name_or_by_its_file),
        cmocka_unit_test(a_picture_from_elsewhere_is_looked_at_once_it_is_adopted),
        cmocka_unit_test(another_recipe_or_input_begins_anew),
    };
    return cmocka_run_group_tests(tests, clips_setup, clips_teardown);
}
