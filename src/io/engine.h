/* Engine.IO, protocol revision 4 and if wanted 3, on a server: a pipe of messages over HTTP
 * long-polling, over a WebSocket, or over the one turned into the other, with
 * heartbeats. What the messages mean is the owner's business.
 *
 * A socket lives on one I/O thread, whose number its sid begins with. Its
 * requests may come in on any thread: they move to the socket's own together
 * with their connection, so nothing here takes a lock but the count of sockets.
 * An unknown sid (another node's, or one that has timed out) is answered 400
 * {"code":1,"message":"Session ID unknown"} at once: the client then begins anew. */
#ifndef IO_ENGINE_H
#define IO_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "core/frames.h"
#include "core/session.h"
#include "io/exchange.h"

struct engine;
struct engine_socket;

struct engine_settings {
    uint32_t ping_interval_ms;
    uint32_t ping_timeout_ms;
    size_t payload_max;   /* bytes of a message and of a POST; announced as maxPayload; at
                           * most io_settings.ws.message_max */
    uint32_t sockets_max; /* over all threads; a further one is answered 503 */
    bool allows_eio3;     /* clients of revision 3 too */
};

/* On the socket's own thread. All but `upgraded` are set. */
struct engine_events {
    void (*message)(void *context, bool is_binary, struct str message); /* valid during the call */
    void (*drain)(void *context);    /* the sink takes messages again */
    void (*upgraded)(void *context); /* polling became WebSocket: the framing is another */
    /* It has ended, for whatever reason; freed behind this call. Comes exactly
     * once, never within a call made here. */
    void (*gone)(void *context);
};

/* `settings` is copied, one of these for all threads of the pool. */
struct engine *engine_new(const struct engine_settings *settings);

/* io_settings.thread_end: the sockets of this thread end. */
void engine_thread_end(struct engine *e, struct io_thread *t);

void engine_free(struct engine *e); /* the pool has been stopped */

/* Serves one request of an Engine.IO path: answers it, keeps it as the waiting
 * poll, upgrades it. When it opens a socket, `open` is called first, on the
 * thread where the socket will live: it returns the owner's context, and what
 * it says meanwhile goes out behind the `open` packet. */
typedef void *(*engine_open)(void *argument, struct engine_socket *s,
                             const struct engine_events **events);
void engine_request(struct engine *e, struct exchange *x, engine_open open, void *argument);

/* For session_open: takes messages framed as engine_socket_framing says, where
 * each word begins with Engine.IO's own packet type ('4', a message). */
struct sink *engine_socket_sink(struct engine_socket *s);
enum framing engine_socket_framing(const struct engine_socket *s);

/* A message that is not a session's. Copies. False when more than `max` bytes
 * wait: the socket is then closed. */
bool engine_socket_send(struct engine_socket *s, bool is_binary, struct str message, size_t max);

/* Says the last words that were given to it, then ends. */
void engine_socket_close(struct engine_socket *s);

/* Of revision 3: an older client, which may also expect other words. */
bool engine_socket_is_eio3(const struct engine_socket *s);

struct io_thread *engine_socket_thread(const struct engine_socket *s);

#endif
