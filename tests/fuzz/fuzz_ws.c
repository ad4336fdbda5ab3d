/* Feeds the WebSocket reader with anything. The input's first byte chooses who
 * reads (or the handshake instead), the second how the bytes are cut. The same
 * bytes are read twice, in one feed and in small ones, and both must hear the
 * same. Inputs are frames as they go over the wire, or (FRAMED) a shorthand of
 * them whose lengths and masks always fit, so that deeper states are reached. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/ws.h"

enum { IS_CLIENT = 1, DEFLATE = 2, FRAMED = 4, HANDSHAKE = 8, SMALL = 16 };
enum { MESSAGE_MAX = 4096, SMALL_MAX = 20, INPUT_MAX = 65536 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct listener {
    size_t message_max;
    uint64_t digest; /* of all that was heard, in order */
    bool is_closed;
};

static void note(struct listener *l, unsigned what, const char *data, size_t len)
{
    CHECK(!l->is_closed);
    l->digest = (l->digest ^ what) * 1099511628211u;
    l->digest = (l->digest ^ len) * 1099511628211u;
    for (size_t i = 0; i < len; i++)
        l->digest = (l->digest ^ (uint8_t)data[i]) * 1099511628211u;
}

static void on_message(void *context, enum ws_opcode type, char *data, size_t len)
{
    struct listener *l = context;

    CHECK(data != NULL);
    CHECK(len <= l->message_max);
    CHECK(type == WS_TEXT || type == WS_BINARY);
    if (type == WS_TEXT)
        CHECK(utf8_is_valid(data, len));
    note(l, type, data, len);
}

static void on_ping(void *context, const char *data, size_t len)
{
    CHECK(len <= WS_CONTROL_MAX);
    note(context, WS_PING, data, len);
}

static void on_pong(void *context, const char *data, size_t len)
{
    CHECK(len <= WS_CONTROL_MAX);
    note(context, WS_PONG, data, len);
}

static void on_close(void *context, uint16_t code, struct str reason)
{
    struct listener *l = context;

    CHECK(reason.len <= WS_CONTROL_MAX - 2);
    CHECK(utf8_is_valid(reason.at, reason.len));
    CHECK(code == WS_CLOSE_EMPTY || (code >= 1000 && code < 5000));
    CHECK(code != 1004 && code != 1005 && code != 1006 && code != 1015);
    note(l, WS_CLOSE + (unsigned)code, reason.at, reason.len);
    l->is_closed = true;
}

static const struct ws_events events = { on_message, on_ping, on_pong, on_close };

static uint32_t dice;

static size_t roll(size_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

/* 0: everything at once. */
static size_t next_cut(uint8_t how, size_t left)
{
    size_t len = how == 0 ? left : how < 16 ? how : 1 + roll(how);

    return len < left ? len : left;
}

struct result {
    uint64_t digest;
    uint16_t code;
    bool is_closed;
};

static struct result read_all(uint8_t flags, uint8_t how, const struct buf *wire)
{
    struct ws_settings settings = { .message_max = flags & SMALL ? SMALL_MAX : MESSAGE_MAX,
                                    .is_client = flags & IS_CLIENT };
    struct listener listener = { .message_max = settings.message_max };
    struct ws_reader r;
    uint16_t code = WS_CLOSE_EMPTY;

    dice = how;
    ws_reader_init(&r, flags & DEFLATE);
    for (size_t at = 0; at < wire->len;) {
        size_t len = next_cut(how, wire->len - at);
        char *piece = mem_alloc(len); /* of its own, so that reading past it is noticed */
        memcpy(piece, wire->data + at, len);
        uint16_t result = ws_reader_feed(&r, &settings, &events, &listener, piece, len);
        mem_free(piece);
        CHECK(!listener.is_closed || result == WS_CLOSE_EMPTY);
        CHECK(code == WS_CLOSE_EMPTY || result == WS_CLOSE_EMPTY);
        CHECK(r.is_over == (listener.is_closed || code + result != WS_CLOSE_EMPTY));
        code = code != WS_CLOSE_EMPTY ? code : result;
        at += len;
    }
    CHECK(code == WS_CLOSE_EMPTY || code == WS_CLOSE_PROTOCOL || code == WS_CLOSE_NOT_UTF8 ||
          code == WS_CLOSE_TOO_BIG);
    ws_reader_deinit(&r);
    return (struct result){ listener.digest, code, listener.is_closed };
}

/* A record: the frame's first byte, its length (0-255), its payload. */
static void write_records(uint8_t flags, const uint8_t *data, size_t size, struct buf *wire)
{
    while (size >= 2) {
        size_t len = data[1] <= size - 2 ? data[1] : size - 2;
        if (flags & IS_CLIENT)
            ws_append_frame(wire, data[0], data + 2, len);
        else
            ws_append_masked(wire, data[0], data + 2, len);
        data += 2 + len;
        size -= 2 + len;
    }
}

static void fuzz_reader(uint8_t flags, uint8_t how, const uint8_t *data, size_t size)
{
    struct buf wire;

    buf_init(&wire, 8 * INPUT_MAX);
    if (flags & FRAMED)
        write_records(flags, data, size, &wire);
    else
        buf_append(&wire, data, size);
    struct result whole = read_all(flags, 0, &wire);
    struct result cut = read_all(flags, how, &wire);
    CHECK(whole.digest == cut.digest);
    CHECK(whole.is_closed == cut.is_closed);
    /* Of two faults in one compressed frame, the cut decides which comes first. */
    if (flags & DEFLATE)
        CHECK((whole.code == WS_CLOSE_EMPTY) == (cut.code == WS_CLOSE_EMPTY));
    else
        CHECK(whole.code == cut.code);
    buf_deinit(&wire);
}

/* What we answer must be an offer that we would take. */
static void check_answer(const struct deflate_params *params)
{
    struct deflate_params again;
    struct buf answer;

    CHECK(params->server_bits >= 9 && params->server_bits <= 15);
    CHECK(params->client_bits >= 8 && params->client_bits <= 15);
    buf_init(&answer, 256);
    deflate_answer(params, &answer);
    CHECK(!answer.failed);
    struct http_header header = { STR("Sec-WebSocket-Extensions"), buf_str(&answer) };
    struct http_request request = { .headers = &header, .header_count = 1 };
    CHECK(deflate_negotiate(&request, &again));
    CHECK(again.server_bits == params->server_bits && again.client_bits == params->client_bits);
    buf_deinit(&answer);
}

/* The input's lines are the values of the headers that matter. */
static void fuzz_handshake(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "Sec-WebSocket-Extensions", "Upgrade", "Sec-WebSocket-Key",
                                         "Sec-WebSocket-Version", "Sec-WebSocket-Extensions" };
    enum { NAMES = sizeof(names) / sizeof(*names) };
    struct http_header headers[NAMES];
    struct http_request request = {
        .method = HTTP_GET, .headers = headers, .content_length = -1, .wants_upgrade = true
    };
    struct deflate_params params;
    char accept[WS_ACCEPT_SIZE] = "";
    char *copy = mem_alloc(size);

    memcpy(copy, data, size);
    struct str rest = { copy, size };
    for (; request.header_count < NAMES && rest.len > 0; request.header_count++) {
        struct http_header *header = &headers[request.header_count];
        *header = (struct http_header){ str_of(names[request.header_count]), str_cut(&rest, '\n') };
    }
    int status = ws_handshake(&request, accept);
    CHECK(status == 0 || status == 400 || status == 426);
    CHECK(strlen(accept) == (status == 0 ? WS_ACCEPT_SIZE - 1 : 0));
    if (deflate_negotiate(&request, &params))
        check_answer(&params);
    mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX)
        return 0;
    if (data[0] & HANDSHAKE)
        fuzz_handshake(data + 2, size - 2);
    else
        fuzz_reader(data[0], data[1], data + 2, size - 2);
    return 0;
}
