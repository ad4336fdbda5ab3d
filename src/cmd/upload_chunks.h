/* Sending a file's chunks: several at once, each under a fresh URL, again when
 * that may help. */
#ifndef CMD_UPLOAD_CHUNKS_H
#define CMD_UPLOAD_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/bar.h"
#include "cmd/client.h"

enum { UPLOAD_PARALLEL_MAX = 16 };

struct upload_plan {
    const char *video; /* the server's id */
    int file;
    uint64_t size, chunk_size;
    uint32_t count;
    bool *has; /* per chunk: the server has it; updated */
    unsigned parallel;
};

uint64_t upload_chunk_length(const struct upload_plan *plan, uint32_t index);
uint64_t upload_bytes_there(const struct upload_plan *plan);

/* The smallest chunk size, from `wanted` on in whole MiB, that needs at most
 * CHUNKS_MAX chunks. */
uint64_t upload_chunk_size(uint64_t size, uint64_t wanted);

/* Returns when the server has all, when nothing helps, or interrupted: then
 * `out` is the answer that ended it, as client_call's. */
void upload_chunks(struct client *c, struct bar *bar, struct upload_plan *plan,
                   struct client_answer *out);

#endif
