/* Uploads whose chunks lie in a bucket: what the pipeline's files have of that. Below
 * uploads/VIDEO/ are
 *
 *   source          what one multipart upload makes of its parts, chunk i being part i+1
 *   chunks/000005   a chunk as an object
 *
 * Which chunks are there nobody but the bucket says. A chunk that is there twice counts
 * as the part, in layout `objects` as the object. On the desk's loop; each `done` comes
 * exactly once, and `why` is a clause for people. */
#ifndef MEDIA_BUCKET_H
#define MEDIA_BUCKET_H

#include "media/pipeline_run.h"

enum { BUCKET_KEY_MAX = JOB_ID_MAX + 40 };

struct bucket_key {
    char text[BUCKET_KEY_MAX];
};

struct bucket_key bucket_folder(const char *video); /* with a slash at its end */
struct bucket_key bucket_source(const char *video);
struct bucket_key bucket_chunks(const char *video); /* likewise */
struct bucket_key bucket_chunk(const char *video, uint32_t index);

/* What pipelines keep of it (pipelines.bucket); NULL without a bucket. */
struct bucket_desk;
struct bucket_desk *bucket_desk_new(void);
void bucket_desk_free(struct bucket_desk *d);

/* Whether this upload's chunks lie there. */
bool bucket_has(const struct pipelines *ps, const struct upload *u);

/* What is there (bucket_list.c) */

enum chunk_form { CHUNK_MISSING, CHUNK_PART, CHUNK_OBJECT, CHUNK_SOURCE };

struct bucket_list {
    struct {
        enum chunk_form form; /* CHUNK_SOURCE: chunk 0 is what `source` holds */
        uint64_t size;
    } * chunks;
    uint32_t count;  /* as asked for */
    uint32_t beyond; /* with a higher index */
    bool is_begun;   /* the multipart upload is there */
    bool has_source;
    uint64_t source_size;
    struct storage_part *parts; /* those of `chunks`, by number */
    size_t part_count;
};

/* `list` is borrowed; there only if err is OK. */
typedef void bucket_listed(void *context, int err, const char *why, const struct bucket_list *list);
struct bucket_listing;
struct bucket_listing *bucket_list(struct storage *s, const char *video,
                                   const struct upload_place *place, uint32_t count,
                                   bucket_listed *done, void *context);
/* `done` will not come. */
void bucket_list_cancel(struct bucket_listing *l);

/* How chunks that are all there become one file. */
enum bucket_way {
    BUCKET_NO_WAY,     /* a part is too small */
    BUCKET_BY_PARTS,   /* objects become parts, and the parts one object */
    BUCKET_BY_OBJECTS, /* each is read on its own */
    BUCKET_BY_HEAD,    /* the same, when the part of chunk 0 has been made an object */
};
/* Pure. `small` gets the index of the chunk that there is no way for. */
enum bucket_way bucket_way(const struct bucket_list *list, const struct storage_traits *traits,
                           uint32_t *small);

/* Where chunks go (bucket_place.c) */

/* Decided by what was declared, or undecided. Pure. */
enum upload_layout bucket_layout(const struct storage_traits *traits, int64_t size, uint32_t total);

/* The step `assemble` (bucket_assemble.c): ends it. */
void bucket_assemble(struct pipeline *p);

/* What is no video is not kept: the upload is to be sent anew. Then the step ends with
 * `err` and p->why. */
void bucket_refuse(struct pipeline *p, int err);

/* The step `clean`, but for the disk; `done` has the pipeline as its context. */
void bucket_clean(struct pipeline *p, storage_done *done);

/* The source into scratch (bucket_fetch.c) */

struct bucket_fetch {
    struct pipeline *pipeline;
    const struct bucket_list *list; /* each chunk on its own; NULL: `source` */
    uint64_t size;                  /* of all */
    void (*moved)(struct pipeline *p, uint64_t bytes);
    void (*done)(struct pipeline *p, int err, const char *why);
};
void bucket_fetch(const struct bucket_fetch *fetch);

/* Whether a step is to begin whose source another node had, and fetching it. */
bool bucket_wants_source(const struct pipeline *p);
void bucket_bring_source(struct pipeline *p,
                         void (*done)(struct pipeline *p, int err, const char *why));

/* Removing (bucket_clear.c) */

/* Everything of an upload; fine when there is nothing. */
void bucket_clear(struct storage *s, const char *video, storage_done *done, void *context);
/* What lies there since before then and belongs to no upload; at times. */
void bucket_sweep(struct pipelines *ps, int64_t before_ms);

#endif
