/* The uploads that are not finished: who may still send chunks, how many there
 * will be, and when one has been forgotten. Each has a work record in the store
 * from its creation until its job has ended well, so that a restart finds it.
 *
 *            create                begin                 finish
 *   (none) ---------> OPEN ---------------------> BUSY ----------> (none)
 *                      ^  |                         |
 *                      |  +-- finish (cancel, ttl)  |
 *                      +---------- reopen ----------+
 *
 * Chunks are taken only while OPEN; a chunk is either wholly there or not.
 * Any thread. */
#ifndef MEDIA_UPLOADS_H
#define MEDIA_UPLOADS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "media/downloads.h"
#include "storage/disk.h"
#include "storage/storage.h"
#include "store/store.h"

enum upload_state { UPLOAD_OPEN, UPLOAD_BUSY };

/* Where its chunks lie: in a folder, or in a bucket as parts of one multipart upload or
 * as objects; which of these two, nobody knows before their size is known. */
enum upload_layout { LAYOUT_DISK, LAYOUT_UNDECIDED, LAYOUT_PARTS, LAYOUT_OBJECTS, UPLOAD_LAYOUTS };

/* Of an open upload; changed by compare-and-set. */
struct upload_place {
    enum upload_layout layout;
    char multipart[STORAGE_UPLOAD_ID_MAX + 1]; /* "": none is begun */
};

/* Whose processing begins first, where some have to wait. */
enum upload_priority { UPLOAD_NORMAL, UPLOAD_HIGH, UPLOAD_LOW, UPLOAD_PRIORITIES };

const char *upload_priority_name(enum upload_priority priority);       /* "normal", ... */
int upload_priority_parse(struct str name, enum upload_priority *out); /* FAIL_SYNTAX */

enum { UPLOAD_FIELDS_MAX = 4096 };

struct upload {
    enum upload_state state;
    uint32_t total_chunks; /* 0: nobody has said yet */
    int64_t size;          /* declared, bytes; -1: not */
    int64_t touched_ms;    /* wall clock: last sign of life of the uploader */
    bool has_source;       /* assembled once already: the chunks are gone, the file is there */
    enum upload_priority priority;
    struct download download; /* what is fetched from elsewhere; nobody sends chunks then */
    bool is_one_shot;         /* came as one file: nobody has to ask for its assembly */
    bool is_tus;              /* grows at its end, and is assembled when it has its size */
    bool has_failed;          /* its job did: it is begun again only when somebody asks */
    bool is_partial;          /* a part of another to be: no job, nothing is assembled */
    struct upload_place place;
    char file_name[256]; /* as last told; may be "" */
    char owner[24];      /* of a partial one, a digest; the others' jobs say it */
    /* What a tus client is told of it: fields as they go into an answer, each with a
     * line's end. */
    char fields[UPLOAD_FIELDS_MAX];
};

struct uploads;

struct uploads *uploads_new(struct store *store, struct disk *disk);
void uploads_free(struct uploads *us);

/* Begins one; its job is in the ledger already. Reserves the declared size on
 * the disk (FAIL_FULL). `done` as store_put_work's. FAIL_EXISTS; FAIL_LIMIT: too many
 * partial ones. */
int uploads_create(struct uploads *us, const char *video, const struct upload *begin,
                   void (*done)(void *context, int err), void *context);

/* From a work record (whatever its step: the pipeline's specs hold an upload's
 * fields too), at start: OPEN, or BUSY if the pipeline goes on with it. */
int uploads_restore(struct uploads *us, const struct work *w, bool is_busy);

/* A copy. FAIL_MISSING. */
int uploads_get(struct uploads *us, const char *video, struct upload *out);

/* A client announced how many chunks there are. The first word counts until all
 * chunks are gone; FAIL_EXISTS with the earlier count in `*before` if it
 * differs, FAIL_STATE if not OPEN, or if it grows at its end, FAIL_MISSING. */
int uploads_plan(struct uploads *us, const char *video, uint32_t total_chunks, uint32_t *before);

/* Its size is known now. FAIL_EXISTS: it was before, as another; FAIL_FULL, FAIL_STATE,
 * FAIL_MISSING. */
int uploads_declare(struct uploads *us, const char *video, int64_t size);

/* FAIL_EXISTS: its place is not (any more) as `before` says; FAIL_STATE if not OPEN,
 * FAIL_MISSING. `done`, only behind OK, when the change is durable, on the store's
 * thread. */
int uploads_place(struct uploads *us, const char *video, const struct upload_place *before,
                  const struct upload_place *after, void (*done)(void *context, int err),
                  void *context);

/* Around the moment that a received chunk gets its name: FAIL_STATE if the
 * upload is no longer OPEN, FAIL_MISSING. Each OK is followed by a leave. */
int uploads_enter(struct uploads *us, const char *video);
void uploads_leave(struct uploads *us, const char *video, uint64_t bytes);

/* OPEN to BUSY; FAIL_STATE if it is BUSY or a chunk is being named just now.
 * Gives back what was reserved for chunks to come. */
int uploads_begin(struct uploads *us, const char *video, const char *file_name,
                  uint32_t total_chunks);

/* BUSY to OPEN: a stage failed, and the uploader can mend it, with `place` and
 * `has_source` as they are in `u`. In memory only: the failure is put on record first,
 * then uploads_save. */
void uploads_reopen(struct uploads *us, const char *video, const struct upload *u);

/* Queues the work record of an OPEN upload. */
void uploads_save(struct uploads *us, const char *video);

/* Over: takes no more chunks, and none is listed. The work record goes when its
 * remains are off the disk, so that a restart in between finds them. */
void uploads_finish(struct uploads *us, const char *video);

/* The OPEN ones untouched since `before_ms`, at most `max` names (mem_free). */
size_t uploads_stale(struct uploads *us, int64_t before_ms, size_t max, char **out);

/* The OPEN ones last touched in [since, before): names, and the list itself, are the
 * caller's to mem_free. */
char **uploads_idle(struct uploads *us, int64_t since_ms, int64_t before_ms, size_t *count);

bool upload_place_equals(const struct upload_place *a, const struct upload_place *b);
/* "LAYOUT MULTIPART", as Redis keeps it. FAIL_SYNTAX. */
void upload_place_write(const struct upload_place *place, struct buf *out);
int upload_place_read(struct str text, struct upload_place *out);

/* What a work record of step "upload" says, as JSON and back. */
void upload_write(const struct upload *u, struct buf *out);
int upload_read(const char *json, struct upload *out);

#endif
