/* Publishing moves a tree's files under their key, file by file:
 *
 *   sync the files -> make the folders -> rename all but `last` -> sync the
 *   folders -> rename `last` -> sync its folder -> remove the empty tree
 *
 * Whoever finds `last` finds everything. After a crash between any two steps
 * the same call goes on where it broke off: what is still in the tree is moved,
 * what is not was moved before.
 *
 * Where several nodes share the folder: sync the files -> rename the tree. Of two
 * that do this only one has the tree (disk_scratch). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "storage/disk.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"

struct walk {
    const char *last; /* not below the top: NULL */
    int to;           /* the folder under the key that mirrors this one */
    unsigned depth;
    unsigned moved;
};

static int sync_entry(void *context, int fd, const char *name, const struct stat *st);

static int sync_tree(int dir, unsigned depth)
{
    if (depth >= TREE_DEPTH_MAX)
        return FAIL_LIMIT;
    int err = dir_each(dir, sync_entry, &depth);
    return err == OK ? dir_sync(dir) : err;
}

static int sync_entry(void *context, int fd, const char *name, const struct stat *st)
{
    const unsigned *depth = context;
    bool is_dir = S_ISDIR(st->st_mode);

    /* Links, pipes and the like are no part of a tree; refused before anything
     * has moved. */
    if (!is_dir && !S_ISREG(st->st_mode))
        return FAIL_UNSUPPORTED;
    int file = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return fail_from_errno(errno);
    int err =
        is_dir ? sync_tree(file, *depth + 1) : (fdatasync(file) == 0 ? OK : fail_from_errno(errno));
    close(file);
    return err;
}

static int move_entry(void *context, int fd, const char *name, const struct stat *st);

static int move_folder(struct walk *above, int fd, const char *name)
{
    struct walk walk = { .depth = above->depth + 1 };
    int from, err = walk.depth < TREE_DEPTH_MAX ? dir_open(fd, name, &from) : FAIL_LIMIT;

    if (err != OK)
        return err;
    err = dir_make(above->to, name, &walk.to);
    if (err == OK) {
        err = dir_each(from, move_entry, &walk);
        if (err == OK)
            err = dir_sync(walk.to);
        close(walk.to);
        above->moved += walk.moved;
    }
    close(from);
    return err;
}

static int move_entry(void *context, int fd, const char *name, const struct stat *st)
{
    struct walk *walk = context;

    if (S_ISDIR(st->st_mode))
        return move_folder(walk, fd, name);
    if (walk->last != NULL && str_equal(str_of(name), str_of(walk->last)))
        return OK;
    if (renameat(fd, name, walk->to, name) != 0)
        return fail_from_errno(errno);
    walk->moved++;
    return OK;
}

/* All but `last`. Reading a folder while it is emptied may skip an entry, so
 * it is read until nothing is left. */
static int move_files(int from, int to, const char *last)
{
    struct walk walk = { .last = last, .to = to };
    int err;

    do {
        walk.moved = 0;
        err = dir_each(from, move_entry, &walk);
    } while (err == OK && walk.moved > 0);
    return err == OK ? dir_sync(to) : err;
}

static bool is_there(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int add_size(void *context, int fd, const char *name, const struct stat *st)
{
    uint64_t *bytes = context;

    if (S_ISREG(st->st_mode))
        *bytes += (uint64_t)st->st_size;
    if (!S_ISDIR(st->st_mode))
        return OK;
    int below, err = dir_open(fd, name, &below);
    if (err != OK)
        return err;
    err = dir_each(below, add_size, bytes);
    close(below);
    return err;
}

/* Only empty folders go: a file that is there was not part of the tree. */
static int remove_empty(void *context, int fd, const char *name, const struct stat *st)
{
    int below;

    if (!S_ISDIR(st->st_mode) || dir_open(fd, name, &below) != OK)
        return OK;
    dir_each(below, remove_empty, context);
    close(below);
    unlinkat(fd, name, AT_REMOVEDIR);
    return OK;
}

static int move_tree(int from, int to, const char *last)
{
    int err = sync_tree(from, 0);

    if (err == OK)
        err = move_files(from, to, last);
    if (err == OK && renameat(from, last, to, last) != 0)
        err = fail_from_errno(errno);
    return err == OK ? dir_sync(to) : err;
}

/* Whether there is something under the key that was published whole. */
static bool is_published(struct disk *d, const char *key, const char *last)
{
    char path[PATH_KEY_MAX + 1];
    int fd, len = snprintf(path, sizeof path, "%s/%s", key, last);

    if (len < 0 || (size_t)len >= sizeof path || object_open_beneath(d->media_fd, path, &fd) != OK)
        return false;
    close(fd);
    return true;
}

/* `from` is -1 when the tree is gone. */
static int publish_from(struct disk *d, int from, const char *key, const char *last,
                        uint64_t *bytes)
{
    bool is_whole = from >= 0 && is_there(from, last);
    uint64_t sum = 0;
    int to, err = OK;

    if (!is_whole && !is_published(d, key, last))
        return FAIL_MISSING;
    /* A new tree over an old one: never a mixture of both. */
    if (is_whole && is_published(d, key, last))
        err = disk_unpublish(d, key);
    if (err == OK)
        err = dir_make_path(d->media_fd, key, &to);
    if (err != OK)
        return err;
    if (is_whole)
        err = move_tree(from, to, last);
    if (err == OK)
        err = dir_each(to, add_size, &sum);
    close(to);
    if (err == OK && bytes != NULL)
        *bytes = sum;
    return err;
}

static int rename_tree(struct disk *d, const char *tree, const char *key)
{
    char above[PATH_KEY_MAX + 1];
    const char *slash = strrchr(key, '/');
    int to;

    if (slash == NULL)
        return FAIL_SYNTAX;
    snprintf(above, sizeof above, "%.*s", (int)(slash - key), key);
    int err = dir_make_path(d->media_fd, above, &to);
    if (err != OK)
        return err;
    if (renameat(AT_FDCWD, tree, to, slash + 1) != 0)
        err = errno == ENOTEMPTY ? FAIL_EXISTS : fail_from_errno(errno);
    if (err == OK)
        err = dir_sync(to);
    close(to);
    return err;
}

static int sum_published(struct disk *d, const char *key, uint64_t *bytes)
{
    uint64_t sum = 0;
    const char *name;
    int above, at;
    int err = dir_open_parent(d->media_fd, key, &above, &name);

    if (err != OK)
        return err;
    err = dir_open(above, name, &at);
    close(above);
    if (err != OK)
        return err;
    err = dir_each(at, add_size, &sum);
    close(at);
    if (err == OK && bytes != NULL)
        *bytes = sum;
    return err;
}

static int publish_whole(struct disk *d, const char *tree, const char *key, const char *last,
                         uint64_t *bytes)
{
    int from, err = dir_open(AT_FDCWD, tree, &from);

    if (err == OK) {
        err = is_there(from, last) ? sync_tree(from, 0) : FAIL_MISSING;
        close(from);
        if (err == OK)
            err = rename_tree(d, tree, key);
    } else if (err == FAIL_MISSING) {
        err = is_published(d, key, last) ? OK : FAIL_MISSING;
    }
    return err == OK ? sum_published(d, key, bytes) : err;
}

int disk_publish(struct disk *d, const char *tree, const char *key, const char *last,
                 uint64_t *bytes)
{
    int from = -1;

    if (!path_is_normal(key) || !name_is_normal(str_of(last)))
        return FAIL_SYNTAX;
    if (d->is_shared)
        return publish_whole(d, tree, key, last, bytes);
    int err = dir_open(AT_FDCWD, tree, &from);
    if (err != OK && err != FAIL_MISSING)
        return err;
    err = publish_from(d, from, key, last, bytes);
    if (from < 0)
        return err;
    if (err == OK)
        dir_each(from, remove_empty, NULL);
    close(from);
    if (err == OK)
        rmdir(tree);
    return err;
}

/* Out of sight in one step, then removed at leisure; what a crash leaves in
 * work/ is removed by disk_clean. */
int disk_unpublish(struct disk *d, const char *key)
{
    char gone[64];
    const char *name;
    int dir, err;

    if (!path_is_normal(key))
        return FAIL_SYNTAX;
    err = dir_open_parent(d->media_fd, key, &dir, &name);
    if (err != OK)
        return err == FAIL_MISSING ? OK : err;
    snprintf(gone, sizeof gone, GONE_PREFIX "%016" PRIx64, random_u64());
    if (renameat(dir, name, d->work_fd, gone) != 0)
        err = errno == ENOENT ? OK : fail_from_errno(errno);
    else if ((err = dir_sync(dir)) == OK)
        err = dir_remove(d->work_fd, gone);
    close(dir);
    return err;
}
