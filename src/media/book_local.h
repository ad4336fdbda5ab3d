/* The book of a server that is alone with its data directory: jobs in the ledger,
 * checkpoints in the store, open uploads in memory. */
#ifndef MEDIA_BOOK_LOCAL_H
#define MEDIA_BOOK_LOCAL_H

#include "core/ledger.h"
#include "io/mailbox.h"
#include "media/book.h"
#include "media/pipeline.h"
#include "media/uploads.h"
#include "storage/disk.h"
#include "store/store.h"

struct book_local_parts {
    struct mailbox *mailbox; /* the desk's own */
    struct ledger *ledger;
    struct store *store;
    struct disk *disk;
    struct uploads *uploads;
};

/* Borrows all of it. */
struct pipeline_book *book_local_new(const struct book_local_parts *parts);
void book_local_free(struct pipeline_book *b);

/* Takes up whatever a restart interrupted: call once, before requests come. */
void book_local_resume(struct pipeline_book *b, struct pipelines *ps);

#endif
