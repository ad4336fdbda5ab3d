/* The Engine.IO protocol's packets without I/O: a type, and text or bytes behind
 * it. On a WebSocket a packet is a frame; with HTTP long-polling several make a
 * payload, a 0x1e between two of them, and bytes are base64 behind a 'b'. Text
 * that contains 0x1e is thus cut in two on its way: the protocol's own limit.
 *
 * Revision 3, of older clients, has "LENGTH:" before each packet of a payload
 * instead, in UTF-16 units, and a type before bytes too. The payloads that it
 * has for bytes alone are not read. */
#ifndef PROTO_ENGINEIO_H
#define PROTO_ENGINEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum engineio_type {
    ENGINEIO_OPEN = '0',
    ENGINEIO_CLOSE = '1',
    ENGINEIO_PING = '2',
    ENGINEIO_PONG = '3',
    ENGINEIO_MESSAGE = '4',
    ENGINEIO_UPGRADE = '5',
    ENGINEIO_NOOP = '6',
};

enum engineio_revision { ENGINEIO_V3 = 3, ENGINEIO_V4 = 4 };

struct engineio_packet {
    enum engineio_type type;
    bool is_binary; /* of a message only */
    struct str data;
};

enum { ENGINEIO_SEPARATOR = 0x1e };

/* One packet as text. The data points into `text`, that of a binary message
 * into `binary`, which is emptied first. FAIL_SYNTAX: no packet, or bad base64;
 * FAIL_LIMIT: `binary` is too small. */
int engineio_read(enum engineio_revision revision, struct str text, struct buf *binary,
                  struct engineio_packet *out);

/* The same of a WebSocket's binary frame. */
int engineio_read_bytes(enum engineio_revision revision, struct str bytes,
                        struct engineio_packet *out);

/* Cuts the first packet's text off a payload, which is UTF-8. False when there
 * is none left. What cannot be cut is an empty text, which is no packet, and the
 * last; an empty payload is that too. `payload->at` is not NULL at first and is
 * used to keep the place. */
bool engineio_next(enum engineio_revision revision, struct str *payload, struct str *text);

/* Appends a packet to a payload; its text is UTF-8. */
void engineio_append(enum engineio_revision revision, struct buf *payload,
                     const struct engineio_packet *packet);

/* Appends it as an unmasked WebSocket frame (a server's). */
void engineio_append_frame(enum engineio_revision revision, struct buf *frames,
                           const struct engineio_packet *packet);

/* The open packet's JSON. */
struct engineio_open {
    const char *sid;
    bool may_upgrade; /* names "websocket" as what can follow */
    uint32_t ping_interval_ms, ping_timeout_ms;
    uint64_t payload_max;
};

enum { ENGINEIO_OPEN_MAX = 512 };

void engineio_append_open(struct buf *json, const struct engineio_open *open);

#endif
