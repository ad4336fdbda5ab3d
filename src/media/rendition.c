#include "media/rendition.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/fragment.h"

enum { INDEX_MAX = 32 << 20, INIT_MAX = 1 << 20 };

/* Neither through a link nor waiting for a pipe's other end: what lies there
 * was written by a program that had read a stranger's bytes. */
static int open_file(int dir, const char *name, uint64_t *size)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return fail_from_errno(errno);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return FAIL_IO;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

int rendition_read_file(int dir, const char *name, size_t max, struct buf *out)
{
    uint64_t size = 0;
    int fd = open_file(dir, name, &size);
    int err = OK;

    if (fd < 0)
        return fd;
    buf_init(out, max);
    char *at = size <= max ? buf_reserve(out, (size_t)size) : NULL;
    if (at == NULL)
        err = FAIL_LIMIT;
    else if (read(fd, at, (size_t)size) != (ssize_t)size)
        err = FAIL_IO;
    else
        out->len = (size_t)size;
    close(fd);
    if (err)
        buf_deinit(out);
    return err;
}

void rendition_close(struct rendition *r)
{
    playlist_deinit(&r->list);
    if (r->dir >= 0)
        close(r->dir);
    r->dir = -1;
}

static int read_index(struct rendition *r)
{
    struct buf text;
    int err = rendition_read_file(r->dir, "index.m3u8", INDEX_MAX, &text);

    if (err)
        return err;
    err = playlist_read(buf_str(&text), &r->list);
    buf_deinit(&text);
    return err == OK && (!r->list.is_ended || r->list.count == 0) ? FAIL_SYNTAX : err;
}

int rendition_open(int tree, const char *name, struct rendition *out)
{
    struct rendition r = { .dir = -1 };

    snprintf(r.name, sizeof(r.name), "%s", name);
    r.dir = openat(tree, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (r.dir < 0)
        return fail_from_errno(errno);
    int err = read_index(&r);
    if (err)
        rendition_close(&r);
    else
        *out = r;
    return err;
}

/* The size of a whole piece of the rendition. */
static int measure(const struct rendition *r, const char *name, const char *needed, uint64_t *size)
{
    uint64_t have = 0;
    int fd = open_file(r->dir, name, &have);

    if (fd < 0)
        return fd;
    int err = fragment_is_whole(fd, have, needed) ? OK : FAIL_IO;
    close(fd);
    if (err == OK)
        *size = have;
    return err;
}

int rendition_measure(struct rendition *r)
{
    uint64_t unused;
    int err = measure(r, r->list.map, "moov", &unused);

    for (size_t i = 0; i < r->list.count && err == OK; i++) {
        struct segment *s = &r->list.segments[i];
        err = measure(r, s->name, "mdat", &s->size);
    }
    return err;
}

void rendition_segment_name(uint32_t number, char out[PLAYLIST_NAME])
{
    snprintf(out, PLAYLIST_NAME, "s%05u.m4s", (unsigned)number);
}

int rendition_segment(int dir, const char *name, struct fragment *out)
{
    uint64_t size = 0;
    int fd = open_file(dir, name, &size);

    if (fd < 0)
        return fd;
    int err = fragment_read(fd, size, out);
    close(fd);
    return err;
}

static bool is_whole_init(int dir, const char *name)
{
    uint64_t size = 0;
    int fd = open_file(dir, name, &size);
    bool is_whole = fd >= 0 && fragment_is_whole(fd, size, "moov");

    if (fd >= 0)
        close(fd);
    return is_whole;
}

bool rendition_same_init(int dir, const char *a, const char *b)
{
    struct buf first, second;

    if (!is_whole_init(dir, a) || !is_whole_init(dir, b) ||
        rendition_read_file(dir, a, INIT_MAX, &first) != OK)
        return false;
    if (rendition_read_file(dir, b, INIT_MAX, &second) != OK) {
        buf_deinit(&first);
        return false;
    }
    bool is_same = str_equal(buf_str(&first), buf_str(&second));
    buf_deinit(&first);
    buf_deinit(&second);
    return is_same;
}

static void put_in_front(struct playlist *list, uint32_t count)
{
    size_t all = list->count + count;
    struct segment *segments = mem_alloc(all * sizeof(*segments));

    memset(segments, 0, count * sizeof(*segments));
    memcpy(segments + count, list->segments, list->count * sizeof(*segments));
    for (uint32_t i = 0; i < count; i++)
        rendition_segment_name(i, segments[i].name);
    mem_free(list->segments);
    list->segments = segments;
    list->count = all;
}

int rendition_join(struct rendition *r, const struct recipe_start *start, const char *init,
                   const struct media_info *info)
{
    char expected[PLAYLIST_NAME];
    struct fragment f = { 0 };
    uint64_t end = 0;

    if (!rendition_same_init(r->dir, init, r->list.map))
        return FAIL_STATE;
    put_in_front(&r->list, start->segments);
    for (size_t i = 0; i < r->list.count; i++) {
        struct segment *s = &r->list.segments[i];
        rendition_segment_name((uint32_t)i, expected);
        if (strcmp(s->name, expected) != 0 || rendition_segment(r->dir, s->name, &f) != OK ||
            f.begin != end)
            return FAIL_STATE;
        end += f.duration;
        r->frames += f.samples;
        s->seconds = (double)f.samples * info->fps_den / info->fps_num;
    }
    snprintf(r->list.map, sizeof(r->list.map), "%s", init);
    return OK;
}
