/* A client's socket on one I/O thread: when it is readable its bytes go to who
 * serves it at the moment (HTTP, then perhaps WebSocket), and it ends in one
 * place. Invariants: every open connection is on its thread's wheel; ops->closed
 * runs exactly once, from the loop and never inside a call made here; the
 * descriptor is closed and the memory freed when the last hold goes, so a
 * worker thread that writes to the socket keeps it from being reused.
 *
 *   open --connection_linger--> lingering --end of input, time, bytes--> closed
 *     \-------------connection_close, reset by the peer-------------------^
 *
 * This is what an idle viewer costs, so it is small: what a WebSocket needs
 * lies in `room`, and everything HTTP needs is freed when it begins. */
#ifndef IO_CONNECTION_H
#define IO_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <uv.h>

#include "io/wheel.h"

struct connection;
struct io_thread;
struct peer;

struct connection_ops {
    /* Where to read to, and how much at most; NULL, or no such op: the thread's buffer. */
    char *(*room)(struct connection *c, size_t *len);
    /* Bytes in that place, valid during the call and free to be overwritten; len 0 is
     * the end of input. */
    void (*input)(struct connection *c, char *bytes, size_t len);
    void (*writable)(struct connection *c);
    void (*due)(struct connection *c);   /* the deadline has passed */
    void (*drain)(struct connection *c); /* come to an end soon; perhaps more than once */
    void (*closed)(struct connection *c);
};

enum { CONNECTION_ROOM = 112 };

struct connection {
    uv_poll_t poll; /* first: handles are cast back */
    struct wheel_entry deadline;
    struct io_thread *thread;
    const struct connection_ops *ops; /* NULL: nobody's, it only lingers */
    void *owner;                      /* the ops' */
    struct peer *peer;                /* its address's place until it is freed, or NULL */
    int fd;
    uint32_t linger_left; /* bytes still to be thrown away */
    uint16_t holds;
    uint8_t events; /* wanted of uv_poll */
    bool is_closing;
    bool is_closed;       /* ops->closed has run, or is running */
    uint8_t linger_turns; /* still to come */
    bool is_lingering;
    bool is_heard;                          /* something came in this turn of lingering */
    bool is_counted;                        /* against connections_max */
    bool is_given;                          /* the socket lives on another thread now */
    _Alignas(8) char room[CONNECTION_ROOM]; /* the owner's */
};

/* Takes the socket; NULL, and it is closed, when the loop does not want it.
 * Nothing is read before connection_want. */
struct connection *connection_open(struct io_thread *t, int fd, bool is_counted);

/* One that has ended already and never had a socket; nobody holds it. */
struct connection *connection_open_dead(struct io_thread *t);

/* The socket goes to another thread, and its place among its address's with it:
 * connection_give here, connection_take there. It counts all the time.
 * ops->closed does not come, and nobody else may hold the connection. */
struct given {
    int fd;
    struct peer *peer; /* or NULL */
};

struct given connection_give(struct connection *c);
struct connection *connection_take(struct io_thread *t, struct given *given);
/* Instead of connection_take: closes it. */
void connection_lose(struct io_thread *t, struct given *given);

/* Which of UV_READABLE and UV_WRITABLE to be told of. */
void connection_want(struct connection *c, int events);

/* As much as the socket takes now, 0 included; a negative FAIL_* when it is
 * broken, then the connection is closing. `more` is coming at once. */
ssize_t connection_write(struct connection *c, const struct iovec *iov, unsigned count, bool more);

/* ops->due comes this long from now, unless it is moved before. UINT32_MAX: never. */
void connection_due_in(struct connection *c, uint32_t timeout_ms);

/* Ends our side and waits, bounded, for the peer to end its own: closing with
 * unread input would be a reset, and destroy the answer under way to it. */
void connection_linger(struct connection *c);
void connection_close(struct connection *c);

void connection_hold(struct connection *c);
void connection_release(struct connection *c);

uint64_t connection_now_ms(const struct connection *c);

/* For the thread: the deadline's wheel calls these. */
void connection_fire(struct wheel_entry *e);
void connection_drain(struct wheel_entry *e);
void connection_cut(struct wheel_entry *e);

#endif
