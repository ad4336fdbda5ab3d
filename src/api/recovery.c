#include "api/recovery.h"

#include "base/encode.h"

enum { PID_BYTES = 16, SID_BYTES = 15 };

_Static_assert(ENCODE_BASE64URL_SIZE(PID_BYTES) == RECOVERY_PID_SIZE, "");
_Static_assert(ENCODE_BASE64URL_SIZE(SID_BYTES) == RECOVERY_SID_SIZE, "");

static void random_name(char *out, size_t bytes)
{
    unsigned char dice[PID_BYTES];

    random_bytes(dice, bytes);
    encode_base64url(dice, bytes, out);
}

void recovery_name(struct recovery_hold *hold)
{
    *hold = (struct recovery_hold){ 0 };
    random_name(hold->pid, PID_BYTES);
    random_name(hold->sid, SID_BYTES);
}

struct recovery_wait *recovery_claim(struct recovery *r, const struct recovery_ask *ask)
{
    struct recovery_answer answer = { 0 };

    if (ask->pid != NULL)
        return r->ops->claim(r, ask);
    recovery_name(&answer.hold);
    ask->done(ask->context, &answer);
    return NULL;
}

void recovery_abandon(struct recovery *r, struct recovery_wait *wait)
{
    r->ops->abandon(r, wait);
}

void recovery_join(struct recovery *r, const struct recovery_hold *hold, const char *subject,
                   const char *job)
{
    r->ops->join(r, hold, subject, job);
}

void recovery_part(struct recovery *r, const struct recovery_hold *hold, const char *job)
{
    r->ops->part(r, hold, job);
}

void recovery_lose(struct recovery *r, const struct recovery_hold *hold, uint64_t now_ms)
{
    r->ops->lose(r, hold, now_ms);
}

void recovery_forget(struct recovery *r, const struct recovery_hold *hold)
{
    r->ops->forget(r, hold);
}

void recovery_sweep(struct recovery *r, uint64_t now_ms)
{
    if (r->ops->sweep != NULL)
        r->ops->sweep(r, now_ms);
}

void recovery_free(struct recovery *r)
{
    if (r != NULL)
        r->ops->free(r);
}
