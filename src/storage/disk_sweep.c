#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "storage/disk.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"

/* When anything in it was last written to. */
struct newest {
    int64_t seconds;
    unsigned depth;
};

static int look_at(void *context, int fd, const char *name, const struct stat *st)
{
    struct newest *n = context;
    struct newest below = { .seconds = n->seconds, .depth = n->depth + 1 };
    int dir;

    if (st->st_mtim.tv_sec > n->seconds)
        below.seconds = n->seconds = st->st_mtim.tv_sec;
    if (!S_ISDIR(st->st_mode) || n->depth >= TREE_DEPTH_MAX || dir_open(fd, name, &dir) != OK)
        return OK;
    int err = dir_each(dir, look_at, &below);
    close(dir);
    n->seconds = below.seconds;
    return err;
}

static int sweep_job(void *context, int fd, const char *name, const struct stat *st)
{
    const int64_t *before_s = context;
    struct newest n = { 0 };

    if (strncmp(name, GONE_PREFIX, sizeof(GONE_PREFIX) - 1) == 0)
        return OK;
    int err = look_at(&n, fd, name, st);
    return err == OK && n.seconds < *before_s ? dir_remove(fd, name) : err;
}

int disk_scratch_sweep(struct disk *d, int64_t before_s)
{
    return dir_each(d->work_fd, sweep_job, &before_s);
}
