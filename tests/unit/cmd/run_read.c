#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "cmd/run_read.h"

/* What a program printed, and what is to be made of it in the end. */
struct sample {
    const char *name;
    enum run_parse parse;
    enum run_stream stream;
    const char *text;
    double fraction;
    const char *message;
    int64_t eta_s;
    double speed;
    const char *last_words;
};

#define FFMPEG_INPUT                                                                               \
    "Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'a.mp4':\n  Metadata:\n    major_brand     : isom\n"  \
    "  Duration: 00:01:00.00, start: 0.000000, bitrate: 40 kb/s\n"
#define CURL_HEAD                                                                                  \
    "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n"            \
    "                                 Dload  Upload   Total   Spent    Left  Speed\n"
#define MIB 1048576.0

static const struct sample samples[] = {
    { "ffmpeg, picture", RUN_PARSE_AUTO, RUN_ERRORS,
      FFMPEG_INPUT "frame=    1 fps=0.0 q=0.0 size=       0kB time=00:00:00.00 bitrate=N/A "
                   "speed=   0x    \r"
                   "frame=  250 fps= 37 q=-1.0 size=      19kB time=00:00:10.00 bitrate=  "
                   "41.0kbits/s speed=1.5x    \r",
      10 / 60.0, "ffmpeg: 00:00:10 of 00:01:00, 1.5x", 34, 1.5, "major_brand     : isom" },
    { "ffmpeg, the last line", RUN_PARSE_AUTO, RUN_ERRORS,
      FFMPEG_INPUT "frame=  100 fps=0.0 q=-1.0 Lsize=      19kB time=00:01:00.02 bitrate=  "
                   "41.0kbits/s speed=4.73x    \nConversion failed!\n",
      1, "ffmpeg: 00:01:00 of 00:01:00, 4.73x", 0, 4.73, "Conversion failed!" },
    { "ffmpeg 7, with elapsed=", RUN_PARSE_FFMPEG, RUN_ERRORS,
      FFMPEG_INPUT "frame=   25 fps=0.0 q=-1.0 size=      19KiB time=00:00:30.00 bitrate=  "
                   "41.0kbits/s speed=2x elapsed=0:00:15.00    \r",
      0.5, "ffmpeg: 00:00:30 of 00:01:00, 2x", 15, 2, NULL },
    { "ffmpeg, sound alone", RUN_PARSE_AUTO, RUN_ERRORS,
      FFMPEG_INPUT "size=     256kB time=00:00:15.00 bitrate= 209.7kbits/s speed=19.9x    \r", 0.25,
      "ffmpeg: 00:00:15 of 00:01:00, 19.9x", 3, 19.9, NULL },
    { "ffmpeg, nobody knows how long", RUN_PARSE_AUTO, RUN_ERRORS,
      "  Duration: N/A, start: 0.000000, bitrate: N/A\n"
      "frame=   11 fps=0.0 q=-0.0 size=N/A time=00:00:00.44 bitrate=N/A speed=0.875x    \r",
      -1, "ffmpeg: 00:00:00, 0.875x", -1, 0.875, NULL },
    { "ffmpeg, the longer of two inputs", RUN_PARSE_AUTO, RUN_ERRORS,
      FFMPEG_INPUT "Input #1, wav, from 'b.wav':\n  Duration: 00:00:10.00, bitrate: 1411 kb/s\n"
                   "frame=   11 fps=0.0 q=-0.0 size=N/A time=00:00:30.00 bitrate=N/A speed=N/A\r",
      0.5, "ffmpeg: 00:00:30 of 00:01:00", -1, -1, NULL },
    { "ffmpeg, before the first packet", RUN_PARSE_AUTO, RUN_ERRORS,
      FFMPEG_INPUT "frame=    0 fps=0.0 q=0.0 size=       0kB time=-577014:32:22.77 bitrate="
                   "-0.0kbits/s speed=N/A    \r"
                   "frame=    0 fps=0.0 q=0.0 size=       0kB time=N/A bitrate=N/A speed=N/A    \r",
      -1, "", -1, -1, NULL },
    { "ffmpeg -progress", RUN_PARSE_AUTO, RUN_OUTPUT,
      "frame=1\nfps=0.00\nstream_0_0_q=-0.0\nbitrate=N/A\ntotal_size=N/A\nout_time_us=40000\n"
      "out_time_ms=40000\nout_time=00:00:00.040000\ndup_frames=0\ndrop_frames=0\nspeed=50.6x\n"
      "progress=continue\nframe=100\nfps=0.00\nout_time_us=4000000\nspeed= 475x\nprogress=end\n",
      -1, "ffmpeg: 00:00:04, 475x", -1, 475, NULL },
    { "yt-dlp", RUN_PARSE_AUTO, RUN_OUTPUT,
      "[youtube] BaW_jenozKc: Downloading webpage\n[download] Destination: video.mp4\n"
      "\r[download]   0.0% of   10.00MiB at  Unknown B/s ETA Unknown"
      "\r[download]  42.0% of   10.00MiB at    1.00MiB/s ETA 00:06\r",
      0.42, "yt-dlp: 42.0% of 10.0 MiB, 1.0 MiB/s", 6, MIB, NULL },
    { "yt-dlp, an estimated size", RUN_PARSE_AUTO, RUN_OUTPUT,
      "[download]  15.0% of ~  20.00MiB at    2.00MiB/s ETA 01:02:03 (frag 3/20)\n", 0.15,
      "yt-dlp: 15.0% of 20.0 MiB, 2.0 MiB/s", 3723, 2 * MIB, NULL },
    { "yt-dlp, an estimated size, older", RUN_PARSE_YT_DLP, RUN_OUTPUT,
      "[download]  15.0% of ~20.00MiB at  2.00MiB/s ETA --:--\n", 0.15,
      "yt-dlp: 15.0% of 20.0 MiB, 2.0 MiB/s", -1, 2 * MIB, NULL },
    { "yt-dlp, done", RUN_PARSE_AUTO, RUN_OUTPUT,
      "[download] 100% of   10.00MiB in 00:00:08 at 1.25MiB/s\n", 1,
      "yt-dlp: 100.0% of 10.0 MiB, 1.2 MiB/s", -1, 1.25 * MIB, NULL },
    { "yt-dlp, picture and sound", RUN_PARSE_AUTO, RUN_OUTPUT,
      "[info] BaW_jenozKc: Downloading 1 format(s): 137+140\n"
      "[download] Destination: video.f137.mp4\n[download] 100% of 10.00MiB in 00:00:08\n"
      "[download] Destination: video.f140.m4a\n[download]  50.0% of 1.00MiB at 1.00MiB/s ETA "
      "00:01\n",
      0.75, "yt-dlp: 50.0% of 1.0 MiB (file 2 of 2), 1.0 MiB/s", 1, MIB, NULL },
    { "yt-dlp, a playlist", RUN_PARSE_AUTO, RUN_OUTPUT,
      "[download] Downloading item 3 of 4\n[download] Destination: three.mp4\n"
      "[download]  50.0% of 1.00MiB at 1.00MiB/s ETA 00:01\n",
      0.625, "yt-dlp: 50.0% of 1.0 MiB, 1.0 MiB/s", 1, MIB, NULL },
    { "yt-dlp, no size", RUN_PARSE_AUTO, RUN_OUTPUT,
      "[download]    1.00MiB at  512.00KiB/s (00:00:02)\n", -1, "yt-dlp: 1.0 MiB, 512.0 KiB/s", -1,
      MIB / 2, NULL },
    { "curl", RUN_PARSE_AUTO, RUN_ERRORS,
      CURL_HEAD
      "\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0"
      "\r 51 28.6M   51 14.7M    0     0   9.9M      0  0:00:02  0:00:01  0:00:01  9.5M\n",
      0.51, "curl: 14.7 MiB of 28.6 MiB, 9.5 MiB/s", 1, 9.5 * MIB, NULL },
    { "curl, an upload", RUN_PARSE_CURL, RUN_ERRORS,
      CURL_HEAD " 25 28.6M    0     0   25 7.1M      0   160k  0:00:02 --:--:--  0:00:30   160k\n",
      0.25, "curl: 7.1 MiB of 28.6 MiB, 160.0 KiB/s", 30, 160 * 1024, NULL },
    { "curl, takes days", RUN_PARSE_AUTO, RUN_ERRORS,
      CURL_HEAD "  1 28.6G    1  290M    0     0   9000      0  12d 03h  1d 02h  11d 01h  9000\n",
      0.01, "curl: 290.0 MiB of 28.6 GiB, 8.8 KiB/s", -1, 9000, NULL },
    { "curl, no size", RUN_PARSE_AUTO, RUN_ERRORS,
      CURL_HEAD "  0     0    0 14.7M    0     0   9.9M      0 --:--:--  0:00:01 --:--:--  9.5M\n",
      -1, "curl: 14.7 MiB, 9.5 MiB/s", -1, 9.5 * MIB, NULL },
    { "curl --parallel", RUN_PARSE_AUTO, RUN_ERRORS,
      "DL% UL%  Dled  Uled  Xfers  Live Total     Current  Left    Speed\n"
      "\r--  --      0     0     2     2  --:--:-- --:--:-- --:--:--     0      "
      "\r50  --  57.2M     0     2     0   0:00:02  0:00:01  0:00:01  512k     \n",
      0.5, "curl: 57.2 MiB, 512.0 KiB/s", 1, 512 * 1024, NULL },
    { "curl's bar", RUN_PARSE_AUTO, RUN_ERRORS,
      "\r                           9.6%\r################                                         "
      "                 22.9%\n",
      0.229, "curl: 22.9%", -1, -1, NULL },
    { "curl fails", RUN_PARSE_AUTO, RUN_ERRORS,
      CURL_HEAD "\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0\n"
                "curl: (22) The requested URL returned error: 404\n",
      -1, "curl: 0 B", -1, 0, "curl: (22) The requested URL returned error: 404" },
    { "pv -n", RUN_PARSE_AUTO, RUN_ERRORS, "10\n20\n31\n", 0.31, "pv: 31%", -1, -1, NULL },
    { "pv -n, named", RUN_PARSE_PV, RUN_ERRORS, "10\n", 0.1, "pv: 10%", -1, -1, NULL },
    { "one number is not pv", RUN_PARSE_AUTO, RUN_ERRORS, "10\n", -1, "", -1, -1, "10" },
    { "numbers that fall are not pv", RUN_PARSE_AUTO, RUN_ERRORS, "90\n10\n", -1, "", -1, -1,
      "10" },
    { "numbers on standard output are not pv", RUN_PARSE_AUTO, RUN_OUTPUT, "10\n20\n", -1, "", -1,
      -1, NULL },
    { "a line for us", RUN_PARSE_AUTO, RUN_OUTPUT, "PROGRESS 0.42 Frame 840 of 2000\n", 0.42,
      "Frame 840 of 2000", -1, -1, NULL },
    { "a line in per cent, with CR LF", RUN_PARSE_LINES, RUN_ERRORS, "PROGRESS 42%\r\n", 0.42, "",
      -1, -1, NULL },
    { "a line without its end", RUN_PARSE_AUTO, RUN_ERRORS, "PROGRESS 0.5 half", 0.5, "half", -1,
      -1, NULL },
    { "too much is all", RUN_PARSE_AUTO, RUN_OUTPUT, "PROGRESS 7\n", 1, "", -1, -1, NULL },
    { "too little is nothing", RUN_PARSE_AUTO, RUN_OUTPUT, "PROGRESS -1\n", 0, "", -1, -1, NULL },
    { "what is no number is no progress", RUN_PARSE_AUTO, RUN_ERRORS,
      "PROGRESS nan\nPROGRESS inf x\nPROGRESS\nPROGRESS: 0.5\n", -1, "", -1, -1, "PROGRESS: 0.5" },
    { "a text keeps until the next", RUN_PARSE_AUTO, RUN_OUTPUT,
      "PROGRESS 0.1 begin\nPROGRESS 0.2\n", 0.2, "begin", -1, -1, NULL },
    { "it never falls", RUN_PARSE_AUTO, RUN_OUTPUT, "PROGRESS 0.7 a\nPROGRESS 0.2 b\n", 0.7, "b",
      -1, -1, NULL },
    { "lines for us count more", RUN_PARSE_AUTO, RUN_ERRORS,
      "PROGRESS 0.3 mine\n[download]  42.0% of 10.00MiB at 1.00MiB/s ETA 00:06\n90\n91\n", 0.3,
      "mine", -1, -1, NULL },
    { "who was named is heard alone", RUN_PARSE_FFMPEG, RUN_ERRORS, "PROGRESS 0.3 mine\n10\n20\n",
      -1, "", -1, -1, "20" },
    { "texts are made fit for people", RUN_PARSE_AUTO, RUN_ERRORS,
      "PROGRESS 0.5 \x1b[1;31mred\x1b[0m\at\xc3\xa4g \xff\n\x1b[31mERROR:\x1b[0m it broke\n", 0.5,
      "red t\xc3\xa4g \xef\xbf\xbd", -1, -1, "ERROR: it broke" },
    { "ordinary output says nothing", RUN_PARSE_AUTO, RUN_ERRORS,
      "progress=continue\nspeed=12\n50%\n#### 50%\ntime=00:00:01\n\n  \n", -1, "", -1, -1,
      "time=00:00:01" },
};

enum { SAMPLES = sizeof(samples) / sizeof(*samples) };

static void check(const struct sample *s, const struct run_read *r)
{
    const struct run_news *n = run_read_news(r);

    print_message("%s\n", s->name);
    assert_true(n->fraction > s->fraction - 1e-9 && n->fraction < s->fraction + 1e-9);
    assert_string_equal(n->message, s->message);
    assert_int_equal(n->eta_s, s->eta_s);
    assert_true(n->speed > s->speed - 1e-6 && n->speed < s->speed + 1e-6);
    assert_int_equal(n->speed_unit != NULL, n->speed >= 0);
    if (s->last_words != NULL)
        assert_string_equal(run_read_last_words(r), s->last_words);
}

static void what_the_programs_print_is_understood_however_it_is_cut(void **state)
{
    static const size_t pieces[] = { 1, 2, 3, 7, 64, 4096 };

    (void)state;
    for (size_t i = 0; i < SAMPLES * 6; i++) {
        const struct sample *s = &samples[i / 6];
        struct run_read *r = run_read_new(s->parse, 0);
        size_t len = strlen(s->text), piece = pieces[i % 6];
        for (size_t at = 0; at < len; at += piece)
            run_read_feed(r, s->stream, s->text + at, len - at < piece ? len - at : piece, 1);
        run_read_end(r, s->stream, 1);
        check(s, r);
        run_read_free(r);
    }
}

static void feed(struct run_read *r, enum run_stream stream, const char *text, uint64_t now_ms)
{
    run_read_feed(r, stream, text, strlen(text), now_ms);
}

static void ffmpegs_duration_counts_for_progress_on_the_other_stream(void **state)
{
    struct run_read *r = run_read_new(RUN_PARSE_AUTO, 0);

    (void)state;
    feed(r, RUN_ERRORS, FFMPEG_INPUT, 1);
    feed(r, RUN_OUTPUT, "out_time_us=30000000\nspeed=1x\nprogress=continue\n", 2);
    assert_true(run_read_news(r)->fraction == 0.5);
    run_read_free(r);
}

static void a_given_duration_counts_more_than_ffmpegs_own(void **state)
{
    struct run_read *r = run_read_new(RUN_PARSE_AUTO, 20 * 1000);

    (void)state;
    feed(r, RUN_ERRORS, FFMPEG_INPUT, 1);
    feed(r, RUN_OUTPUT, "out_time_us=10000000\nspeed=1x\nprogress=continue\n", 2);
    assert_true(run_read_news(r)->fraction == 0.5);
    assert_string_equal(run_read_news(r)->message, "ffmpeg: 00:00:10 of 00:00:20, 1x");
    run_read_free(r);
}

static void who_names_no_time_left_gets_an_estimate(void **state)
{
    struct run_read *r = run_read_new(RUN_PARSE_AUTO, 0);

    (void)state;
    feed(r, RUN_OUTPUT, "PROGRESS 0.1\n", 1000);
    assert_int_equal(run_read_news(r)->eta_s, -1);
    feed(r, RUN_OUTPUT, "PROGRESS 0.2\n", 3000);
    feed(r, RUN_OUTPUT, "PROGRESS 0.5\n", 9000);
    assert_int_equal(run_read_news(r)->eta_s, 10);
    run_read_free(r);
}

static void a_line_without_end_is_kept_only_in_part(void **state)
{
    struct run_read *r = run_read_new(RUN_PARSE_AUTO, 0);
    char block[1000];

    (void)state;
    memset(block, 'x', sizeof(block));
    feed(r, RUN_OUTPUT, "PROGRESS 0.5 ", 1);
    for (int i = 0; i < 1000; i++)
        run_read_feed(r, RUN_OUTPUT, block, sizeof(block), 1);
    feed(r, RUN_OUTPUT, "\nPROGRESS 0.6\n", 1);
    assert_true(run_read_news(r)->fraction == 0.6);
    assert_int_equal(strlen(run_read_news(r)->message), RUN_TEXT_MAX - 1);
    run_read_free(r);
}

static void a_text_is_cut_between_characters(void **state)
{
    char out[6];

    (void)state;
    assert_int_equal(run_text_clean(STR(" \xc3\xa4\xc3\xb6\xc3\xbc"), out, sizeof(out)), 4);
    assert_string_equal(out, "\xc3\xa4\xc3\xb6");
    assert_int_equal(run_text_clean(STR("\x1b["), out, sizeof(out)), 0);
    assert_int_equal(run_text_clean(STR("a\0b"), out, sizeof(out)), 3);
    assert_string_equal(out, "a b");
}

static void only_what_can_have_progress_is_read(void **state)
{
    (void)state;
    assert_true(run_parse_wants(RUN_PARSE_AUTO, RUN_OUTPUT));
    assert_false(run_parse_wants(RUN_PARSE_CURL, RUN_OUTPUT));
    assert_true(run_parse_wants(RUN_PARSE_CURL, RUN_ERRORS));
    assert_false(run_parse_wants(RUN_PARSE_NONE, RUN_ERRORS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_programs_print_is_understood_however_it_is_cut),
        cmocka_unit_test(ffmpegs_duration_counts_for_progress_on_the_other_stream),
        cmocka_unit_test(a_given_duration_counts_more_than_ffmpegs_own),
        cmocka_unit_test(who_names_no_time_left_gets_an_estimate),
        cmocka_unit_test(a_line_without_end_is_kept_only_in_part),
        cmocka_unit_test(a_text_is_cut_between_characters),
        cmocka_unit_test(only_what_can_have_progress_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
