/* The I/O threads: each has a loop, a mailbox, a hub, SO_REUSEPORT listeners
 * and its own connections. A connection lives and dies on one thread, unless
 * exchange_move takes it to another between two requests. */
#ifndef IO_THREAD_H
#define IO_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/bucket.h"
#include "base/buf.h"
#include "core/hub.h"
#include "core/ledger.h"
#include "io/exchange.h"
#include "io/mailbox.h"
#include "io/peers.h"

struct io_thread;
struct io_pool;

/* All in milliseconds; the wheel's tick bounds how late they come. */
struct io_timeouts {
    uint32_t head, body, idle, write;
    uint32_t ws_ping, ws_dead, ws_close;
    uint32_t tick;
};
extern const struct io_timeouts io_timeouts_default; /* those of core/limits.h */

struct io_settings {
    unsigned threads;            /* 1 to LEDGER_LISTENERS_MAX */
    uint32_t connections_max;    /* over all threads; a further one is answered 503 */
    struct peers_settings peers; /* and of one address: 429 */
    struct ws_settings ws;
    struct bucket_limit messages; /* and Pings, of one WebSocket: 1008; zeroed: any number */
    unsigned subscriptions_max;   /* of one session; 0: the hub's own */
    const char *const *addresses; /* "127.0.0.1:3001", "[::1]:0", "0.0.0.0:80" */
    size_t address_count;
    const struct io_timeouts *timeouts; /* NULL: io_timeouts_default */
    /* Runs on each thread when its last connection has ended, before its hub is
     * freed: sessions that outlive connections (polling) end here. May be NULL. */
    void (*thread_end)(void *context, struct io_thread *t);
};

/* Binds every address once per thread (port 0: all threads share the one that
 * the kernel chose) and starts the threads. `why` names the address that could
 * not be had. `request` runs on the I/O threads. `ledger` is borrowed; NULL:
 * the threads have no hub (an echo server). The process ignores SIGPIPE from
 * then on. */
int io_pool_start(const struct io_settings *settings, struct ledger *ledger,
                  exchange_handler request, void *context, struct io_pool **out, struct buf *why);

/* The address as bound, with its real port; valid while the pool lives. */
const char *io_pool_address(const struct io_pool *p, size_t index);

/* Draining: listeners close, idle connections too, requests under way are
 * finished, WebSockets get Close 1001. Returns at once. */
void io_pool_drain(struct io_pool *p);

/* Waits for all connections to end, at most `timeout_ms`, cuts the rest, joins
 * the threads, frees. Blocks: only from the main thread, after its loop. */
void io_pool_stop(struct io_pool *p, uint32_t timeout_ms);

size_t io_pool_connections(const struct io_pool *p); /* any thread */

/* Of the thread that this is called on, or that x lives on. */
struct mailbox *io_thread_mailbox(struct io_thread *t);
uv_loop_t *io_thread_loop(struct io_thread *t);
struct hub *io_thread_hub(struct io_thread *t);

/* One more message of a client whose bucket this is. False, and it is counted:
 * too many, close with WS_CLOSE_POLICY. A WebSocket's messages and Pings are
 * taken by its link; this is for who brings messages in another way. */
bool io_thread_take(struct io_thread *t, struct bucket *bucket);

/* Runs `work` on a worker thread and then `done` back on the loop: for calls
 * that block. Only on the loop's thread. */
void io_offload(uv_loop_t *loop, void (*work)(void *context), void (*done)(void *context),
                void *context);

#endif
