/* Document 001's uploadVideo({file}): a video in one request, as the oRPC client
 * sends it, or a form of a browser's or curl's.
 *
 *   receiving -> on record -> named -> has a job -> assembling -> answered
 *
 * The file is written under another name. When it is whole, the upload goes on
 * record, the file gets its name, and only then is there a job: a crash before
 * that leaves nothing but what the next start clears away, one behind it leaves
 * a job that goes on. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/form.h"
#include "api/intake.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/sniff.h"

enum {
    ANSWER_MAX = 16 * 1024,
    /* What a form may have beside the file, when its length is all we know. */
    BESIDE_MAX = 1024 * 1024,
};

struct shot {
    struct call *call;
    struct intake intake;
    struct form form;
    bool is_sniffed;
    int err; /* of the commit */
    /* What the client will be told; 0: nothing was wrong yet. */
    int status;
    const char *field; /* static, or NULL */
    char why[512];
    char video[JOB_ID_MAX + 1];
};

/* Answers, as the RPC protocol has them: {"json": ..., "meta": []} */

static const char *code_of(int status)
{
    switch (status) {
    case 400: return "BAD_REQUEST";
    case 401: return "UNAUTHORIZED";
    case 404: return "NOT_FOUND";
    case 413: return "PAYLOAD_TOO_LARGE";
    case 415: return "UNSUPPORTED_MEDIA_TYPE";
    case 422: return "UNPROCESSABLE_CONTENT";
    case 503: return "SERVICE_UNAVAILABLE";
    case 507: return "INSUFFICIENT_STORAGE";
    default: return "INTERNAL_SERVER_ERROR";
    }
}

static void reply(struct call *c, int status, struct buf *value)
{
    struct buf json;

    buf_init(&json, ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_raw(&json, "json", buf_text(value));
    emit_key(&json, "meta");
    emit_open(&json, '[');
    emit_close(&json, ']');
    emit_close(&json, '}');
    buf_deinit(value);
    reply_json(c->x, status, &json);
}

static void reply_refusal(struct call *c, int status, const char *field, const char *why)
{
    struct buf value;

    if (status == 503)
        exchange_header(c->x, "Retry-After", "1");
    buf_init(&value, ANSWER_MAX);
    emit_open(&value, '{');
    emit_field_bool(&value, "defined", false);
    emit_field_string(&value, "code", code_of(status));
    emit_field_int(&value, "status", status);
    emit_field_string(&value, "message", why);
    if (field != NULL) {
        emit_key(&value, "data");
        emit_open(&value, '{');
        emit_field_string(&value, "field", field);
        if (status == 413)
            emit_field_int(&value, "limit", (int64_t)c->api->settings->upload_max);
        emit_close(&value, '}');
    }
    emit_close(&value, '}');
    reply(c, status, &value);
}

static void reply_video(struct call *c, const char *video)
{
    struct buf value;

    buf_init(&value, ANSWER_MAX);
    emit_open(&value, '{');
    emit_field_string(&value, "videoId", video);
    emit_close(&value, '}');
    reply(c, 200, &value);
}

/* The first thing that is wrong is what the client hears. */
static void blame(struct shot *s, int status, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void blame(struct shot *s, int status, const char *field, const char *format, ...)
{
    va_list args;

    if (s->status != 0)
        return;
    s->status = status;
    s->field = field;
    va_start(args, format);
    vsnprintf(s->why, sizeof(s->why), format, args);
    va_end(args);
}

static void blame_err(struct shot *s, int err)
{
    switch (err) {
    case FAIL_CLOSED: blame(s, 400, NULL, "the form did not come to its end"); break;
    case FAIL_FULL: blame(s, 507, "file", "there is no room for this file"); break;
    case FAIL_TIMEOUT: blame(s, 503, NULL, "the storage cannot be reached just now"); break;
    default: blame(s, 500, NULL, "the file could not be stored: %s", fail_text(err)); break;
    }
}

static void answer(struct shot *s)
{
    struct call *c = s->call;

    intake_deinit(&s->intake);
    form_deinit(&s->form);
    if (s->status == 0)
        reply_video(c, s->video);
    else
        reply_refusal(c, s->status, s->field, s->why);
}

/* From a whole file to a job. What goes wrong takes everything back. */

static void discarded(struct call *c, int err)
{
    (void)err;
    answer(c->state);
}

static void take_back(struct shot *s)
{
    s->call->api->records->discard(s->call, s->video, discarded);
}

static void fail_job(struct shot *s)
{
    struct change change;

    change_init(&change);
    change.state = JOB_FAILED;
    change.text[TEXT_ERROR] = s->why;
    s->call->api->records->apply(s->call,
                                 &(struct record_change){ .id = s->video, .change = &change },
                                 NULL);
}

static void assembled(struct call *c, int err, const char *why)
{
    struct shot *s = c->state;

    if (err == OK) {
        answer(s);
        return;
    }
    int status = err == FAIL_FULL ? 507 : err == FAIL_CLOSED ? 503 : 500;
    blame(s, status, err == FAIL_FULL ? "file" : NULL, "%s", why);
    fail_job(s);
    take_back(s);
}

static void has_job(struct call *c, int err, struct update *u)
{
    struct shot *s = c->state;

    (void)u;
    if (err == OK) {
        c->api->records->assemble(c, s->video, s->form.file_name, 1, assembled);
        return;
    }
    blame(s, 503, NULL, "%s", err == FAIL_LIMIT ? c->api->records->limit : RECORDS_AWAY);
    take_back(s);
}

static void create_job(struct shot *s)
{
    struct call *c = s->call;
    struct change change;

    change_init(&change);
    change.state = JOB_QUEUED;
    change.kind = JOB_UPLOAD;
    change.text[TEXT_OWNER] = c->viewer->subject;
    change.text[TEXT_TITLE] = s->form.title;
    c->api->records->apply(c,
                           &(struct record_change){ .id = s->video,
                                                    .change = &change,
                                                    .when = RECORD_IF_NEW,
                                                    .wait = RECORD_ACCEPTED },
                           has_job);
}

static void commit_work(void *context)
{
    struct shot *s = context;

    s->err = disk_chunk_commit(s->call->api->disk, &s->intake.file);
}

static void committed(void *context)
{
    struct shot *s = context;

    if (s->err != OK) {
        blame_err(s, s->err);
        take_back(s);
        return;
    }
    create_job(s);
}

static void offload(struct shot *s, void (*work)(void *), void (*done)(void *))
{
    io_offload(io_thread_loop(exchange_thread(s->call->x)), work, done, s);
}

static void taken(struct call *c, int err)
{
    struct shot *s = c->state;

    s->err = err;
    committed(s);
}

/* Its name: on the disk, or in the bucket. */
static void name_file(struct shot *s)
{
    struct call *c = s->call;

    if (c->api->storage != NULL)
        c->api->records->take_chunk(c, s->video, &s->intake.file, taken);
    else
        offload(s, commit_work, committed);
}

static void abort_work(void *context)
{
    struct shot *s = context;

    disk_chunk_abort(s->call->api->disk, &s->intake.file);
}

static void aborted(void *context)
{
    answer(context);
}

static void opened(struct call *c, int err)
{
    struct shot *s = c->state;

    if (err == OK) {
        name_file(s);
        return;
    }
    if (err == FAIL_EXISTS)
        blame(s, 500, NULL, "the video's id is taken");
    else if (err == FAIL_CLOSED)
        blame(s, 503, NULL, RECORDS_AWAY);
    else
        blame(s, 507, NULL, "the video could not be put on record");
    offload(s, abort_work, aborted);
}

static void on_over(struct intake *in)
{
    struct shot *s = in->owner;
    struct upload u = {
        .total_chunks = 1, .size = -1, .touched_ms = clock_wall_ms(), .is_one_shot = true
    };

    if (in->err) {
        blame_err(s, in->err);
        answer(s);
        return;
    }
    snprintf(u.file_name, sizeof(u.file_name), "%s", s->form.file_name);
    s->call->api->records->open(s->call, s->video, NULL, &u, opened);
}

/* Receiving */

static int on_file(void *context, const char *bytes, size_t len)
{
    struct shot *s = context;
    uint64_t max = s->call->api->settings->upload_max;

    if (s->intake.received + len > max) {
        blame(s, 413, "file", "a file may have %" PRIu64 " bytes at most", max);
        return FAIL_LIMIT;
    }
    intake_put(&s->intake, bytes, len);
    return OK;
}

/* As the probe will, on the same bytes, but before the rest of them has come. */
static int sniff(struct shot *s)
{
    struct str start = intake_held(&s->intake);
    const char *why;

    if (s->is_sniffed || (start.len < SNIFF_BYTES && !s->form.is_file_over))
        return OK;
    s->is_sniffed = true;
    if (s->intake.received == 0)
        blame(s, 422, "file", "the file is empty");
    else if (sniff_demuxer(start.at, start.len < SNIFF_BYTES ? start.len : SNIFF_BYTES, &why) ==
             NULL)
        blame(s, 415, "file", "%s", why);
    return s->status == 0 ? OK : FAIL_UNSUPPORTED;
}

static int refuse_form(struct shot *s, int err)
{
    const struct fields *f = &s->form.complaint;

    if (err && f->code != NULL)
        blame(s, 400, f->field, "%s", f->message);
    return err;
}

static struct shot *shot_of(struct exchange *x)
{
    return ((struct call *)exchange_state(x))->state;
}

static void on_data(struct exchange *x, const char *bytes, size_t len)
{
    struct shot *s = shot_of(x);
    int err = s->status == 0 ? refuse_form(s, form_feed(&s->form, bytes, len)) : OK;

    if (err == OK)
        err = sniff(s);
    if (err)
        intake_stop(&s->intake, err);
    intake_go(&s->intake);
}

static void on_end(struct exchange *x)
{
    struct shot *s = shot_of(x);
    int err = s->status == 0 ? refuse_form(s, form_end(&s->form)) : OK;

    if (err)
        intake_stop(&s->intake, err);
    intake_end(&s->intake);
}

static void on_gone(struct exchange *x)
{
    intake_stop(&shot_of(x)->intake, FAIL_CLOSED);
}

static const struct body_events body_events = { .data = on_data, .end = on_end, .gone = on_gone };

static void on_ready(struct intake *in)
{
    exchange_stream(in->x, &body_events);
}

static bool may_come_in(struct call *c)
{
    const char *why;

    c->viewer = auth_viewer(c->api, exchange_request(c->x), POLICY_DOOR, &why);
    if (c->viewer != NULL)
        return true;
    exchange_header(c->x, "WWW-Authenticate", "Bearer");
    reply_refusal(c, 401, NULL, why);
    return false;
}

/* Before anything is asked for. */
static bool is_welcome(struct shot *s)
{
    const struct http_request *request = exchange_request(s->call->x);
    struct str type = http_header(request, "Content-Type");
    int64_t length = request->content_length;
    uint64_t max = s->call->api->settings->upload_max;
    int err = form_init(&s->form, type, on_file, s);

    if (err == FAIL_SYNTAX)
        blame(s, 400, NULL, "Content-Type names no valid boundary");
    /* The client sends JSON when the input holds no File or Blob. */
    else if (err && str_starts(type, STR("application/json")))
        blame(s, 400, "file", "the input is not {file}, with a File or Blob");
    else if (err)
        blame(s, 415, NULL, "an upload is multipart/form-data");
    else if (length > 0 && (uint64_t)length > BESIDE_MAX && (uint64_t)length - BESIDE_MAX > max)
        blame(s, 413, "file", "a file may have %" PRIu64 " bytes at most", max);
    else if (length > 0 && intake_reserve(&s->intake, (uint64_t)length) != OK)
        blame_err(s, FAIL_FULL);
    return s->status == 0;
}

static void upload(struct call *c)
{
    struct shot *s = mem_new(struct shot);

    c->state = s;
    s->call = c;
    s->intake = (struct intake){ .x = c->x,
                                 .disk = c->api->disk,
                                 .counter = COUNT_UPLOADED_RPC,
                                 .ready = on_ready,
                                 .over = on_over,
                                 .owner = s };
    if (!is_welcome(s)) {
        answer(s);
        return;
    }
    video_id(s->video);
    intake_begin(&s->intake, s->video, 0);
}

/* Routers may be nested, so only the last name counts. */
void orpc_call(struct call *c)
{
    struct str path = c->path, name = { 0 };

    if (str_ends(path, STR("/")))
        path.len--;
    while (path.at != NULL)
        name = str_cut(&path, '/');
    if (!may_come_in(c))
        return;
    if (str_equal(name, STR("uploadVideo")))
        upload(c);
    else
        reply_refusal(c, 404, NULL, "the only procedure here is uploadVideo");
}
