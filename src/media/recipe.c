#include "media/recipe.h"

#include <math.h>
#include <stdio.h>

enum {
    SEGMENT_S = 4,
    KEYFRAME_S = 2,
    THREADS_MAX = 8,
    RECIPE_TEXT_MAX = 8 * 1024,
    MUXED_BELOW_MS = 500,
    TRACK_MIN_MS = 1000,
};

struct recipe {
    const struct media_settings *settings;
    const struct media_info *info;
    const struct rung *rungs;
    unsigned rung_count, audio_count;
    bool is_muxed;
    struct arguments *a;
};

void recipe_audio_name(unsigned track, char out[RECIPE_AUDIO_NAME])
{
    snprintf(out, RECIPE_AUDIO_NAME, "a%u", track % 100);
}

bool recipe_is_muxed(const struct media_info *info)
{
    return info->has_video && info->audio_count > 0 && info->duration_ms >= 0 &&
           info->duration_ms < MUXED_BELOW_MS;
}

unsigned recipe_audio_count(const struct media_info *info)
{
    if (recipe_is_muxed(info))
        return 0;
    return !info->has_video && info->audio_count > 1 ? 1 : info->audio_count;
}

/* On a machine of many cores each thread's share of address space would pass
 * the child's limit; more than this many make little difference anyway. */
static void add_threads(struct recipe *r, const char *option)
{
    if (uv_available_parallelism() <= THREADS_MAX)
        return;
    arguments_add(r->a, option);
    arguments_addf(r->a, "%d", THREADS_MAX);
}

static void add_input(struct recipe *r, const char *path)
{
    static const char *const start[] = { "-hide_banner", "-nostdin",  "-y",     "-loglevel",
                                         "warning",      "-progress", "pipe:1", "-stats_period",
                                         "0.5",          "-nostats",  NULL };

    arguments_add(r->a, r->settings->ffmpeg);
    arguments_add_all(r->a, start);
    add_threads(r, "-filter_complex_threads");
    add_threads(r, "-threads");
    arguments_add_input(r->a, r->settings, r->info->demuxer);
    /* The picture may change its size in mid-stream. */
    if (r->info->has_video)
        arguments_add_all(r->a, (const char *const[]){ "-reinit_filter:v", "0", NULL });
    arguments_add(r->a, "-i");
    arguments_addf(r->a, "file:%s", path);
}

/* A track of a few frames beside a long one stops players at its end: silence,
 * or the last picture, makes it last a second. No longer, so that an input that
 * breaks off is still seen to. */
static double least_seconds(const struct media_info *info)
{
    int64_t ms = info->duration_ms < TRACK_MIN_MS ? info->duration_ms : TRACK_MIN_MS;

    return ms > 0 ? (double)ms / 1000 : 0;
}

static void pad_picture(const struct media_info *info, struct buf *out)
{
    double missing = least_seconds(info) - (double)info->video_ms / 1000;

    if (info->audio_count > 0 && info->video_ms >= 0 && missing > 0)
        buf_printf(out, ",tpad=stop_mode=clone:stop_duration=%.3f", missing);
}

/* What every rendition shares, done once: deinterlacing, an even frame rate
 * from zero on, and the light of HDR brought to what ordinary screens show. The
 * colours of PQ and HLG are those of BT.2020 also where the file omits it. */
static void prepare_picture(const struct recipe *r, struct buf *out)
{
    const struct media_info *info = r->info;

    if (info->is_interlaced)
        buf_puts(out, "bwdif=mode=send_frame:deint=interlaced,");
    buf_printf(out, "fps=%d/%d:start_time=0", info->fps_num, info->fps_den);
    pad_picture(info, out);
    if (!info->is_hdr)
        return;
    buf_printf(out, ",setparams=color_primaries=bt2020:color_trc=%s:colorspace=bt2020nc",
               info->transfer);
    buf_printf(out, ",zscale=w=%d:h=%d:t=linear:npl=203,format=gbrpf32le,zscale=p=bt709",
               r->rungs[0].width, r->rungs[0].height);
    buf_puts(out, ",tonemap=mobius:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p");
}

static void split_picture(const struct recipe *r, struct buf *out)
{
    buf_puts(out, "[0:V:0]");
    prepare_picture(r, out);
    buf_printf(out, ",split=%u", r->rung_count);
    for (unsigned i = 0; i < r->rung_count; i++)
        buf_printf(out, "[s%u]", i);
    for (unsigned i = 0; i < r->rung_count; i++)
        buf_printf(out, ";[s%u]scale=%d:%d:out_range=tv,setsar=1,format=yuv420p[v%u]", i,
                   r->rungs[i].width, r->rungs[i].height, i);
}

static void prepare_track(const struct recipe *r, unsigned track, struct buf *out)
{
    double least = least_seconds(r->info);

    buf_printf(out, "%s[0:a:%d]aresample=48000:async=1:first_pts=0", out->len ? ";" : "",
               r->info->audio[track].index);
    if (r->info->has_video && least > 0)
        buf_printf(out, ",apad=whole_dur=%.3f", least);
}

static void prepare_sound(const struct recipe *r, struct buf *out)
{
    for (unsigned i = 0; i < r->audio_count; i++) {
        prepare_track(r, i, out);
        buf_printf(out, "[a%u]", i);
    }
    if (!r->is_muxed)
        return;
    prepare_track(r, 0, out);
    buf_printf(out, ",asplit=%u", r->rung_count);
    for (unsigned i = 0; i < r->rung_count; i++)
        buf_printf(out, "[a%u]", i);
}

static void add_filters(struct recipe *r)
{
    struct buf graph;

    buf_init(&graph, RECIPE_TEXT_MAX);
    if (r->info->has_video)
        split_picture(r, &graph);
    prepare_sound(r, &graph);
    arguments_add(r->a, "-filter_complex");
    arguments_add(r->a, buf_text(&graph));
    buf_deinit(&graph);
}

static void add_maps(struct recipe *r)
{
    for (unsigned i = 0; i < r->rung_count; i++) {
        arguments_add(r->a, "-map");
        arguments_addf(r->a, "[v%u]", i);
    }
    for (unsigned i = 0; i < (r->is_muxed ? r->rung_count : r->audio_count); i++) {
        arguments_add(r->a, "-map");
        arguments_addf(r->a, "[a%u]", i);
    }
}

static void add_rung(struct recipe *r, unsigned i)
{
    const struct rung *rung = &r->rungs[i];

    arguments_addf(r->a, "-maxrate:v:%u", i);
    arguments_addf(r->a, "%uk", rung->maxrate_k);
    arguments_addf(r->a, "-bufsize:v:%u", i);
    arguments_addf(r->a, "%uk", 2 * rung->maxrate_k);
    arguments_addf(r->a, "-profile:v:%u", i);
    arguments_add(r->a, rung->profile);
}

static void add_encoders(struct recipe *r)
{
    static const char *const bt709[] = { "-color_primaries", "bt709", "-color_trc", "bt709",
                                         "-colorspace",      "bt709", NULL };
    static const char *const sound[] = { "-c:a", "aac", "-ac", "2", "-b:a", "128k", NULL };
    const struct media_info *info = r->info;

    for (unsigned i = 0; i < r->rung_count; i++)
        add_rung(r, i);
    if (info->has_video) {
        arguments_add_all(r->a, (const char *const[]){ "-c:v", "libx264", "-preset",
                                                       r->settings->preset, "-crf", NULL });
        arguments_addf(r->a, "%u", r->settings->crf);
        arguments_add_all(r->a, (const char *const[]){ "-sc_threshold", "0", "-color_range", "tv",
                                                       "-force_key_frames", NULL });
        arguments_addf(r->a, "expr:gte(t,n_forced*%d)", KEYFRAME_S);
        arguments_add(r->a, "-g");
        arguments_addf(r->a, "%.0f", ceil((double)SEGMENT_S * info->fps_num / info->fps_den));
        add_threads(r, "-threads:v");
        if (info->is_hdr)
            arguments_add_all(r->a, bt709);
    }
    if (r->audio_count > 0 || r->is_muxed)
        arguments_add_all(r->a, sound);
}

static void map_rungs(const struct recipe *r, const char *group, struct buf *map)
{
    for (unsigned i = 0; i < r->rung_count; i++) {
        buf_printf(map, "%sv:%u,", i ? " " : "", i);
        if (r->is_muxed)
            buf_printf(map, "a:%u,", i);
        buf_printf(map, "%sname:%s", group, r->rungs[i].name);
    }
}

static void add_variants(struct recipe *r)
{
    bool has_group = r->rung_count > 0 && r->audio_count > 0;
    const char *group = has_group ? "agroup:aud," : "";
    struct buf map;

    buf_init(&map, RECIPE_TEXT_MAX);
    map_rungs(r, group, &map);
    for (unsigned i = 0; i < r->audio_count; i++) {
        char name[RECIPE_AUDIO_NAME];
        recipe_audio_name(i, name);
        buf_printf(&map, "%sa:%u,%sname:%s", map.len ? " " : "", i, group, name);
        if (has_group)
            buf_printf(&map, "%s,language:%s", i == 0 ? ",default:yes" : "",
                       r->info->audio[i].language);
    }
    arguments_add(r->a, "-var_stream_map");
    arguments_add(r->a, buf_text(&map));
    buf_deinit(&map);
}

/* Timestamps that start at zero in both sound and picture, without the edit
 * lists that browsers read differently. */
static void add_output(struct recipe *r, const char *out_dir)
{
    static const char *const muxer[] = {
        "-f",
        "hls",
        "-hls_playlist_type",
        "event",
        "-hls_flags",
        "independent_segments+temp_file",
        "-map_metadata",
        "-1",
        "-map_chapters",
        "-1",
        "-max_muxing_queue_size",
        "1024",
        "-hls_segment_type",
        "fmp4",
        "-avoid_negative_ts",
        "disabled",
        "-hls_segment_options",
        "movflags=+frag_custom+dash+delay_moov+negative_cts_offsets",
        NULL
    };

    arguments_add_all(r->a, muxer);
    arguments_add(r->a, "-hls_time");
    arguments_addf(r->a, "%d", SEGMENT_S);
    /* With a single variant the muxer takes the pattern for the name. */
    arguments_add(r->a, "-hls_fmp4_init_filename");
    arguments_add(r->a, r->rung_count + r->audio_count == 1 ? "init.mp4" : "init_%v.mp4");
    arguments_add(r->a, "-hls_segment_filename");
    arguments_addf(r->a, "%s/%%v/s%%05d.m4s", out_dir);
    add_variants(r);
    arguments_addf(r->a, "%s/%%v/index.m3u8", out_dir);
}

struct arguments *recipe_build(const struct media_settings *settings, const struct media_info *info,
                               const struct rung *rungs, unsigned rung_count, const char *path,
                               const char *out_dir)
{
    struct recipe r = { .settings = settings,
                        .info = info,
                        .rungs = rungs,
                        .rung_count = rung_count,
                        .audio_count = recipe_audio_count(info),
                        .is_muxed = recipe_is_muxed(info),
                        .a = arguments_new() };

    add_input(&r, path);
    add_filters(&r);
    add_maps(&r);
    add_encoders(&r);
    add_output(&r, out_dir);
    return r.a;
}
