/* The state that the changes which wait come to, by the rules of core/update.h. */
#include <string.h>

#include <utlist.h>

#include "base/err.h"
#include "fleet/jobs_room.h"

enum { CROWDED = 16 }; /* so many changes of one job wait: they are merged from then on */

static int judge(const struct write *w, const struct update *at)
{
    if (at == NULL)
        return w->when == FLEET_IF_THERE ? FAIL_MISSING : OK;
    if (w->when == FLEET_IF_NEW)
        return FAIL_EXISTS;
    if (w->viewer != NULL && !viewer_may_see(w->viewer, at))
        return FAIL_DENIED;
    if (w->is_report && at->kind != JOB_EXTERNAL)
        return FAIL_UNSUPPORTED;
    return OK;
}

static int derive(const struct job *job, struct write *w, const struct update *at,
                  struct update **out)
{
    struct fleet_port *port = job->owner->port;
    int err = judge(w, at);

    if (err)
        return err;
    w->change.text[TEXT_ID] = job->id;
    return update_derive(at, &w->change, at ? at->seq + 1 : 1, port->ops->wall_ms(port), out);
}

/* Another step of the same stage is worded otherwise, and worth hearing. */
static bool is_same_step(const struct write *a, const struct write *b)
{
    const char *one = a->change.text[TEXT_MESSAGE], *other = b->change.text[TEXT_MESSAGE];

    return one == NULL || other == NULL || strcmp(one, other) == 0;
}

/* Whether it goes into the same record as `first`, which nobody hears by itself then.
 * An end does not: how far it had come is heard before. */
static bool may_join(const struct job *job, const struct write *first, const struct write *w)
{
    bool is_crowded = job->write_count > CROWDED;

    if (w->change.state >= 0 && job_is_final((enum job_state)w->change.state))
        return false;
    if (w->token != first->token)
        return false;
    if (w->is_latest_only && first->is_latest_only)
        return is_crowded || is_same_step(first, w);
    return is_crowded && w->hash && first->hash;
}

/* Whether a stage that was left within the batch begins anew: without the record between,
 * its progress would seem to run backwards. */
static bool comes_back(const struct update *known, const struct update *at,
                       const struct update *following)
{
    const char *stage = known != NULL ? update_text(known, TEXT_STAGE) : NULL;

    return stage != NULL && strcmp(update_text(at, TEXT_STAGE), stage) != 0 &&
           strcmp(update_text(following, TEXT_STAGE), stage) == 0;
}

/* The state that the first changes come to, as many as may be merged; false: none of
 * those `count` is possible. */
bool derive_batch(struct job *job, size_t *count)
{
    struct update *at = job->known.update ? update_ref(job->known.update) : NULL;
    struct write *w, *first = job->writes;
    bool is_changed = false;

    *count = 0;
    DL_FOREACH(job->writes, w)
    {
        struct update *following;
        if (*count == BATCH_MAX || (w != first && !may_join(job, first, w)))
            break;
        ++*count;
        w->err = derive(job, w, at, &following);
        if (w->err)
            continue;
        if (is_changed && comes_back(job->known.update, at, following)) {
            update_unref(&following);
            --*count;
            break;
        }
        /* What was not heard by itself still began the attempt. */
        following->is_start |= is_changed && at->is_start;
        update_unref(&at);
        at = following;
        is_changed = true;
        if (job_is_final(at->state))
            break;
    }
    job->is_turn =
        is_changed && (job->known.update == NULL || job->known.update->state != at->state);
    if (is_changed)
        job->next = at;
    else
        update_unref(&at);
    return is_changed;
}
