/* Reads anything as an Engine.IO payload of either revision. What it consists of
 * is written again: as frames, which a WebSocket reader must take apart into the
 * same packets; and as a payload, which has to be the same bytes in revision 4,
 * where there is one way to write a packet. In revision 3, where a length may
 * have zeros in front, what was written is read and written once more. */
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
    enum engineio_revision revision;
    struct str rest;
    struct buf binary;
};

static void on_message(void *context, enum ws_opcode type, char *data, size_t len)
{
    struct reader *r = context;
    struct engineio_packet packet, framed;
    struct buf nothing;
    struct str text, frame = { data, len };

    buf_init(&nothing, 0);
    CHECK(engineio_next(r->revision, &r->rest, &text));
    CHECK(engineio_read(r->revision, text, &r->binary, &packet) == OK);
    CHECK(packet.is_binary == (type == WS_BINARY));
    if (packet.is_binary)
        CHECK(engineio_read_bytes(r->revision, frame, &framed) == OK);
    else
        CHECK(engineio_read(r->revision, frame, &nothing, &framed) == OK);
    CHECK(framed.type == packet.type && framed.is_binary == packet.is_binary);
    CHECK(str_equal(framed.data, packet.data));
    buf_deinit(&nothing);
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

static void check_frames(enum engineio_revision revision, struct str payload, struct buf *frames)
{
    struct ws_settings settings = { .message_max = INPUT_MAX, .is_client = true };
    struct reader reader = { .revision = revision, .rest = payload };
    struct ws_reader ws;
    struct str text;

    buf_init(&reader.binary, INPUT_MAX);
    ws_reader_init(&ws, false);
    CHECK(ws_reader_feed(&ws, &settings, &events, &reader, frames->data, frames->len) ==
          WS_CLOSE_EMPTY);
    CHECK(!engineio_next(revision, &reader.rest, &text));
    ws_reader_deinit(&ws);
    buf_deinit(&reader.binary);
}

/* The payload's packets, written again; false when it is none. */
static bool rewrite(enum engineio_revision revision, struct str payload, struct buf *again,
                    struct buf *frames)
{
    struct engineio_packet packet;
    struct buf binary;
    struct str text;
    bool is_well = true;

    buf_init(&binary, INPUT_MAX);
    while (is_well && engineio_next(revision, &payload, &text)) {
        is_well = engineio_read(revision, text, &binary, &packet) == OK;
        if (!is_well)
            break;
        engineio_append(revision, again, &packet);
        engineio_append_frame(revision, frames, &packet);
    }
    CHECK(!again->failed && !frames->failed);
    buf_deinit(&binary);
    return is_well;
}

static void check(enum engineio_revision revision, struct str payload)
{
    struct buf again, once_more, frames;

    buf_init(&again, 8 * INPUT_MAX);
    buf_init(&once_more, 8 * INPUT_MAX);
    buf_init(&frames, 16 * INPUT_MAX);
    if (rewrite(revision, payload, &again, &frames)) {
        if (revision == ENGINEIO_V4)
            CHECK(str_equal(buf_str(&again), payload));
        check_frames(revision, payload, &frames);
        CHECK(rewrite(revision, buf_str(&again), &once_more, &frames));
        CHECK(str_equal(buf_str(&again), buf_str(&once_more)));
    }
    buf_deinit(&again);
    buf_deinit(&once_more);
    buf_deinit(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str payload = { (const char *)data, size };

    /* The server reads no other text either. */
    if (size == 0 || size > INPUT_MAX || !utf8_is_valid(payload.at, payload.len))
        return 0;
    check(ENGINEIO_V4, payload);
    check(ENGINEIO_V3, payload);
    return 0;
}
