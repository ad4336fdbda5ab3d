#include "media/inherit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/inherit_room.h"
#include "media/publish.h"
#include "media/rendition.h"
#include "media/resume.h"

enum { WORTHWHILE = 2 /* the last one is not kept */ };

bool inherit_is_stopped(const struct inherit *in)
{
    return in->is_cancelled || atomic_load(&in->pipeline->is_stopped);
}

static void nothing(void *context)
{
    (void)context;
}

static void ended(void *context)
{
    struct inherit *in = context;
    struct pipeline *p = in->pipeline;
    void (*done)(void *) = in->done;

    p->task = NULL;
    mem_free(in->folder);
    mem_free(in);
    done(p);
}

/* Not within the call: who cancels has the pipeline in his hands. */
void inherit_end(struct inherit *in)
{
    in->is_offloaded = true;
    io_offload(in->pipeline->owner->parts.loop, nothing, ended, in);
}

static void cancel(struct media_task *task)
{
    struct inherit *in = (struct inherit *)task;

    if (in->is_cancelled)
        return;
    in->is_cancelled = true;
    if (in->is_offloaded)
        return; /* what runs ends first */
    if (in->asked == NULL) {
        inherit_fetch_cancel(in);
        return;
    }
    storage_cancel(in->asked);
    inherit_end(in);
}

/* Notes */

static void try_next(struct inherit *in);

static void note_read(void *context, int err, const char *why, struct str body)
{
    struct inherit *in = context;

    (void)why;
    in->asked = NULL;
    if (err == OK && str_equal(body, str_of(in->pipeline->note))) {
        inherit_fetch(in);
        return;
    }
    in->from->has_note = false;
    try_next(in);
}

static void read_note(struct inherit *in)
{
    char key[INHERIT_KEY_MAX];

    snprintf(key, sizeof(key), "%s/%s", in->from->key, publish_note);
    in->asked =
        storage_read(in->pipeline->owner->parts.storage, key, RECIPE_DESCRIBED_MAX, note_read, in);
}

/* Segments that every rendition has. */
static uint32_t row_of(const struct inherit *in, const struct inherit_tree *tree)
{
    uint32_t row = tree->has_note ? PLAYLIST_SEGMENTS_MAX : 0;

    for (unsigned i = 0; i < in->recipe.rung_count; i++) {
        uint32_t count = tree->has_init[i] ? tree->segments[i] : 0;
        row = count < row ? count : row;
    }
    return row;
}

/* The longest of those that were not tried. */
static void try_next(struct inherit *in)
{
    in->from = NULL;
    in->row = in->have;
    for (size_t i = 0; i < in->count; i++) {
        uint32_t row = row_of(in, &in->trees[i]);
        if (row < WORTHWHILE || row <= in->row)
            continue;
        in->from = &in->trees[i];
        in->row = row;
    }
    if (in->from == NULL || inherit_is_stopped(in))
        inherit_end(in);
    else
        read_note(in);
}

/* Trees */

static struct inherit_tree *tree_of(struct inherit *in, const char *key, size_t len)
{
    struct inherit_tree *last = in->count > 0 ? &in->trees[in->count - 1] : NULL;

    if (last != NULL && strlen(last->key) == len && memcmp(last->key, key, len) == 0)
        return last;
    if (in->count == INHERIT_TREES_MAX || len >= sizeof(last->key))
        return NULL;
    last = &in->trees[in->count++];
    memset(last, 0, sizeof(*last));
    memcpy(last->key, key, len);
    return last;
}

static void note_in_folder(struct inherit *in, struct inherit_tree *tree, struct str folder,
                           const char *file)
{
    char expected[PLAYLIST_NAME];

    for (unsigned i = 0; i < in->folder_count; i++) {
        if (!str_equal(folder, str_of(in->folders[i].name)))
            continue;
        if (strcmp(file, in->folders[i].init) == 0)
            tree->has_init[i] = true;
        rendition_segment_name(tree->segments[i], expected);
        if (strcmp(file, expected) == 0)
            tree->segments[i]++;
    }
}

/* Lists are in order. */
static void note_file(struct inherit *in, struct inherit_tree *tree, const char *name)
{
    const char *slash = strchr(name, '/');

    if (slash != NULL)
        note_in_folder(in, tree, (struct str){ name, (size_t)(slash - name) }, slash + 1);
    else if (strcmp(name, publish_note) == 0)
        tree->has_note = true;
    for (unsigned i = in->recipe.rung_count; i < in->folder_count && slash == NULL; i++)
        if (str_starts(str_of(name), str_of(publish_sound)) &&
            strcmp(name + strlen(publish_sound), in->folders[i].name) == 0)
            tree->is_whole[i] = true;
}

static bool each(void *context, const struct storage_object *object)
{
    struct inherit *in = context;
    size_t len = strlen(in->prefix), random = pipeline_key_random(object->key + len);

    len += random;
    struct inherit_tree *tree = random > 0 ? tree_of(in, object->key, len) : NULL;
    if (tree != NULL)
        note_file(in, tree, object->key + len + 1);
    return true;
}

static void listed(void *context, int err, const char *why)
{
    struct inherit *in = context;

    in->asked = NULL;
    if (err) {
        log_warn("segments_unlisted", LOG_S("job", in->pipeline->video),
                 LOG_S("reason", fail_name(err)), LOG_S("why", why));
        in->count = 0;
    }
    try_next(in);
}

/* Which recipe it is */

static void write_note(struct inherit *in, uint64_t size, const char *digest)
{
    char source[96];
    struct buf text;

    snprintf(source, sizeof(source), "%llu bytes of md5 %s", (unsigned long long)size, digest);
    recipe_describe(&in->recipe, source, &text);
    if (!text.failed)
        in->note = buf_take(&text);
    buf_deinit(&text);
}

/* No time, inode or name is the same on another node. */
static void identify(void *context)
{
    struct inherit *in = context;
    struct pipeline *p = in->pipeline;
    char digest[MD5_HEX_SIZE];
    struct stat st;
    int fd = open(p->source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 &&
        digest_md5_of_file(fd, (uint64_t)st.st_size, &p->is_stopped, digest) == OK)
        write_note(in, (uint64_t)st.st_size, digest);
    close(fd);
    in->have = resume_count(in->folder, &in->recipe);
}

static void identified(void *context)
{
    struct inherit *in = context;
    struct pipeline *p = in->pipeline;
    const char *slash = strrchr(p->spec.key, '/');

    in->is_offloaded = false;
    mem_free(p->note);
    p->note = in->note;
    if (p->note == NULL || slash == NULL || inherit_is_stopped(in)) {
        inherit_end(in);
        return;
    }
    snprintf(in->prefix, sizeof(in->prefix), "%.*s/%s-", (int)(slash - p->spec.key), p->spec.key,
             p->video);
    in->asked = storage_list(p->owner->parts.storage, in->prefix, each, listed, in);
}

static void name_folders(struct inherit *in)
{
    unsigned rungs = in->recipe.rung_count, tracks = recipe_audio_count(in->recipe.info);

    for (unsigned i = 0; i < rungs + tracks; i++) {
        struct inherit_folder *folder = &in->folders[i];
        struct rung any = { 0 };
        if (i < rungs)
            snprintf(folder->name, sizeof(folder->name), "%s", in->rungs[i].name);
        else
            recipe_audio_name(i - rungs, folder->name);
        snprintf(any.name, sizeof(any.name), "%s", folder->name);
        recipe_init_name(&any, i < rungs ? rungs : tracks, 0, folder->init);
    }
    in->folder_count = rungs + tracks;
}

void inherit_begin(struct pipeline *p, const char *folder, void (*done)(void *context))
{
    const struct media_info *info = &p->spec.info;

    /* Sound alone, and what is over in a moment, is made anew. */
    if (!info->has_video || recipe_is_muxed(info)) {
        done(p);
        return;
    }
    struct inherit *in = mem_new(struct inherit);
    in->task.cancel = cancel;
    in->pipeline = p;
    in->done = done;
    in->folder = mem_strdup(folder);
    in->recipe = (struct recipe){ .settings = &p->owner->parts.settings->media,
                                  .info = info,
                                  .rungs = in->rungs,
                                  .rung_count = ladder_build(info, in->rungs),
                                  .path = p->source,
                                  .out_dir = in->folder };
    name_folders(in);
    p->task = &in->task;
    in->is_offloaded = true;
    io_offload(p->owner->parts.loop, identify, identified, in);
}
