/* One HTTP request and its answer, on one I/O thread. The handler is called
 * when the head is there; it then asks for the body, answers, or upgrades. It
 * must do one of the three in the end, and may do it later: the exchange stays
 * valid until it is answered, also when the client has gone (the answer then
 * goes nowhere). Expect: 100-continue is answered when the body is asked for.
 *
 * All functions: only on the exchange's own thread. */
#ifndef IO_EXCHANGE_H
#define IO_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/msg.h"
#include "base/str.h"
#include "core/session.h"
#include "proto/deflate.h"
#include "proto/http.h"
#include "proto/ws.h"

struct exchange;
struct io_thread;

typedef void (*exchange_handler)(void *context, struct exchange *x);

const struct http_request *exchange_request(const struct exchange *x); /* until answered */
struct io_thread *exchange_thread(const struct exchange *x);
bool exchange_is_gone(const struct exchange *x);            /* nobody will read the answer */
void exchange_peer(const struct exchange *x, char out[64]); /* "127.0.0.1" */
bool exchange_is_loopback(const struct exchange *x);

/* A place for the handler's own state; `release` runs once, when the exchange
 * ends. */
void exchange_attach(struct exchange *x, void *state, void (*release)(void *state));
void *exchange_state(const struct exchange *x);

/* `left` comes at most once, while the answer is owed, when nobody will read it
 * any more: for whoever answers late. Answer then too, to release. NULL: not any
 * longer. */
void exchange_watch(struct exchange *x, void (*left)(struct exchange *x, void *watcher),
                    void *watcher);
void *exchange_watcher(const struct exchange *x);

/* The whole body in memory, at most `max` bytes (else 413 is answered and
 * `done` never runs). `body` is valid until the exchange is answered. */
void exchange_read(struct exchange *x, size_t max,
                   void (*done)(struct exchange *x, struct str body));

/* The body as it comes. Each event returns nothing; to refuse in the middle,
 * answer: the rest is then not read and the connection closed behind it. */
struct body_events {
    void (*data)(struct exchange *x, const char *bytes, size_t len);
    void (*end)(struct exchange *x); /* complete */
    void (*gone)(
        struct exchange *x); /* the client left before the end; answer anyway, to release */
    /* May be NULL. Where the next bytes may be put, of a body whose length is known, and how
     * many at most; NULL: nowhere. If any are, `data` is called with just those before
     * anything else is; it may be called with others as well. */
    char *(*room)(struct exchange *x, size_t *len);
};
void exchange_stream(struct exchange *x, const struct body_events *events);
/* No event at all until resumed, `gone` included: whoever hands bytes to a
 * worker is not interrupted while it has them. */
void exchange_pause(struct exchange *x);
void exchange_resume(struct exchange *x);

/* Adds a field to the answer; name and value are copied. A value with CR, LF or
 * NUL is our bug. */
void exchange_header(struct exchange *x, const char *name, const char *value);
/* What was added so far goes into any answer, also one that is given over the
 * handler's head (its body breaks off, or grows too large). */
void exchange_keep_headers(struct exchange *x);

/* Answers. `body` may be NULL; takes the reference. For HEAD the length is sent
 * and the body is not. Content-Length, Date, Connection are added. */
void exchange_reply(struct exchange *x, int status, const char *content_type, struct msg *body);

/* Answers with bytes [first, first + length) of a file by sendfile(2), off the
 * loop's thread; takes the descriptor. The head as with exchange_reply. */
void exchange_reply_file(struct exchange *x, int status, const char *content_type, int fd,
                         uint64_t first, uint64_t length);

/* For an answer that has to wait for something. `over` is called once, from the
 * loop: after exchange_unpark, when the time is up (as exact as the wheel), when
 * the client has ended its side, or when the server drains. It answers then. */
void exchange_park(struct exchange *x, uint32_t timeout_ms, void (*over)(struct exchange *x));
void exchange_unpark(struct exchange *x);

/* To another I/O thread, with its connection and everything that follows on it.
 * Only before the body is asked for; as an answer, it must be the handler's last
 * call: what was attached is released, and the handler is called anew over
 * there, with the same request. */
void exchange_move(struct exchange *x, unsigned thread);
unsigned io_thread_index(const struct io_thread *t);

/* An answer without an end, that messages are written to as they come. */
struct feed;

struct feed_events {
    void (*drain)(void *context); /* the sink takes bytes again */
    /* The connection has ended, for whatever reason; the feed is freed behind
     * this call. Comes exactly once, never within feed_open. */
    void (*gone)(void *context);
};

/* Answers 200 and turns the connection into the feed; the exchange is over. What
 * the client still sends is thrown away. Borrows `events`. The body ends with
 * the connection: its bytes are everybody's, so none is a chunk's head, and
 * proxies that speak HTTP/1.0 can pass it on. */
struct feed *feed_open(struct exchange *x, const char *content_type,
                       const struct feed_events *events, void *context);

/* For session_open, with FRAMING_LINES. Its close ends the feed, whatever the code. */
struct sink *feed_sink(struct feed *f);

/* Nothing more is taken; what was taken is written, then `gone`. */
void feed_end(struct feed *f);

struct io_thread *feed_thread(const struct feed *f);

/* A WebSocket. */
struct ws_link;

struct ws_link_events {
    void (*message)(void *context, enum ws_opcode type, struct str message);
    void (*drain)(void *context); /* the sink takes bytes again */
    /* The connection has ended, for whatever reason; the link is freed behind
     * this call. Comes exactly once, never within ws_link_open. */
    void (*gone)(void *context);
};

struct ws_answer {
    const char *accept;                   /* from ws_handshake */
    const char *protocol;                 /* Sec-WebSocket-Protocol, or NULL */
    const struct deflate_params *deflate; /* negotiated, or NULL */
};

/* Answers 101 and turns the connection into a WebSocket; the exchange is over.
 * Everything HTTP needed is released. Borrows `events`. */
struct ws_link *ws_link_open(struct exchange *x, const struct ws_answer *answer,
                             const struct ws_link_events *events, void *context);

/* For session_open. Its send never allocates and never copies while the socket
 * takes everything. */
struct sink *ws_link_sink(struct ws_link *l);
enum framing ws_link_framing(const struct ws_link *l);

/* Sends raw frames that are not a session's (an echo server's). Copies what
 * the socket does not take. False when nothing more can be written: the link
 * has ended, or more than `max` bytes were waiting and it is closed with 1008. */
bool ws_link_write(struct ws_link *l, const void *bytes, size_t len, size_t max);

/* Sends Close and waits WS_CLOSE_TIMEOUT_MS for the peer's; then `gone`. */
void ws_link_close(struct ws_link *l, uint16_t code, const char *reason);

struct io_thread *ws_link_thread(const struct ws_link *l);

#endif
