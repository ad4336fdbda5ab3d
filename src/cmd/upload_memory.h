/* What an upload leaves behind on disk so that the same command, given again
 * after a break, goes on with it: one small JSON file per file and server under
 * $XDG_STATE_HOME/reelay (or ~/.local/state/reelay). A memory that cannot be read
 * is none; one that cannot be written only costs the going on. No secrets. */
#ifndef CMD_UPLOAD_MEMORY_H
#define CMD_UPLOAD_MEMORY_H

#include <stdint.h>

#include "base/buf.h"

struct upload_memory {
    char *path;   /* of the video file, absolute */
    char *server; /* its base URL */
    uint64_t size;
    int64_t modified_ns;
    char *video; /* the server's id; NULL: nothing is remembered */
    uint64_t chunk_size;
};

/* Fills `video` and `chunk_size` if path, server, size and modification time are
 * those of an upload that was begun. FAIL_MISSING if there is none. */
int upload_memory_load(struct upload_memory *m);
/* Replaces what is there, whole or not at all. */
int upload_memory_save(const struct upload_memory *m);
void upload_memory_forget(const struct upload_memory *m);
void upload_memory_deinit(struct upload_memory *m);

#endif
