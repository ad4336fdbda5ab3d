/* Objects under the data directory: uploaded chunks, and the finished HLS
 * trees. Whatever has its final name is whole: it was written under another
 * name, synced and renamed. Calls that touch the disk block; use them on a
 * worker thread. Any thread.
 *
 *   DATA/uploads/VIDEO/000005            a chunk, whole
 *   DATA/uploads/VIDEO/000005.RANDOM.tmp one being received
 *   DATA/work/VIDEO/...                  scratch of the pipeline
 *   DATA/work/VIDEO/TOKEN/...            the same where several nodes share DATA
 *   DATA/media/videos/hls/...            published; the key is the path below media/
 *
 * Where several nodes share it, each claim of a work has a token, larger than every
 * one before, and a scratch of its own. Who held an older one and does not know yet
 * that it was taken over (it was stopped, or cut off) may still have an ffmpeg that
 * writes, or threads that were in the middle of something. It can neither change nor
 * publish what the newer one has: its paths are gone, and so are the folders that it
 * had open. */
#ifndef STORAGE_DISK_H
#define STORAGE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct disk;

/* Makes the folders and takes a lock on the directory, exclusive unless `is_shared`:
 * two servers that know nothing of each other never use one (FAIL_EXISTS), nor one
 * of them and nodes that share it. `min_free` bytes stay unpromised. */
int disk_open(const char *root, uint64_t min_free, bool is_shared, struct disk **out,
              struct buf *why);
void disk_close(struct disk *d);

const char *disk_root(const struct disk *d);

/* Promises `bytes` of free space, or FAIL_FULL: what the file system has free,
 * less what is promised to others, less min_free. Given back with
 * disk_unreserve when it is used or no longer needed. Blocks only for statvfs. */
int disk_reserve(struct disk *d, uint64_t bytes);
void disk_unreserve(struct disk *d, uint64_t bytes);

/* One chunk being received. */
struct chunk_write {
    int fd;
    uint64_t size; /* bytes so far */
    uint64_t tag;  /* of this write, unlike any other's */
    char tmp[64];  /* name below the video's folder */
    char video[160];
    uint32_t index;
};
int disk_chunk_begin(struct disk *d, const char *video, uint32_t index, struct chunk_write *w);
int disk_chunk_write(struct chunk_write *w, const void *bytes, size_t len);
/* Syncs and gives it its name, replacing an earlier one of that index: from
 * here on it survives a power cut. The writer is spent, also on failure. */
int disk_chunk_commit(struct disk *d, struct chunk_write *w);
void disk_chunk_abort(struct disk *d, struct chunk_write *w);

/* What is there. `sizes[i]` is chunk i's size or -1, for i below `count`;
 * `beyond` how many have a higher index. FAIL_MISSING: no chunk is there. On
 * failure what is in `sizes` means nothing. */
int disk_chunks(struct disk *d, const char *video, int64_t *sizes, uint32_t count,
                uint32_t *beyond);
/* Opens one for reading; *size its bytes. FAIL_MISSING. */
int disk_chunk_open(struct disk *d, const char *video, uint32_t index, int *fd, uint64_t *size);
/* Removes all chunks and the folder; fine when there are none. */
int disk_chunks_remove(struct disk *d, const char *video);
/* Newest activity (a chunk arrived, or more of one) in wall ms, or FAIL_MISSING. */
int disk_chunks_touched(struct disk *d, const char *video, int64_t *when_ms);
/* Removes what a crash left: .tmp files in uploads, half removed trees. At the
 * start, before anything is being received; in a shared one what is older than a
 * day, for others are receiving. */
int disk_clean(struct disk *d);

/* The pipeline's scratch folder of a job, made if need be; its path onto `out`. With
 * a token (not 0) it is that one's own: what those with older tokens have made moves
 * there, file by file into folders that nobody has open, and theirs are removed.
 * FAIL_STALE: there is a newer one. Can be repeated. */
int disk_scratch(struct disk *d, const char *job, uint64_t token, struct buf *out);
/* Removes all scratch that the job ever had. */
int disk_scratch_remove(struct disk *d, const char *job);
/* Removes everything in it but the entry `keep`. */
int disk_scratch_clear(struct disk *d, const char *job, uint64_t token, const char *keep);

/* Removes the scratch of jobs in which nothing was written to since then (seconds since
 * 1970): on a node's own disk, what it had begun before it died and another has ended. */
int disk_scratch_sweep(struct disk *d, int64_t before_s);

/* Moves a finished tree to `key` ("videos/hls/..."): everything synced, then
 * every file renamed, and `last` (a name directly in the tree) as the very last
 * one. Files that a broken off earlier call moved already are fine: the call
 * can be repeated until it succeeds. A whole tree replaces what was published
 * under the key before. Links and other odd files in it: FAIL_UNSUPPORTED, and
 * nothing has moved. `bytes` (may be NULL) gets the size of what is published.
 *
 * In a shared one the tree is renamed as a whole, in one step: whoever does not have
 * it any more cannot touch what another has published. FAIL_EXISTS: something else
 * is under the key. */
int disk_publish(struct disk *d, const char *tree, const char *key, const char *last,
                 uint64_t *bytes);
/* Gone in one step; fine when there is nothing. */
int disk_unpublish(struct disk *d, const char *key);

/* A published object for reading. The path is a key, normalised already; it
 * never leads out of media/ and never through a symbolic link. FAIL_MISSING. */
struct object {
    int fd;
    uint64_t size;
    int64_t modified_s;
    char etag[48]; /* quoted, strong */
};
int disk_object_open(struct disk *d, const char *key, struct object *out);
void object_close(struct object *o); /* unless its descriptor was given away */

/* Free bytes that could still be promised. */
uint64_t disk_available(struct disk *d);

#endif
