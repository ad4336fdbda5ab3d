/* Many kinds of input, each converted and then decoded to its end: too slow for
 * every run. `meson test --benchmark` runs it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "clips.h"
#include "cmd/sandbox.h"

#define PICTURE(size, rate, seconds) "-f lavfi -i testsrc2=s=" size ":r=" rate ":d=" seconds " "
#define SOUND(seconds)               "-f lavfi -i sine=r=48000:d=" seconds " "
#define BOTH                         PICTURE("320x240", "25", "2") SOUND("2")
#define X264                         "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "
#define X265                         "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=none"

struct kind {
    const char *name, *words;
    const char *renditions; /* sorted */
    double seconds;         /* of the longest */
};

static const struct kind kinds[] = {
    { "720.mp4", PICTURE("1280x720", "30", "3") SOUND("3") X264, "360p 480p 720p a0", 3 },
    { "portrait.mp4", PICTURE("360x640", "30", "2") X264, "360p", 2 },
    { "wide.mp4", PICTURE("2000x100", "25", "1") X264, "100p", 1 },
    { "tiny.mkv", PICTURE("2x2", "25", "2") "-c:v ffv1", "16p", 2 },
    { "odd.mkv", PICTURE("639x363", "25", "2") "-c:v ffv1 -pix_fmt yuv444p", "360p", 2 },
    { "gray.mkv", PICTURE("320x240", "25", "2") "-vf format=gray -c:v ffv1", "240p", 2 },
    { "alpha.mov", PICTURE("320x240", "25", "2") "-vf format=rgba -c:v qtrle", "240p", 2 },
    { "pixels.mp4", PICTURE("720x480", "30000/1001", "2") "-vf setsar=8/9 " X264, "360p 480p", 2 },
    { "one.mp4", PICTURE("320x240", "1", "6") X264, "240p", 6 },
    { "slides.mp4", PICTURE("320x240", "1/5", "20") X264, "240p", 20 },
    { "sixty.mp4", PICTURE("320x240", "60", "2") X264, "240p", 2 },
    { "fast.mp4", PICTURE("320x240", "120", "2") X264, "240p", 2 },
    { "range.mp4", PICTURE("320x240", "25", "2") "-vf scale=out_range=pc -color_range pc " X264,
      "240p", 2 },
    { "ten.mkv", PICTURE("320x240", "25", "2") X265, "240p", 2 },
    { "hlg.mkv", PICTURE("320x240", "25", "2") X265 ":transfer=arib-std-b67", "240p", 2 },
    { "pq.mkv",
      PICTURE("640x360", "25", "2") X265
      ":transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc",
      "360p", 2 },
    { "five.mkv",
      BOTH SOUND("2") SOUND("2") SOUND("2")
          SOUND("2") "-map 0 -map 1 -map 2 -map 3 -map 4 -map 5 " X264,
      "240p a0 a1 a2 a3", 2 },
    { "surround.mkv",
      PICTURE("320x240", "25", "2") "-f lavfi -i 'aevalsrc=sin(t)|sin(3*t)|0|0|sin(t)|0:c=5.1:d=2' "
                                    "-c:v libx264 -preset ultrafast -c:a ac3",
      "240p a0", 2 },
    { "late.mkv", PICTURE("320x240", "25", "4") "-itsoffset 2 " SOUND("2") X264, "240p a0", 4 },
    { "longsound.mp4", PICTURE("320x240", "25", "2") SOUND("8") X264, "240p a0", 8 },
    { "longpicture.mp4", PICTURE("320x240", "25", "8") SOUND("2") X264, "240p a0", 8 },
    { "fragments.mp4", BOTH X264 "-movflags frag_keyframe+empty_moov", "240p a0", 2 },
    { "live.mkv", BOTH X264 "-live 1", "240p a0", 2 },
    { "stream.ts", BOTH X264, "240p a0", 2 },
    { "disc.m2ts", BOTH "-c:v mpeg2video -c:a ac3 -mpegts_m2ts_mode 1 -f mpegts", "240p a0", 2 },
    { "program.mpg", BOTH "-c:v mpeg2video -c:a mp2", "240p a0", 2 },
    { "fields.ts",
      PICTURE("720x576", "50", "2") "-vf interlace,setfield=tff -c:v mpeg2video -flags +ildct+ilme",
      "360p 480p", 2 },
    { "old.avi", BOTH "-c:v mpeg4 -c:a libmp3lame", "240p a0", 2 },
    { "camera.avi", BOTH "-c:v mjpeg -pix_fmt yuvj422p", "240p a0", 2 },
    { "flash.flv", BOTH "-c:v flv -c:a libmp3lame -ar 44100", "240p a0", 2 },
    { "windows.wmv", BOTH "-c:v wmv2 -c:a wmav2", "240p a0", 2 },
    { "web.webm", BOTH "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus", "240p a0",
      2 },
    { "free.ogv", BOTH "-c:v libtheora -c:a libvorbis", "240p a0", 2 },
    { "edit.mov", BOTH "-c:v prores -c:a pcm_s16le", "240p a0", 2 },
    { "phone.3gp", PICTURE("176x144", "25", "2") SOUND("2") "-c:v h263 -c:a aac -ar 8000",
      "144p a0", 2 },
    { "broadcast.mxf",
      PICTURE("720x576", "25", "2") SOUND("2") "-c:v mpeg2video -b:v 20M -c:a pcm_s16le",
      "360p 480p a0", 2 },
    { "video.ivf", PICTURE("320x240", "25", "2") "-c:v libvpx -deadline realtime", "240p", 2 },
    { "raw.y4m", PICTURE("64x64", "10", "1"), "64p", 1 },
    { "song.m4a", SOUND("3") SOUND("3") "-map 0 -map 1 -c:a aac", "a0", 3 },
    { "song.flac", SOUND("3"), "a0", 3 },
    { "song.ogg", SOUND("3") "-c:a libvorbis", "a0", 3 },
    { "song.wav", SOUND("3") "-ar 8000", "a0", 3 },
    { "song.aac", SOUND("3") "-c:a aac", "a0", 3 },
    { "cover.mp3",
      SOUND("3") "-f lavfi -i color=s=64x64:d=1 -map 0 -map 1 -frames:v 1 -c:v png "
                 "-disposition:v attached_pic",
      "a0", 3 },
};

static const char *plays(const char *out, const char *rendition)
{
    return clips_ask("ffmpeg -v error -nostdin -i %s/%s/index.m3u8 -f null - 2>&1", out, rendition);
}

static double seconds_of(const char *out)
{
    return strtod(clips_ask("for f in %s/*/index.m3u8; do ffprobe -v error -show_entries "
                            "format=duration -of csv=p=0 $f; done | sort -n | tail -1",
                            out),
                  NULL);
}

static void each_kind_of_input_converts_and_plays_to_its_end(void **state)
{
    struct clips_converted c;
    char out[64];
    (void)state;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct kind *k = &kinds[i];
        snprintf(out, sizeof(out), "out-%s", k->name);
        clips_convert(&clips_settings, clips_make(k->name, k->words), out, CLIPS_LET, &c);
        if (c.err != OK)
            fail_msg("%s: %s", k->name, c.why);
        assert_string_equal(clips_ask("cd %s && ls -d */ | tr -d / | paste -sd' '", c.out),
                            k->renditions);
        struct str rest = str_of(k->renditions);
        while (rest.at != NULL) {
            struct str name = str_cut(&rest, ' ');
            char rendition[16];
            snprintf(rendition, sizeof(rendition), "%.*s", STR_ARG(name));
            assert_string_equal(plays(c.out, rendition), "");
        }
        if (fabs(seconds_of(c.out) - k->seconds) > 0.15)
            fail_msg("%s: %f s instead of %f", k->name, seconds_of(c.out), k->seconds);
        print_message("%s\n", k->name);
    }
}

/* Eighteen seconds or so, in ways that make it hard to find one's place again. */
static const struct kind seams[] = {
    { "plain.mp4", PICTURE("320x240", "25", "18") SOUND("18") X264 "-bf 3 -g 250" },
    { "ntsc.mkv", PICTURE("320x240", "30000/1001", "18") SOUND("18") X264 "-bf 2 -g 90" },
    { "film.mp4", PICTURE("320x240", "24000/1001", "18") X264 },
    { "vp9.webm", PICTURE("320x240", "25", "18") "-c:v libvpx-vp9 -deadline realtime -cpu-used 8" },
    { "opengop.mp4",
      PICTURE("320x240", "25", "18") X265 ":keyint=60:open-gop=1:bframes=4 -tag:v hvc1" },
    { "pieces.mp4",
      PICTURE("320x240", "25", "18") SOUND("18") X264 "-g 50 -movflags frag_keyframe+empty_moov" },
    { "noindex.mkv", PICTURE("320x240", "25", "18") X264 "-g 100 -live 1" },
    { "refresh.mp4",
      PICTURE("320x240", "25", "18") X264 "-x264-params intra-refresh=1:keyint=50:bframes=0" },
    { "late.mkv", SOUND("18") "-itsoffset 1.53 " PICTURE("320x240", "25", "18") X264 "-g 100" },
    { "early.mp4",
      "-itsoffset 0.77 " SOUND("18") PICTURE("320x240", "25", "18") X264 "-g 100 -bf 3" },
    { "vfr.mkv",
      PICTURE("320x240", "30",
              "18") "-vf select='not(mod(n\\,3))+gt(n\\,60)*lt(n\\,200)' -vsync vfr " X264
                    "-g 40" },
    { "still.mkv",
      PICTURE("320x240", "25", "18") "-vf select='lt(mod(n\\,125)\\,5)' -vsync vfr " X264 "-g 10" },
    { "slides.mp4", PICTURE("320x240", "1/5", "20") X264 },
    { "fields.mkv", PICTURE("320x240", "50",
                            "18") "-vf interlace,setfield=tff -c:v mpeg2video -flags +ildct+ilme "
                                  "-bf 2" },
    { "pq.mkv", PICTURE("320x240", "25", "18") X265
      ":transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc" },
    { "stream.ts", PICTURE("320x240", "25", "18") SOUND("18") X264 "-g 200" },
    { "program.mpg", PICTURE("320x240", "25", "18") SOUND("18") "-c:v mpeg2video -c:a mp2 -bf 2" },
    { "old.avi", PICTURE("320x240", "25", "18") SOUND("18") "-c:v mpeg4 -bf 2 -c:a libmp3lame" },
    { "flash.flv",
      PICTURE("320x240", "25", "18") SOUND("18") "-c:v flv -c:a libmp3lame -ar 44100" },
};

/* The picture's rendition of a conversion, as one file beside it. */
static const char *picture_of(const struct clips_converted *c, const char *name)
{
    const char *path = clips_path(name);

    clips_ask("cd %s/*p && cat $(sed -n 's/.*MAP:URI=\"\\(.*\\)\"/\\1/p' index.m3u8) "
              "$(grep -v '^#' index.m3u8) > %s",
              c->out, path);
    return path;
}

/* The pictures' likeness, frame by frame, and the least of it. Neighbours in
 * the moving test picture are below 30. */
static double least_likeness(const char *a, const char *b)
{
    return strtod(clips_ask("ffmpeg -v error -nostdin -i %s -i %s -lavfi psnr=stats_file=- -f null "
                            "- | grep -o 'psnr_avg:[0-9.]\\+' | cut -d: -f2 | sort -n | head -1",
                            a, b),
                  NULL);
}

static const char *times_of(const char *path)
{
    return clips_ask("ffprobe -v error -show_entries packet=pts,dts -of csv=p=0 %s | grep -c . ; "
                     "ffprobe -v error -show_entries packet=pts,dts -of csv=p=0 %s | md5sum",
                     path, path);
}

static void each_kind_of_input_goes_on_as_if_in_one_go(void **state)
{
    struct clips_converted c;
    char out[64], times[64];
    (void)state;

    for (size_t i = 0; i < sizeof(seams) / sizeof(seams[0]); i++) {
        const struct kind *k = &seams[i];
        const char *input = clips_make(k->name, k->words);
        snprintf(out, sizeof(out), "seam-%s", k->name);
        clips_convert(&clips_settings, input, out, CLIPS_LET, &c);
        assert_int_equal(c.err, OK);
        const char *whole = picture_of(&c, "whole.mp4");
        snprintf(times, sizeof(times), "%s", times_of(whole));
        clips_ask("cd %s/*p && rm -f s00003.m4s s00004.m4s", c.out);
        clips_convert(&clips_settings, input, out, CLIPS_LET, &c);
        if (c.err != OK || c.resumed != 2 || c.repeated != 0)
            fail_msg("%s: %s %s, %u resumed", k->name, c.why, c.reason, c.resumed);
        const char *joined = picture_of(&c, "joined.mp4");
        assert_string_equal(times_of(joined), times);
        double likeness = least_likeness(whole, joined);
        if (!(likeness > 33))
            fail_msg("%s: %f dB", k->name, likeness);
        print_message("%s: %.1f dB\n", k->name, likeness);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sandbox") == 0)
        return cmd_sandbox(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_input_converts_and_plays_to_its_end),
        cmocka_unit_test(each_kind_of_input_goes_on_as_if_in_one_go),
    };
    return cmocka_run_group_tests(tests, clips_setup, clips_teardown);
}
