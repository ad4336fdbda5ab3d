/* One request of a storage behind HTTP, for http_call.c (its life) and http_attempt.c (one
 * try of it). */
#ifndef STORAGE_HTTP_CALL_H
#define STORAGE_HTTP_CALL_H

#include "storage/http_internal.h"

enum call_state { CALL_WAITING, CALL_RUNNING, CALL_SLEEPING, CALL_OVER };

struct http_call {
    struct http_call *prev, *next; /* of the list that `state` names */
    struct http_storage *h;
    enum call_state state;
    struct http_call_settings s; /* its ask's strings are copies */
    struct fetch *fetch;         /* while it runs */
    struct http_result result;
    uint64_t due_ms;     /* when it sleeps no more; in a hurry: when it is given up */
    uint64_t failing_ms; /* since when it has failed without getting further; 0: it has not */
    unsigned failures;
    unsigned unread; /* answers that were good, and not to be understood */
    bool has_mended_clock, has_other_bytes;
    const char *amiss;      /* static; with what has begun to come, or NULL */
    bool is_filling;        /* what comes is the object, and goes into the sink */
    uint64_t said, said_ms; /* to `moved` */
    /* Of a GET into a file: */
    uint64_t got;              /* in the file, from all attempts that are over */
    char etag[HTTP_ETAG_SIZE]; /* of the version that it is */
};

/* Begins one, signed for now; `done` and `released` are the fetch's. OK and no c->fetch: there
 * is nothing to ask. FAIL_LIMIT, FAIL_UNSUPPORTED, FAIL_MISSING. */
int http_attempt(struct http_call *c, void (*done)(void *context, const struct fetch_answer *),
                 void (*released)(void *context));

/* What its answer means; `had` bytes were in the file before. A good one is read into
 * c->result. */
void http_attempt_judge(struct http_call *c, const struct fetch_answer *answer, uint64_t had,
                        struct http_verdict *out);

#endif
