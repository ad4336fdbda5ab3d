/* Door `events`: server-sent events (HTML, "Server-sent events"), each with the
 * job as GET /api/jobs/{id} shows it. An event's id is the update's number, so a
 * client that comes back says by itself where it was. */
#include "base/clock.h"
#include "base/emit.h"
#include "dialect/dialects.h"

enum { KEEPALIVE_MS = 15 * 1000 };

static void text_if_known(struct buf *out, const char *key, const struct update *u,
                          enum update_text which)
{
    if (u->text[which] != NULL)
        emit_field_string(out, key, u->text[which]);
}

static void json_if_known(struct buf *out, const char *key, const struct update *u,
                          enum update_text which)
{
    if (u->text[which] != NULL)
        emit_field_raw(out, key, u->text[which]);
}

static void number_if_known(struct buf *out, const char *key, int64_t value)
{
    if (value >= 0)
        emit_field_int(out, key, value);
}

static void real_or_null(struct buf *out, const char *key, double value)
{
    emit_key(out, key);
    if (value >= 0)
        emit_real(out, value, 4);
    else
        emit_null(out);
}

static void time_field(struct buf *out, const char *key, int64_t wall_ms)
{
    char text[CLOCK_ISO_SIZE];

    clock_iso8601(wall_ms, text);
    emit_field_string(out, key, text);
}

void job_data(const struct update *u, struct buf *out)
{
    emit_open(out, '{');
    emit_field_string(out, "id", u->text[TEXT_ID]);
    emit_field_string(out, "kind", job_kind_name(u->kind));
    emit_field_string(out, "state", job_state_name(u->state));
    emit_field_int(out, "seq", (int64_t)u->seq);
    text_if_known(out, "title", u, TEXT_TITLE);
    text_if_known(out, "stage", u, TEXT_STAGE);
    real_or_null(out, "progress", u->fraction);
    real_or_null(out, "stage_progress", u->stage_fraction);
    text_if_known(out, "message", u, TEXT_MESSAGE);
    if (job_is_final(u->state) && u->state != JOB_COMPLETED)
        emit_field_string(out, "error", dialect_error(u));
    if (u->speed >= 0)
        emit_field_real(out, "speed", u->speed, 2);
    if (u->eta_ms >= 0)
        emit_field_int(out, "eta_seconds", (u->eta_ms + 999) / 1000);
    number_if_known(out, "downloaded_bytes", u->bytes_done);
    number_if_known(out, "total_bytes", u->bytes_total);
    number_if_known(out, "file_size", u->file_size);
    text_if_known(out, "hls_path", u, TEXT_HLS_PATH);
    bool is_file = u->kind == JOB_DOWNLOAD && u->text[TEXT_HLS_PATH] == NULL;
    text_if_known(out, is_file ? "download_url" : "hls_url", u, TEXT_URL);
    text_if_known(out, "storage", u, TEXT_STORAGE);
    json_if_known(out, "video_info", u, TEXT_VIDEO_INFO);
    json_if_known(out, "metadata", u, TEXT_METADATA);
    json_if_known(out, "result", u, TEXT_RESULT);
    time_field(out, "created_at", u->created_ms);
    time_field(out, "updated_at", u->time_ms);
    emit_close(out, '}');
}

/* Events end with an empty line: the framing's newline behind each message makes
 * it of the one that ends here. JSON has no bare newline, so one `data:` does. */
static void render(const struct update *u, struct words *out)
{
    buf_printf(&out->bytes, "id: %llu\ndata: ", (unsigned long long)u->seq);
    job_data(u, &out->bytes);
    buf_puts(&out->bytes, "\n");
    words_end(out);
}

static void greet(const char *job, struct words *out)
{
    (void)job;
    buf_puts(&out->bytes, "retry: 2000\n");
    words_end(out);
}

static void keepalive(const char *job, struct words *out)
{
    (void)job;
    buf_puts(&out->bytes, ": keepalive\n");
    words_end(out);
}

const struct dialect dialect_events = {
    .name = "events",
    .index = DIALECT_EVENTS,
    .ends_with_job = true,
    .keepalive_ms = KEEPALIVE_MS,
    .greet = greet,
    .render = render,
    .keepalive = keepalive,
};
