#include "storage/slices.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/job.h"
#include "core/limits.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"

enum { NAME_SIZE = 48, DIGITS = 6, COPY_BLOCK = 256 * 1024 };

static void chunk_name(uint32_t index, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, "%06" PRIu32, index);
}

static void part_name(uint32_t index, uint64_t size, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, "%06" PRIu32 ".%020" PRIu64 ".part", index, size);
}

/* What stands in a folder */

struct listing {
    int64_t sizes[CHUNKS_MAX]; /* of whole ones; -1: not there */
    uint64_t part;             /* of the one that grows, of the highest index */
    uint32_t part_index;
    bool has_part;
};

static bool parse_name(const char *name, uint32_t *index, uint64_t *part, bool *is_part)
{
    struct str rest = str_of(name), number = { rest.at, DIGITS }, size;
    char again[NAME_SIZE];
    uint64_t value;

    if (rest.len < DIGITS || str_parse_u64(number, CHUNKS_MAX - 1, &value) != OK)
        return false;
    *index = (uint32_t)value;
    *is_part = rest.len > DIGITS;
    if (!*is_part)
        return true;
    str_cut(&rest, '.');
    size = str_cut(&rest, '.');
    if (str_parse_u64(size, INT64_MAX, part) != OK)
        return false;
    part_name(*index, *part, again);
    return strcmp(again, name) == 0;
}

static int note(void *context, int fd, const char *name, const struct stat *st)
{
    struct listing *list = context;
    uint64_t part = 0;
    uint32_t index;
    bool is_part;

    (void)fd;
    if (!S_ISREG(st->st_mode) || !parse_name(name, &index, &part, &is_part))
        return OK;
    if (!is_part) {
        list->sizes[index] = st->st_size;
    } else if (!list->has_part || index >= list->part_index) {
        list->has_part = true;
        list->part_index = index;
        list->part = part;
    }
    return OK;
}

static int count_up(int dir, struct slices *out)
{
    struct listing *list = mem_new(struct listing);
    struct slices s = { 0 };

    for (uint32_t i = 0; i < CHUNKS_MAX; i++)
        list->sizes[i] = -1;
    int err = dir_each(dir, note, list);
    while (s.chunks < CHUNKS_MAX && list->sizes[s.chunks] >= 0)
        s.bytes += (uint64_t)list->sizes[s.chunks++];
    if (list->has_part && list->part_index == s.chunks) {
        s.grows = true;
        s.growing = list->part;
        s.bytes += s.growing;
        s.chunks++;
    }
    mem_free(list);
    if (err == OK)
        *out = s;
    return err;
}

static int open_upload(struct disk *d, const char *video, int *dir)
{
    return job_id_is_valid(str_of(video)) ? dir_open(d->uploads_fd, video, dir) : FAIL_MISSING;
}

int disk_slices(struct disk *d, const char *video, struct slices *out)
{
    int dir, err = open_upload(d, video, &dir);

    if (err == FAIL_MISSING) {
        *out = (struct slices){ 0 };
        return OK;
    }
    if (err)
        return err;
    err = count_up(dir, out);
    close(dir);
    return err;
}

/* One piece */

static int take_lock(int dir, int *lock)
{
    int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);

    if (fd < 0)
        return fail_from_errno(errno);
    while (flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        int err = fail_from_errno(errno);
        close(fd);
        return err;
    }
    *lock = fd;
    return OK;
}

static int copy_by_hand(int from, int to, off_t in, off_t at, uint64_t left)
{
    char *block = mem_alloc(COPY_BLOCK);
    int err = OK;

    while (left > 0 && err == OK) {
        ssize_t got = pread(from, block, left < COPY_BLOCK ? left : COPY_BLOCK, in);
        if (got == 0)
            err = FAIL_IO;
        ssize_t put = got > 0 ? pwrite(to, block, (size_t)got, at) : 0;
        if ((got < 0 || put < 0) && errno != EINTR)
            err = fail_from_errno(errno);
        if (put > 0) {
            in += put;
            at += put;
            left -= (uint64_t)put;
        }
    }
    mem_free(block);
    return err;
}

static int copy(int from, int to, off_t at, uint64_t left)
{
    off_t in = 0;

    while (left > 0) {
        ssize_t done = copy_file_range(from, &in, to, &at, left, 0);
        if (done > 0)
            left -= (uint64_t)done;
        else if (done == 0 || errno != EINTR)
            return copy_by_hand(from, to, in, at, left);
    }
    return OK;
}

/* What may lie behind `at` is of an addition that broke off: it never counted. */
static int append(int dir, const char *piece, uint64_t size, const char *name, uint64_t at)
{
    int err = FAIL_MISSING;
    int from = openat(dir, piece, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int to = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

    if (from >= 0 && to >= 0)
        err = copy(from, to, (off_t)at, size);
    if (err == OK && (ftruncate(to, (off_t)(at + size)) != 0 || fdatasync(to) != 0))
        err = fail_from_errno(errno);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return err;
}

static int move(int dir, const char *from, const char *to)
{
    return renameat(dir, from, dir, to) == 0 ? OK : fail_from_errno(errno);
}

/* The growing one takes the piece in, and its name says so. */
static int join(int dir, const struct chunk_write *w, struct slices *s)
{
    char before[NAME_SIZE], after[NAME_SIZE];

    part_name(s->chunks - 1, s->growing, before);
    part_name(s->chunks - 1, s->growing + w->size, after);
    int err = append(dir, w->tmp, w->size, before, s->growing);
    if (err == OK)
        err = move(dir, before, after);
    if (err)
        return err;
    unlinkat(dir, w->tmp, 0);
    s->growing += w->size;
    s->bytes += w->size;
    return OK;
}

/* The growing one grows no more. */
static int seal(int dir, struct slices *s)
{
    char part[NAME_SIZE], whole[NAME_SIZE];
    int err = OK;

    if (!s->grows)
        return OK;
    part_name(s->chunks - 1, s->growing, part);
    chunk_name(s->chunks - 1, whole);
    int fd = openat(dir, part, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_from_errno(errno);
    if (ftruncate(fd, (off_t)s->growing) != 0 || fdatasync(fd) != 0)
        err = fail_from_errno(errno);
    close(fd);
    if (err == OK)
        err = move(dir, part, whole);
    if (err == OK)
        s->grows = false;
    return err;
}

/* The piece is a chunk of its own, which may grow. */
static int begin_next(int dir, const struct chunk_write *w, uint64_t chunk_max, struct slices *s)
{
    char name[NAME_SIZE];

    if (s->chunks >= CHUNKS_MAX)
        return FAIL_LIMIT;
    bool grows = w->size < chunk_max;
    if (grows)
        part_name(s->chunks, w->size, name);
    else
        chunk_name(s->chunks, name);
    int err = fdatasync(w->fd) == 0 ? move(dir, w->tmp, name) : fail_from_errno(errno);
    if (err)
        return err;
    s->chunks++;
    s->bytes += w->size;
    s->grows = grows;
    s->growing = grows ? w->size : 0;
    return OK;
}

static int add(int dir, const struct chunk_write *w, const struct slice_end *end, struct slices *s)
{
    int err = OK;

    if (w->size == 0) {
        unlinkat(dir, w->tmp, 0);
    } else if (s->grows && s->growing + w->size <= end->chunk_max) {
        err = join(dir, w, s);
    } else {
        err = seal(dir, s);
        if (err == OK)
            err = begin_next(dir, w, end->chunk_max, s);
    }
    if (err == OK && end->is_last)
        err = seal(dir, s);
    return err ? err : dir_sync(dir);
}

static int commit_in(struct disk *d, int dir, const struct chunk_write *w,
                     const struct slice_end *end, struct slices *out)
{
    struct slices s;
    int lock = -1;
    int err = take_lock(dir, &lock);

    if (err)
        return err;
    err = count_up(dir, &s);
    if (err == OK && s.bytes != end->offset)
        err = FAIL_STATE;
    else if (err == OK)
        err = add(dir, w, end, &s);
    close(lock);
    if (err == OK)
        err = dir_sync(d->uploads_fd); /* the folder may be as new as its first piece */
    if (err == OK || err == FAIL_STATE)
        *out = s;
    return err;
}

static int seal_in(int dir, uint64_t size, struct slices *out)
{
    struct slices s;
    int lock = -1;
    int err = take_lock(dir, &lock);

    if (err)
        return err;
    err = count_up(dir, &s);
    if (err == OK && s.bytes == size)
        err = seal(dir, &s);
    close(lock);
    if (err == OK)
        err = dir_sync(dir);
    if (err == OK)
        *out = s;
    return err;
}

int disk_slices_of(struct disk *d, const char *video, int64_t size, struct slices *out)
{
    struct slices s;
    int dir, err = disk_slices(d, video, &s);

    if (err == OK && s.grows && size >= 0 && s.bytes == (uint64_t)size) {
        err = open_upload(d, video, &dir);
        if (err)
            return err;
        err = seal_in(dir, (uint64_t)size, &s);
        close(dir);
    }
    if (err == OK)
        *out = s;
    return err;
}

int disk_slice_commit(struct disk *d, struct chunk_write *w, const struct slice_end *end,
                      struct slices *out)
{
    int dir, err = open_upload(d, w->video, &dir);

    if (err == OK) {
        err = commit_in(d, dir, w, end, out);
        close(dir);
    }
    if (err) {
        disk_chunk_abort(d, w);
        return err;
    }
    close(w->fd);
    w->fd = -1;
    return OK;
}

/* Chunks of one that are also another's */

static int copy_chunk(int from_dir, const char *from, int to_dir, const char *to)
{
    struct stat st;
    int in = openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int out = openat(to_dir, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    int err = in >= 0 && out >= 0 && fstat(in, &st) == 0 ? OK : fail_from_errno(errno);

    if (err == OK)
        err = copy(in, out, 0, (uint64_t)st.st_size);
    if (err == OK && fdatasync(out) != 0)
        err = fail_from_errno(errno);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return err;
}

/* Not every file system has hard links. */
static int link_chunk(int from_dir, uint32_t from, int to_dir, uint32_t to)
{
    char old_name[NAME_SIZE], new_name[NAME_SIZE];

    chunk_name(from, old_name);
    chunk_name(to, new_name);
    if (linkat(from_dir, old_name, to_dir, new_name, 0) == 0)
        return OK;
    if (errno == ENOENT || errno == EEXIST || errno == ENOSPC || errno == EIO)
        return fail_from_errno(errno);
    return copy_chunk(from_dir, old_name, to_dir, new_name);
}

static int link_all(int from_dir, int to_dir, struct slices *out)
{
    struct slices from, to;
    int err = count_up(from_dir, &from);

    if (err == OK)
        err = count_up(to_dir, &to);
    if (err == OK && (from.grows || to.grows))
        err = FAIL_STATE;
    if (err == OK && from.chunks > CHUNKS_MAX - to.chunks)
        err = FAIL_LIMIT;
    for (uint32_t i = 0; err == OK && i < from.chunks; i++)
        err = link_chunk(from_dir, i, to_dir, to.chunks + i);
    if (err == OK)
        err = dir_sync(to_dir);
    if (err == OK)
        err = count_up(to_dir, out);
    return err;
}

int disk_slices_link(struct disk *d, const char *from, const char *to, struct slices *out)
{
    int from_dir, to_dir, err = open_upload(d, from, &from_dir);

    if (err == FAIL_MISSING)
        return disk_slices(d, to, out);
    if (err)
        return err;
    err = job_id_is_valid(str_of(to)) ? dir_make(d->uploads_fd, to, &to_dir) : FAIL_SYNTAX;
    if (err == OK) {
        err = link_all(from_dir, to_dir, out);
        close(to_dir);
    }
    close(from_dir);
    return err == OK ? dir_sync(d->uploads_fd) : err;
}
