#include "api/records.h"

#include "api/api.h"
#include "base/mem.h"

bool record_is_visible(const struct call *c, const struct update *u)
{
    return u != NULL && (c->viewer == NULL || viewer_may_see(c->viewer, u));
}

void change_cancel(struct change *change)
{
    change_init(change);
    change->state = JOB_CANCELLED;
    change->text[TEXT_ERROR] = "Cancelled";
    change->text[TEXT_MESSAGE] = "Cancelled";
}

void change_take(struct change *change)
{
    for (int i = 0; i < UPDATE_TEXTS; i++)
        if (change->text[i] != NULL)
            change->text[i] = mem_strdup(change->text[i]);
}

void change_deinit(struct change *change)
{
    for (int i = 0; i < UPDATE_TEXTS; i++)
        mem_free((char *)(uintptr_t)change->text[i]);
}
