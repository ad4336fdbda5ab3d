/* Feeds anything to the readers of what a decoder says, which a stranger's
 * file may have taken over: -progress, ffprobe's JSON, playlists, standard
 * error, checkpoints; and to the sniffer, which sees the file itself. The
 * input's first byte chooses the reader. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "media/complaint.h"
#include "media/ladder.h"
#include "media/media.h"
#include "media/playlist.h"
#include "media/probe_read.h"
#include "media/progress.h"
#include "media/recipe.h"
#include "media/sniff.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const struct media_settings settings = { .ffmpeg = "ffmpeg", .preset = "veryfast" };

/* Each line is a report some time after the last one. */
static void feed_progress(struct str text)
{
    struct media_info info = {
        .duration_ms = 10000, .video_ms = -1, .has_video = true, .fps_num = 25, .fps_den = 1
    };
    struct progress_block block;
    struct progress progress;
    struct convert_progress told;
    uint64_t now = 1;
    double last = 0;

    progress_block_init(&block);
    progress_init(&progress, &info, now);
    while (text.at != NULL) {
        struct str line = str_cut(&text, '\n');
        now += line.len;
        if (!progress_read_line(&block, line))
            continue;
        progress_update(&progress, &block, now, &told);
        CHECK(told.fraction >= last && told.fraction <= 0.99);
        CHECK(told.eta_ms >= -1 && isfinite(told.speed));
        CHECK(progress_stalled_ms(&progress, now) <= now);
        last = told.fraction;
    }
}

static void check_arguments(struct arguments *a)
{
    if (a == NULL)
        return;
    CHECK(arguments_list(a) != NULL);
    arguments_free(a);
}

static void check_info(const struct media_info *info)
{
    struct rung rungs[LADDER_MAX];
    unsigned count = ladder_build(info, rungs);

    CHECK(info->audio_count <= MEDIA_AUDIO_MAX);
    CHECK(!info->has_video || (count >= 1 && info->fps_num > 0 && info->fps_den > 0));
    for (unsigned i = 0; i < count; i++)
        CHECK(rungs[i].width >= 16 && rungs[i].height >= 16);
    struct recipe recipe = { .settings = &settings,
                             .info = info,
                             .rungs = rungs,
                             .rung_count = count,
                             .path = "/in",
                             .out_dir = "/out" };
    check_arguments(count > 0 ? recipe_picture(&recipe) : NULL);
    check_arguments(recipe_audio_count(info) > 0 ? recipe_sound(&recipe) : NULL);
    recipe.start = (struct recipe_start){ .segments = 99999, .frames = UINT64_C(1) << 40 };
    check_arguments(count > 0 ? recipe_picture(&recipe) : NULL);
}

static void feed_probe(struct str text)
{
    struct media_info info, again;
    struct buf why, copy;

    buf_init(&why, 512);
    buf_init(&copy, 4096);
    int err = probe_read(text, &info, &why);
    CHECK((err == OK) == (why.len == 0));
    if (err == OK) {
        check_info(&info);
        media_info_write(&info, &copy);
        CHECK(!copy.failed && media_info_read(buf_str(&copy), &again) == OK);
        CHECK(again.width == info.width && again.duration_ms == info.duration_ms);
    }
    buf_deinit(&why);
    buf_deinit(&copy);
}

static void feed_playlist(struct str text)
{
    struct playlist p, again;
    struct buf out;

    if (playlist_read(text, &p) != OK)
        return;
    for (size_t i = 0; i < p.count; i++)
        CHECK(strpbrk(p.segments[i].name, "/\"\\ ") == NULL);
    buf_init(&out, 1 << 24);
    playlist_write(&p, &out);
    CHECK(playlist_read(buf_str(&out), &again) == OK);
    CHECK(again.count == p.count && again.is_ended);
    (void)playlist_peak(&p);
    (void)playlist_average(&p);
    playlist_deinit(&again);
    playlist_deinit(&p);
    buf_deinit(&out);
}

static void feed_complaint(struct str text)
{
    char *copy = mem_strndup(text.at, text.len);
    struct buf why;

    buf_init(&why, 512);
    CHECK(complaint_read(copy, &why) != OK);
    CHECK(!why.failed && why.len > 0 && memchr(why.data, '/', why.len) == NULL);
    buf_deinit(&why);
    mem_free(copy);
}

static void feed_sniff(struct str text)
{
    const char *why = NULL;
    const char *demuxer = sniff_demuxer(text.at, text.len, &why);

    CHECK((demuxer == NULL) == (why != NULL));
    CHECK(demuxer == NULL || (strcmp(demuxer, "hls") != 0 && strcmp(demuxer, "concat") != 0));
}

static void feed_info(struct str text)
{
    struct media_info info;

    if (media_info_read(text, &info) == OK)
        check_info(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct str) = { feed_progress,  feed_probe, feed_playlist,
                                                   feed_complaint, feed_sniff, feed_info };

    if (size < 1)
        return 0;
    char *copy = mem_alloc(size); /* exactly as long, so that a byte too far is noticed */
    memcpy(copy, data + 1, size - 1);
    readers[data[0] % (sizeof(readers) / sizeof(readers[0]))]((struct str){ copy, size - 1 });
    mem_free(copy);
    return 0;
}
