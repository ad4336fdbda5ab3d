/* WebSocket (RFC 6455) without I/O: the handshake's values, a reader of frames
 * and a writer of them. The reader unmasks in place, hands out a message that
 * arrived whole without copying it, and allocates only while a message is
 * incomplete, so an idle connection costs its struct and nothing else.
 *
 * Invariants of the reader: no message is longer than message_max, a text is
 * valid UTF-8, no event follows the close event or an error, and how the bytes
 * were cut into feeds does not change the events. */
#ifndef PROTO_WS_H
#define PROTO_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/utf8.h"
#include "proto/deflate.h"
#include "proto/http.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

/* Section 7.4.1. Those that never go over the wire (1005, 1006) are absent;
 * WS_CLOSE_EMPTY stands for a Close without a code. */
enum {
    WS_CLOSE_EMPTY = 0,
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NOT_UTF8 = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_TRY_LATER = 1013,
    WS_CLOSE_UNAUTHORIZED = 4001, /* the documents' own */
};

struct ws_settings {
    size_t message_max; /* bytes of a message, after inflation: else 1009 */
    bool is_client;     /* reads unmasked frames (a server's) instead of masked ones */
};

/* All four are set. None may call ws_reader_feed or ws_reader_deinit. */
struct ws_events {
    /* A whole text (valid UTF-8) or binary message; `data` is the reader's,
     * valid during the call. */
    void (*message)(void *context, enum ws_opcode type, char *data, size_t len);
    void (*ping)(void *context, const char *data, size_t len); /* to be answered with a Pong */
    void (*pong)(void *context, const char *data, size_t len);
    /* The peer's Close; code WS_CLOSE_EMPTY if it had none. Nothing follows. */
    void (*close)(void *context, uint16_t code, struct str reason);
};

struct ws_message; /* a message that is not whole yet */

struct ws_reader {
    struct ws_message *message; /* NULL between messages */
    uint64_t left;              /* payload bytes of the frame still to come */
    uint8_t head[14];           /* a frame's head as it arrives */
    uint8_t head_len;
    uint8_t mask[4];
    uint8_t mask_at;
    uint8_t first_byte; /* FIN, RSV, opcode of the frame */
    uint8_t control_len;
    char *control; /* payload of a control frame that is not whole */
    bool in_payload;
    bool is_deflate; /* permessage-deflate was negotiated */
    bool is_over;    /* a Close came, or an error */
};

void ws_reader_init(struct ws_reader *r, bool is_deflate);
void ws_reader_deinit(struct ws_reader *r);

/* Reads bytes, which it may overwrite. Returns WS_CLOSE_EMPTY, or the code to
 * close with because the peer broke the protocol or a limit (1002, 1007,
 * 1009); after that, and after the close event, further bytes are ignored. A
 * callback that has enough sets r->is_over: then feed returns at once. */
uint16_t ws_reader_feed(struct ws_reader *r, const struct ws_settings *settings,
                        const struct ws_events *events, void *context, char *bytes, size_t len);

/* XORs with the mask (section 5.3) from its byte `at` on; undoes itself. */
void ws_mask(char *bytes, size_t len, const uint8_t mask[4], unsigned at);

/* Writes a frame's head: 2 to 10 bytes, unmasked. */
enum { WS_HEAD_MAX = 14, WS_CONTROL_MAX = 125 };
size_t ws_head(uint8_t out[WS_HEAD_MAX], uint8_t first_byte, uint64_t len);

enum { WS_FIN = 0x80, WS_RSV1 = 0x40 };

/* A whole frame, unmasked (a server's). These three append all of a frame or,
 * when it does not fit, nothing but the mark of the failed buffer. */
void ws_append_frame(struct buf *out, uint8_t first_byte, const void *data, size_t len);

/* A whole frame under a fresh random mask (a client's). */
void ws_append_masked(struct buf *out, uint8_t first_byte, const void *data, size_t len);

/* A Close frame; the reason (may be NULL) is cut to fit 123 bytes at a
 * character's end. WS_CLOSE_EMPTY: without code and reason. */
void ws_append_close(struct buf *out, uint16_t code, const char *reason, bool is_client);

/* Section 4.2.1, and the grammar of Sec-WebSocket-Extensions (9.1). 0, or the
 * status to answer: 400, 405, or 426 (with Sec-WebSocket-Version: 13). `accept`
 * takes the answer's key, '\0'-terminated. */
enum { WS_ACCEPT_SIZE = 29 };
int ws_handshake(const struct http_request *request, char accept[WS_ACCEPT_SIZE]);

/* The same key for a client that checks the answer. */
void ws_accept_key(struct str key, char accept[WS_ACCEPT_SIZE]);

#endif
