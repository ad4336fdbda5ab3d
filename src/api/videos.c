/* The upload's calls of document 000. */
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/errand.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

enum {
    ANSWER_MAX = 1024 * 1024,
    URL_MAX = 8 * 1024,
    BUCKET_LIFETIME_MAX_S = 7 * 24 * 3600, /* of S3's signatures */
};

/* Where clients reach us: as configured, else as this one did. */
static void public_base(struct call *c, struct buf *out)
{
    const char *configured = c->api->settings->public_url;

    if (*configured)
        buf_puts(out, configured);
    else
        buf_printf(out, "http://%.*s", STR_ARG(exchange_request(c->x)->host));
}

void video_emit_id(struct buf *out, const char *id)
{
    if (job_id_is_number(id))
        emit_field_raw(out, "id", id);
    else
        emit_field_string(out, "id", id);
}

/* Settled point 4: a number, because the document's clients expect one. 41 bits
 * of milliseconds since 2024 and 12 random ones: below 2^53, sortable, and made
 * without asking anybody. Each is larger than the last. */
void video_id(char out[JOB_ID_MAX + 1])
{
    static atomic_uint_fast64_t last;
    const int64_t epoch_ms = INT64_C(1704067200000);
    uint64_t since = (uint64_t)(clock_wall_ms() - epoch_ms) & ((UINT64_C(1) << 41) - 1);
    uint64_t id = since << 12 | (random_u64() & 0xfff);
    uint_fast64_t before = atomic_load(&last);

    do
        id = id > before ? id : before + 1;
    while (!atomic_compare_exchange_weak(&last, &before, id));
    snprintf(out, JOB_ID_MAX + 1, "%llu", (unsigned long long)id);
}

/* create-video */

enum { TRIES = 8 };

struct creation {
    struct upload upload;
    int tries;
    char id[JOB_ID_MAX + 1];
    char title[JOB_TEXT_MAX];
};

static void reply_created(struct call *c, const struct creation *n)
{
    struct buf json;

    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    video_emit_id(&json, n->id);
    emit_field_string(&json, "title", n->title);
    emit_field_string(&json, "status", "queued");
    emit_close(&json, '}');
    reply_json(c->x, 201, &json);
}

static void create(struct call *c);

static void created(struct call *c, int err)
{
    struct creation *n = c->state;

    if (err == FAIL_EXISTS && ++n->tries < TRIES) {
        create(c);
        return;
    }
    switch (err) {
    case OK: reply_created(c, n); break;
    case FAIL_FULL:
        reply_error(c->x, 507, "no_space", "fileSize", "there is no room for %lld bytes",
                    (long long)n->upload.size);
        break;
    case FAIL_IO:
        reply_error(c->x, 507, "not_stored", NULL, "the video could not be put on record");
        break;
    default: job_refuse(c, err, NULL); break;
    }
}

static void create(struct call *c)
{
    struct creation *n = c->state;
    struct change change;

    change_init(&change);
    change.state = JOB_QUEUED;
    change.kind = JOB_UPLOAD;
    change.text[TEXT_OWNER] = c->viewer->subject;
    change.text[TEXT_TITLE] = n->title;
    video_id(n->id);
    c->api->records->open(c, n->id, &change, &n->upload, created);
}

static void create_with(struct call *c, json_t *object)
{
    const char *title = NULL, *file_name = NULL, *priority = "normal";
    uint64_t max = c->api->settings->upload_max;
    struct creation *n = mem_new(struct creation);
    struct upload *u = &n->upload;

    c->state = n;
    *u = (struct upload){ .size = -1, .touched_ms = clock_wall_ms() };
    if (!body_text(c, object, "title", OPTIONAL, JOB_TEXT_MAX - 1, &title) ||
        !body_text(c, object, "fileName", OPTIONAL, FILE_NAME_MAX, &file_name) ||
        !body_text(c, object, "priority", OPTIONAL, FILE_NAME_MAX, &priority) ||
        !body_integer(c, object, "fileSize", OPTIONAL, 0, INT64_MAX, &u->size))
        return;
    if (upload_priority_parse(str_of(priority), &u->priority) != OK) {
        reply_error(c->x, 400, "invalid_field", "priority", "priority must be high, normal or low");
        return;
    }
    if (u->size > 0 && (uint64_t)u->size > max) {
        reply_error(c->x, 413, "too_large", "fileSize", "fileSize is %lld, the limit is %llu bytes",
                    (long long)u->size, (unsigned long long)max);
        return;
    }
    snprintf(u->file_name, sizeof(u->file_name), "%s", file_name ? file_name : "");
    snprintf(n->title, sizeof(n->title), "%s", title ? title : file_name ? file_name : "");
    create(c);
}

void videos_create(struct call *c)
{
    body_read(c, create_with);
}

/* The others begin by looking whose video it is. */

struct asked {
    char video[JOB_ID_MAX + 1];
    char file_name[FILE_NAME_MAX + 1];
    int64_t index, total;
};

static bool is_there(struct call *c, const char *video, int err)
{
    return job_is_known(c, err, "videoId", "video", video);
}

static void reply_closed(struct call *c, const char *video)
{
    reply_error(c->x, 409, "upload_closed", "videoId",
                "video %s takes no chunks: it is being processed, or finished", video);
}

/* get-chunk-upload-url */

static void answer_url(struct call *c, const struct asked *a)
{
    const struct api_settings *settings = c->api->settings;
    int64_t expires_s = (clock_wall_ms() + (int64_t)settings->url_lifetime_ms + 999) / 1000;
    struct buf path, url, json;

    buf_init(&path, JOB_ID_MAX + 64);
    buf_init(&url, 4 * 1024);
    buf_init(&json, ANSWER_MAX);
    buf_printf(&path, "/uploads/%s/%lld", a->video, (long long)a->index);
    public_base(c, &url);
    buf_printf(&url, "%s?", buf_text(&path));
    int err =
        presign_query(c->api->presign, "PUT", buf_str(&path), settings->chunk_max, expires_s, &url);
    emit_open(&json, '{');
    emit_field_string(&json, "upload_url", buf_text(&url));
    emit_field_string(&json, "method", "PUT");
    emit_field_int(&json, "max_bytes", (int64_t)settings->chunk_max);
    emit_field_int(&json, "expires_in", (int64_t)settings->url_lifetime_ms / 1000);
    emit_close(&json, '}');
    buf_deinit(&path);
    buf_deinit(&url);
    if (err == OK) {
        reply_json(c->x, 200, &json);
        return;
    }
    buf_deinit(&json);
    reply_error(c->x, 500, "internal", NULL, "the URL could not be signed");
}

static uint64_t bucket_lifetime_s(const struct call *c)
{
    uint64_t lifetime_s = c->api->settings->url_lifetime_ms / 1000;

    return lifetime_s < BUCKET_LIFETIME_MAX_S ? lifetime_s : BUCKET_LIFETIME_MAX_S;
}

/* Straight to the bucket: its URL takes as much as the bucket does. */
static void reply_bucket_url(struct call *c, const char *upload_url)
{
    struct buf json;

    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "upload_url", upload_url);
    emit_field_string(&json, "method", "PUT");
    emit_field_int(&json, "max_bytes", (int64_t)storage_traits(c->api->storage)->part_max);
    emit_field_int(&json, "expires_in", (int64_t)bucket_lifetime_s(c));
    emit_close(&json, '}');
    reply_json(c->x, 200, &json);
}

static void located(struct call *c, int err, const char *why, const char *upload_url)
{
    const struct asked *a = c->state;

    switch (err) {
    case OK: reply_bucket_url(c, upload_url); break;
    case FAIL_MISSING:
    case FAIL_STATE: reply_closed(c, a->video); break;
    default:
        reply_error(c->x, 503, "storage_unavailable", NULL, "the URL could not be made: %s", why);
    }
}

static void locate(struct call *c, const struct upload *u)
{
    const struct asked *a = c->state;
    uint64_t lifetime_s = bucket_lifetime_s(c);
    struct buf upload_url;

    buf_init(&upload_url, URL_MAX);
    int err = upload_chunk_url(c->api->storage, a->video, &u->place, (uint32_t)a->index, lifetime_s,
                               &upload_url);
    if (err == OK)
        reply_bucket_url(c, buf_text(&upload_url));
    else
        errand_chunk_url(c, a->video, (uint32_t)a->index, (uint32_t)a->total, lifetime_s, located);
    buf_deinit(&upload_url);
}

static void url_looked(struct call *c, int err, const struct upload *u)
{
    const struct asked *a = c->state;

    if (err && err != FAIL_MISSING)
        job_refuse(c, err, NULL);
    else if (err || u->state != UPLOAD_OPEN)
        reply_closed(c, a->video);
    else if (u->place.layout == LAYOUT_DISK)
        answer_url(c, a);
    else
        locate(c, u);
}

static void give_url(struct call *c)
{
    const struct api *api = c->api;
    const struct asked *a = c->state;

    if (api->storage == NULL || api->settings->takes_chunks ||
        !storage_traits(api->storage)->has_urls)
        answer_url(c, a);
    else
        api->records->look(c, a->video, url_looked);
}

static void planned(struct call *c, int err, uint32_t before)
{
    const struct asked *a = c->state;

    switch (err) {
    case OK: give_url(c); break;
    case FAIL_EXISTS:
        reply_error(c->x, 409, "wrong_count", "totalChunks",
                    "totalChunks is %lld here but was %u before", (long long)a->total, before);
        break;
    case FAIL_MISSING:
    case FAIL_STATE: reply_closed(c, a->video); break;
    default: job_refuse(c, err, NULL); break;
    }
}

static void url_found(struct call *c, int err, struct update *u)
{
    const struct asked *a = c->state;

    (void)u;
    if (is_there(c, a->video, err))
        c->api->records->plan(c, a->video, (uint32_t)a->total, planned);
}

static void url_with(struct call *c, json_t *object)
{
    struct asked *a = mem_new(struct asked);

    c->state = a;
    if (!body_id(c, object, "videoId", a->video) ||
        !body_integer(c, object, "totalChunks", REQUIRED, 1, CHUNKS_MAX, &a->total) ||
        !body_integer(c, object, "chunkIndex", REQUIRED, 0, a->total - 1, &a->index))
        return;
    c->api->records->find(c, a->video, url_found);
}

void videos_chunk_url(struct call *c)
{
    body_read(c, url_with);
}

/* assemble-chunks */

/* Either the server is shutting down, or Redis is away. */
static void refuse_closed(struct call *c, const char *why)
{
    if (c->api->fleet == NULL || atomic_load(&c->api->is_draining))
        reply_error(c->x, 503, "shutting_down", NULL, "%s", why);
    else
        job_refuse_away(c, FAIL_CLOSED);
}

static void assembled(struct call *c, int err, const char *why)
{
    const struct asked *a = c->state;
    struct buf json;

    switch (err) {
    case OK:
        buf_init(&json, ANSWER_MAX);
        emit_open(&json, '{');
        video_emit_id(&json, a->video);
        emit_field_string(&json, "status", "processing");
        emit_close(&json, '}');
        reply_json(c->x, 202, &json);
        break;
    case FAIL_MISSING: reply_error(c->x, 409, "chunks_missing", NULL, "%s", why); break;
    case FAIL_STATE: reply_error(c->x, 409, "already_processing", NULL, "%s", why); break;
    case FAIL_SYNTAX: reply_error(c->x, 400, "upload_incomplete", NULL, "%s", why); break;
    case FAIL_FULL: reply_error(c->x, 507, "no_space", NULL, "%s", why); break;
    case FAIL_CLOSED: refuse_closed(c, why); break;
    case FAIL_TIMEOUT: reply_error(c->x, 503, "storage_unavailable", NULL, "%s", why); break;
    default: reply_error(c->x, 500, "internal", NULL, "%s", why); break;
    }
}

static void assemble_found(struct call *c, int err, struct update *u)
{
    const struct asked *a = c->state;

    if (!is_there(c, a->video, err))
        return;
    if (u->state == JOB_COMPLETED || u->state == JOB_CANCELLED)
        reply_error(c->x, 409, "already_finished", "videoId", "video %s is %s already", a->video,
                    job_state_name(u->state));
    else
        c->api->records->assemble(c, a->video, a->file_name, (uint32_t)a->total, assembled);
}

static void assemble_with(struct call *c, json_t *object)
{
    struct asked *a = mem_new(struct asked);
    const char *file_name = "";

    c->state = a;
    if (!body_id(c, object, "videoId", a->video) ||
        !body_text(c, object, "fileName", OPTIONAL, FILE_NAME_MAX, &file_name) ||
        !body_integer(c, object, "totalChunks", OPTIONAL, 1, CHUNKS_MAX, &a->total))
        return;
    snprintf(a->file_name, sizeof(a->file_name), "%s", file_name);
    c->api->records->find(c, a->video, assemble_found);
}

void videos_assemble(struct call *c)
{
    body_read(c, assemble_with);
}
