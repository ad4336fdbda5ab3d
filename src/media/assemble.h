/* The stage that makes one file of the uploaded chunks. Blocks: for a worker
 * thread. */
#ifndef MEDIA_ASSEMBLE_H
#define MEDIA_ASSEMBLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "storage/disk.h"

struct assembly {
    struct disk *disk;
    const char *video;
    uint32_t total_chunks;
    const char *path;              /* the file to be made; it appears whole or not at all */
    const atomic_bool *is_stopped; /* looked at between chunks: FAIL_CANCELLED */
    /* Before chunk number `chunk` (from 1) is read, and with `chunk` =
     * total_chunks + 1 before the whole is synced. */
    void (*progress)(void *context, uint32_t chunk);
    void *context;
};

/* The file's size, or FAIL_MISSING (a chunk), FAIL_FULL, FAIL_IO; `why` for
 * people. */
int assemble(const struct assembly *a, uint64_t *size, struct buf *why);

/* What is written becomes durable under its name. */
int assembled_settle(const char *part, const char *path, int fd, struct buf *why);

#endif
