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

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sandbox") == 0)
        return cmd_sandbox(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_input_converts_and_plays_to_its_end),
    };
    return cmocka_run_group_tests(tests, clips_setup, clips_teardown);
}
