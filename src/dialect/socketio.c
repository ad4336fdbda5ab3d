/* Door `socketio`, document 001: the NestJS gateway's namespace, as Engine.IO
 * messages ('4') with Socket.IO events ('2'). What its clients say is read by
 * whoever serves their namespaces. */
#include "base/emit.h"
#include "dialect/processing.h"

static void begin(struct buf *out, const char *event)
{
    buf_puts(out, "42" SOCKETIO_NAMESPACE ",[");
    emit_string(out, event);
}

static void end(struct buf *out)
{
    emit_close(out, ']');
}

static const struct spelling spelling = { begin, end };

static void render(const struct update *u, struct words *out)
{
    processing_render(&spelling, u, out);
}

void socketio_answer(const struct processing_call *call, struct words *out)
{
    processing_answer(&spelling, call, out);
}

const struct dialect dialect_socketio = {
    .name = "socketio",
    .index = DIALECT_SOCKETIO,
    .tells_starts = true,
    .render = render,
};
