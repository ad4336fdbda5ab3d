/* Reads anything as an Engine.IO payload. What it consists of is written again,
 * as a payload, which must be read as the same packets and, since there is one
 * way to write a packet, be the same bytes; and as frames, which a WebSocket
 * reader must take apart into the same packets again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/utf8.h"
#include "proto/engineio.h"
#include "proto/ws.h"

enum { INPUT_MAX = 65536 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* Compares frames, in order, with a payload's packets. */
struct reader {
    struct str rest;
    struct buf binary;
};

static void on_message(void *context, enum ws_opcode type, char *data, size_t len)
{
    struct reader *r = context;
    struct engineio_packet packet;
    struct str text;

    CHECK(engineio_next(&r->rest, &text));
    CHECK(engineio_read(text, &r->binary, &packet) == OK);
    CHECK(packet.is_binary == (type == WS_BINARY));
    if (!packet.is_binary) {
        CHECK(len > 0 && *data == (char)packet.type);
        data++;
        len--;
    }
    CHECK(str_equal((struct str){ data, len }, packet.data));
}

static void on_control(void *context, const char *data, size_t len)
{
    (void)context;
    (void)data;
    (void)len;
    abort();
}

static void on_close(void *context, uint16_t code, struct str reason)
{
    (void)context;
    (void)code;
    (void)reason;
    abort();
}

static const struct ws_events events = { on_message, on_control, on_control, on_close };

static void check_frames(struct str payload, struct buf *frames)
{
    struct ws_settings settings = { .message_max = INPUT_MAX, .is_client = true };
    struct reader reader = { .rest = payload };
    struct ws_reader ws;
    struct str text;

    buf_init(&reader.binary, INPUT_MAX);
    ws_reader_init(&ws, false);
    CHECK(ws_reader_feed(&ws, &settings, &events, &reader, frames->data, frames->len) ==
          WS_CLOSE_EMPTY);
    CHECK(!engineio_next(&reader.rest, &text));
    ws_reader_deinit(&ws);
    buf_deinit(&reader.binary);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str payload = { (const char *)data, size }, rest = payload, text;
    struct engineio_packet packet;
    struct buf binary, again, frames;
    bool is_well = size > 0 && size <= INPUT_MAX;

    buf_init(&binary, INPUT_MAX);
    buf_init(&again, 2 * INPUT_MAX);
    buf_init(&frames, 16 * INPUT_MAX);
    while (is_well && engineio_next(&rest, &text)) {
        is_well = engineio_read(text, &binary, &packet) == OK;
        if (!is_well)
            break;
        engineio_append(&again, &packet);
        engineio_append_frame(&frames, &packet);
    }
    CHECK(!again.failed && !frames.failed);
    if (is_well) {
        CHECK(str_equal(buf_str(&again), payload));
        if (utf8_is_valid(payload.at, payload.len))
            check_frames(payload, &frames);
    }
    buf_deinit(&binary);
    buf_deinit(&again);
    buf_deinit(&frames);
    return 0;
}
