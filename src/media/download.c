/* A URL becomes a file: as it is, or by way of yt-dlp. */
#include "base/err.h"
#include "base/mem.h"
#include "media/downloads.h"
#include "media/task.h"

struct both {
    struct media_task task; /* first */
    struct download_request request;
    struct download_events events; /* the asker's, but for `done` */
    struct media_task *inner;
    bool is_page, is_cancelled;
    const struct download_events *outside;
    void *context;
    char *folder, *path;
};

static void done(void *context, int err, const char *why);

static void tell_info(void *context, const struct remote_info *info)
{
    struct both *b = context;

    b->outside->info(b->context, info);
}

static void tell_progress(void *context, const struct download_progress *progress)
{
    struct both *b = context;

    b->outside->progress(b->context, progress);
}

static int ask_room(void *context, uint64_t bytes)
{
    struct both *b = context;

    return b->outside->room(b->context, bytes);
}

static void cancel(struct media_task *t)
{
    struct both *b = (struct both *)t;

    b->is_cancelled = true;
    media_task_cancel(b->inner);
}

static void done(void *context, int err, const char *why)
{
    struct both *b = context;

    if (err == FAIL_UNSUPPORTED && b->is_page && !b->is_cancelled) {
        b->is_page = false;
        if (download_page_start(&b->request, &b->inner) == OK)
            return;
        why = "yt-dlp could not be started";
    }
    b->outside->done(b->context, err, why);
    mem_free(b->folder);
    mem_free(b->path);
    mem_free(b);
}

int download_start(const struct download_request *request, struct media_task **out)
{
    struct both *b = mem_new(struct both);

    b->task.cancel = cancel;
    b->folder = mem_strdup(request->folder);
    b->path = mem_strdup(request->path);
    b->outside = request->events;
    b->context = request->context;
    b->events = (struct download_events){
        .info = tell_info, .progress = tell_progress, .room = ask_room, .done = done
    };
    b->request = *request;
    b->request.folder = b->folder;
    b->request.path = b->path;
    b->request.events = &b->events;
    b->request.context = b;
    int err = download_direct_start(&b->request, &b->is_page, &b->inner);
    if (err) {
        mem_free(b->folder);
        mem_free(b->path);
        mem_free(b);
        return err;
    }
    *out = &b->task;
    return OK;
}
