/* What an open reporter is made of. `lock` guards what stands below it; the
 * thread (sender.c) never holds it while it waits for the network, so neither
 * does a caller. */
#ifndef LIB_REPORTER_H
#define LIB_REPORTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/backlog.h"
#include "lib/wire.h"
#include "proto/redis_url.h"

enum { REPORTER_ERROR_MAX = WIRE_ERROR_MAX, PARCELS_MAX = 64 };

/* A caller waits for a job's status; it lies in the caller's frame. */
struct question {
    uint64_t number;
    char id[JOB_ID_MAX + 1];
    bool is_answered; /* then it is in no list, and code and json are set */
    int code;
    char *json;
    struct question *prev, *next;
};

struct reelay {
    /* Never change after reelay_open. */
    pid_t owner;
    struct redis_url url;
    int timeout_ms;
    char ttl_s[16];
    int interrupt; /* eventfd: wakes the thread */
    pthread_t thread;

    atomic_int socket;     /* the thread's, for a child to close */
    atomic_bool is_ending; /* the thread is to leave everything and go */

    pthread_mutex_t lock;
    pthread_cond_t news; /* something was sent or answered, or an attempt failed */
    struct backlog backlog;
    struct parcel flying[PARCELS_MAX]; /* being sent */
    int flying_count;
    struct question *questions; /* unanswered */
    uint64_t question_number;   /* of the last one */
    int64_t sleeps_until_ms;    /* the thread looks again by itself; 0: it is awake */
    int waiting;                /* callers that wait for Redis */
    int trouble;                /* enum reelay_error of the last attempt */
    int failures;               /* attempts in a row */
    int64_t tried_ms;           /* the last attempt */
    int64_t retry_ms;           /* the next one; 0: at once */
    char error[REPORTER_ERROR_MAX];
};

/* With `lock` held: there is something new, which the thread does not know of. */
void sender_wake(struct reelay *r);

/* The thread, from pthread_create to is_ending. */
void *sender_run(void *reporter);

#endif
