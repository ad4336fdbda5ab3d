/* What the process counts about itself, for GET /metrics: one table of numbers
 * and what they are called there. Adding is one relaxed atomic on a line of the
 * cache that is the calling thread's own, so it costs next to nothing and may
 * be done anywhere; a sum that is read meanwhile is no snapshot.
 *
 * To add one: a line in enum counter and a row in counters.c. */
#ifndef CORE_COUNTERS_H
#define CORE_COUNTERS_H

#include <stdint.h>

#include "base/buf.h"
#include "core/dialect.h"

enum { CLOSE_CODES = 12 }; /* that are told apart, "other" among them */

enum counter {
    /* Now, so up and down */
    COUNT_OPEN_HTTP,
    COUNT_OPEN_WEBSOCKET,
    COUNT_SESSIONS, /* + the dialect's index */
    COUNT_SESSIONS_LAST = COUNT_SESSIONS + DIALECTS_MAX - 1,

    /* Since the start */
    COUNT_OPENED_HTTP,
    COUNT_OPENED_WEBSOCKET,

    COUNT_LIMITED_CONNECTIONS,
    COUNT_LIMITED_ADDRESS,
    COUNT_LIMITED_MESSAGES,
    COUNT_LIMITED_SUBSCRIPTIONS,
    COUNT_LIMITED_MESSAGE_SIZE,
    COUNT_LIMITED_HANDSHAKE_TIME,
    COUNT_LIMITED_BODY_TIME,
    COUNT_LIMITED_WRITE_TIME,
    COUNT_LIMITED_IDLE_TIME,
    COUNT_LIMITED_WS_TIME,
    COUNT_LIMITED_HEAD_SIZE,
    COUNT_LIMITED_BODY_SIZE,
    COUNT_LIMITED_REPLIES,

    COUNT_ANSWERS, /* 2xx and up to 5xx */
    COUNT_ANSWERS_LAST = COUNT_ANSWERS + 3,
    COUNT_SERVER_CLOSES,
    COUNT_SERVER_CLOSES_LAST = COUNT_SERVER_CLOSES + CLOSE_CODES - 1,
    COUNT_CLIENT_CLOSES,
    COUNT_CLIENT_CLOSES_LAST = COUNT_CLIENT_CLOSES + CLOSE_CODES - 1,
    COUNT_LOST_WEBSOCKETS,

    COUNT_UPDATES,
    COUNT_ENDED, /* + the state's distance from JOB_COMPLETED */
    COUNT_ENDED_LAST = COUNT_ENDED + JOB_CANCELLED - JOB_COMPLETED,
    COUNT_DOWNLOADS_ENDED, /* likewise; those of them that are downloads */
    COUNT_DOWNLOADS_ENDED_LAST = COUNT_DOWNLOADS_ENDED + JOB_CANCELLED - JOB_COMPLETED,
    COUNT_DELIVERIES,
    COUNT_FOREIGN,         /* messages of foreign reporters that were taken */
    COUNT_FOREIGN_DROPPED, /* and those that were not */

    COUNT_UPLOADED_CHUNKS, /* bytes that came, also what was refused then */
    COUNT_UPLOADED_RPC,
    COUNT_UPLOADED_TUS,
    COUNT_DOWNLOADED,       /* bytes */
    COUNT_STORAGE_GOOD,     /* requests to a bucket; also that something is not there */
    COUNT_STORAGE_REPEATED, /* that failed and were made again */
    COUNT_STORAGE_FAILED,   /* for good */
    COUNT_STORAGE_SENT,     /* bytes of objects */
    COUNT_STORAGE_RECEIVED,
    COUNT_WEBHOOKS_DELIVERED, /* attempts */
    COUNT_WEBHOOKS_FAILED,    /* and are made again */
    COUNT_WEBHOOKS_GIVEN_UP,
    COUNTERS,
};

void counter_add(enum counter which, int64_t change);
int64_t counter_sum(enum counter which);

/* A Close frame with this code (0: none) begins the end of a WebSocket;
 * `closes` is COUNT_SERVER_CLOSES or COUNT_CLIENT_CLOSES: who said it first. */
void counter_close(enum counter closes, uint16_t code);

/* A session more or less. The dialect's name is borrowed for good. */
void counter_session(const struct dialect *dialect, int change);

/* All of them in the Prometheus text format, version 0.0.4. */
void counters_write(struct buf *out);

/* What stands before a family's samples, for numbers that are kept elsewhere. */
void counter_head(struct buf *out, const char *name, const char *type, const char *help);

#endif
