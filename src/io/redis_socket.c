#include "io/redis_socket.h"

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_wire.h"

enum {
    KEEP_MAX = 64 * 1024,
    KEEPALIVE_S = 30,
    PLAIN_MAX = 16 * 1024,   /* a record: RFC 8446, 5.1 */
    RECORD_SHARE = 64,       /* encrypted, it is longer by less than this part... */
    RECORD_ROOM = 64 * 1024, /* ... and by the handshake */
};

static int err_of(int status)
{
    switch (status) {
    case UV_ETIMEDOUT: return FAIL_TIMEOUT;
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOBUFS:
    case UV_ENOMEM:
    case UV_EACCES: return FAIL_IO;
    default: return FAIL_CLOSED;
    }
}

static const char *text_of(int status)
{
    return status == UV_EOF ? "Redis closed the connection" : uv_strerror(status);
}

static void failed(struct wire_socket *s, int status)
{
    wire_failed(s->wire, err_of(status), text_of(status));
}

static void on_closed(uv_handle_t *handle)
{
    struct wire_socket *s = handle->data;

    tls_free(s->tls);
    buf_deinit(&s->writing);
    mem_free(s);
}

void socket_drop(struct wire_socket *s)
{
    s->wire = NULL;
    uv_close(&s->as.handle, on_closed);
}

static void on_written(uv_write_t *request, int status);

/* What is in `writing`. */
static int begin_write(struct wire_socket *s)
{
    uv_buf_t bytes = uv_buf_init(s->writing.data, (unsigned)s->writing.len);

    return uv_write(&s->write, &s->as.stream, &bytes, 1, on_written);
}

/* What TLS itself has to say, or what was encrypted. */
static int send_encrypted(struct wire_socket *s)
{
    if (s->writing.len > 0)
        return 0;
    tls_give(s->tls, &s->writing);
    if (s->writing.failed)
        return UV_ENOBUFS;
    return s->writing.len > 0 ? begin_write(s) : 0;
}

static void empty(struct buf *b)
{
    size_t max = b->max;

    buf_reset(b);
    if (b->cap <= KEEP_MAX)
        return;
    buf_deinit(b);
    buf_init(b, max);
}

static void on_written(uv_write_t *request, int status)
{
    struct wire_socket *s = request->data;

    if (s->wire == NULL)
        return; /* on_closed comes behind this */
    empty(&s->writing);
    if (status == 0 && s->tls != NULL)
        status = send_encrypted(s);
    /* Who is not let in for want of a certificate is told behind the handshake, and may
     * learn first that nothing is taken any more: what is to be read says why. */
    if (status != 0 && s->tls != NULL && !s->has_heard)
        return;
    if (status != 0)
        failed(s, status);
    else if (!s->is_shaking)
        wire_written(s->wire);
}

static int flush_encrypted(struct wire_socket *s, struct buf *out)
{
    struct buf why;
    int err;

    buf_init(&why, WIRE_WHY_MAX);
    err = tls_write(s->tls, out->data, out->len, &why);
    buf_deinit(&why);
    empty(out);
    return err == OK ? send_encrypted(s) : UV_EIO;
}

int socket_flush(struct wire_socket *s, struct buf *out)
{
    struct buf spare = s->writing;

    if (s->writing.len > 0 || out->len == 0)
        return 0;
    if (s->tls != NULL)
        return flush_encrypted(s, out);
    s->writing = *out;
    *out = spare;
    return begin_write(s);
}

static void shake_hands(struct wire_socket *s)
{
    bool is_done = false;
    struct buf why;
    int err, status;

    buf_init(&why, WIRE_WHY_MAX);
    err = tls_shake_hands(s->tls, &is_done, &why);
    status = send_encrypted(s); /* also why we do not trust it */
    if (err != OK) {
        wire_failed(s->wire, err, buf_text(&why));
    } else if (status != 0) {
        failed(s, status);
    } else if (is_done) {
        s->is_shaking = false;
        wire_connected(s->wire);
    }
    buf_deinit(&why);
}

/* Until a certificate of ours was looked at, which may be behind the handshake
 * (RFC 8446, 4.4.2.4), what TLS complains of is that we are not let in. */
static void read_encrypted(struct wire_socket *s)
{
    char bytes[PLAIN_MAX];
    size_t used = 1;
    struct buf why;
    int err = OK;

    buf_init(&why, WIRE_WHY_MAX);
    while (s->wire != NULL && err == OK && used > 0) {
        err = tls_read(s->tls, bytes, sizeof(bytes), &used, &why);
        if (err == OK && used > 0) {
            s->has_heard = true;
            wire_read(s->wire, bytes, used);
        }
    }
    if (s->wire != NULL && err == OK && send_encrypted(s) != 0)
        err = FAIL_IO;
    if (s->wire != NULL && err != OK)
        wire_failed(s->wire, err == FAIL_DENIED && s->has_heard ? FAIL_IO : err, buf_text(&why));
    buf_deinit(&why);
}

static void on_encrypted(struct wire_socket *s, const char *bytes, size_t len)
{
    if (tls_take(s->tls, bytes, len) != OK) {
        wire_failed(s->wire, FAIL_LIMIT, "TLS: too much to answer");
        return;
    }
    if (s->is_shaking)
        shake_hands(s);
    if (s->wire != NULL && !s->is_shaking)
        read_encrypted(s);
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

    if (len == 0 || s->wire == NULL)
        return;
    if (len < 0)
        failed(s, (int)len);
    else if (s->tls != NULL)
        on_encrypted(s, bytes->base, (size_t)len);
    else
        wire_read(s->wire, bytes->base, (size_t)len);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct wire_socket *s = request->data;

    if (s->wire == NULL)
        return;
    if (status == 0)
        status = uv_read_start(&s->as.stream, on_wants_room, on_read);
    if (status != 0)
        failed(s, status);
    else if (s->is_shaking)
        shake_hands(s);
    else
        wire_connected(s->wire);
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

static int init_handle(struct wire_socket *s, const struct wire *w)
{
    return w->url.path != NULL ? uv_pipe_init(w->loop, &s->as.pipe, 0)
                               : uv_tcp_init(w->loop, &s->as.tcp);
}

static void init_writing(struct wire_socket *s, struct wire *w)
{
    size_t max = w->settings.out_max;

    if (w->trust != NULL) {
        s->tls = tls_new(w->trust, w->url.hosts[0].name);
        s->is_shaking = true;
        max += max / RECORD_SHARE + RECORD_ROOM;
    }
    buf_init(&s->writing, max);
}

int socket_connect(struct wire *w, struct wire_socket **out, const char **why)
{
    struct wire_socket *s = mem_new(struct wire_socket);
    int status = init_handle(s, w);

    if (status != 0) {
        mem_free(s);
        *why = uv_strerror(status);
        return err_of(status);
    }
    init_writing(s, w);
    s->wire = w;
    s->as.handle.data = s->connect.data = s->write.data = s;
    if (w->url.path != NULL)
        uv_pipe_connect(&s->connect, &s->as.pipe, w->url.path, on_connected);
    else
        status = connect_tcp(s, w->address->ai_addr);
    if (status != 0) {
        socket_drop(s);
        *why = text_of(status);
        return err_of(status);
    }
    *out = s;
    return OK;
}
