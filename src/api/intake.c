#include "api/intake.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/exchange.h"
#include "io/thread.h"

/* A block is written when it holds FULL bytes, and then one event more may come:
 * a read buffer, and a few bytes that a parser had held back. */
enum { FULL = 128 * 1024, EVENT_MAX = 64 * 1024 + 4096, BLOCK = FULL + EVENT_MAX };

/* Room is promised in steps when nobody knows how much will come. */
enum { RESERVE_STEP = 16 * 1024 * 1024 };

static void go_on(struct intake *in);

static void offload(struct intake *in, void (*work)(void *), void (*done)(void *))
{
    in->is_busy = true;
    io_offload(io_thread_loop(exchange_thread(in->x)), work, done, in);
}

int intake_reserve(struct intake *in, uint64_t bytes)
{
    int err = disk_reserve(in->disk, bytes);

    if (err == OK)
        in->reserved += bytes;
    return err;
}

static void unreserve(struct intake *in, uint64_t bytes)
{
    if (bytes > in->reserved)
        bytes = in->reserved;
    in->reserved -= bytes;
    if (bytes > 0)
        disk_unreserve(in->disk, bytes);
}

void intake_deinit(struct intake *in)
{
    unreserve(in, in->reserved);
    mem_free(in->filling);
    mem_free(in->writing);
    in->filling = in->writing = NULL;
}

static void abort_work(void *context)
{
    struct intake *in = context;

    disk_chunk_abort(in->disk, &in->file);
}

static void aborted(void *context)
{
    struct intake *in = context;

    in->is_busy = false;
    in->over(in);
}

static void write_work(void *context)
{
    struct intake *in = context;

    in->work_err = OK;
    if (!in->is_promised && in->reserved < in->to_write)
        in->work_err = intake_reserve(in, RESERVE_STEP);
    if (in->work_err == OK && in->look != NULL)
        in->look(in, in->writing, in->to_write);
    if (in->work_err == OK)
        in->work_err = disk_chunk_write(&in->file, in->writing, in->to_write);
    /* What is written counts as used from here on. */
    if (in->work_err == OK)
        unreserve(in, in->to_write);
}

static void written(void *context)
{
    struct intake *in = context;

    in->is_busy = false;
    in->to_write = 0;
    if (in->err == OK)
        in->err = in->work_err;
    go_on(in);
}

static void write_block(struct intake *in)
{
    char *full = in->filling;

    in->filling = in->writing;
    in->writing = full;
    in->to_write = in->filled;
    in->filled = 0;
    offload(in, write_work, written);
}

/* Whatever comes next, unless a worker thread is busy: then it comes here. */
static void go_on(struct intake *in)
{
    if (in->is_busy || in->is_over)
        return;
    if (in->err != OK) {
        in->is_over = true;
        if (in->is_begun)
            offload(in, abort_work, aborted);
        else
            in->over(in);
    } else if (in->filled > 0 && (in->is_ended || in->filled >= FULL)) {
        write_block(in);
        /* What comes behind the end is not this file's. */
        if (!in->is_ended)
            exchange_resume(in->x);
    } else if (in->is_ended) {
        in->is_over = true;
        in->over(in);
    } else {
        exchange_resume(in->x);
    }
}

static void begin_work(void *context)
{
    struct intake *in = context;

    in->work_err = disk_chunk_begin(in->disk, in->file.video, in->file.index, &in->file);
}

static void begun(void *context)
{
    struct intake *in = context;

    in->is_busy = false;
    in->is_begun = in->work_err == OK;
    if (in->work_err == OK) {
        in->ready(in);
        return;
    }
    in->err = in->work_err;
    go_on(in);
}

void intake_begin(struct intake *in, const char *video, uint32_t index)
{
    in->filling = mem_alloc(BLOCK);
    in->writing = mem_alloc(BLOCK);
    snprintf(in->file.video, sizeof(in->file.video), "%s", video);
    in->file.index = index;
    offload(in, begin_work, begun);
}

char *intake_room(struct intake *in, size_t *len)
{
    if (in->err != OK || in->filled >= BLOCK)
        return NULL;
    *len = BLOCK - in->filled;
    return in->filling + in->filled;
}

void intake_put(struct intake *in, const char *bytes, size_t len)
{
    if (in->err != OK)
        return;
    if (len > BLOCK - in->filled) {
        in->err = FAIL_LIMIT;
        return;
    }
    if (bytes != in->filling + in->filled)
        memcpy(in->filling + in->filled, bytes, len);
    in->filled += len;
    in->received += len;
    counter_add(in->counter, (int64_t)len);
}

struct str intake_held(const struct intake *in)
{
    return (struct str){ in->filling, in->filled };
}

void intake_go(struct intake *in)
{
    if (in->err == OK && in->filled < FULL && !in->is_ended)
        return;
    if (in->is_busy)
        exchange_pause(in->x);
    go_on(in);
}

void intake_end(struct intake *in)
{
    in->is_ended = true;
    go_on(in);
}

void intake_stop(struct intake *in, int err)
{
    if (in->err == OK)
        in->err = err;
    go_on(in);
}
