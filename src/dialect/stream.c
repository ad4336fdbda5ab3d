/* Door `stream`, document 000: the Django Channels dashboard. Percent is that of
 * the stage, a whole number; ids that are numbers are shown as numbers. */
#include "base/emit.h"
#include "dialect/dialects.h"

static void video_id(struct buf *out, const char *id)
{
    if (job_id_is_number(id))
        emit_field_raw(out, "video_id", id);
    else
        emit_field_string(out, "video_id", id);
}

static void begin(struct buf *out, const char *type, const char *status, const char *message)
{
    emit_open(out, '{');
    emit_field_string(out, "type", type);
    emit_field_string(out, "status", status);
    emit_field_string(out, "message", message);
}

static void greet(const char *job, struct words *out)
{
    begin(&out->bytes, "connection", "connected", "Connected to video progress stream");
    video_id(&out->bytes, job);
    emit_close(&out->bytes, '}');
    words_end(out);
}

static const char *or_else(const char *text, const char *otherwise)
{
    return *text ? text : otherwise;
}

static void progress(const struct update *u, struct buf *b)
{
    emit_open(b, '{');
    emit_field_string(b, "type", "progress");
    emit_field_string(b, "stage", or_else(update_text(u, TEXT_STAGE), "processing"));
    emit_field_int(b, "progress", percent_of(u->stage_fraction));
    emit_field_string(b, "message", update_text(u, TEXT_MESSAGE));
    video_id(b, u->text[TEXT_ID]);
    emit_field_string(b, "status", "processing");
}

static void complete(const struct update *u, struct buf *b)
{
    begin(b, "complete", "completed",
          or_else(update_text(u, TEXT_MESSAGE), "Video processing completed successfully"));
    video_id(b, u->text[TEXT_ID]);
    emit_field_string(b, "hls_path", u->text[TEXT_HLS_PATH]);
}

static void error(const struct update *u, struct buf *b)
{
    begin(b, "error", "failed", or_else(update_text(u, TEXT_MESSAGE), "Video processing failed"));
    video_id(b, u->text[TEXT_ID]);
    emit_field_string(b, "error", dialect_error(u));
}

static void render(const struct update *u, struct words *out)
{
    switch (u->state) {
    case JOB_PROCESSING: progress(u, &out->bytes); break;
    case JOB_COMPLETED: complete(u, &out->bytes); break;
    case JOB_FAILED:
    case JOB_CANCELLED: error(u, &out->bytes); break;
    default: return;
    }
    emit_close(&out->bytes, '}');
    words_end(out);
}

const struct dialect dialect_stream = {
    .name = "stream",
    .index = DIALECT_STREAM,
    .greet = greet,
    .render = render,
};
