#include "storage/disk_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

enum { REMOVE_TRIES = 8 };

bool name_is_normal(struct str name)
{
    if (name.len == 0 || name.len > NAME_MAX)
        return false;
    if (memchr(name.at, '/', name.len) != NULL || memchr(name.at, '\0', name.len) != NULL)
        return false;
    return !str_equal(name, STR(".")) && !str_equal(name, STR(".."));
}

bool path_is_normal(const char *path)
{
    struct str rest = str_of(path);

    if (rest.len == 0 || rest.len > PATH_KEY_MAX)
        return false;
    while (rest.at != NULL)
        if (!name_is_normal(str_cut(&rest, '/')))
            return false;
    return true;
}

int dir_open(int parent, const char *name, int *fd)
{
    int opened = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (opened < 0)
        return errno == ELOOP || errno == ENOTDIR ? FAIL_MISSING : fail_from_errno(errno);
    *fd = opened;
    return OK;
}

int dir_make(int parent, const char *name, int *fd)
{
    if (mkdirat(parent, name, 0750) != 0 && errno != EEXIST)
        return fail_from_errno(errno);
    return dir_open(parent, name, fd);
}

/* The next component of `path`, copied; moves `path` behind it. */
static void next_name(const char **path, char name[NAME_MAX + 1])
{
    size_t len = strcspn(*path, "/");

    memcpy(name, *path, len);
    name[len] = '\0';
    *path += len + ((*path)[len] == '/');
}

int dir_make_path(int parent, const char *path, int *fd)
{
    char name[NAME_MAX + 1];
    int at = -1;

    while (*path != '\0') {
        int below, above = at < 0 ? parent : at;
        next_name(&path, name);
        int err = dir_make(above, name, &below);
        /* Also when it was there: whoever made it may not have synced yet. */
        if (err == OK && (err = dir_sync(above)) != OK)
            close(below);
        if (at >= 0)
            close(at);
        if (err != OK)
            return err;
        at = below;
    }
    *fd = at;
    return OK;
}

int dir_open_parent(int root, const char *path, int *fd, const char **name)
{
    char component[NAME_MAX + 1];
    int at = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (at < 0)
        return fail_from_errno(errno);
    while (strchr(path, '/') != NULL) {
        int below;
        next_name(&path, component);
        int err = dir_open(at, component, &below);
        close(at);
        if (err != OK)
            return err;
        at = below;
    }
    *fd = at;
    *name = path;
    return OK;
}

int dir_sync(int fd)
{
    return fsync(fd) == 0 ? OK : fail_from_errno(errno);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int dir_each(int fd, int (*each)(void *context, int fd, const char *name, const struct stat *st),
             void *context)
{
    /* A description of its own: a dup would share the reading position. */
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    int err = OK;

    if (dir == NULL) {
        err = fail_from_errno(errno);
        if (own >= 0)
            close(own);
        return err;
    }
    while (err == OK) {
        struct stat st;
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            err = fail_from_errno(errno);
            break;
        }
        if (is_dots(entry->d_name))
            continue;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            err = each(context, fd, entry->d_name, &st);
        else if (errno != ENOENT) /* gone since: not there */
            err = fail_from_errno(errno);
    }
    closedir(dir);
    return err;
}

static int remove_below(int parent, const char *name, unsigned depth);

static int remove_entry(void *context, int fd, const char *name, const struct stat *st)
{
    const unsigned *depth = context;

    if (S_ISDIR(st->st_mode))
        return remove_below(fd, name, *depth + 1);
    if (unlinkat(fd, name, 0) != 0 && errno != ENOENT)
        return fail_from_errno(errno);
    return OK;
}

static int remove_below(int parent, const char *name, unsigned depth)
{
    int fd, err = depth < TREE_DEPTH_MAX ? dir_open(parent, name, &fd) : FAIL_LIMIT;

    if (err != OK)
        return err == FAIL_MISSING ? OK : err;
    /* Somebody may put a file in while it is emptied: then once more. */
    for (unsigned i = 0; i < REMOVE_TRIES; i++) {
        err = dir_each(fd, remove_entry, &depth);
        if (err != OK)
            break;
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            break;
        err = errno == ENOTEMPTY ? FAIL_STATE : fail_from_errno(errno);
        if (err != FAIL_STATE)
            break;
    }
    close(fd);
    return err;
}

int dir_remove(int parent, const char *name)
{
    struct stat st;

    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? OK : fail_from_errno(errno);
    unsigned above = 0;
    int err = S_ISDIR(st.st_mode) ? remove_below(parent, name, 0)
                                  : remove_entry(&above, parent, name, &st);
    return err == OK ? dir_sync(parent) : err;
}
