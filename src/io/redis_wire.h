/* A connection to Redis that comes back: resolving, connecting, the greeting
 * (AUTH, SELECT, CLIENT SETNAME, PING), reading, writing, the heartbeat and the
 * wait before the next attempt. Embedded as first member by who uses it (struct
 * redis, struct redis_listener), which says what is sent and what answers mean.
 *
 *        +------------------------- next address -+
 *        v                                        |
 *   RESOLVING -> CONNECTING -> GREETING -> READY  |
 *        ^            |  \________|________/      |
 *        |            +-----------|---------------+
 *      RESTING <------------------+        any -> OVER
 */
#ifndef IO_REDIS_WIRE_H
#define IO_REDIS_WIRE_H

#include <uv.h>

#include "base/buf.h"
#include "io/redis.h"
#include "io/redis_greeting.h"
#include "io/redis_tls.h"

enum wire_state {
    WIRE_RESTING,
    WIRE_RESOLVING,
    WIRE_CONNECTING,
    WIRE_GREETING,
    WIRE_READY,
    WIRE_OVER,
};

enum { WIRE_BLOCK = 64 * 1024, WIRE_WHY_MAX = 512 };

struct wire;
struct wire_socket;
struct wire_lookup;

/* Any may close the wire. */
struct wire_events {
    void (*ready)(struct wire *w);
    void (*reply)(struct wire *w, const struct redis_reply *reply, bool is_cut);
    void (*lost)(struct wire *w, const struct redis_down *down); /* also of an attempt */
    bool (*ping)(struct wire *w);    /* sends one, unless there is no need to (false) */
    void (*drained)(struct wire *w); /* Redis took all that there was */
    void (*gone)(struct wire *w);    /* its timer has closed: the last event */
};

struct wire {
    uv_loop_t *loop;
    const struct wire_events *events;
    struct redis_url url;
    struct redis_settings settings;
    enum wire_state state;
    uv_timer_t timer; /* the state's: its deadline, the heartbeat, the wait */

    struct wire_lookup *lookup; /* RESOLVING */
    struct addrinfo *addresses, *address;
    struct tls_trust *trust;    /* of this attempt: files may change; NULL: no TLS */
    struct wire_socket *socket; /* CONNECTING to READY */
    struct redis_reader *reader;
    size_t reply_max; /* for the reader */
    struct buf out;   /* what no write was begun for */
    struct greeting greeting;

    unsigned attempts;  /* since it was up for long */
    uint64_t up_ms;     /* since when it is READY */
    uint64_t heard_ms;  /* a byte */
    uint64_t pinged_ms; /* 0: not since */
    bool is_suspect;    /* its time is over; one more look at what has come */
    int err;            /* of the address tried last */
    struct buf why;
    char block[WIRE_BLOCK];
};

/* Begins the first attempt; no event within. */
void wire_open(struct wire *w, uv_loop_t *loop, const struct redis_url *url,
               const struct redis_settings *settings, size_t reply_max,
               const struct wire_events *events);

/* No event comes but `gone`; twice is fine. */
void wire_close(struct wire *w);

/* Behind `gone`. */
void wire_deinit(struct wire *w);

/* Sends in the order of the calls. FAIL_CLOSED while it is not READY;
 * FAIL_LIMIT beyond out_max. */
int wire_send(struct wire *w, const struct str *args, size_t count);

/* Bytes that Redis did not take yet. */
size_t wire_backlog(const struct wire *w);

/* Ends the connection: `lost` runs within. For who finds that it is of no use. */
void wire_lose(struct wire *w, int err, const char *why);

/* The next deadline, if it is over for the first time: an answer may have come
 * that a busy loop has not read. True: it is to be believed now. */
bool wire_believes(bool *is_suspect, uv_timer_t *timer, uv_timer_cb on_timer);

/* In io/redis_settings.c. NULL: the default ones. */
void settings_copy(const struct redis_settings *settings, struct redis_settings *out);
void settings_deinit(struct redis_settings *settings);

#endif
