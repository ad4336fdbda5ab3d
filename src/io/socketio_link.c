#include "io/socketio_link.h"

#include <uv.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

struct socketio_link {
    struct engine_socket *socket;
    const struct socketio_settings *settings;
    void *context;
    struct socketio_rules rules; /* what `server` borrows */
    struct socketio_server server;
    uv_timer_t *patience; /* until a namespace is joined, then NULL */
};

void socketio_link_say(struct socketio_link *l, bool is_binary, struct str message)
{
    engine_socket_send(l->socket, is_binary, message, l->settings->unsent_max);
}

static void say(void *context, struct str packet)
{
    socketio_link_say(context, false, packet);
}

static void free_timer(uv_handle_t *handle)
{
    mem_free(handle);
}

static void stop_waiting(struct socketio_link *l)
{
    if (l->patience != NULL)
        uv_close((uv_handle_t *)l->patience, free_timer);
    l->patience = NULL;
}

static void lose_patience(uv_timer_t *timer)
{
    struct socketio_link *l = timer->data;

    stop_waiting(l);
    engine_socket_close(l->socket);
}

static void start_waiting(struct socketio_link *l)
{
    uv_loop_t *loop = io_thread_loop(engine_socket_thread(l->socket));

    l->patience = mem_new(uv_timer_t);
    uv_timer_init(loop, l->patience);
    l->patience->data = l;
    uv_timer_start(l->patience, lose_patience, l->settings->connect_timeout_ms, 0);
}

static void on_connect(void *context, unsigned ns, const struct json_t *auth)
{
    struct socketio_link *l = context;

    l->settings->connect(l->context, ns, auth);
}

static void on_event(void *context, unsigned ns, const struct socketio_packet *event)
{
    struct socketio_link *l = context;

    l->settings->event(l->context, ns, event);
}

static void on_leave(void *context, unsigned ns)
{
    struct socketio_link *l = context;

    l->settings->leave(l->context, ns);
}

static void on_message(void *context, bool is_binary, struct str message)
{
    struct socketio_link *l = context;

    if (socketio_server_feed(&l->server, is_binary, message) != OK)
        engine_socket_close(l->socket);
}

static void on_drain(void *context)
{
    struct socketio_link *l = context;

    l->settings->drain(l->context);
}

static void on_upgraded(void *context)
{
    struct socketio_link *l = context;

    l->settings->upgraded(l->context);
}

static void on_gone(void *context)
{
    struct socketio_link *l = context;

    stop_waiting(l);
    l->settings->gone(l->context);
    socketio_server_deinit(&l->server);
    mem_free(l);
}

void socketio_link_welcome(struct socketio_link *l)
{
    if (engine_socket_is_eio3(l->socket))
        socketio_server_welcome_old(&l->server, 0);
}

struct socketio_link *socketio_link_open(struct engine_socket *socket,
                                         const struct socketio_settings *settings, void *context,
                                         const struct engine_events **events)
{
    static const struct engine_events link_events = {
        .message = on_message,
        .drain = on_drain,
        .upgraded = on_upgraded,
        .gone = on_gone,
    };
    struct socketio_link *l = mem_new(struct socketio_link);

    l->socket = socket;
    l->settings = settings;
    l->context = context;
    l->rules = (struct socketio_rules){
        .namespaces = settings->namespaces,
        .count = settings->namespace_count,
        .bytes_max = settings->message_max,
        .connect = on_connect,
        .event = on_event,
        .leave = on_leave,
        .say = say,
    };
    socketio_server_init(&l->server, &l->rules, l);
    start_waiting(l);
    *events = &link_events;
    return l;
}

void socketio_link_accept(struct socketio_link *l, unsigned ns, const char *data)
{
    socketio_server_accept(&l->server, ns, data);
    stop_waiting(l);
}

void socketio_link_refuse(struct socketio_link *l, unsigned ns, const char *data)
{
    socketio_server_refuse(&l->server, ns, data);
}

void socketio_link_acknowledge(struct socketio_link *l, unsigned ns, uint64_t id,
                               struct str arguments)
{
    socketio_server_acknowledge(&l->server, ns, id, arguments);
}

void socketio_link_send(struct socketio_link *l, const struct socketio_packet *packet)
{
    struct buf text;

    buf_init(&text, packet->json.len + packet->namespace.len + 64);
    socketio_encode(packet, &text);
    say(l, buf_str(&text));
    buf_deinit(&text);
}

struct engine_socket *socketio_link_socket(const struct socketio_link *l)
{
    return l->socket;
}
