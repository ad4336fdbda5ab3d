#include "media/task.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "io/thread.h"

enum { ARGUMENTS_MAX = 240, ARGUMENT_SIZE_MAX = 16 * 1024, MEDIA_FILES_MAX = 256 };

struct arguments {
    char *list[ARGUMENTS_MAX + 1];
    size_t count;
    bool failed;
};

void media_task_cancel(struct media_task *t)
{
    t->cancel(t);
}

static void nothing(void *context)
{
    (void)context;
}

void media_later(uv_loop_t *loop, void (*done)(void *context), void *context)
{
    io_offload(loop, nothing, done, context);
}

struct child_limits media_limits(const struct media_settings *settings, const char *read_path,
                                 const char *write_path)
{
    return (struct child_limits){ .memory_max = settings->memory_max,
                                  .files_max = MEDIA_FILES_MAX,
                                  .read_path = read_path,
                                  .write_path = write_path };
}

struct arguments *arguments_new(void)
{
    return mem_new(struct arguments);
}

void arguments_free(struct arguments *a)
{
    for (size_t i = 0; i < a->count; i++)
        mem_free(a->list[i]);
    mem_free(a);
}

void arguments_add(struct arguments *a, const char *text)
{
    arguments_addf(a, "%s", text);
}

void arguments_addf(struct arguments *a, const char *format, ...)
{
    struct buf text;
    va_list args;

    buf_init(&text, ARGUMENT_SIZE_MAX);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    if (text.failed || a->count == ARGUMENTS_MAX)
        a->failed = true;
    else
        a->list[a->count++] = text.len ? buf_take(&text) : mem_strdup("");
    buf_deinit(&text);
}

void arguments_add_all(struct arguments *a, const char *const *texts)
{
    for (; *texts; texts++)
        arguments_add(a, *texts);
}

const char *const *arguments_list(struct arguments *a)
{
    return a->failed ? NULL : (const char *const *)a->list;
}

void arguments_add_input(struct arguments *a, const struct media_settings *settings,
                         const char *demuxer)
{
    static const char *const bounds[] = {
        "-protocol_whitelist", "file,pipe", "-probesize", "20M", "-analyzeduration", "20M",
        "-max_streams",        "64",        NULL
    };

    arguments_add_all(a, bounds);
    if (settings->pixels_max > 0) {
        arguments_add(a, "-max_pixels");
        arguments_addf(a, "%" PRIu64, settings->pixels_max);
    }
    arguments_add(a, "-f");
    arguments_add(a, demuxer);
}
