/* Door `broadcast`, document 004: every job on one connection. Percent of the
 * job, bytes where they are known. */
#include <math.h>

#include "base/emit.h"
#include "dialect/dialects.h"

static void number_if_known(struct buf *out, const char *key, int64_t value)
{
    emit_key(out, key);
    if (value >= 0)
        emit_int(out, value);
    else
        emit_null(out);
}

/* Reporters say 42 or 42.5, and are shown as they said it. */
static void percent(struct buf *out, double fraction)
{
    double value = fraction > 0 ? round(fraction * 10000) / 100 : 0;

    emit_key(out, "percent");
    emit_real(out, value, value == floor(value) ? 0 : 2);
}

static void progress(const struct update *u, struct buf *b)
{
    emit_open(b, '{');
    emit_field_string(b, "type", "progress");
    emit_field_string(b, "video_id", u->text[TEXT_ID]);
    percent(b, u->fraction);
    number_if_known(b, "downloaded_bytes", u->bytes_done);
    number_if_known(b, "total_bytes", u->bytes_total);
    emit_close(b, '}');
}

static void status(const struct update *u, struct buf *b)
{
    emit_open(b, '{');
    emit_field_string(b, "type", "status");
    emit_field_string(b, "video_id", u->text[TEXT_ID]);
    emit_field_string(b, "status", u->state == JOB_COMPLETED ? "complete" : "failed");
    emit_close(b, '}');
}

void broadcast_bytes(const struct update *u, struct buf *out)
{
    if (u->state == JOB_QUEUED)
        return;
    emit_open(out, '{');
    percent(out, u->fraction);
    number_if_known(out, "downloaded_bytes", u->bytes_done);
    number_if_known(out, "total_bytes", u->bytes_total);
    if (job_is_final(u->state))
        emit_field_string(out, "status", u->state == JOB_COMPLETED ? "complete" : "failed");
    emit_close(out, '}');
}

static void render(const struct update *u, struct words *out)
{
    if (u->state == JOB_QUEUED)
        return;
    if (u->state == JOB_PROCESSING)
        progress(u, &out->bytes);
    else
        status(u, &out->bytes);
    words_end(out);
}

static void receive(struct str message, struct words *out, struct request *request)
{
    (void)request;
    if (!str_equal(str_trim(message), STR("ping")))
        return;
    buf_puts(&out->bytes, "pong");
    words_end(out);
}

const struct dialect dialect_broadcast = {
    .name = "broadcast",
    .index = DIALECT_BROADCAST,
    .hears_all = true,
    .render = render,
    .receive = receive,
};
