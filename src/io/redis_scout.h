/* A link to one of several servers who know where things are: Sentinels, or the
 * nodes of a cluster. When it is of no use, the next place is tried, round and
 * round; after a whole round in vain it waits as a redis does. For
 * io/redis_service only. */
#ifndef IO_REDIS_SCOUT_H
#define IO_REDIS_SCOUT_H

#include "io/redis.h"

struct scout;

/* None comes within a call of the scout's. Any may close it. */
struct scout_events {
    void (*up)(void *context); /* it can be asked, and is heard if there is a channel */
    void (*down)(void *context, const struct redis_down *down); /* a place was of no use */
    void (*push)(void *context, const struct redis_push *push);
};

/* `url` is where to begin and how to log in; `channel` (static) is subscribed to,
 * or NULL. `is_shy`: a password is shown only where one is asked for. */
struct scout *scout_open(uv_loop_t *loop, const struct redis_url *url,
                         const struct redis_settings *settings, const char *channel, bool is_shy,
                         const struct scout_events *events, void *context);
void scout_close(struct scout *scout); /* as redis_close */

/* The places from now on, from the next one that is tried; the first ones stay
 * among them. */
void scout_set_places(struct scout *scout, const struct redis_host *hosts, size_t count);

/* Where it is, or tries to be. */
const struct redis_host *scout_place(const struct scout *scout);

bool scout_is_up(const struct scout *scout);

/* As redis_command. */
int scout_ask(struct scout *scout, const struct str *args, size_t count, redis_done *done,
              void *context);

/* This one is of no use, or it was. No `down` comes of it. */
void scout_leave(struct scout *scout);
void scout_stay(struct scout *scout);

#endif
