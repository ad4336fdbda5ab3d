/* What the files of Engine.IO share; nobody else includes it.
 *
 *                        "2probe"           "5"
 *     polling ---------> probing ---------------> WebSocket
 *        ^  GET ws, sid     | "1", timeout, end      ^
 *        \------------------/                        | GET ws without sid
 *
 * A socket ends in one place, socket_end: whoever still has something to do
 * with it (a waiting GET, a POST under way, WebSockets) is cut loose there. Its
 * owner is told, and its memory freed, at the end of the tick, when nothing of
 * it is on the stack. */
#ifndef IO_ENGINE_INTERNAL_H
#define IO_ENGINE_INTERNAL_H

#include <stdatomic.h>
#include <uv.h>

#include <uthash.h>

#include "core/ledger.h"
#include "io/engine.h"
#include "io/thread_internal.h"
#include "io/wheel.h"
#include "proto/engineio.h"

enum { SID_SIZE = 22 }; /* the thread's digit, 20 random ones, '\0' */

struct engine {
    struct engine_settings settings;
    atomic_uint socket_count;
    /* Each thread's own; NULL until it has had a socket. */
    struct engine_thread *threads[LEDGER_LISTENERS_MAX];
};

/* Freed with the engine: the loop may hold its timer until then. */
struct engine_thread {
    struct engine *engine;
    struct io_thread *thread;
    struct engine_socket *sockets; /* by sid */
    struct engine_socket *busy;    /* to be tended at the end of the tick */
    struct chore chore;
    struct drainer drainer;
    struct wheel wheel;
    uv_timer_t timer; /* the wheel's; runs while there are sockets */
};

/* What a WebSocket's events are given: it outlives the socket by its Close. */
struct engine_link {
    struct engine_socket *socket; /* NULL: cut loose */
    struct ws_link *link;
    bool is_probed; /* the client is about to leave long-polling for it */
};

struct engine_socket {
    struct engine_thread *home;
    const struct engine_events *events;
    void *context;
    struct sink sink;
    UT_hash_handle hh;
    struct engine_socket *next_busy;
    struct wheel_entry deadline; /* the earliest of the three below */
    uint64_t heart_ms;           /* when a ping is due or, if awaits_beat, too late */
    uint64_t probe_ms;           /* ... the upgrade; WHEEL_NEVER */
    uint64_t close_ms;           /* ... the fetching of the last words; WHEEL_NEVER */
    struct exchange *poll;       /* the waiting GET */
    struct exchange *post;       /* the POST under way */
    struct exchange *farewell;   /* the POST that brought the client's close, answered at the end */
    struct engine_link *link;    /* the transport, once it is a WebSocket */
    struct engine_link *probe;   /* may become that */
    struct buf queue;            /* packets nobody has asked for yet: see engine_queue_put */
    struct bucket bucket;        /* of the packets that POSTs bring */
    char sid[SID_SIZE];
    uint8_t revision; /* enum engineio_revision */
    bool is_busy;
    bool is_over;     /* ended; all that is left is to say so */
    bool is_closing;  /* its last words are in the queue */
    bool has_left;    /* ... because its client said so */
    bool is_blocked;  /* the sink had to refuse something */
    bool was_polling; /* it has been upgraded: words in the old framing may come */
    bool awaits_beat; /* the client's pong, or in revision 3 its ping */
};

/* engine.c */
uint64_t engine_now_ms(const struct engine_thread *et);
void engine_release_place(struct engine *e); /* against sockets_max */
/* {"code":n,"message":"..."} */
enum engine_error {
    ENGINE_TRANSPORT_UNKNOWN = 0,
    ENGINE_SID_UNKNOWN = 1,
    ENGINE_BAD_METHOD = 2,
    ENGINE_BAD_REQUEST = 3,
    ENGINE_FORBIDDEN = 4,
    ENGINE_BAD_VERSION = 5,
};
void engine_refuse(struct exchange *x, int status, enum engine_error error);

/* engine_socket.c */
struct engine_socket *socket_new(struct engine_thread *et, const char sid[SID_SIZE],
                                 enum engineio_revision revision);
enum engineio_revision revision_of(const struct engine_socket *s);
/* Removes it from the table; `code` and `reason` are what a WebSocket hears. */
void socket_end(struct engine_socket *s, uint16_t code, const char *reason);
void socket_busy(struct engine_socket *s); /* has it tended at the end of the tick */
void socket_tend(struct engine_socket *s); /* may free it */
void socket_due(struct engine_socket *s);
void socket_set_deadline(struct engine_socket *s);
void socket_put(struct engine_socket *s, const struct engineio_packet *packet);
/* Something came in. False: that was no packet; it has ended. */
bool socket_receive(struct engine_socket *s, struct str text, struct buf *binary);
bool socket_receive_bytes(struct engine_socket *s, struct str bytes);

/* engine_queue.c: packets as they wait for a transport. */
void engine_queue_put(struct buf *queue, const struct engineio_packet *packet);
void queue_take_payload(struct buf *queue, enum engineio_revision revision, struct buf *payload);
void queue_take_frames(struct buf *queue, enum engineio_revision revision, struct buf *frames);

/* engine_poll.c */
void poll_get(struct engine_socket *s, struct exchange *x);
void poll_post(struct engine_socket *s, struct exchange *x);
/* For the first two a GET is waiting, which is then answered. */
void poll_say(struct engine_socket *s, enum engineio_type type);
void poll_tend(struct engine_socket *s); /* if there is something to say */
void poll_part(struct engine_socket *s); /* answers the farewell, if there is one */
unsigned poll_send(struct engine_socket *s, struct msg *const *messages, unsigned count);

/* engine_ws.c */
struct engine_link *link_open(struct engine_socket *s, struct exchange *x, const char *accept);
void link_cut(struct engine_link **link, uint16_t code, const char *reason);
void link_reject(struct exchange *x, const char *accept); /* completes the handshake and closes */
unsigned link_send(struct engine_socket *s, struct msg *const *messages, unsigned count);
bool link_write(struct engine_link *el, const struct engineio_packet *packet, size_t max);

#endif
