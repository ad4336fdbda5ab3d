/* Folders by descriptor: opening, walking, syncing and removing without ever
 * following a symbolic link. Names are single path components, checked by the
 * caller; paths are relative, checked with path_is_normal. Every call blocks.
 * Any thread. For src/storage, and for the folders of its scratch. */
#ifndef STORAGE_DISK_DIR_H
#define STORAGE_DISK_DIR_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/str.h"

enum {
    PATH_KEY_MAX = 1024, /* bytes of a key */
    TREE_DEPTH_MAX = 32, /* folders in folders, so that recursion ends */
};

/* One component: not empty, no '/', not "." or "..", at most NAME_MAX. */
bool name_is_normal(struct str name);

/* A relative path of such components, at most PATH_KEY_MAX long. */
bool path_is_normal(const char *path);

/* Opens a folder; FAIL_MISSING also when it is a link or no folder. */
int dir_open(int parent, const char *name, int *fd);

/* The same, made first if need be. */
int dir_make(int parent, const char *name, int *fd);

/* Every component of `path` made and opened; on success each folder that may
 * have got a new entry is synced. */
int dir_make_path(int parent, const char *path, int *fd);

/* Opens the folder that holds the last component, which `name` points at. */
int dir_open_parent(int root, const char *path, int *fd, const char **name);

int dir_sync(int fd);

/* Calls `each` for every entry except "." and "..", until it fails; what it
 * returned is returned. It may remove or rename the entry. Borrows `fd`. */
int dir_each(int fd, int (*each)(void *context, int fd, const char *name, const struct stat *st),
             void *context);

/* Removes a file or a whole tree and syncs the parent. Fine when it is gone. */
int dir_remove(int parent, const char *name);

#endif
