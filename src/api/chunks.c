/* PUT of one chunk to its presigned URL: streamed to the disk under another name
 * and named when it is whole. */
#include <inttypes.h>
#include <stdio.h>

#include "api/api.h"
#include "api/intake.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

struct put {
    struct call *call;
    struct intake intake;
    uint64_t size_max;
    uint32_t index;
};

static int status_of(int err)
{
    switch (err) {
    case OK: return 200;
    case FAIL_CLOSED: return 400; /* nobody is left to read it */
    case FAIL_LIMIT: return 413;
    case FAIL_FULL: return 507;
    case FAIL_MISSING: return 404;
    case FAIL_STATE: return 409;
    case FAIL_TIMEOUT: return 503; /* the bucket is away */
    default: return 500;
    }
}

static void answer(struct put *p, int status)
{
    struct exchange *x = p->call->x;
    const char *video = p->call->segments[0];
    char etag[40];
    struct buf json;

    switch (status) {
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
    default: reply_error(x, status, "not_stored", NULL, "the chunk could not be stored"); return;
    }
    /* As object stores answer a PUT: it names what this one has stored. Nothing is kept of it,
     * so it is no checksum, which would cost more than all else that is done with the bytes. */
    snprintf(etag, sizeof(etag), "\"%016" PRIx64 "-%" PRIx64 "\"", p->intake.file.tag,
             p->intake.received);
    exchange_header(x, "ETag", etag);
    buf_init(&json, 1024);
    emit_open(&json, '{');
    emit_field_int(&json, "index", p->index);
    emit_field_int(&json, "size", (int64_t)p->intake.received);
    emit_close(&json, '}');
    reply_json(x, 200, &json);
}

static void release(struct put *p, int status)
{
    intake_deinit(&p->intake);
    answer(p, status);
}

/* True: answered. */
static bool is_refused(struct put *p, int err)
{
    if (err != FAIL_CLOSED)
        return false;
    intake_deinit(&p->intake);
    return job_refuse_away(p->call, err);
}

static void taken(struct call *c, int err)
{
    if (!is_refused(c->state, err))
        release(c->state, status_of(err));
}

static void on_over(struct intake *in)
{
    struct put *p = in->owner;

    if (in->err)
        release(p, status_of(in->err));
    else
        p->call->api->records->take_chunk(p->call, p->call->segments[0], &in->file, taken);
}

static void on_data(struct exchange *x, const char *bytes, size_t len)
{
    struct put *p = ((struct call *)exchange_state(x))->state;

    if (p->intake.received + len > p->size_max)
        intake_stop(&p->intake, FAIL_LIMIT);
    intake_put(&p->intake, bytes, len);
    intake_go(&p->intake);
}

static char *on_room(struct exchange *x, size_t *len)
{
    struct put *p = ((struct call *)exchange_state(x))->state;

    return intake_room(&p->intake, len);
}

static void on_end(struct exchange *x)
{
    struct put *p = ((struct call *)exchange_state(x))->state;

    intake_end(&p->intake);
}

static void on_gone(struct exchange *x)
{
    struct put *p = ((struct call *)exchange_state(x))->state;

    intake_stop(&p->intake, FAIL_CLOSED);
}

static const struct body_events body_events = {
    .data = on_data, .end = on_end, .gone = on_gone, .room = on_room
};

static void on_ready(struct intake *in)
{
    exchange_stream(in->x, &body_events);
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

static void looked(struct call *c, int err, const struct upload *u)
{
    struct put *p = c->state;
    int64_t expected = exchange_request(c->x)->content_length;
    int status = 0;

    if (is_refused(p, err))
        return;
    bool is_promised = err == OK && u->size >= 0 && u->place.layout == LAYOUT_DISK &&
                       c->api->records->promises_room;
    if (err)
        status = status_of(err);
    else if (u->state != UPLOAD_OPEN)
        status = 409;
    else if (expected > 0 && (uint64_t)expected > p->size_max)
        status = 413;
    /* What is declared for the whole upload is reserved already. */
    else if (!is_promised && expected > 0 && intake_reserve(&p->intake, (uint64_t)expected) != OK)
        status = 507;
    if (status != 0) {
        release(p, status);
        return;
    }
    p->intake.is_promised = is_promised;
    intake_begin(&p->intake, c->segments[0], p->index);
}

void chunks_put(struct call *c)
{
    uint64_t size_max, index;

    if (!is_signed(c, &size_max))
        return;
    struct put *p = mem_new(struct put);
    c->state = p;
    p->call = c;
    p->size_max = size_max;
    p->intake = (struct intake){ .x = c->x,
                                 .disk = c->api->disk,
                                 .counter = COUNT_UPLOADED_CHUNKS,
                                 .ready = on_ready,
                                 .over = on_over,
                                 .owner = p };
    if (str_parse_u64(str_of(c->segments[1]), CHUNKS_MAX - 1, &index) != OK ||
        !job_id_is_valid(str_of(c->segments[0]))) {
        release(p, 404);
        return;
    }
    p->index = (uint32_t)index;
    c->api->records->look(c, c->segments[0], looked);
}
