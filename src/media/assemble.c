#include "media/assemble.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

enum { COPY_SLICE = 1024 * 1024, RANGE_SLICE = 64 * 1024 * 1024, WRITE_BEHIND = 16 * 1024 * 1024 };

/* copy_file_range shares the blocks on XFS and Btrfs; where the file system
 * cannot (EXDEV, EINVAL, ENOSYS, EOPNOTSUPP), bytes are moved by hand. */
static int copy_by_hand(int from, int to, uint64_t left, const atomic_bool *is_stopped)
{
    char *slice = mem_alloc(COPY_SLICE);
    int err = OK;

    while (left > 0 && err == OK) {
        ssize_t got = read(from, slice, COPY_SLICE);
        if (got == 0)
            err = FAIL_IO;
        if (atomic_load(is_stopped))
            err = FAIL_CANCELLED;
        for (ssize_t done = 0; got > 0 && done < got;) {
            ssize_t put = write(to, slice + done, (size_t)(got - done));
            if (put < 0 && errno != EINTR) {
                err = fail_from_errno(errno);
                break;
            }
            done += put > 0 ? put : 0;
        }
        if (got < 0 && errno != EINTR)
            err = fail_from_errno(errno);
        left -= got > 0 ? (uint64_t)got : 0;
    }
    mem_free(slice);
    return err;
}

static int copy_whole(int from, int to, uint64_t size, const atomic_bool *is_stopped)
{
    uint64_t left = size;

    while (left > 0) {
        if (atomic_load(is_stopped))
            return FAIL_CANCELLED;
        size_t slice = left < RANGE_SLICE ? (size_t)left : RANGE_SLICE;
        ssize_t done = copy_file_range(from, NULL, to, NULL, slice, 0);
        if (done > 0) {
            left -= (uint64_t)done;
            continue;
        }
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return fail_from_errno(errno);
        return copy_by_hand(from, to, left, is_stopped);
    }
    return OK;
}

static int append_chunk(const struct assembly *a, uint32_t index, int to, uint64_t *size,
                        struct buf *why)
{
    uint64_t chunk_size;
    int from;
    int err = disk_chunk_open(a->disk, a->video, index, &from, &chunk_size);

    if (err) {
        buf_printf(why, "chunk %u of %u could not be opened: %s", index, a->total_chunks,
                   fail_text(err));
        return err;
    }
    err = copy_whole(from, to, chunk_size, a->is_stopped);
    if (err)
        buf_printf(why, "chunk %u of %u could not be copied: %s", index, a->total_chunks,
                   fail_text(err));
    close(from);
    *size += chunk_size;
    return err;
}

/* Asks for what was appended to be on its way to the disk while more is copied, so that the
 * sync at the end waits for little. Only a wish: the sync is what counts. */
static void push(int to, uint64_t size, uint64_t *pushed)
{
    if (size - *pushed < WRITE_BEHIND)
        return;
    sync_file_range(to, (off_t)*pushed, (off_t)(size - *pushed), SYNC_FILE_RANGE_WRITE);
    *pushed = size;
}

static int append_all(const struct assembly *a, int to, uint64_t *size, struct buf *why)
{
    uint64_t pushed = 0;

    for (uint32_t i = 0; i < a->total_chunks; i++) {
        if (atomic_load(a->is_stopped))
            return FAIL_CANCELLED;
        a->progress(a->context, i + 1);
        int err = append_chunk(a, i, to, size, why);
        if (err)
            return err;
        push(to, *size, &pushed);
    }
    return OK;
}

static int sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = mem_strndup(path, slash ? (size_t)(slash - path) : 0);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd >= 0 && fsync(fd) == 0 ? OK : fail_from_errno(errno);

    if (fd >= 0)
        close(fd);
    mem_free(folder);
    return err;
}

int assembled_settle(const char *part, const char *path, int fd, struct buf *why)
{
    if (fdatasync(fd) == 0 && rename(part, path) == 0 && sync_folder_of(path) == OK)
        return OK;
    int err = fail_from_errno(errno);
    buf_printf(why, "the assembled file could not be saved: %s", fail_text(err));
    return err ? err : FAIL_IO;
}

/* A chunk is never changed once it has its name, only replaced: so an only one
 * need not be copied. -1 where the file system has no hard links. */
static int link_chunk(const struct assembly *a, const char *part, uint64_t *size)
{
    char opened[32];
    int fd;

    if (a->total_chunks != 1 || disk_chunk_open(a->disk, a->video, 0, &fd, size) != OK)
        return -1;
    snprintf(opened, sizeof(opened), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, opened, AT_FDCWD, part, AT_SYMLINK_FOLLOW) == 0)
        return fd;
    close(fd);
    return -1;
}

static int write_part(const struct assembly *a, const char *part, int *fd, uint64_t *size,
                      struct buf *why)
{
    *fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return *fd >= 0 ? append_all(a, *fd, size, why) : fail_from_errno(errno);
}

static int make_part(const struct assembly *a, const char *part, int *fd, uint64_t *size,
                     struct buf *why)
{
    /* It may be a chunk's other name: never truncate it. */
    if (unlink(part) != 0 && errno != ENOENT)
        return fail_from_errno(errno);
    *fd = link_chunk(a, part, size);
    if (*fd < 0)
        return write_part(a, part, fd, size, why);
    a->progress(a->context, 1);
    return OK;
}

int assemble(const struct assembly *a, uint64_t *size, struct buf *why)
{
    struct buf part;
    uint64_t total = 0;
    int fd = -1;

    buf_init(&part, 4096);
    buf_printf(&part, "%s.part", a->path);
    int err = make_part(a, buf_text(&part), &fd, &total, why);
    if (err == OK) {
        a->progress(a->context, a->total_chunks + 1);
        err = assembled_settle(buf_text(&part), a->path, fd, why);
    }
    if (fd >= 0)
        close(fd);
    if (err && why->len == 0)
        buf_printf(why, "the assembled file could not be written: %s", fail_text(err));
    /* rename(2) keeps it where both are names of one chunk. */
    unlink(buf_text(&part));
    buf_deinit(&part);
    if (err == OK)
        *size = total;
    return err;
}
