/* What a storage that is spoken to by HTTP must say of itself: how a verb becomes a
 * request, and what the body of a good answer means. All else is the same for them and
 * stands in http_*.c: how many requests run at a time, repeating, resuming, cutting
 * objects into parts, errors.
 *
 * A driver has no state and does no I/O; its functions are pure, but for what they read
 * of `h`. To add one: a struct http_driver here and in storage.c. */
#ifndef STORAGE_HTTP_DRIVER_H
#define STORAGE_HTTP_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "io/fetch.h"
#include "proto/storage_url.h"
#include "storage/storage_ops.h"

struct http_storage; /* begins with struct storage */

const struct storage_url *http_storage_url(const struct http_storage *h);
/* Since 1970, by the server's clock once it has complained of ours. Any thread. */
int64_t http_storage_now_s(const struct http_storage *h);

enum http_verb {
    VERB_PUT,
    VERB_GET,
    VERB_HEAD,
    VERB_COPY,
    VERB_REMOVE,
    VERB_LIST,
    VERB_BEGIN, /* of a multipart upload */
    VERB_PART_PUT,
    VERB_PART_COPY,
    VERB_PARTS,
    VERB_COMPLETE,
    VERB_ABORT,
    VERB_UPLOADS,
};

/* What a request is to do. Keys are with the storage's prefix, `id`s as the driver gave
 * them. What a verb does not use is NULL or 0. */
struct http_ask {
    enum http_verb verb;
    const char *key;           /* of LIST and UPLOADS: what the keys begin with, or "" */
    const char *id;            /* of the multipart upload */
    uint32_t number;           /* of PART_PUT, PART_COPY: from 1 */
    const char *from;          /* of COPY, PART_COPY: the key of the object */
    const char *content_type;  /* of PUT and BEGIN, never NULL there */
    const char *cache_control; /* of PUT and BEGIN, or NULL */
    const char *after;         /* of LIST, PARTS, UPLOADS: where the page begins; NULL: the first */
    const struct storage_part *parts; /* of COMPLETE, in order */
    size_t part_count;
};

enum { HTTP_FIELDS_MAX = 12 };

/* What is to be sent; made ready and freed by the caller. The bodies of PUT and
 * PART_PUT, their Content-Length, Range and If-Match are not the driver's matter, nor
 * is Content-Type of a PUT. */
struct http_request {
    const char *method;       /* static */
    struct buf url;           /* whole, signed; left empty: there is nothing to ask, all is well */
    struct buf body;          /* of COMPLETE */
    const char *content_type; /* of `body`, or for BEGIN; static or the ask's; or NULL */
    struct fetch_header headers[HTTP_FIELDS_MAX];
    size_t header_count;
};
/* Both are copied. */
void http_request_header(struct http_request *r, const char *name, const char *value);

/* An object, a part, or a multipart upload, of a page. */
struct http_item {
    char *key; /* with the prefix; NULL for a part */
    char *id;  /* of a multipart upload, else NULL */
    uint64_t size;
    int64_t modified_s; /* when it was begun, for an upload; -1: not known */
    uint32_t number;    /* of a part */
    char etag[96];      /* without quotes */
};

/* What a good answer says. */
struct http_result {
    char *id; /* of BEGIN: mem_strdup'ed */
    struct http_item *items;
    size_t count, room;
    char *after; /* of the next page, mem_strdup'ed; NULL: this was the last */
};
/* One more, zeroed but for modified_s = -1; key and id are copied (empty at NULL: none). */
struct http_item *http_result_add(struct http_result *r, struct str key, struct str id);
/* Without its quotes, cut if it is too long. */
void http_item_etag(struct http_item *item, struct str etag);

/* What a code in an error's document (<Error><Code>) stands for, where the status says
 * too little. */
struct http_code {
    const char *code; /* NULL ends a list */
    int err;          /* FAIL_* */
    bool may_pass;    /* is tried again */
};

struct http_driver {
    const struct storage_traits *(*traits)(const struct storage_url *url); /* static */
    /* Whether the URL can be used; NULL: always. */
    int (*check)(const struct storage_url *url, struct buf *why);
    /* `result` is for what needs no request (BEGIN where ids are made up by us). FAIL_LIMIT,
     * FAIL_UNSUPPORTED, FAIL_MISSING (that is no id of ours). */
    int (*ask)(const struct http_storage *h, const struct http_ask *ask, struct http_request *out,
               struct http_result *result);
    /* The body of a 2xx, which is no <Error>, of LIST, BEGIN, COPY, PART_COPY, PARTS, COMPLETE
     * and UPLOADS. FAIL_SYNTAX. */
    int (*read)(const struct http_ask *ask, struct str body, struct http_result *out);
    /* A URL for clients: GET, HEAD, PUT, PART_PUT. `file_name`: of a GET, or NULL. */
    int (*url)(const struct http_storage *h, const struct http_ask *ask, const char *file_name,
               uint64_t lifetime_s, struct buf *out);
    const struct http_code *codes;
    bool needs_etags;    /* of parts, to complete them; the result of PART_COPY is an item with
                          * the part's */
    int made_status;     /* the one that PUT, PART_PUT, COPY, PART_COPY and COMPLETE succeed with;
                          * 0: what comes back says whether they have */
    bool has_no_uploads; /* the server knows nothing of one before it has a part */
};

extern const struct http_driver s3_driver;
extern const struct http_driver azure_driver;

/* Takes the URL (and empties it) also when it fails. */
int http_storage_open(uv_loop_t *loop, const struct storage_settings *settings,
                      const struct http_driver *driver, struct storage_url *url,
                      struct storage **out, struct buf *why);

#endif
