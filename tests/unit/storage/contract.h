/* What storage.h promises, asked of any driver. A program for each driver names what is
 * special to it and runs contract_run; the cases are the same for all. */
#ifndef TESTS_STORAGE_CONTRACT_H
#define TESTS_STORAGE_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "storage/storage.h"

struct contract_driver {
    const char *provider;
    const char *server;  /* a program below tests/support, or NULL: a folder */
    const char *options; /* one word for it, or NULL */
    const char *style;   /* another */
    bool uses_sas;       /* a token from the environment instead of a key in the URL */
    bool has_urls, has_object_urls;
    bool has_no_uploads;      /* multipart uploads are nothing until they are completed */
    bool has_no_object_below; /* never "a" and "a/b" */
    unsigned crowd;           /* more objects than are on one page of a list */
};

int contract_run(const struct contract_driver *driver);

/* A storage with a loop to itself. */
struct place {
    uv_loop_t loop;
    struct storage *s;
    struct place *outer;
};

/* Of the program: one server, and one storage for most cases. */
struct contract {
    const struct contract_driver *driver;
    struct place *place; /* where all is done that follows */
    struct place first;
    char folder[64]; /* of our own; the server has another */
    char *url, *wrong, *missing, *nobody;
    char *token, *wrong_token, *missing_token; /* in the environment; or NULL */
    pid_t pid;
    int hold; /* closed, the server ends */
};
extern struct contract contract;

int contract_setup(void **state);
int contract_teardown(void **state);
/* Ends like a case does: nothing is left below its prefix. */
int contract_case_end(void **state);

/* Opens it; what follows is done there until it is left. */
void place_enter(struct place *p, const char *url, uint32_t patience_ms);
/* Closes it, runs the loop until nothing is left of it, and sees that nothing is. */
void place_leave(void);

/* What was heard of an operation. */
enum { PARTS_KEPT = 16 };
struct outcome {
    unsigned ended; /* how often */
    int err;
    char why[256];
    uint64_t bytes, moved;
    uint64_t size;
    int64_t modified_s;
    char etag[128], id[STORAGE_UPLOAD_ID_MAX + 1];
    struct storage_part parts[PARTS_KEPT];
    size_t part_count;
    struct buf body;   /* of a read; of a list: a key a line */
    unsigned rows_max; /* of a list: ends it; 0: all */
    unsigned rows;
};
void outcome_init(struct outcome *o);
void outcome_deinit(struct outcome *o);
/* The callbacks; `context` is a struct outcome. */
void on_done(void *context, int err, const char *why);
void on_got(void *context, int err, const char *why, uint64_t bytes);
void on_body(void *context, int err, const char *why, struct str body);
void on_head(void *context, int err, const char *why, const struct storage_object *object);
void on_begun(void *context, int err, const char *why, const char *id);
void on_parts(void *context, int err, const char *why, const struct storage_part *parts,
              size_t count);
void on_moved(void *context, uint64_t bytes);
bool on_object(void *context, const struct storage_object *object);
bool on_pending(void *context, const struct storage_pending *pending);

/* Runs the loop until it has ended, exactly once; gives its error. */
int settle(struct outcome *o);
/* Of many. */
void settle_all(struct outcome *all, size_t count);

/* The same, waited for; each gives the error. */
int put_text(const char *key, const char *text);
int put_range(const char *key, int file, uint64_t offset, uint64_t length);
int get_range(const char *key, uint64_t offset, uint64_t length, int file, uint64_t at,
              uint64_t *bytes);
int head(const char *key, struct outcome *o);
int remove_key(const char *key);
int remove_below(const char *prefix);
/* The keys below it, a line each. */
int list_keys(const char *prefix, struct buf *out);
int begin(const char *key, char id[STORAGE_UPLOAD_ID_MAX + 1]);
int put_part(const char *key, const char *id, uint32_t number, int file, uint64_t offset,
             uint64_t length);
int copy_object(const char *key, const char *from);
int copy_part(const char *key, const char *id, uint32_t number, const char *from);
int list_parts(const char *key, const char *id, struct outcome *o);
int complete(const char *key, const char *id, const struct storage_part *parts, size_t count);
int abort_upload(const char *key, const char *id);
void expect_text(const char *key, const char *text);

/* A file without a name: bytes by chance from a seed; or empty. */
int file_of(uint64_t size, uint64_t seed);
int file_empty(void);
/* Whether a range of one is that of another. */
void expect_same(int a, uint64_t a_at, int b, uint64_t b_at, uint64_t length);
/* The object is what a file has there. */
void expect_object(const char *key, int file, uint64_t offset, uint64_t length);

/* A plain HTTP client; gives the status. `body` (may be NULL) gets head and body. */
long plain_get(const char *url, struct buf *answer);
long plain_head(const char *url, struct buf *answer);
long plain_put(const char *url, int file, uint64_t offset, uint64_t length);

#endif
