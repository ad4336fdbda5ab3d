/* What the files of the HTTP storages share. Three layers, each knows only the one below:
 *
 *   tasks  (http_small, http_get, http_put, http_page, http_sweep, http_complete)
 *          with http_pages, the way through a list
 *          an operation of storage.h, made of calls
 *   calls  (http_call, http_attempt)
 *          a request until its answer is final: its turn, repeating
 *   answer (http_answer)  what an answer means; with http_genuine, whose it is
 *
 * Nothing is freed while a callback may stand on it: what has ended waits on a list for
 * the end of the tick (http_storage.c). All on the loop's thread. */
#ifndef STORAGE_HTTP_INTERNAL_H
#define STORAGE_HTTP_INTERNAL_H

#include <stdatomic.h>
#include <uv.h>

#include "storage/http_driver.h"
#include "storage/storage_refusal.h"

struct http_call;
struct http_copied;
struct http_task;

struct http_storage {
    struct storage storage; /* first: storages are cast back */
    const struct http_driver *driver;
    struct storage_url url;
    struct fetcher *fetcher;
    uv_timer_t timer;          /* all of what comes later */
    struct http_call *waiting; /* for their turn, the first one first */
    struct http_call *running;
    struct http_call *sleeping; /* until they are tried again */
    struct http_call *over;     /* to be freed */
    struct http_task *tasks, *ended;
    struct http_copied *copied; /* http_copied.c's own */
    unsigned parallel, running_count;
    unsigned large_count; /* of those that run, with a large body or much to do for the server */
    uint32_t patience_ms;
    atomic_int_least64_t skew_s; /* the server's clock less ours; read on any thread */
    uint64_t told_ms;            /* when trouble was last logged; 0: never */
    bool has_told;               /* and not yet that it is over */
    bool is_closing;
};

/* Something is to be done that must not be done here: the timer fires soon. */
void http_storage_stir(struct http_storage *h);
/* With the storage's prefix; mem_free. */
char *http_storage_key(const struct http_storage *h, const char *key);
/* Without it, or NULL if it is not below it. */
const char *http_storage_bare(const struct http_storage *h, const char *key);

/* answer */

enum { HTTP_WHY_SIZE = 320, HTTP_ETAG_SIZE = 96 };

struct http_verdict {
    int err;
    bool may_pass;    /* worth to be tried again */
    uint64_t wait_ms; /* what the server asks for; 0: nothing */
    char why[HTTP_WHY_SIZE];
};

void http_judge(const struct http_driver *driver, enum http_verb verb,
                const struct fetch_answer *answer, struct http_verdict *out);
/* Of a good status: whether it can be the storage's answer to that. Also from the head alone. */
bool http_is_genuine(const struct http_driver *driver, enum http_verb verb,
                     const struct fetch_answer *answer);
/* A page for people, and nothing in it says that it is a storage's. */
bool http_is_nobodys(const struct fetch_answer *answer);
/* What a server says may hold anything: one line of printable bytes remains. */
void http_copy_line(struct str text, char *out, size_t size);
/* How much the server's clock is ahead of `now_s`; 0 where it does not say. */
int64_t http_skew(const struct fetch_answer *answer, int64_t now_s);
/* False when the answer proves that other bytes have arrived than those with this MD5. */
bool http_sums_agree(const struct fetch_answer *answer, const uint8_t md5[16]);
void http_etag_of(const struct fetch_answer *answer, char out[HTTP_ETAG_SIZE]);

void http_request_deinit(struct http_request *r);
void http_result_deinit(struct http_result *r);

/* calls */

struct http_outcome {
    int err;
    const char *why;                   /* unless OK */
    const struct fetch_answer *answer; /* the last one; NULL: there was none */
    struct http_result *result;        /* what the driver read; may be emptied */
    uint64_t bytes;                    /* of the body that went into the sink */
};

struct http_call_settings {
    struct http_ask ask; /* copied, but for the parts, which are borrowed */
    bool has_file;       /* the body: of a file, or these bytes (borrowed) */
    int file;
    uint64_t offset, length;
    struct str bytes;
    bool has_sink; /* of GET: the object's bytes from `offset` on, `length` of them (0: to
                    * its end), into a file */
    int sink;      /* taken: closed when nothing is written to it any more */
    uint64_t sink_at;
    size_t answer_max;                            /* 0: as much as an error may say */
    bool is_once;                                 /* not tried again */
    void (*moved)(void *context, uint64_t bytes); /* so far, never less; or NULL */
    void (*done)(void *context, const struct http_outcome *outcome); /* NULL: nobody waits */
    void *context;
};

/* `done` comes once and never within this; the call is gone then. */
struct http_call *http_call_start(struct http_storage *h,
                                  const struct http_call_settings *settings);
/* Not within its own `done`. NULL is fine. */
void http_call_cancel(struct http_call *c);
/* Makes those run whose turn it is, and says what has moved. */
void http_calls_tick(struct http_storage *h);
/* Milliseconds until there is something to do; UINT64_MAX: nothing. */
uint64_t http_calls_due(const struct http_storage *h);
void http_calls_cancel(struct http_storage *h);
/* What sleeps is tried now, and for the last time; what runs gets a few seconds. */
void http_calls_hurry(struct http_storage *h);
void http_calls_free(struct http_storage *h); /* that are over */

/* The tags of parts that were copied through this storage; NULL: not known. */
const char *http_copied_etag(const struct http_storage *h, const char *id, uint32_t number);
void http_copied_keep(struct http_storage *h, const char *id, uint32_t number, const char *etag);
void http_copied_forget(struct http_storage *h, const char *id); /* NULL: all */

/* tasks */

struct http_task {
    struct storage_task task; /* first: tasks are cast back */
    struct http_storage *h;
    struct http_task *prev, *next;
    bool is_over;
    /* Cancels its calls, frees what it has. It may begin calls that clear up. */
    void (*stop)(struct http_task *t);
};

/* A zeroed struct of `size` that begins with a http_task. */
void *http_task_new(struct storage *s, size_t size, void (*stop)(struct http_task *t));
/* It stays readable, though stopped, until the end of the tick. */
void http_task_end(struct http_task *t);

struct storage_task *http_put(struct storage *s, const struct storage_put *put);
struct storage_task *http_get(struct storage *s, const struct storage_get *get);
struct storage_task *http_read(struct storage *s, const char *key, size_t max,
                               void (*done)(void *, int, const char *, struct str), void *context);
struct storage_task *
http_head(struct storage *s, const char *key,
          void (*done)(void *, int, const char *, const struct storage_object *), void *context);
struct storage_task *http_copy(struct storage *s, const char *key, const char *from,
                               storage_done *done, void *context);
struct storage_task *http_remove(struct storage *s, const char *key, storage_done *done,
                                 void *context);
struct storage_task *http_list(struct storage *s, const char *prefix,
                               bool (*each)(void *, const struct storage_object *),
                               storage_done *done, void *context);
struct storage_task *http_remove_all(struct storage *s, const char *prefix, storage_done *done,
                                     void *context);
struct storage_task *http_begin(struct storage *s, const char *key, const char *content_type,
                                void (*done)(void *, int, const char *, const char *),
                                void *context);
struct storage_task *http_part_put(struct storage *s, const struct storage_part_put *put);
struct storage_task *http_part_copy(struct storage *s, const char *key, const char *id,
                                    uint32_t number, const char *from, storage_done *done,
                                    void *context);
struct storage_task *http_parts(struct storage *s, const char *key, const char *id,
                                void (*done)(void *, int, const char *, const struct storage_part *,
                                             size_t),
                                void *context);
struct storage_task *http_complete(struct storage *s, const char *key, const char *id,
                                   const struct storage_part *parts, size_t count,
                                   storage_done *done, void *context);
struct storage_task *http_abort(struct storage *s, const char *key, const char *id,
                                storage_done *done, void *context);
struct storage_task *http_uploads(struct storage *s, const char *prefix,
                                  bool (*each)(void *, const struct storage_pending *),
                                  storage_done *done, void *context);

#endif
