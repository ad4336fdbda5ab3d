#include "base/msg.h"

#include <string.h>

#include "base/mem.h"

struct msg *msg_alloc(size_t len)
{
    struct msg *m = mem_alloc(sizeof(*m) + len);

    atomic_init(&m->refs, 1);
    m->len = len;
    return m;
}

struct msg *msg_new(const void *bytes, size_t len)
{
    struct msg *m = msg_alloc(len);

    if (len > 0)
        memcpy(m->data, bytes, len);
    return m;
}

struct msg *msg_ref(struct msg *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void msg_unref(struct msg **m)
{
    struct msg *gone = *m;

    *m = NULL;
    if (gone != NULL && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        mem_free(gone);
}
