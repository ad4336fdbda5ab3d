/* Uploads that grow at their end: bytes in their order, in few chunks however small the
 * pieces are that they come in. A piece is received as a chunk is (disk.h), and joins
 * the chunk before it as long as that has room:
 *
 *   DATA/uploads/VIDEO/000004              a chunk that takes no more
 *   DATA/uploads/VIDEO/000005.SIZE.part    the one that grows: its first SIZE bytes count
 *   DATA/uploads/VIDEO/lock                held while a piece is added
 *
 * SIZE is in the name so that bytes count from one moment on, when they are on the disk.
 * Of several who add a piece at one place, also from other nodes, one does. With the last
 * piece all are chunks as assembly knows them. All calls block; any thread. */
#ifndef STORAGE_SLICES_H
#define STORAGE_SLICES_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/disk.h"

struct slices {
    uint32_t chunks;  /* so many are there, with the one that grows */
    uint64_t bytes;   /* in all of them */
    uint64_t growing; /* bytes of the one that grows */
    bool grows;       /* there is one */
};

/* What is there; nothing at all is fine. */
int disk_slices(struct disk *d, const char *video, struct slices *out);

/* The same of an upload of `size` bytes (-1: not known yet): if all of them are there, all are
 * chunks as assembly knows them, also where its size was said behind its last piece. */
int disk_slices_of(struct disk *d, const char *video, int64_t size, struct slices *out);

struct slice_end {
    uint64_t offset;    /* where the piece belongs */
    uint64_t chunk_max; /* of a chunk made of several pieces */
    bool is_last;       /* nothing comes behind it */
};

/* Adds a piece, which may be empty, and syncs; `out` is what is there now. The writer is
 * spent, also on failure. FAIL_STATE: it belongs elsewhere, as `out` says. FAIL_MISSING:
 * the upload was removed meanwhile. FAIL_LIMIT: too many chunks. */
int disk_slice_commit(struct disk *d, struct chunk_write *w, const struct slice_end *end,
                      struct slices *out);

/* The chunks of one upload, all of them whole (or none), become those of another too,
 * behind what it has. `out` as above. FAIL_STATE: the first grows yet. FAIL_LIMIT. */
int disk_slices_link(struct disk *d, const char *from, const char *to, struct slices *out);

#endif
