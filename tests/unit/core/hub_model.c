#include "watcher.h"

/* Thousands of random steps on several sessions and jobs, checked against a
 * plain model: what may be heard, and what must have been heard in the end. */
enum { JOBS = 24, WATCHERS = 7, STEPS = 6000, SEEDS = 12 };

static const char *const owners[] = { "", "ann", "bob" };
static const char *const subjects[] = { NULL, "ann", "bob" };

struct job_model {
    char id[8];
    const char *owner;
};

struct watcher_model {
    struct watcher watcher; /* first: found from what it hears */
    bool is_open;
    bool hears_all;
    const char *subject; /* NULL sees all */
    uint64_t joined;     /* the ledger's number when it asked for everything */
    bool is_subscribed[JOBS];
    bool was_in_progress[JOBS]; /* when it asked for everything */
    bool may_repeat[JOBS];      /* it subscribed again: the same may be said again */
    uint64_t last[JOBS];        /* number of what it last heard */
};

static struct job_model jobs[JOBS];
static struct watcher_model watchers[WATCHERS];
static uint64_t newest; /* number of the last update of all */
static uint64_t dice;

/* xorshift64: the same steps on every machine. */
static unsigned roll(unsigned sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)((dice >> 33) % sides);
}

static bool may_see(const struct watcher_model *w, unsigned job)
{
    return w->subject == NULL || *jobs[job].owner == '\0' ||
           strcmp(w->subject, jobs[job].owner) == 0;
}

static void check_heard(struct watcher *watcher, const char *line, uint64_t seq)
{
    struct watcher_model *w = (struct watcher_model *)watcher;
    uint64_t job;

    assert_true(w->is_open);
    if (strncmp(line, "re ", 3) == 0)
        return;
    struct str rest = str_of(line + 1);
    assert_int_equal(str_parse_u64(str_cut(&rest, ' '), JOBS - 1, &job), OK);
    assert_true(may_see(w, (unsigned)job));
    assert_true(w->hears_all || w->is_subscribed[job]);
    if (seq < w->last[job] || (seq == w->last[job] && !w->may_repeat[job]))
        fail_msg("%s: %llu after %llu", line, (unsigned long long)seq,
                 (unsigned long long)w->last[job]);
    w->last[job] = seq;
    w->may_repeat[job] = false;
}

/* --- steps --- */

static void step_report(void)
{
    const struct job_model *job = &jobs[roll(JOBS)];
    struct change c;
    struct update *u;
    unsigned what = roll(1000);

    change_init(&c);
    c.kind = roll(2) ? JOB_UPLOAD : JOB_EXTERNAL;
    c.text[TEXT_OWNER] = job->owner;
    c.fraction = roll(1000) / 1000.0;
    /* Few end for good, so that there is something to see to the last step. */
    c.state = what < 4    ? JOB_COMPLETED
              : what < 80 ? JOB_FAILED
              : what < 82 ? JOB_CANCELLED
                          : JOB_PROCESSING;
    if (what >= 800) {
        c.state = JOB_QUEUED;
        c.is_retry = true;
    }
    int err = ledger_apply(ledger, job->id, &c, true, &u);
    if (err == OK) {
        newest = u->seq;
        update_unref(&u);
    } else {
        assert_int_equal(err, FAIL_STATE);
    }
}

static void step_open(struct watcher_model *w)
{
    memset((char *)w + sizeof(w->watcher), 0, sizeof(*w) - sizeof(w->watcher));
    w->subject = subjects[roll(3)];
    w->is_open = true;
    w->watcher.heard = check_heard;
    bool is_all = roll(3) == 0;
    enter(&w->watcher, is_all ? &all_dialect : &one_dialect, w->subject);
    if (!is_all)
        return;
    for (unsigned i = 0; i < JOBS; i++) {
        struct update *u = ledger_snapshot(ledger, jobs[i].id);
        w->was_in_progress[i] = u != NULL && u->state == JOB_PROCESSING;
        update_unref(&u);
    }
    w->hears_all = true;
    w->joined = newest;
    hub_subscribe_all(hub, &w->watcher.session);
}

static void step_subscribe(struct watcher_model *w)
{
    unsigned job = roll(JOBS);

    if (w->hears_all)
        return;
    w->may_repeat[job] = true;
    w->is_subscribed[job] = true;
    assert_int_equal(hub_subscribe(hub, &w->watcher.session, jobs[job].id), OK);
}

static void step_unsubscribe(struct watcher_model *w)
{
    unsigned job = roll(JOBS);

    if (w->hears_all)
        return;
    w->is_subscribed[job] = false;
    hub_unsubscribe(hub, &w->watcher.session, jobs[job].id);
}

static void step_room(struct watcher_model *w)
{
    w->watcher.room = roll(4) ? roll(6) : ROOM_ENDLESS;
    if (w->watcher.session.is_blocked)
        session_drain(&w->watcher.session);
}

static void step_watcher(struct watcher_model *w)
{
    unsigned what = roll(100);

    if (!w->is_open) {
        if (what < 50)
            step_open(w);
        return;
    }
    if (what < 45)
        step_subscribe(w);
    else if (what < 60)
        step_unsubscribe(w);
    else if (what < 85)
        step_room(w);
    else if (what < 95 && w->watcher.session.reply_count < 8)
        ask(&w->watcher, "x");
    else if (what >= 95) {
        leave(&w->watcher);
        w->is_open = false;
    }
}

static void step(void)
{
    unsigned what = roll(100);

    if (what < 50)
        step_report();
    else if (what < 75)
        step_watcher(&watchers[roll(WATCHERS)]);
    else if (what < 88)
        deliver(roll(8));
    else if (what < 98)
        hub_flush(hub);
    else
        hub_tick(hub, hub->now_ms);
}

/* --- the end --- */

static void settle(void)
{
    for (unsigned i = 0; i < WATCHERS; i++) {
        struct watcher_model *w = &watchers[i];
        if (!w->is_open)
            continue;
        w->watcher.room = ROOM_ENDLESS;
        if (w->watcher.session.is_blocked)
            session_drain(&w->watcher.session);
    }
    turn();
}

static bool must_have_heard(const struct watcher_model *w, unsigned job, const struct update *u)
{
    if (u->state == JOB_QUEUED || !may_see(w, job))
        return false;
    return w->hears_all ? w->was_in_progress[job] || u->seq > w->joined : w->is_subscribed[job];
}

static void check_end(unsigned seed)
{
    for (unsigned job = 0; job < JOBS; job++) {
        struct update *u = ledger_snapshot(ledger, jobs[job].id);
        for (unsigned i = 0; u != NULL && i < WATCHERS; i++) {
            struct watcher_model *w = &watchers[i];
            if (w->is_open && must_have_heard(w, job, u) && w->last[job] != u->seq)
                fail_msg("seed %u: watcher %u last heard %llu of %s, which is at %llu", seed, i,
                         (unsigned long long)w->last[job], jobs[job].id,
                         (unsigned long long)u->seq);
        }
        update_unref(&u);
    }
}

static void run(unsigned seed)
{
    dice = 0x9e3779b97f4a7c15u * (seed + 1);
    newest = 0;
    for (unsigned i = 0; i < JOBS; i++) {
        snprintf(jobs[i].id, sizeof(jobs[i].id), "j%u", i);
        jobs[i].owner = owners[i % 3];
    }
    for (unsigned i = 0; i < STEPS; i++) {
        step();
        if (i % 1000 == 999) {
            settle();
            check_end(seed);
        }
    }
    for (unsigned i = 0; i < 2 * JOBS; i++) /* they leave with something due to them */
        step_report();
    deliver(MAIL_MAX);
    for (unsigned i = 0; i < WATCHERS; i++)
        if (watchers[i].is_open) {
            leave(&watchers[i].watcher);
            watchers[i].is_open = false;
        }
}

static void nobody_hears_what_is_old_and_everybody_hears_the_last(void **state)
{
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        if (seed > 0) {
            close_hub(state); /* which looks for what was left behind */
            open_hub(state);
        }
        run(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_HUB(nobody_hears_what_is_old_and_everybody_hears_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
