/* The other end of a WebSocket: a blocking client made of the same codec. */
#ifndef TEST_IO_WS_PEER_H
#define TEST_IO_WS_PEER_H

#include "harness.h"
#include "proto/ws.h"

struct ws_peer {
    int fd;
    struct ws_reader reader;
    struct buf message; /* the last one */
    enum ws_opcode type;
    unsigned messages, pings, pongs;
    struct buf pong; /* the last one's payload */
    int close_code;  /* -1: no Close yet */
    struct buf reason;
    void (*each)(struct ws_peer *p); /* for every message, or NULL */
};

/* Connects, shakes hands at `path` and sends `behind` right behind the request. */
void ws_peer_open(struct ws_peer *p, int fd, const char *path, const char *extensions,
                  struct str behind);
void ws_peer_say(struct ws_peer *p, uint8_t first_byte, const void *bytes, size_t len);
void ws_peer_text(struct ws_peer *p, const char *text);

/* Receives once and reads what came; false at the end of input. */
bool ws_peer_receive(struct ws_peer *p);
void ws_peer_until_message(struct ws_peer *p);
void ws_peer_expect(struct ws_peer *p, const char *text);

/* Until the server's Close, which must have that code; then answers it if told
 * to, and the connection must end in order. */
void ws_peer_expect_close(struct ws_peer *p, int code, bool answers);
void ws_peer_deinit(struct ws_peer *p);

#endif
