/* HTTP requests to others: libcurl's multi interface on a libuv loop, so that any
 * number run at once and none holds the loop up. (A body that is a file's range
 * is read in place: 64 KiB at a time, from what is mostly the page cache.)
 *
 * Redirects are not followed: the caller is told where to. A proxy from the
 * environment is used, but never towards this machine itself.
 * All functions: only on the loop's thread. */
#ifndef IO_FETCH_H
#define IO_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/str.h"

struct fetcher; /* what all requests on one loop share: connections, timers */
struct fetch;   /* one request */

/* `ca_file` (NULL: the system's) holds the certificates to trust; copied. */
struct fetcher *fetcher_new(uv_loop_t *loop, const char *ca_file);

/* Cancels what is still running and frees everything; run the loop until it is
 * empty behind this. */
void fetcher_close(struct fetcher *f);

struct fetch_answer {
    int err;         /* OK when there is an HTTP answer, whatever its status:
                      * FAIL_CLOSED  nobody there (no such host, refused)
                      * FAIL_TIMEOUT
                      * FAIL_IO      the connection broke
                      * FAIL_LIMIT   the answer is longer than answer_max
                      * FAIL_DENIED  the server's certificate is not to be trusted
                      * FAIL_STATE   the file has become shorter
                      * FAIL_SYNTAX  the URL is none */
    const char *why; /* a clause for people when `err` */
    int status;
    struct str body;
    const char *location;  /* of a 3xx, or NULL */
    int64_t retry_after_s; /* what the server asked for, 0 if it did not */
};

struct fetch_request {
    const char *method;       /* "GET", "POST", "PUT", "DELETE" */
    const char *url;          /* http or https */
    const char *token;        /* Authorization: Bearer; may be NULL */
    const char *content_type; /* of the body; may be NULL */
    struct str body;          /* copied */
    bool has_file;            /* instead of `body`: */
    int file;                 /* borrowed until done or cancelled */
    uint64_t offset, length;  /* of the range */
    size_t answer_max;
    uint64_t timeout_ms; /* for all of it; 0: no limit */
    uint64_t stall_ms;   /* without a byte either way; 0: no limit */
    /* Runs exactly once unless cancelled, never within fetch_start; the answer
     * is borrowed. The fetch is freed behind it. */
    void (*done)(void *context, const struct fetch_answer *answer);
    void *context;
};

/* Copies what it needs. */
struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *request);

/* `done` will not run; frees the fetch. */
void fetch_cancel(struct fetch *fetch);

/* Bytes of the body that have been handed to the connection. */
uint64_t fetch_sent(const struct fetch *fetch);

/* Whether the URL's host is this machine: localhost, 127.0.0.0/8, ::1. */
bool fetch_is_local(const char *url);

#endif
