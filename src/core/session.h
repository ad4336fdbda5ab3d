/* One client at one door: what it subscribes to and what it was last sent.
 * Belongs to one hub, so to one I/O thread; takes no lock.
 *
 * A session never queues updates. While its sink takes bytes it gets every
 * one; when the sink is blocked it just falls behind, and on session_drain it
 * gets the latest state of each job that moved on, each in its turn. So its memory depends on
 * its subscriptions, never on the publish rate. Replies to its own messages
 * are queued, at most SESSION_REPLIES_MAX. */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/dialect.h"
#include "core/frames.h"
#include "core/viewer.h"

struct hub;
struct session;

/* Where a session's bytes go. */
struct sink {
    const struct sink_ops *ops;
};

struct sink_ops {
    /* Sends `count` messages in order; returns how many it took. Fewer than
     * `count` means: blocked, and session_drain will be called once it takes
     * bytes again. A message it took is its business, also one that the socket
     * took only partly. Borrows the messages. */
    unsigned (*send)(struct sink *sink, struct msg *const *messages, unsigned count);

    /* The session cannot go on: WebSocket close code and reason. Must not free
     * the session during the call. */
    void (*close)(struct sink *sink, uint16_t code, const char *reason);
};

struct subscription; /* core/topic.h */

struct session {
    struct hub *hub;
    const struct dialect *dialect;
    struct sink *sink;     /* borrowed */
    struct viewer *viewer; /* one reference */
    struct subscription *subscriptions;
    struct msg **replies;                /* room for SESSION_REPLIES_MAX, or NULL: none waits */
    struct session *prev, *next;         /* in the hub: all sessions */
    struct session *all_prev, *all_next; /* in the hub: those that hear all */
    struct session *next_dirty;
    uint64_t all_seen;   /* hears_all: how far in the hub's count it has been sent */
    uint64_t all_joined; /* ... and where that stood when it joined */
    uint64_t spoke_ms;   /* monotonic: when it was last sent something */
    uint16_t subscription_count;
    uint8_t reply_count;
    uint8_t framing; /* enum framing */
    bool sees_all;   /* as the viewer: a look there less for each delivery */
    bool hears_all;  /* hub_subscribe_all was called */
    bool is_dirty;   /* is in the hub's list of those to be flushed */
    bool is_blocked; /* the sink takes nothing at the moment */
    bool is_behind;  /* something was not sent: the present is due, not each step */
    bool is_closed;  /* nothing more is sent */
};

/* Joins the hub. Borrows `sink`, shares `viewer`. Nothing is said yet. */
void session_open(struct session *s, struct hub *hub, const struct dialect *dialect,
                  struct sink *sink, enum framing framing, struct viewer *viewer);

/* From now on its sink wants another one. No answers may be waiting. */
void session_set_framing(struct session *s, enum framing framing);

/* Leaves the hub and releases everything. Not from within a sink call. */
void session_close(struct session *s);

/* The greeting for `job` ("" if the door has none). */
void session_greet(struct session *s, const char *job);

/* A text message from the client. `request` is the caller's to carry out. */
void session_receive(struct session *s, struct str message, struct request *request);

/* Queues words for this client alone, before the tick's updates. */
void session_say(struct session *s, const struct words *words);

/* The sink takes bytes again. */
void session_drain(struct session *s);

/* Ends it with 4001 if its viewer's time is over. */
void session_expire(struct session *s, int64_t now_wall_ms);

/* Says the dialect's keepalive if the client has heard nothing for so long. */
void session_keepalive(struct session *s, uint64_t now_ms);

#endif
