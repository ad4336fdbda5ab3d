/* A job's state as Redis keeps it and as nodes publish it to one another:
 *
 *   NUMBER TOKEN {"id":...}
 *
 * the update's number, the token of the lease that last wrote it (0: none), and
 * everything else as JSON. Pure. */
#ifndef FLEET_RECORD_H
#define FLEET_RECORD_H

#include "base/buf.h"
#include "core/update.h"

/* A state of full length in all its texts and JSON. */
enum { FLEET_RECORD_MAX = 256 * 1024 };

struct fleet_record {
    struct update *update; /* one reference */
    uint64_t token;
    uint64_t write; /* of the write that made it: random, so a node knows its own */
    uint64_t from;  /* hash of the foreign report that was last in it, or 0 */
};

/* The JSON part. */
void fleet_record_write(const struct update *u, uint64_t write, uint64_t from, struct buf *out);

/* Whether that write made it; without reading it all. */
bool fleet_record_is_of(struct str text, uint64_t write);

/* FAIL_SYNTAX: nobody of us wrote this. End with fleet_record_deinit. */
int fleet_record_read(struct str text, struct fleet_record *out);
void fleet_record_deinit(struct fleet_record *r);

#endif
