#include "desk.h"

#include <signal.h>
#include <sys/wait.h>

/* As the first that is said of the job, or as progress of one that is known. */
static void check_every_field(struct desk *d, bool is_known)
{
    static const char *const said[UPDATE_TEXTS] = {
        [TEXT_OWNER] = "ann",
        [TEXT_TITLE] = "Caf\xc3\xa9 'x' \"y\"; --",
        [TEXT_STAGE] = "converting",
        [TEXT_MESSAGE] = "Converting 1/3",
        [TEXT_METADATA] = "{\"a\":[]}",
        [TEXT_VIDEO_INFO] = "{\"id\":\"x\"}",
        [TEXT_HLS_PATH] = "videos/hls/1",
        [TEXT_URL] = "https://a/b",
        [TEXT_STORAGE] = "disk",
    };
    struct change c;
    struct update *was, *is;

    change_init(&c);
    c.kind = JOB_DOWNLOAD;
    c.state = JOB_PROCESSING;
    if (is_known) {
        c.text[TEXT_OWNER] = "ann";
        assert_int_equal(ledger_create(d->ledger, "j", &c, NULL), OK);
        desk_wait_heard(d, 1);
    }
    c.fraction = 0.1 + 0.2;
    c.stage_fraction = 0.7;
    c.speed = 1.5;
    c.eta_ms = 1234;
    c.bytes_done = INT64_C(1) << 40;
    c.bytes_total = INT64_C(1) << 41;
    c.file_size = 99;
    memcpy(c.text, said, sizeof said);
    assert_int_equal(ledger_apply(d->ledger, "j", &c, true, &was), OK);
    desk_wait_heard(d, is_known ? 2 : 1);
    desk_reopen(d);
    assert_int_equal(store_find(d->store, "j", &is), OK);
    assert_int_equal(is->state, JOB_PROCESSING);
    assert_int_equal(is->kind, JOB_DOWNLOAD);
    assert_int_equal(is->seq, was->seq);
    assert_int_equal(is->created_ms, was->created_ms);
    assert_int_equal(is->time_ms, was->time_ms);
    assert_true(is->fraction == was->fraction && is->fraction == 0.1 + 0.2);
    assert_true(is->stage_fraction == was->stage_fraction);
    assert_true(is->speed == was->speed);
    assert_int_equal(is->eta_ms, 1234);
    assert_int_equal(is->bytes_done, was->bytes_done);
    assert_int_equal(is->bytes_total, was->bytes_total);
    assert_int_equal(is->file_size, 99);
    assert_string_equal(is->text[TEXT_ID], "j");
    for (int i = 0; i < UPDATE_TEXTS; i++)
        if (said[i] != NULL)
            assert_string_equal(is->text[i], said[i]);
    assert_null(is->text[TEXT_RESULT]);
    assert_null(is->text[TEXT_ERROR]);
    update_unref(&was);
    update_unref(&is);
}

static void every_field_comes_back_as_it_was(void **state)
{
    check_every_field(*state, false);
}

static void every_field_of_progress_comes_back_too(void **state)
{
    check_every_field(*state, true);
}

static void a_job_that_never_was_is_missing(void **state)
{
    struct desk *d = *state;
    struct update *u = NULL;
    struct work w;

    assert_int_equal(store_find(d->store, "none", &u), FAIL_MISSING);
    assert_null(u);
    assert_int_equal(store_find_work(d->store, "none", &w), FAIL_MISSING);
}

static void of_one_job_all_is_heard_and_the_last_is_kept(void **state)
{
    enum { MANY = 2000 };
    struct desk *d = *state;
    struct update *u;

    for (int i = 0; i < MANY; i++)
        desk_say(d, "j", JOB_PROCESSING, (double)i / MANY);
    desk_wait_heard(d, MANY);
    for (int i = 1; i < MANY; i++)
        assert_true(d->heard[i].update->seq > d->heard[i - 1].update->seq);
    assert_int_equal(store_find(d->store, "j", &u), OK);
    assert_int_equal(u->seq, d->heard[MANY - 1].update->seq);
    update_unref(&u);
}

static void what_is_heard_is_in_the_file_already(void **state)
{
    struct desk *d = *state;
    char id[16];

    for (size_t i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "j%zu", i);
        desk_say(d, id, JOB_PROCESSING, 0.5);
        desk_wait_heard(d, i + 1);
        assert_int_equal(desk_stored(d, id), JOB_PROCESSING);
    }
}

static void a_final_update_is_synced_before_it_is_heard(void **state)
{
    struct desk *d = *state;

    desk_say(d, "j", JOB_PROCESSING, 0.1);
    desk_wait_heard(d, 1);
    for (size_t i = 0; i < 10; i++) {
        desk_say(d, "j", JOB_PROCESSING, -1);
        desk_wait_heard(d, i + 2);
        assert_int_equal(d->heard[i + 1].syncs, d->heard[0].syncs);
    }
    desk_say(d, "j", JOB_COMPLETED, -1);
    desk_wait_heard(d, 12);
    assert_true(d->heard[11].syncs > d->heard[10].syncs);
    desk_say(d, "k", JOB_PROCESSING, 0.1);
    desk_wait_heard(d, 13);
    assert_int_equal(d->heard[12].syncs, d->heard[11].syncs);
}

static void a_work_record_is_synced_before_its_answer(void **state)
{
    struct desk *d = *state;
    struct answer a = { .desk = d }, b = { .desk = d };

    desk_say(d, "j", JOB_PROCESSING, 0.1);
    desk_wait_heard(d, 1);
    store_put_work(d->store, "j", "probe", "{}", desk_answer, &a);
    assert_int_equal(desk_wait_answer(&a), OK);
    assert_true(a.syncs > d->heard[0].syncs);
    store_drop_work(d->store, "j", desk_answer, &b);
    assert_int_equal(desk_wait_answer(&b), OK);
    assert_true(b.syncs > a.syncs);
}

static void a_barrier_answers_once_all_before_it_is_synced(void **state)
{
    struct desk *d = *state;
    unsigned syncs = 0;

    /* Many, so that several fall into one millisecond. */
    for (size_t i = 0; i < 30; i++) {
        struct answer a = { .desk = d };
        desk_say(d, "j", JOB_PROCESSING, (double)i / 100);
        /* Also when the update went into an earlier group, which was not synced. */
        if (i % 2)
            desk_wait_heard(d, i + 1);
        store_sync(d->store, desk_answer, &a);
        assert_int_equal(desk_wait_answer(&a), OK);
        assert_int_equal(d->heard_count, i + 1);
        assert_true(a.syncs > syncs);
        syncs = a.syncs;
    }
}

static void what_was_said_before_is_heard_when_after_answers(void **state)
{
    struct desk *d = *state;

    for (size_t i = 0; i < 30; i++) {
        struct answer a = { .desk = d };
        desk_say(d, "j", JOB_PROCESSING, (double)i / 100);
        store_after(d->store, desk_answer, &a);
        assert_int_equal(desk_wait_answer(&a), OK);
        assert_int_equal(d->heard_count, i + 1);
    }
}

static void closing_writes_what_is_queued(void **state)
{
    struct desk *d = *state;
    char id[16];

    for (int i = 0; i < 500; i++) {
        snprintf(id, sizeof id, "j%d", i);
        desk_say(d, id, i % 2 ? JOB_PROCESSING : JOB_COMPLETED, -1);
    }
    store_put_work(d->store, "j1", "probe", "{}", NULL, NULL);
    desk_reopen(d);
    for (int i = 0; i < 500; i++) {
        snprintf(id, sizeof id, "j%d", i);
        assert_int_equal(desk_stored(d, id), i % 2 ? JOB_PROCESSING : JOB_COMPLETED);
    }
    struct work w;
    assert_int_equal(store_find_work(d->store, "j1", &w), OK);
    work_deinit(&w);
}

static void a_store_that_was_never_started_still_writes_at_its_end(void **state)
{
    struct desk *d = *state;

    desk_say(d, "j", JOB_COMPLETED, -1);
    assert_int_equal(desk_stored(d, "j"), -1);
    desk_reopen(d);
    assert_int_equal(desk_stored(d, "j"), JOB_COMPLETED);
}

static void starts_are_counted(void **state)
{
    struct desk *d = *state;
    uint64_t start = 0;

    for (uint64_t i = 2; i < 5; i++) {
        assert_int_equal(store_count_start(d->store, &start), OK);
        assert_int_equal(start, i);
    }
    desk_close_store(d);
    desk_open_store(d);
    assert_int_equal(store_count_start(d->store, &start), OK);
    assert_int_equal(start, 6);
}

static void an_older_state_never_replaces_a_newer_one(void **state)
{
    struct desk *d = *state;
    struct ledger *old = ledger_new(store_journal(d->store), 0);
    struct change c;

    desk_say(d, "j", JOB_COMPLETED, -1);
    desk_wait_heard(d, 1);
    change_init(&c);
    c.state = JOB_PROCESSING;
    c.kind = JOB_EXTERNAL;
    assert_int_equal(ledger_apply(old, "j", &c, true, NULL), OK);
    assert_int_equal(desk_put_work(d, "j", "after"), OK);
    assert_int_equal(desk_stored(d, "j"), JOB_COMPLETED);
    ledger_free(old);
}

struct ids {
    char text[256];
    int stop_after;
};

static bool add_id(void *context, struct update *u)
{
    struct ids *ids = context;
    size_t len = strlen(ids->text);

    snprintf(ids->text + len, sizeof ids->text - len, "%s ", u->text[TEXT_ID]);
    return --ids->stop_after != 0;
}

static void the_unfinished_are_found_oldest_first(void **state)
{
    struct desk *d = *state;
    struct ids ids = { .text = "" }, one = { .text = "", .stop_after = 1 };
    int64_t created = 0;

    desk_create(d, "a", NULL);
    desk_say(d, "done", JOB_COMPLETED, -1);
    desk_say(d, "failed", JOB_FAILED, -1);
    desk_say(d, "cancelled", JOB_CANCELLED, -1);
    while (created <= 0) {
        /* Until the clock has moved on, so that `b` is younger. */
        struct update *a = ledger_head(d->ledger, "a");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        created = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - a->created_ms;
        update_unref(&a);
    }
    desk_say(d, "b", JOB_PROCESSING, 0.5);
    desk_say(d, "a", JOB_PROCESSING, 0.5);
    desk_reopen(d);
    assert_int_equal(store_each_unfinished(d->store, add_id, &ids), OK);
    assert_string_equal(ids.text, "a b ");
    assert_int_equal(store_each_unfinished(d->store, add_id, &one), OK);
    assert_string_equal(one.text, "a ");
}

static bool add_work(void *context, const struct work *w)
{
    struct ids *ids = context;
    size_t len = strlen(ids->text);

    snprintf(ids->text + len, sizeof ids->text - len, "%s:%s:%s ", w->job, w->step, w->spec);
    return true;
}

static void work_is_kept_replaced_and_dropped(void **state)
{
    struct desk *d = *state;
    struct ids ids = { .text = "" };
    struct answer a = { .desk = d };
    struct work w;

    assert_int_equal(desk_put_work(d, "j", "assemble"), OK);
    assert_int_equal(desk_put_work(d, "j", "convert"), OK);
    assert_int_equal(desk_put_work(d, "k", "fetch"), OK);
    desk_reopen(d);
    assert_int_equal(store_find_work(d->store, "j", &w), OK);
    assert_string_equal(w.job, "j");
    assert_string_equal(w.step, "convert");
    assert_string_equal(w.spec, "{\"n\":1}");
    assert_true(w.updated_ms > 1600000000000);
    work_deinit(&w);
    assert_int_equal(store_each_work(d->store, add_work, &ids), OK);
    assert_non_null(strstr(ids.text, "j:convert:{\"n\":1} "));
    assert_non_null(strstr(ids.text, "k:fetch:{\"n\":1} "));
    store_drop_work(d->store, "j", desk_answer, &a);
    assert_int_equal(desk_wait_answer(&a), OK);
    assert_int_equal(store_find_work(d->store, "j", &w), FAIL_MISSING);
    assert_int_equal(store_find_work(d->store, "k", &w), OK);
    work_deinit(&w);
}

static void the_last_word_on_work_within_one_group_counts(void **state)
{
    struct desk *d = *state;
    struct work w;

    store_put_work(d->store, "j", "one", "{}", NULL, NULL);
    store_drop_work(d->store, "j", NULL, NULL);
    store_put_work(d->store, "k", "one", "{}", NULL, NULL);
    store_put_work(d->store, "k", "two", "{}", NULL, NULL);
    desk_reopen(d);
    assert_int_equal(store_find_work(d->store, "j", &w), FAIL_MISSING);
    assert_int_equal(store_find_work(d->store, "k", &w), OK);
    assert_string_equal(w.step, "two");
    work_deinit(&w);
}

/* Puts a job straight into the file, at a time of its own. */
static void put_row(struct desk *d, const char *id, const char *owner, const char *job_state,
                    int64_t updated_ms)
{
    sqlite3 *db;
    char sql[512], quoted[64] = "NULL";

    if (owner != NULL)
        snprintf(quoted, sizeof quoted, "'%s'", owner);
    snprintf(sql, sizeof sql,
             "INSERT INTO jobs (id, owner, state, kind, seq, created_ms, updated_ms)"
             " VALUES ('%s', %s, '%s', 'upload', 1, 1, %lld)",
             id, quoted, job_state, (long long)updated_ms);
    assert_int_equal(sqlite3_open(d->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void assert_list(struct desk *d, const char *owner, int state, int64_t before_ms, size_t max,
                        const char *expected)
{
    struct update *found[16];
    struct ids ids = { .text = "" };
    size_t count = 99;

    assert_int_equal(store_list(d->store, owner, state, before_ms, max, found, &count), OK);
    assert_true(count <= max);
    for (size_t i = 0; i < count; i++) {
        add_id(&ids, found[i]);
        update_unref(&found[i]);
    }
    assert_string_equal(ids.text, expected);
}

static void lists_are_newest_first_and_of_whom_it_may_concern(void **state)
{
    struct desk *d = *state;

    put_row(d, "a1", "ann", "completed", 100);
    put_row(d, "b1", "bob", "completed", 200);
    put_row(d, "n1", NULL, "processing", 300);
    put_row(d, "a2", "ann", "failed", 400);
    put_row(d, "n2", NULL, "completed", 500);
    put_row(d, "a3", "ann", "completed", 600);
    assert_list(d, NULL, -1, 0, 16, "a3 n2 a2 n1 b1 a1 ");
    assert_list(d, NULL, -1, 0, 2, "a3 n2 ");
    assert_list(d, NULL, -1, 500, 2, "a2 n1 ");
    assert_list(d, NULL, JOB_COMPLETED, 0, 16, "a3 n2 b1 a1 ");
    assert_list(d, "ann", -1, 0, 16, "a3 n2 a2 n1 a1 ");
    assert_list(d, "ann", -1, 0, 3, "a3 n2 a2 ");
    assert_list(d, "ann", -1, 400, 16, "n1 a1 ");
    assert_list(d, "ann", JOB_FAILED, 0, 16, "a2 ");
    assert_list(d, "bob", -1, 0, 16, "n2 n1 b1 ");
    assert_list(d, "eve", JOB_PROCESSING, 0, 16, "n1 ");
    assert_list(d, NULL, -1, 0, 0, "");
}

static void a_row_that_makes_no_sense_hides_no_other(void **state)
{
    struct desk *d = *state;

    put_row(d, "a", NULL, "completed", 100);
    put_row(d, "odd", NULL, "dancing", 200);
    put_row(d, "b", NULL, "completed", 300);
    assert_list(d, NULL, -1, 0, 16, "b a ");
    assert_int_equal(desk_stored(d, "odd"), -1);
}

static void sweeping_forgets_old_finished_jobs_alone(void **state)
{
    struct desk *d = *state;
    size_t count = 0;

    put_row(d, "old1", NULL, "completed", 100);
    put_row(d, "old2", "ann", "failed", 200);
    put_row(d, "old3", NULL, "cancelled", 300);
    put_row(d, "busy", NULL, "processing", 100);
    put_row(d, "cleaning", NULL, "completed", 100);
    put_row(d, "new", NULL, "completed", 1000);
    assert_int_equal(desk_put_work(d, "cleaning", "cleanup"), OK);
    assert_int_equal(store_sweep(d->store, 1000, 2, &count), OK);
    assert_int_equal(count, 2);
    assert_list(d, NULL, -1, 0, 16, "new old3 cleaning busy ");
    assert_int_equal(store_sweep(d->store, 1000, 100, &count), OK);
    assert_int_equal(count, 1);
    assert_int_equal(store_sweep(d->store, 1000, 100, &count), OK);
    assert_int_equal(count, 0);
    assert_list(d, NULL, -1, 0, 16, "new cleaning busy ");
}

static void sweeping_works_before_the_start_too(void **state)
{
    struct desk *d = *state;
    size_t count = 0;

    put_row(d, "old", NULL, "completed", 100);
    assert_int_equal(store_sweep(d->store, 1000, 2, &count), OK);
    assert_int_equal(count, 1);
}

/* The child reports and tells us over a pipe what it has heard, until it is
 * killed. */
static void report_for_ever(struct desk *d, int told)
{
    char id[16];
    size_t heard = 0;

    assert_int_equal(store_start(d->store, d->ledger), OK);
    for (int i = 0;; i++) {
        snprintf(id, sizeof id, "j%d", i);
        desk_say(d, id, JOB_PROCESSING, 0.5);
        desk_say(d, id, JOB_COMPLETED, -1);
        desk_wait_heard(d, heard += 2);
        if (write(told, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

static void what_was_heard_survives_a_kill(void **state)
{
    struct desk *d = *state;
    int pipes[2], i = 0;
    char id[16];

    desk_close_store(d);
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        desk_open_store(d);
        report_for_ever(d, pipes[1]);
    }
    close(pipes[1]);
    while (i < 20)
        assert_int_equal(read(pipes[0], &i, sizeof i), sizeof i);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    while (read(pipes[0], &i, sizeof i) == sizeof i)
        ;
    close(pipes[0]);
    desk_open_store(d);
    for (int k = 0; k <= i; k++) {
        snprintf(id, sizeof id, "j%d", k);
        assert_int_equal(desk_stored(d, id), JOB_COMPLETED);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
#define IDLE(name) cmocka_unit_test_setup_teardown(name, desk_setup_idle, desk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_field_comes_back_as_it_was),
        CASE(every_field_of_progress_comes_back_too),
        CASE(a_job_that_never_was_is_missing),
        CASE(of_one_job_all_is_heard_and_the_last_is_kept),
        CASE(what_is_heard_is_in_the_file_already),
        CASE(a_final_update_is_synced_before_it_is_heard),
        CASE(a_work_record_is_synced_before_its_answer),
        CASE(a_barrier_answers_once_all_before_it_is_synced),
        CASE(what_was_said_before_is_heard_when_after_answers),
        CASE(closing_writes_what_is_queued),
        IDLE(a_store_that_was_never_started_still_writes_at_its_end),
        IDLE(starts_are_counted),
        CASE(an_older_state_never_replaces_a_newer_one),
        CASE(the_unfinished_are_found_oldest_first),
        CASE(work_is_kept_replaced_and_dropped),
        CASE(the_last_word_on_work_within_one_group_counts),
        CASE(lists_are_newest_first_and_of_whom_it_may_concern),
        CASE(a_row_that_makes_no_sense_hides_no_other),
        CASE(sweeping_forgets_old_finished_jobs_alone),
        IDLE(sweeping_works_before_the_start_too),
        IDLE(what_was_heard_survives_a_kill),
    };
    faults_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
