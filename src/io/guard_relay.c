#include "io/guard_relay.h"

#include <string.h>

void guard_relay_init(struct guard_relay *r)
{
    memset(r, 0, offsetof(struct guard_relay, up)); /* the blocks need no zeroes */
    memset(&r->up, 0, offsetof(struct relay_half, block));
    memset(&r->down, 0, offsetof(struct relay_half, block));
}

static void end(struct guard_relay *r, bool is_broken)
{
    if (r->is_over)
        return;
    r->is_over = true;
    uv_read_stop(r->child);
    uv_read_stop(r->server);
    r->events->ended(r, is_broken);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct guard_relay *r = handle->data;
    struct relay_half *h = (uv_stream_t *)handle == r->child ? &r->up : &r->down;

    (void)suggested;
    *out = uv_buf_init(h->block, sizeof(h->block));
}

static void on_block(uv_stream_t *from, ssize_t len, const uv_buf_t *block);

static void read_on(struct guard_relay *r, uv_stream_t *from)
{
    if (!r->is_over && uv_read_start(from, on_alloc, on_block) != 0)
        end(r, true);
}

static void on_sent(uv_write_t *request, int status)
{
    struct guard_relay *r = request->data;

    if (status < 0 && status != UV_ECANCELED)
        end(r, true);
    else if (status == 0)
        read_on(r, request == &r->up.write ? r->child : r->server);
}

/* Most blocks go at once; for the rest of one, reading waits. */
static void send_block(struct guard_relay *r, struct relay_half *h)
{
    bool is_up = h == &r->up;
    uv_stream_t *to = is_up ? r->server : r->child;
    uv_buf_t bytes = uv_buf_init(h->block + h->sent, (unsigned)(h->len - h->sent));
    int sent = uv_try_write(to, &bytes, 1);

    if (sent < 0 && sent != UV_EAGAIN) {
        end(r, true);
        return;
    }
    h->sent += sent > 0 ? (size_t)sent : 0;
    if (h->sent == h->len)
        return;
    uv_read_stop(is_up ? r->child : r->server);
    bytes = uv_buf_init(h->block + h->sent, (unsigned)(h->len - h->sent));
    h->write.data = r;
    if (uv_write(&h->write, to, &bytes, 1, on_sent) != 0)
        end(r, true);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    if (status < 0 && status != UV_ECANCELED)
        end(request->data, true);
}

/* The server's end is the answer's. A child that has no more to ask may still listen; of
 * its tunnels the server is told. */
static void half_ended(struct guard_relay *r, uv_stream_t *from, ssize_t how)
{
    uv_read_stop(from);
    if (how != UV_EOF) {
        end(r, true);
    } else if (from == r->server) {
        end(r, false);
    } else if (r->is_tunnel) {
        r->shutting.data = r;
        if (uv_shutdown(&r->shutting, r->server, on_shut) != 0)
            end(r, true);
    }
}

/* Whatever follows a request is meant for another server, perhaps, and gets to none. */
static bool is_declared(struct guard_relay *r, size_t len)
{
    if (r->is_tunnel)
        return true;
    if (len > r->content_left)
        return false;
    r->content_left -= len;
    return true;
}

static void on_block(uv_stream_t *from, ssize_t len, const uv_buf_t *block)
{
    struct guard_relay *r = from->data;
    bool is_down = from == r->server;
    struct relay_half *h = is_down ? &r->down : &r->up;

    (void)block;
    if (len == 0)
        return;
    if (len < 0) {
        half_ended(r, from, len);
        return;
    }
    h->len = (size_t)len;
    h->sent = 0;
    if (r->events->moved(r, is_down, h->len) && (is_down || is_declared(r, h->len)))
        send_block(r, h);
    else
        end(r, true);
}

void guard_relay_start(struct guard_relay *r, const struct guard_relay_events *events)
{
    r->events = events;
    if (!is_declared(r, r->up.len)) {
        end(r, true);
        return;
    }
    read_on(r, r->child);
    read_on(r, r->server);
    if (r->up.len > 0 && !r->is_over)
        send_block(r, &r->up);
}
