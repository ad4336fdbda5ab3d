#include "conformance_socketio.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/socketio_link.h"
#include "io/thread.h"

enum { MESSAGE_MAX = 1000 * 1000, UNSENT_MAX = 64 * 1024 * 1024, CONNECT_TIMEOUT_MS = 1000 };

/* Suites wait for one message at a time, and miss one that comes in the same
 * segment as the one before. */
enum { AUTH_DELAY_MS = 50 };

enum { NAMESPACES = 2 };
static const char *const namespaces[NAMESPACES] = { "/", "/custom" };

/* The event `auth` that is still to be said. */
struct greeting {
    uv_timer_t timer; /* first: handles are cast back */
    struct echo *echo;
    unsigned ns;
    char *text; /* jansson's or strdup's */
};

struct echo {
    struct socketio_link *link;
    struct greeting *greetings[NAMESPACES];
};

static void send_event(struct echo *e, unsigned ns, const struct socketio_packet *like,
                       const char *event, struct str arguments)
{
    struct socketio_packet p = { .type = SOCKETIO_EVENT, .namespace = str_of(namespaces[ns]) };
    struct buf json;

    buf_init(&json, MESSAGE_MAX + 256);
    buf_printf(&json, "[\"%s\"%s", event, arguments.len > 0 ? "," : "");
    buf_append(&json, arguments.at, arguments.len);
    buf_putc(&json, ']');
    p.json = buf_str(&json);
    p.attachment_count = like != NULL ? like->attachment_count : 0;
    socketio_link_send(e->link, &p);
    buf_deinit(&json);
}

static void send_attachments(struct echo *e, const struct socketio_packet *p)
{
    for (unsigned i = 0; i < p->attachment_count; i++)
        socketio_link_say(e->link, true, p->attachments[i]);
}

static void acknowledge(struct echo *e, unsigned ns, const struct socketio_packet *event)
{
    struct socketio_packet p = { .type = SOCKETIO_ACK, .namespace = str_of(namespaces[ns]) };
    struct str arguments = socketio_arguments(event);
    struct buf json;

    buf_init(&json, MESSAGE_MAX + 256);
    buf_putc(&json, '[');
    buf_append(&json, arguments.at, arguments.len);
    buf_putc(&json, ']');
    p.json = buf_str(&json);
    p.has_id = true;
    p.id = event->id;
    p.attachment_count = event->attachment_count;
    socketio_link_send(e->link, &p);
    buf_deinit(&json);
}

static void free_greeting(uv_handle_t *handle)
{
    struct greeting *g = (struct greeting *)handle;

    free(g->text);
    mem_free(g);
}

static void drop_greeting(struct echo *e, unsigned ns)
{
    if (e->greetings[ns] != NULL)
        uv_close((uv_handle_t *)&e->greetings[ns]->timer, free_greeting);
    e->greetings[ns] = NULL;
}

static void greet(uv_timer_t *timer)
{
    struct greeting *g = (struct greeting *)timer;

    send_event(g->echo, g->ns, NULL, "auth", str_of(g->text));
    drop_greeting(g->echo, g->ns);
}

static void on_connect(void *context, unsigned ns, const json_t *auth)
{
    struct echo *e = context;
    char data[64], sid[UUID_SIZE];

    random_uuid(sid);
    snprintf(data, sizeof(data), "{\"sid\":\"%s\"}", sid);
    socketio_link_accept(e->link, ns, data);
    struct greeting *g = e->greetings[ns] = mem_new(struct greeting);
    g->echo = e;
    g->ns = ns;
    g->text = auth != NULL ? json_dumps(auth, JSON_COMPACT) : strdup("{}");
    uv_timer_init(io_thread_loop(engine_socket_thread(socketio_link_socket(e->link))), &g->timer);
    uv_timer_start(&g->timer, greet, AUTH_DELAY_MS, 0);
}

static void on_event(void *context, unsigned ns, const struct socketio_packet *event)
{
    struct echo *e = context;
    const char *name = socketio_event(event);

    if (name != NULL && strcmp(name, "message") == 0)
        send_event(e, ns, event, "message-back", socketio_arguments(event));
    else if (name != NULL && strcmp(name, "message-with-ack") == 0 && event->has_id)
        acknowledge(e, ns, event);
    else
        return;
    send_attachments(e, event);
}

static void on_leave(void *context, unsigned ns)
{
    drop_greeting(context, ns);
}

static void ignore(void *context)
{
    (void)context;
}

static void on_gone(void *context)
{
    for (unsigned ns = 0; ns < NAMESPACES; ns++)
        drop_greeting(context, ns);
    mem_free(context);
}

static const struct socketio_settings settings = {
    .namespaces = namespaces,
    .namespace_count = NAMESPACES,
    .message_max = MESSAGE_MAX,
    .unsent_max = UNSENT_MAX,
    .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    .connect = on_connect,
    .event = on_event,
    .leave = on_leave,
    .drain = ignore,
    .upgraded = ignore,
    .gone = on_gone,
};

void *open_socketio_echo(void *argument, struct engine_socket *socket,
                         const struct engine_events **events)
{
    struct echo *e = mem_new(struct echo);

    (void)argument;
    e->link = socketio_link_open(socket, &settings, e, events);
    socketio_link_welcome(e->link);
    return e->link;
}
