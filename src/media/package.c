#include "media/package.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "media/fragment.h"
#include "media/playlist.h"
#include "media/recipe.h"

enum {
    PACKAGE_INDEX_MAX = 32 << 20,
    PACKAGE_INIT_MAX = 1 << 20,
    PACKAGE_MASTER_MAX = 64 << 10,
    /* What may be missing at the end: a twentieth, and of short videos more, for
     * a container's own idea of its length is no better than that. */
    SHORTFALL_MIN_MS = 500,
    SHORTFALL_MAX_MS = 2000,
};

/* One frame of sound behind the rest makes players wait for more that never
 * comes. */
static const double TAIL_MIN_S = 0.05;

struct rendition {
    char name[12];
    int dir; /* its folder */
    struct playlist list;
    char codec[16];
};

struct package {
    const struct media_info *info;
    const struct rung *rungs;
    unsigned rung_count, audio_count;
    int dir;
    struct rendition items[LADDER_MAX + MEDIA_AUDIO_MAX]; /* rungs, then sound */
    struct buf *why;
};

static int read_file(int dir, const char *name, size_t max, struct buf *out)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return fail_from_errno(errno);
    int err = fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ? FAIL_IO : OK;
    buf_init(out, max);
    char *at = err == OK ? buf_reserve(out, (size_t)st.st_size) : NULL;
    if (at == NULL)
        err = err ? err : FAIL_LIMIT;
    else if (read(fd, at, (size_t)st.st_size) != st.st_size)
        err = FAIL_IO;
    else
        out->len = (size_t)st.st_size;
    close(fd);
    if (err)
        buf_deinit(out);
    return err;
}

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

/* Under another name first: whoever sees the name sees all of it. */
static int write_file(int dir, const char *name, const struct buf *b)
{
    char tmp[32];

    snprintf(tmp, sizeof(tmp), "%s.tmp", name);
    int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fail_from_errno(errno);
    int err = b->failed ? FAIL_LIMIT : write_fd(fd, b);
    if (close(fd) != 0 && err == OK)
        err = fail_from_errno(errno);
    if (err == OK && renameat(dir, tmp, dir, name) != 0)
        err = fail_from_errno(errno);
    return err;
}

/* The size of a whole piece of the rendition. */
static int measure(const struct rendition *r, const char *name, const char *needed, uint64_t *size)
{
    struct stat st;
    int fd = openat(r->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return fail_from_errno(errno);
    int err = fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ? FAIL_IO : OK;
    if (err == OK && !fragment_is_whole(fd, (uint64_t)st.st_size, needed))
        err = FAIL_IO;
    close(fd);
    if (err == OK)
        *size = (uint64_t)st.st_size;
    return err;
}

static int measure_all(struct rendition *r)
{
    uint64_t unused;
    int err = measure(r, r->list.map, "moov", &unused);

    for (size_t i = 0; i < r->list.count && err == OK; i++) {
        struct segment *s = &r->list.segments[i];
        err = measure(r, s->name, "mdat", &s->size);
    }
    return err;
}

/* ISO/IEC 14496-15, 5.3.3.1: version, profile, compatibility, level. */
static int read_codec(struct rendition *r)
{
    struct buf init;
    int err = read_file(r->dir, r->list.map, PACKAGE_INIT_MAX, &init);

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

static int read_index(struct rendition *r)
{
    struct buf text;
    int err = read_file(r->dir, "index.m3u8", PACKAGE_INDEX_MAX, &text);

    if (err)
        return err;
    err = playlist_read(buf_str(&text), &r->list);
    buf_deinit(&text);
    return err == OK && (!r->list.is_ended || r->list.count == 0) ? FAIL_SYNTAX : err;
}

static int read_rendition(struct package *p, struct rendition *r, bool is_picture)
{
    r->dir = openat(p->dir, r->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (r->dir < 0)
        return fail_from_errno(errno);
    int err = read_index(r);
    if (err == OK && !is_picture)
        drop_tail(r);
    if (err == OK)
        err = measure_all(r);
    if (err == OK && is_picture)
        err = read_codec(r);
    else if (err == OK)
        snprintf(r->codec, sizeof(r->codec), "mp4a.40.2");
    return err;
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
    buf_printf(p->why, "what was made of its %s is not whole", what);
    return err;
}

static int read_all(struct package *p)
{
    for (unsigned i = 0; i < p->rung_count + p->audio_count; i++) {
        struct rendition *r = &p->items[i];
        if (i < p->rung_count)
            snprintf(r->name, sizeof(r->name), "%s", p->rungs[i].name);
        else
            recipe_audio_name(i - p->rung_count, r->name);
        int err = read_rendition(p, r, i < p->rung_count);
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
    if (err)
        return err;
    err = write_playlists(p);
    if (err == OK)
        err = write_master(p);
    if (err)
        buf_puts(p->why, err == FAIL_FULL ? "there is no space left"
                                          : "the playlists could not be written");
    return err;
}

int package_finish(const char *out_dir, const struct media_info *info, const struct rung *rungs,
                   unsigned rung_count, struct buf *why)
{
    struct package p = { .info = info,
                         .rungs = rungs,
                         .rung_count = rung_count,
                         .audio_count = recipe_audio_count(info),
                         .why = why };

    p.dir = open(out_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.dir < 0) {
        buf_puts(why, "the output folder is not there");
        return fail_from_errno(errno);
    }
    for (size_t i = 0; i < sizeof(p.items) / sizeof(p.items[0]); i++)
        p.items[i].dir = -1;
    int err = finish(&p);
    for (size_t i = 0; i < sizeof(p.items) / sizeof(p.items[0]); i++) {
        playlist_deinit(&p.items[i].list);
        if (p.items[i].dir >= 0)
            close(p.items[i].dir);
    }
    close(p.dir);
    return err;
}
