/* A folder's objects in the order of their keys: a folder sorts as its name and a slash,
 * as its objects do ("a-b" < "a/b" < "a0"). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/disk_dir.h"
#include "storage/file_driver.h"

enum { NAMES_MIN = 64 };

struct names {
    char **at;
    size_t count, room;
};

struct reading {
    const char *prefix, *behind;
    struct file_page *page;
    unsigned depth;
    char path[PATH_KEY_MAX + 2]; /* of the folder, "" or with a slash at its end */
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(void *context, int fd, const char *name, const struct stat *st)
{
    struct names *names = context;
    size_t len = strlen(name);

    (void)fd;
    if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
        return OK;
    if (names->count == names->room) {
        names->room = names->room > 0 ? names->room * 2 : NAMES_MIN;
        names->at = mem_resize(names->at, names->room * sizeof *names->at);
    }
    char *kept = mem_alloc(len + 2);
    snprintf(kept, len + 2, "%s%s", name, S_ISDIR(st->st_mode) ? "/" : "");
    names->at[names->count++] = kept;
    return OK;
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->at[i]);
    mem_free(names->at);
}

/* Whether one is the beginning of the other. */
static bool is_on_the_way(const char *a, const char *b)
{
    size_t len_a = strlen(a), len_b = strlen(b);

    return strncmp(a, b, len_a < len_b ? len_a : len_b) == 0;
}

/* Whether a folder may have keys that are asked for; `path` ends with a slash. */
static bool is_folder_wanted(const struct reading *r, const char *path)
{
    if (strcmp(path, ".reelay/") == 0 || !is_on_the_way(path, r->prefix))
        return false;
    return strcmp(path, r->behind) > 0 || strncmp(path, r->behind, strlen(path)) == 0;
}

static bool is_object_wanted(const struct reading *r, const char *key)
{
    return strncmp(key, r->prefix, strlen(r->prefix)) == 0 && strcmp(key, r->behind) > 0;
}

static void add_row(struct reading *r, int dir, const char *name)
{
    struct stat st;

    /* Gone since, or something else now. */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return;
    if (r->page->rows == NULL)
        r->page->rows = mem_alloc(FILE_PAGE_MAX * sizeof *r->page->rows);
    struct file_row *row = &r->page->rows[r->page->count++];
    row->key = mem_strdup(r->path);
    row->size = (uint64_t)st.st_size;
    row->modified_s = st.st_mtim.tv_sec;
    file_etag(&st, row->etag);
}

static int read_folder(struct reading *r, int dir);

static int read_below(struct reading *r, int dir, char *name)
{
    int below, err;

    name[strlen(name) - 1] = '\0';
    err = dir_open(dir, name, &below);
    if (err != OK)
        return err == FAIL_MISSING ? OK : err; /* gone since */
    r->depth++;
    err = read_folder(r, below);
    r->depth--;
    close(below);
    return err;
}

static int read_names(struct reading *r, int dir, const struct names *names)
{
    size_t end = strlen(r->path);
    int err = OK;

    for (size_t i = 0; err == OK && i < names->count && r->page->count < FILE_PAGE_MAX; i++) {
        char *name = names->at[i];
        size_t len = strlen(name);
        if (end + len > PATH_KEY_MAX) /* nothing there can be a key */
            continue;
        memcpy(r->path + end, name, len + 1);
        if (name[len - 1] != '/') {
            if (is_object_wanted(r, r->path))
                add_row(r, dir, name);
        } else if (is_folder_wanted(r, r->path)) {
            err = read_below(r, dir, name);
        }
        r->path[end] = '\0';
    }
    return err;
}

static int read_folder(struct reading *r, int dir)
{
    struct names names = { 0 };
    int err = r->depth < TREE_DEPTH_MAX ? dir_each(dir, add_name, &names) : FAIL_LIMIT;

    if (err == OK && names.count > 0) {
        qsort(names.at, names.count, sizeof *names.at, compare_names);
        err = read_names(r, dir, &names);
    }
    free_names(&names);
    return err;
}

int file_page_read(const struct file_room *r, const char *prefix, const char *behind,
                   struct file_page *out)
{
    struct reading reading = { .prefix = prefix, .behind = behind, .page = out };
    int err = read_folder(&reading, r->root_fd);

    if (err != OK)
        file_page_free(out);
    return err;
}

void file_page_free(struct file_page *p)
{
    for (size_t i = 0; i < p->count; i++)
        mem_free(p->rows[i].key);
    mem_free(p->rows);
    *p = (struct file_page){ 0 };
}
