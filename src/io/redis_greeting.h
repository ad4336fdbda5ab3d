/* The first words to a Redis, in one go: AUTH, SELECT, CLIENT SETNAME, PING, and
 * what its answers mean. For io/redis_wire only. */
#ifndef IO_REDIS_GREETING_H
#define IO_REDIS_GREETING_H

#include <stdbool.h>

#include "base/buf.h"
#include "io/redis.h"

enum greeting_word { GREET_AUTH, GREET_SELECT, GREET_NAME, GREET_PING };
enum { GREETINGS_MAX = 4 };

struct greeting {
    enum greeting_word words[GREETINGS_MAX];
    unsigned count, answered;
};

void greeting_say(struct greeting *g, const struct redis_url *url, const char *name,
                  struct buf *out);

/* FAIL_SYNTAX: it is no Redis. Any other: it does not let us in; `why` is added
 * to, and never has the password. */
int greeting_answered(struct greeting *g, const struct redis_reply *reply, struct buf *why);

bool greeting_is_over(const struct greeting *g);

#endif
