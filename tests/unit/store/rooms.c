/* What clients come back to. */
#include "desk.h"

static void put(struct desk *d, const char *pid, const char *job)
{
    store_put_room(d->store, &(struct room){ pid, "sid", "ann", job });
}

static bool note(void *context, const struct room *room)
{
    struct buf *all = context;

    buf_printf(all, "%s/%s/%s:%s ", room->pid, room->sid, room->subject, room->job);
    return true;
}

/* As the file has them once everything was written. */
static void assert_rooms(struct desk *d, const char *expected)
{
    struct buf all;

    desk_reopen(d);
    buf_init(&all, 4096);
    assert_int_equal(store_each_room(d->store, note, &all), OK);
    assert_string_equal(buf_text(&all), expected);
    buf_deinit(&all);
}

static void rooms_are_kept_and_dropped(void **state)
{
    struct desk *d = *state;

    put(d, "p", "b");
    put(d, "q", "a");
    put(d, "p", "a");
    put(d, "p", "a");
    assert_rooms(d, "p/sid/ann:a p/sid/ann:b q/sid/ann:a ");
    store_drop_room(d->store, "p", "b");
    store_drop_room(d->store, "p", "not there");
    assert_rooms(d, "p/sid/ann:a q/sid/ann:a ");
    store_drop_room(d->store, "p", NULL);
    assert_rooms(d, "q/sid/ann:a ");
}

static void the_last_word_within_one_group_counts(void **state)
{
    struct desk *d = *state;

    for (int i = 0; i < 100; i++) {
        put(d, "p", "a");
        store_drop_room(d->store, "p", "a");
    }
    put(d, "p", "b");
    assert_rooms(d, "p/sid/ann:b ");
}

static void rooms_make_no_group_durable(void **state)
{
    struct desk *d = *state;
    struct answer a = { .desk = d };

    put(d, "p", "a");
    store_after(d->store, desk_answer, &a);
    assert_int_equal(desk_wait_answer(&a), OK);
    unsigned before = atomic_load(&faults_syncs);
    struct answer b = { .desk = d };
    put(d, "p", "b");
    store_after(d->store, desk_answer, &b);
    assert_int_equal(desk_wait_answer(&b), OK);
    assert_int_equal(b.syncs, before);
}

static void in_trouble_they_are_dropped_and_progress_goes_on(void **state)
{
    struct desk *d = *state;
    struct answer a = { .desk = d };

    faults_refuse(SQLITE_FULL);
    put(d, "p", "lost");
    desk_say(d, "j", JOB_PROCESSING, 0.5);
    desk_wait_heard(d, 1);
    faults_refuse(SQLITE_OK);
    store_sync(d->store, desk_answer, &a);
    assert_int_equal(desk_wait_answer(&a), OK);
    put(d, "p", "kept");
    assert_rooms(d, "p/sid/ann:kept ");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, desk_setup, desk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(rooms_are_kept_and_dropped),
        CASE(the_last_word_within_one_group_counts),
        CASE(rooms_make_no_group_durable),
        CASE(in_trouble_they_are_dropped_and_progress_goes_on),
    };

    faults_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
