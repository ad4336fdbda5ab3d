/* What a conversion is made of and by, as a text that is the same if they are. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "media/recipe.h"

static struct stat write_stamp(const char *what, const char *path, struct buf *out)
{
    struct stat st = { 0 };

    if (stat(path, &st) != 0)
        st = (struct stat){ 0 };
    buf_printf(out, "%s: %jd bytes of %jd.%09ld\n", what, (intmax_t)st.st_size,
               (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return st;
}

/* The folder may have moved since: another node has taken over. */
static void write_source(const char *path, struct buf *out)
{
    struct stat st = write_stamp("of", path, out);

    buf_printf(out, "inode %ju\n", (uintmax_t)st.st_ino);
}

/* Another build of ffmpeg is another file; on another node the same one is too. */
static void write_program(const char *name, struct buf *out)
{
    const char *folders = getenv("PATH");
    struct str rest = str_of(folders ? folders : "/usr/local/bin:/usr/bin:/bin");
    struct buf path;

    buf_init(&path, MEDIA_PATH_MAX);
    while (strchr(name, '/') == NULL && rest.at != NULL) {
        struct str folder = str_cut(&rest, ':');
        buf_reset(&path);
        buf_printf(&path, "%.*s/%s", STR_ARG(folder), name);
        if (access(buf_text(&path), X_OK) == 0)
            break;
    }
    buf_printf(out, "%s\n", path.len ? buf_text(&path) : name);
    write_stamp("by", path.len ? buf_text(&path) : name, out);
    buf_deinit(&path);
}

static void write_arguments(struct arguments *a, struct buf *out)
{
    const char *const *list = arguments_list(a);

    for (; list != NULL && *list; list++)
        buf_printf(out, "%s\n", *list);
    arguments_free(a);
}

void recipe_describe(const struct recipe *recipe, const char *source, struct buf *out)
{
    struct recipe whole = *recipe;

    whole.start = (struct recipe_start){ 0 };
    whole.path = "source";
    whole.out_dir = "tree";
    buf_init(out, RECIPE_DESCRIBED_MAX);
    if (source != NULL)
        buf_printf(out, "of: %s\n", source);
    else
        write_source(recipe->path, out);
    write_program(recipe->settings->ffmpeg, out);
    if (recipe->rung_count > 0)
        write_arguments(recipe_picture(&whole), out);
    if (recipe_audio_count(recipe->info) > 0)
        write_arguments(recipe_sound(&whole), out);
}
