/* Clients that come back and say where they were, and doors that close behind a
 * job's end. */
#include "watcher.h"

static struct watcher ann, bob;

static const struct dialect ending_dialect = {
    .name = "ending",
    .index = 2,
    .ends_with_job = true,
    .greet = test_greet,
    .render = test_render,
};

static uint64_t seq_of(const char *job)
{
    struct update *u = ledger_snapshot(ledger, job);
    uint64_t seq = u->seq;

    update_unref(&u);
    return seq;
}

static void enter_after(struct watcher *w, const struct dialect *dialect, const char *job,
                        uint64_t seq)
{
    enter(w, dialect, NULL);
    assert_int_equal(hub_subscribe_after(hub, &w->session, job, seq), OK);
    turn();
}

/* --- after --- */

static void who_knows_the_present_hears_what_follows(void **state)
{
    (void)state;
    progress("a", 10);
    enter_after(&ann, &one_dialect, "a", seq_of("a"));
    heard(&ann, "");
    progress("a", 20);
    turn();
    heard(&ann, "a 20");
    leave(&ann);
}

static void who_knows_something_older_hears_the_present(void **state)
{
    (void)state;
    progress("a", 10);
    uint64_t seq = seq_of("a");
    progress("a", 20);
    progress("a", 30);
    enter_after(&ann, &one_dialect, "a", seq);
    heard(&ann, "a 30");
    leave(&ann);
}

/* On another thread it may have heard what lies in our mailbox still. */
static void what_it_knows_is_not_said_when_its_mail_comes(void **state)
{
    (void)state;
    enter_for(&bob, "a");
    progress("a", 10);
    progress("a", 20);
    uint64_t seq = seq_of("a");
    enter(&ann, &one_dialect, NULL);
    hub_subscribe_after(hub, &ann.session, "a", seq);
    hub_flush(hub);
    turn();
    heard(&ann, "");
    heard(&bob, "a 10, a 20");
    progress("a", 30);
    turn();
    heard(&ann, "a 30");
    leave(&ann);
    leave(&bob);
}

static void what_was_missed_is_said_though_its_mail_has_gone_by(void **state)
{
    (void)state;
    enter_for(&bob, "a");
    progress("a", 10);
    uint64_t seq = seq_of("a");
    progress("a", 20);
    turn();
    enter_after(&ann, &one_dialect, "a", seq);
    heard(&ann, "a 20");
    leave(&ann);
    leave(&bob);
}

/* The records were lost, and with them the count. */
static void a_number_from_the_future_silences_nothing_that_comes(void **state)
{
    (void)state;
    progress("a", 10);
    enter_after(&ann, &one_dialect, "a", UINT64_MAX);
    enter_after(&bob, &one_dialect, "b", UINT64_MAX);
    heard(&ann, "");
    progress("a", 20);
    progress("b", 1);
    turn();
    heard(&ann, "a 20");
    heard(&bob, "b 1");
    leave(&ann);
    leave(&bob);
}

/* --- the end --- */

static void a_door_may_close_behind_the_end_of_its_job(void **state)
{
    (void)state;
    enter_after(&ann, &ending_dialect, "a", 0);
    enter_after(&bob, &one_dialect, "a", 0);
    progress("a", 10);
    turn();
    assert_int_equal(ann.closed, 0);
    complete("a");
    turn();
    heard(&ann, "a 10, a completed");
    assert_int_equal(ann.closed, WS_CLOSE_NORMAL);
    assert_int_equal(bob.closed, 0);
    leave(&ann);
    leave(&bob);
}

static void who_comes_behind_the_end_hears_it_before_the_door_closes(void **state)
{
    (void)state;
    report("a", JOB_FAILED, 10);
    enter_after(&ann, &ending_dialect, "a", 0);
    heard(&ann, "a failed");
    assert_int_equal(ann.closed, WS_CLOSE_NORMAL);
    leave(&ann);
}

static void a_reader_that_is_blocked_is_closed_when_it_has_the_end(void **state)
{
    (void)state;
    enter_after(&ann, &ending_dialect, "a", 0);
    ann.room = 0;
    progress("a", 10);
    turn();
    complete("a");
    turn();
    assert_int_equal(ann.closed, 0);
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "a completed");
    assert_int_equal(ann.closed, WS_CLOSE_NORMAL);
    leave(&ann);
}

static void a_strangers_end_closes_nothing(void **state)
{
    struct change c;

    (void)state;
    change_init(&c);
    c.state = JOB_COMPLETED;
    c.kind = JOB_EXTERNAL;
    c.text[TEXT_OWNER] = "carol";
    assert_int_equal(ledger_apply(ledger, "a", &c, true, NULL), OK);
    enter(&ann, &ending_dialect, "ann");
    subscribe(&ann, "a");
    turn();
    heard(&ann, "");
    assert_int_equal(ann.closed, 0);
    leave(&ann);
}

static void an_attempt_that_begins_in_the_same_turn_keeps_the_door_open(void **state)
{
    struct change c;

    (void)state;
    enter_after(&ann, &ending_dialect, "a", 0);
    report("a", JOB_FAILED, 10);
    change_init(&c);
    c.state = JOB_QUEUED;
    c.is_retry = true;
    assert_int_equal(ledger_apply(ledger, "a", &c, false, NULL), OK);
    turn();
    heard(&ann, "a failed");
    assert_int_equal(ann.closed, 0);
    complete("a");
    turn();
    heard(&ann, "a completed");
    assert_int_equal(ann.closed, WS_CLOSE_NORMAL);
    leave(&ann);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_HUB(who_knows_the_present_hears_what_follows),
        IN_HUB(who_knows_something_older_hears_the_present),
        IN_HUB(what_it_knows_is_not_said_when_its_mail_comes),
        IN_HUB(what_was_missed_is_said_though_its_mail_has_gone_by),
        IN_HUB(a_number_from_the_future_silences_nothing_that_comes),
        IN_HUB(a_door_may_close_behind_the_end_of_its_job),
        IN_HUB(who_comes_behind_the_end_hears_it_before_the_door_closes),
        IN_HUB(a_reader_that_is_blocked_is_closed_when_it_has_the_end),
        IN_HUB(a_strangers_end_closes_nothing),
        IN_HUB(an_attempt_that_begins_in_the_same_turn_keeps_the_door_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
