/* The book of nodes that share their jobs and work through one Redis. Of a `serve` it
 * admits uploads, ends them and puts their processing into the queue; of a `worker` it
 * takes works from there and processes them, each under a lease.
 *
 * On the port's thread, which is the desk's. */
#ifndef MEDIA_BOOK_FLEET_H
#define MEDIA_BOOK_FLEET_H

#include "fleet/jobs.h"
#include "fleet/work.h"
#include "io/mailbox.h"
#include "media/book.h"
#include "media/pipeline.h"
#include "storage/disk.h"

struct book_fleet_parts {
    struct mailbox *mailbox; /* the desk's own */
    struct fleet_jobs *jobs;
    struct fleet_work *work;
    struct disk *disk;
};

/* Borrows all of it. */
struct pipeline_book *book_fleet_new(const struct book_fleet_parts *parts);

/* Before `jobs` and `work` go: what is asked from now on fails with FAIL_CANCELLED, as
 * they have what waits fail. */
void book_fleet_close(struct pipeline_book *b);
void book_fleet_free(struct pipeline_book *b); /* behind the pipelines; closes; NULL is fine */

/* Processes up to `slots` works at a time from now on; 0: takes no more. */
void book_fleet_serve(struct pipeline_book *b, struct pipelines *ps, uint32_t slots);

#endif
