#include "dialect/processing.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/emit.h"

static void begin(const struct spelling *s, struct words *out, const char *event)
{
    s->begin(&out->bytes, event);
    emit_open(&out->bytes, '{');
}

static void end(const struct spelling *s, struct words *out)
{
    emit_close(&out->bytes, '}');
    s->end(&out->bytes);
    words_end(out);
}

static void begin_of(const struct spelling *s, struct words *out, const char *event,
                     const struct update *u)
{
    begin(s, out, event);
    emit_field_string(&out->bytes, "fileId", u->text[TEXT_ID]);
}

static void end_of(const struct spelling *s, struct words *out, const struct update *u)
{
    char text[CLOCK_ISO_SIZE];

    clock_iso8601(u->time_ms, text);
    emit_field_string(&out->bytes, "timestamp", text);
    end(s, out);
}

static void started(const struct spelling *s, const struct update *u, struct words *out)
{
    begin_of(s, out, "processing:started", u);
    dialect_metadata(u, &out->bytes);
    end_of(s, out, u);
}

static void progress(const struct spelling *s, const struct update *u, struct words *out)
{
    struct buf *b = &out->bytes;

    begin_of(s, out, "processing:progress", u);
    emit_field_int(b, "progress", percent_of(u->fraction));
    emit_field_string(b, "status", dialect_status(u->state));
    if (u->text[TEXT_MESSAGE] != NULL)
        emit_field_string(b, "message", u->text[TEXT_MESSAGE]);
    dialect_metadata(u, b);
    end_of(s, out, u);
}

static void completed(const struct spelling *s, const struct update *u, struct words *out)
{
    begin_of(s, out, "processing:completed", u);
    if (u->text[TEXT_RESULT] != NULL)
        emit_field_raw(&out->bytes, "result", u->text[TEXT_RESULT]);
    end_of(s, out, u);
}

static void failed(const struct spelling *s, const struct update *u, struct words *out)
{
    begin_of(s, out, "processing:failed", u);
    emit_field_string(&out->bytes, "error", dialect_error(u));
    end_of(s, out, u);
}

void processing_render(const struct spelling *s, const struct update *u, struct words *out)
{
    switch (u->state) {
    case JOB_PROCESSING:
        if (u->is_start)
            started(s, u, out);
        progress(s, u, out);
        break;
    case JOB_COMPLETED:
        progress(s, u, out);
        completed(s, u, out);
        break;
    case JOB_FAILED:
    case JOB_CANCELLED: failed(s, u, out); break;
    default: break;
    }
}

/* What a client says */

static enum request_kind kind_of(const char *event)
{
    if (strcmp(event, "subscribe:file") == 0)
        return REQUEST_SUBSCRIBE;
    return strcmp(event, "unsubscribe:file") == 0 ? REQUEST_UNSUBSCRIBE : REQUEST_NOTHING;
}

/* Clients that count their files send the number itself. */
static bool read_file_id(const json_t *value, char out[JOB_ID_MAX + 1])
{
    if (json_is_integer(value)) {
        snprintf(out, JOB_ID_MAX + 1, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return true;
    }
    struct str id = { json_string_value(value), json_string_length(value) };
    if (!json_is_string(value) || !job_id_is_valid(id))
        return false;
    snprintf(out, JOB_ID_MAX + 1, "%.*s", STR_ARG(id));
    return true;
}

void processing_read(struct processing_call *call, const char *event, const json_t *data)
{
    const json_t *id = json_object_get(data, "fileId");

    *call = (struct processing_call){ .kind = event ? kind_of(event) : REQUEST_NOTHING };
    if (call->kind == REQUEST_NOTHING)
        call->error = "There is no such event here";
    else if (!json_is_object(data))
        call->error = "The data must be an object with a fileId";
    else if (id == NULL || json_is_null(id))
        call->error = "fileId is missing";
    else if (!read_file_id(id, call->job))
        call->error = "fileId is not a file's id";
}

/* As NestJS gives an exception to its client. */
static void describe_error(const char *error, struct buf *out)
{
    emit_field_string(out, "status", "error");
    emit_field_string(out, "message", error);
}

void processing_acknowledge(const struct processing_call *call, struct buf *out)
{
    emit_open(out, '{');
    if (call->error != NULL)
        describe_error(call->error, out);
    else
        emit_field_string(out, "fileId", call->job);
    emit_close(out, '}');
}

void processing_answer(const struct spelling *s, const struct processing_call *call,
                       struct words *out)
{
    if (call->kind == REQUEST_NOTHING)
        return;
    begin(s, out,
          call->error != NULL               ? "exception"
          : call->kind == REQUEST_SUBSCRIBE ? "subscribed"
                                            : "unsubscribed");
    if (call->error != NULL)
        describe_error(call->error, &out->bytes);
    else
        emit_field_string(&out->bytes, "fileId", call->job);
    end(s, out);
}
