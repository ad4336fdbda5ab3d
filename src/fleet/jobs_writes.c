/* What waits for Redis: a job's changes, and who asked for its state. */
#include <string.h>

#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "fleet/jobs_room.h"

enum { WRITES_MAX = 1024 }; /* of one job; the oldest that others replace makes room */

struct write *write_new(const struct fleet_apply *a, fleet_job_done *done, void *context)
{
    struct write *w = mem_new(struct write);

    w->change = *a->change;
    for (int i = 0; i < UPDATE_TEXTS; i++) {
        w->texts[i] = a->change->text[i] != NULL ? mem_strdup(a->change->text[i]) : NULL;
        w->change.text[i] = w->texts[i];
    }
    w->when = a->when;
    w->is_report = a->is_report;
    w->is_latest_only = a->is_latest_only;
    w->viewer = a->viewer != NULL ? viewer_ref((struct viewer *)a->viewer) : NULL;
    w->token = a->token;
    w->done = done;
    w->context = context;
    return w;
}

static void write_end(struct write *w, int err, struct update *u)
{
    if (w->done != NULL)
        w->done(w->context, err, err == OK ? u : NULL);
    viewer_unref(&w->viewer);
    for (int i = 0; i < UPDATE_TEXTS; i++)
        mem_free(w->texts[i]);
    mem_free(w);
}

static void detach(struct job *job, struct write *w)
{
    DL_DELETE(job->writes, w);
    job->write_count--;
    job->owner->pending--;
}

/* Those behind it say all that it says, or nobody can promise that it is heard. */
static bool is_dispensable(const struct write *w)
{
    bool is_end = w->change.state >= 0 && job_is_final((enum job_state)w->change.state);

    return !is_end && (w->hash != 0 || (w->is_latest_only && w->done == NULL));
}

bool writes_make_room(struct job *job)
{
    struct write *w;
    size_t at = 0;

    DL_FOREACH(job->writes, w)
    if (at++ >= job->sent && is_dispensable(w)) {
        detach(job, w);
        write_end(w, OK, NULL);
        return true;
    }
    return false;
}

void writes_append(struct job *job, struct write *w)
{
    if (job->write_count >= WRITES_MAX)
        writes_make_room(job);
    /* What was asked for before it came does not judge it. */
    job->is_fresh = false;
    job->is_outdated = job->is_running;
    DL_APPEND(job->writes, w);
    job->write_count++;
    job->owner->pending++;
}

void writes_find(struct job *job, struct finder *f)
{
    DL_APPEND(job->finders, f);
    job->owner->pending++;
    job->needs_look = true;
}

void writes_answer(struct job *job, int err)
{
    struct finder *all = job->finders, *f, *next;
    struct update *u = job->known.update ? update_ref(job->known.update) : NULL;

    job->finders = NULL;
    DL_FOREACH_SAFE(all, f, next)
    {
        job->owner->pending--;
        f->done(f->context, err ? err : u ? OK : FAIL_MISSING, err ? NULL : u);
        mem_free(f);
    }
    update_unref(&u);
}

/* The batch under way is over, with what each of it came to. */
void writes_end_sent(struct job *job, int err)
{
    struct write *ended = NULL, *w, *next;
    struct update *u = job->known.update ? update_ref(job->known.update) : NULL;

    if (err == OK && job->next != NULL && job->is_turn)
        index_note(job->owner, u);
    for (; job->sent > 0; job->sent--) {
        w = job->writes;
        detach(job, w);
        DL_APPEND(ended, w);
    }
    update_unref(&job->next);
    DL_FOREACH_SAFE(ended, w, next)
    write_end(w, err ? err : w->err, u);
    update_unref(&u);
}

void writes_refuse(struct job *job, size_t count)
{
    job->sent = count;
    job->is_fresh = false;
    writes_end_sent(job, OK); /* each with its own */
}

/* Those whose message is in the state already, by the script's flags. */
void writes_end_seen(struct job *job, const struct redis_reply *flags, size_t count)
{
    struct write *ended = NULL, *w, *next;
    size_t at = 0;

    DL_FOREACH_SAFE(job->writes, w, next)
    {
        if (job->sent == 0)
            break;
        job->sent--;
        if (w->hash == 0)
            continue;
        bool is_seen = count == 0 || (at < count && str_equal(flags[at].text, STR("1")));
        at++;
        if (!is_seen)
            continue;
        detach(job, w);
        DL_APPEND(ended, w);
    }
    update_unref(&job->next);
    DL_FOREACH_SAFE(ended, w, next)
    write_end(w, OK, job->known.update);
}

/* Who is told may ask for more at once: nobody is while these are gone through. */
void writes_give_up(struct job *job, uint64_t now_ms)
{
    struct write *late = NULL, *w, *next_write;
    struct finder *waited = NULL, *f, *next_finder;
    size_t at = 0;

    DL_FOREACH_SAFE(job->writes, w, next_write)
    {
        bool is_sent = at++ < job->sent;
        if (w->deadline_ms == 0 || now_ms < w->deadline_ms || (is_sent && job->is_running))
            continue;
        /* Nobody knows whether those were done; the rest of them is tried anew. */
        if (is_sent)
            update_unref(&job->next);
        if (is_sent)
            job->sent = 0;
        detach(job, w);
        DL_APPEND(late, w);
    }
    DL_FOREACH_SAFE(job->finders, f, next_finder)
    if (now_ms >= f->deadline_ms) {
        DL_DELETE(job->finders, f);
        job->owner->pending--;
        DL_APPEND(waited, f);
    }
    DL_FOREACH_SAFE(late, w, next_write)
    write_end(w, FAIL_CLOSED, NULL);
    DL_FOREACH_SAFE(waited, f, next_finder)
    {
        f->done(f->context, FAIL_CLOSED, NULL);
        mem_free(f);
    }
}

void writes_abandon(struct job *job, int err)
{
    job->sent = job->write_count;
    writes_end_sent(job, err);
    writes_answer(job, err);
}
