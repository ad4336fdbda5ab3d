/* What of a tree can be sent. Blocks: on a worker thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/publish_room.h"
#include "media/rendition.h"
#include "media/resume.h"
#include "storage/disk_dir.h"

static const char index_file[] = "index.m3u8";

enum { LOOK_MAX = 4096 }; /* found at one look; the next one goes on */

static struct publish_stamp stamp_of(const struct stat *st)
{
    return (struct publish_stamp){ .inode = (uint64_t)st->st_ino,
                                   .size = (uint64_t)st->st_size,
                                   .seconds = st->st_mtim.tv_sec,
                                   .nanoseconds = st->st_mtim.tv_nsec };
}

static int add(struct publish_finds *finds, const char *folder, const char *name,
               const struct stat *st)
{
    if (finds->count == PUBLISH_FILES_MAX)
        return FAIL_LIMIT;
    if (finds->count == finds->room) {
        finds->room = finds->room ? 2 * finds->room : 64;
        finds->items = mem_resize(finds->items, finds->room * sizeof(*finds->items));
    }
    struct publish_found *f = &finds->items[finds->count];
    int len = snprintf(f->name, sizeof(f->name), "%s%s%s", folder, *folder ? "/" : "", name);
    if (len < 0 || (size_t)len >= sizeof(f->name))
        return FAIL_LIMIT;
    f->stamp = stamp_of(st);
    finds->count++;
    return OK;
}

/* While it is being made */

static bool is_segment_there(int fd, uint32_t number, struct stat *st)
{
    char name[PLAYLIST_NAME];

    rendition_segment_name(number, name);
    return fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode);
}

struct walk {
    struct publish_finds *finds;
    const char *folder;
};

/* Of the first run, which is the one that stays. */
static int find_init(void *context, int fd, const char *name, const struct stat *st)
{
    const struct walk *w = context;
    struct str file = str_of(name);
    bool is_first = strcmp(name, "init.mp4") == 0 ||
                    (str_starts(file, STR("init_")) && str_ends(file, STR(".mp4")));

    (void)fd;
    return is_first && S_ISREG(st->st_mode) ? add(w->finds, w->folder, name, st) : OK;
}

static void add_sound_note(int fd, const char *track, struct publish_finds *finds)
{
    char name[PUBLISH_NAME];
    struct stat st;

    snprintf(name, sizeof(name), "%s%s", publish_sound, track);
    if (fstatat(fd, index_file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
        add(finds, "", name, &st);
}

/* The last one may be that of a run that was broken off, and be made anew; unless all of
 * the folder is known to be there. */
static void follow(int fd, struct publish_folder *folder, struct publish_finds *finds,
                   bool is_whole)
{
    struct stat here, behind;
    bool is_last = !is_segment_there(fd, folder->next, &here);

    while (!is_last && finds->count < LOOK_MAX) {
        char name[PLAYLIST_NAME];
        is_last = !is_segment_there(fd, folder->next + 1, &behind);
        if (is_last && !is_whole)
            return;
        if (folder->next == 0)
            dir_each(fd, find_init, &(struct walk){ .finds = finds, .folder = folder->name });
        rendition_segment_name(folder->next, name);
        if (add(finds, folder->name, name, &here) != OK)
            return;
        folder->next++;
        here = behind;
        if (is_last)
            add_sound_note(fd, folder->name, finds);
    }
}

/* The picture's are named by their size. */
bool publish_is_sound(const char *name)
{
    return name[0] == 'a';
}

static struct publish_folder *folder_of(struct publish_scan *scan, const char *name)
{
    for (unsigned i = 0; i < scan->folder_count; i++)
        if (strcmp(scan->folders[i].name, name) == 0)
            return &scan->folders[i];
    if (scan->folder_count == PUBLISH_FOLDERS_MAX || strlen(name) >= sizeof(scan->folders[0].name))
        return NULL;
    struct publish_folder *folder = &scan->folders[scan->folder_count++];
    *folder = (struct publish_folder){ 0 };
    snprintf(folder->name, sizeof(folder->name), "%s", name);
    return folder;
}

static int look_at(void *context, int fd, const char *name, const struct stat *st)
{
    struct publish_scan *scan = context;
    struct publish_folder *folder = S_ISDIR(st->st_mode) ? folder_of(scan, name) : NULL;
    int dir;

    if (folder == NULL || dir_open(fd, name, &dir) != OK)
        return OK;
    follow(dir, folder, &scan->finds, scan->is_sound_whole && publish_is_sound(name));
    close(dir);
    return OK;
}

void publish_look(const char *tree, struct publish_scan *scan)
{
    int fd;

    scan->err = dir_open(AT_FDCWD, tree, &fd);
    if (scan->err)
        return;
    scan->is_sound_whole = scan->has_notes && resume_has_sound(fd);
    scan->err = dir_each(fd, look_at, scan);
    close(fd);
}

/* When it is made */

static int collect(void *context, int fd, const char *name, const struct stat *st)
{
    struct walk *w = context;
    int dir;

    if (S_ISREG(st->st_mode))
        return str_ends(str_of(name), STR(".tmp")) ? OK : add(w->finds, w->folder, name, st);
    if (!S_ISDIR(st->st_mode) || *w->folder)
        return FAIL_UNSUPPORTED;
    int err = dir_open(fd, name, &dir);
    if (err)
        return err;
    err = dir_each(dir, collect, &(struct walk){ .finds = w->finds, .folder = name });
    close(dir);
    return err;
}

void publish_look_at_all(const char *tree, struct publish_scan *scan)
{
    int fd;

    scan->err = dir_open(AT_FDCWD, tree, &fd);
    if (scan->err)
        return;
    scan->is_sound_whole = scan->has_notes && resume_has_sound(fd);
    scan->err = dir_each(fd, collect, &(struct walk){ .finds = &scan->finds, .folder = "" });
    close(fd);
}

int publish_open(const char *tree, const char *name, int *fd, struct publish_stamp *stamp)
{
    struct buf path;
    struct stat st;

    buf_init(&path, MEDIA_PATH_MAX);
    if (str_starts(str_of(name), str_of(publish_sound)))
        buf_printf(&path, "%s/%s/%s", tree, name + strlen(publish_sound), index_file);
    else
        buf_printf(&path, "%s/%s", tree, name);
    *fd = open(buf_text(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    buf_deinit(&path);
    if (*fd < 0)
        return fail_from_errno(errno);
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        *fd = -1;
        return FAIL_IO;
    }
    *stamp = stamp_of(&st);
    return OK;
}
