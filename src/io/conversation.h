/* The HTTP side of a connection: one request after the other, each answered
 * before the next is parsed. Private to io/'s HTTP files.
 *
 *             first byte        head            body complete
 *     IDLE ---------------> HEAD ----> BODY ---------------------> WAIT
 *      ^                                 \      (or no body)        |
 *      |                                  \ answered                | answered
 *      |        written, keeps alive       v                        v
 *      +------------------------------- ANSWER <--------------------+
 *                                          | written, must close
 *                                          v
 *                                  connection_linger
 *
 * PARKED is a WAIT with a deadline, which the handler asked for. A connection
 * that conversation_leave has given away is none of this any more.
 * From WAIT, exchange_move has it begin anew on another thread with the same HEAD.
 *
 * Two parties end it: the connection (closed) and the handler (no longer
 * owed). What is left of it is freed when both have, by conversation_run,
 * which is the one place that moves it on. The handler's calls only note what
 * is to be done, so nothing is freed under its feet. */
#ifndef IO_CONVERSATION_H
#define IO_CONVERSATION_H

#include <sys/socket.h>

#include "io/connection.h"
#include "io/exchange.h"
#include "io/thread_internal.h"

enum phase { PHASE_IDLE, PHASE_HEAD, PHASE_BODY, PHASE_WAIT, PHASE_PARKED, PHASE_ANSWER };

enum body_mode { BODY_UNASKED, BODY_READ, BODY_STREAM };

struct file_answer; /* sendfile.c's */

/* Begins on the connection; `bytes` came behind the request. */
typedef void (*conversation_heir)(struct connection *c, char *bytes, size_t len);

struct exchange {
    struct connection *connection; /* NULL once it is closed or its heir's */
    struct io_thread *thread;
    struct http_parser *parser;
    struct exchange *prev, *next; /* the thread's */
    struct chore chore;
    struct sockaddr_storage peer;

    /* Input that is not parsed yet: in the thread's buffer during a read
     * event, else in `stash`. */
    struct str input;
    struct buf stash;

    /* The request. */
    const struct http_request *request; /* NULL between requests */
    struct str piece;                   /* body bytes out of the last feed, in `input`'s memory */
    struct buf held;                    /* the same, copied, waiting for the handler */
    struct buf body;                    /* BODY_READ: so far */
    enum body_mode mode;
    const struct body_events *body_events;
    void (*read_done)(struct exchange *x, struct str body);
    void *state;
    void (*release)(void *state);
    void (*left)(struct exchange *x, void *watcher);
    void *watcher;
    struct io_thread *move_to; /* or NULL; as soon as nothing of it is on the stack */

    /* The answer. */
    struct buf fields;
    size_t fields_kept; /* bytes of them that are in our refusals too */
    struct buf head;
    struct msg *content;      /* or NULL */
    struct file_answer *file; /* or NULL */
    size_t sent;              /* of head and content together */

    conversation_heir heir; /* set: the connection is another's, who is owed the input's rest */

    void (*parked)(struct exchange *x); /* the handler waits until this is called, or NULL */
    uint32_t park_ms;

    enum phase phase;
    bool is_running;  /* conversation_run is on the stack */
    bool is_complete; /* the request's last byte has been parsed */
    bool is_asked;    /* the handler has been called */
    bool is_owed;     /* ... and has not answered */
    bool is_answered; /* there is an answer to be written */
    bool is_refused;  /* ... by us, over the handler's head */
    bool is_paused;
    bool is_unparked;  /* `parked` is to be called */
    bool is_body_over; /* the handler was told the body's end, or its loss */
    bool must_close;   /* behind this answer */
    bool is_at_end;    /* the client's side of the connection has ended */
    bool has_served;   /* at least one request */
    bool has_progress; /* since the deadline was set */
    bool is_closed;    /* the connection is */
};

/* Takes over a fresh connection. */
void conversation_begin(struct connection *c, const struct sockaddr_storage *peer);

/* Does what can be done now; may free it. */
void conversation_run(struct exchange *x);

/* Has conversation_run called, at the end of the tick if not already. */
void conversation_wake(struct exchange *x);

/* The loop has ended: frees those whose handlers never answered. */
void conversations_abandon(struct io_thread *t);

/* conversation_steps.c. One step, whichever is possible now; false: none is. */
bool conversation_step(struct exchange *x);
bool conversation_wants_body(const struct exchange *x);
void conversation_forget_handler(struct exchange *x);
void conversation_forget_request(struct exchange *x);

/* An error answer of ours, instead of the handler's; closes behind it. */
void conversation_refuse(struct exchange *x, int status);

/* For move.c. Off this thread, with nothing of the handler's and a copy of all
 * input that is not parsed. */
void conversation_pack(struct exchange *x);
/* On `t` from now on, where the handler is asked anew. Without a connection it
 * ends. */
void conversation_unpack(struct exchange *x, struct io_thread *t, struct connection *c);

/* move.c. Over to the thread that x->move_to names. */
void conversation_move(struct exchange *x);

/* As an answer: the connection, its room included, is from now on another's.
 * Without a connection, or one that was told something else meanwhile, the heir
 * gets a stillborn one: ops->closed is all that comes, and not before `heir`
 * would have been called. */
struct connection *conversation_leave(struct exchange *x, const struct connection_ops *ops,
                                      conversation_heir heir);

/* answer.c. The head, but for the empty line: what is sent with every status.
 * `connection` may be NULL. */
void answer_put_head(const struct exchange *x, struct buf *head, int status,
                     const char *content_type, const char *connection);

/* answer.c. Puts the head together; from here on the exchange is answered. */
void answer_begin(struct exchange *x, int status, const char *content_type, uint64_t length);
/* Writes what the socket takes; true when all is written. */
bool answer_write(struct exchange *x);
void answer_reset(struct exchange *x);
/* {"error":{"code":"NOT_FOUND","message":"Not Found"}} */
struct msg *answer_error(int status);

/* sendfile.c. */
void file_answer_start(struct exchange *x, int fd, uint64_t first, uint64_t length);
bool file_answer_is_busy(const struct exchange *x); /* a worker is at it */
bool file_answer_write(struct exchange *x);         /* true when all is written */
void file_answer_unblock(struct exchange *x);       /* the socket takes bytes again */
void file_answer_free(struct exchange *x);

#endif
