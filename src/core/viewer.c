#include "core/viewer.h"

#include <string.h>

#include "base/mem.h"

struct viewer *viewer_new(const char *subject, bool sees_all, int64_t expires_ms)
{
    size_t len = strlen(subject);
    struct viewer *v = mem_zalloc(sizeof(*v) + len + 1);

    atomic_init(&v->refs, 1);
    v->sees_all = sees_all;
    v->expires_ms = expires_ms;
    memcpy(v->subject, subject, len);
    return v;
}

struct viewer *viewer_anyone(void)
{
    static struct viewer anyone = { .refs = 1, .sees_all = true, .subject = "" };

    return viewer_ref(&anyone);
}

struct viewer *viewer_ref(struct viewer *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void viewer_unref(struct viewer **v)
{
    struct viewer *gone = *v;

    *v = NULL;
    if (gone != NULL && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        mem_free(gone);
}

bool viewer_may_see(const struct viewer *v, const struct update *u)
{
    const char *owner = update_text(u, TEXT_OWNER);

    return v->sees_all || *owner == '\0' || strcmp(owner, v->subject) == 0;
}
