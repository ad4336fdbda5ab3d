#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "core/job.h"
#include "core/limits.h"
#include "storage/disk.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"

enum {
    CHUNK_DIGITS = 6,
    CHUNK_INDEX_MAX = 999999, /* what that many digits can say */
    BEGIN_TRIES = 8,
};

_Static_assert(sizeof((struct chunk_write *)0)->video > JOB_ID_MAX, "an id must fit");

static void chunk_name(uint32_t index, char *out, size_t size)
{
    snprintf(out, size, "%0*" PRIu32, CHUNK_DIGITS, index);
}

/* Exactly the names that chunk_name makes. */
static bool parse_index(const char *name, uint32_t *index)
{
    uint64_t value;

    if (strlen(name) != CHUNK_DIGITS || str_parse_u64(str_of(name), CHUNK_INDEX_MAX, &value) != OK)
        return false;
    *index = (uint32_t)value;
    return true;
}

static int open_video(struct disk *d, const char *video, int *fd)
{
    return job_id_is_valid(str_of(video)) ? dir_open(d->uploads_fd, video, fd) : FAIL_MISSING;
}

int disk_chunk_begin(struct disk *d, const char *video, uint32_t index, struct chunk_write *w)
{
    struct chunk_write begun = { .fd = -1, .index = index, .tag = random_u64() };
    int err = FAIL_MISSING;

    if (!job_id_is_valid(str_of(video)))
        return FAIL_SYNTAX;
    if (index > CHUNK_INDEX_MAX)
        return FAIL_LIMIT;
    snprintf(begun.video, sizeof begun.video, "%s", video);
    snprintf(begun.tmp, sizeof begun.tmp, "%0*" PRIu32 ".%016" PRIx64 ".tmp", CHUNK_DIGITS, index,
             begun.tag);
    /* disk_chunks_remove may take the folder away between the two steps. */
    for (unsigned i = 0; err == FAIL_MISSING && i < BEGIN_TRIES; i++) {
        int dir;
        err = dir_make(d->uploads_fd, video, &dir);
        if (err != OK)
            continue;
        begun.fd = openat(dir, begun.tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
        err = begun.fd >= 0 ? OK : fail_from_errno(errno);
        close(dir);
    }
    if (err == OK)
        *w = begun;
    return err;
}

int disk_chunk_write(struct chunk_write *w, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = write(w->fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_from_errno(errno);
        at += n;
        len -= (size_t)n;
        w->size += (uint64_t)n;
    }
    return OK;
}

/* data, then name, then the folders that hold the name: in this order nothing
 * incomplete can ever be seen under the final name. */
static int commit_in(struct disk *d, int dir, const struct chunk_write *w)
{
    char name[16];

    chunk_name(w->index, name, sizeof name);
    if (fdatasync(w->fd) != 0 || renameat(dir, w->tmp, dir, name) != 0)
        return fail_from_errno(errno);
    int err = dir_sync(dir);
    /* The video's folder may be as new as its first chunk. */
    return err == OK ? dir_sync(d->uploads_fd) : err;
}

int disk_chunk_commit(struct disk *d, struct chunk_write *w)
{
    int dir, err = open_video(d, w->video, &dir);

    if (err == OK) {
        err = commit_in(d, dir, w);
        close(dir);
    }
    if (err != OK) {
        disk_chunk_abort(d, w);
        return err;
    }
    close(w->fd);
    w->fd = -1;
    return OK;
}

void disk_chunk_abort(struct disk *d, struct chunk_write *w)
{
    int dir;

    if (w->fd < 0)
        return;
    close(w->fd);
    w->fd = -1;
    if (open_video(d, w->video, &dir) != OK)
        return;
    unlinkat(dir, w->tmp, 0);
    close(dir);
    /* Succeeds only when nothing else is there. */
    unlinkat(d->uploads_fd, w->video, AT_REMOVEDIR);
}

struct listing {
    int64_t *sizes;
    uint32_t count, beyond, found;
};

static int list_chunk(void *context, int fd, const char *name, const struct stat *st)
{
    struct listing *list = context;
    uint32_t index;

    (void)fd;
    if (!S_ISREG(st->st_mode) || !parse_index(name, &index))
        return OK;
    list->found++;
    if (index < list->count)
        list->sizes[index] = st->st_size;
    else
        list->beyond++;
    return OK;
}

int disk_chunks(struct disk *d, const char *video, int64_t *sizes, uint32_t count, uint32_t *beyond)
{
    struct listing list = { .sizes = sizes, .count = count };
    int dir, err = open_video(d, video, &dir);

    if (err != OK)
        return err;
    for (uint32_t i = 0; i < count; i++)
        sizes[i] = -1;
    err = dir_each(dir, list_chunk, &list);
    close(dir);
    if (err == OK && list.found == 0)
        err = FAIL_MISSING;
    if (err == OK)
        *beyond = list.beyond;
    return err;
}

int disk_chunk_open(struct disk *d, const char *video, uint32_t index, int *fd, uint64_t *size)
{
    char name[16];
    struct stat st;
    int dir, opened, err = index <= CHUNK_INDEX_MAX ? open_video(d, video, &dir) : FAIL_MISSING;

    if (err != OK)
        return err;
    chunk_name(index, name, sizeof name);
    err = object_open_by_steps(dir, name, &opened);
    close(dir);
    if (err != OK)
        return err;
    if (fstat(opened, &st) != 0) {
        err = fail_from_errno(errno);
        close(opened);
        return err;
    }
    *fd = opened;
    *size = (uint64_t)st.st_size;
    return OK;
}

int disk_chunks_remove(struct disk *d, const char *video)
{
    return job_id_is_valid(str_of(video)) ? dir_remove(d->uploads_fd, video) : FAIL_SYNTAX;
}

static void touch(int64_t *newest_ms, const struct stat *st)
{
    int64_t ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;

    if (ms > *newest_ms)
        *newest_ms = ms;
}

static int touch_entry(void *context, int fd, const char *name, const struct stat *st)
{
    (void)fd;
    (void)name;
    touch(context, st);
    return OK;
}

int disk_chunks_touched(struct disk *d, const char *video, int64_t *when_ms)
{
    int64_t newest_ms = INT64_MIN;
    struct stat st;
    int dir, err = open_video(d, video, &dir);

    if (err != OK)
        return err;
    /* The folder's own time is when a name last came; the files' also tell of
     * one that is still being received. */
    if (fstat(dir, &st) == 0)
        touch(&newest_ms, &st);
    err = dir_each(dir, touch_entry, &newest_ms);
    close(dir);
    if (err == OK)
        *when_ms = newest_ms;
    return err;
}
