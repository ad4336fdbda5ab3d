#include "storage/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"

enum { LOCK_PATIENCE_MS = 1000, LOCK_RETRY_MS = 10, SHARED_AGE_S = 24 * 3600 };

/* Like mkdir -p, for a path that the operator wrote: links are fine here. */
static int make_root(const char *root)
{
    char *path = mem_strdup(root);
    int err = OK;

    for (char *at = path; err == OK && *at != '\0';) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char kept = *at;
        *at = '\0';
        if (*path != '\0' && mkdir(path, 0750) != 0 && errno != EEXIST)
            err = fail_from_errno(errno);
        *at = kept;
    }
    mem_free(path);
    return err;
}

/* Written into the lock's file by those who share it. */
static const char shared_word[] = "shared";

static void tell_holder(const struct disk *d, struct buf *why)
{
    char holder[32];
    ssize_t len = pread(d->lock_fd, holder, sizeof holder - 1, 0);

    holder[len > 0 ? len : 0] = '\0';
    if (!d->is_shared && str_starts(str_of(holder), str_of(shared_word))) {
        buf_printf(why, "%s: in use by nodes that share it (--engine)", d->root);
        return;
    }
    holder[strspn(holder, "0123456789")] = '\0';
    buf_printf(why, "%s: in use by another server%s (process %s)", d->root,
               d->is_shared ? ", which does not share it" : "", *holder ? holder : "unknown");
}

/* A server that was killed while it started a child: between fork and exec that
 * child has the lock too, a moment longer than its parent. */
static int lock_patiently(int fd, int how)
{
    const struct timespec moment = { .tv_nsec = LOCK_RETRY_MS * 1000000 };
    int tries = LOCK_PATIENCE_MS / LOCK_RETRY_MS;

    while (flock(fd, how | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return FAIL_IO;
        if (tries-- <= 0)
            return FAIL_EXISTS;
        nanosleep(&moment, NULL);
    }
    return OK;
}

static int take_lock(struct disk *d, struct buf *why)
{
    d->lock_fd = openat(d->root_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (d->lock_fd < 0) {
        int err = fail_from_errno(errno);
        buf_printf(why, "%s/lock: %s", d->root, fail_text(err));
        return err;
    }
    int err = lock_patiently(d->lock_fd, d->is_shared ? LOCK_SH : LOCK_EX);
    if (err == FAIL_EXISTS)
        tell_holder(d, why);
    else if (err)
        buf_printf(why, "%s/lock: cannot be locked", d->root);
    if (err)
        return err;
    /* For people only, so it may fail: on a full disk the server still starts. */
    if (d->is_shared)
        dprintf(d->lock_fd, "%s\n", shared_word);
    else if (ftruncate(d->lock_fd, 0) == 0)
        dprintf(d->lock_fd, "%ld\n", (long)getpid());
    return OK;
}

static int make_folders(struct disk *d, struct buf *why)
{
    const struct {
        const char *name;
        int *fd;
    } folders[] = {
        { "uploads", &d->uploads_fd },
        { "work", &d->work_fd },
        { "media", &d->media_fd },
    };

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        int err = dir_make(d->root_fd, folders[i].name, folders[i].fd);
        if (err != OK) {
            buf_printf(why, "%s/%s: %s", d->root, folders[i].name, fail_text(err));
            return err;
        }
    }
    return dir_sync(d->root_fd);
}

static int open_root(struct disk *d, const char *root, struct buf *why)
{
    int err = make_root(root);
    char *resolved = err == OK ? realpath(root, NULL) : NULL;

    if (err == OK && resolved == NULL)
        err = fail_from_errno(errno);
    if (err == OK) {
        d->root = mem_strdup(resolved);
        errno = 0;
        d->root_fd = open(d->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (d->root_fd < 0)
            err = fail_from_errno(errno);
    }
    bool is_no_folder = err != OK && errno == ENOTDIR;
    /* From realpath, so not ours to mem_free. */
    free(resolved);
    if (err != OK)
        buf_printf(why, "%s: %s", root, is_no_folder ? "not a folder" : fail_text(err));
    return err;
}

int disk_open(const char *root, uint64_t min_free, bool is_shared, struct disk **out,
              struct buf *why)
{
    struct disk *d = mem_new(struct disk);

    d->root_fd = d->lock_fd = d->uploads_fd = d->work_fd = d->media_fd = -1;
    d->min_free = min_free;
    d->is_shared = is_shared;
    pthread_mutex_init(&d->lock, NULL);
    int err = open_root(d, root, why);
    if (err == OK)
        err = take_lock(d, why);
    if (err == OK)
        err = make_folders(d, why);
    if (err != OK) {
        disk_close(d);
        return err;
    }
    *out = d;
    return OK;
}

void disk_close(struct disk *d)
{
    if (d == NULL)
        return;
    /* The lock goes last. */
    const int fds[] = { d->uploads_fd, d->work_fd, d->media_fd, d->root_fd, d->lock_fd };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&d->lock);
    mem_free(d->root);
    mem_free(d);
}

const char *disk_root(const struct disk *d)
{
    return d->root;
}

/* What may still be promised; 0 when the file system does not say. */
static uint64_t available_locked(const struct disk *d)
{
    struct statvfs fs;

    if (fstatvfs(d->root_fd, &fs) != 0)
        return 0;
    uint64_t available = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
    if (available < d->min_free || available - d->min_free < d->promised)
        return 0;
    return available - d->min_free - d->promised;
}

int disk_reserve(struct disk *d, uint64_t bytes)
{
    int err = FAIL_FULL;

    pthread_mutex_lock(&d->lock);
    if (bytes <= available_locked(d)) {
        d->promised += bytes;
        err = OK;
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

void disk_unreserve(struct disk *d, uint64_t bytes)
{
    pthread_mutex_lock(&d->lock);
    d->promised -= bytes < d->promised ? bytes : d->promised;
    pthread_mutex_unlock(&d->lock);
}

uint64_t disk_available(struct disk *d)
{
    pthread_mutex_lock(&d->lock);
    uint64_t available = available_locked(d);
    pthread_mutex_unlock(&d->lock);
    return available;
}

/* What other nodes are using right now is younger. */
static bool is_leftover(const struct disk *d, const struct stat *st)
{
    return !d->is_shared || st->st_mtim.tv_sec < clock_wall_ms() / 1000 - SHARED_AGE_S;
}

static int clean_upload(void *context, int fd, const char *name, const struct stat *st)
{
    if (!S_ISREG(st->st_mode) || !str_ends(str_of(name), STR(".tmp")) || !is_leftover(context, st))
        return OK;
    return unlinkat(fd, name, 0) == 0 || errno == ENOENT ? OK : fail_from_errno(errno);
}

static int clean_uploads(void *context, int fd, const char *name, const struct stat *st)
{
    int below;

    if (!S_ISDIR(st->st_mode) || dir_open(fd, name, &below) != OK)
        return OK;
    int err = dir_each(below, clean_upload, context);
    close(below);
    /* Succeeds only for a folder without chunks. */
    if (is_leftover(context, st))
        unlinkat(fd, name, AT_REMOVEDIR);
    return err;
}

static int clean_gone(void *context, int fd, const char *name, const struct stat *st)
{
    if (!str_starts(str_of(name), STR(GONE_PREFIX)) || !is_leftover(context, st))
        return OK;
    return dir_remove(fd, name);
}

int disk_clean(struct disk *d)
{
    int err = dir_each(d->uploads_fd, clean_uploads, d);

    return err == OK ? dir_each(d->work_fd, clean_gone, d) : err;
}
