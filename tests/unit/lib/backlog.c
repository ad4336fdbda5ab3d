#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "lib/backlog.h"

enum { JOBS = 3, INTERVAL_MS = 100 };

static struct backlog b;
static struct parcel taken[64];
static int64_t now;

static int begin(void **state)
{
    (void)state;
    backlog_init(&b, JOBS, INTERVAL_MS);
    now = 1000;
    return 0;
}

static int end(void **state)
{
    (void)state;
    backlog_deinit(&b);
    return 0;
}

static struct entry *entry(const char *id)
{
    struct entry *e;

    assert_int_equal(backlog_entry(&b, id, now, &e), OK);
    return e;
}

static int put(const char *id, const char *json, bool is_urgent, bool is_ending)
{
    char *copy = strdup(json);
    int err = backlog_put(&b, entry(id), copy, strlen(copy), is_urgent, is_ending);

    if (err != OK)
        free(copy);
    return err;
}

/* Takes what is due and expects these, "a b c"; the parcels stay in flight. */
static int takes(const char *expected)
{
    char heard[1024] = "";
    int count = backlog_take(&b, now, taken, 64, 1 << 20);

    for (int i = 0; i < count; i++) {
        if (i > 0)
            memcpy(heard + strlen(heard), " ", 2);
        memcpy(heard + strlen(heard), taken[i].item->json, taken[i].item->len + 1);
    }
    assert_string_equal(heard, expected);
    return count;
}

static void sends(const char *expected)
{
    int count = takes(expected);

    backlog_settle(&b, taken, count, count);
}

static void the_first_goes_at_once_and_the_next_when_it_is_time(void **state)
{
    (void)state;
    put("j", "1", true, false);
    sends("1");
    put("j", "2", false, false);
    put("j", "3", false, false);
    sends("");
    assert_int_equal(backlog_due_ms(&b), now + INTERVAL_MS);
    now += INTERVAL_MS;
    sends("3");
    assert_int_equal(backlog_due_ms(&b), INT64_MAX);
}

static void urgent_ones_keep_their_order(void **state)
{
    (void)state;
    put("j", "1", true, false);
    put("j", "2", true, false);
    put("j", "3", false, false);
    put("j", "4", true, true);
    sends("1 2 4");
}

static void a_flush_covers_what_stands_for_older_calls(void **state)
{
    (void)state;
    put("j", "1", true, false);
    sends("1");
    put("j", "2", false, false);
    uint64_t said = b.seq;
    assert_true(backlog_has(&b, "j", said));
    put("j", "3", false, false);
    assert_true(backlog_has(&b, "j", said));
    assert_true(backlog_has(&b, NULL, said));
    assert_false(backlog_has(&b, "k", said));
    backlog_hurry(&b, NULL);
    sends("3");
    assert_false(backlog_has(&b, NULL, b.seq));
}

static void what_did_not_arrive_goes_back_in_front(void **state)
{
    (void)state;
    put("j", "1", true, false);
    put("j", "2", true, false);
    put("k", "3", true, false);
    int count = takes("1 2 3");
    put("j", "4", true, false);
    backlog_settle(&b, taken, count, 1);
    sends("2 4 3");
}

static void behind_a_lost_redis_the_latest_and_the_endings_stay(void **state)
{
    (void)state;
    put("j", "1", true, false);
    put("j", "2", true, true);
    put("j", "3", true, false);
    int count = takes("1 2 3");
    put("j", "4", true, false);
    backlog_settle(&b, taken, count, 0);
    backlog_fall_behind(&b);
    put("j", "5", true, false);
    put("j", "6", true, true);
    put("j", "7", true, false);
    put("j", "8", false, false);
    assert_true(backlog_has(&b, "j", 1));
    sends("2 6 8");
    assert_false(backlog_has(&b, "j", 8));
}

static void a_job_has_a_bound_and_endings_fill_it(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(put("j", "x", true, false), OK);
    assert_int_equal(entry("j")->count, JOB_ITEMS_MAX);
    for (int i = 0; i < JOB_ITEMS_MAX; i++)
        assert_int_equal(put("j", "e", true, true), OK);
    assert_int_equal(put("j", "e", true, true), FAIL_FULL);
    assert_int_equal(put("j", "x", true, false), FAIL_FULL);
    sends("e e e e e e e e e e e e e e e e");
}

static void the_idle_job_that_is_oldest_makes_room(void **state)
{
    struct entry *e;

    (void)state;
    put("j", "1", true, false);
    sends("1");
    now++;
    put("k", "2", true, false);
    sends("2");
    put("l", "3", true, false);
    assert_int_equal(put("m", "4", true, false), OK);
    assert_null(backlog_find(&b, "j"));
    assert_non_null(backlog_find(&b, "k"));
    assert_int_equal(put("n", "5", true, false), OK);
    assert_null(backlog_find(&b, "k"));
    assert_int_equal(backlog_entry(&b, "o", now, &e), FAIL_FULL);
    int count = takes("3 4 5");
    assert_int_equal(backlog_entry(&b, "o", now, &e), FAIL_FULL); /* in flight is not idle */
    backlog_settle(&b, taken, count, count);
    assert_int_equal(backlog_entry(&b, "o", now, &e), OK);
}

static void a_failed_job_leaves_and_a_completed_one_is_remembered(void **state)
{
    (void)state;
    put("j", "f", true, true);
    put("k", "c", true, true);
    entry("k")->is_completed = true;
    sends("f c");
    assert_null(backlog_find(&b, "j"));
    assert_non_null(backlog_find(&b, "k"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(the_first_goes_at_once_and_the_next_when_it_is_time),
        TEST(urgent_ones_keep_their_order),
        TEST(a_flush_covers_what_stands_for_older_calls),
        TEST(what_did_not_arrive_goes_back_in_front),
        TEST(behind_a_lost_redis_the_latest_and_the_endings_stay),
        TEST(a_job_has_a_bound_and_endings_fill_it),
        TEST(the_idle_job_that_is_oldest_makes_room),
        TEST(a_failed_job_leaves_and_a_completed_one_is_remembered),
    };

    return cmocka_run_group_tests_name("lib/backlog", tests, NULL, NULL);
}
