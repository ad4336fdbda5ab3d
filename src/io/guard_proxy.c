#include <assert.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/guard_tunnel.h"

enum { BACKLOG = 64, REFUSED_MAX = 1024 };

static void free_if_last(struct guard_proxy *p)
{
    if (!p->is_closing || p->is_listening || p->count > 0)
        return;
    buf_deinit(&p->refused);
    mem_free(p);
}

static void take_waiting(struct guard_proxy *p)
{
    if (!p->has_waiting || p->is_closing || p->count >= p->limits.connections_max)
        return;
    p->has_waiting = false;
    p->count++;
    tunnel_open(p);
}

/* Until it is accepted, libuv asks for no further one: the rest waits in the kernel. */
static void on_connection(uv_stream_t *listener, int status)
{
    struct guard_proxy *p = listener->data;

    if (status != 0)
        return;
    p->has_waiting = true;
    take_waiting(p);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct guard_proxy *p = handle->data;

    p->is_listening = false;
    free_if_last(p);
}

int guard_proxy_open(uv_loop_t *loop, const struct guard *g, int listener,
                     const struct guard_proxy_limits *limits, struct guard_proxy **out)
{
    struct guard_proxy *p = mem_new(struct guard_proxy);

    assert(limits->connections_max > 0 && limits->idle_ms > 0);
    p->loop = loop;
    p->guard = g;
    p->limits = *limits;
    p->is_listening = true;
    p->listener.data = p;
    buf_init(&p->refused, REFUSED_MAX);
    uv_tcp_init(loop, &p->listener);
    int err = uv_tcp_open(&p->listener, listener);
    if (err != 0)
        close(listener);
    else
        err = uv_listen((uv_stream_t *)&p->listener, BACKLOG, on_connection);
    if (err != 0) {
        guard_proxy_close(p);
        return fail_from_errno(-err);
    }
    *out = p;
    return OK;
}

void guard_proxy_close(struct guard_proxy *p)
{
    if (p == NULL || p->is_closing)
        return;
    p->is_closing = true;
    for (struct tunnel *t = p->tunnels; t != NULL; t = tunnel_next(t))
        tunnel_close(t);
    uv_close((uv_handle_t *)&p->listener, on_listener_closed);
}

const char *guard_proxy_refused(const struct guard_proxy *p)
{
    return buf_text(&p->refused);
}

bool guard_proxy_is_over(const struct guard_proxy *p)
{
    return p->is_over;
}

uint64_t guard_proxy_bytes(const struct guard_proxy *p)
{
    return p->bytes;
}

void guard_proxy_left(struct guard_proxy *p)
{
    p->count--;
    take_waiting(p);
    free_if_last(p);
}

void guard_proxy_looked_up(struct guard_proxy *p)
{
    p->lookups--;
    for (struct tunnel *t = p->tunnels; t != NULL && p->lookups < GUARD_LOOKUPS_MAX;
         t = tunnel_next(t))
        tunnel_wake(t);
}

void guard_proxy_over(struct guard_proxy *p)
{
    p->is_over = true;
    for (struct tunnel *t = p->tunnels; t != NULL; t = tunnel_next(t))
        tunnel_close(t);
}
