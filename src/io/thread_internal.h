/* What the files of io/ share of an I/O thread; nobody else includes it. */
#ifndef IO_THREAD_INTERNAL_H
#define IO_THREAD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/clock.h"
#include "io/thread.h"
#include "io/wheel.h"

enum { IO_BUFFER_SIZE = 64 * 1024 };

/* Something to be done at the end of the tick, when no callback is on the
 * stack. Embedded; queued at most once at a time. */
struct chore {
    struct chore *next;
    void (*run)(struct chore *chore);
    bool is_queued;
};

/* Told when the thread begins to drain, connections behind it. Embedded; stays
 * as long as the thread. */
struct drainer {
    struct drainer *next;
    void (*drain)(struct drainer *drainer);
};

struct acceptor;
struct exchange;

struct io_thread {
    uv_loop_t loop;
    struct io_pool *pool;
    struct hub *hub; /* NULL without a ledger, and when the thread ends */
    struct mailbox *mailbox;
    struct listener listener; /* the ledger's ear of this thread */
    uv_prepare_t prepare;     /* the end of the tick, before the loop sleeps */
    uv_idle_t awake;          /* active while chores wait: the loop must not sleep */
    uv_timer_t timer;
    uint64_t hub_ticked_ms;
    struct wheel wheel;
    struct chore *chores, **chores_end;
    struct drainer *drainers;
    struct acceptor *acceptors;
    struct exchange *exchanges; /* all that are not freed */
    size_t connection_count;    /* refused ones included */
    size_t refused_count;
    unsigned index;
    bool is_draining, is_ending, is_told_end, is_ended;
    bool is_deaf;              /* takes no more mail of other threads; under the pool's mutex */
    uint64_t patience_ends_ms; /* with handlers, once it is ending */
    struct mail drain_mail, end_mail;
    pthread_t id;
    char date[CLOCK_HTTP_SIZE];
    char *buffer; /* what is read, of any connection, for the length of a callback */
};

struct io_pool {
    struct io_timeouts timeouts;
    struct ws_settings ws;
    struct bucket_limit messages;
    struct peers *peers;
    uint32_t connections_max;
    unsigned subscriptions_max; /* 0: the hub's own */
    exchange_handler request;
    void *context;
    void (*thread_end)(void *context, struct io_thread *t); /* or NULL */
    struct io_thread *threads;
    unsigned thread_count, threads_started;
    char **addresses;
    size_t address_count;
    atomic_size_t connections; /* without refused ones */
    atomic_size_t sockets;     /* with them */
    pthread_mutex_t mutex;
    pthread_cond_t all_ended; /* `sockets` has come to 0 */
    bool is_draining;         /* the main thread's */
};

/* One connection more or less. */
void io_thread_count(struct io_thread *t, int change, bool is_counted);

void io_thread_later(struct io_thread *t, struct chore *chore);

/* From one I/O thread to another, which may have ended: false then. Takes the
 * mail if not. */
bool io_thread_post(struct io_thread *t, struct mail *mail);

void io_thread_add_drainer(struct io_thread *t, struct drainer *drainer);

/* thread.c, for pool.c: prepares it, with its ear at the ledger; starts it. */
int io_thread_init(struct io_thread *t, struct io_pool *p, unsigned index, struct ledger *ledger);
int io_thread_start(struct io_thread *t);
/* Of one that never ran. */
void io_thread_deinit(struct io_thread *t);

/* Has it end by itself: listeners close, connections are cut, the loop ends. */
void io_thread_end(struct io_thread *t);

#endif
