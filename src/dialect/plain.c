/* Door `plain`, document 001 as its wscat session shows it: the same events
 * over a bare WebSocket, {"event":...,"data":...}. */
#include <jansson.h>
#include <stdio.h>

#include "base/emit.h"
#include "dialect/processing.h"

static void begin(struct buf *out, const char *event)
{
    emit_open(out, '{');
    emit_field_string(out, "event", event);
    emit_key(out, "data");
}

static void end(struct buf *out)
{
    emit_close(out, '}');
}

static const struct spelling spelling = { begin, end };

static void render(const struct update *u, struct words *out)
{
    processing_render(&spelling, u, out);
}

/* The gateway's adapter ignores what is no event; so do we. */
static void receive(struct str message, struct words *out, struct request *request)
{
    struct processing_call call;
    json_t *object = json_loadb(message.at, message.len, JSON_ALLOW_NUL, NULL);

    processing_read(&call, json_string_value(json_object_get(object, "event")),
                    json_object_get(object, "data"));
    json_decref(object);
    processing_answer(&spelling, &call, out);
    if (call.error != NULL)
        return;
    request->kind = call.kind;
    snprintf(request->job, sizeof(request->job), "%s", call.job);
}

const struct dialect dialect_plain = {
    .name = "plain",
    .index = DIALECT_PLAIN,
    .tells_starts = true,
    .render = render,
    .receive = receive,
};
