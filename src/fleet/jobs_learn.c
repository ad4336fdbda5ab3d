/* What Redis says of a job, and what of it is news. */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "fleet/jobs_room.h"

/* What was only looked at, and has ended, is no news to those who watch all, unless they were
 * shown it before. */
void learn_tell(struct job *job, bool is_news)
{
    if (job->owner->ledger == NULL || job->known.update == NULL)
        return;
    if (is_news || job->is_watched || index_is_shown(job->owner, job->known.update))
        ledger_hear(job->owner->ledger, job->known.update);
}

uint64_t learn_number(const struct job *job)
{
    return job->known.update != NULL ? job->known.update->seq : 0;
}

/* Everything that a state says, as a change; borrows its texts. */
struct change learn_change(const struct update *u)
{
    struct change c;

    change_init(&c);
    c.state = (int)u->state;
    c.kind = (int)u->kind;
    c.fraction = u->fraction;
    c.stage_fraction = u->stage_fraction;
    c.speed = u->speed;
    c.eta_ms = u->eta_ms;
    c.bytes_done = u->bytes_done;
    c.bytes_total = u->bytes_total;
    c.file_size = u->file_size;
    for (int i = 0; i < UPDATE_TEXTS; i++)
        c.text[i] = u->text[i];
    return c;
}

/* While Redis had lost its memory, somebody who did not know the job made it anew.
 * What is known here is more: the other one's words are a change of that. */
static void contest(struct job *job, struct fleet_record *r)
{
    struct change c = learn_change(r->update);

    if (job->contested < r->update->seq) {
        log_info("job_contested", LOG_S("job", job->id));
        job->contested = r->update->seq;
        writes_append(job, write_new(&(struct fleet_apply){ .id = job->id,
                                                            .change = &c,
                                                            .when = FLEET_ALWAYS },
                                     NULL, NULL));
    }
    fleet_record_deinit(r);
}

/* An older one is passed over: what Redis has lost is not unlearnt. */
static void learn(struct job *job, struct fleet_record *r, bool is_news)
{
    const struct update *known = job->known.update;

    if (r->update->seq == learn_number(job))
        job->known.from = r->from;
    if (r->update->seq <= learn_number(job)) {
        fleet_record_deinit(r);
        return;
    }
    if (known != NULL && known->created_ms < r->update->created_ms) {
        contest(job, r);
        return;
    }
    /* An end that was put back is the same end. */
    bool is_same_end =
        known != NULL && job_is_final(known->state) && known->state == r->update->state;
    fleet_record_deinit(&job->known);
    job->known = *r;
    if (!is_same_end)
        learn_tell(job, is_news);
}

static bool is_own_doing(const struct job *job, const struct fleet_record *r)
{
    return job->sent > 0 && r->write == job->next_write;
}

/* What those under way have come to, with the number it got; takes it. */
void learn_next(struct job *job, struct update *u)
{
    struct fleet_record r = {
        .update = u, .token = job->writes->token, .write = job->next_write, .from = job->next_from
    };

    learn(job, &r, true);
}

/* Before its answer, which may be lost and then give it another number. */
static struct update *copy_of_next(const struct job *job, uint64_t number)
{
    struct change c = learn_change(job->next);
    struct update *u = update_restore(&c, number, job->next->created_ms, job->next->time_ms);

    u->is_start = job->next->is_start;
    return u;
}

bool learn_knows(struct job *job, struct str record)
{
    struct str rest = record;
    uint64_t number;

    if (str_parse_u64(str_cut(&rest, ' '), UINT64_MAX, &number) != OK)
        return false; /* who reads it complains */
    bool is_known = number <= learn_number(job);
    if (!is_known && (job->sent == 0 || !fleet_record_is_of(record, job->next_write)))
        return false;
    if (number > job->number_there)
        job->number_there = number;
    /* It may have been overtaken, or be all that is left in a Redis that lost the newer one. */
    job->is_doubted |= number < learn_number(job);
    if (!is_known)
        learn_next(job, copy_of_next(job, number));
    if (!is_known && !job->is_running)
        writes_end_sent(job, OK);
    return true;
}

void learn_take(struct job *job, struct fleet_record *r)
{
    if (r->update->seq > job->number_there)
        job->number_there = r->update->seq;
    bool is_done = is_own_doing(job, r) && !job->is_running;
    learn(job, r, true);
    if (is_done)
        writes_end_sent(job, OK);
}

/* The record in an answer: it is what is there now. */
void learn_text(struct job *job, struct str text)
{
    struct fleet_record r;
    struct str rest = text, number = str_cut(&rest, ' ');

    job->is_fresh = !job->is_outdated;
    job->is_outdated = false;
    job->number_there = 0;
    if (text.len == 0)
        return;
    if (str_parse_u64(number, UINT64_MAX, &job->number_there) != OK ||
        fleet_record_read(text, &r) != OK) {
        log_error("record_unreadable", LOG_S("job", job->id));
        return;
    }
    bool is_done = is_own_doing(job, &r);
    learn(job, &r, is_done);
    if (is_done)
        writes_end_sent(job, OK);
}
