#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "storage/disk.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"

/* O_NONBLOCK: should somebody have put a pipe there, opening it must not hang. */
enum { OBJECT_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

/* Whatever is in the way, for the reader the object is not there. */
static int fail_from_open(int errno_value)
{
    switch (errno_value) {
    case ELOOP:
    case ENOTDIR:
    case EXDEV:
    case ENXIO:
    case ENAMETOOLONG: return FAIL_MISSING;
    default: return fail_from_errno(errno_value);
    }
}

int object_open_by_steps(int root, const char *key, int *fd)
{
    int dir, err;
    const char *name;

    if (!path_is_normal(key))
        return FAIL_MISSING;
    err = dir_open_parent(root, key, &dir, &name);
    if (err != OK)
        return err;
    int opened = openat(dir, name, OBJECT_FLAGS);
    if (opened < 0)
        err = fail_from_open(errno);
    else
        *fd = opened;
    close(dir);
    return err;
}

int object_open_beneath(int root, const char *key, int *fd)
{
    struct open_how how = {
        .flags = OBJECT_FLAGS,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };

    if (!path_is_normal(key))
        return FAIL_MISSING;
    int opened = (int)syscall(SYS_openat2, root, key, &how, sizeof how);
    /* Older container runtimes answer EPERM to calls they do not know. */
    if (opened < 0 && (errno == ENOSYS || errno == EPERM))
        return object_open_by_steps(root, key, fd);
    if (opened < 0)
        return fail_from_open(errno);
    *fd = opened;
    return OK;
}

/* Files are never written in place, so a new content is a new inode; the time
 * covers inode numbers that are used again. */
static void make_etag(const struct stat *st, char *out, size_t size)
{
    uint64_t ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;

    snprintf(out, size, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"",
             (uint64_t)st->st_ino & 0xffffffffffu, (uint64_t)st->st_size, ns);
}

int disk_object_open(struct disk *d, const char *key, struct object *out)
{
    struct stat st;
    int fd, err = object_open_beneath(d->media_fd, key, &fd);

    if (err != OK)
        return err;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return FAIL_MISSING;
    }
    *out = (struct object){
        .fd = fd,
        .size = (uint64_t)st.st_size,
        .modified_s = st.st_mtim.tv_sec,
    };
    make_etag(&st, out->etag, sizeof out->etag);
    return OK;
}

void object_close(struct object *o)
{
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
}
