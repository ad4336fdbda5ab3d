/* Private to hub.c and session.c: a job as one I/O thread knows it, and who
 * listens to it. */
#ifndef CORE_TOPIC_H
#define CORE_TOPIC_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "core/hub.h"

/* What one tick brings, in order. Each topic's part of it is a chain. */
struct hub_entry {
    struct update *update; /* one reference */
    uint64_t count;        /* hub->published after it */
    int next;              /* the same topic's next entry, or -1 */
};

/* At this many a tick is flushed in the middle. */
enum { HUB_LOG_MAX = 1024 };

struct topic {
    UT_hash_handle hh;
    struct subscription *subscriptions;
    struct update *latest;     /* the last that came by mail, one reference, or NULL */
    struct update *start;      /* the last that began an attempt, one reference, or NULL */
    uint64_t changed;          /* hub->published when `latest` came */
    struct topic *prev, *next; /* by `changed`, oldest first */
    struct topic *next_dirty;
    int first_entry, last_entry; /* in the hub's log of this tick, or -1 */
    bool is_watched;             /* the ledger was asked for this job */
    char id[];
};

struct subscription {
    struct topic *topic;
    struct session *session;
    struct subscription *prev, *next;                 /* in the topic */
    struct subscription *session_prev, *session_next; /* in the session */
    struct update *present; /* what the ledger knew when it began, until sent; or NULL */
    uint64_t seq;           /* of the last update it was sent or spared */
    bool is_behind;         /* its present is due, whatever the session's other jobs get */
};

struct hub {
    struct ledger *ledger;
    unsigned index;
    struct topic *topics; /* by id */
    struct topic *recent; /* by `changed`, oldest first */
    struct topic *dirty_topics;
    struct session *sessions;
    struct session *all_sessions;
    struct session *dirty_sessions;
    size_t session_count;
    unsigned subscriptions_max; /* of one session */
    uint64_t published;         /* counts hub_publish */
    uint64_t now_ms;            /* monotonic, as of this flush */
    int log_count;
    struct hub_entry log[HUB_LOG_MAX];
};

/* Sends what this tick brought, or the present if the session is behind. */
void session_flush(struct session *s);

/* session_flush will be called at the end of the tick. */
void hub_mark_dirty(struct hub *h, struct session *s);

void hub_join(struct hub *h, struct session *s);
void hub_leave(struct hub *h, struct session *s);
void hub_drop_subscription(struct hub *h, struct subscription *sub);

#endif
