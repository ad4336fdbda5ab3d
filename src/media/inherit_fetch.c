/* The files of another claim's tree into scratch, several at a time: the initialisation
 * sections, then the first segment of each rung, then the second, ... so that wherever it is
 * broken off, what is there is a row; then the sound, if all of it is there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/inherit_room.h"
#include "media/publish.h"
#include "media/rendition.h"
#include "media/resume.h"

/*   empty (worker) ──> files ──> adopt (worker) ──> the end
 *
 * a file: open (worker) ──> get ──> close */

static void pump(struct inherit *in);

enum { SOUND_BESIDES = 2 }; /* initialisation section, playlist */

static void name_picture(const struct inherit *in, uint64_t index, struct inherit_get *get)
{
    unsigned rungs = in->recipe.rung_count;
    const struct inherit_folder *folder = &in->folders[index % rungs];
    char name[PLAYLIST_NAME];

    if (index >= rungs)
        rendition_segment_name((uint32_t)(index / rungs) - 1, name);
    snprintf(get->name, sizeof(get->name), "%s/%s", folder->name,
             index < rungs ? folder->init : name);
    memcpy(get->from, get->name, sizeof(get->from));
}

static void name_sound(const struct inherit *in, uint64_t index, struct inherit_get *get)
{
    unsigned i = in->recipe.rung_count;
    char name[PLAYLIST_NAME];

    for (; index >= SOUND_BESIDES + (uint64_t)in->from->segments[i]; i++)
        index -= SOUND_BESIDES + (uint64_t)in->from->segments[i];
    const struct inherit_folder *folder = &in->folders[i];
    if (index >= SOUND_BESIDES)
        rendition_segment_name((uint32_t)index - SOUND_BESIDES, name);
    snprintf(get->name, sizeof(get->name), "%s/%s", folder->name,
             index == 0   ? folder->init
             : index == 1 ? "index.m3u8"
                          : name);
    memcpy(get->from, get->name, sizeof(get->from));
    if (index == 1)
        snprintf(get->from, sizeof(get->from), "%s%s", publish_sound, folder->name);
}

/* Whole, or not at all. */
static uint64_t count_sound(const struct inherit *in)
{
    uint64_t count = 0;

    for (unsigned i = in->recipe.rung_count; i < in->folder_count; i++) {
        if (!in->from->is_whole[i] || !in->from->has_init[i])
            return 0;
        count += SOUND_BESIDES + (uint64_t)in->from->segments[i];
    }
    return count;
}

/* The end of it */

static void adopt(void *context)
{
    struct inherit *in = context;

    in->err = resume_adopt(in->folder, &in->recipe);
    in->has_sound = in->got == in->total && in->total > in->picture;
    if (in->err == OK && in->has_sound)
        in->err = resume_note_sound(in->folder);
}

static void adopted(void *context)
{
    struct inherit *in = context;
    struct pipeline *p = in->pipeline;

    in->is_offloaded = false;
    if (in->err == OK) {
        mem_free(p->inherited);
        p->inherited = mem_strdup(in->from->key);
        log_info("segments_fetched", LOG_S("job", p->video), LOG_I("files", in->got),
                 LOG_I("of", in->total), LOG_I("bytes", in->bytes), LOG_I("sound", in->has_sound),
                 LOG_I("ms", uv_now(p->owner->parts.loop) - in->began_ms));
    }
    inherit_end(in);
}

static void finish(struct inherit *in)
{
    if (inherit_is_stopped(in) || in->got == 0) {
        inherit_end(in);
        return;
    }
    in->is_offloaded = true;
    io_offload(in->pipeline->owner->parts.loop, adopt, adopted, in);
}

/* One file */

/* What is behind one that is missing is of no use. */
static void give_up(struct inherit *in, int err, const char *why)
{
    if (in->next < in->total && !inherit_is_stopped(in))
        log_warn("segments_unfetched", LOG_S("job", in->pipeline->video),
                 LOG_S("reason", fail_name(err)), LOG_S("why", why));
    in->next = in->total;
}

static void end_one(struct inherit_get *get, int err, const char *why, uint64_t bytes)
{
    struct inherit *in = get->owner;

    if (get->file >= 0)
        close(get->file);
    get->is_busy = false;
    get->task = NULL;
    in->running--;
    if (err) {
        give_up(in, err, why);
    } else {
        in->got++;
        in->bytes += bytes;
    }
    pump(in);
}

static void got(void *context, int err, const char *why, uint64_t bytes)
{
    end_one(context, err, why, bytes);
}

static void open_one(void *context)
{
    struct inherit_get *get = context;
    char path[MEDIA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/tree/%s", get->owner->folder, get->name);
    get->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    get->err = get->file < 0 ? fail_from_errno(errno) : OK;
}

static void opened(void *context)
{
    struct inherit_get *get = context;
    struct inherit *in = get->owner;
    char key[INHERIT_KEY_MAX];

    if (get->err || inherit_is_stopped(in)) {
        end_one(get, get->err ? get->err : FAIL_CANCELLED, "a file could not be made", 0);
        return;
    }
    snprintf(key, sizeof(key), "%s/%s", in->from->key, get->from);
    get->task = storage_get(in->pipeline->owner->parts.storage,
                            &(struct storage_get){
                                .key = key, .file = get->file, .done = got, .context = get });
}

static void begin_one(struct inherit *in, struct inherit_get *get)
{
    if (in->next < in->picture)
        name_picture(in, in->next, get);
    else
        name_sound(in, in->next - in->picture, get);
    in->next++;
    get->owner = in;
    get->is_busy = true;
    get->file = -1;
    in->running++;
    io_offload(in->pipeline->owner->parts.loop, open_one, opened, get);
}

static void pump(struct inherit *in)
{
    if (inherit_is_stopped(in))
        in->next = in->total;
    for (unsigned i = 0; i < INHERIT_GETS_MAX && in->next < in->total; i++)
        if (!in->fetches[i].is_busy)
            begin_one(in, &in->fetches[i]);
    if (in->running == 0)
        finish(in);
}

/* All of them */

static void empty(void *context)
{
    struct inherit *in = context;

    in->err = resume_empty(in->folder, &in->recipe);
}

static void emptied(void *context)
{
    struct inherit *in = context;

    in->is_offloaded = false;
    if (in->err)
        in->total = 0;
    pump(in);
}

void inherit_fetch(struct inherit *in)
{
    in->began_ms = uv_now(in->pipeline->owner->parts.loop);
    in->picture = (uint64_t)in->recipe.rung_count * (1 + (uint64_t)in->row);
    in->total = in->picture + count_sound(in);
    in->is_offloaded = true;
    io_offload(in->pipeline->owner->parts.loop, empty, emptied, in);
}

/* Files being opened end by themselves. */
void inherit_fetch_cancel(struct inherit *in)
{
    unsigned cancelled = 0;

    in->next = in->total;
    for (unsigned i = 0; i < INHERIT_GETS_MAX; i++) {
        struct inherit_get *get = &in->fetches[i];
        if (get->task == NULL)
            continue;
        storage_cancel(get->task);
        close(get->file);
        get->task = NULL;
        get->is_busy = false;
        in->running--;
        cancelled++;
    }
    if (cancelled > 0 && in->running == 0)
        finish(in);
}
