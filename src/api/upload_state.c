/* GET /streaming/uploads/{id}: what a client that was cut off needs to go on. */
#include "api/api.h"
#include "api/errand.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

enum { ANSWER_MAX = 1024 * 1024 };

struct listing {
    struct call *call;
    struct upload upload;
    int64_t *sizes;
    uint32_t beyond;
    int err;
};

static void list_work(void *context)
{
    struct listing *l = context;
    uint32_t count = l->upload.total_chunks;

    l->err = disk_chunks(l->call->api->disk, l->call->segments[0], l->sizes, count, &l->beyond);
    if (l->err != FAIL_MISSING)
        return;
    l->err = OK;
    for (uint32_t i = 0; i < count; i++)
        l->sizes[i] = -1;
}

static void emit_chunks(const struct listing *l, struct buf *json)
{
    emit_key(json, "chunks");
    emit_open(json, '[');
    for (uint32_t i = 0; i < l->upload.total_chunks; i++) {
        if (l->sizes[i] < 0)
            continue;
        emit_open(json, '{');
        emit_field_int(json, "index", i);
        emit_field_int(json, "size", l->sizes[i]);
        emit_close(json, '}');
    }
    emit_close(json, ']');
}

static void listed(void *context)
{
    struct listing *l = context;
    struct buf json;

    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    video_emit_id(&json, l->call->segments[0]);
    emit_field_string(&json, "state", l->upload.state == UPLOAD_OPEN ? "open" : "assembling");
    emit_key(&json, "total_chunks");
    if (l->upload.total_chunks > 0)
        emit_int(&json, l->upload.total_chunks);
    else
        emit_null(&json);
    if (l->err == OK)
        emit_chunks(l, &json);
    emit_close(&json, '}');
    if (l->err == OK) {
        reply_json(l->call->x, 200, &json);
    } else {
        buf_deinit(&json);
        bool is_away = l->upload.place.layout != LAYOUT_DISK;
        reply_error(l->call->x, is_away ? 503 : 500, is_away ? "storage_unavailable" : "internal",
                    NULL,
                    is_away ? "the storage cannot be asked for its chunks just now"
                            : "the chunks could not be listed");
    }
    mem_free(l->sizes);
    mem_free(l);
}

static void bucket_listed(struct call *c, int err, int64_t *sizes)
{
    struct listing *l = c->state;

    c->state = NULL;
    l->err = err;
    l->sizes = sizes;
    listed(l);
}

static void state_done(struct call *c)
{
    struct buf json;

    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    video_emit_id(&json, c->segments[0]);
    emit_field_string(&json, "state", "done");
    emit_key(&json, "chunks");
    emit_open(&json, '[');
    emit_close(&json, ']');
    emit_close(&json, '}');
    reply_json(c->x, 200, &json);
}

static void state_looked(struct call *c, int err, const struct upload *u)
{
    if (err) {
        if (err == FAIL_MISSING)
            state_done(c);
        else
            job_refuse(c, err, NULL);
        return;
    }
    struct listing *l = mem_new(struct listing);
    l->call = c;
    l->upload = *u;
    if (c->api->storage != NULL && u->place.layout != LAYOUT_DISK) {
        c->state = l;
        errand_chunks(c, c->segments[0], u, bucket_listed);
        return;
    }
    l->sizes = mem_alloc(((size_t)u->total_chunks + 1) * sizeof(*l->sizes));
    io_offload(io_thread_loop(exchange_thread(c->x)), list_work, listed, l);
}

static void state_found(struct call *c, int err, struct update *u)
{
    (void)u;
    if (job_is_known(c, err, "videoId", "video", c->segments[0]))
        c->api->records->look(c, c->segments[0], state_looked);
}

void videos_upload_state(struct call *c)
{
    if (!job_id_is_valid(str_of(c->segments[0])))
        reply_error(c->x, 404, "not_found", NULL, "there is no such video");
    else
        c->api->records->find(c, c->segments[0], state_found);
}
