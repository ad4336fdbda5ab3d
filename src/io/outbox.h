/* What a socket was given and did not take, in the order it will be sent: of a
 * shared message the rest by reference, bytes of one's own copied. An owner has
 * a pointer to it, NULL as long as the socket takes everything: nothing is
 * allocated before, and nothing is left when it takes bytes again. While it is
 * there the connection is watched for that, and no further message is taken.
 * Private to io/. */
#ifndef IO_OUTBOX_H
#define IO_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/msg.h"
#include "io/connection.h"

struct outbox;

enum { OUTBOX_LATEST_MAX = 127 };

/* As a sink's send: how many of the messages were taken. Borrows them. */
unsigned outbox_send(struct outbox **o, struct connection *c, struct msg *const *messages,
                     unsigned count);

/* Bytes of one's own; they are always taken. */
void outbox_put(struct outbox **o, struct connection *c, const void *bytes, size_t len);

/* The same, behind everything else, for what counts only in its latest form: as
 * long as nothing of it was sent, another takes its place. */
void outbox_put_latest(struct outbox **o, struct connection *c, const void *bytes, size_t len);
void outbox_drop_latest(struct outbox *o);

/* The socket takes bytes again; true when nothing waits any longer. */
bool outbox_flush(struct outbox **o, struct connection *c);

size_t outbox_bytes(const struct outbox *o); /* those that were put */
void outbox_free(struct outbox **o);

#endif
