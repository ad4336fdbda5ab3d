/* One attempt's stream to Redis, TCP or a unix socket, with the one write that
 * is under way. Its memory goes when the loop has closed it; what comes from the
 * loop after socket_drop is heard by nobody. For io/redis_wire only. */
#ifndef IO_REDIS_SOCKET_H
#define IO_REDIS_SOCKET_H

#include <uv.h>

#include "base/buf.h"

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
    struct buf writing; /* under way */
    struct wire *wire;  /* NULL: dropped */
};

/* Negative results are libuv's. `socket_*` callbacks of the wire below run on
 * what has not been dropped. */
int socket_connect(struct wire *w, const struct sockaddr *address, const char *path,
                   struct wire_socket **out);
int socket_read(struct wire_socket *s);

/* Takes what is in `out`, unless a write is under way. */
int socket_flush(struct wire_socket *s, struct buf *out);
void socket_drop(struct wire_socket *s);

/* In io/redis_wire.c. `status` is 0 or libuv's. */
void wire_connected(struct wire *w, int status);
void wire_read(struct wire *w, const char *bytes, ssize_t len);
void wire_written(struct wire *w, int status);

#endif
