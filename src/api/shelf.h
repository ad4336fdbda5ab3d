/* Playlists of a bucket as viewers get them: read once, the URIs of segments replaced by
 * signed URLs, and kept for a part of these URLs' lifetime. What is published never
 * changes. On the desk. */
#ifndef API_SHELF_H
#define API_SHELF_H

#include <stdint.h>
#include <uv.h>

#include "base/msg.h"
#include "storage/storage.h"

struct shelf;

struct shelf *shelf_new(uv_loop_t *loop, struct storage *storage, uint64_t url_lifetime_s);
/* The server ends: who waits is told FAIL_CLOSED, and so is who comes. `drained` when
 * nothing runs on a worker thread any more, perhaps within the call. */
void shelf_drain(struct shelf *s, void (*drained)(void *context), void *context);
/* Behind that, or if nobody ever came; run the loop until it is empty behind this. NULL is fine. */
void shelf_close(struct shelf *s);

/* `body` is borrowed, NULL unless err is OK; `fresh_s`: for so long a viewer may keep
 * it. Once, perhaps within the call. FAIL_MISSING, FAIL_LIMIT, FAIL_TIMEOUT (sooner than
 * the storage gives up), and as storage_read. */
typedef void shelf_done(void *context, int err, const char *why, struct msg *body,
                        uint64_t fresh_s);
void shelf_read(struct shelf *s, const char *key, shelf_done *done, void *context);

#endif
