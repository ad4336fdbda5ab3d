/* The least a program can do that hears jobs through Redis: hiredis, one blocking
 * connection, SUBSCRIBE, count. What everything else is measured by. */
#ifndef BENCH_SUBSCRIBER_H
#define BENCH_SUBSCRIBER_H

#include "broker.h"
#include "receivers.h"

/* Hears job_progress:{prefix}{place} of `count` jobs. It is a process that receives, so
 * receivers_wait_connected, _expect, _wait_reached and _end are for it too. */
void subscriber_start(struct receivers *r, const struct broker *b, const char *prefix,
                      unsigned count);

#endif
