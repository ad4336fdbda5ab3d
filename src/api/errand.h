/* Errands: from an I/O thread to the desk, where the pipelines are, and back. */
#ifndef API_ERRAND_H
#define API_ERRAND_H

#include <stdint.h>

#include "api/records.h"
#include "core/limits.h"
#include "io/mailbox.h"

/* Embedded as first member in what goes along. */
struct errand {
    struct mail mail;
    struct api *api;
    struct mailbox *home; /* of the call's I/O thread */
    struct call *call;    /* touched only at home, but for its viewer, who never changes */
    void (*run)(struct errand *e);
    void (*back)(struct errand *e);
};

/* `run` on the desk ends with errand_return, at once or later; `back` at home
 * frees it. */
void errand_go(struct errand *e, struct call *c, void (*run)(struct errand *e),
               void (*back)(struct errand *e));
void errand_return(struct errand *e); /* any thread */

/* The end of an upload and its job, or of either, by the desk's pipelines. `err`
 * as pipelines_cancel has it. */
struct ending {
    struct errand errand;
    record_done *cancelled; /* one of the two */
    upload_done *discarded;
    struct update *update; /* of what is cancelled: one reference */
    int err;
    char id[JOB_ID_MAX + 1];
};

void errand_cancel(struct call *c, struct update *u, record_done *done,
                   void (*back)(struct errand *e));
void errand_discard(struct call *c, const char *id, upload_done *done,
                    void (*back)(struct errand *e));
void ending_free(struct ending *e);

/* As records_ops.assemble: by the desk's pipelines. */
void errand_assemble(struct call *c, const char *id, const char *file_name, uint32_t chunks,
                     upload_assembled *done);

/* A received chunk goes into the bucket, by the desk's pipelines; then its file is
 * removed, and `done` hears of it at home. */
struct chunk_errand {
    const char *id;
    const struct upload_place *place;
    struct chunk_write *file; /* lent until `done`, and spent then */
    int err;                  /* not OK: it is only removed */
    bool is_inside;           /* behind uploads_enter, to be left */
    upload_done *done;
};
void errand_put_chunk(struct call *c, const struct chunk_errand *chunk);

/* As pipelines_chunk_url, and pipelines_chunks. */
typedef void errand_url_done(struct call *c, int err, const char *why, const char *url);
void errand_chunk_url(struct call *c, const char *id, uint32_t index, uint32_t total,
                      uint64_t lifetime_s, errand_url_done *done);
/* `sizes` is the caller's to mem_free. */
typedef void errand_chunks_done(struct call *c, int err, int64_t *sizes);
void errand_chunks(struct call *c, const char *id, const struct upload *u,
                   errand_chunks_done *done);

/* As records_ops.slices and take_slice, in a bucket. FAIL_TIMEOUT: it is away;
 * FAIL_CANCELLED: another node is about it. */
struct slice_errand {
    const char *id;
    const struct upload *upload;
    struct chunk_write *file; /* dropped before `done` */
    const struct slice_end *end;
    bool is_inside; /* of struct uploads; leaves */
    upload_sliced *done;
};
void errand_slices(struct call *c, const char *id, const struct upload *u, upload_sliced *done);
void errand_put_slice(struct call *c, const struct slice_errand *slice);

/* As records_ops.join, in a bucket. */
void errand_join(struct call *c, const char *from, const char *to, upload_sliced *done);

/* Of an upload that begins. */
enum upload_layout upload_layout_new(const struct api *api, const struct upload *u);

#endif
