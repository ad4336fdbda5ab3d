/* The interface of a door's dialect: it turns a job's state into its client's
 * words and reads that client's few messages. It knows nothing of sockets,
 * storage or threads, and keeps no state: what differs between two clients is
 * in their struct session.
 *
 * To add one: a file in src/dialect/, a row in its table. */
#ifndef CORE_DIALECT_H
#define CORE_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "core/limits.h"
#include "core/update.h"

/* Messages being written: one after the other, a newline behind each, and where
 * each ends. */
enum { WORDS_MESSAGES_MAX = 4 };

struct words {
    struct buf bytes;
    size_t ends[WORDS_MESSAGES_MAX];
    unsigned count;
};

void words_init(struct words *w);
void words_deinit(struct words *w);
void words_reset(struct words *w);
void words_end(struct words *w); /* the bytes since the last end are a message */

/* What a client's message asks for. */
enum request_kind {
    REQUEST_NOTHING,
    REQUEST_SUBSCRIBE,   /* to `job` */
    REQUEST_UNSUBSCRIBE, /* from `job` */
};

struct request {
    enum request_kind kind;
    char job[JOB_ID_MAX + 1]; /* a valid id */
};

struct dialect {
    const char *name;
    unsigned index;        /* place in the rendering cache; unique, below DIALECTS_MAX */
    bool hears_all;        /* subscribes to every job its viewer may see */
    bool tells_starts;     /* who falls behind is still told that a job began */
    bool ends_with_job;    /* a session is closed when its job's final state was sent */
    uint32_t keepalive_ms; /* silence after which `keepalive` speaks; 0: never */

    /* The first message after the handshake. `job` is the one in the path, or
     * "" at a door without one. May be NULL. */
    void (*greet)(const char *job, struct words *out);

    /* The state, as messages; possibly none. Called once per update, not once
     * per client. */
    void (*render)(const struct update *u, struct words *out);

    /* A text message from the client: answers go to `out`, what it asks for to
     * `request`. May be NULL: messages are ignored. */
    void (*receive)(struct str message, struct words *out, struct request *request);

    /* What is said after keepalive_ms of silence. NULL if keepalive_ms is 0. */
    void (*keepalive)(const char *job, struct words *out);
};

enum { DIALECTS_MAX = 8 };

#endif
