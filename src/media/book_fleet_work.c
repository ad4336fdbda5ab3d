/* What a worker's book does besides: works that are claimed, and words from worker
 * threads. */
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/book_fleet_room.h"
#include "media/pipeline_run.h"

/* Words from elsewhere */

struct word {
    struct mail mail;
    struct book_fleet *book;
    uint64_t token;
    struct change change;
    char *texts[UPDATE_TEXTS];
    char video[JOB_ID_MAX + 1];
};

void book_fleet_unref(struct book_fleet *f)
{
    if (atomic_fetch_sub(&f->refs, 1) == 1)
        mem_free(f);
}

static void word_open(struct mail *mail)
{
    struct word *w = (struct word *)mail;

    if (!w->book->is_closed)
        book_fleet_say(w->book, w->video, w->token, &w->change);
    book_fleet_unref(w->book);
    for (int i = 0; i < UPDATE_TEXTS; i++)
        mem_free(w->texts[i]);
    mem_free(w);
}

void book_fleet_say_anywhere(struct pipeline_book *b, const char *video, uint64_t token,
                             const struct change *c)
{
    struct book_fleet *f = (struct book_fleet *)b;

    if (pthread_equal(pthread_self(), f->desk)) {
        if (!f->is_closed)
            book_fleet_say(f, video, token, c);
        return;
    }
    struct word *w = mem_new(struct word);
    w->mail.open = word_open;
    w->book = f;
    w->token = token;
    w->change = *c;
    for (int i = 0; i < UPDATE_TEXTS; i++)
        if (c->text[i] != NULL)
            w->change.text[i] = w->texts[i] = mem_strdup(c->text[i]);
    snprintf(w->video, sizeof(w->video), "%s", video);
    atomic_fetch_add(&f->refs, 1);
    mailbox_post(f->parts.mailbox, &w->mail);
}

/* Works. Before anything of one is touched its job hears of the new token: from then
 * on its last holder, should it be there still, can end the job no more. */

struct claim {
    struct claim *prev, *next;
    struct book_fleet *book;
    uint64_t token;
    unsigned failures;
    bool is_cancelled, is_lost;
    char *step, *spec, *why;
    char video[JOB_ID_MAX + 1];
};

static void claim_free(struct claim *c)
{
    DL_DELETE(c->book->claims, c);
    mem_free(c->step);
    mem_free(c->spec);
    mem_free(c->why);
    mem_free(c);
}

static void take(struct claim *c, const struct update *u)
{
    struct pipelines *ps = c->book->pipelines;
    struct spec spec;

    if (spec_read(c->spec, &spec) != OK) {
        log_error("work_unreadable", LOG_S("job", c->video), LOG_S("step", c->step));
        pipelines_end_upload(ps, c->video, c->token, JOB_FAILED,
                             "what is on record of its processing cannot be read");
        return;
    }
    if (strcmp(c->step, pipeline_first(&spec)->name) != 0 || c->failures > 0)
        log_info("job_resumed", LOG_S("job", c->video), LOG_S("step", c->step));
    pipelines_take(ps, &(struct taken){ .video = c->video,
                                        .token = c->token,
                                        .step = c->step,
                                        .spec = &spec,
                                        .job = u,
                                        .is_cancelled = c->is_cancelled,
                                        .failures = c->failures,
                                        .why = c->why });
}

static void give_back(struct claim *c)
{
    fleet_work_release(c->book->parts.work, c->video, c->token, NULL, NULL);
}

static void claim_found(void *context, int err, struct update *u)
{
    struct claim *c = context;

    if (c->book->pipelines->is_draining && err != FAIL_CANCELLED && !c->is_lost)
        give_back(c);
    else if (err == OK && !c->is_lost)
        take(c, u);
    else if (err == FAIL_MISSING && !c->is_lost)
        take(c, NULL);
    else if (err != FAIL_CANCELLED && err != FAIL_STALE && !c->is_lost)
        give_back(c);
    claim_free(c);
}

static void claim_heard(void *context, int err, struct update *u)
{
    struct claim *c = context;

    if (err == FAIL_STATE && !c->is_lost) /* its job has ended already */
        fleet_jobs_find(c->book->parts.jobs, c->video, claim_found, c);
    else
        claim_found(c, err, u);
}

static void claimed(void *context, const struct fleet_lease *lease)
{
    struct book_fleet *f = context;
    struct claim *c = mem_new(struct claim);
    struct change nothing;

    c->book = f;
    c->token = lease->token;
    c->failures = lease->is_exhausted ? lease->attempt - 1 : 0;
    c->is_cancelled = lease->is_cancelled;
    c->step = mem_strdup(lease->step);
    c->spec = mem_strdup(lease->spec);
    c->why = mem_strdup(lease->why);
    snprintf(c->video, sizeof(c->video), "%s", lease->job);
    DL_APPEND(f->claims, c);
    log_info("job_claimed", LOG_S("job", c->video), LOG_S("step", c->step),
             LOG_I("attempt", lease->attempt), LOG_I("takeover", lease->is_takeover));
    change_init(&nothing);
    fleet_jobs_apply(f->parts.jobs,
                     &(struct fleet_apply){ .id = c->video, .change = &nothing, .token = c->token },
                     claim_heard, c);
}

static struct claim *find_claim(struct book_fleet *f, const char *job, uint64_t token)
{
    struct claim *c;

    DL_FOREACH(f->claims, c)
    if (c->token == token && strcmp(c->video, job) == 0)
        return c;
    return NULL;
}

static void lost(void *context, const char *job, uint64_t token)
{
    struct book_fleet *f = context;
    struct claim *c = find_claim(f, job, token);

    if (c != NULL)
        c->is_lost = true;
    else
        pipelines_lose(f->pipelines, job, token);
}

static void cancelled(void *context, const char *job, uint64_t token)
{
    struct book_fleet *f = context;
    struct claim *c = find_claim(f, job, token);

    if (c != NULL)
        c->is_cancelled = true;
    else
        pipelines_end_lease(f->pipelines, job, token);
}

static const struct fleet_worker_events worker_events = { .claimed = claimed,
                                                          .lost = lost,
                                                          .cancel = cancelled };

void book_fleet_serve(struct pipeline_book *b, struct pipelines *ps, uint32_t slots)
{
    struct book_fleet *f = (struct book_fleet *)b;

    f->pipelines = ps;
    fleet_work_serve(f->parts.work, slots, &worker_events, f);
}
