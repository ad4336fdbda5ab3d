/* The way through a list that comes in pages: notices that it has no end, be it that pages
 * come round again or that there are ever new ones. Of a list begin with one that is zeroed. */
#ifndef STORAGE_HTTP_PAGES_H
#define STORAGE_HTTP_PAGES_H

#include <stdint.h>

/* A hundred million objects of S3: none of our prefixes has so many. */
enum { HTTP_PAGES_MAX = 100 * 1000 };

struct http_pages {
    char *mark; /* where an earlier page began */
    uint32_t count;
};

/* `after`: where the next page is to begin. FAIL_SYNTAX: it is not worth to be asked for, and
 * `why` (static) says so. */
int http_pages_turn(struct http_pages *p, const char *after, const char **why);
void http_pages_deinit(struct http_pages *p);

#endif
