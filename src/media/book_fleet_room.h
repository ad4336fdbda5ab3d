/* Private to the book of several nodes. */
#ifndef MEDIA_BOOK_FLEET_ROOM_H
#define MEDIA_BOOK_FLEET_ROOM_H

#include <pthread.h>
#include <stdatomic.h>

#include "media/book_fleet.h"

struct book_fleet {
    struct pipeline_book base; /* first */
    struct book_fleet_parts parts;
    struct pipelines *pipelines; /* of a worker */
    struct claim *claims;        /* not begun yet */
    pthread_t desk;
    atomic_uint refs; /* its owner's, and of mail that is under way */
    bool is_closed;   /* on the desk only */
};

void book_fleet_unref(struct book_fleet *f);

/* On the desk, and from anywhere. */
void book_fleet_say(struct book_fleet *f, const char *video, uint64_t token,
                    const struct change *c);
void book_fleet_say_anywhere(struct pipeline_book *b, const char *video, uint64_t token,
                             const struct change *c);

#endif
