#include "io/fetch_funnel.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/fetch_md5.h"
#include "io/thread.h"

struct block {
    char *bytes; /* FUNNEL_TAKE_MAX; NULL until the first use */
    size_t len;
};

struct funnel {
    uv_loop_t *loop;
    struct funnel_settings settings;
    struct block filled, written; /* the latter is the worker's while is_writing */
    struct md5 *md5;
    uint64_t at;
    int err;
    bool is_writing, is_over;
    void (*released)(void *context);
    void *released_context;
};

struct funnel *funnel_new(uv_loop_t *loop, const struct funnel_settings *settings)
{
    struct funnel *s = mem_new(struct funnel);

    s->loop = loop;
    s->settings = *settings;
    s->at = settings->at;
    s->md5 = settings->has_md5 ? md5_new() : NULL;
    return s;
}

static void destroy(struct funnel *s)
{
    void (*released)(void *) = s->released;
    void *context = s->released_context;

    md5_free(s->md5);
    mem_free(s->filled.bytes);
    mem_free(s->written.bytes);
    mem_free(s);
    if (released != NULL)
        released(context);
}

/* On a worker thread. */
static void write_block(void *context)
{
    struct funnel *s = context;
    size_t done = 0;

    while (done < s->written.len) {
        ssize_t put = pwrite(s->settings.file, s->written.bytes + done, s->written.len - done,
                             (off_t)(s->at + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            s->err = put < 0 ? fail_from_errno(errno) : FAIL_IO;
            return;
        }
        done += (size_t)put;
    }
    md5_add(s->md5, s->written.bytes, s->written.len);
    s->at += s->written.len;
}

static void block_written(void *context)
{
    struct funnel *s = context;

    s->is_writing = false;
    s->written.len = 0;
    if (s->is_over)
        destroy(s);
    else
        s->settings.moved(s->settings.context);
}

static void write_filled(struct funnel *s)
{
    struct block empty = s->written;

    s->written = s->filled;
    s->filled = empty;
    s->is_writing = true;
    io_offload(s->loop, write_block, block_written, s);
}

bool funnel_take(struct funnel *s, const char *bytes, size_t len)
{
    assert(len <= FUNNEL_TAKE_MAX);
    if (len > FUNNEL_TAKE_MAX - s->filled.len) {
        if (s->is_writing)
            return false;
        write_filled(s);
    }
    if (s->filled.bytes == NULL)
        s->filled.bytes = mem_alloc(FUNNEL_TAKE_MAX);
    memcpy(s->filled.bytes + s->filled.len, bytes, len);
    s->filled.len += len;
    return true;
}

bool funnel_flush(struct funnel *s)
{
    if (!s->is_writing && !s->err && s->filled.len > 0)
        write_filled(s);
    return !s->is_writing;
}

int funnel_err(const struct funnel *s)
{
    return s->is_writing ? OK : s->err; /* meanwhile it is the worker's */
}

const uint8_t *funnel_md5(struct funnel *s)
{
    return md5_end(s->md5);
}

static void nothing(void *context)
{
    (void)context;
}

static void on_idle(void *context)
{
    destroy(context);
}

void funnel_free(struct funnel *s, void (*released)(void *context), void *context)
{
    s->is_over = true;
    s->released = released;
    s->released_context = context;
    if (s->is_writing)
        return;
    if (released == NULL)
        destroy(s);
    else
        io_offload(s->loop, nothing, on_idle, s);
}
