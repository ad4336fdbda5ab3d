/* What the files of redis_service share.
 *
 *   redis_service.c          the whole: open, close, up and down, the timer
 *   redis_service_node.c     one server of it: a link and a listener
 *   redis_service_topics.c   what is wanted, and which node it is heard at
 *   redis_service_errand.c   a command that may be turned away
 *   redis_service_scout.c    how Sentinels, or a cluster, say where things are
 *
 * It is up when it knows where things are, each node that is needed is up, and
 * each topic is confirmed. Nodes go only in the timer's callback or in one of the
 * scout's, so never under somebody's feet; their memory goes later still. */
#ifndef IO_REDIS_SERVICE_INTERNAL_H
#define IO_REDIS_SERVICE_INTERNAL_H

#include <uthash.h>

#include "io/redis_scout.h"
#include "io/redis_service.h"
#include "io/redis_slots.h"

enum service_kind {
    SERVICE_UNKNOWN, /* redis://, before it was asked */
    SERVICE_SERVER,
    SERVICE_SENTINEL,
    SERVICE_CLUSTER,
};

struct service_node {
    struct service_node *prev, *next;
    struct redis_service *service;
    struct redis_url url;
    struct redis *link;
    struct redis_listener *listener; /* NULL: nothing is to be heard here */
    bool is_needed;                  /* up waits for it; else it was named by an ASK */
    bool is_primary;                 /* behind Sentinels: it has said so */
    bool is_gone;                    /* in a grave */
    uint64_t used_ms;
};

struct service_topic {
    UT_hash_handle hh;
    enum redis_topic kind;
    bool is_heard; /* confirmed */
    uint16_t slot;
    struct service_node *at; /* NULL: nobody knows where, or there is no room */
    struct str name;         /* the bytes lie behind the struct */
};

struct errand;

struct redis_service {
    uv_loop_t *loop;
    struct redis_url url;
    struct redis_settings settings;
    const struct redis_service_events *events;
    void *context;
    enum service_kind kind;
    struct service_node *nodes, *graves;
    size_t node_count;
    struct service_node *ear;        /* where plain channels and patterns are heard */
    struct service_node **slots;     /* of a cluster; NULL: not one */
    struct service_topic *topics[2]; /* tables: of channels, of patterns */
    size_t topic_count, unheard, homeless;
    struct errand *parked;            /* turned away: to be sent again */
    size_t errand_count, errand_size; /* of all */
    struct scout *scout;              /* NULL: nobody is to be asked any more */
    bool is_asking;
    unsigned asked;    /* since it was up */
    uint64_t asked_ms; /* the last time */
    uint64_t ask_ms;   /* the next time */
    uint64_t dropped;  /* messages, of listeners that are gone */
    bool is_up;
    bool is_told_down; /* since it was up, or ever */
    bool is_over;
    uv_timer_t timer;
    uint64_t armed_ms; /* UINT64_MAX: not */
};

/* redis_service.c. After any of these it may be over. */
void service_down(struct redis_service *s, const struct redis_down *down);
void service_check_up(struct redis_service *s);
void service_wake(struct redis_service *s, uint64_t at_ms); /* the timer, at the latest */

/* redis_service_node.c. One is made if there is none; NULL: there are too many.
 * `host` NULL: at the unix socket. */
struct service_node *node_at(struct redis_service *s, const char *host, uint16_t port);
struct service_node *node_find(struct redis_service *s, struct str host, uint16_t port);
bool node_takes(const struct service_node *node); /* commands; NULL: no */
bool node_is_up(const struct service_node *node);
void node_listen(struct service_node *node); /* unless it does */
void node_drop(struct service_node *node);   /* commands fail within */
void nodes_bury(struct redis_service *s);

/* redis_service_topics.c */
void topics_place(struct redis_service *s); /* each where it belongs by now */
void topics_lost(struct redis_service *s, const struct service_node *node);
void topics_free(struct redis_service *s);
void topics_heard(struct service_node *node, struct str name, enum redis_topic kind);
void topics_refused(struct service_node *node, struct str name, enum redis_topic kind,
                    const char *why);
void topics_moved(struct service_node *node, struct str name);

/* redis_service_errand.c */
void errands_kick(struct redis_service *s); /* something changed: try at once */
void errands_tick(struct redis_service *s);
void errands_cancel(struct redis_service *s);

/* redis_service_scout.c */
void scouting_begin(struct redis_service *s);
void scouting_end(struct redis_service *s);
void scouting_ask(struct redis_service *s, uint32_t delay_ms); /* what it knows may be old */
void scouting_tick(struct redis_service *s);
void scouting_check(struct service_node *node); /* it is up: is it the primary? */

#endif
