/* Events of webhooks: written with the update that they are about. */
#include "desk.h"
#include "store/store_hooks.h"

static const char *const urls[] = { "http://a/", "http://b/" };

static void describe(void *context, const struct update *u, struct hook_event *event)
{
    (void)context;
    snprintf(event->message, sizeof(event->message), "m-%s-%d", u->text[TEXT_ID], (int)event->type);
    buf_printf(&event->body, "%s %s %.1f", u->text[TEXT_ID], job_state_name(u->state), u->fraction);
}

static atomic_uint writings;

static void written(void *context)
{
    (void)context;
    atomic_fetch_add(&writings, 1);
}

static void set(struct desk *d, size_t count)
{
    assert_int_equal(store_set_hooks(d->store, &(struct store_hooks){ .urls = urls,
                                                                      .url_count = count,
                                                                      .describe = describe,
                                                                      .written = written }),
                     OK);
}

/* Closed and opened again with so many URLs. */
static void begin(struct desk *d, size_t count)
{
    if (d->store != NULL)
        desk_close_store(d);
    desk_forget(d);
    desk_open_store(d);
    set(d, count);
    assert_int_equal(store_start(d->store, d->ledger), OK);
}

static void wait_written(struct desk *d)
{
    struct answer a = { .desk = d };

    store_after(d->store, desk_answer, &a);
    assert_int_equal(desk_wait_answer(&a), OK);
}

/* "id type state next:body" of what there is, oldest first; next is "held" or "now". */
static void assert_log(struct desk *d, const char *job, const char *expected)
{
    struct hook_delivery *rows;
    struct buf text;
    size_t count;

    wait_written(d);
    buf_init(&text, 65536);
    assert_int_equal(store_hooks_list(d->store,
                                      &(struct hook_query){ .job = job, .state = -1, .max = 100 },
                                      &rows, &count),
                     OK);
    for (size_t i = count; i-- > 0;)
        buf_printf(&text, "%s %s %s%s%s; ", rows[i].url, rows[i].type,
                   hook_state_name(rows[i].state),
                   rows[i].state == HOOK_PENDING && rows[i].next_ms == HOOK_HELD ? " held" : "",
                   rows[i].why[0] != '\0' ? " why" : "");
    assert_string_equal(buf_text(&text), expected);
    hook_deliveries_free(rows, count);
    buf_deinit(&text);
}

static uint64_t due(struct desk *d, const char *url, const char *expected)
{
    struct hook_delivery *rows;
    struct buf text;
    size_t count;
    int64_t next_ms;

    wait_written(d);
    buf_init(&text, 65536);
    assert_int_equal(store_hooks_due(d->store, url, INT64_MAX - 1, 100, &rows, &count, &next_ms),
                     OK);
    for (size_t i = 0; i < count; i++)
        buf_printf(&text, "%s %s:%s; ", rows[i].message, rows[i].type, rows[i].body);
    assert_string_equal(buf_text(&text), expected);
    uint64_t first = count > 0 ? rows[0].id : 0;
    hook_deliveries_free(rows, count);
    buf_deinit(&text);
    return first;
}

static void settle(struct desk *d, uint64_t id, enum hook_state end, int64_t next_ms)
{
    struct answer a = { .desk = d };

    store_hooks_settle(d->store,
                       &(struct hook_result){ .id = id,
                                              .state = end,
                                              .attempts = 3,
                                              .status = 500,
                                              .why = end == HOOK_DELIVERED ? "" : "500",
                                              .now_ms = 1000,
                                              .next_ms = next_ms },
                       desk_answer, &a);
    assert_int_equal(desk_wait_answer(&a), OK);
}

static void a_job_has_an_event_when_it_begins_and_when_it_ends(void **state)
{
    struct desk *d = *state;

    begin(d, 1);
    desk_create(d, "job", NULL);
    desk_say(d, "job", JOB_PROCESSING, 0.5);
    desk_wait_heard(d, 2);
    assert_log(d, "job", "http://a/ job.created pending; ");
    desk_say(d, "job", JOB_PROCESSING, 0.7);
    desk_say(d, "job", JOB_FAILED, -1);
    desk_wait_heard(d, 4);
    assert_log(d, "job", "http://a/ job.created pending; http://a/ job.failed pending held; ");
    assert_log(d, NULL, "http://a/ job.created pending; http://a/ job.failed pending held; ");
    assert_log(d, "other", "");
    due(d, "http://a/", "m-job-0 job.created:job queued 0.0; ");
}

static void what_is_heard_has_its_event_on_disk(void **state)
{
    struct desk *d = *state;

    begin(d, 1);
    for (int i = 0; i < 50; i++) {
        char id[16];
        snprintf(id, sizeof(id), "job%d", i);
        desk_say(d, id, JOB_COMPLETED, -1);
        desk_wait_heard(d, (size_t)i + 1);
        struct hook_delivery *rows;
        size_t count;
        assert_int_equal(store_hooks_list(d->store,
                                          &(struct hook_query){ .job = id, .state = -1, .max = 9 },
                                          &rows, &count),
                         OK);
        assert_int_equal(count, 2);
        hook_deliveries_free(rows, count);
    }
    assert_true(atomic_load(&writings) > 0);
}

static void each_end_of_a_job_that_is_tried_again_is_told(void **state)
{
    struct desk *d = *state;
    struct change retry;

    begin(d, 1);
    desk_create(d, "job", NULL);
    desk_say(d, "job", JOB_FAILED, -1);
    change_init(&retry);
    retry.state = JOB_QUEUED;
    retry.is_retry = true;
    assert_int_equal(ledger_apply(d->ledger, "job", &retry, false, NULL), OK);
    desk_say(d, "job", JOB_COMPLETED, -1);
    assert_log(d, "job",
               "http://a/ job.created pending; http://a/ job.failed pending held; "
               "http://a/ job.completed pending held; ");
}

static void every_url_has_a_delivery_of_its_own_and_its_own_pace(void **state)
{
    struct desk *d = *state;

    begin(d, 2);
    desk_say(d, "job", JOB_CANCELLED, -1);
    uint64_t first = due(d, "http://a/", "m-job-0 job.created:job cancelled 0.0; ");
    settle(d, first, HOOK_DELIVERED, 0);
    due(d, "http://a/", "m-job-3 job.cancelled:job cancelled 0.0; ");
    due(d, "http://b/", "m-job-0 job.created:job cancelled 0.0; ");
}

static void an_attempt_that_failed_is_due_later_and_one_given_up_holds_nothing(void **state)
{
    struct desk *d = *state;
    struct hook_delivery *rows;
    size_t count;
    int64_t next_ms;

    begin(d, 1);
    desk_say(d, "job", JOB_COMPLETED, -1);
    uint64_t first = due(d, "http://a/", "m-job-0 job.created:job completed 1.0; ");
    settle(d, first, HOOK_PENDING, 5000);
    assert_int_equal(store_hooks_due(d->store, "http://a/", 4999, 10, &rows, &count, &next_ms), OK);
    assert_int_equal(count, 0);
    assert_int_equal(next_ms, 5000);
    hook_deliveries_free(rows, count);
    settle(d, first, HOOK_GIVEN_UP, 0);
    assert_log(d, "job", "http://a/ job.created failed why; http://a/ job.completed pending; ");
}

static int replay(struct desk *d, uint64_t id)
{
    struct answer a = { .desk = d };

    store_hooks_replay(d->store, id, 2000, desk_answer, &a);
    return desk_wait_answer(&a);
}

static void what_has_ended_can_be_replayed(void **state)
{
    struct desk *d = *state;

    begin(d, 1);
    desk_say(d, "job", JOB_PROCESSING, 0.5);
    uint64_t id = due(d, "http://a/", "m-job-0 job.created:job processing 0.5; ");
    assert_int_equal(replay(d, id), FAIL_MISSING); /* it is pending */
    settle(d, id, HOOK_GIVEN_UP, 0);
    due(d, "http://a/", "");
    assert_int_equal(replay(d, id), OK);
    due(d, "http://a/", "m-job-0 job.created:job processing 0.5; ");
    assert_int_equal(replay(d, id + 100), FAIL_MISSING);
}

static void events_outlive_a_restart_but_not_their_url(void **state)
{
    struct desk *d = *state;

    begin(d, 2);
    desk_say(d, "job", JOB_PROCESSING, 0.5);
    wait_written(d);
    begin(d, 1);
    assert_log(d, "job", "http://a/ job.created pending; http://b/ job.created failed why; ");
    due(d, "http://b/", "");
    uint64_t a = due(d, "http://a/", "m-job-0 job.created:job processing 0.5; ");
    assert_int_equal(replay(d, a + 1), FAIL_MISSING);
    desk_say(d, "job", JOB_COMPLETED, -1);
    assert_log(d, "job",
               "http://a/ job.created pending; http://b/ job.created failed why; "
               "http://a/ job.completed pending held; ");
}

static void a_job_that_was_there_before_is_not_created_again(void **state)
{
    struct desk *d = *state;

    begin(d, 0);
    desk_say(d, "job", JOB_PROCESSING, 0.5);
    wait_written(d);
    assert_log(d, "job", "");
    desk_close_store(d);
    begin(d, 1);
    struct update *u;
    assert_int_equal(store_find(d->store, "job", &u), OK);
    ledger_restore(d->ledger, u);
    update_unref(&u);
    desk_say(d, "job", JOB_COMPLETED, -1);
    assert_log(d, "job", "http://a/ job.completed pending; ");
}

static void what_has_ended_is_forgotten_in_time(void **state)
{
    struct desk *d = *state;

    begin(d, 2);
    desk_say(d, "job", JOB_PROCESSING, 0.5);
    settle(d, due(d, "http://a/", "m-job-0 job.created:job processing 0.5; "), HOOK_DELIVERED, 0);
    store_hooks_sweep(d->store, 1000);
    assert_log(d, "job", "http://a/ job.created delivered; http://b/ job.created pending; ");
    store_hooks_sweep(d->store, 1001);
    assert_log(d, "job", "http://b/ job.created pending; ");
}

static void trouble_with_the_disk_doubles_no_event(void **state)
{
    struct desk *d = *state;

    begin(d, 1);
    faults_refuse(SQLITE_FULL);
    desk_say(d, "job", JOB_PROCESSING, 0.5);
    desk_wait_heard(d, 1);
    desk_say(d, "job", JOB_COMPLETED, -1);
    faults_refuse(SQLITE_OK);
    desk_wait_heard(d, 2);
    assert_log(d, "job", "http://a/ job.created pending; http://a/ job.completed pending held; ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_setup_idle, desk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_has_an_event_when_it_begins_and_when_it_ends),
        TEST(what_is_heard_has_its_event_on_disk),
        TEST(each_end_of_a_job_that_is_tried_again_is_told),
        TEST(every_url_has_a_delivery_of_its_own_and_its_own_pace),
        TEST(an_attempt_that_failed_is_due_later_and_one_given_up_holds_nothing),
        TEST(what_has_ended_can_be_replayed),
        TEST(events_outlive_a_restart_but_not_their_url),
        TEST(a_job_that_was_there_before_is_not_created_again),
        TEST(what_has_ended_is_forgotten_in_time),
        TEST(trouble_with_the_disk_doubles_no_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
