#include "media/package.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "media/rendition.h"

enum {
    PACKAGE_INDEX_MAX = 32 << 20,
    PACKAGE_INIT_MAX = 1 << 20,
    PACKAGE_MASTER_MAX = 64 << 10,
    /* What may be missing at the end: a twentieth, and of short videos more, for
     * a container's own idea of its length is no better than that. */
    SHORTFALL_MIN_MS = 500,
    SHORTFALL_MAX_MS = 2000,
    /* What a joined picture may be longer or shorter than the container says. */
    SEAM_MAX_MS = 500,
};

/* One frame of sound behind the rest makes players wait for more that never
 * comes. */
static const double TAIL_MIN_S = 0.05;

struct package {
    const struct media_info *info;
    const struct rung *rungs;
    unsigned rung_count, audio_count;
    struct recipe_start start; /* what an earlier run made of the picture */
    int dir;
    struct rendition items[LADDER_MAX + MEDIA_AUDIO_MAX]; /* rungs, then sound */
    struct buf *why;
};

static int write_fd(int fd, const struct buf *b)
{
    for (size_t done = 0; done < b->len;) {
        ssize_t len = write(fd, b->data + done, b->len - done);
        if (len < 0 && errno != EINTR)
            return fail_from_errno(errno);
        done += len > 0 ? (size_t)len : 0;
    }
    return OK;
}

/* Under another name first: whoever sees the name sees all of it. And a new file:
 * what is there may be of a process that has it open still. */
static int write_file(int dir, const char *name, const struct buf *b)
{
    char tmp[32];

    snprintf(tmp, sizeof(tmp), "%s.tmp", name);
    if (unlinkat(dir, tmp, 0) != 0 && errno != ENOENT)
        return fail_from_errno(errno);
    int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fail_from_errno(errno);
    int err = b->failed ? FAIL_LIMIT : write_fd(fd, b);
    if (close(fd) != 0 && err == OK)
        err = fail_from_errno(errno);
    if (err == OK && renameat(dir, tmp, dir, name) != 0)
        err = fail_from_errno(errno);
    return err;
}

/* ISO/IEC 14496-15, 5.3.3.1: version, profile, compatibility, level. */
static int read_codec(struct rendition *r)
{
    struct buf init;
    int err = rendition_read_file(r->dir, r->list.map, PACKAGE_INIT_MAX, &init);

    if (err)
        return err;
    const char *box = memmem(init.data, init.len, "avcC", 4);
    if (box == NULL || box + 8 > init.data + init.len)
        err = FAIL_SYNTAX;
    else
        snprintf(r->codec, sizeof(r->codec), "avc1.%02x%02x%02x", box[5] & 0xff, box[6] & 0xff,
                 box[7] & 0xff);
    buf_deinit(&init);
    return err;
}

static void drop_tail(struct rendition *r)
{
    if (r->list.count < 2)
        return;
    const struct segment *last = &r->list.segments[r->list.count - 1];
    if (last->seconds >= TAIL_MIN_S)
        return;
    unlinkat(r->dir, last->name, 0);
    r->list.count--;
}

static int read_picture(struct package *p, unsigned rung)
{
    struct rendition *r = &p->items[rung];
    char init[RECIPE_INIT_NAME];
    int err = OK;

    recipe_init_name(&p->rungs[rung], p->rung_count, 0, init);
    if (p->start.segments > 0)
        err = rendition_join(r, &p->start, init, p->info);
    /* Every rung shows the same frames. */
    if (err == OK && r->frames != p->items[0].frames)
        err = FAIL_STATE;
    if (err == OK)
        err = rendition_measure(r);
    return err ? err : read_codec(r);
}

static int read_sound(struct rendition *r)
{
    drop_tail(r);
    snprintf(r->codec, sizeof(r->codec), "mp4a.40.2");
    return rendition_measure(r);
}

static int read_rendition(struct package *p, unsigned i)
{
    struct rendition *r = &p->items[i];
    char name[RECIPE_AUDIO_NAME];
    int err;

    if (i < p->rung_count) {
        err = rendition_open(p->dir, p->rungs[i].name, r);
        return err ? err : read_picture(p, i);
    }
    recipe_audio_name(i - p->rung_count, name);
    err = rendition_open(p->dir, name, r);
    return err ? err : read_sound(r);
}

static bool is_full(const struct package *p)
{
    enum { NEARLY_NOTHING = 1 << 20 };
    struct statvfs vfs;

    return fstatvfs(p->dir, &vfs) == 0 && vfs.f_bavail * vfs.f_frsize < NEARLY_NOTHING;
}

/* A rendition without a segment is the input's fault, one that is not whole
 * is the disk's. */
static int explain(const struct package *p, int err, const char *what)
{
    if (is_full(p)) {
        buf_puts(p->why, "there is no space left");
        return FAIL_FULL;
    }
    if (err == FAIL_SYNTAX || err == FAIL_MISSING) {
        buf_printf(p->why, "nothing could be made of its %s", what);
        return FAIL_SYNTAX;
    }
    if (err == FAIL_STATE)
        buf_printf(p->why, "what several runs made of its %s does not fit together", what);
    else
        buf_printf(p->why, "what was made of its %s is not whole", what);
    return err;
}

static int read_all(struct package *p)
{
    for (unsigned i = 0; i < p->rung_count + p->audio_count; i++) {
        int err = read_rendition(p, i);
        if (err)
            return explain(p, err, i < p->rung_count ? "picture" : "sound");
    }
    return OK;
}

static int64_t may_lack(int64_t want_ms)
{
    int64_t of_short = want_ms / 3;

    if (of_short < SHORTFALL_MIN_MS)
        of_short = SHORTFALL_MIN_MS;
    if (of_short > SHORTFALL_MAX_MS)
        of_short = SHORTFALL_MAX_MS;
    return want_ms / 20 > of_short ? want_ms / 20 : of_short;
}

/* ffmpeg ends well also when its input broke off. */
static int check_length(const struct package *p)
{
    int64_t want = p->info->duration_ms, have = 0;

    for (unsigned i = 0; i < p->rung_count + p->audio_count; i++) {
        int64_t ms = (int64_t)llround(playlist_seconds(&p->items[i].list) * 1000);
        have = ms > have ? ms : have;
    }
    if (want < 0 || have >= want - may_lack(want))
        return OK;
    buf_printf(p->why, "the video breaks off after %.1f of %.1f s", (double)have / 1000,
               (double)want / 1000);
    return FAIL_SYNTAX;
}

/* A seek that went astray shows in the length too. */
static int check_seam(const struct package *p)
{
    const struct media_info *info = p->info;
    int64_t have;

    if (p->start.segments == 0)
        return OK;
    have = (int64_t)llround(playlist_seconds(&p->items[0].list) * 1000);
    if ((info->video_ms < 0 || have >= info->video_ms - SEAM_MAX_MS) &&
        (info->duration_ms < 0 || have <= info->duration_ms + SEAM_MAX_MS))
        return OK;
    buf_printf(p->why, "what was joined lasts %.1f s", (double)have / 1000);
    return FAIL_STATE;
}

static int write_playlists(const struct package *p)
{
    struct buf text;
    int err = OK;

    buf_init(&text, PACKAGE_INDEX_MAX);
    for (unsigned i = 0; i < p->rung_count + p->audio_count && err == OK; i++) {
        buf_reset(&text);
        playlist_write(&p->items[i].list, &text);
        err = write_file(p->items[i].dir, "index.m3u8", &text);
    }
    buf_deinit(&text);
    return err;
}

/* The same as the first run's, and listed no longer. */
static void remove_second_inits(const struct package *p)
{
    char name[RECIPE_INIT_NAME];

    for (unsigned i = 0; i < p->rung_count && p->start.segments > 0; i++) {
        recipe_init_name(&p->rungs[i], p->rung_count, p->start.segments, name);
        unlinkat(p->items[i].dir, name, 0);
    }
}

static bool is_name_taken(const struct package *p, unsigned track)
{
    const struct media_audio *audio = p->info->audio;

    if (strcmp(audio[track].language, "und") == 0)
        return true;
    for (unsigned i = 0; i < track; i++)
        if (strcmp(audio[i].language, audio[track].language) == 0)
            return true;
    return false;
}

/* RFC 8216, 4.3.4.1: NAME is unique in its group. */
static void write_media(const struct package *p, unsigned track, struct buf *out)
{
    const char *language = p->info->audio[track].language;

    buf_puts(out, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aud\",NAME=");
    if (is_name_taken(p, track))
        buf_printf(out, "\"Audio %u\"", track + 1);
    else
        buf_printf(out, "\"%s\"", language);
    if (strcmp(language, "und") != 0)
        buf_printf(out, ",LANGUAGE=\"%s\"", language);
    buf_printf(out, ",DEFAULT=%s,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"%s/index.m3u8\"\n",
               track == 0 ? "YES" : "NO", p->items[p->rung_count + track].name);
}

static void write_variant(const struct package *p, unsigned rung, struct buf *out)
{
    const struct rendition *r = &p->items[rung];
    uint64_t peak = 0, average = 0; /* of the sound that costs most */

    for (unsigned i = 0; i < p->audio_count; i++) {
        const struct playlist *sound = &p->items[p->rung_count + i].list;
        peak = playlist_peak(sound) > peak ? playlist_peak(sound) : peak;
        average = playlist_average(sound) > average ? playlist_average(sound) : average;
    }
    buf_printf(out, "#EXT-X-STREAM-INF:BANDWIDTH=%" PRIu64 ",AVERAGE-BANDWIDTH=%" PRIu64,
               playlist_peak(&r->list) + peak, playlist_average(&r->list) + average);
    buf_printf(out, ",CODECS=\"%s%s\",RESOLUTION=%dx%d,FRAME-RATE=%.3f", r->codec,
               p->audio_count || recipe_is_muxed(p->info) ? ",mp4a.40.2" : "", p->rungs[rung].width,
               p->rungs[rung].height, (double)p->info->fps_num / p->info->fps_den);
    buf_printf(out, "%s\n%s/index.m3u8\n", p->audio_count ? ",AUDIO=\"aud\"" : "", r->name);
}

static int write_master(const struct package *p)
{
    struct buf text;

    buf_init(&text, PACKAGE_MASTER_MAX);
    buf_puts(&text, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for (unsigned i = 0; p->rung_count > 0 && i < p->audio_count; i++)
        write_media(p, i, &text);
    for (unsigned i = 0; i < p->rung_count; i++)
        write_variant(p, i, &text);
    if (p->rung_count == 0)
        buf_printf(&text,
                   "#EXT-X-STREAM-INF:BANDWIDTH=%" PRIu64 ",AVERAGE-BANDWIDTH=%" PRIu64
                   ",CODECS=\"%s\"\n%s/index.m3u8\n",
                   playlist_peak(&p->items[0].list), playlist_average(&p->items[0].list),
                   p->items[0].codec, p->items[0].name);
    int err = write_file(p->dir, "master.m3u8", &text);
    buf_deinit(&text);
    return err;
}

static int finish(struct package *p)
{
    int err = read_all(p);

    if (err == OK)
        err = check_length(p);
    if (err == OK)
        err = check_seam(p);
    if (err)
        return err;
    err = write_playlists(p);
    remove_second_inits(p);
    if (err == OK)
        err = write_master(p);
    if (err)
        buf_puts(p->why, err == FAIL_FULL ? "there is no space left"
                                          : "the playlists could not be written");
    return err;
}

int package_finish(const struct recipe *recipe, struct buf *why)
{
    struct package p = { .info = recipe->info,
                         .rungs = recipe->rungs,
                         .rung_count = recipe->rung_count,
                         .audio_count = recipe_audio_count(recipe->info),
                         .start = recipe->start,
                         .why = why };

    p.dir = open(recipe->out_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.dir < 0) {
        buf_puts(why, "the output folder is not there");
        return fail_from_errno(errno);
    }
    for (size_t i = 0; i < sizeof(p.items) / sizeof(p.items[0]); i++)
        p.items[i].dir = -1;
    int err = finish(&p);
    for (size_t i = 0; i < sizeof(p.items) / sizeof(p.items[0]); i++)
        rendition_close(&p.items[i]);
    close(p.dir);
    return err;
}
