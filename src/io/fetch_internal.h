/* What fetch.c and ws_client.c share: libcurl handles on one loop. */
#ifndef IO_FETCH_INTERNAL_H
#define IO_FETCH_INTERNAL_H

#include <curl/curl.h>

#include "io/fetch.h"

/* Begins every struct that owns an easy handle. */
struct transfer {
    struct fetcher *fetcher;
    struct transfer *previous, *next; /* of the fetcher */
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    /* libcurl is done with it; on the loop, outside of libcurl's callbacks. */
    void (*finished)(struct transfer *t, CURLcode code);
    void (*cancel)(struct transfer *t);
};

uv_loop_t *fetcher_loop(const struct fetcher *f);

/* Makes an easy handle with what holds for all; NULL when libcurl cannot. */
CURL *transfer_prepare(struct transfer *t, struct fetcher *f, const char *url);
/* Gives it to the loop. */
void transfer_begin(struct transfer *t);
/* Takes it away from there and frees the easy handle. */
void transfer_end(struct transfer *t);

/* A clause for people: what became of it. */
const char *transfer_why(const struct transfer *t, CURLcode code);

int fail_from_curl(CURLcode code);

#endif
