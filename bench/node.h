/* What the server is made of between Redis and its viewers, without them: the jobs
 * of src/fleet on a loop, and a ledger whose one listener counts. */
#ifndef BENCH_NODE_H
#define BENCH_NODE_H

#include "broker.h"
#include "receivers.h"

/* Watches {prefix}{place} of `count` jobs. As subscriber_start, a process that
 * receives. */
void node_start(struct receivers *r, const struct broker *b, const char *prefix, unsigned count);

#endif
