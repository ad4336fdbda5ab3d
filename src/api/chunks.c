/* PUT of one chunk to its presigned URL: streamed to the disk under another name
 * and named when it is whole. Two blocks take turns: one fills from the socket
 * while a worker thread writes the other.
 *
 *   begin -> receiving <-> writing -> committing -> answered
 *                 \________ failed or client gone __/ (temporary file removed)
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

enum { BLOCK = 512 * 1024 };

struct put {
    struct call *call;
    struct chunk_write file;
    char *filling, *writing;
    size_t filled, to_write;
    uint64_t received, size_max, reserved;
    int64_t expected; /* Content-Length, or -1 */
    int err;          /* of what the worker thread did */
    int status;       /* 0, or what the client will be told */
    bool is_begun;    /* the temporary file is there */
    bool is_busy;     /* a worker thread has `file` */
    bool is_ended;    /* the last byte has come */
    bool is_gone;
    bool is_committed;
};

static void finish(struct put *p);

static void put_offload(struct put *p, void (*work)(void *), void (*done)(void *))
{
    p->is_busy = true;
    io_offload(io_thread_loop(exchange_thread(p->call->x)), work, done, p);
}

static int status_of(int err)
{
    switch (err) {
    case FAIL_FULL: return 507;
    case FAIL_MISSING: return 404;
    case FAIL_STATE: return 409;
    default: return 500;
    }
}

static void answer(struct put *p)
{
    struct exchange *x = p->call->x;
    const char *video = p->call->segments[0];
    char etag[40];
    struct buf json;

    switch (p->status) {
    case 200: break;
    case 404: reply_error(x, 404, "not_found", NULL, "there is no upload %s", video); return;
    case 409:
        reply_error(x, 409, "upload_closed", NULL,
                    "video %s takes no chunks: it is being processed, or finished", video);
        return;
    case 413:
        reply_error(x, 413, "too_large", NULL, "a chunk has at most %" PRIu64 " bytes",
                    p->size_max);
        return;
    case 507: reply_error(x, 507, "no_space", NULL, "there is no room for this chunk"); return;
    default: reply_error(x, p->status, "not_stored", NULL, "the chunk could not be stored"); return;
    }
    /* As object stores answer a PUT; clients compare it, nothing is kept. */
    snprintf(etag, sizeof(etag), "\"%08x-%" PRIx64 "\"", p->file.crc, p->received);
    exchange_header(x, "ETag", etag);
    buf_init(&json, 1024);
    emit_open(&json, '{');
    emit_field_int(&json, "index", p->file.index);
    emit_field_int(&json, "size", (int64_t)p->received);
    emit_close(&json, '}');
    reply_json(x, 200, &json);
}

static void release(struct put *p)
{
    struct call *c = p->call;

    if (p->reserved > 0)
        disk_unreserve(c->api->disk, p->reserved);
    mem_free(p->filling);
    mem_free(p->writing);
    p->filling = p->writing = NULL;
    answer(p);
}

static void abort_work(void *context)
{
    struct put *p = context;

    disk_chunk_abort(p->call->api->disk, &p->file);
}

static void aborted(void *context)
{
    release(context);
}

static void commit_work(void *context)
{
    struct put *p = context;
    const struct api *api = p->call->api;
    const char *video = p->call->segments[0];

    p->err = uploads_enter(api->uploads, video);
    if (p->err) {
        disk_chunk_abort(api->disk, &p->file);
        return;
    }
    p->err = disk_chunk_commit(api->disk, &p->file);
    uploads_leave(api->uploads, video, p->err == OK ? p->received : 0);
}

static void committed(void *context)
{
    struct put *p = context;

    p->status = p->err == OK ? 200 : status_of(p->err);
    release(p);
}

static void write_work(void *context)
{
    struct put *p = context;

    p->err = disk_chunk_write(&p->file, p->writing, p->to_write);
}

static void written(void *context)
{
    struct put *p = context;

    p->is_busy = false;
    p->to_write = 0;
    if (p->err && p->status == 0)
        p->status = status_of(p->err);
    finish(p);
}

static void write_block(struct put *p)
{
    char *full = p->filling;

    p->filling = p->writing;
    p->writing = full;
    p->to_write = p->filled;
    p->filled = 0;
    put_offload(p, write_work, written);
}

/* Whatever comes next, unless a worker thread is busy: then it comes here. */
static void finish(struct put *p)
{
    if (p->is_busy || p->is_committed)
        return;
    if (p->status != 0 || p->is_gone) {
        p->is_committed = true;
        if (p->status == 0)
            p->status = 400;
        if (p->is_begun)
            put_offload(p, abort_work, aborted);
        else
            release(p);
    } else if (p->filled > 0 && (p->is_ended || p->filled >= BLOCK / 2)) {
        write_block(p);
        exchange_resume(p->call->x);
    } else if (p->is_ended) {
        p->is_committed = true;
        put_offload(p, commit_work, committed);
    } else {
        exchange_resume(p->call->x);
    }
}

static void take(struct put *p, const char *bytes, size_t len)
{
    memcpy(p->filling + p->filled, bytes, len);
    p->filled += len;
    p->received += len;
}

static void on_data(struct exchange *x, const char *bytes, size_t len)
{
    struct put *p = ((struct call *)exchange_state(x))->state;

    if (p->status != 0)
        return;
    if (p->received + len > p->size_max)
        p->status = 413;
    /* Data stops at half a block, and one event is at most the read buffer, so
     * there is always room. */
    else if (len > BLOCK - p->filled)
        p->status = 500;
    else
        take(p, bytes, len);
    if (p->status != 0 || p->filled >= BLOCK / 2) {
        if (p->is_busy)
            exchange_pause(x);
        finish(p);
    }
}

static void on_end(struct exchange *x)
{
    struct put *p = ((struct call *)exchange_state(x))->state;

    p->is_ended = true;
    finish(p);
}

static void on_gone(struct exchange *x)
{
    struct put *p = ((struct call *)exchange_state(x))->state;

    p->is_gone = true;
    finish(p);
}

static const struct body_events body_events = { .data = on_data, .end = on_end, .gone = on_gone };

static void begin_work(void *context)
{
    struct put *p = context;
    uint64_t index = 0;

    str_parse_u64(str_of(p->call->segments[1]), UINT32_MAX, &index);
    p->err = disk_chunk_begin(p->call->api->disk, p->call->segments[0], (uint32_t)index, &p->file);
}

static void begun(void *context)
{
    struct put *p = context;

    p->is_busy = false;
    p->is_begun = p->err == OK;
    if (p->err) {
        p->status = status_of(p->err);
        finish(p);
        return;
    }
    exchange_stream(p->call->x, &body_events);
}

/* What is declared for the whole upload is reserved already. */
static int reserve(struct put *p, const struct upload *u)
{
    if (p->expected <= 0 || u->size >= 0)
        return OK;
    int err = disk_reserve(p->call->api->disk, (uint64_t)p->expected);
    if (err == OK)
        p->reserved = (uint64_t)p->expected;
    return err;
}

static bool is_signed(struct call *c, uint64_t *size_max)
{
    const struct http_request *request = exchange_request(c->x);
    int err = presign_check(c->api->presign, "PUT", c->path, request->query, clock_wall_ms() / 1000,
                            size_max);

    switch (err) {
    case OK: return true;
    case FAIL_TIMEOUT:
        reply_error(c->x, 403, "url_expired", NULL,
                    "this upload URL has expired: ask for a new one");
        return false;
    default:
        reply_error(c->x, 403, "url_invalid", NULL, "this upload URL was not signed here");
        return false;
    }
}

void chunks_put(struct call *c)
{
    uint64_t size_max, index;
    struct upload u;

    if (!is_signed(c, &size_max))
        return;
    struct put *p = mem_new(struct put);
    c->state = p;
    p->call = c;
    p->size_max = size_max;
    p->expected = exchange_request(c->x)->content_length;
    if (str_parse_u64(str_of(c->segments[1]), CHUNKS_MAX - 1, &index) != OK ||
        !job_id_is_valid(str_of(c->segments[0])) ||
        uploads_get(c->api->uploads, c->segments[0], &u) != OK)
        p->status = 404;
    else if (u.state != UPLOAD_OPEN)
        p->status = 409;
    else if (p->expected > 0 && (uint64_t)p->expected > size_max)
        p->status = 413;
    else if (reserve(p, &u) != OK)
        p->status = 507;
    if (p->status != 0) {
        finish(p);
        return;
    }
    p->filling = mem_alloc(BLOCK);
    p->writing = mem_alloc(BLOCK);
    put_offload(p, begin_work, begun);
}
