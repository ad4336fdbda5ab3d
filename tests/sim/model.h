/* A model of one Redis server: the commands that Reelay uses and its scripts, on
 * memory and a clock that are the test's. What it says is what Redis says, which
 * differential.c compares with a real one.
 *
 * No networks, no blocking, no cluster: a command is a call that is answered. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "io/redis_reply.h"

struct model;

/* A message was published, also by a script; returns how many heard it. */
typedef int64_t model_published(void *context, struct str channel, struct str message);

struct model *model_new(void);
void model_free(struct model *m); /* NULL is fine */

/* Another with the same keys: what a server has that read them from a disk. */
struct model *model_copy(const struct model *m);

void model_listen(struct model *m, model_published *published, void *context);

/* Its clock, microseconds since 1970. */
void model_set_time(struct model *m, int64_t wall_us);

/* Gives the answer: redis_reply_free. */
struct redis_reply *model_run(struct model *m, const struct str *args, size_t count);

/* The keys that there are, in no order. */
typedef void model_each(void *context, struct str key, bool has_ttl);
void model_keys(struct model *m, model_each *each, void *context);
size_t model_size(struct model *m);

#endif
