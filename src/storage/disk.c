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

#include "base/err.h"
#include "base/mem.h"
#include "core/job.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"

enum { LOCK_PATIENCE_MS = 1000, LOCK_RETRY_MS = 10 };

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

static void tell_holder(int fd, const char *root, struct buf *why)
{
    char pid[32];
    ssize_t len = pread(fd, pid, sizeof pid - 1, 0);

    pid[len > 0 ? len : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    buf_printf(why, "%s: in use by another server (process %s)", root, *pid ? pid : "unknown");
}

/* A server that was killed while it started a child: between fork and exec that
 * child has the lock too, a moment longer than its parent. */
static int lock_patiently(int fd)
{
    const struct timespec moment = { .tv_nsec = LOCK_RETRY_MS * 1000000 };
    int tries = LOCK_PATIENCE_MS / LOCK_RETRY_MS;

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
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
    int err = lock_patiently(d->lock_fd);
    if (err == FAIL_EXISTS)
        tell_holder(d->lock_fd, d->root, why);
    else if (err)
        buf_printf(why, "%s/lock: cannot be locked", d->root);
    if (err)
        return err;
    /* For people only, so it may fail: on a full disk the server still starts. */
    if (ftruncate(d->lock_fd, 0) == 0)
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
        d->root_fd = open(d->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (d->root_fd < 0)
            err = fail_from_errno(errno);
    }
    /* From realpath, so not ours to mem_free. */
    free(resolved);
    if (err != OK)
        buf_printf(why, "%s: %s", root, fail_text(err));
    return err;
}

int disk_open(const char *root, uint64_t min_free, struct disk **out, struct buf *why)
{
    struct disk *d = mem_new(struct disk);

    d->root_fd = d->lock_fd = d->uploads_fd = d->work_fd = d->media_fd = -1;
    d->min_free = min_free;
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

int disk_scratch(struct disk *d, const char *job, struct buf *out)
{
    int fd;

    if (!job_id_is_valid(str_of(job)))
        return FAIL_SYNTAX;
    int err = dir_make(d->work_fd, job, &fd);
    if (err != OK)
        return err;
    close(fd);
    return buf_printf(out, "%s/work/%s", d->root, job) ? OK : FAIL_LIMIT;
}

int disk_scratch_remove(struct disk *d, const char *job)
{
    if (!job_id_is_valid(str_of(job)))
        return FAIL_SYNTAX;
    return dir_remove(d->work_fd, job);
}

static int remove_but(void *context, int fd, const char *name, const struct stat *st)
{
    (void)st;
    return strcmp(name, context) == 0 ? OK : dir_remove(fd, name);
}

int disk_scratch_clear(struct disk *d, const char *job, const char *keep)
{
    int fd;

    if (!job_id_is_valid(str_of(job)))
        return FAIL_SYNTAX;
    int err = dir_open(d->work_fd, job, &fd);
    if (err)
        return err;
    err = dir_each(fd, remove_but, (void *)(uintptr_t)keep);
    close(fd);
    return err;
}

static int clean_upload(void *context, int fd, const char *name, const struct stat *st)
{
    (void)context;
    if (!S_ISREG(st->st_mode) || !str_ends(str_of(name), STR(".tmp")))
        return OK;
    return unlinkat(fd, name, 0) == 0 ? OK : fail_from_errno(errno);
}

static int clean_uploads(void *context, int fd, const char *name, const struct stat *st)
{
    int below;

    if (!S_ISDIR(st->st_mode) || dir_open(fd, name, &below) != OK)
        return OK;
    int err = dir_each(below, clean_upload, context);
    close(below);
    /* Succeeds only for a folder without chunks. */
    unlinkat(fd, name, AT_REMOVEDIR);
    return err;
}

static int clean_gone(void *context, int fd, const char *name, const struct stat *st)
{
    (void)context;
    (void)st;
    return str_starts(str_of(name), STR(GONE_PREFIX)) ? dir_remove(fd, name) : OK;
}

int disk_clean(struct disk *d)
{
    int err = dir_each(d->uploads_fd, clean_uploads, NULL);

    return err == OK ? dir_each(d->work_fd, clean_gone, NULL) : err;
}
