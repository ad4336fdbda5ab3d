/* Bytes of a request's body on their way to a chunk's file, off the loop: one
 * block fills from the socket while a worker thread writes the other, so that
 * never more than two are in memory.
 *
 *   begin -> ready -> receiving <-> writing -> over: written, to be committed
 *      \________________ stopped, or failed __/ -> over: nothing is left of it
 *
 * All on the loop of the exchange, which the owner answers after `over`. */
#ifndef API_INTAKE_H
#define API_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/counters.h"
#include "storage/disk.h"

struct exchange;

struct intake {
    struct exchange *x;
    struct disk *disk;
    enum counter counter; /* of the bytes that come: COUNT_UPLOADED_... */
    bool is_promised;     /* the room for it is reserved by somebody else */
    /* The file is there: ask for the body. */
    void (*ready)(struct intake *in);
    /* Once. `err` OK: all is written to `file`, which is the owner's to commit or
     * abort; else there is no file. */
    void (*over)(struct intake *in);
    /* What is about to be written, on a worker thread; may be NULL. */
    void (*look)(struct intake *in, const char *bytes, size_t len);
    void *owner;

    struct chunk_write file;
    uint64_t received;
    int err;

    char *filling, *writing;
    size_t filled, to_write;
    uint64_t reserved;
    int work_err; /* of what the worker thread did */
    bool is_begun, is_busy, is_ended, is_over;
};

/* Promises room beforehand; FAIL_FULL. What is not promised so, nor by somebody
 * else, is as it comes. */
int intake_reserve(struct intake *in, uint64_t bytes);

/* `x`, `disk`, `counter`, `ready`, `over` are set, the rest is zero. */
void intake_begin(struct intake *in, const char *video, uint32_t index);

/* Where bytes can be put at once, and how many; NULL: nowhere now. */
char *intake_room(struct intake *in, size_t *len);

/* From a data event; at most what one event can bring. Copies what is not there already,
 * in the room. */
void intake_put(struct intake *in, const char *bytes, size_t len);

/* What has come and is not being written yet: until then the file's start. */
struct str intake_held(const struct intake *in);

/* Behind every event of the body: goes on with whatever comes next. */
void intake_go(struct intake *in);
void intake_end(struct intake *in);
/* No more of it; the first word counts. FAIL_CLOSED: the client has left. */
void intake_stop(struct intake *in, int err);

/* Gives back memory and promises; safe on one that never began. */
void intake_deinit(struct intake *in);

#endif
