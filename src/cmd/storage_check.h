/* What `reelay storage check` asks of a bucket, one thing after the other, and the lines
 * that it prints of it. */
#ifndef CMD_STORAGE_CHECK_H
#define CMD_STORAGE_CHECK_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "io/fetch.h"
#include "storage/storage.h"

struct check {
    uv_loop_t loop;
    struct storage *storage;
    struct fetcher *fetcher;
    const char *origin; /* of a page, or "" */
    bool is_azure;
    char folder[64]; /* of its own, below the prefix */
    unsigned failed;
    bool is_done; /* of what is under way */
    int err;
    struct buf why;
    int file;      /* of part_min bytes and a few more */
    uint64_t part; /* bytes of a part that is not the last */
};

/* Begins a question; check_wait ends it: true if it went well. Whatever answers calls
 * check_answer. */
void check_begin(struct check *c);
void check_answer(void *context, int err, const char *why);
/* Prints the line: what was tried, and what must be permitted for it. */
bool check_wait(struct check *c, const char *what, const char *permission_s3,
                const char *permission_azure);
/* "FOLDER/NAME"; the next call overwrites it. */
const char *check_key(struct check *c, const char *name);

/* storage_check_parts.c */
void check_parts(struct check *c);
/* storage_check_urls.c: what a browser does */
void check_urls(struct check *c);
void check_print_rule(const struct check *c, const char *origin);

#endif
