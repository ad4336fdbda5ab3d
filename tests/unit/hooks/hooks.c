#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "hooks/event.h"
#include "hooks/schedule.h"

static void the_waits_grow_and_come_to_less_than_a_day(void **state)
{
    uint64_t sum = 0, before = 0, wait;
    uint32_t attempts = 1;

    (void)state;
    for (; hook_schedule(attempts, HOOK_RETRY_DEFAULT_MS, 0, 0, &wait); attempts++) {
        assert_true(wait >= before);
        sum += wait;
        before = wait;
    }
    assert_int_equal(attempts, 9);
    assert_in_range(sum * 105 / 95, 22 * 3600 * 1000, 24 * 3600 * 1000);
}

static void a_wait_is_never_the_same_for_all_and_never_far_off(void **state)
{
    uint64_t least = UINT64_MAX, most = 0, wait;

    (void)state;
    for (uint64_t dice = 0; dice < 5000; dice++) {
        assert_true(hook_schedule(1, 5000, 0, dice * 7919, &wait));
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_in_range(least, 4750, 4800);
    assert_in_range(most, 5200, 5250);
}

static void a_receiver_may_ask_for_more_time_but_not_for_ever(void **state)
{
    uint64_t wait;

    (void)state;
    assert_true(hook_schedule(1, 5000, 100, 0, &wait));
    assert_int_equal(wait, 100000);
    assert_true(hook_schedule(1, 5000, 1, 0, &wait));
    assert_int_equal(wait, 4750);
    assert_true(hook_schedule(1, 5000, INT64_MAX, 0, &wait));
    assert_int_equal(wait, 24 * 3600 * 1000);
}

static void expect_shown(const char *url, const char *shown)
{
    struct buf out;

    buf_init(&out, 1024);
    hook_url_show(url, &out);
    assert_string_equal(buf_text(&out), shown);
    buf_deinit(&out);
}

static void a_url_is_shown_without_what_may_be_secret(void **state)
{
    (void)state;
    expect_shown("https://h/p", "https://h/p");
    expect_shown("https://u:s@h:1/p@q?token=s#f", "https://h:1/p@q");
    expect_shown("https://h?s", "https://h");
    expect_shown("https://u:s@h?a@b", "https://h");
    expect_shown("nothing", "nothing://");
}

static void only_http_can_be_told(void **state)
{
    (void)state;
    assert_true(hook_url_is_valid("https://h"));
    assert_true(hook_url_is_valid("HTTP://u:p@127.0.0.1:1/x?y"));
    assert_true(hook_url_is_valid("http://[::1]:1/"));
    assert_false(hook_url_is_valid("ftp://h"));
    assert_false(hook_url_is_valid("h"));
    assert_false(hook_url_is_valid("http://"));
    assert_false(hook_url_is_valid("http:///p"));
    assert_false(hook_url_is_valid("http:h/p"));
    assert_false(hook_url_is_valid("http://h/\r\nX: y"));
    assert_false(hook_url_is_valid(""));
}

static void data(const struct update *u, struct buf *out)
{
    buf_printf(out, "\"%s\"", u->text[TEXT_ID]);
}

static void describe(const char *id, uint64_t seq, enum hook_type type, struct hook_event *event)
{
    struct change c;
    struct update *u;

    change_init(&c);
    c.state = JOB_COMPLETED;
    c.text[TEXT_ID] = id;
    assert_int_equal(update_derive(NULL, &c, seq, 1614265330000, &u), OK);
    *event = (struct hook_event){ .type = type };
    buf_init(&event->body, 4096);
    hook_event_write(u, data, event);
    update_unref(&u);
}

static void an_event_says_what_when_and_of_which_job(void **state)
{
    struct hook_event e;

    (void)state;
    describe("12", 7, HOOK_COMPLETED, &e);
    assert_string_equal(
        buf_text(&e.body),
        "{\"type\":\"job.completed\",\"timestamp\":\"2021-02-25T15:02:10.000Z\",\"data\":\"12\"}");
    assert_int_equal(strlen(e.message), 32);
    assert_int_equal(strspn(e.message, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_-"),
                     32);
    buf_deinit(&e.body);
}

static bool is_same(const char *id, uint64_t seq, enum hook_type type, const char *message)
{
    struct hook_event e;

    describe(id, seq, type, &e);
    bool is = strcmp(e.message, message) == 0;
    buf_deinit(&e.body);
    return is;
}

static void the_same_event_has_the_same_id_and_another_another(void **state)
{
    struct hook_event e, created;

    (void)state;
    describe("12", 7, HOOK_COMPLETED, &e);
    describe("12", 7, HOOK_CREATED, &created);
    assert_true(is_same("12", 7, HOOK_COMPLETED, e.message));
    assert_false(is_same("13", 7, HOOK_COMPLETED, e.message));
    assert_false(is_same("12", 8, HOOK_COMPLETED, e.message));
    assert_false(is_same("12", 7, HOOK_FAILED, e.message));
    assert_true(is_same("12", 8, HOOK_CREATED, created.message));
    assert_string_not_equal(e.message, created.message);
    buf_deinit(&e.body);
    buf_deinit(&created.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_waits_grow_and_come_to_less_than_a_day),
        cmocka_unit_test(a_wait_is_never_the_same_for_all_and_never_far_off),
        cmocka_unit_test(a_receiver_may_ask_for_more_time_but_not_for_ever),
        cmocka_unit_test(a_url_is_shown_without_what_may_be_secret),
        cmocka_unit_test(only_http_can_be_told),
        cmocka_unit_test(an_event_says_what_when_and_of_which_job),
        cmocka_unit_test(the_same_event_has_the_same_id_and_another_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
