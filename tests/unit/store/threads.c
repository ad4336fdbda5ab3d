/* Many threads report, ask and read at once. */
#include "desk.h"

enum { PRODUCERS = 4, JOBS = 20, STEPS = 40 };

struct producer {
    struct desk *desk;
    int number;
    atomic_uint *refusals;
};

static void answer_work(void *context, int err)
{
    if (err != OK)
        atomic_fetch_add((atomic_uint *)context, 1);
}

static void *produce(void *context)
{
    struct producer *p = context;
    char id[32];

    for (int step = 0; step <= STEPS; step++)
        for (int job = 0; job < JOBS; job++) {
            snprintf(id, sizeof id, "p%d-j%d", p->number, job);
            if (step % 10 == 0)
                store_put_work(p->desk->store, id, "convert", "{}", answer_work, p->refusals);
            desk_say(p->desk, id, step < STEPS ? JOB_PROCESSING : JOB_COMPLETED,
                     step < STEPS ? (double)step / STEPS : -1);
        }
    return NULL;
}

static void *read_and_sweep(void *context)
{
    struct desk *d = context;
    struct update *found[8];
    size_t count;

    for (int i = 0; i < 60; i++) {
        if (store_list(d->store, i % 2 ? "ann" : NULL, -1, 0, 8, found, &count) != OK)
            return "list";
        while (count > 0)
            update_unref(&found[--count]);
        desk_stored(d, "p0-j0");
        if (store_sweep(d->store, 1, 10, &count) != OK || count != 0)
            return "sweep";
    }
    return NULL;
}

static void assert_in_order(struct desk *d)
{
    uint64_t last[PRODUCERS][JOBS] = { 0 };

    for (size_t i = 0; i < d->heard_count; i++) {
        const struct update *u = d->heard[i].update;
        unsigned producer, job;
        assert_int_equal(sscanf(u->text[TEXT_ID], "p%u-j%u", &producer, &job), 2);
        assert_true(u->seq > last[producer][job]);
        last[producer][job] = u->seq;
    }
}

static void all_is_heard_in_order_and_kept(void **state)
{
    struct desk *d = *state;
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS], reader;
    atomic_uint refusals = 0;
    char id[32];
    void *failed;

    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){ .desk = d, .number = i, .refusals = &refusals };
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    assert_int_equal(pthread_create(&reader, NULL, read_and_sweep, d), 0);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(reader, &failed);
    assert_null(failed);
    desk_wait_heard(d, PRODUCERS * JOBS * (STEPS + 1));
    assert_in_order(d);
    desk_reopen(d);
    assert_int_equal(atomic_load(&refusals), 0);
    for (int i = 0; i < PRODUCERS * JOBS; i++) {
        struct work w;
        snprintf(id, sizeof id, "p%d-j%d", i / JOBS, i % JOBS);
        assert_int_equal(desk_stored(d, id), JOB_COMPLETED);
        assert_int_equal(store_find_work(d->store, id, &w), OK);
        work_deinit(&w);
    }
}

/* The same while the disk comes and goes: nothing is lost, no order broken. */
static void *flicker(void *context)
{
    atomic_bool *is_over = context;
    struct timespec pause = { .tv_nsec = 2 * 1000000 };

    while (!atomic_load(is_over)) {
        faults_refuse(SQLITE_FULL);
        nanosleep(&pause, NULL);
        faults_refuse(SQLITE_OK);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void a_disk_that_comes_and_goes_breaks_no_order(void **state)
{
    struct desk *d = *state;
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS], disk;
    atomic_bool is_over = false;
    atomic_uint refusals = 0;
    char id[32];

    assert_int_equal(pthread_create(&disk, NULL, flicker, &is_over), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){ .desk = d, .number = i, .refusals = &refusals };
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&is_over, true);
    pthread_join(disk, NULL);
    desk_wait_heard(d, PRODUCERS * JOBS * (STEPS + 1));
    assert_in_order(d);
    desk_reopen(d);
    for (int i = 0; i < PRODUCERS * JOBS; i++) {
        snprintf(id, sizeof id, "p%d-j%d", i / JOBS, i % JOBS);
        assert_int_equal(desk_stored(d, id), JOB_COMPLETED);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_is_heard_in_order_and_kept),
        CASE(a_disk_that_comes_and_goes_breaks_no_order),
    };
    faults_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
