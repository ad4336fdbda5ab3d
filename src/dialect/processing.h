/* The events of document 001, the NestJS gateway: what the dialects `socketio`
 * and `plain` have in common. Which events there are is said here; how an event
 * is put on the wire is theirs. */
#ifndef DIALECT_PROCESSING_H
#define DIALECT_PROCESSING_H

#include "core/dialect.h"
#include "dialect/dialects.h"

/* Writes what stands before and behind an event's data. */
struct spelling {
    void (*begin)(struct buf *out, const char *event);
    void (*end)(struct buf *out);
};

void processing_render(const struct spelling *spelling, const struct update *u, struct words *out);

/* The answer to a client's event: `subscribed`, `unsubscribed` or `exception`,
 * or none when it was not for us. */
void processing_answer(const struct spelling *spelling, const struct processing_call *call,
                       struct words *out);

#endif
