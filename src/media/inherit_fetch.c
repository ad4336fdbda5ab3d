/* The files of another claim's tree into scratch, several at a time: the initialisation
 * sections, then the first segment of each rendition, then the second, ... so that wherever
 * it is broken off, what is there is a row. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/inherit_room.h"
#include "media/rendition.h"
#include "media/resume.h"

/*   empty (worker) ──> files ──> adopt (worker) ──> the end
 *
 * a file: open (worker) ──> get ──> close */

static void pump(struct inherit *in);

static void name_file(const struct inherit *in, uint64_t index, char out[64])
{
    unsigned rungs = in->recipe.rung_count;
    const struct rung *rung = &in->rungs[index % rungs];
    char name[RECIPE_INIT_NAME];

    if (index < rungs)
        recipe_init_name(rung, rungs, 0, name);
    else
        rendition_segment_name((uint32_t)(index / rungs) - 1, name);
    snprintf(out, 64, "%s/%s", rung->name, name);
}

/* The end of it */

static void adopt(void *context)
{
    struct inherit *in = context;

    in->err = resume_adopt(in->folder, &in->recipe);
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
                 LOG_I("of", in->total), LOG_I("bytes", in->bytes),
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
    snprintf(key, sizeof(key), "%s/%s", in->from->key, get->name);
    get->task = storage_get(in->pipeline->owner->parts.storage,
                            &(struct storage_get){
                                .key = key, .file = get->file, .done = got, .context = get });
}

static void begin_one(struct inherit *in, struct inherit_get *get)
{
    name_file(in, in->next++, get->name);
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
    in->total = (uint64_t)in->recipe.rung_count * (1 + (uint64_t)in->row);
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
