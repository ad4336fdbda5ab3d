#include "watcher.h"

#include "base/clock.h"
#include "core/limits.h"

static struct watcher ann, bob;

static const char *const numbers[] = { "0", "1", "2",  "3",  "4",  "5",  "6",  "7",
                                       "8", "9", "10", "11", "12", "13", "14", "15" };

/* --- a client that reads slowly --- */

static void a_blocked_client_hears_the_latest_when_it_reads_again(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    ann.room = 1;
    progress("a", 10);
    progress("a", 20);
    turn();
    heard(&ann, "a 10");
    for (int i = 30; i < 90; i++) {
        progress("a", i);
        turn();
    }
    heard(&ann, "");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "a 89");
    progress("a", 95);
    progress("a", 96);
    turn();
    heard(&ann, "a 95, a 96"); /* and every step from here on */
    leave(&ann);
}

static void a_blocked_client_is_not_tried_again(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    ann.room = 0;
    progress("a", 10);
    turn();
    progress("a", 20);
    turn();
    ask(&ann, "x");
    turn();
    assert_int_equal(ann.sends, 1);
    leave(&ann);
}

static void the_end_of_a_job_is_never_lost(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    subscribe(&ann, "b");
    turn();
    ann.room = 0;
    progress("a", 10);
    turn();
    complete("a");
    report("b", JOB_FAILED, 0);
    turn();
    unblock(&ann, 0);
    unblock(&ann, 1);
    heard(&ann, "a completed");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "b failed");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "");
    leave(&ann);
}

static void only_what_was_not_taken_is_still_due(void **state)
{
    (void)state;
    enter(&ann, &one_dialect, NULL);
    for (int i = 0; i < 5; i++) {
        subscribe(&ann, numbers[i]);
        progress(numbers[i], 10);
    }
    ann.room = 2;
    turn();
    heard(&ann, "0 10, 1 10");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "2 10, 3 10, 4 10");
    ann.room = 1;
    progress("4", 20);
    progress("0", 20);
    progress("4", 30);
    turn();
    heard(&ann, "4 20");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "4 30, 0 20");
    leave(&ann);
}

static void busy_jobs_do_not_keep_the_others_from_a_slow_reader(void **state)
{
    (void)state;
    enter(&ann, &one_dialect, NULL);
    for (int i = 0; i < 8; i++)
        subscribe(&ann, numbers[i]);
    ann.room = 0;
    complete("7");
    for (int round = 1; round <= 4; round++) {
        for (int i = 0; i < 7; i++)
            progress(numbers[i], 10 * round);
        turn();
        unblock(&ann, 2);
    }
    heard(&ann, "0 10, 1 10, 2 20, 3 20, 4 30, 5 30, 6 40, 7 completed");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "0 40, 1 40, 2 40, 3 40, 4 40, 5 40");
    leave(&ann);
}

static void a_block_may_fall_on_any_message_of_many_batches(void **state)
{
    char id[32];

    (void)state;
    for (unsigned room = 0; room < 200; room += 9) {
        enter(&ann, &one_dialect, NULL);
        for (int i = 0; i < 180; i++) {
            snprintf(id, sizeof(id), "job-%d", i);
            subscribe(&ann, id);
            progress(id, 50);
        }
        ann.room = room;
        turn();
        assert_int_equal(ann.count, room < 180 ? room : 180);
        unblock(&ann, ROOM_ENDLESS);
        assert_int_equal(ann.count, 180);
        for (int i = 0; i < 180; i++) {
            snprintf(id, sizeof(id), "job-%d 50", i);
            assert_string_equal(ann.lines[i], id);
        }
        leave(&ann);
    }
}

static void who_reads_slowly_holds_nobody_up(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    enter_for(&bob, "a");
    ann.room = 0;
    progress("a", 10);
    turn();
    progress("a", 20);
    turn();
    heard(&bob, "a 10, a 20");
    leave(&ann);
    leave(&bob);
}

static void a_subscription_made_while_blocked_is_honoured_later(void **state)
{
    (void)state;
    progress("b", 70);
    enter_for(&ann, "a");
    ann.room = 0;
    progress("a", 10);
    turn();
    subscribe(&ann, "b");
    turn();
    heard(&ann, "");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "a 10, b 70");
    leave(&ann);
}

static void a_further_subscription_costs_the_others_no_step(void **state)
{
    (void)state;
    progress("b", 70);
    turn();
    enter_for(&ann, "a");
    progress("a", 10);
    progress("a", 20);
    subscribe(&ann, "b");
    progress("b", 80);
    progress("b", 90);
    turn();
    heard(&ann, "a 10, a 20, b 90");
    progress("b", 95);
    progress("b", 96);
    turn();
    heard(&ann, "b 95, b 96"); /* in step from here on */
    leave(&ann);
}

static void what_was_unsubscribed_while_blocked_is_not_said(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    ann.room = 0;
    progress("a", 10);
    turn();
    hub_unsubscribe(hub, &ann.session, "a");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "");
    leave(&ann);
}

static void a_drain_of_who_was_not_blocked_says_nothing(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    turn();
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "a 10");
    assert_int_equal(ann.sends, 1);
    leave(&ann);
}

static void who_fell_behind_is_told_of_a_start_where_that_counts(void **state)
{
    struct dialect caring = one_dialect;

    (void)state;
    caring.tells_starts = true;
    progress("old", 10);
    turn();
    enter(&ann, &caring, NULL);
    subscribe(&ann, "a");
    subscribe(&ann, "old");
    turn();
    heard(&ann, "old 10"); /* it began before */
    ann.room = 0;
    progress("old", 20);
    turn();
    for (int i = 30; i < 60; i += 10) {
        progress("a", i);
        progress("old", i);
        turn();
    }
    unblock(&ann, 2);
    heard(&ann, "old 50, a 30");
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "a 50");
    ann.room = 0;
    progress("a", 60);
    turn();
    complete("a");
    turn();
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "a completed");
    leave(&ann);
}

/* --- framing --- */

static char bare[64];

static unsigned bare_send(struct sink *sink, struct msg *const *messages, unsigned count)
{
    (void)sink;
    assert_int_equal(count, 1);
    snprintf(bare, sizeof(bare), "%.*s", (int)messages[0]->len, messages[0]->data);
    return count;
}

static void a_session_goes_on_in_another_framing(void **state)
{
    static const struct sink_ops bare_sink = { .send = bare_send, .close = sink_close };

    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    turn();
    heard(&ann, "a 10");
    session_set_framing(&ann.session, FRAMING_RECORDS);
    ann.sink.ops = &bare_sink;
    progress("a", 20);
    turn();
    assert_memory_equal(bare, "a 20|", 5);
    leave(&ann);
}

/* --- answers --- */

static void the_greeting_comes_first(void **state)
{
    (void)state;
    progress("a", 10);
    enter(&ann, &one_dialect, NULL);
    session_greet(&ann.session, "a");
    subscribe(&ann, "a");
    turn();
    heard(&ann, "hello a, a 10");
    leave(&ann);
}

static void a_door_without_a_greeting_says_nothing(void **state)
{
    (void)state;
    enter(&ann, &all_dialect, NULL);
    session_greet(&ann.session, "");
    turn();
    heard(&ann, "");
    leave(&ann);
}

static void answers_come_before_the_turns_updates_and_to_the_asker_alone(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    enter_for(&bob, "a");
    progress("a", 10);
    deliver(1);
    ask(&ann, "x");
    ask(&ann, "y");
    turn();
    heard(&ann, "re x, re y, a 10");
    heard(&bob, "a 10");
    leave(&ann);
    leave(&bob);
}

static void a_request_is_handed_to_the_caller(void **state)
{
    struct request request;

    (void)state;
    enter(&ann, &one_dialect, NULL);
    session_receive(&ann.session, STR("subscribe a"), &request);
    assert_int_equal(request.kind, REQUEST_SUBSCRIBE);
    assert_string_equal(request.job, "a");
    turn();
    heard(&ann, "");
    leave(&ann);
}

static void a_dialect_that_does_not_listen_ignores_messages(void **state)
{
    struct dialect deaf = one_dialect;
    struct request request = { .kind = REQUEST_SUBSCRIBE };

    (void)state;
    deaf.receive = NULL;
    enter(&ann, &deaf, NULL);
    session_receive(&ann.session, STR("x"), &request);
    assert_int_equal(request.kind, REQUEST_NOTHING);
    turn();
    heard(&ann, "");
    leave(&ann);
}

static void who_reads_its_answers_may_ask_a_lot(void **state)
{
    (void)state;
    enter(&ann, &one_dialect, NULL);
    for (int i = 0; i < 10 * SESSION_REPLIES_MAX; i++)
        ask(&ann, "x"); /* all in one turn, as one packet may bring them */
    turn();
    assert_int_equal(ann.closed, 0);
    assert_int_equal(ann.count, 10 * SESSION_REPLIES_MAX);
    leave(&ann);
}

static void who_does_not_read_its_answers_is_closed_with_1008(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    ann.room = 0;
    progress("a", 10);
    turn();
    for (int i = 0; i < SESSION_REPLIES_MAX; i++)
        ask(&ann, "x");
    assert_int_equal(ann.closed, 0);
    ask(&ann, "x");
    assert_int_equal(ann.closed, WS_CLOSE_POLICY);
    /* From here on it is sent nothing; its sink would complain. */
    ask(&ann, "x");
    complete("a");
    unblock(&ann, ROOM_ENDLESS);
    hub_tick(hub, clock_mono_ms() + 100 * TEST_KEEPALIVE_MS);
    turn();
    heard(&ann, "");
    leave(&ann);
}

static void answers_that_were_not_taken_wait_in_order(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    for (int i = 0; i < 8; i++)
        ask(&ann, numbers[i]);
    ann.room = 3;
    progress("a", 10);
    turn();
    heard(&ann, "re 0, re 1, re 2");
    ask(&ann, "8");
    unblock(&ann, 4);
    heard(&ann, "re 3, re 4, re 5, re 6");
    progress("a", 20);
    turn();
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "re 7, re 8, a 20");
    leave(&ann);
}

static void waiting_answers_go_with_their_session(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    ask(&ann, "x");
    ask(&ann, "y");
    leave(&ann);
    turn();
    heard(&ann, "");
}

/* --- keepalive --- */

static void a_keepalive_comes_after_silence_only(void **state)
{
    uint64_t now;

    (void)state;
    enter_for(&ann, "a");
    progress("a", 10);
    turn();
    heard(&ann, "a 10");
    now = ann.session.spoke_ms;
    hub_tick(hub, now + TEST_KEEPALIVE_MS - 1);
    turn();
    heard(&ann, "");
    hub_tick(hub, now + TEST_KEEPALIVE_MS);
    turn();
    heard(&ann, "alive a");
    leave(&ann);
}

static void whatever_is_said_puts_the_keepalive_off(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    for (int i = 0; i < 3; i++) {
        ann.session.spoke_ms = 0; /* long ago */
        if (i == 0)
            progress("a", 10);
        else if (i == 1)
            ask(&ann, "x");
        else
            session_greet(&ann.session, "a");
        turn();
        assert_true(ann.session.spoke_ms > 0);
        hub_tick(hub, ann.session.spoke_ms + TEST_KEEPALIVE_MS - 1);
        turn();
    }
    heard(&ann, "a 10, re x, hello a");
    leave(&ann);
}

static void what_others_hear_does_not_put_it_off(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    enter_for(&bob, "b");
    uint64_t now = ann.session.spoke_ms;
    progress("b", 10);
    turn();
    hub_tick(hub, now + TEST_KEEPALIVE_MS);
    turn();
    heard(&ann, "alive a");
    leave(&ann);
    leave(&bob);
}

static void a_blocked_client_gets_no_keepalive(void **state)
{
    (void)state;
    enter_for(&ann, "a");
    ann.room = 0;
    progress("a", 10);
    turn();
    for (int i = 1; i < 100; i++)
        hub_tick(hub, clock_mono_ms() + (uint64_t)i * TEST_KEEPALIVE_MS);
    unblock(&ann, ROOM_ENDLESS);
    heard(&ann, "a 10");
    assert_int_equal(ann.closed, 0);
    leave(&ann);
}

static void a_door_without_a_keepalive_stays_silent(void **state)
{
    (void)state;
    enter_for_all(&ann);
    hub_tick(hub, clock_mono_ms() + 1000 * TEST_KEEPALIVE_MS);
    turn();
    heard(&ann, "");
    leave(&ann);
}

static void who_came_with_a_token_that_ends_is_closed_with_it(void **state)
{
    (void)state;
    enter_for(&bob, "a");
    enter(&ann, &one_dialect, NULL);
    subscribe(&ann, "a");
    turn();
    ann.session.viewer->expires_ms = clock_wall_ms() + 3600 * 1000;
    hub_tick(hub, clock_mono_ms());
    assert_int_equal(ann.closed, 0);
    ann.session.viewer->expires_ms = clock_wall_ms();
    hub_tick(hub, clock_mono_ms());
    assert_int_equal(ann.closed, WS_CLOSE_UNAUTHORIZED);
    ann.closed = 0;
    hub_tick(hub, clock_mono_ms()); /* once is enough */
    assert_int_equal(ann.closed, 0);
    progress("a", 10);
    ask(&ann, "x");
    turn();
    heard(&ann, "");
    heard(&bob, "a 10");
    assert_int_equal(bob.closed, 0);
    leave(&ann);
    leave(&bob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_HUB(a_blocked_client_hears_the_latest_when_it_reads_again),
        IN_HUB(a_blocked_client_is_not_tried_again),
        IN_HUB(the_end_of_a_job_is_never_lost),
        IN_HUB(only_what_was_not_taken_is_still_due),
        IN_HUB(busy_jobs_do_not_keep_the_others_from_a_slow_reader),
        IN_HUB(a_block_may_fall_on_any_message_of_many_batches),
        IN_HUB(who_reads_slowly_holds_nobody_up),
        IN_HUB(a_further_subscription_costs_the_others_no_step),
        IN_HUB(a_subscription_made_while_blocked_is_honoured_later),
        IN_HUB(what_was_unsubscribed_while_blocked_is_not_said),
        IN_HUB(a_drain_of_who_was_not_blocked_says_nothing),
        IN_HUB(who_fell_behind_is_told_of_a_start_where_that_counts),
        IN_HUB(a_session_goes_on_in_another_framing),
        IN_HUB(the_greeting_comes_first),
        IN_HUB(a_door_without_a_greeting_says_nothing),
        IN_HUB(answers_come_before_the_turns_updates_and_to_the_asker_alone),
        IN_HUB(a_request_is_handed_to_the_caller),
        IN_HUB(a_dialect_that_does_not_listen_ignores_messages),
        IN_HUB(who_reads_its_answers_may_ask_a_lot),
        IN_HUB(who_does_not_read_its_answers_is_closed_with_1008),
        IN_HUB(answers_that_were_not_taken_wait_in_order),
        IN_HUB(waiting_answers_go_with_their_session),
        IN_HUB(a_keepalive_comes_after_silence_only),
        IN_HUB(whatever_is_said_puts_the_keepalive_off),
        IN_HUB(what_others_hear_does_not_put_it_off),
        IN_HUB(a_blocked_client_gets_no_keepalive),
        IN_HUB(a_door_without_a_keepalive_stays_silent),
        IN_HUB(who_came_with_a_token_that_ends_is_closed_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
