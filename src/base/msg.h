/* Immutable bytes shared by reference: what fan-out hands to every socket.
 * The count is atomic, the bytes never change after msg_new, so any thread may
 * read, ref and unref. */
#ifndef BASE_MSG_H
#define BASE_MSG_H

#include <stdatomic.h>
#include <stddef.h>

struct msg {
    atomic_uint refs;
    size_t len;
    char data[];
};

/* Copies `len` bytes; the caller owns the one reference. */
struct msg *msg_new(const void *bytes, size_t len);

/* Room for `len` bytes that the caller fills before sharing it. */
struct msg *msg_alloc(size_t len);

struct msg *msg_ref(struct msg *m);

/* Drops the reference and sets the caller's pointer to NULL; NULL is fine. */
void msg_unref(struct msg **m);

#endif
