#include "base/emit.h"
#include "cmd/run_target.h"

static const char *state_text(enum run_state state)
{
    return state == RUN_COMPLETED ? "completed" : state == RUN_FAILED ? "failed" : "processing";
}

void run_metadata_write(const struct run_news *n, struct buf *out)
{
    if (n->eta_s < 0 && n->speed < 0)
        return;
    emit_open(out, '{');
    if (n->eta_s >= 0)
        emit_field_int(out, "eta_seconds", n->eta_s);
    if (n->speed >= 0) {
        emit_field_real(out, "speed", n->speed, 3);
        emit_field_string(out, "speed_unit", n->speed_unit);
    }
    emit_close(out, '}');
}

static void write_news(const struct run_news *n, struct buf *out)
{
    if (n->fraction >= 0)
        emit_field_real(out, "progress", n->fraction, 6);
    if (n->message[0])
        emit_field_string(out, "message", n->message);
    if (n->bytes_done >= 0)
        emit_field_int(out, "downloaded_bytes", n->bytes_done);
    if (n->bytes_total >= 0)
        emit_field_int(out, "total_bytes", n->bytes_total);
    if (n->eta_s >= 0 || n->speed >= 0) {
        emit_key(out, "metadata");
        run_metadata_write(n, out);
    }
}

void run_report_write(const struct run_report *r, struct buf *out)
{
    emit_open(out, '{');
    emit_field_string(out, "status", state_text(r->state));
    if (r->state != RUN_COMPLETED)
        emit_field_string(out, "stage", r->stage);
    if (r->state == RUN_PROCESSING)
        write_news(&r->news, out);
    if (r->state == RUN_FAILED)
        emit_field_string(out, "error", r->error);
    if (r->state == RUN_COMPLETED)
        emit_field_raw(out, "result", r->result);
    emit_close(out, '}');
}
