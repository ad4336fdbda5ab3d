#include <stdarg.h>

#include "api/api.h"
#include "base/emit.h"

enum { MESSAGE_MAX = 2048, ERROR_MAX = 16 * 1024 };

void reply_json(struct exchange *x, int status, struct buf *json)
{
    struct msg *body = msg_new(buf_text(json), json->len);

    buf_deinit(json);
    exchange_header(x, "Cache-Control", "no-store");
    exchange_reply(x, status, "application/json", body);
}

void reply_error(struct exchange *x, int status, const char *code, const char *field,
                 const char *format, ...)
{
    struct buf message, json;
    va_list args;

    buf_init(&message, MESSAGE_MAX);
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);

    buf_init(&json, ERROR_MAX);
    emit_open(&json, '{');
    emit_key(&json, "error");
    emit_open(&json, '{');
    emit_field_string(&json, "code", code);
    emit_field_string(&json, "message", buf_text(&message));
    if (field != NULL)
        emit_field_string(&json, "field", field);
    emit_close(&json, '}');
    emit_close(&json, '}');
    buf_deinit(&message);
    reply_json(x, status, &json);
}
