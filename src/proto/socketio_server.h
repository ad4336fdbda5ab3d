/* A server's side of one Socket.IO connection, without I/O: which namespaces
 * its client is in, and what it may say to which.
 *
 *              CONNECT             accept
 *     absent ----------> asking ------------> joined
 *       ^                  |  refuse            |  DISCONNECT
 *       +------------------+--------------------+
 *
 * A client of revision 4 (Socket.IO 2, over Engine.IO 3) is in the main namespace
 * without asking, writes what it asks with behind a namespace's name (a query, of
 * which the token counts), and is told nothing on the way in and only a text on the
 * way out.
 *
 * An unknown namespace is refused here. Any packet but CONNECT to a namespace
 * that is not joined, and CONNECT to one that is, ends the connection. */
#ifndef PROTO_SOCKETIO_SERVER_H
#define PROTO_SOCKETIO_SERVER_H

#include "proto/socketio.h"

enum { SOCKETIO_NAMESPACES_MAX = 4 };

/* `ns` is the namespace's place in `namespaces`. All are set. */
struct socketio_rules {
    const char *const *namespaces;
    unsigned count;   /* at most SOCKETIO_NAMESPACES_MAX */
    size_t bytes_max; /* of a packet's attachments together */

    /* Wants to come in: accept or refuse it, now or later. `auth` may be NULL. */
    void (*connect)(void *context, unsigned ns, const struct json_t *auth);
    void (*event)(void *context, unsigned ns, const struct socketio_packet *event);
    /* The client has left; not called when the connection ends. */
    void (*leave)(void *context, unsigned ns);
    /* A packet's text for the client. */
    void (*say)(void *context, struct str packet);
};

enum socketio_place { SOCKETIO_ABSENT, SOCKETIO_ASKING, SOCKETIO_JOINED };

struct socketio_server {
    const struct socketio_rules *rules; /* borrowed */
    void *context;
    struct socketio_reader reader;
    enum socketio_place places[SOCKETIO_NAMESPACES_MAX];
    bool has_joined; /* any, at some time: it need not hurry any more */
    bool is_old;     /* revision 4 */
};

void socketio_server_init(struct socketio_server *s, const struct socketio_rules *rules,
                          void *context);
/* Instead of waiting for its CONNECT to the main namespace, `ns`: revision 4. */
void socketio_server_welcome_old(struct socketio_server *s, unsigned ns);

void socketio_server_deinit(struct socketio_server *s);

/* A message from the client. If this fails, close the connection. */
int socketio_server_feed(struct socketio_server *s, bool is_binary, struct str message);

/* Answers `connect`. `data`: a JSON object; what the client is told, in a refusal
 * with a "message". */
void socketio_server_accept(struct socketio_server *s, unsigned ns, const char *data);
void socketio_server_refuse(struct socketio_server *s, unsigned ns, const char *data);

/* Sends an acknowledgement; `arguments` stand between the brackets. */
void socketio_server_acknowledge(struct socketio_server *s, unsigned ns, uint64_t id,
                                 struct str arguments);

#endif
