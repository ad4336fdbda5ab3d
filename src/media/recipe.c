#include "media/recipe.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    SEGMENT_S = 4,
    KEYFRAME_S = 2,
    THREADS_MAX = 8,
    RECIPE_TEXT_MAX = 8 * 1024,
    MUXED_BELOW_MS = 500,
    TRACK_MIN_MS = 1000,
};

/* A recipe being written down. */
struct draft {
    const struct recipe *r;
    unsigned pictures, tracks; /* renditions that this ffmpeg makes */
    bool is_muxed;
    struct arguments *a;
};

void recipe_audio_name(unsigned track, char out[RECIPE_AUDIO_NAME])
{
    snprintf(out, RECIPE_AUDIO_NAME, "a%u", track % 100);
}

void recipe_init_name(const struct rung *rung, unsigned rung_count, uint32_t from,
                      char out[RECIPE_INIT_NAME])
{
    char number[16] = "";

    if (from > 0)
        snprintf(number, sizeof(number), "-%05u", (unsigned)from);
    if (rung_count == 1)
        snprintf(out, RECIPE_INIT_NAME, "init%s.mp4", number);
    else
        snprintf(out, RECIPE_INIT_NAME, "init%s_%s.mp4", number, rung->name);
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

/* In these a seek goes by an index to a keyframe, and timestamps neither leap
 * nor wrap. Elsewhere it may land in the middle of anything. */
static bool can_seek(const struct media_info *info)
{
    return strcmp(info->demuxer, "mov") == 0 || strcmp(info->demuxer, "matroska") == 0;
}

/* Somewhat before the first frame wanted: a keyframe that is stored before it
 * may be shown after it, by as much as the decoder reorders. */
uint64_t recipe_seek_seconds(const struct media_info *info, const struct recipe_start *start)
{
    enum { MARGIN_S = 2, REORDER_MAX = 16 };
    double frame = (double)info->fps_den / info->fps_num;
    double seconds = ((double)start->frames - REORDER_MAX) * frame - MARGIN_S;

    return start->frames > 0 && can_seek(info) && seconds >= 1 ? (uint64_t)seconds : 0;
}

/* On a machine of many cores each thread's share of address space would pass
 * the child's limit; more than this many make little difference anyway. */
static void add_threads(struct draft *d, const char *option)
{
    if (uv_available_parallelism() <= THREADS_MAX)
        return;
    arguments_add(d->a, option);
    arguments_addf(d->a, "%d", THREADS_MAX);
}

/* Timestamps stay those of the input, so that a frame gets the same place in the
 * output's rhythm as if all before it had been decoded too. */
static void add_seek(struct draft *d)
{
    static const char *const seek[] = { "-copyts", "-start_at_zero", "-noaccurate_seek", "-ss",
                                        NULL };
    uint64_t seconds = recipe_seek_seconds(d->r->info, &d->r->start);

    if (d->pictures == 0 || seconds == 0)
        return;
    arguments_add_all(d->a, seek);
    arguments_addf(d->a, "%" PRIu64, seconds);
}

static void add_input(struct draft *d)
{
    static const char *const start[] = { "-hide_banner", "-nostdin",  "-y",     "-loglevel",
                                         "warning",      "-progress", "pipe:1", "-stats_period",
                                         "0.5",          "-nostats",  NULL };

    arguments_add(d->a, d->r->settings->ffmpeg);
    arguments_add_all(d->a, start);
    add_threads(d, "-filter_complex_threads");
    add_threads(d, "-threads");
    add_seek(d);
    arguments_add_input(d->a, d->r->settings, d->r->info->demuxer);
    /* The picture may change its size in mid-stream. */
    if (d->pictures > 0)
        arguments_add_all(d->a, (const char *const[]){ "-reinit_filter:v", "0", NULL });
    arguments_add(d->a, "-i");
    arguments_addf(d->a, "file:%s", d->r->path);
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

/* Frames that were made before are dropped by their number, behind the filter
 * that gives every frame one. After a seek nothing may fill up from zero. */
static void set_rhythm(const struct draft *d, struct buf *out)
{
    const struct media_info *info = d->r->info;
    const struct recipe_start *start = &d->r->start;

    buf_printf(out, "fps=%d/%d", info->fps_num, info->fps_den);
    if (recipe_seek_seconds(info, start) == 0)
        buf_puts(out, ":start_time=0");
    if (start->frames > 0)
        buf_printf(out, ",trim=start_pts=%" PRIu64, start->frames);
}

/* What every rendition shares, done once: deinterlacing, an even frame rate
 * from zero on, and the light of HDR brought to what ordinary screens show. The
 * colours of PQ and HLG are those of BT.2020 also where the file omits it. */
static void prepare_picture(const struct draft *d, struct buf *out)
{
    const struct media_info *info = d->r->info;

    if (info->is_interlaced)
        buf_puts(out, "bwdif=mode=send_frame:deint=interlaced,");
    set_rhythm(d, out);
    pad_picture(info, out);
    if (!info->is_hdr)
        return;
    buf_printf(out, ",setparams=color_primaries=bt2020:color_trc=%s:colorspace=bt2020nc",
               info->transfer);
    buf_printf(out, ",zscale=w=%d:h=%d:t=linear:npl=203,format=gbrpf32le,zscale=p=bt709",
               d->r->rungs[0].width, d->r->rungs[0].height);
    buf_puts(out, ",tonemap=mobius:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p");
}

static void split_picture(const struct draft *d, struct buf *out)
{
    buf_puts(out, "[0:V:0]");
    prepare_picture(d, out);
    buf_printf(out, ",split=%u", d->pictures);
    for (unsigned i = 0; i < d->pictures; i++)
        buf_printf(out, "[s%u]", i);
    for (unsigned i = 0; i < d->pictures; i++)
        buf_printf(out, ";[s%u]scale=%d:%d:out_range=tv,setsar=1,format=yuv420p[v%u]", i,
                   d->r->rungs[i].width, d->r->rungs[i].height, i);
}

static void prepare_track(const struct draft *d, unsigned track, struct buf *out)
{
    double least = least_seconds(d->r->info);

    buf_printf(out, "%s[0:a:%d]aresample=48000:async=1:first_pts=0", out->len ? ";" : "",
               d->r->info->audio[track].index);
    if (d->r->info->has_video && least > 0)
        buf_printf(out, ",apad=whole_dur=%.3f", least);
}

static void prepare_sound(const struct draft *d, struct buf *out)
{
    for (unsigned i = 0; i < d->tracks; i++) {
        prepare_track(d, i, out);
        buf_printf(out, "[a%u]", i);
    }
    if (!d->is_muxed)
        return;
    prepare_track(d, 0, out);
    buf_printf(out, ",asplit=%u", d->pictures);
    for (unsigned i = 0; i < d->pictures; i++)
        buf_printf(out, "[a%u]", i);
}

static void add_filters(struct draft *d)
{
    struct buf graph;

    buf_init(&graph, RECIPE_TEXT_MAX);
    if (d->pictures > 0)
        split_picture(d, &graph);
    prepare_sound(d, &graph);
    arguments_add(d->a, "-filter_complex");
    arguments_add(d->a, buf_text(&graph));
    buf_deinit(&graph);
}

static void add_maps(struct draft *d)
{
    for (unsigned i = 0; i < d->pictures; i++) {
        arguments_add(d->a, "-map");
        arguments_addf(d->a, "[v%u]", i);
    }
    for (unsigned i = 0; i < (d->is_muxed ? d->pictures : d->tracks); i++) {
        arguments_add(d->a, "-map");
        arguments_addf(d->a, "[a%u]", i);
    }
}

static void add_rung(struct draft *d, unsigned i)
{
    const struct rung *rung = &d->r->rungs[i];

    arguments_addf(d->a, "-maxrate:v:%u", i);
    arguments_addf(d->a, "%uk", rung->maxrate_k);
    arguments_addf(d->a, "-bufsize:v:%u", i);
    arguments_addf(d->a, "%uk", 2 * rung->maxrate_k);
    arguments_addf(d->a, "-profile:v:%u", i);
    arguments_add(d->a, rung->profile);
}

/* Counted from where this run begins: so the distances are even on both sides
 * of a seam, where a whole frame may not fall on the second. */
static void add_keyframes(struct draft *d)
{
    const struct media_info *info = d->r->info;

    arguments_add(d->a, "-force_key_frames");
    arguments_addf(d->a, "expr:gte(n*%d,n_forced*%d*%d)", info->fps_den, KEYFRAME_S, info->fps_num);
    arguments_add(d->a, "-g");
    arguments_addf(d->a, "%.0f", ceil((double)SEGMENT_S * info->fps_num / info->fps_den));
}

static void add_encoders(struct draft *d)
{
    static const char *const bt709[] = { "-color_primaries", "bt709", "-color_trc", "bt709",
                                         "-colorspace",      "bt709", NULL };
    static const char *const sound[] = { "-c:a", "aac", "-ac", "2", "-b:a", "128k", NULL };

    for (unsigned i = 0; i < d->pictures; i++)
        add_rung(d, i);
    if (d->pictures > 0) {
        arguments_add_all(d->a, (const char *const[]){ "-c:v", "libx264", "-preset",
                                                       d->r->settings->preset, "-crf", NULL });
        arguments_addf(d->a, "%u", d->r->settings->crf);
        arguments_add_all(d->a, (const char *const[]){ "-sc_threshold", "0", "-color_range", "tv",
                                                       NULL });
        add_keyframes(d);
        add_threads(d, "-threads:v");
        if (d->r->info->is_hdr)
            arguments_add_all(d->a, bt709);
    }
    if (d->tracks > 0 || d->is_muxed)
        arguments_add_all(d->a, sound);
}

static void add_variants(struct draft *d)
{
    struct buf map;

    buf_init(&map, RECIPE_TEXT_MAX);
    for (unsigned i = 0; i < d->pictures; i++) {
        buf_printf(&map, "%sv:%u,", i ? " " : "", i);
        if (d->is_muxed)
            buf_printf(&map, "a:%u,", i);
        buf_printf(&map, "name:%s", d->r->rungs[i].name);
    }
    for (unsigned i = 0; i < d->tracks; i++) {
        char name[RECIPE_AUDIO_NAME];
        recipe_audio_name(i, name);
        buf_printf(&map, "%sa:%u,name:%s", map.len ? " " : "", i, name);
    }
    arguments_add(d->a, "-var_stream_map");
    arguments_add(d->a, buf_text(&map));
    buf_deinit(&map);
}

/* Timestamps that start at zero in both sound and picture, without the edit
 * lists that browsers read differently. */
static void add_muxer(struct draft *d)
{
    static const char *const muxer[] = { "-f",
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
                                         NULL };

    arguments_add_all(d->a, muxer);
    arguments_add(d->a, "-hls_time");
    arguments_addf(d->a, "%d", SEGMENT_S);
}

/* Goes on in the count of segments and in time: no frames are doubled to fill
 * up from zero, and the muxer is told that there were fragments before. */
static void add_start(struct draft *d)
{
    static const char flags[] = "movflags=+frag_custom+dash+delay_moov+negative_cts_offsets";
    uint32_t segments = d->r->start.segments;
    bool goes_on = d->pictures > 0 && segments > 0;

    arguments_add(d->a, "-hls_segment_options");
    arguments_addf(d->a, "%s%s", flags, goes_on ? "+frag_discont" : "");
    if (!goes_on)
        return;
    arguments_add_all(d->a, (const char *const[]){ "-fps_mode", "vfr", "-start_number", NULL });
    arguments_addf(d->a, "%" PRIu32, segments);
}

static void add_files(struct draft *d)
{
    /* %v stands for the variant's name; with a single one the muxer takes it
     * for the name itself. */
    struct rung any = { .name = "%v" };
    char init[RECIPE_INIT_NAME];

    recipe_init_name(&any, d->pictures + d->tracks, d->pictures ? d->r->start.segments : 0, init);
    arguments_add(d->a, "-hls_fmp4_init_filename");
    arguments_add(d->a, init);
    arguments_add(d->a, "-hls_segment_filename");
    arguments_addf(d->a, "%s/%%v/s%%05d.m4s", d->r->out_dir);
    add_variants(d);
    arguments_addf(d->a, "%s/%%v/index.m3u8", d->r->out_dir);
}

static struct arguments *write_down(struct draft *d)
{
    d->a = arguments_new();
    add_input(d);
    add_filters(d);
    add_maps(d);
    add_encoders(d);
    add_muxer(d);
    add_start(d);
    add_files(d);
    return d->a;
}

struct arguments *recipe_picture(const struct recipe *r)
{
    struct draft d = { .r = r, .pictures = r->rung_count, .is_muxed = recipe_is_muxed(r->info) };

    return write_down(&d);
}

struct arguments *recipe_sound(const struct recipe *r)
{
    struct draft d = { .r = r, .tracks = recipe_audio_count(r->info) };

    return write_down(&d);
}
