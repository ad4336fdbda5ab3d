/* One attempt's stream to Redis, TCP or a unix socket, with or without TLS, with
 * the one write that is under way. Its memory goes when the loop has closed it;
 * what comes from the loop after socket_drop is heard by nobody. For
 * io/redis_wire only. */
#ifndef IO_REDIS_SOCKET_H
#define IO_REDIS_SOCKET_H

#include <uv.h>

#include "base/buf.h"
#include "io/redis_tls.h"

struct wire;

struct wire_socket {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } as;
    uv_connect_t connect;
    uv_write_t write;
    struct buf writing; /* under way; with TLS, encrypted */
    struct tls *tls;    /* NULL: none */
    bool is_shaking;    /* hands */
    bool has_heard;     /* something of Redis, not of TLS alone */
    struct wire *wire;  /* NULL: dropped */
};

/* To the address, or path, that the wire is trying. `why` is static. */
int socket_connect(struct wire *w, struct wire_socket **out, const char **why);

/* Takes what is in `out`, unless a write is under way. */
int socket_flush(struct wire_socket *s, struct buf *out);
void socket_drop(struct wire_socket *s);

/* In io/redis_wire.c, and none of them within one of the above. The last word is
 * wire_failed. */
void wire_connected(struct wire *w); /* hands shaken */
void wire_read(struct wire *w, const char *bytes, size_t len);
void wire_written(struct wire *w);
void wire_failed(struct wire *w, int err, const char *why);

#endif
