/* Jobs and uploads, as handlers ask for them: those of this process alone
 * (records_local.c: ledger, store, uploads), or those that several nodes share
 * through a Redis (records_fleet.c). Handlers do not know where they are kept.
 *
 * An op is called on the call's own I/O thread, while its answer is owed. `done`
 * runs there too, exactly once, at once or later, and borrows what it is given.
 * What is handed over is borrowed for the op's own call, unless it says more. Any
 * may be told FAIL_CLOSED: whatever keeps the records is away; with a change it may
 * have been done all the same.
 *
 * To add a way of keeping them: a table of these, for struct api. */
#ifndef API_RECORDS_H
#define API_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/update.h"
#include "core/viewer.h"
#include "media/uploads.h"
#include "storage/disk.h"
#include "storage/slices.h"

struct api;
struct call;
struct io_thread;

enum record_when { RECORD_IF_THERE, RECORD_IF_NEW, RECORD_ALWAYS };

/* What the answer waits for: nothing more; that who asks next finds it; that no
 * crash can take it back. */
enum record_wait { RECORD_ACCEPTED, RECORD_HEARD, RECORD_DURABLE };

struct record_change {
    const char *id;
    const struct change *change;
    enum record_when when;
    enum record_wait wait;
    bool is_report;              /* only an external job takes it: FAIL_UNSUPPORTED */
    const struct viewer *viewer; /* NULL: whoever; else who may not see the job: FAIL_DENIED */
};

struct record_query {
    int state;         /* -1: any */
    int64_t before_ms; /* updated before; 0: now */
    size_t max;        /* at most RECORDS_LIST_MAX */
};

enum { RECORDS_LIST_MAX = 200 };

/* Of records that are shared; -1: not known yet. */
struct records_shared {
    bool is_up, is_refusing;
    int64_t since_ms; /* it is so, or is not; wall clock */
    const char *why;  /* it is not up, or refuses */
    int64_t queued, running, delayed, open, workers;
};

struct records_health {
    struct buf trouble;                  /* of the store; "" while all is well */
    const char *unready;                 /* why no request should come here, or NULL */
    const struct records_shared *shared; /* NULL: they are not */
};

typedef void record_done(struct call *c, int err, struct update *u);
typedef void record_list_done(struct call *c, int err, struct update *const *updates, size_t count);
typedef void records_health_done(struct call *c, const struct records_health *health);
typedef void upload_done(struct call *c, int err);
typedef void upload_found(struct call *c, int err, const struct upload *u);
typedef void upload_planned(struct call *c, int err, uint32_t before);
typedef void upload_sliced(struct call *c, int err, const struct slices *s);
typedef void upload_assembled(struct call *c, int err, const char *why);

struct records_ops {
    const char *name;
    const char *limit;  /* what FAIL_LIMIT means, for people */
    bool promises_room; /* for an upload's declared size, once it is open */

    /* The last heard state. FAIL_MISSING; FAIL_DENIED: the viewer may not see it. */
    void (*find)(struct call *c, const char *id, record_done *done);

    /* For who subscribes to a job by a message: should the ledger not have it, those
     * on this thread who watch it hear its last state when it has been found. */
    void (*recall)(const struct api *api, struct io_thread *t, const char *id);

    /* FAIL_MISSING, FAIL_EXISTS, FAIL_STATE (no such move), FAIL_LIMIT, FAIL_DENIED,
     * FAIL_UNSUPPORTED, without an update. An error with one: it was changed, but
     * will not last (RECORD_DURABLE). `done` NULL: nobody waits for it. */
    void (*apply)(struct call *c, const struct record_change *r, record_done *done);

    /* What the viewer may see, the newest first. */
    void (*list)(struct call *c, const struct record_query *q, record_list_done *done);

    /* Ends the job `u`, and what works on it. FAIL_MISSING, FAIL_STATE, without an
     * update: it has ended already. An error with one: it will not last. */
    void (*cancel)(struct call *c, struct update *u, record_done *done);

    /* Begins an upload, durably, and before it its job, as `job` has it (NULL: there
     * is none yet). FAIL_EXISTS, FAIL_LIMIT: no such job. FAIL_FULL: no room for the
     * declared size. FAIL_IO: it could not be put on record. On failure there is no
     * upload, and the job, if it was made, has failed. */
    void (*open)(struct call *c, const char *id, const struct change *job, const struct upload *u,
                 upload_done *done);

    /* FAIL_MISSING: it is over, or never was. */
    void (*look)(struct call *c, const char *id, upload_found *done);

    /* As uploads_plan. */
    void (*plan)(struct call *c, const char *id, uint32_t chunks, upload_planned *done);

    /* Gives a received chunk its name, if the upload is open still: FAIL_STATE,
     * FAIL_MISSING, or as disk_chunk_commit. `file` is lent until `done`, and spent
     * then. */
    void (*take_chunk)(struct call *c, const char *id, struct chunk_write *file, upload_done *done);

    /* Uploads that grow at their end (storage/slices.h). */

    /* What is there of it; `u` is as last looked at. */
    void (*slices)(struct call *c, const char *id, const struct upload *u, upload_sliced *done);

    /* As disk_slice_commit, if the upload is open still: FAIL_STALE if not (`done` gets
     * no slices then), FAIL_MISSING. FAIL_CANCELLED: another node adds one just now;
     * FAIL_TIMEOUT: the bucket is away. `file` is lent until `done`, and spent then. */
    void (*take_slice)(struct call *c, const char *id, const struct upload *u,
                       struct chunk_write *file, const struct slice_end *end, upload_sliced *done);

    /* As disk_slices_link; in a bucket the chunks are copied. FAIL_LIMIT: too many of them;
     * FAIL_TIMEOUT: the bucket is away. */
    void (*join)(struct call *c, const char *from, const char *to, upload_sliced *done);

    /* As uploads_declare. */
    void (*declare)(struct call *c, const char *id, int64_t size, upload_done *done);

    /* As pipelines_assemble. */
    void (*assemble)(struct call *c, const char *id, const char *file_name, uint32_t chunks,
                     upload_assembled *done);

    /* Takes back an upload that came to nothing. */
    void (*discard)(struct call *c, const char *id, upload_done *done);

    void (*health)(struct call *c, records_health_done *done);
};

extern const struct records_ops records_local;
extern const struct records_ops records_fleet;

/* What records_fleet works over (struct api's `fleet`). */
struct fleet_state {
    bool is_up, is_ready;
    bool is_refusing; /* it is up, and takes no changes */
    int64_t since_ms; /* wall clock: it is up, or is not */
    char why[256];    /* it is not ready, or refuses */
};

struct fleet_jobs;
struct fleet_work;

struct fleet_parts {
    struct fleet_jobs *jobs; /* these two only on the desk */
    struct fleet_work *work;
    void (*look)(void *context, struct fleet_state *out); /* any thread */
    void *context;
};

/* For those who implement it (records.c) */

bool record_is_visible(const struct call *c, const struct update *u);

/* What cancelling an external job says of it. */
void change_cancel(struct change *change);

/* The texts become its own, or are freed. */
void change_take(struct change *change);
void change_deinit(struct change *change);

#endif
