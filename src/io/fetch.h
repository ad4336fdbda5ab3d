/* HTTP requests to others: libcurl's multi interface on a libuv loop, so that any
 * number run at once and none holds the loop up. (A body that is a file's range
 * is read in place: 64 KiB at a time, from what is mostly the page cache. One that is
 * received into a file is written by a worker thread.)
 *
 * Redirects are not followed unless that is asked for: the caller is told where to. A
 * proxy from the environment is used, but never towards this machine itself, nor by a
 * guarded fetcher.
 * All functions: only on the loop's thread. */
#ifndef IO_FETCH_H
#define IO_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/str.h"

struct guard;   /* io/guard.h */
struct fetcher; /* what all requests on one loop share: connections, timers */
struct fetch;   /* one request */

/* `ca_file` holds the certificates to trust and no others count; copied. NULL or "": the
 * system's, or what the environment names in SSL_CERT_FILE and SSL_CERT_DIR. */
struct fetcher *fetcher_new(uv_loop_t *loop, const char *ca_file);

/* One for URLs that strangers name: every connection that it makes is to an address
 * which `guard` (borrowed) admits, redirects included. Connections are never shared
 * with another fetcher's. */
struct fetcher *fetcher_new_guarded(uv_loop_t *loop, const char *ca_file,
                                    const struct guard *guard);

/* Cancels what is still running and frees everything; run the loop until it is
 * empty behind this. Also within a `done`. */
void fetcher_close(struct fetcher *f);

struct fetch_answer {
    int err;         /* OK when there is an HTTP answer, whatever its status:
                      * FAIL_CLOSED  nobody there (no such host, refused)
                      * FAIL_TIMEOUT
                      * FAIL_IO      the connection broke
                      * FAIL_LIMIT   the answer is longer than answer_max or sink_max, its
                      *              heads and trailers have more than a MiB, or redirects
                      *              lead on and on
                      * FAIL_UNTRUSTED  the server's certificate is not to be trusted
                      * FAIL_DENIED  the guard does not admit where it leads
                      * FAIL_FULL    the disk, for a body that goes into a file
                      * FAIL_STATE   the file has become shorter
                      * FAIL_SYNTAX  the URL is none */
    const char *why; /* a clause for people when `err` */
    int status;
    int head_status; /* of the last head that came whole, also with an error behind it; 0: none */
    struct str body;
    const char *location;   /* of a 3xx, or NULL */
    int64_t retry_after_s;  /* what the server asked for, 0 if it did not */
    int64_t length;         /* of the answer's body as announced, -1: it is not */
    const char *url;        /* of the last redirect that was followed, or the request's */
    const uint8_t *md5;     /* 16 bytes, of the file's range sent, or of the body received into a
                             * file; NULL unless has_md5, or where OpenSSL must not */
    const struct fetch *of; /* for fetch_header_of */
};

/* A field of the (last) answer's head, whatever its case, or NULL; borrowed until `done`
 * or `begun` returns. */
const char *fetch_header_of(const struct fetch_answer *answer, const char *name);

struct fetch_header {
    const char *name, *value;
};

struct fetch_request {
    const char *method;                 /* "GET", "POST", "PUT", "DELETE" */
    const char *url;                    /* http or https */
    const char *token;                  /* Authorization: Bearer; may be NULL */
    const char *content_type;           /* of the body; may be NULL */
    struct str body;                    /* copied */
    bool has_file;                      /* instead of `body`: */
    int file;                           /* borrowed until done or cancelled */
    uint64_t offset, length;            /* of the range */
    const struct fetch_header *headers; /* further ones; copied */
    size_t header_count;
    size_t answer_max;      /* bytes of an answer that is kept in memory */
    bool has_sink;          /* the body of a 200 or 206 goes into a file instead: */
    int sink;               /* open for writing; borrowed until done, or until cancelled
                             * and `released` was called */
    uint64_t sink_at;       /* where its first byte goes */
    uint64_t sink_max;      /* FAIL_LIMIT beyond so many bytes; 0: no limit */
    bool has_md5;           /* fetch_answer.md5 is wanted */
    unsigned redirects_max; /* followed (GET and HEAD only, to http and https), with the cookies
                             * that were set on the way; 0: none */
    bool is_range;          /* ask for range_from-range_to (inclusive; UINT64_MAX: to the end) */
    uint64_t range_from, range_to;
    uint64_t timeout_ms; /* for all of it; 0: no limit */
    uint64_t stall_ms;   /* without a byte either way; 0: no limit. Longer behind the end of a
                          * file that is sent, as it may still be on its way */
    /* Runs exactly once unless cancelled, never within fetch_start; the answer
     * is borrowed. The fetch is freed behind it. */
    void (*done)(void *context, const struct fetch_answer *answer);
    /* The answer's head is there (not that of a redirect that is followed), and the first
     * of its body or its end. Not OK ends it with that; not to be cancelled within. May be
     * NULL. */
    int (*begun)(void *context, const struct fetch_answer *answer);
    /* It was cancelled, and the sink is not written to any more; never within
     * fetch_cancel. May be NULL. */
    void (*released)(void *context);
    void *context;
};

/* Copies what it needs. */
struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *request);

/* `done` will not run; frees the fetch. Not within a `begun`, nor within its own `done`. */
void fetch_cancel(struct fetch *fetch);

/* Bytes of the body that have been handed to the connection; bytes of the answer's body
 * that have come (in `done`, whatever its error, all of these are in the sink, unless that
 * is what failed). */
uint64_t fetch_sent(const struct fetch *fetch);
uint64_t fetch_received(const struct fetch *fetch);

/* Whether the URL's host is this machine: localhost and names below it, 127.0.0.0/8, ::1. */
bool fetch_is_local(const char *url);

/* The file that SSL_CERT_FILE names, or NULL. */
const char *fetch_trust_file(void);

/* Whether such a file holds certificates (PEM): FAIL_IO, FAIL_SYNTAX; `why` names it. */
int fetch_check_ca(const char *ca_file, struct buf *why);

#endif
