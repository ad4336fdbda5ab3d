/* Door `jobs`, document 003: FastAPI and Redis. Progress is the fraction of the
 * job, 0.0 to 1.0. The same messages are what `job_progress:{id}` carries. */
#include <string.h>

#include "base/clock.h"
#include "base/emit.h"
#include "core/limits.h"
#include "dialect/dialects.h"

enum { KEEPALIVE_MS = 30 * 1000 };

static void timestamp(struct buf *out, int64_t wall_ms)
{
    char text[CLOCK_ISO_SIZE];

    clock_iso8601(wall_ms, text);
    emit_field_string(out, "timestamp", text);
}

static void greet(const char *job, struct words *out)
{
    emit_open(&out->bytes, '{');
    emit_field_string(&out->bytes, "type", "connected");
    emit_field_string(&out->bytes, "job_id", job);
    emit_field_string(&out->bytes, "message", "Connected to job progress stream");
    timestamp(&out->bytes, clock_wall_ms());
    emit_close(&out->bytes, '}');
    words_end(out);
}

static void keepalive(const char *job, struct words *out)
{
    emit_open(&out->bytes, '{');
    emit_field_string(&out->bytes, "type", "ping");
    emit_field_string(&out->bytes, "message", "keepalive");
    emit_field_string(&out->bytes, "job_id", job);
    timestamp(&out->bytes, clock_wall_ms());
    emit_close(&out->bytes, '}');
    words_end(out);
}

/* A failed job's message is "Error: ..." unless its reporter worded it. */
static void message(const struct update *u, struct buf *out)
{
    char worded[JOB_TEXT_MAX + 16];
    const char *text = update_text(u, TEXT_MESSAGE);

    if ((u->state == JOB_FAILED || u->state == JOB_CANCELLED) &&
        (*text == '\0' || u->kind != JOB_EXTERNAL)) {
        snprintf(worded, sizeof(worded), "Error: %s", dialect_error(u));
        text = worded;
    }
    emit_field_string(out, "message", text);
}

static void render(const struct update *u, struct words *out)
{
    struct buf *b = &out->bytes;
    const char *stage = update_text(u, TEXT_STAGE);

    if (u->state == JOB_QUEUED)
        return;
    emit_open(b, '{');
    emit_field_string(b, "job_id", u->text[TEXT_ID]);
    emit_field_string(b, "status", dialect_status(u->state));
    emit_field_string(b, "stage", *stage ? stage : "processing");
    emit_field_real(b, "progress", u->fraction > 0 ? u->fraction : 0, 4);
    message(u, b);
    if (u->state == JOB_COMPLETED)
        emit_field_raw(b, "result", u->text[TEXT_RESULT] ? u->text[TEXT_RESULT] : "{}");
    else if (job_is_final(u->state))
        emit_field_string(b, "error", dialect_error(u));
    timestamp(b, u->time_ms);
    dialect_metadata(u, b);
    emit_close(b, '}');
    words_end(out);
}

const struct dialect dialect_jobs = {
    .name = "jobs",
    .index = DIALECT_JOBS,
    .keepalive_ms = KEEPALIVE_MS,
    .greet = greet,
    .render = render,
    .keepalive = keepalive,
};
