#include "watcher.h"

#include "core/counters.h"
#include "core/limits.h"

static struct watcher ann, bob;

/* --- the present and what follows --- */

static void a_subscriber_hears_every_step_in_order(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    progress("a", 20);
    progress("a", 30);
    turn();
    progress("a", 40);
    complete("a");
    turn();
    heard(&ann, "a 10, a 20, a 30, a 40, a completed");
    leave(&ann);
}

static void a_late_subscriber_begins_with_the_present(void **state)
{
    (void)state;
    progress("a", 10);
    progress("a", 20);
    enter_for(&ann, "a");
    heard(&ann, "a 20");
    progress("a", 30);
    turn();
    heard(&ann, "a 30");
    leave(&ann);
}

static void a_finished_job_replays_its_end(void **state)
{
    (void)state;
    complete("a");
    report("b", JOB_FAILED, 0);
    enter_for(&ann, "a");
    heard(&ann, "a completed");
    enter_for(&bob, "b");
    heard(&bob, "b failed");
    leave(&ann);
    leave(&bob);
}

static void of_an_unknown_job_nothing_is_heard_until_its_first_step(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    heard(&ann, "");
    report("a", JOB_QUEUED, 0); /* the dialect has no words for it */
    turn();
    heard(&ann, "");
    progress("a", 0);
    turn();
    heard(&ann, "a 0");
    leave(&ann);
}

static void who_comes_second_hears_the_present_too(void **state)
{
    (void)state;
    progress("a", 10);
    enter_for(&ann, "a");
    enter_for(&bob, "a");
    heard(&bob, "a 10");
    progress("a", 20);
    turn();
    heard(&ann, "a 10, a 20");
    heard(&bob, "a 20");
    leave(&ann);
    enter_for(&ann, "a");
    heard(&ann, "a 20");
    leave(&ann);
    leave(&bob);
}

/* --- the seam between the ledger's answer and the mailbox --- */

static void a_present_that_is_still_in_the_mail_is_not_said_twice(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    progress("a", 20); /* both in the mailbox */
    enter(&bob, &one_dialect, NULL);
    subscribe(&bob, "a");
    hub_flush(hub);
    heard(&bob, "a 20");
    turn();
    heard(&bob, "");
    heard(&ann, "a 10, a 20"); /* who was there before hears every step */
    leave(&ann);
    leave(&bob);
}

static void mail_that_comes_before_the_first_flush_is_not_said_twice(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    progress("a", 20);
    enter(&bob, &one_dialect, NULL);
    subscribe(&bob, "a");
    deliver(1);
    hub_flush(hub);
    heard(&bob, "a 20");
    turn();
    heard(&bob, "");
    leave(&ann);
    leave(&bob);
}

/* Another thread's mail may have come sooner, and this client with it. */
static void who_comes_back_never_hears_an_older_state(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    turn();
    progress("a", 20); /* heard elsewhere; here it lies in the mailbox */
    enter(&bob, &one_dialect, NULL);
    subscribe(&bob, "a");
    hub_flush(hub);
    heard(&bob, "a 20");
    turn();
    heard(&bob, "");
    heard(&ann, "a 10, a 20");
    leave(&ann);
    leave(&bob);
}

static void who_subscribes_again_never_hears_an_older_state(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    progress("a", 20);
    enter(&bob, &one_dialect, NULL);
    subscribe(&bob, "a");
    hub_flush(hub);
    deliver(1);
    subscribe(&bob, "a");
    hub_flush(hub);
    hub_unsubscribe(hub, &bob.session, "a");
    subscribe(&bob, "a");
    hub_flush(hub);
    heard(&bob, "a 20, a 20, a 20");
    turn();
    heard(&bob, "");
    leave(&ann);
    leave(&bob);
}

/* Hearing all reads the ledger, too: what it finds there is news to those who
 * already follow the job and whose mail is still closed. */
static void a_viewer_of_everything_takes_no_news_from_others(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    turn();
    progress("a", 20);
    enter(&bob, &all_dialect, NULL);
    hub_subscribe_all(hub, &bob.session);
    turn();
    heard(&ann, "a 10, a 20");
    heard(&bob, "a 20");
    leave(&ann);
    leave(&bob);
}

/* --- subscriptions --- */

static void to_subscribe_again_is_to_ask_for_the_present(void **state)
{
    (void)state;
    progress("a", 10);
    enter_for(&ann, "a");
    subscribe(&ann, "a");
    turn();
    heard(&ann, "a 10, a 10");
    assert_int_equal(ann.session.subscription_count, 1);
    progress("a", 20);
    turn();
    heard(&ann, "a 20");
    leave(&ann);
}

static void to_unsubscribe_stops_it_at_once(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    subscribe(&ann, "b");
    turn();
    progress("a", 10);
    progress("b", 10);
    deliver(2);
    hub_unsubscribe(hub, &ann.session, "a"); /* though its step is due already */
    turn();
    progress("a", 20);
    progress("b", 20);
    turn();
    heard(&ann, "b 10, b 20");
    hub_unsubscribe(hub, &ann.session, "never");
    leave(&ann);
}

static void a_topic_nobody_follows_is_given_up(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    assert_int_equal(topics(), 1);
    progress("a", 10);
    deliver(1);
    leave(&ann); /* in the very turn in which something came */
    turn();
    assert_int_equal(topics(), 0);
    progress("a", 20);
    assert_int_equal(mail_first, mail_last); /* the ledger was told */
}

static void a_session_has_so_many_subscriptions_and_no_more(void **state)
{
    char id[32];

    (void)state;
    enter(&ann, &one_dialect, NULL);
    for (int i = 0; i < SESSION_SUBSCRIPTIONS_MAX; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        subscribe(&ann, id);
    }
    assert_int_equal(hub_subscribe(hub, &ann.session, "one-more"), FAIL_LIMIT);
    subscribe(&ann, "job-7"); /* which it has */
    hub_unsubscribe(hub, &ann.session, "job-7");
    subscribe(&ann, "one-more");
    progress("one-more", 10);
    turn();
    heard(&ann, "one-more 10");
    leave(&ann);
}

static void the_number_of_subscriptions_can_be_set(void **state)
{
    int64_t refused = counter_sum(COUNT_LIMITED_SUBSCRIPTIONS);

    (void)state;
    hub_limit(hub, 2);
    enter(&ann, &one_dialect, NULL);
    enter(&bob, &one_dialect, NULL);
    subscribe(&ann, "a");
    subscribe(&ann, "b");
    subscribe(&ann, "a"); /* which it has */
    assert_int_equal(hub_subscribe(hub, &ann.session, "c"), FAIL_LIMIT);
    assert_int_equal(counter_sum(COUNT_LIMITED_SUBSCRIPTIONS), refused + 1);
    subscribe(&bob, "c");
    leave(&ann);
    leave(&bob);
}

static void a_strangers_job_is_not_shown(void **state)
{
    struct change c;

    (void)state;
    change_init(&c);
    c.kind = JOB_UPLOAD;
    c.state = JOB_PROCESSING;
    c.text[TEXT_OWNER] = "ann";
    assert_int_equal(ledger_create(ledger, "a", &c, NULL), OK);
    enter(&ann, &one_dialect, "ann");
    enter(&bob, &one_dialect, "bob");
    subscribe(&ann, "a");
    subscribe(&bob, "a");
    subscribe(&bob, "nobodys");
    turn();
    progress("a", 10);
    progress("nobodys", 20);
    complete("a");
    turn();
    heard(&ann, "a 0, a 10, a completed");
    heard(&bob, "nobodys 20");
    leave(&ann);
    leave(&bob);
}

/* --- many at once --- */

static void more_than_one_batch_may_be_due(void **state)
{
    char id[32];

    (void)state;
    enter(&ann, &one_dialect, NULL);
    for (int i = 0; i < 150; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        subscribe(&ann, id);
        progress(id, 1);
    }
    turn();
    assert_int_equal(ann.count, 150);
    for (int i = 0; i < 150; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        progress(id, 2);
        progress(id, 3);
    }
    turn();
    assert_int_equal(ann.count, 450);
    leave(&ann);
}

static void more_than_one_log_may_come_in_a_turn(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    enter_for_all(&bob);
    for (int i = 0; i < 3 * HUB_LOG_MAX + 7; i++)
        progress("a", i % 100);
    turn();
    assert_int_equal(ann.count, 3 * HUB_LOG_MAX + 7);
    assert_int_equal(bob.count, 3 * HUB_LOG_MAX + 7);
    leave(&ann);
    leave(&bob);
}

static void a_turn_without_news_sends_nothing(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    turn();
    unsigned sends = ann.sends;
    turn();
    turn();
    assert_int_equal(ann.sends, sends);
    assert_int_equal(sends, 1);
    leave(&ann);
}

static void steps_of_one_turn_are_sent_in_one_go(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    for (int i = 0; i < 50; i++)
        progress("a", i);
    turn();
    assert_int_equal(ann.count, 50);
    assert_int_equal(ann.sends, 1);
    leave(&ann);
}

/* --- leaving --- */

static void a_session_may_end_while_something_is_due_to_it(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    enter_for(&bob, "a");
    progress("a", 10);
    deliver(1);
    ask(&ann, "x");
    leave(&ann);
    turn();
    heard(&ann, "");
    heard(&bob, "a 10");
    leave(&bob);
}

static void a_session_may_end_before_it_heard_the_present(void **state)
{
    (void)state;
    progress("a", 10);
    enter(&ann, &one_dialect, NULL);
    subscribe(&ann, "a");
    leave(&ann);
    turn();
    heard(&ann, "");
}

static void a_session_may_end_blocked(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    ann.room = 0;
    progress("a", 10);
    ask(&ann, "x");
    turn();
    leave(&ann);
    turn();
    heard(&ann, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_HUB(a_subscriber_hears_every_step_in_order),
        IN_HUB(a_late_subscriber_begins_with_the_present),
        IN_HUB(a_finished_job_replays_its_end),
        IN_HUB(of_an_unknown_job_nothing_is_heard_until_its_first_step),
        IN_HUB(who_comes_second_hears_the_present_too),
        IN_HUB(a_present_that_is_still_in_the_mail_is_not_said_twice),
        IN_HUB(mail_that_comes_before_the_first_flush_is_not_said_twice),
        IN_HUB(who_comes_back_never_hears_an_older_state),
        IN_HUB(who_subscribes_again_never_hears_an_older_state),
        IN_HUB(a_viewer_of_everything_takes_no_news_from_others),
        IN_HUB(to_subscribe_again_is_to_ask_for_the_present),
        IN_HUB(to_unsubscribe_stops_it_at_once),
        IN_HUB(a_topic_nobody_follows_is_given_up),
        IN_HUB(a_session_has_so_many_subscriptions_and_no_more),
        IN_HUB(the_number_of_subscriptions_can_be_set),
        IN_HUB(a_strangers_job_is_not_shown),
        IN_HUB(more_than_one_batch_may_be_due),
        IN_HUB(more_than_one_log_may_come_in_a_turn),
        IN_HUB(a_turn_without_news_sends_nothing),
        IN_HUB(steps_of_one_turn_are_sent_in_one_go),
        IN_HUB(a_session_may_end_while_something_is_due_to_it),
        IN_HUB(a_session_may_end_before_it_heard_the_present),
        IN_HUB(a_session_may_end_blocked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
