/* Door `download`, document 002: FastAPI, Celery and MongoDB. Percent of the
 * job, a whole number; what is not known yet is left out. */
#include "base/emit.h"
#include "dialect/dialects.h"

static void field_if_known(struct buf *out, const char *key, const char *text)
{
    if (text != NULL)
        emit_field_string(out, key, text);
}

void download_data(const struct update *u, struct buf *out)
{
    emit_open(out, '{');
    emit_field_string(out, "jobId", u->text[TEXT_ID]);
    emit_field_string(out, "status", dialect_status(u->state));
    emit_field_int(out, "progress", percent_of(u->fraction));
    if (u->text[TEXT_VIDEO_INFO] != NULL)
        emit_field_raw(out, "videoInfo", u->text[TEXT_VIDEO_INFO]);
    if (u->state == JOB_COMPLETED) {
        field_if_known(out, "downloadUrl", u->text[TEXT_URL]);
        field_if_known(out, "storageProvider", u->text[TEXT_STORAGE]);
        if (u->file_size >= 0)
            emit_field_int(out, "fileSize", u->file_size);
    } else if (job_is_final(u->state)) {
        emit_field_string(out, "error", dialect_error(u));
    }
    emit_close(out, '}');
}

static void render(const struct update *u, struct words *out)
{
    emit_open(&out->bytes, '{');
    emit_field_string(&out->bytes, "type", "status");
    emit_key(&out->bytes, "data");
    download_data(u, &out->bytes);
    emit_close(&out->bytes, '}');
    words_end(out);
}

static void receive(struct str message, struct words *out, struct request *request)
{
    (void)request;
    if (!str_equal(str_trim(message), STR("ping")))
        return;
    buf_puts(&out->bytes, "{\"type\":\"pong\"}");
    words_end(out);
}

const struct dialect dialect_download = {
    .name = "download",
    .index = DIALECT_DOWNLOAD,
    .render = render,
    .receive = receive,
};
