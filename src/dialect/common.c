#include "dialect/dialects.h"

#include "base/emit.h"

const char *dialect_status(enum job_state state)
{
    return job_state_name(state == JOB_CANCELLED ? JOB_FAILED : state);
}

const char *dialect_error(const struct update *u)
{
    const char *error = update_text(u, TEXT_ERROR);

    if (*error)
        return error;
    return u->state == JOB_CANCELLED ? "Cancelled" : "Processing failed";
}

void dialect_metadata(const struct update *u, struct buf *out)
{
    if (u->text[TEXT_METADATA] != NULL) {
        emit_field_raw(out, "metadata", u->text[TEXT_METADATA]);
        return;
    }
    if (u->kind == JOB_EXTERNAL || job_is_final(u->state))
        return;
    emit_key(out, "metadata");
    emit_open(out, '{');
    if (u->stage_fraction >= 0)
        emit_field_real(out, "stage_progress", u->stage_fraction, 4);
    if (u->speed >= 0)
        emit_field_real(out, "speed", u->speed, 2);
    if (u->eta_ms >= 0)
        emit_field_int(out, "eta_seconds", (u->eta_ms + 999) / 1000);
    emit_close(out, '}');
}
