/* A Redis server (RESP2) on a libuv loop, over connections of our own that do
 * not go deaf: each connects by itself, and again for as long as it lives, is
 * pinged when nothing is heard and cut when nothing answers.
 *
 *   struct redis           commands, pipelined, each answered exactly once
 *   struct redis_listener  channels, patterns, shard channels; subscribed anew before `up`
 *   struct redis_script    Lua, by EVALSHA, by EVAL where Redis forgot it
 *
 * Nothing is sent twice by us: what was under way when a connection ended fails
 * with FAIL_CLOSED, and may or may not have been done. All functions: only on
 * the loop's thread. No event runs within the call that causes it, but those
 * that redis_close says. */
#ifndef IO_REDIS_H
#define IO_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/str.h"
#include "io/redis_reply.h"
#include "proto/redis_url.h"

struct redis_settings {
    const char *name;            /* CLIENT SETNAME: no spaces; NULL: none. Copied */
    uint32_t connect_timeout_ms; /* for one address: until it lets us in */
    uint32_t command_timeout_ms; /* a command without an answer ends the connection */
    uint32_t backoff_min_ms;     /* between attempts: at random up to this, then up to */
    uint32_t backoff_max_ms;     /* twice as much each time, at most this; see redis_down */
    uint32_t silence_ms;         /* without a byte from Redis; then it is pinged */
    uint32_t pong_ms;            /* without a byte after that; then it is gone */
    size_t out_max;              /* bytes of one command, and of all without an answer */
    size_t commands_max;         /* without an answer yet */
    size_t reply_max;            /* of an answer, in our memory; a longer one is FAIL_LIMIT */
    size_t message_max;          /* of a published one; a longer one is dropped and counted */
    size_t topics_max;           /* channels and patterns of a listener */
    /* For rediss://: PEM files, read anew at each attempt. Copied. */
    const char *ca_file;   /* who is trusted; NULL: as the system does */
    const char *cert_file; /* what we show; NULL: nothing */
    const char *key_file;  /* of that; NULL: it is in cert_file */
};
extern const struct redis_settings redis_settings_default;

struct redis_down {
    bool was_up;       /* false: an attempt failed */
    int err;           /* FAIL_CLOSED   nobody there, or it went away
                        * FAIL_TIMEOUT  it does not answer
                        * FAIL_DENIED   it does not let us in, or its certificate is
                        *               not trusted: tried again, but at backoff_max_ms
                        *               (half of it to all of it)
                        * FAIL_STATE    it is not ready yet (-LOADING)
                        * FAIL_LIMIT, FAIL_SYNTAX  what it says is no Redis
                        * FAIL_IO */
    const char *why;   /* a clause for people */
    uint32_t retry_ms; /* when the next attempt begins */
};

struct redis_events {
    void (*up)(void *context);
    void (*down)(void *context, const struct redis_down *down);
};

struct redis;

/* Copies url and settings (NULL: the default ones), borrows `events`. */
struct redis *redis_open(uv_loop_t *loop, const struct redis_url *url,
                         const struct redis_settings *settings, const struct redis_events *events,
                         void *context);

/* `done` of each command without an answer runs within this, with
 * FAIL_CANCELLED; no event comes behind it. May be called within any event or
 * `done`, and twice. The memory goes in the loop's close callbacks. */
void redis_close(struct redis *r);

bool redis_is_up(const struct redis *r);

/* How a command ended; runs exactly once, never within redis_command. `reply` is
 * borrowed. `err` is OK for an answer that is no error; for one that is, reply
 * has its text and err is by its first word:
 *   FAIL_DENIED (NOAUTH, NOPERM, WRONGPASS), FAIL_MISSING (NOSCRIPT, NOGROUP),
 *   FAIL_EXISTS (BUSYGROUP, BUSYKEY), FAIL_FULL (OOM), FAIL_CANCELLED (EXECABORT),
 *   FAIL_UNSUPPORTED (MOVED, ASK, CROSSSLOT: a cluster),
 *   FAIL_STATE (LOADING, READONLY, MASTERDOWN, BUSY, TRYAGAIN, ...: not now),
 *   FAIL_SYNTAX (any other).
 * Without a reply (NULL): FAIL_CLOSED, FAIL_TIMEOUT, FAIL_CANCELLED, or
 * FAIL_LIMIT for one longer than reply_max. */
typedef void redis_done(void *context, int err, const struct redis_reply *reply);

/* Copies the arguments. Nothing waits for a connection: FAIL_CLOSED at once
 * while it is down. FAIL_LIMIT: too much is under way. In both cases `done`
 * (which may be NULL) does not run. `timeout_ms` 0: that of the settings. */
int redis_command(struct redis *r, const struct str *args, size_t count, uint32_t timeout_ms,
                  redis_done *done, void *context);

struct redis_script {
    const char *source; /* borrowed */
    char digest[41];
};

void redis_script_init(struct redis_script *script, const char *source);

/* `args` are `keys` keys and then what is ARGV. As redis_command; where Redis has
 * forgotten the script it is sent whole, behind what was sent meanwhile. */
int redis_script_run(struct redis *r, const struct redis_script *script, size_t keys,
                     const struct str *args, size_t count, redis_done *done, void *context);

enum redis_topic {
    REDIS_CHANNEL, /* SUBSCRIBE; on a cluster any node's PUBLISH is heard */
    REDIS_PATTERN, /* PSUBSCRIBE */
    REDIS_SHARD,   /* SSUBSCRIBE, at the node of a cluster that has the channel's slot */
};
enum { REDIS_TOPICS = 3 };

struct redis_push {
    struct str channel;
    struct str pattern; /* that it came by; at NULL: by its channel */
    struct str message;
};

struct redis_listener_events {
    /* Redis has confirmed all that was subscribed to when the connection came:
     * what is read now and what is pushed from now on leave no gap. */
    void (*up)(void *context);
    void (*down)(void *context, const struct redis_down *down);
    void (*push)(void *context, const struct redis_push *push); /* borrowed */
    /* Redis has confirmed one topic: what was subscribed to since, or, before `up`,
     * again. May be NULL. */
    void (*subscribed)(void *context, struct str name, enum redis_topic kind);
    /* It refused (-NOPERM), and will not be asked again. May be NULL. */
    void (*refused)(void *context, struct str name, enum redis_topic kind, const char *why);
    /* A shard channel's slot is not here, or not any more: it is subscribed to no
     * longer. May be NULL. */
    void (*moved)(void *context, struct str name);
    /* A message over message_max, which is not kept. May be NULL. */
    void (*dropped)(void *context, struct str channel);
};

struct redis_listener;

struct redis_listener *redis_listener_open(uv_loop_t *loop, const struct redis_url *url,
                                           const struct redis_settings *settings,
                                           const struct redis_listener_events *events,
                                           void *context);
void redis_listener_close(struct redis_listener *l); /* as redis_close */
bool redis_listener_is_up(const struct redis_listener *l);

/* Also while it is down. FAIL_EXISTS: it is subscribed to already (the owner
 * counts). FAIL_LIMIT: topics_max, or a name longer than REDIS_TOPIC_MAX. */
int redis_listener_subscribe(struct redis_listener *l, struct str name, enum redis_topic kind);

/* No push of it comes any more. FAIL_MISSING. */
int redis_listener_unsubscribe(struct redis_listener *l, struct str name, enum redis_topic kind);

enum { REDIS_TOPIC_MAX = 1024 };

uint64_t redis_listener_dropped(const struct redis_listener *l); /* messages over message_max */

#endif
