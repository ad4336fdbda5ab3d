/* What the files of one way to keep records have of each other: the ops of
 * api/records.h that are in a file of their own, and little else. */
#ifndef API_RECORDS_ROOM_H
#define API_RECORDS_ROOM_H

#include "api/records.h"

/* records_local_uploads.c */
void local_open(struct call *c, const char *id, const struct change *job, const struct upload *u,
                upload_done *done);
void local_look(struct call *c, const char *id, upload_found *done);
void local_plan(struct call *c, const char *id, uint32_t chunks, upload_planned *done);
void local_take_chunk(struct call *c, const char *id, struct chunk_write *file, upload_done *done);

void local_take_slice(struct call *c, const char *id, const struct upload *u,
                      struct chunk_write *file, const struct slice_end *end, upload_sliced *done);
void local_declare(struct call *c, const char *id, int64_t size, upload_done *done);

/* records_slices.c: the same for both */
bool record_is_in_bucket(const struct call *c, const struct upload *u);
void record_slices(struct call *c, const char *id, const struct upload *u, upload_sliced *done);
void record_join(struct call *c, const char *from, const char *to, upload_sliced *done);

/* records_fleet_uploads.c */
void remote_open(struct call *c, const char *id, const struct change *job, const struct upload *u,
                 upload_done *done);
void remote_look(struct call *c, const char *id, upload_found *done);
void remote_plan(struct call *c, const char *id, uint32_t chunks, upload_planned *done);
void remote_take_chunk(struct call *c, const char *id, struct chunk_write *file, upload_done *done);
void remote_take_slice(struct call *c, const char *id, const struct upload *u,
                       struct chunk_write *file, const struct slice_end *end, upload_sliced *done);
void remote_declare(struct call *c, const char *id, int64_t size, upload_done *done);

/* records_fleet.c */

/* How long a call waits for Redis. */
enum { REMOTE_PATIENCE_MS = 5000 };

/* To handlers it is all one why Redis has not answered: FAIL_CLOSED. */
int remote_outcome(int err);

#endif
