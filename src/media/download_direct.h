/* What a download by URL is made of, for its three files. */
#ifndef MEDIA_DOWNLOAD_DIRECT_H
#define MEDIA_DOWNLOAD_DIRECT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "io/fetch.h"
#include "media/downloads.h"
#include "media/task.h"

enum {
    DIRECT_VALIDATOR_MAX = 256,
    DIRECT_FROM_MAX = 1024,
};

/* What came of work on a worker thread. */
struct verdict {
    int err;
    bool is_page;
    bool is_early;   /* there is too little to say anything yet */
    const char *why; /* static */
};

struct direct {
    struct media_task task; /* first */
    struct download_request r;
    bool *is_page;
    char *part, *from, *path;
    int file;
    struct fetch *fetch; /* running, or NULL */
    uint64_t counted;    /* of its bytes, in COUNT_DOWNLOADED */
    uv_timer_t tick, retry;
    unsigned timers; /* not closed yet */
    uint64_t deadline_ms;
    uint64_t offset; /* of the running request's first byte */
    uint64_t high;   /* bytes, as shown: never less */
    double fraction; /* the same */
    uint64_t roomed; /* bytes that there is room for */
    int64_t total;   /* -1: not known */
    uint64_t had;    /* before the last request */
    unsigned tries, anew;
    char validator[DIRECT_VALIDATOR_MAX]; /* for If-Range; "": begin anew */
    char saving[DIRECT_FROM_MAX];         /* a worker thread's, while it writes that down */
    bool has_begun;                       /* the last request has brought an answer's head */
    bool has_body;                        /* ... and what of the file is behind it */
    bool has_told, is_sniffed, is_saving, is_over, has_ended, must_begin_anew;
    unsigned busy;                    /* what is waited for: worker threads, a cancelled request */
    unsigned sniffed_of;              /* `anew` when the sniffing began */
    struct verdict sniffing, storing; /* each of one worker thread */
    int err;
    struct buf why;
};

/* download_direct.c */

/* Asks for what is missing. */
void direct_ask(struct direct *d);
/* Whatever runs is given up; the first reason counts. */
void direct_end(struct direct *d, int err, const char *why);
/* Ends it for what the bytes are. */
void direct_refuse(struct direct *d, const struct verdict *v);
/* What it is, by its first bytes; early: if the file has less than `least`. On a worker
 * thread. */
void direct_sniff(const struct direct *d, size_t least, struct verdict *out);
/* What the running request has brought. */
void direct_count(struct direct *d);
int direct_make_room(struct direct *d, uint64_t bytes);
void direct_tell(struct direct *d, uint64_t now);
/* Work on a worker thread; `done` begins with direct_come_back: true: it has ended
 * meanwhile. */
void direct_hand_over(struct direct *d, void (*work)(void *), void (*done)(void *));
bool direct_come_back(struct direct *d);

/* An answer's head, and what is kept of it for the next start (download_head.c) */

int direct_begun(void *context, const struct fetch_answer *a);
void direct_load(struct direct *d);

/* An answer's end (download_end.c) */

void direct_answered(void *context, const struct fetch_answer *a);
/* Nothing more may come: it is there as a whole, or it is too large. */
void direct_stop_asking(struct direct *d);
/* Work, and what follows it: from the first byte. */
void direct_truncate(void *context);
void direct_go_on(void *context);

#endif
