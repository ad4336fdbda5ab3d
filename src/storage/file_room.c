#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"
#include "storage/file_driver.h"

#define HIDDEN ".reelay"

enum {
    BUFFER_SIZE = 256 * 1024,
    PLACE_TRIES = 8,
    LEFT_BEHIND_S = 24 * 60 * 60, /* nobody writes one file for longer */
};

static int remove_left_behind(void *context, int fd, const char *name, const struct stat *st)
{
    const int64_t *now_s = context;

    if (S_ISREG(st->st_mode) && *now_s - st->st_mtim.tv_sec > LEFT_BEHIND_S)
        unlinkat(fd, name, 0);
    return OK;
}

int file_room_open(const char *root, struct file_room *out)
{
    struct file_room r = { .root_fd = -1, .new_fd = -1, .uploads_fd = -1 };
    int64_t now_s = clock_wall_ms() / 1000;
    int err = OK;

    if (mkdir(root, 0750) != 0 && errno != EEXIST)
        return fail_from_errno(errno);
    /* What leads to the folder may be a link; nothing in it may. */
    r.root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r.root_fd < 0)
        err = errno == ENOTDIR ? FAIL_EXISTS : fail_from_errno(errno);
    if (err == OK)
        err = dir_make_path(r.root_fd, HIDDEN "/new", &r.new_fd);
    if (err == OK)
        err = dir_make_path(r.root_fd, HIDDEN "/uploads", &r.uploads_fd);
    if (err == OK)
        err = dir_each(r.new_fd, remove_left_behind, &now_s);
    if (err != OK) {
        file_room_close(&r);
        return err;
    }
    r.root = mem_strdup(root);
    *out = r;
    return OK;
}

void file_room_close(struct file_room *r)
{
    int fds[] = { r->uploads_fd, r->new_fd, r->root_fd };

    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    mem_free(r->root);
    r->root = NULL;
    r->uploads_fd = r->new_fd = r->root_fd = -1;
}

static bool is_hidden(const char *key)
{
    size_t len = sizeof HIDDEN - 1;

    return strncmp(key, HIDDEN, len) == 0 && (key[len] == '\0' || key[len] == '/');
}

int file_draft_make(const struct file_room *r, struct file_draft *out)
{
    unsigned char bytes[(FILE_ID_SIZE - 1) / 2];
    struct file_draft d;

    random_bytes(bytes, sizeof bytes);
    encode_hex(bytes, sizeof bytes, d.name);
    d.fd = openat(r->new_fd, d.name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (d.fd < 0)
        return fail_from_errno(errno);
    *out = d;
    return OK;
}

void file_draft_drop(const struct file_room *r, struct file_draft *d)
{
    if (d->fd < 0)
        return;
    close(d->fd);
    d->fd = -1;
    unlinkat(r->new_fd, d->name, 0);
}

/* FAIL_STALE: the folder is gone. */
static int rename_draft(const struct file_room *r, const struct file_draft *d, int dir,
                        const char *name)
{
    if (renameat(r->new_fd, d->name, dir, name) == 0)
        return dir_sync(dir);
    if (errno == EISDIR || errno == ENOTEMPTY)
        return FAIL_EXISTS;
    return errno == ENOENT ? FAIL_STALE : fail_from_errno(errno);
}

int file_draft_sync(const struct file_draft *d)
{
    return fsync(d->fd) == 0 ? OK : fail_from_errno(errno);
}

int file_draft_place_at(const struct file_room *r, struct file_draft *d, int dir, const char *name)
{
    int err = rename_draft(r, d, dir, name);
    if (err != OK)
        return err == FAIL_STALE ? FAIL_MISSING : err;
    close(d->fd);
    d->fd = -1;
    return OK;
}

/* The folder that a key is in, made if need be. */
static int make_parent(const struct file_room *r, const char *key, int *dir, const char **name)
{
    const char *slash = strrchr(key, '/');
    char above[PATH_KEY_MAX + 1];

    *name = slash == NULL ? key : slash + 1;
    if (slash == NULL)
        return dir_open_parent(r->root_fd, key, dir, name);
    memcpy(above, key, (size_t)(slash - key));
    above[slash - key] = '\0';
    return dir_make_path(r->root_fd, above, dir);
}

int file_draft_place(const struct file_room *r, struct file_draft *d, const char *key)
{
    int err = OK;

    if (is_hidden(key))
        return FAIL_SYNTAX;
    /* Who removes the last object of the folder removes that too: then once more. */
    for (unsigned i = 0; i < PLACE_TRIES; i++) {
        const char *name;
        int dir;
        err = make_parent(r, key, &dir, &name);
        if (err == OK) {
            err = rename_draft(r, d, dir, name);
            close(dir);
        }
        if (err != FAIL_STALE && err != FAIL_MISSING)
            break;
    }
    /* An object, or a link, stands where a folder would have to be. */
    if (err != OK)
        return err == FAIL_MISSING || err == FAIL_STALE ? FAIL_EXISTS : err;
    close(d->fd);
    d->fd = -1;
    return OK;
}

/* Where the file systems cannot do it among themselves. */
static int copy_slowly(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t length)
{
    char *buffer = mem_alloc(BUFFER_SIZE);
    int err = OK;

    while (err == OK && length > 0) {
        size_t len = length < BUFFER_SIZE ? (size_t)length : BUFFER_SIZE;
        ssize_t got = pread(from, buffer, len, (off_t)from_at);
        if (got < 0 && errno == EINTR)
            continue;
        ssize_t put = got > 0 ? pwrite(to, buffer, (size_t)got, (off_t)to_at) : got;
        if (put <= 0) {
            err = got == 0 ? FAIL_STATE : fail_from_errno(errno);
            break;
        }
        from_at += (uint64_t)put;
        to_at += (uint64_t)put;
        length -= (uint64_t)put;
    }
    mem_free(buffer);
    return err;
}

static bool is_for_others(int errno_value)
{
    return errno_value == EXDEV || errno_value == EINVAL || errno_value == ENOSYS ||
           errno_value == EOPNOTSUPP || errno_value == EBADF;
}

int file_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t length)
{
    while (length > 0) {
        off_t in = (off_t)from_at, out = (off_t)to_at;
        ssize_t done = copy_file_range(from, &in, to, &out, (size_t)length, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && !is_for_others(errno))
            return fail_from_errno(errno);
        if (done <= 0) /* 0 also where it has no idea, as in /proc */
            return copy_slowly(from, from_at, to, to_at, length);
        from_at += (uint64_t)done;
        to_at += (uint64_t)done;
        length -= (uint64_t)done;
    }
    return OK;
}

int file_object_open(const struct file_room *r, const char *key, int *fd, struct stat *st)
{
    int opened, err = is_hidden(key) ? FAIL_MISSING : object_open_beneath(r->root_fd, key, &opened);

    if (err != OK)
        return err;
    if (fstat(opened, st) != 0 || !S_ISREG(st->st_mode)) {
        close(opened);
        return FAIL_MISSING;
    }
    *fd = opened;
    return OK;
}

/* Files are never written in place: another content is another inode, or another time. */
void file_etag(const struct stat *st, char out[FILE_ETAG_SIZE])
{
    uint64_t ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;

    snprintf(out, FILE_ETAG_SIZE, "%" PRIx64 "-%" PRIx64 "-%" PRIx64, (uint64_t)st->st_ino,
             (uint64_t)st->st_size, ns);
}

/* From the innermost one on, up to one that is not empty. */
static void remove_empty_parents(const struct file_room *r, const char *key)
{
    char path[PATH_KEY_MAX + 1];
    const char *name;
    char *slash;
    int dir;

    snprintf(path, sizeof path, "%s", key);
    while ((slash = strrchr(path, '/')) != NULL) {
        *slash = '\0';
        if (dir_open_parent(r->root_fd, path, &dir, &name) != OK)
            continue;
        bool is_gone = unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
        close(dir);
        if (!is_gone)
            return;
    }
}

int file_remove(const struct file_room *r, const char *key)
{
    const char *name;
    int dir, err;

    if (is_hidden(key))
        return FAIL_SYNTAX;
    err = dir_open_parent(r->root_fd, key, &dir, &name);
    if (err != OK)
        return err == FAIL_MISSING ? OK : err;
    if (unlinkat(dir, name, 0) == 0)
        err = dir_sync(dir);
    else if (errno != ENOENT && errno != EISDIR)
        err = fail_from_errno(errno);
    close(dir);
    if (err == OK)
        remove_empty_parents(r, key);
    return err;
}
