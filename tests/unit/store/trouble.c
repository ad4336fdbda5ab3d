/* What happens while the disk does not take what it is given. */
#include "desk.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static bool is_troubled(struct desk *d)
{
    struct buf trouble;

    buf_init(&trouble, 1024);
    store_trouble(d->store, &trouble);
    bool is = trouble.len > 0;
    buf_deinit(&trouble);
    return is;
}

/* The writer's next try comes within its longest pause. */
static void wait_recovered(struct desk *d)
{
    struct timespec pause = { .tv_nsec = 5 * 1000000 };

    for (int i = 0; i < 4000 && is_troubled(d); i++)
        nanosleep(&pause, NULL);
    assert_false(is_troubled(d));
}

static void progress_goes_on_and_is_written_later(void **state)
{
    struct desk *d = *state;
    struct update *u;

    desk_say(d, "j", JOB_PROCESSING, 0.1);
    desk_wait_heard(d, 1);
    assert_false(is_troubled(d));
    faults_refuse(SQLITE_FULL);
    for (int i = 2; i < 50; i++) {
        desk_say(d, "j", JOB_PROCESSING, i / 100.0);
        desk_say(d, "k", JOB_PROCESSING, i / 100.0);
    }
    desk_wait_heard(d, 97);
    assert_true(is_troubled(d));
    assert_int_equal(store_find(d->store, "j", &u), OK);
    assert_true(u->fraction == 0.1);
    update_unref(&u);
    faults_refuse(SQLITE_OK);
    wait_recovered(d);
    assert_int_equal(store_find(d->store, "j", &u), OK);
    assert_true(u->fraction == 0.49);
    update_unref(&u);
    assert_int_equal(store_find(d->store, "k", &u), OK);
    assert_true(u->fraction == 0.49);
    update_unref(&u);
}

static void a_final_update_waits_until_it_is_written(void **state)
{
    struct desk *d = *state;

    desk_say(d, "j", JOB_PROCESSING, 0.1);
    desk_wait_heard(d, 1);
    faults_refuse(SQLITE_FULL);
    desk_say(d, "j", JOB_PROCESSING, 0.2);
    desk_say(d, "j", JOB_FAILED, -1);
    struct change retry;
    change_init(&retry);
    retry.state = JOB_QUEUED;
    retry.is_retry = true;
    assert_int_equal(ledger_apply(d->ledger, "j", &retry, false, NULL), OK);
    desk_say(d, "other", JOB_PROCESSING, 0.3);
    desk_wait_heard(d, 3);
    unsigned refused = atomic_load(&faults_refused);
    while (atomic_load(&faults_refused) < refused + 2)
        sched_yield();
    desk_say(d, "other", JOB_PROCESSING, 0.4);
    desk_wait_heard(d, 4);
    assert_int_equal(d->heard_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(d->heard[i].update->state, JOB_PROCESSING);
    faults_refuse(SQLITE_OK);
    desk_wait_heard(d, 6);
    assert_int_equal(d->heard[4].update->state, JOB_FAILED);
    assert_int_equal(d->heard[5].update->state, JOB_QUEUED);
    assert_int_equal(desk_stored(d, "j"), JOB_QUEUED);
    wait_recovered(d);
}

static void work_is_refused_with_the_reason(void **state)
{
    struct desk *d = *state;
    struct work w;

    faults_refuse(SQLITE_FULL);
    assert_int_equal(desk_put_work(d, "j", "probe"), FAIL_FULL);
    faults_refuse(SQLITE_IOERR_WRITE);
    assert_int_equal(desk_put_work(d, "j", "probe"), FAIL_IO);
    assert_true(is_troubled(d));
    faults_refuse(SQLITE_OK);
    assert_int_equal(desk_put_work(d, "k", "probe"), OK);
    assert_false(is_troubled(d));
    assert_int_equal(store_find_work(d->store, "j", &w), FAIL_MISSING);
}

static void a_barrier_promises_nothing_that_is_not_written(void **state)
{
    struct desk *d = *state;
    struct answer refused = { .desk = d }, kept = { .desk = d };

    faults_refuse(SQLITE_FULL);
    desk_say(d, "j", JOB_PROCESSING, 0.5);
    store_sync(d->store, desk_answer, &refused);
    assert_int_equal(desk_wait_answer(&refused), FAIL_FULL);
    assert_int_equal(desk_stored(d, "j"), -1);
    faults_refuse(SQLITE_OK);
    store_sync(d->store, desk_answer, &kept);
    assert_int_equal(desk_wait_answer(&kept), OK);
    assert_int_equal(desk_stored(d, "j"), JOB_PROCESSING);
}

static void the_trouble_passes_though_nobody_writes(void **state)
{
    struct desk *d = *state;
    size_t count = 7;

    faults_refuse(SQLITE_FULL);
    assert_int_equal(desk_put_work(d, "j", "probe"), FAIL_FULL);
    assert_int_equal(store_sweep(d->store, 1, 1, &count), FAIL_FULL);
    assert_int_equal(count, 7);
    faults_refuse(SQLITE_OK);
    wait_recovered(d);
}

static void closing_waits_for_a_disk_that_recovers(void **state)
{
    struct desk *d = *state;

    faults_refuse(SQLITE_FULL);
    desk_say(d, "j", JOB_COMPLETED, -1);
    desk_say(d, "k", JOB_PROCESSING, 0.5);
    desk_wait_heard(d, 1);
    faults_refuse(SQLITE_OK);
    desk_reopen(d);
    assert_int_equal(desk_stored(d, "j"), JOB_COMPLETED);
    assert_int_equal(desk_stored(d, "k"), JOB_PROCESSING);
}

static void closing_ends_although_the_disk_does_not_recover(void **state)
{
    struct desk *d = *state;

    faults_refuse(SQLITE_FULL);
    desk_say(d, "j", JOB_COMPLETED, -1);
    desk_close_store(d);
    assert_int_equal(d->heard_count, 0);
    faults_refuse(SQLITE_OK);
    desk_open_store(d);
    assert_int_equal(desk_stored(d, "j"), -1);
}

/* Takes what space there is; the caller frees it by removing the file. */
static void fill_disk(const char *path)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) == sizeof block)
        ;
    close(fd);
}

static void a_disk_that_is_really_full_loses_nothing_final(void **state)
{
    struct desk *d = *state;
    char filler[128], id[16];

    desk_close_store(d);
    assert_int_equal(remove(d->path), 0);
    if (mount("tmpfs", d->root, "tmpfs", 0, "size=1m") != 0) {
        fprintf(stderr, "SKIPPED: cannot mount a tmpfs here, so no full disk was tried\n");
        skip();
    }
    snprintf(filler, sizeof filler, "%s/filler", d->root);
    desk_reopen(d);
    desk_say(d, "j0", JOB_PROCESSING, 0.5);
    desk_wait_heard(d, 1);
    fill_disk(filler);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "j%d", i);
        desk_say(d, id, JOB_PROCESSING, 0.6);
    }
    desk_wait_heard(d, 101);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "j%d", i);
        desk_say(d, id, JOB_COMPLETED, -1);
    }
    assert_int_equal(desk_put_work(d, "j", "probe"), FAIL_FULL);
    bool was_troubled = is_troubled(d);
    assert_int_equal(remove(filler), 0);
    desk_wait_heard(d, 201);
    desk_close_store(d);
    desk_open_store(d);
    int missing = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "j%d", i);
        missing += desk_stored(d, id) != JOB_COMPLETED;
    }
    desk_close_store(d);
    assert_int_equal(umount(d->root), 0);
    assert_true(was_troubled);
    assert_int_equal(missing, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(progress_goes_on_and_is_written_later),
        CASE(a_final_update_waits_until_it_is_written),
        CASE(work_is_refused_with_the_reason),
        CASE(a_barrier_promises_nothing_that_is_not_written),
        CASE(the_trouble_passes_though_nobody_writes),
        CASE(closing_waits_for_a_disk_that_recovers),
        CASE(closing_ends_although_the_disk_does_not_recover),
        CASE(a_disk_that_is_really_full_loses_nothing_final),
    };
    faults_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
