/* Scratch folders, and how one takes over from another:
 *
 *   rename TOKEN to TOKEN.old -> move its files into folders of our own -> remove it
 *
 * From the rename on, paths of who had it lead nowhere: its ffmpeg can neither make
 * nor rename a file. Its threads may have folders open, whose files are taken away
 * and which are then removed: what they still do in there, nobody sees. Files that
 * it has open for writing move along; whoever works in scratch replaces files that
 * are not finished and never goes on writing them.
 *
 * After a crash between any two steps the next one finds files in several folders,
 * all of one state of the work: they fit together. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "core/job.h"
#include "storage/disk.h"
#include "storage/disk_dir.h"
#include "storage/disk_room.h"

enum { TOKEN_DIGITS = 20, TOKEN_NAME = 32 };

static const char old_suffix[] = ".old";

/* Of one length, so that names sort as tokens do. */
static void token_name(uint64_t token, bool is_old, char out[TOKEN_NAME])
{
    snprintf(out, TOKEN_NAME, "%0*" PRIu64 "%s", TOKEN_DIGITS, token, is_old ? old_suffix : "");
}

static bool read_token(const char *name, uint64_t *token, bool *is_old)
{
    struct str digits = { name, TOKEN_DIGITS };
    size_t len = strlen(name);

    if (len < TOKEN_DIGITS || str_parse_u64(digits, UINT64_MAX, token) != OK)
        return false;
    *is_old = strcmp(name + TOKEN_DIGITS, old_suffix) == 0;
    return len == TOKEN_DIGITS || *is_old;
}

/* Files, folder by folder */

struct taking {
    int to; /* the folder of ours that mirrors this one */
    unsigned depth;
    unsigned moved;
};

static int take_entry(void *context, int fd, const char *name, const struct stat *st);

/* Reading a folder while it is emptied may skip an entry, and somebody may still be
 * putting files in: so it is read until nothing is left. */
static int take_all(int from, int to, unsigned depth, unsigned *moved)
{
    struct taking t = { .to = to, .depth = depth };
    int err;

    do {
        t.moved = 0;
        err = dir_each(from, take_entry, &t);
        *moved += t.moved;
    } while (err == OK && t.moved > 0);
    return err;
}

static int take_folder(struct taking *above, int fd, const char *name)
{
    int from, to, err = above->depth + 1 < TREE_DEPTH_MAX ? dir_open(fd, name, &from) : FAIL_LIMIT;

    if (err != OK)
        return err == FAIL_MISSING ? OK : err;
    err = dir_make(above->to, name, &to);
    if (err == OK) {
        err = take_all(from, to, above->depth + 1, &above->moved);
        close(to);
    }
    close(from);
    return err;
}

/* What is there already came from a newer one. */
static int take_entry(void *context, int fd, const char *name, const struct stat *st)
{
    struct taking *t = context;
    struct stat ours;

    if (S_ISDIR(st->st_mode))
        return take_folder(t, fd, name);
    if (!S_ISREG(st->st_mode) || fstatat(t->to, name, &ours, AT_SYMLINK_NOFOLLOW) == 0) {
        if (unlinkat(fd, name, 0) != 0 && errno != ENOENT)
            return fail_from_errno(errno);
    } else if (renameat(fd, name, t->to, name) != 0 && errno != ENOENT) {
        return fail_from_errno(errno);
    }
    t->moved++;
    return OK;
}

/* Who had it before */

struct older {
    uint64_t than, newest;
    bool is_there, is_old, is_stale;
};

static int look_at(void *context, int fd, const char *name, const struct stat *st)
{
    struct older *o = context;
    uint64_t token;
    bool is_old;

    (void)fd;
    if (!S_ISDIR(st->st_mode) || !read_token(name, &token, &is_old))
        return OK;
    if (token > o->than)
        o->is_stale = true;
    if (token >= o->than || (o->is_there && token < o->newest))
        return OK;
    /* It may have both: broken off in between, and the path made once more. */
    o->is_old = o->is_there && token == o->newest ? o->is_old || is_old : is_old;
    o->is_there = true;
    o->newest = token;
    return OK;
}

static int take_from(int video, const struct older *o, int ours)
{
    char name[TOKEN_NAME], old[TOKEN_NAME];
    unsigned moved = 0;
    int theirs;

    token_name(o->newest, false, name);
    token_name(o->newest, true, old);
    if (!o->is_old && renameat(video, name, video, old) != 0)
        return errno == ENOENT ? OK : fail_from_errno(errno);
    int err = dir_open(video, old, &theirs);
    if (err == OK) {
        err = take_all(theirs, ours, 0, &moved);
        close(theirs);
    }
    return err == OK ? dir_remove(video, old) : err;
}

static int take_over(int video, uint64_t token, int ours)
{
    for (;;) {
        struct older o = { .than = token };
        int err = dir_each(video, look_at, &o);
        if (err == OK && o.is_stale)
            err = FAIL_STALE;
        if (err != OK || !o.is_there)
            return err;
        err = take_from(video, &o, ours);
        if (err != OK)
            return err;
    }
}

static int make_own(struct disk *d, const char *job, uint64_t token)
{
    char name[TOKEN_NAME];
    int video, ours, err = dir_make(d->work_fd, job, &video);

    if (err != OK)
        return err;
    token_name(token, false, name);
    err = dir_make(video, name, &ours);
    if (err == OK) {
        err = take_over(video, token, ours);
        close(ours);
    }
    if (err == FAIL_STALE)
        unlinkat(video, name, AT_REMOVEDIR);
    if (err == OK)
        err = dir_sync(video);
    close(video);
    return err;
}

int disk_scratch(struct disk *d, const char *job, uint64_t token, struct buf *out)
{
    char name[TOKEN_NAME];
    int fd, err;

    if (!job_id_is_valid(str_of(job)))
        return FAIL_SYNTAX;
    if (token > 0) {
        err = make_own(d, job, token);
        token_name(token, false, name);
    } else {
        err = dir_make(d->work_fd, job, &fd);
        if (err == OK)
            close(fd);
    }
    if (err != OK)
        return err;
    buf_printf(out, "%s/work/%s", d->root, job);
    if (token > 0)
        buf_printf(out, "/%s", name);
    return out->failed ? FAIL_LIMIT : OK;
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

static int open_scratch(struct disk *d, const char *job, uint64_t token, int *fd)
{
    char name[TOKEN_NAME];
    int video, err = dir_open(d->work_fd, job, token > 0 ? &video : fd);

    if (err != OK || token == 0)
        return err;
    token_name(token, false, name);
    err = dir_open(video, name, fd);
    close(video);
    return err;
}

/* Fails where there is something in them. */
static void remove_empty(struct disk *d, const char *job, uint64_t token)
{
    char name[TOKEN_NAME];
    int video;

    if (token == 0 || dir_open(d->work_fd, job, &video) != OK)
        return;
    token_name(token, false, name);
    unlinkat(video, name, AT_REMOVEDIR);
    close(video);
    unlinkat(d->work_fd, job, AT_REMOVEDIR);
}

int disk_scratch_clear(struct disk *d, const char *job, uint64_t token, const char *keep)
{
    int fd;

    if (!job_id_is_valid(str_of(job)))
        return FAIL_SYNTAX;
    int err = open_scratch(d, job, token, &fd);
    if (err)
        return err;
    err = dir_each(fd, remove_but, (void *)(uintptr_t)keep);
    close(fd);
    remove_empty(d, job, token);
    return err;
}
