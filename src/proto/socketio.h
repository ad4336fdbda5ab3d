/* Packets of the Socket.IO protocol, revision 5, without I/O:
 *
 *     <type>[<attachments>-][<namespace>,][<id>][<JSON>]
 *
 * A packet with attachments is followed by so many binary messages, and counts
 * as one once they are there. What is not well-formed ends the connection: there
 * is no way back into step. */
#ifndef PROTO_SOCKETIO_H
#define PROTO_SOCKETIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct json_t;

enum {
    SOCKETIO_ATTACHMENTS_MAX = 10,
    SOCKETIO_NAMESPACE_MAX = 256, /* bytes of a name */
    SOCKETIO_QUERY_MAX = 8192,    /* ... and of what revision 4 has behind it, '?' included */
    SOCKETIO_DEPTH_MAX = 32,      /* of a payload's arrays and objects */
};

/* BINARY_EVENT and BINARY_ACK, 5 and 6, are an EVENT and an ACK with attachments. */
enum socketio_type {
    SOCKETIO_CONNECT,
    SOCKETIO_DISCONNECT,
    SOCKETIO_EVENT,
    SOCKETIO_ACK,
    SOCKETIO_CONNECT_ERROR,
};

struct socketio_packet {
    enum socketio_type type;
    bool has_id;
    uint64_t id;           /* at most 2^53-1: JavaScript's */
    struct str namespace;  /* "/" when none is named */
    struct str json;       /* the payload as it stands; empty: there is none */
    struct json_t *parsed; /* the same; NULL: there is none */
    const struct str *attachments;
    unsigned attachment_count;
};

/* Reads a packet's text; an event's payload is an array that begins with a name
 * or a number, an acknowledgement's an array, CONNECT's an object or nothing.
 * The packet points into `text`, and its attachments are not there yet.
 * FAIL_SYNTAX, FAIL_LIMIT. */
int socketio_parse(struct str text, struct socketio_packet *out);
void socketio_packet_deinit(struct socketio_packet *p);

/* The text: of `p`, all but `parsed` and the attachments' content. */
void socketio_encode(const struct socketio_packet *p, struct buf *out);

/* An event's name, or NULL when it is a number. */
const char *socketio_event(const struct socketio_packet *p);

/* What follows an event's name, as it stands between the brackets: `1,"2"`. */
struct str socketio_arguments(const struct socketio_packet *p);

/* Puts packets and their attachments together. */
struct socketio_reader {
    struct socketio_packet packet; /* the last one, or the one that is incomplete */
    char *text;                    /* what that one points into */
    struct buf bytes;              /* of its attachments */
    struct str attachments[SOCKETIO_ATTACHMENTS_MAX];
    size_t ends[SOCKETIO_ATTACHMENTS_MAX];
    unsigned have;
    bool is_waiting; /* for attachments */
};

/* `bytes_max` for all attachments of a packet together. */
void socketio_reader_init(struct socketio_reader *r, size_t bytes_max);
void socketio_reader_deinit(struct socketio_reader *r);

/* Takes a message. `*out` is a whole packet, valid until the next call and not
 * longer than `message`; or NULL, attachments are still to come. */
int socketio_reader_feed(struct socketio_reader *r, bool is_binary, struct str message,
                         const struct socketio_packet **out);

#endif
