/* Who comes back to what. */
#include "../store/desk.h"

#include "api/recovery.h"

enum { LIFETIME_MS = 1000, ROOMS_MAX = 10 };

static struct desk *desk;
static struct recovery *recovery;
static struct recovery_hold ann, bob;

static void open_at(uint64_t now_ms, size_t rooms_max)
{
    recovery = recovery_new_local(desk->store,
                                  &(struct recovery_settings){ LIFETIME_MS, rooms_max }, now_ms);
}

static int begin(void **state)
{
    int err = desk_setup(state);

    desk = *state;
    open_at(0, ROOMS_MAX);
    return err;
}

static int end(void **state)
{
    recovery_free(recovery);
    return desk_teardown(state);
}

/* The process ends, and another begins. */
static void restart_at(uint64_t now_ms, size_t rooms_max)
{
    recovery_free(recovery);
    desk_reopen(desk);
    open_at(now_ms, rooms_max);
}

struct told {
    struct recovery_answer answer;
    struct buf jobs;
};

static void hear(void *context, const struct recovery_answer *answer)
{
    struct told *told = context;
    const char *job = answer->jobs;

    told->answer = *answer;
    for (size_t i = 0; i < answer->count; i++, job += strlen(job) + 1)
        buf_printf(&told->jobs, "%s ", job);
}

/* `expected` NULL: is new. */
static void claims(struct recovery_hold *hold, const char *pid, const char *subject,
                   uint64_t now_ms, const char *expected)
{
    struct told told = { 0 };
    char old[RECOVERY_PID_SIZE] = "";

    snprintf(old, sizeof(old), "%s", pid ? pid : "");
    buf_init(&told.jobs, 4096);
    assert_null(recovery_claim(recovery, &(struct recovery_ask){ .pid = pid ? old : NULL,
                                                                 .subject = subject,
                                                                 .now_ms = now_ms,
                                                                 .done = hear,
                                                                 .context = &told }));
    *hold = told.answer.hold;
    assert_int_equal(told.answer.is_known, expected != NULL);
    assert_string_equal(buf_text(&told.jobs), expected ? expected : "");
    assert_int_equal(strcmp(hold->pid, old) == 0, expected != NULL);
    assert_int_equal(strlen(hold->pid), RECOVERY_PID_SIZE - 1);
    assert_int_equal(strlen(hold->sid), RECOVERY_SID_SIZE - 1);
    buf_deinit(&told.jobs);
}

static void kept(size_t clients, size_t rooms)
{
    size_t c, r;

    recovery_local_count(recovery, &c, &r);
    assert_int_equal(c, clients);
    assert_int_equal(r, rooms);
}

static void ann_enters_two_rooms(void)
{
    claims(&ann, NULL, "ann", 0, NULL);
    recovery_join(recovery, &ann, "ann", "one");
    recovery_join(recovery, &ann, "ann", "two");
    recovery_join(recovery, &ann, "ann", "two");
}

static void who_is_in_no_room_leaves_no_trace(void **state)
{
    (void)state;
    claims(&ann, NULL, "ann", 0, NULL);
    recovery_part(recovery, &ann, "one");
    recovery_lose(recovery, &ann, 0);
    kept(0, 0);
    claims(&bob, ann.pid, "ann", 0, NULL);
}

static void who_was_lost_comes_back_to_its_rooms(void **state)
{
    struct recovery_hold again;

    (void)state;
    ann_enters_two_rooms();
    recovery_lose(recovery, &ann, 100);
    claims(&again, ann.pid, "ann", 100 + LIFETIME_MS - 1, "one two ");
    assert_string_equal(again.sid, ann.sid);
    recovery_part(recovery, &again, "one");
    recovery_join(recovery, &again, "ann", "three");
    recovery_lose(recovery, &again, 5000);
    claims(&again, ann.pid, "ann", 5000, "two three ");
}

static void who_stays_away_too_long_is_forgotten(void **state)
{
    (void)state;
    ann_enters_two_rooms();
    recovery_sweep(recovery, 100 * LIFETIME_MS); /* not while it is here */
    kept(1, 2);
    recovery_lose(recovery, &ann, 100);
    recovery_sweep(recovery, 99 + LIFETIME_MS);
    kept(1, 2);
    claims(&bob, ann.pid, "ann", 100 + LIFETIME_MS, NULL);
    kept(0, 0);
    restart_at(0, ROOMS_MAX);
    kept(0, 0);
}

static void who_left_is_forgotten(void **state)
{
    (void)state;
    ann_enters_two_rooms();
    recovery_forget(recovery, &ann);
    kept(0, 0);
    claims(&bob, ann.pid, "ann", 0, NULL);
    restart_at(0, ROOMS_MAX);
    kept(0, 0);
}

static void nobody_comes_back_as_somebody_else(void **state)
{
    (void)state;
    ann_enters_two_rooms();
    recovery_lose(recovery, &ann, 0);
    claims(&bob, ann.pid, "bob", 0, NULL);
    claims(&bob, "no such id", "ann", 0, NULL);
    claims(&bob, ann.pid, "ann", 0, "one two ");
}

static void the_latest_connection_counts(void **state)
{
    struct recovery_hold again;

    (void)state;
    ann_enters_two_rooms();
    claims(&again, ann.pid, "ann", 0, "one two "); /* its end was not noticed here */
    recovery_join(recovery, &ann, "ann", "three");
    recovery_part(recovery, &ann, "one");
    recovery_forget(recovery, &ann);
    recovery_lose(recovery, &ann, 0);
    recovery_sweep(recovery, 10 * LIFETIME_MS);
    recovery_lose(recovery, &again, 0);
    claims(&again, ann.pid, "ann", 0, "one two ");
}

static void all_of_it_outlives_a_restart(void **state)
{
    struct recovery_hold again;

    (void)state;
    ann_enters_two_rooms();
    recovery_part(recovery, &ann, "one");
    claims(&bob, NULL, "", 0, NULL);
    recovery_join(recovery, &bob, "", "one");
    restart_at(5000, ROOMS_MAX); /* and nothing was said of the connections' end */
    kept(2, 2);
    claims(&again, ann.pid, "ann", 5000 + LIFETIME_MS - 1, "two ");
    assert_string_equal(again.sid, ann.sid);
    recovery_join(recovery, &again, "ann", "three");
    restart_at(9000, ROOMS_MAX);
    claims(&again, ann.pid, "ann", 9000, "three two ");
    claims(&again, bob.pid, "", 9000 + LIFETIME_MS, NULL);
}

static void the_longest_lost_make_room(void **state)
{
    static const char *const jobs[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10" };
    struct recovery_hold again;

    (void)state;
    ann_enters_two_rooms();
    recovery_lose(recovery, &ann, 0);
    claims(&bob, NULL, "bob", 0, NULL);
    for (int i = 0; i < ROOMS_MAX; i++)
        recovery_join(recovery, &bob, "bob", jobs[i]);
    kept(1, ROOMS_MAX);
    recovery_join(recovery, &bob, "bob", jobs[ROOMS_MAX]); /* nobody is left to make room */
    kept(1, ROOMS_MAX);
    claims(&again, ann.pid, "ann", 0, NULL);
    recovery_lose(recovery, &bob, 0);
    claims(&again, bob.pid, "bob", 0, "0 1 2 3 4 5 6 7 8 9 ");
    restart_at(0, 3);
    kept(1, 3);
    restart_at(0, ROOMS_MAX);
    kept(1, 3);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(who_is_in_no_room_leaves_no_trace),    CASE(who_was_lost_comes_back_to_its_rooms),
        CASE(who_stays_away_too_long_is_forgotten), CASE(who_left_is_forgotten),
        CASE(nobody_comes_back_as_somebody_else),   CASE(the_latest_connection_counts),
        CASE(all_of_it_outlives_a_restart),         CASE(the_longest_lost_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
