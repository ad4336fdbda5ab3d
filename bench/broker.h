/* A Redis for one measurement: its own process, on a free port of loopback, keeping
 * nothing; and a line to it that reports as a worker does, with many messages under way. */
#ifndef BENCH_BROKER_H
#define BENCH_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct broker {
    pid_t pid;
    uint16_t port;
    char url[64];
    char folder[64];
};

void broker_start(struct broker *b); /* returns when it answers */
void broker_end(struct broker *b);

struct redisContext;

/* Publishes on job_progress:{prefix}{place}, places from 0 to jobs - 1. */
struct reporter {
    struct redisContext *line;
    unsigned jobs;
    unsigned waiting; /* for an answer */
    uint64_t unheard; /* messages that nobody was subscribed to */
};

void reporter_open(struct reporter *r, const struct broker *b, unsigned jobs);
void reporter_close(struct reporter *r);

/* A message of the `jobs` door for one job, sent with the next flush; a final one
 * says that it is completed. */
void reporter_say(struct reporter *r, const char *prefix, unsigned place, uint64_t number,
                  bool is_final);
/* Sends, and reads answers until at most so many are missing. */
void reporter_flush(struct reporter *r, unsigned waiting_max);

#endif
