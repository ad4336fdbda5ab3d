/* Socket.IO on a server: namespaces (proto/socketio_server.h) over an Engine.IO
 * socket. Whoever breaks the protocol, or joins no namespace in time, is cut off.
 * All on the socket's own I/O thread. */
#ifndef IO_SOCKETIO_LINK_H
#define IO_SOCKETIO_LINK_H

#include "io/engine.h"
#include "proto/socketio_server.h"

struct socketio_link;

/* One for all connections. `connect`, `event` and `leave` as in proto/
 * socketio_server.h, `drain`, `upgraded` and `gone` as in io/engine.h; all are
 * set. The link is freed behind `gone`. */
struct socketio_settings {
    const char *const *namespaces; /* the first is the main one, "/" */
    unsigned namespace_count;
    size_t message_max;          /* bytes of a packet's attachments together */
    size_t unsent_max;           /* bytes that may wait for the client; more: it is cut off */
    uint32_t connect_timeout_ms; /* to join a namespace */

    void (*connect)(void *context, unsigned ns, const struct json_t *auth);
    void (*event)(void *context, unsigned ns, const struct socketio_packet *event);
    void (*leave)(void *context, unsigned ns);
    void (*drain)(void *context);
    void (*upgraded)(void *context);
    void (*gone)(void *context);
};

/* Within engine_open: the link is what that returns, and `*events` are set.
 * Borrows `settings`. */
struct socketio_link *socketio_link_open(struct engine_socket *socket,
                                         const struct socketio_settings *settings, void *context,
                                         const struct engine_events **events);

/* Right behind socketio_link_open, once `connect` may be called: clients of Socket.IO
 * 2 do not ask for the main namespace. */
void socketio_link_welcome(struct socketio_link *l);

/* Answers to `connect`, as in proto/socketio_server.h. */
void socketio_link_accept(struct socketio_link *l, unsigned ns, const char *data);
void socketio_link_refuse(struct socketio_link *l, unsigned ns, const char *data);

/* An acknowledgement whose arguments stand between the brackets. */
void socketio_link_acknowledge(struct socketio_link *l, unsigned ns, uint64_t id,
                               struct str arguments);

/* Any other packet, and the attachments behind it. */
void socketio_link_send(struct socketio_link *l, const struct socketio_packet *packet);
void socketio_link_say(struct socketio_link *l, bool is_binary, struct str message);

struct engine_socket *socketio_link_socket(const struct socketio_link *l);

#endif
