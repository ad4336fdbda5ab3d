#include "api/api.h"
#include "base/err.h"
#include "core/hub.h"

int job_watch(const struct api *api, struct hub *hub, struct session *s, const char *id,
              uint64_t after, struct update *known)
{
    int err = hub_subscribe_after(hub, s, id, after);

    if (err || known == NULL || api->fleet == NULL)
        return err;
    /* The ledger mirrors what is watched, and only since now: it is told what was
     * found, and the session begins there instead of at nothing. */
    ledger_hear(api->ledger, known);
    return hub_subscribe_after(hub, s, id, after);
}

bool job_refuse_away(struct call *c, int err)
{
    if (err != FAIL_CLOSED)
        return false;
    exchange_header(c->x, "Retry-After", "1");
    reply_error(c->x, 503, "redis_away", NULL, RECORDS_AWAY);
    return true;
}

void job_refuse(struct call *c, int err, const struct update *u)
{
    if (u != NULL)
        reply_error(c->x, 507, "not_stored", NULL, "the job could not be put on record: %s",
                    fail_text(err));
    else if (err == FAIL_LIMIT)
        reply_error(c->x, 503, "too_many_jobs", NULL, "%s", c->api->records->limit);
    else if (!job_refuse_away(c, err))
        reply_error(c->x, 500, "internal", NULL, "the job's record failed: %s", fail_text(err));
}

bool job_is_known(struct call *c, int err, const char *field, const char *what, const char *id)
{
    if (err == FAIL_MISSING || err == FAIL_DENIED)
        reply_error(c->x, 404, "not_found", field, "there is no %s %s", what, id);
    else if (err)
        job_refuse(c, err, NULL);
    return err == OK;
}

void job_find_in_path(struct call *c, record_done *found)
{
    if (job_id_is_valid(str_of(c->segments[0])))
        c->api->records->find(c, c->segments[0], found);
    else
        job_is_known(c, FAIL_MISSING, NULL, "job", c->segments[0]);
}
