#include "io/guard_tunnel.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/guard_internal.h"
#include "io/guard_relay.h"
#include "proto/http.h"
#include "proto/proxy_head.h"

enum {
    CONNECT_TIMEOUT_MS = 10 * 1000, /* of one address; then the next one */
    FAREWELL_MS = 2 * 1000,         /* for the child to read what was said last */
    ANSWER_MAX = 2 * 1024,
};

/*   HEAD ──> WAITING ──> LOOKING_UP ──> CONNECTING ──> RELAYING ──> FAREWELL ──> CLOSING
 *     '───────────┴────────────┴─────────────┴──── refused ────────────^
 *
 * WAITING: for one of the proxy's few lookups. A failure that cannot be told goes from
 * anywhere to CLOSING. What is over is freed when nothing of libuv's holds it. */
enum state { HEAD, WAITING, LOOKING_UP, CONNECTING, RELAYING, FAREWELL, CLOSING };

struct tunnel {
    struct guard_relay relay; /* first: both are the streams' data */
    struct guard_proxy *proxy;
    struct tunnel *previous, *next;
    enum state state;
    unsigned held; /* handles not closed, a lookup not answered */
    uv_tcp_t child, server;
    uv_timer_t timer;
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
    uv_write_t answering;
    uv_shutdown_t shutting_child;
    bool has_server, is_looking_up;
    struct proxy_head head;
    struct addrinfo *found, *trying;
    struct buf answer; /* or the head to send on */
};

static uv_stream_t *child_of(struct tunnel *t)
{
    return (uv_stream_t *)&t->child;
}

static uv_stream_t *server_of(struct tunnel *t)
{
    return (uv_stream_t *)&t->server;
}

struct tunnel *tunnel_next(const struct tunnel *t)
{
    return t->next;
}

static void let_go(struct tunnel *t)
{
    struct guard_proxy *p = t->proxy;

    if (--t->held > 0)
        return;
    if (t->next != NULL)
        t->next->previous = t->previous;
    if (t->previous != NULL)
        t->previous->next = t->next;
    else
        p->tunnels = t->next;
    proxy_head_deinit(&t->head);
    buf_deinit(&t->answer);
    uv_freeaddrinfo(t->found);
    mem_free(t);
    guard_proxy_left(p);
}

static void on_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

void tunnel_close(struct tunnel *t)
{
    if (t->state == CLOSING)
        return;
    t->state = CLOSING;
    uv_close((uv_handle_t *)&t->child, on_closed);
    uv_close((uv_handle_t *)&t->timer, on_closed);
    if (t->has_server && !uv_is_closing((uv_handle_t *)&t->server))
        uv_close((uv_handle_t *)&t->server, on_closed);
    if (t->is_looking_up)
        uv_cancel((uv_req_t *)&t->lookup); /* in vain if a thread is at it: then we wait */
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct tunnel *t, uint64_t ms)
{
    uv_timer_start(&t->timer, on_timer, ms, 0);
}

static void on_alloc_waste(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct tunnel *t = handle->data;

    (void)suggested;
    *out = uv_buf_init(t->relay.down.block, RELAY_BLOCK); /* up's may still be on its way */
}

static void on_waste(uv_stream_t *stream, ssize_t len, const uv_buf_t *block)
{
    (void)block;
    if (len < 0)
        tunnel_close(stream->data);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    if (status < 0 && status != UV_ECANCELED)
        tunnel_close(request->data);
}

/* A close with unread bytes would be a reset, and take the last words with it. */
static void say_farewell(struct tunnel *t)
{
    t->state = FAREWELL;
    set_timer(t, FAREWELL_MS);
    t->shutting_child.data = t;
    uv_read_stop(child_of(t));
    if (uv_shutdown(&t->shutting_child, child_of(t), on_shut) != 0 ||
        uv_read_start(child_of(t), on_alloc_waste, on_waste) != 0)
        tunnel_close(t);
}

static void on_answered(uv_write_t *request, int status)
{
    if (status < 0 && status != UV_ECANCELED)
        tunnel_close(request->data);
}

static void answer(struct tunnel *t, int status, const char *text)
{
    buf_reset(&t->answer);
    buf_printf(&t->answer,
               "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
               status, http_status_text(status), strlen(text) + 1, text);
    uv_buf_t bytes = uv_buf_init(t->answer.data, (unsigned)t->answer.len);
    t->answering.data = t;
    if (t->answer.failed || uv_write(&t->answering, child_of(t), &bytes, 1, on_answered) != 0)
        tunnel_close(t);
    else
        say_farewell(t);
}

static void refuse(struct tunnel *t, const struct buf *why)
{
    struct buf *refused = &t->proxy->refused;

    buf_reset(refused);
    buf_append(refused, why->data, why->len);
    answer(t, 403, buf_text(refused));
}

/* ---- relaying ---- */

/* True: as much may still come in. */
static bool on_moved(struct guard_relay *r, bool is_down, size_t len)
{
    struct tunnel *t = (struct tunnel *)r;
    struct guard_proxy *p = t->proxy;

    set_timer(t, p->limits.idle_ms);
    if (!is_down)
        return true;
    p->bytes += len;
    if (p->limits.bytes_max == 0 || p->bytes <= p->limits.bytes_max)
        return true;
    guard_proxy_over(p);
    return false;
}

static void on_relayed(struct guard_relay *r, bool is_broken)
{
    struct tunnel *t = (struct tunnel *)r;

    if (is_broken)
        tunnel_close(t);
    else
        say_farewell(t);
}

static const struct guard_relay_events relay_events = { .moved = on_moved, .ended = on_relayed };

/* What came behind the head lies at the block's start. */
static void start_relaying(struct tunnel *t)
{
    static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    struct buf *first = &t->answer;

    t->state = RELAYING;
    set_timer(t, t->proxy->limits.idle_ms);
    buf_reset(first);
    if (t->head.is_tunnel)
        buf_puts(first, established);
    else
        buf_append(first, t->head.forwarded.data, t->head.forwarded.len);
    uv_buf_t bytes = uv_buf_init(first->data, (unsigned)first->len);
    uv_stream_t *to = t->head.is_tunnel ? child_of(t) : server_of(t);
    t->answering.data = t;
    if (first->failed || uv_write(&t->answering, to, &bytes, 1, on_answered) != 0) {
        tunnel_close(t);
        return;
    }
    t->relay.child = child_of(t);
    t->relay.server = server_of(t);
    t->relay.is_tunnel = t->head.is_tunnel;
    t->relay.content_left = t->head.content;
    guard_relay_start(&t->relay, &relay_events);
}

/* ---- from the head to a connection ---- */

static void try_next(struct tunnel *t);

static void on_attempt_closed(uv_handle_t *handle)
{
    struct tunnel *t = handle->data;

    t->has_server = false;
    if (t->state == CONNECTING)
        try_next(t);
    let_go(t);
}

static void give_up_attempt(struct tunnel *t)
{
    t->trying = t->trying->ai_next;
    uv_close((uv_handle_t *)&t->server, on_attempt_closed);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct tunnel *t = request->data;

    if (t->state != CONNECTING || status == UV_ECANCELED)
        return;
    if (status == 0)
        start_relaying(t);
    else
        give_up_attempt(t);
}

static void try_next(struct tunnel *t)
{
    while (t->trying != NULL &&
           !guard_admits(t->proxy->guard, buf_text(&t->head.host), t->trying->ai_addr))
        t->trying = t->trying->ai_next;
    if (t->trying == NULL) {
        answer(t, 502, "nothing answers there");
        return;
    }
    uv_tcp_init(t->proxy->loop, &t->server);
    t->server.data = t;
    t->has_server = true;
    t->held++;
    t->connect.data = t;
    set_timer(t, CONNECT_TIMEOUT_MS);
    if (uv_tcp_connect(&t->connect, &t->server, t->trying->ai_addr, on_connected) != 0)
        give_up_attempt(t);
}

/* All of the addresses are judged before the first is used, so that a refusal says why. */
static void connect_to_found(struct tunnel *t)
{
    struct buf why;
    bool is_admitted = false;

    buf_init(&why, ANSWER_MAX / 2);
    for (struct addrinfo *a = t->found; a != NULL && !is_admitted; a = a->ai_next) {
        buf_reset(&why);
        is_admitted = guard_judge(t->proxy->guard, buf_text(&t->head.host), a->ai_addr, &why);
    }
    t->state = CONNECTING;
    t->trying = t->found;
    if (is_admitted)
        try_next(t);
    else
        refuse(t, &why);
    buf_deinit(&why);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct tunnel *t = request->data;
    struct guard_proxy *p = t->proxy;

    t->is_looking_up = false;
    t->found = addresses;
    if (t->state == LOOKING_UP && status == 0 && addresses != NULL)
        connect_to_found(t);
    else if (t->state == LOOKING_UP)
        answer(t, 502, "there is no such host");
    guard_proxy_looked_up(p); /* p lives: t is held */
    let_go(t);
}

static void look_up(struct tunnel *t)
{
    static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    char port[STR_U64_SIZE];

    str_of_u64(t->head.port, port);
    t->lookup.data = t;
    t->state = LOOKING_UP;
    set_timer(t, t->proxy->limits.idle_ms);
    if (uv_getaddrinfo(t->proxy->loop, &t->lookup, on_looked_up, buf_text(&t->head.host), port,
                       &hints) != 0) {
        answer(t, 502, "the name cannot be looked up");
        return;
    }
    t->is_looking_up = true;
    t->held++;
    t->proxy->lookups++;
}

void tunnel_wake(struct tunnel *t)
{
    if (t->state == WAITING)
        look_up(t);
}

static void take_head(struct tunnel *t)
{
    struct buf why;

    buf_init(&why, ANSWER_MAX / 2);
    if (t->proxy->is_over) {
        buf_puts(&why, "as much as may come in has come");
        refuse(t, &why);
    } else if (guard_check_host(t->proxy->guard, buf_text(&t->head.host), t->head.port, &why) !=
               OK) {
        refuse(t, &why);
    } else {
        t->state = WAITING;
        set_timer(t, t->proxy->limits.idle_ms);
        if (t->proxy->lookups < GUARD_LOOKUPS_MAX)
            look_up(t);
    }
    buf_deinit(&why);
}

static void on_head_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct tunnel *t = handle->data;

    (void)suggested;
    *out = uv_buf_init(t->relay.up.block, RELAY_BLOCK);
}

static void on_head_bytes(uv_stream_t *stream, ssize_t len, const uv_buf_t *block)
{
    struct tunnel *t = stream->data;
    size_t used = 0;

    if (len == 0)
        return;
    if (len < 0) {
        tunnel_close(t);
        return;
    }
    int status = proxy_head_feed(&t->head, block->base, (size_t)len, &used);
    if (status == 0 && !t->head.is_whole)
        return;
    uv_read_stop(stream);
    if (status != 0) {
        answer(t, status, "a request to this proxy is CONNECT, or has an absolute http URL");
        return;
    }
    t->relay.up.len = (size_t)len - used;
    memmove(t->relay.up.block, block->base + used, t->relay.up.len);
    take_head(t);
}

static void on_timer(uv_timer_t *timer)
{
    struct tunnel *t = timer->data;

    if (t->state == CONNECTING && t->has_server && !uv_is_closing((uv_handle_t *)&t->server))
        give_up_attempt(t);
    else if (t->state == WAITING || t->state == LOOKING_UP)
        answer(t, 504, "the name is not answered for");
    else
        tunnel_close(t);
}

void tunnel_open(struct guard_proxy *p)
{
    struct tunnel *t = mem_alloc(sizeof(*t));

    guard_relay_init(&t->relay);
    memset((char *)t + sizeof(t->relay), 0, sizeof(*t) - sizeof(t->relay));
    t->proxy = p;
    t->next = p->tunnels;
    if (t->next != NULL)
        t->next->previous = t;
    p->tunnels = t;
    proxy_head_init(&t->head);
    buf_init(&t->answer, PROXY_HEAD_MAX * 2);
    uv_tcp_init(p->loop, &t->child);
    uv_timer_init(p->loop, &t->timer);
    t->child.data = t->timer.data = t;
    t->held = 2;
    set_timer(t, p->limits.idle_ms);
    if (uv_accept((uv_stream_t *)&p->listener, child_of(t)) != 0 ||
        uv_read_start(child_of(t), on_head_alloc, on_head_bytes) != 0)
        tunnel_close(t);
}
