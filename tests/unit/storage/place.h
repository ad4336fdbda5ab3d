/* A fresh folder for each test, removed with all that is in it. */
#ifndef TESTS_STORAGE_PLACE_H
#define TESTS_STORAGE_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/disk.h"

struct place {
    char root[64];
    struct disk *disk;
};

/* "ROOT/path", for one use at a time. */
static inline const char *place_path(const struct place *p, const char *path)
{
    static char full[4096];

    snprintf(full, sizeof full, "%s/%s", p->root, path);
    return full;
}

static inline struct disk *place_open_disk(const char *root)
{
    struct disk *d = NULL;
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(disk_open(root, 0, false, &d, &why), OK);
    buf_deinit(&why);
    return d;
}

static inline int place_setup(void **state)
{
    struct place *p = mem_new(struct place);

    snprintf(p->root, sizeof p->root, "/tmp/reelay-storage-XXXXXX");
    if (mkdtemp(p->root) == NULL)
        return -1;
    p->disk = place_open_disk(p->root);
    *state = p;
    return 0;
}

static inline int place_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int place_teardown(void **state)
{
    struct place *p = *state;

    disk_close(p->disk);
    /* Left mounted when the test for a full disk failed halfway. */
    umount2(place_path(p, "small"), MNT_DETACH);
    int err = nftw(p->root, place_unlink, 16, FTW_DEPTH | FTW_PHYS);
    mem_free(p);
    return err;
}

static inline void place_mkdir(const struct place *p, const char *path)
{
    assert_int_equal(mkdir(place_path(p, path), 0755), 0);
}

static inline void place_write(const struct place *p, const char *path, const char *text)
{
    FILE *f = fopen(place_path(p, path), "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static inline bool place_has(const struct place *p, const char *path)
{
    struct stat st;

    return lstat(place_path(p, path), &st) == 0;
}

/* The whole of a small file; "(missing)" if it is not there. */
static inline const char *place_read(const struct place *p, const char *path)
{
    static char text[4096];
    int fd = open(place_path(p, path), O_RDONLY);

    if (fd < 0)
        return "(missing)";
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

#endif
