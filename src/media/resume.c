#include "media/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/fragment.h"
#include "media/rendition.h"
#include "storage/disk_dir.h"

static const char recipe_file[] = "recipe", sound_file[] = "sound", tree_folder[] = "tree";

/* Which recipe it is */

static bool is_same_recipe(int folder, const struct buf *text)
{
    struct buf have;

    if (text->failed || rendition_read_file(folder, recipe_file, RECIPE_DESCRIBED_MAX, &have) != OK)
        return false;
    bool is_same = str_equal(buf_str(&have), buf_str(text));
    buf_deinit(&have);
    return is_same;
}

/* What was there is removed, for a process that has it open. */
static int write_recipe(int folder, const struct buf *text)
{
    int fd =
        openat(folder, recipe_file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_from_errno(errno);
    ssize_t len = write(fd, buf_text(text), text->len);
    int err = len < 0 ? fail_from_errno(errno) : (size_t)len == text->len ? OK : FAIL_FULL;
    close(fd);
    return err;
}

/* How much there is */

/* How many frames there are up to the end of each segment, the same in every
 * rendition. */
struct kept {
    uint64_t *ends;
    uint32_t count, room;
};

static void add_end(struct kept *k, uint64_t frames)
{
    if (k->count == k->room) {
        k->room = k->room ? 2 * k->room : 64;
        k->ends = mem_resize(k->ends, k->room * sizeof(*k->ends));
    }
    k->ends[k->count++] = frames;
}

/* Whole segments in a row, from the first; of the first rendition it sets, of
 * others it compares where they end. */
static uint32_t count_whole(int dir, struct kept *k, bool is_first)
{
    char name[PLAYLIST_NAME];
    struct fragment f = { 0 };
    uint64_t end = 0, frames = 0;

    for (uint32_t i = 0; i < PLAYLIST_SEGMENTS_MAX; i++) {
        rendition_segment_name(i, name);
        if (rendition_segment(dir, name, &f) != OK || f.begin != end)
            return i;
        end += f.duration;
        frames += f.samples;
        if (is_first)
            add_end(k, frames);
        else if (i >= k->count || k->ends[i] != frames)
            return i;
    }
    return PLAYLIST_SEGMENTS_MAX;
}

/* A folder being gone through. */
struct sweep {
    const struct recipe *recipe;
    const struct rung *rung;
    uint32_t segments;
    bool has_sound;
    bool only_segments;
    unsigned removed;
};

/* "init-00012_720p.mp4" or "init-00012.mp4": the run that began there. */
static bool read_later_init(const char *name, uint32_t *from)
{
    unsigned number;

    if (sscanf(name, "init-%5u", &number) != 1 || number == 0)
        return false;
    *from = number;
    return true;
}

/* Other parameters in the stream than the first run had: its segments cannot
 * be played behind the others. */
static int check_later_init(void *context, int fd, const char *name, const struct stat *st)
{
    struct sweep *s = context;
    char init[RECIPE_INIT_NAME];
    uint32_t from;

    (void)st;
    if (!read_later_init(name, &from))
        return OK;
    recipe_init_name(s->rung, s->recipe->rung_count, 0, init);
    if (from < s->segments && !rendition_same_init(fd, init, name))
        s->segments = from;
    return OK;
}

static int look_at_rung(int tree, struct sweep *s, struct kept *k, unsigned i)
{
    char init[RECIPE_INIT_NAME];
    int dir;
    int err = dir_open(tree, s->recipe->rungs[i].name, &dir);

    if (err)
        return err;
    s->rung = &s->recipe->rungs[i];
    recipe_init_name(s->rung, s->recipe->rung_count, 0, init);
    uint32_t count = count_whole(dir, k, i == 0);
    if (count == 0 || !rendition_same_init(dir, init, init))
        s->segments = 0;
    else if (count - 1 < s->segments)
        s->segments = count - 1;
    if (s->segments > 0)
        err = dir_each(dir, check_later_init, s);
    close(dir);
    return err;
}

static int look_at_picture(int tree, struct sweep *s, struct recipe_start *out)
{
    struct kept k = { 0 };
    int err = OK;

    s->segments = recipe_is_muxed(s->recipe->info) ? 0 : PLAYLIST_SEGMENTS_MAX;
    for (unsigned i = 0; i < s->recipe->rung_count && s->segments > 0 && err == OK; i++)
        err = look_at_rung(tree, s, &k, i);
    if (err || s->recipe->rung_count == 0)
        s->segments = 0;
    out->segments = s->segments;
    out->frames = s->segments > 0 ? k.ends[s->segments - 1] : 0;
    mem_free(k.ends);
    return err == FAIL_MISSING ? OK : err;
}

static bool is_sound_whole(int folder, int tree, const struct recipe *recipe)
{
    unsigned count = recipe_audio_count(recipe->info);
    bool is_whole = count > 0 && faccessat(folder, sound_file, F_OK, 0) == 0;

    for (unsigned i = 0; i < count && is_whole; i++) {
        struct rendition r;
        char name[RECIPE_AUDIO_NAME];
        recipe_audio_name(i, name);
        if (rendition_open(tree, name, &r) != OK)
            return false;
        is_whole = rendition_measure(&r) == OK;
        rendition_close(&r);
    }
    return is_whole;
}

/* What goes */

static bool is_kept_file(const struct sweep *s, const char *name)
{
    char expected[PLAYLIST_NAME];
    unsigned number;

    recipe_init_name(s->rung, s->recipe->rung_count, 0, expected);
    if (strcmp(name, expected) == 0)
        return true;
    if (sscanf(name, "s%9u.m4s", &number) != 1 || number >= s->segments)
        return false;
    rendition_segment_name(number, expected);
    return strcmp(name, expected) == 0;
}

static int remove_file(void *context, int fd, const char *name, const struct stat *st)
{
    struct sweep *s = context;
    uint32_t from;

    (void)st;
    if (is_kept_file(s, name) || (s->only_segments && read_later_init(name, &from)))
        return OK;
    s->removed++;
    return dir_remove(fd, name);
}

/* Reading a folder while it is emptied may skip an entry. */
static int sweep_folder(int dir, struct sweep *s)
{
    int err;

    do {
        s->removed = 0;
        err = dir_each(dir, remove_file, s);
    } while (err == OK && s->removed > 0);
    return err;
}

/* A later run's section goes behind its segments: should this be broken off in
 * between, it still says that they do not fit. */
static int sweep_rung(int tree, struct sweep *s, const char *name)
{
    int dir;
    int err = dir_open(tree, name, &dir);

    if (err)
        return err;
    s->only_segments = true;
    err = sweep_folder(dir, s);
    s->only_segments = false;
    if (err == OK)
        err = sweep_folder(dir, s);
    close(dir);
    return err;
}

static int sweep_entry(void *context, int tree, const char *name, const struct stat *st)
{
    struct sweep *s = context;
    char track[RECIPE_AUDIO_NAME];

    (void)st;
    for (unsigned i = 0; i < s->recipe->rung_count && s->segments > 0; i++) {
        s->rung = &s->recipe->rungs[i];
        if (strcmp(name, s->rung->name) == 0)
            return sweep_rung(tree, s, name);
    }
    for (unsigned i = 0; s->has_sound && i < recipe_audio_count(s->recipe->info); i++) {
        recipe_audio_name(i, track);
        if (strcmp(name, track) == 0)
            return OK;
    }
    return dir_remove(tree, name);
}

static int keep_what_fits(int folder, const struct recipe *recipe, struct resume *out)
{
    struct sweep s = { .recipe = recipe };
    int tree;
    int err = dir_make(folder, tree_folder, &tree);

    if (err)
        return err;
    err = look_at_picture(tree, &s, &out->start);
    out->has_sound = s.has_sound = is_sound_whole(folder, tree, recipe);
    if (err == OK && !s.has_sound)
        err = dir_remove(folder, sound_file);
    if (err == OK)
        err = dir_each(tree, sweep_entry, &s);
    close(tree);
    return err;
}

/* The recipe goes before what was made by it. */
static int clear(int folder)
{
    int err = dir_remove(folder, recipe_file);

    if (err == OK)
        err = dir_remove(folder, sound_file);
    return err ? err : dir_remove(folder, tree_folder);
}

/* The new recipe comes last. */
static int begin_anew(int folder, const struct buf *text)
{
    int tree;
    int err = clear(folder);

    if (err == OK)
        err = dir_make(folder, tree_folder, &tree);
    if (err)
        return err;
    close(tree);
    return write_recipe(folder, text);
}

static int make_ready(const char *path, const struct recipe *recipe, bool may_keep,
                      struct resume *out)
{
    struct resume found = { 0 };
    struct buf text;
    int folder;
    int err = dir_open(AT_FDCWD, path, &folder);

    if (err)
        return err;
    recipe_describe(recipe, NULL, &text);
    if (may_keep && is_same_recipe(folder, &text))
        err = keep_what_fits(folder, recipe, &found);
    else
        err = begin_anew(folder, &text);
    close(folder);
    buf_deinit(&text);
    if (err == OK)
        *out = found;
    return err;
}

int resume_look(const char *folder, const struct recipe *recipe, struct resume *out)
{
    return make_ready(folder, recipe, true, out);
}

int resume_wipe(const char *folder, const struct recipe *recipe)
{
    struct resume nothing;

    return make_ready(folder, recipe, false, &nothing);
}

/* By their names alone. */
static uint32_t count_named(int tree, const char *rung)
{
    char name[PLAYLIST_NAME];
    uint32_t count = 0;
    int dir;

    if (dir_open(tree, rung, &dir) != OK)
        return 0;
    for (; count < PLAYLIST_SEGMENTS_MAX; count++) {
        rendition_segment_name(count, name);
        if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            break;
    }
    close(dir);
    return count;
}

static uint32_t count_row(int folder, const struct recipe *recipe)
{
    uint32_t row = recipe->rung_count > 0 ? PLAYLIST_SEGMENTS_MAX : 0;
    int tree;

    if (dir_open(folder, tree_folder, &tree) != OK)
        return 0;
    for (unsigned i = 0; i < recipe->rung_count; i++) {
        uint32_t count = count_named(tree, recipe->rungs[i].name);
        row = count < row ? count : row;
    }
    close(tree);
    return row;
}

uint32_t resume_count(const char *path, const struct recipe *recipe)
{
    struct buf text;
    int folder;

    if (dir_open(AT_FDCWD, path, &folder) != OK)
        return 0;
    recipe_describe(recipe, NULL, &text);
    uint32_t count = is_same_recipe(folder, &text) ? count_row(folder, recipe) : 0;
    close(folder);
    buf_deinit(&text);
    return count;
}

static int make_rendition(int tree, const char *name)
{
    int dir;
    int err = dir_make(tree, name, &dir);

    if (err == OK)
        close(dir);
    return err;
}

static int make_renditions(int folder, const struct recipe *recipe)
{
    char track[RECIPE_AUDIO_NAME];
    int tree;
    int err = dir_make(folder, tree_folder, &tree);

    if (err)
        return err;
    for (unsigned i = 0; i < recipe->rung_count && err == OK; i++)
        err = make_rendition(tree, recipe->rungs[i].name);
    for (unsigned i = 0; i < recipe_audio_count(recipe->info) && err == OK; i++) {
        recipe_audio_name(i, track);
        err = make_rendition(tree, track);
    }
    close(tree);
    return err;
}

int resume_empty(const char *path, const struct recipe *recipe)
{
    int folder;
    int err = dir_open(AT_FDCWD, path, &folder);

    if (err)
        return err;
    err = clear(folder);
    if (err == OK)
        err = make_renditions(folder, recipe);
    close(folder);
    return err;
}

int resume_adopt(const char *path, const struct recipe *recipe)
{
    struct buf text;
    int folder;
    int err = dir_open(AT_FDCWD, path, &folder);

    if (err)
        return err;
    recipe_describe(recipe, NULL, &text);
    err = write_recipe(folder, &text);
    close(folder);
    buf_deinit(&text);
    return err;
}

int resume_note_sound(const char *folder)
{
    int dir;
    int err = dir_open(AT_FDCWD, folder, &dir);

    if (err)
        return err;
    int fd = openat(dir, sound_file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        err = fail_from_errno(errno);
    else
        close(fd);
    close(dir);
    return err;
}

bool resume_has_sound(int tree)
{
    char path[16];

    snprintf(path, sizeof(path), "../%s", sound_file);
    return faccessat(tree, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
