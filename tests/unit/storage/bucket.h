/* A server that takes any number of requests at a time, forgets their bodies and answers
 * what the test says. Each connection has a thread of its own. */
#ifndef UNIT_STORAGE_BUCKET_H
#define UNIT_STORAGE_BUCKET_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { BUCKET_REQUESTS_MAX = 128, BUCKET_LINE_SIZE = 200 };

struct bucket {
    /* On the connection's thread, under the lock: the whole answer, or NULL: a reset. `line`
     * begins the head. */
    const char *(*answer)(struct bucket *b, const char *line);
    size_t gather; /* so many requests must be there before any is answered */
    int listener;
    char url[64];
    pthread_t acceptor, threads[BUCKET_REQUESTS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char lines[BUCKET_REQUESTS_MAX][BUCKET_LINE_SIZE]; /* of requests, as they came */
    size_t count, open, most;                          /* `most`: that were under way at once */
    uint64_t bytes;                                    /* of bodies */
};

void bucket_start(struct bucket *b);
void bucket_stop(struct bucket *b);
/* How many requests began with this. */
size_t bucket_count(struct bucket *b, const char *beginning);

#endif
