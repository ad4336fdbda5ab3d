#include "io/redis_socket.h"

#include "base/mem.h"
#include "io/redis_wire.h"

enum { KEEP_MAX = 64 * 1024, KEEPALIVE_S = 30 };

static void on_closed(uv_handle_t *handle)
{
    struct wire_socket *s = handle->data;

    buf_deinit(&s->writing);
    mem_free(s);
}

void socket_drop(struct wire_socket *s)
{
    s->wire = NULL;
    uv_close(&s->as.handle, on_closed);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct wire_socket *s = request->data;

    if (s->wire != NULL)
        wire_connected(s->wire, status);
}

static int connect_tcp(struct wire_socket *s, const struct sockaddr *address)
{
    int status;

    uv_tcp_nodelay(&s->as.tcp, 1);
    status = uv_tcp_connect(&s->connect, &s->as.tcp, address, on_connected);
    if (status == 0)
        uv_tcp_keepalive(&s->as.tcp, 1, KEEPALIVE_S);
    return status;
}

int socket_connect(struct wire *w, const struct sockaddr *address, const char *path,
                   struct wire_socket **out)
{
    struct wire_socket *s = mem_new(struct wire_socket);
    int status;

    status =
        path != NULL ? uv_pipe_init(w->loop, &s->as.pipe, 0) : uv_tcp_init(w->loop, &s->as.tcp);
    if (status != 0) {
        mem_free(s);
        return status;
    }
    buf_init(&s->writing, w->settings.out_max);
    s->wire = w;
    s->as.handle.data = s->connect.data = s->write.data = s;
    if (path != NULL)
        uv_pipe_connect(&s->connect, &s->as.pipe, path, on_connected);
    else
        status = connect_tcp(s, address);
    if (status != 0) {
        socket_drop(s);
        return status;
    }
    *out = s;
    return 0;
}

static void on_wants_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct wire_socket *s = handle->data;

    (void)suggested;
    *out = uv_buf_init(s->wire->block, sizeof(s->wire->block));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes)
{
    struct wire_socket *s = stream->data;

    if (len != 0 && s->wire != NULL)
        wire_read(s->wire, bytes->base, len);
}

int socket_read(struct wire_socket *s)
{
    return uv_read_start(&s->as.stream, on_wants_room, on_read);
}

static void on_written(uv_write_t *request, int status)
{
    struct wire_socket *s = request->data;

    if (s->wire == NULL)
        return; /* on_closed comes behind this */
    buf_reset(&s->writing);
    if (s->writing.cap > KEEP_MAX) {
        size_t max = s->writing.max;
        buf_deinit(&s->writing);
        buf_init(&s->writing, max);
    }
    wire_written(s->wire, status);
}

int socket_flush(struct wire_socket *s, struct buf *out)
{
    struct buf spare = s->writing;
    uv_buf_t bytes;

    if (s->writing.len > 0 || out->len == 0)
        return 0;
    s->writing = *out;
    *out = spare;
    bytes = uv_buf_init(s->writing.data, (unsigned)s->writing.len);
    return uv_write(&s->write, &s->as.stream, &bytes, 1, on_written);
}
