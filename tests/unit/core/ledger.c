#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/ledger.h"
#include "core/limits.h"

/* A journal and an ear that remember. */
enum { HEARD_MAX = 64 };

struct pad {
    struct journal journal;
    struct listener ear;
    struct update *updates[HEARD_MAX];
    size_t count;
};

static void keep(struct pad *pad, struct update *u)
{
    if (pad->count < HEARD_MAX)
        pad->updates[pad->count++] = update_ref(u);
}

static void append(struct journal *journal, struct update *u)
{
    keep((struct pad *)((char *)journal - offsetof(struct pad, journal)), u);
}

static void post(struct listener *ear, struct update *u)
{
    keep((struct pad *)((char *)ear - offsetof(struct pad, ear)), u);
}

static void forget(struct pad *pad)
{
    while (pad->count > 0)
        update_unref(&pad->updates[--pad->count]);
}

static struct pad written = { .journal.append = append };
static struct pad heard = { .ear.post = post };
static struct ledger *ledger;
static unsigned ear;

static int begin(void **state)
{
    (void)state;
    ledger = ledger_new(NULL, 1000);
    return ledger_listen(ledger, &heard.ear, &ear);
}

static int begin_written(void **state)
{
    (void)state;
    ledger = ledger_new(&written.journal, 1000);
    return ledger_listen(ledger, &heard.ear, &ear);
}

static int end(void **state)
{
    (void)state;
    forget(&heard);
    forget(&written);
    ledger_free(ledger);
    return 0;
}

static int say(const char *id, enum job_state to, double fraction, bool may_create)
{
    struct change c;

    change_init(&c);
    c.state = (int)to;
    c.kind = JOB_UPLOAD;
    c.fraction = fraction;
    return ledger_apply(ledger, id, &c, may_create, NULL);
}

static void progress(const char *id, double fraction)
{
    assert_int_equal(say(id, JOB_PROCESSING, fraction, true), OK);
}

static void finish(const char *id)
{
    assert_int_equal(say(id, JOB_COMPLETED, 1, true), OK);
}

static void watch(const char *id)
{
    struct update *u = ledger_watch(ledger, id, ear);

    update_unref(&u);
}

/* What the ledger gives as heard or accepted: its number, 0 for nothing. */
static uint64_t seq_of(struct update *u)
{
    uint64_t seq = u ? u->seq : 0;

    update_unref(&u);
    return seq;
}

/* --- applying --- */

static void a_report_makes_the_job_if_it_may(void **state)
{
    (void)state;
    assert_int_equal(say("a", JOB_PROCESSING, 0.5, false), FAIL_MISSING);
    assert_null(ledger_snapshot(ledger, "a"));
    progress("a", 0.5);
    struct update *u = ledger_snapshot(ledger, "a");
    assert_string_equal(u->text[TEXT_ID], "a");
    assert_int_equal(u->kind, JOB_UPLOAD);
    assert_true(u->fraction == 0.5);
    update_unref(&u);
    assert_int_equal(say("a", JOB_PROCESSING, 0.6, false), OK);
}

static void a_job_is_created_once(void **state)
{
    struct change c;
    struct update *u = NULL;

    (void)state;
    change_init(&c);
    assert_int_equal(ledger_create(ledger, "a", &c, &u), OK);
    assert_int_equal(u->state, JOB_QUEUED);
    update_unref(&u);
    assert_int_equal(ledger_create(ledger, "a", &c, &u), FAIL_EXISTS);
    assert_null(u);
    finish("a");
    assert_int_equal(ledger_create(ledger, "a", &c, &u), FAIL_EXISTS);
}

static void watching_an_id_does_not_make_it_a_job(void **state)
{
    struct change c;

    (void)state;
    watch("a");
    assert_int_equal(say("a", JOB_PROCESSING, 0.5, false), FAIL_MISSING);
    change_init(&c);
    assert_int_equal(ledger_create(ledger, "a", &c, NULL), OK);
    assert_int_equal(heard.count, 1);
}

static void a_refused_move_changes_nothing(void **state)
{
    struct update *u = NULL;
    struct change c;

    (void)state;
    finish("a");
    uint64_t seq = seq_of(ledger_head(ledger, "a"));
    change_init(&c);
    c.state = JOB_FAILED;
    assert_int_equal(ledger_apply(ledger, "a", &c, true, &u), FAIL_STATE);
    assert_null(u);
    assert_int_equal(seq_of(ledger_head(ledger, "a")), seq);
}

static void numbers_grow_over_all_jobs_behind_the_first(void **state)
{
    uint64_t before = 1000;

    (void)state;
    for (int i = 0; i < 10; i++) {
        const char *id = i % 2 ? "a" : "b";
        progress(id, 0.1 * i);
        uint64_t seq = seq_of(ledger_head(ledger, id));
        assert_true(seq > before);
        before = seq;
    }
}

/* --- the journal --- */

static void what_is_accepted_is_not_heard_before_it_is_written(void **state)
{
    (void)state;
    watch("a");
    progress("a", 0.5);
    assert_int_equal(written.count, 1);
    assert_int_equal(heard.count, 0);
    assert_null(ledger_snapshot(ledger, "a"));
    assert_int_equal(seq_of(ledger_head(ledger, "a")), 1001);
    ledger_confirm(ledger, written.updates, 1);
    assert_int_equal(heard.count, 1);
    assert_ptr_equal(heard.updates[0], written.updates[0]);
    assert_int_equal(seq_of(ledger_snapshot(ledger, "a")), 1001);
}

static void a_change_is_measured_against_what_was_accepted(void **state)
{
    (void)state;
    progress("a", 0.5);
    finish("a");
    assert_int_equal(say("a", JOB_PROCESSING, 0.9, true), FAIL_STATE);
    assert_int_equal(written.count, 2);
}

static void everything_accepted_is_written_and_heard_in_order(void **state)
{
    (void)state;
    watch("a");
    for (int i = 0; i < 5; i++)
        progress("a", 0.1 * i);
    ledger_confirm(ledger, written.updates, 2);
    ledger_confirm(ledger, written.updates + 2, 3);
    assert_int_equal(heard.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_ptr_equal(heard.updates[i], written.updates[i]);
}

static void a_confirmation_out_of_order_is_not_heard(void **state)
{
    (void)state;
    watch("a");
    progress("a", 0.1);
    progress("a", 0.2);
    ledger_confirm(ledger, written.updates + 1, 1);
    ledger_confirm(ledger, written.updates, 2);
    assert_int_equal(heard.count, 1);
    assert_ptr_equal(heard.updates[0], written.updates[1]);
}

/* --- watching --- */

static void only_what_is_watched_is_heard(void **state)
{
    (void)state;
    watch("a");
    progress("a", 0.1);
    progress("b", 0.1);
    assert_int_equal(heard.count, 1);
    ledger_unwatch(ledger, "a", ear);
    progress("a", 0.2);
    assert_int_equal(heard.count, 1);
    ledger_unwatch(ledger, "never", ear);
}

static void a_watch_gives_the_present_and_then_what_follows(void **state)
{
    (void)state;
    assert_null(ledger_watch(ledger, "a", ear));
    progress("a", 0.1);
    progress("a", 0.2);
    forget(&heard);
    struct update *present = ledger_watch(ledger, "a", ear);
    progress("a", 0.3);
    assert_int_equal(heard.count, 1); /* once per thread and job, however often it watches */
    assert_int_equal(heard.updates[0]->seq, present->seq + 1);
    update_unref(&present);
}

static void a_watch_gives_what_was_heard_not_what_was_accepted(void **state)
{
    (void)state;
    progress("a", 0.1);
    assert_null(ledger_watch(ledger, "a", ear));
    ledger_confirm(ledger, written.updates, 1);
    assert_int_equal(heard.count, 1);
    progress("a", 0.2);
    assert_int_equal(seq_of(ledger_watch(ledger, "a", ear)), 1001);
}

static void every_listener_hears_of_its_own_watches(void **state)
{
    struct pad other = { .ear.post = post };
    unsigned index;

    (void)state;
    assert_int_equal(ledger_listen(ledger, &other.ear, &index), OK);
    assert_int_not_equal(index, ear);
    watch("a");
    assert_null(ledger_watch(ledger, "b", index));
    progress("a", 0.1);
    progress("b", 0.1);
    progress("b", 0.2);
    assert_int_equal(heard.count, 1);
    assert_int_equal(other.count, 2);
    forget(&other);
}

static void there_is_a_place_for_64_listeners(void **state)
{
    unsigned index = 999;

    (void)state;
    for (unsigned i = 1; i < LEDGER_LISTENERS_MAX; i++) {
        assert_int_equal(ledger_listen(ledger, &heard.ear, &index), OK);
        assert_int_equal(index, i);
    }
    assert_int_equal(ledger_listen(ledger, &heard.ear, &index), FAIL_LIMIT);
    ledger_watch_all(ledger, LEDGER_LISTENERS_MAX - 1, NULL, NULL);
    progress("a", 0.1); /* the last of them hears, too */
    assert_int_equal(heard.count, 1);
}

static void count_ids(void *context, struct update *u)
{
    unsigned *seen = context;

    *seen += u->text[TEXT_ID][0] == 'a' ? 1 : u->text[TEXT_ID][0] == 'b' ? 10 : 100;
}

static void watching_all_begins_with_what_is_unfinished(void **state)
{
    unsigned seen = 0;

    (void)state;
    progress("a", 0.1);
    assert_int_equal(say("b", JOB_QUEUED, 0, true), OK);
    finish("c");
    watch("d");
    ledger_watch_all(ledger, ear, count_ids, &seen);
    assert_int_equal(seen, 11);
    progress("a", 0.2);
    progress("e", 0.2);
    assert_int_equal(heard.count, 2);
    ledger_unwatch_all(ledger, ear);
    progress("a", 0.3);
    assert_int_equal(heard.count, 2);
}

static void a_job_that_is_watched_twice_over_is_heard_once(void **state)
{
    unsigned seen = 0;

    (void)state;
    watch("a");
    ledger_watch_all(ledger, ear, count_ids, &seen);
    progress("a", 0.1);
    assert_int_equal(heard.count, 1);
}

static void what_is_not_written_yet_is_not_among_the_unfinished(void **state)
{
    unsigned seen = 0;

    (void)state;
    progress("a", 0.1);
    ledger_watch_all(ledger, ear, count_ids, &seen);
    assert_int_equal(seen, 0);
    ledger_confirm(ledger, written.updates, 1);
    assert_int_equal(heard.count, 1);
}

/* --- restoring --- */

static struct update *stored(const char *id, enum job_state s, uint64_t seq)
{
    struct change c;

    change_init(&c);
    c.state = (int)s;
    c.kind = JOB_UPLOAD;
    c.fraction = 0.4;
    c.text[TEXT_ID] = id;
    return update_restore(&c, seq, 1, 2);
}

static void restore(const char *id, enum job_state s, uint64_t seq)
{
    struct update *u = stored(id, s, seq);

    ledger_restore(ledger, u);
    update_unref(&u);
}

static void a_restored_job_goes_on_where_it_was(void **state)
{
    (void)state;
    restore("a", JOB_PROCESSING, 7);
    assert_int_equal(seq_of(ledger_snapshot(ledger, "a")), 7);
    assert_int_equal(written.count, 0); /* the store has it already */
    progress("a", 0.2);
    struct update *u = ledger_head(ledger, "a");
    assert_int_equal(u->seq, 1001);
    assert_true(u->fraction == 0.4); /* never backwards, also over a restart */
    update_unref(&u);
}

static void restoring_never_puts_back_what_has_moved_on(void **state)
{
    (void)state;
    progress("a", 0.9);
    restore("a", JOB_PROCESSING, 7);
    assert_int_equal(seq_of(ledger_head(ledger, "a")), 1001);
    restore("b", JOB_COMPLETED, 7);
    restore("b", JOB_FAILED, 8);
    assert_int_equal(seq_of(ledger_head(ledger, "b")), 7);
}

static void who_waited_for_a_job_hears_of_it_when_it_is_restored(void **state)
{
    (void)state;
    watch("a");
    restore("a", JOB_COMPLETED, 7);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.updates[0]->seq, 7);
}

/* Somebody asks for an old job: that is no news to those who hear of all. */
static void who_hears_all_does_not_hear_of_an_old_job_that_is_looked_up(void **state)
{
    unsigned seen = 0;

    (void)state;
    ledger_watch_all(ledger, ear, count_ids, &seen);
    restore("a", JOB_COMPLETED, 7);
    restore("b", JOB_FAILED, 8);
    assert_int_equal(heard.count, 0);
    restore("c", JOB_PROCESSING, 9); /* but one that goes on is */
    assert_int_equal(heard.count, 1);
}

/* --- forgetting --- */

static void name(char id[32], int i)
{
    snprintf(id, 32, "job-%d", i);
}

static size_t jobs(void)
{
    struct ledger_count count;

    ledger_count(ledger, &count);
    return count.jobs;
}

static void finished_jobs_are_kept_up_to_a_number_and_the_oldest_go(void **state)
{
    char id[32];

    (void)state;
    progress("running", 0.1);
    for (int i = 0; i < LEDGER_FINISHED_MAX; i++) {
        name(id, i);
        finish(id);
    }
    assert_int_equal(jobs(), LEDGER_FINISHED_MAX + 1);
    assert_true(seq_of(ledger_snapshot(ledger, "job-0")) > 0);
    finish("one-more");
    assert_int_equal(jobs(), LEDGER_FINISHED_MAX + 1);
    assert_null(ledger_snapshot(ledger, "job-0"));
    assert_int_equal(seq_of(ledger_snapshot(ledger, "running")), 1001);
    assert_true(seq_of(ledger_snapshot(ledger, "job-1")) > 0);
}

static void a_finished_job_that_is_watched_is_not_forgotten(void **state)
{
    char id[32];

    (void)state;
    watch("watched");
    finish("watched");
    for (int i = 0; i <= LEDGER_FINISHED_MAX; i++) {
        name(id, i);
        finish(id);
    }
    assert_int_equal(seq_of(ledger_snapshot(ledger, "watched")), 1001);
    ledger_unwatch(ledger, "watched", ear); /* now it is the youngest of the finished */
    assert_int_equal(jobs(), LEDGER_FINISHED_MAX);
    assert_int_equal(seq_of(ledger_snapshot(ledger, "watched")), 1001);
}

static void an_end_that_is_not_written_yet_is_not_forgotten(void **state)
{
    char id[32];
    struct update *last;
    struct change c;

    (void)state;
    change_init(&c);
    c.state = JOB_COMPLETED;
    assert_int_equal(ledger_apply(ledger, "unwritten", &c, true, &last), OK);
    for (int i = 0; i <= LEDGER_FINISHED_MAX; i++) {
        struct update *u;
        name(id, i);
        assert_int_equal(ledger_apply(ledger, id, &c, true, &u), OK);
        ledger_confirm(ledger, &u, 1);
        update_unref(&u);
    }
    assert_int_equal(seq_of(ledger_head(ledger, "unwritten")), last->seq);
    watch("unwritten");
    ledger_confirm(ledger, &last, 1);
    assert_int_equal(heard.count, 1);
    update_unref(&last);
}

static void a_job_that_is_tried_again_is_not_forgotten(void **state)
{
    char id[32];
    struct change c;

    (void)state;
    assert_int_equal(say("again", JOB_FAILED, 0, true), OK);
    change_init(&c);
    c.state = JOB_QUEUED;
    c.is_retry = true;
    assert_int_equal(ledger_apply(ledger, "again", &c, false, NULL), OK);
    for (int i = 0; i <= LEDGER_FINISHED_MAX; i++) {
        name(id, i);
        finish(id);
    }
    assert_true(seq_of(ledger_snapshot(ledger, "again")) > 0);
}

static void an_id_without_a_job_is_forgotten_with_its_last_watcher(void **state)
{
    struct ledger_count count;
    unsigned other;

    (void)state;
    assert_int_equal(ledger_listen(ledger, &heard.ear, &other), OK);
    watch("a");
    assert_null(ledger_watch(ledger, "a", other));
    ledger_unwatch(ledger, "a", ear);
    ledger_count(ledger, &count);
    assert_int_equal(count.watched, 1);
    ledger_unwatch(ledger, "a", other);
    ledger_count(ledger, &count);
    assert_int_equal(count.watched, 0);
    assert_int_equal(count.jobs, 0);
    assert_int_equal(count.unfinished, 0);
}

static void unfinished_jobs_have_a_limit_and_finished_ones_do_not_count(void **state)
{
    char id[32];

    (void)state;
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "finished-%d", i);
        finish(id);
    }
    for (int i = 0; i < LEDGER_JOBS_MAX; i++) {
        name(id, i);
        assert_int_equal(say(id, JOB_PROCESSING, 0, true), OK);
    }
    assert_int_equal(say("one-more", JOB_PROCESSING, 0, true), FAIL_LIMIT);
    assert_null(ledger_head(ledger, "one-more"));
    progress("job-7", 0.5); /* those that are there go on */
    finish("job-7");
    progress("one-more", 0.1);
}

static void the_count_tells_jobs_apart(void **state)
{
    struct ledger_count count;

    (void)state;
    progress("a", 0.1);
    assert_int_equal(say("b", JOB_QUEUED, 0, true), OK);
    finish("c");
    watch("c");
    watch("nothing");
    ledger_count(ledger, &count);
    assert_int_equal(count.jobs, 3);
    assert_int_equal(count.unfinished, 2);
    assert_int_equal(count.watched, 2);
}

static void external_jobs_that_fell_silent_are_named(void **state)
{
    char *ids[4];
    struct change c;

    (void)state;
    change_init(&c);
    c.kind = JOB_EXTERNAL;
    assert_int_equal(ledger_apply(ledger, "silent", &c, true, NULL), OK);
    c.state = JOB_COMPLETED;
    assert_int_equal(ledger_apply(ledger, "done", &c, true, NULL), OK);
    progress("upload", 0.1);
    assert_int_equal(ledger_silent(ledger, 1, 4, ids), 0);
    assert_int_equal(ledger_silent(ledger, INT64_MAX, 0, ids), 0);
    assert_int_equal(ledger_silent(ledger, INT64_MAX, 4, ids), 1);
    assert_string_equal(ids[0], "silent");
    mem_free(ids[0]);
}

#define HEARS(test)  cmocka_unit_test_setup_teardown(test, begin, end)
#define WRITES(test) cmocka_unit_test_setup_teardown(test, begin_written, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HEARS(a_report_makes_the_job_if_it_may),
        HEARS(a_job_is_created_once),
        HEARS(watching_an_id_does_not_make_it_a_job),
        HEARS(a_refused_move_changes_nothing),
        HEARS(numbers_grow_over_all_jobs_behind_the_first),
        WRITES(what_is_accepted_is_not_heard_before_it_is_written),
        WRITES(a_change_is_measured_against_what_was_accepted),
        WRITES(everything_accepted_is_written_and_heard_in_order),
        WRITES(a_confirmation_out_of_order_is_not_heard),
        HEARS(only_what_is_watched_is_heard),
        HEARS(a_watch_gives_the_present_and_then_what_follows),
        WRITES(a_watch_gives_what_was_heard_not_what_was_accepted),
        HEARS(every_listener_hears_of_its_own_watches),
        HEARS(there_is_a_place_for_64_listeners),
        HEARS(watching_all_begins_with_what_is_unfinished),
        HEARS(a_job_that_is_watched_twice_over_is_heard_once),
        WRITES(what_is_not_written_yet_is_not_among_the_unfinished),
        WRITES(a_restored_job_goes_on_where_it_was),
        HEARS(restoring_never_puts_back_what_has_moved_on),
        HEARS(who_waited_for_a_job_hears_of_it_when_it_is_restored),
        HEARS(who_hears_all_does_not_hear_of_an_old_job_that_is_looked_up),
        HEARS(finished_jobs_are_kept_up_to_a_number_and_the_oldest_go),
        HEARS(a_finished_job_that_is_watched_is_not_forgotten),
        WRITES(an_end_that_is_not_written_yet_is_not_forgotten),
        HEARS(a_job_that_is_tried_again_is_not_forgotten),
        HEARS(an_id_without_a_job_is_forgotten_with_its_last_watcher),
        HEARS(unfinished_jobs_have_a_limit_and_finished_ones_do_not_count),
        HEARS(the_count_tells_jobs_apart),
        HEARS(external_jobs_that_fell_silent_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
