#include "core/hook.h"

#include <assert.h>

#include "base/err.h"
#include "base/mem.h"

const char *hook_type_name(enum hook_type type)
{
    static const char *const names[HOOK_TYPES] = {
        [HOOK_CREATED] = "job.created",
        [HOOK_COMPLETED] = "job.completed",
        [HOOK_FAILED] = "job.failed",
        [HOOK_CANCELLED] = "job.cancelled",
    };

    return names[type];
}

enum hook_type hook_type_of(enum job_state final)
{
    assert(job_is_final(final));
    return final == JOB_COMPLETED ? HOOK_COMPLETED
           : final == JOB_FAILED  ? HOOK_FAILED
                                  : HOOK_CANCELLED;
}

const char *hook_state_name(enum hook_state state)
{
    static const char *const names[HOOK_STATES] = { "pending", "delivered", "failed" };

    return names[state];
}

int hook_state_parse(struct str name, enum hook_state *out)
{
    for (enum hook_state state = 0; state < HOOK_STATES; state++) {
        if (str_equal(name, str_of(hook_state_name(state)))) {
            *out = state;
            return OK;
        }
    }
    return FAIL_SYNTAX;
}

void hook_delivery_deinit(struct hook_delivery *d)
{
    mem_free(d->message);
    mem_free(d->job);
    mem_free(d->type);
    mem_free(d->url);
    mem_free(d->why);
    mem_free(d->body);
    *d = (struct hook_delivery){ 0 };
}

void hook_deliveries_free(struct hook_delivery *deliveries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hook_delivery_deinit(&deliveries[i]);
    mem_free(deliveries);
}
