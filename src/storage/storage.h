/* Objects in a storage: a bucket of S3 or what speaks like it, a container of Azure, or
 * a folder. One table of operations, whichever it is; who uses it does not know.
 *
 * Keys are paths as of disk_dir.h (path_is_normal), at most PATH_KEY_MAX bytes, below
 * the prefix that the storage's URL names. Bytes go by in slices: no object ever lies in
 * memory. What may pass by itself (5xx, 429, time-outs, resets, answers cut short) is
 * tried again with backoff, each time signed anew; what `done` hears of is final. An
 * object is there as a whole or not at all.
 *
 * All on the thread of the loop that it was opened with, except for what says that it is
 * pure. `done` comes exactly once and never within the call; behind storage_cancel it
 * does not come. What is handed over is copied, except for descriptors, which are
 * borrowed until then. `why` is a clause for people, which names no secret.
 *
 * Errors: FAIL_MISSING (no such object, bucket, or multipart upload), FAIL_DENIED
 * (credentials, permissions), FAIL_UNTRUSTED (its certificate), FAIL_CLOSED (nobody
 * there, or 5xx for too long), FAIL_TIMEOUT, FAIL_IO (broken connection), FAIL_FULL (quota, disk),
 * FAIL_LIMIT, FAIL_SYNTAX (an answer that is none), FAIL_STATE (bytes are not what was sent: a size
 * or checksum differs), FAIL_UNSUPPORTED.
 *
 * To add a driver: a struct storage_ops, a scheme in storage.c, a row in
 * tests/unit/storage/contract.c. */
#ifndef STORAGE_STORAGE_H
#define STORAGE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/str.h"

struct storage;
struct storage_task; /* an operation under way */

enum {
    STORAGE_UPLOAD_ID_MAX = 1023, /* bytes of a multipart upload's id */
    STORAGE_PARTS_MAX = 10000,    /* of S3; parts are numbered from 1 */
};

struct storage_settings {
    const char *url;        /* docs/storage.md; credentials also from the environment */
    const char *ca_file;    /* trusted instead of the system's, or NULL */
    const char *public_url; /* base of URLs that need no signature, no slash at its end, or "" */
    unsigned parallel;      /* requests at a time, 1 or more; others wait */
    uint32_t patience_ms;   /* how long one operation is tried again, at most */
};

/* What the driver can do. */
struct storage_traits {
    const char *provider; /* as the documents have it: "s3", "gcs", "azure", "disk" */
    bool has_urls;        /* clients can be given URLs; else all bytes pass through us */
    uint64_t part_min;    /* bytes of a part that is not the last; 0: any */
    uint64_t part_max;    /* bytes of a part, and of an object that is put in one request */
    uint32_t parts_max;
    bool has_object_urls; /* a plain PUT of a body, without further fields, makes an object */
    bool has_part_copy;   /* an object can become a part without passing through us */
    uint64_t copy_max;    /* bytes of an object that can be copied so */
};

/* FAIL_SYNTAX, FAIL_UNSUPPORTED, FAIL_DENIED (no credentials): `why`. Nothing is asked
 * of the network yet. */
int storage_open(uv_loop_t *loop, const struct storage_settings *settings, struct storage **out,
                 struct buf *why);
/* Cancels what is under way; run the loop until it is empty behind this. */
void storage_close(struct storage *s);

/* The process is to end: what fails from now on is not tried again, what waits to be is tried
 * at once, and what takes longer than a few seconds is given up. */
void storage_hurry(struct storage *s);

const struct storage_traits *storage_traits(const struct storage *s); /* any thread */
/* Provider, bucket and endpoint, for logs; never a secret. Any thread. */
void storage_describe(const struct storage *s, struct buf *out);
/* FAIL_DENIED, FAIL_UNTRUSTED, FAIL_CLOSED, ... while what it is asked fails, OK since something
 * went well. Any thread. */
int storage_trouble(const struct storage *s);

typedef void storage_done(void *context, int err, const char *why);

/* What can be said of an object. */
struct storage_object {
    const char *key; /* without the prefix; borrowed */
    uint64_t size;
    int64_t modified_s; /* since 1970, or -1 */
    const char *etag;   /* without quotes, "" if there is none; borrowed */
};

/* One whole object from a range of a file, or from `bytes` (has_file false; up to
 * 1 MiB, copied). A large one goes up in parts, several at a time; nothing is left of
 * one that failed. `moved` (may be NULL) hears how many bytes have gone by, never
 * less than before. */
struct storage_put {
    const char *key;
    const char *content_type;  /* NULL: application/octet-stream */
    const char *cache_control; /* or NULL */
    bool has_file;
    int file;
    uint64_t offset, length;
    struct str bytes;
    void (*moved)(void *context, uint64_t bytes);
    storage_done *done;
    void *context;
};
struct storage_task *storage_put(struct storage *s, const struct storage_put *put);

/* Bytes of an object into a file that is open for writing, from `at` on; a broken
 * connection is gone on with by Range (If-Match: never two versions of it). `length` 0:
 * to its end. FAIL_STATE: it has fewer bytes. Written off the loop; not synced. */
struct storage_get {
    const char *key;
    uint64_t offset, length;
    int file;
    uint64_t at;
    void (*moved)(void *context, uint64_t bytes);
    void (*done)(void *context, int err, const char *why, uint64_t bytes);
    void *context;
};
struct storage_task *storage_get(struct storage *s, const struct storage_get *get);

/* A small object as a whole: FAIL_LIMIT if it has more than `max` bytes. */
struct storage_task *
storage_read(struct storage *s, const char *key, size_t max,
             void (*done)(void *context, int err, const char *why, struct str body), void *context);

struct storage_task *storage_head(struct storage *s, const char *key,
                                  void (*done)(void *context, int err, const char *why,
                                               const struct storage_object *object),
                                  void *context);

/* An object becomes another, without a byte passing through us. FAIL_UNSUPPORTED: it
 * has more than copy_max bytes, as far as the storage says so. */
struct storage_task *storage_copy(struct storage *s, const char *key, const char *from,
                                  storage_done *done, void *context);

/* Fine when there is none. */
struct storage_task *storage_remove(struct storage *s, const char *key, storage_done *done,
                                    void *context);

/* Everything whose key begins with `prefix`, in the order of keys, page by page; `each`
 * returning false ends it well. It may begin other tasks. */
struct storage_task *storage_list(struct storage *s, const char *prefix,
                                  bool (*each)(void *context, const struct storage_object *object),
                                  storage_done *done, void *context);

/* Lists and removes, several at a time; fine when there are none. */
struct storage_task *storage_remove_all(struct storage *s, const char *prefix, storage_done *done,
                                        void *context);

/* Multipart uploads: parts in any order, repeated, by us or by clients with URLs; an
 * object when they are completed. */

struct storage_part {
    uint32_t number; /* 1 to parts_max */
    uint64_t size;
    int64_t modified_s; /* or -1 */
    char etag[96];      /* without quotes */
};

/* `id` has at most STORAGE_UPLOAD_ID_MAX bytes of [A-Za-z0-9._~+/=-], and is borrowed. */
struct storage_task *
storage_upload_begin(struct storage *s, const char *key, const char *content_type,
                     void (*done)(void *context, int err, const char *why, const char *id),
                     void *context);

struct storage_part_put {
    const char *key, *id;
    uint32_t number;
    int file;
    uint64_t offset, length;
    void (*moved)(void *context, uint64_t bytes);
    storage_done *done;
    void *context;
};
struct storage_task *storage_part_put(struct storage *s, const struct storage_part_put *put);

/* An object becomes a part, without a byte passing through us. FAIL_UNSUPPORTED:
 * !has_part_copy. */
struct storage_task *storage_part_copy(struct storage *s, const char *key, const char *id,
                                       uint32_t number, const char *from, storage_done *done,
                                       void *context);

/* The parts there are, by number; borrowed. */
struct storage_task *storage_parts(struct storage *s, const char *key, const char *id,
                                   void (*done)(void *context, int err, const char *why,
                                                const struct storage_part *parts, size_t count),
                                   void *context);

/* Of the given parts, in order of number. OK also when an earlier try had completed it:
 * FAIL_MISSING only if neither the upload nor an object of that size is there. FAIL_LIMIT:
 * a part that is not the last one is smaller than part_min. */
struct storage_task *storage_upload_complete(struct storage *s, const char *key, const char *id,
                                             const struct storage_part *parts, size_t count,
                                             storage_done *done, void *context);

/* Fine when there is none. */
struct storage_task *storage_upload_abort(struct storage *s, const char *key, const char *id,
                                          storage_done *done, void *context);

/* Multipart uploads that were begun and neither completed nor aborted, of keys that
 * begin with `prefix`. Where uncompleted ones expire by themselves (Azure): none. */
struct storage_pending {
    const char *key, *id;
    int64_t begun_s; /* since 1970 */
};
struct storage_task *storage_uploads(struct storage *s, const char *prefix,
                                     bool (*each)(void *context,
                                                  const struct storage_pending *pending),
                                     storage_done *done, void *context);

/* `done` of this one will not come; what had been done of it stays, or is undone soon. */
void storage_cancel(struct storage_task *t);

/* URLs that speak for themselves, for clients. Pure: any thread, no request. FAIL_LIMIT:
 * longer than `out` takes; FAIL_UNSUPPORTED: !has_urls. */

/* For a GET. `file_name` (or NULL): what a browser saves it as. */
int storage_url(const struct storage *s, const char *key, const char *file_name,
                uint64_t lifetime_s, struct buf *out);
/* For a HEAD: what is signed for GET is refused to it by S3. */
int storage_head_url(const struct storage *s, const char *key, uint64_t lifetime_s,
                     struct buf *out);
/* For both, by its public base, which must be configured; unsigned. */
int storage_public_url(const struct storage *s, const char *key, struct buf *out);
/* For a PUT of a whole object. FAIL_UNSUPPORTED: !has_object_urls. */
int storage_put_url(const struct storage *s, const char *key, uint64_t lifetime_s, struct buf *out);
/* For a PUT of a part. */
int storage_part_url(const struct storage *s, const char *key, const char *id, uint32_t number,
                     uint64_t lifetime_s, struct buf *out);

#endif
