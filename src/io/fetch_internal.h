/* What fetch.c and ws_client.c share: libcurl handles on one loop. */
#ifndef IO_FETCH_INTERNAL_H
#define IO_FETCH_INTERNAL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "io/fetch.h"

/* Begins every struct that owns an easy handle. */
struct transfer {
    struct fetcher *fetcher;
    struct transfer *previous, *next; /* of the fetcher */
    bool is_listed;
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    char refused[64]; /* the address that the fetcher's gate did not admit, or "" */
    /* libcurl is done with it; on the loop, outside of libcurl's callbacks. */
    void (*finished)(struct transfer *t, CURLcode code);
    void (*cancel)(struct transfer *t);
};

uv_loop_t *fetcher_loop(const struct fetcher *f);

/* Asked before each connection is made, which then goes past any proxy. `host` is the name
 * or address that the URL names. `context` is borrowed. */
void fetcher_set_gate(struct fetcher *f,
                      bool (*admits)(const void *context, const char *host,
                                     const struct sockaddr *to),
                      const void *context);

/* Makes an easy handle with what holds for all; NULL when libcurl cannot. */
CURL *transfer_prepare(struct transfer *t, struct fetcher *f, const char *url);
/* Gives it to the loop. */
void transfer_begin(struct transfer *t);
/* It is about to end by itself: not cancelled any more when the fetcher closes. */
void transfer_leave(struct transfer *t);
/* Takes it away from there and frees the easy handle. */
void transfer_end(struct transfer *t);

/* What became of it: a FAIL_*, and a clause for people. */
int transfer_fail(const struct transfer *t, CURLcode code);
const char *transfer_why(struct transfer *t, CURLcode code);

int fail_from_curl(CURLcode code);

/* fetch_trust.c: who is trusted (`ca_file`: as fetcher_new's, or NULL), and the clause for a
 * certificate that is not. */
void transfer_trust(CURL *easy, const char *ca_file);
const char *transfer_distrust(struct transfer *t);

#endif
