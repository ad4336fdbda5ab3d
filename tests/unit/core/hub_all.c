#include "watcher.h"

/* Sessions that hear every job. */
static struct watcher ann, bob, one;

static void it_starts_with_one_message_per_job_in_progress(void **state)
{
    (void)state;
    progress("a", 10);
    progress("a", 20);
    report("queued", JOB_QUEUED, 0);
    complete("done");
    report("failed", JOB_FAILED, 0);
    progress("b", 30);
    enter_for_all(&ann);
    assert_int_equal(ann.count, 2);
    bool a_first = strcmp(ann.lines[0], "a 20") == 0;
    heard(&ann, a_first ? "a 20, b 30" : "b 30, a 20");
    leave(&ann);
}

static void what_ended_before_it_came_is_not_news(void **state)
{
    (void)state;
    enter_for_all(&ann); /* keeps the hub in the picture */
    progress("a", 10);
    progress("b", 10);
    turn();
    complete("a");
    turn();
    enter_for_all(&bob);
    heard(&bob, "b 10");
    complete("b");
    deliver(1); /* in the same turn, but before */
    enter(&one, &all_dialect, NULL);
    hub_subscribe_all(hub, &one.session);
    turn();
    heard(&one, "");
    heard(&bob, "b completed");
    heard(&ann, "a 10, b 10, a completed, b completed");
    leave(&ann);
    leave(&bob);
    leave(&one);
}

static void everything_is_heard_in_the_order_it_happened(void **state)
{
    (void)state;
    enter_for_all(&ann);
    progress("a", 10);
    progress("b", 10);
    progress("a", 20);
    turn();
    complete("a");
    progress("c", 5);
    report("b", JOB_CANCELLED, 0);
    turn();
    heard(&ann, "a 10, b 10, a 20, a completed, c 5, b cancelled");
    leave(&ann);
}

static void a_blocked_one_hears_the_latest_of_each_job_that_moved(void **state)
{
    (void)state;
    enter_for_all(&ann);
    progress("a", 1);
    progress("b", 1);
    progress("c", 1);
    turn();
    heard(&ann, "a 1, b 1, c 1");
    ann.room = 1;
    progress("c", 2);
    progress("a", 2);
    progress("a", 3);
    turn();
    heard(&ann, "c 2");
    progress("c", 3);
    turn();
    progress("a", 4);
    progress("d", 1);
    progress("d", 2);
    turn();
    heard(&ann, "");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "c 3, a 4, d 2"); /* not b, which did not move */
    leave(&ann);
}

static void a_drain_may_be_cut_short_at_any_message(void **state)
{
    static const char *const told[] = { "b 10, c 10, a 20", "a 10, b 10, c 10, a 20",
                                        "a 10, b 10, c 10, a 20", "a 10, b 10, c 10, a 20" };

    for (unsigned room = 0; room < 4; room++) {
        enter_for_all(&ann);
        ann.room = 0;
        progress("a", 10);
        progress("b", 10);
        progress("c", 10);
        turn();
        unblock(&ann, room);
        progress("a", 20); /* what was said already moves again */
        turn();
        unblock(&ann, ROOM_ENDLESS);
        heard(&ann, told[room]);
        leave(&ann);
        close_hub(state);
        open_hub(state);
    }
}

static void the_end_of_a_job_is_never_lost(void **state)
{
    (void)state;
    progress("before", 10);
    enter(&ann, &all_dialect, NULL);
    ann.room = 0;
    hub_subscribe_all(hub, &ann.session);
    turn();
    complete("before");
    progress("during", 10);
    complete("during");
    turn();
    for (int i = 0; i < 10; i++)
        hub_tick(hub, 1); /* nobody must tidy away what is still due */
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "before completed, during completed");
    leave(&ann);
}

static void only_ones_own_jobs_are_heard(void **state)
{
    struct change c;

    (void)state;
    change_init(&c);
    c.kind = JOB_UPLOAD;
    c.state = JOB_PROCESSING;
    c.text[TEXT_OWNER] = "ann";
    assert_int_equal(ledger_create(ledger, "anns", &c, NULL), OK);
    c.text[TEXT_OWNER] = "bob";
    assert_int_equal(ledger_create(ledger, "bobs", &c, NULL), OK);
    enter(&ann, &all_dialect, "ann");
    hub_subscribe_all(hub, &ann.session);
    turn();
    heard(&ann, "anns 0");
    progress("nobodys", 5);
    progress("bobs", 10);
    progress("anns", 10);
    complete("bobs");
    turn();
    heard(&ann, "nobodys 5, anns 10");
    ann.room = 0;
    progress("anns", 20);
    turn();
    progress("nobodys", 20);
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "anns 20, nobodys 20");
    leave(&ann);
}

static void a_failed_job_that_is_tried_again_is_heard_again(void **state)
{
    struct change c;

    (void)state;
    enter_for_all(&ann);
    progress("a", 50);
    report("a", JOB_FAILED, 0);
    turn();
    hub_tick(hub, 1);
    change_init(&c);
    c.state = JOB_QUEUED;
    c.is_retry = true;
    assert_int_equal(ledger_apply(ledger, "a", &c, false, NULL), OK);
    progress("a", 5);
    turn();
    heard(&ann, "a 50, a failed, a 5");
    leave(&ann);
}

static void mail_of_what_it_knows_already_is_not_said_twice(void **state)
{
    (void)state;
    enter_for(&one, "a"); /* so that the mailbox has it */
    progress("a", 10);
    progress("a", 20);
    enter(&ann, &all_dialect, NULL);
    hub_subscribe_all(hub, &ann.session);
    hub_flush(hub);
    heard(&ann, "a 20");
    turn();
    heard(&ann, "");
    progress("a", 30);
    turn();
    heard(&ann, "a 30");
    leave(&ann);
    leave(&one);
}

static void finished_jobs_do_not_pile_up(void **state)
{
    char id[32];

    (void)state;
    enter_for_all(&ann);
    for (int i = 0; i < 500; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        progress(id, 10);
        complete(id);
    }
    progress("running", 10);
    turn();
    assert_int_equal(ann.count, 1001);
    hub_tick(hub, 1);
    assert_int_equal(topics(), 1);
    leave(&ann);
    assert_int_equal(topics(), 0);
}

static void when_the_last_has_left_nothing_is_mailed_any_more(void **state)
{
    (void)state;
    enter_for_all(&ann);
    enter_for_all(&bob);
    leave(&ann);
    progress("a", 10);
    assert_int_equal(mail_last - mail_first, 1);
    turn();
    heard(&bob, "a 10");
    progress("a", 15);
    deliver(1);
    leave(&bob);
    progress("a", 20);
    assert_int_equal(mail_last - mail_first, 0);
    turn();
    enter_for_all(&ann);
    heard(&ann, "a 20");
    leave(&ann);
}

static void answers_are_given_before_it_asked_for_everything(void **state)
{
    (void)state;
    enter_for_all(&bob);
    enter(&ann, &all_dialect, NULL);
    progress("a", 10);
    deliver(1);
    ask(&ann, "x");
    turn();
    heard(&ann, "re x");
    hub_subscribe_all(hub, &ann.session);
    turn();
    heard(&ann, "a 10");
    leave(&ann);
    leave(&bob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_HUB(it_starts_with_one_message_per_job_in_progress),
        IN_HUB(what_ended_before_it_came_is_not_news),
        IN_HUB(everything_is_heard_in_the_order_it_happened),
        IN_HUB(a_blocked_one_hears_the_latest_of_each_job_that_moved),
        IN_HUB(a_drain_may_be_cut_short_at_any_message),
        IN_HUB(the_end_of_a_job_is_never_lost),
        IN_HUB(only_ones_own_jobs_are_heard),
        IN_HUB(a_failed_job_that_is_tried_again_is_heard_again),
        IN_HUB(mail_of_what_it_knows_already_is_not_said_twice),
        IN_HUB(finished_jobs_do_not_pile_up),
        IN_HUB(when_the_last_has_left_nothing_is_mailed_any_more),
        IN_HUB(answers_are_given_before_it_asked_for_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
