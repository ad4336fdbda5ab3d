/* One Redis, however it is deployed: a single server, a primary behind
 * Sentinels, or a cluster. What the owner sees is the same: commands that go to
 * whoever has the key, and topics that are heard again after every failover.
 * Connections, scripts and listeners underneath are io/redis.h's.
 *
 * Only on the loop's thread. No event or `done` runs within the call that causes
 * it, but those that redis_service_close says. */
#ifndef IO_REDIS_SERVICE_H
#define IO_REDIS_SERVICE_H

#include "io/redis.h"

/* The last three may be NULL. */
struct redis_service_events {
    /* Both ways work: commands are taken, and every topic that was asked for is
     * confirmed (a cluster: at each node that has one). */
    void (*up)(void *context);
    /* They do not, all of them; `down` is of the first trouble. Comes once, then
     * `up` once. */
    void (*down)(void *context, const struct redis_down *down);
    /* The service has confirmed a topic: the first time, and again whenever the
     * connection it is heard on is a new one. What is read from now on and what
     * is pushed from now on leave no gap; what was published before may have been
     * missed. After a reconnect all of these come before `up`: until then a command
     * may still fail. A slot of a cluster that moves takes its shard channels along,
     * without `down`. */
    void (*heard)(void *context, struct str name, enum redis_topic kind);
    void (*push)(void *context, const struct redis_push *push); /* borrowed */
    /* It refused (-NOPERM), and will not be asked again. */
    void (*refused)(void *context, struct str name, enum redis_topic kind, const char *why);
    /* A message over message_max, which is not kept. May be NULL. */
    void (*dropped)(void *context, struct str channel);
};

struct redis_service;

/* That Sentinels are to be asked is in the URL, whose login is the primary's, and a
 * Sentinel's if it asks for one. Whether redis:// is a server or a cluster is found
 * out from it. Settings are for each connection; topics_max and commands_max are for
 * all of them, too. Copies url and settings (NULL: the default ones), borrows
 * `events`. */
struct redis_service *redis_service_open(uv_loop_t *loop, const struct redis_url *url,
                                         const struct redis_settings *settings,
                                         const struct redis_service_events *events, void *context);

/* As redis_close. */
void redis_service_close(struct redis_service *s);

bool redis_service_is_up(const struct redis_service *s);

/* Known since the first `up`: channels of this service are sharded, and keys of
 * one command must be of one slot. Of a cluster, at most 256 nodes are spoken to. */
bool redis_service_is_cluster(const struct redis_service *s);

/* As redis_command. `key` (borrowed for the call) says which node of a cluster; an
 * empty one: any. Behind Sentinels and in a cluster, a command that was turned away
 * (READONLY, LOADING, MASTERDOWN; MOVED, ASK, TRYAGAIN, CLUSTERDOWN) was not done. It
 * is sent again, now or in a while, perhaps behind later ones; once `timeout_ms`
 * (0: the settings') is over it fails with FAIL_STATE and what was said last. */
int redis_service_command(struct redis_service *s, struct str key, const struct str *args,
                          size_t count, uint32_t timeout_ms, redis_done *done, void *context);

/* As redis_script_run; the first of the keys says which node. */
int redis_service_run(struct redis_service *s, const struct redis_script *script, size_t keys,
                      const struct str *args, size_t count, redis_done *done, void *context);

/* As redis_listener_subscribe and _unsubscribe: also while it is down. A name is
 * a channel or a shard's, not both at a time (FAIL_EXISTS). The memory of `name`
 * in `heard` and `refused` is borrowed. */
int redis_service_subscribe(struct redis_service *s, struct str name, enum redis_topic kind);
int redis_service_unsubscribe(struct redis_service *s, struct str name, enum redis_topic kind);

uint64_t redis_service_dropped(const struct redis_service *s); /* messages over message_max */

#endif
