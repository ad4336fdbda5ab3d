#include "../storage/place.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "core/limits.h"
#include "media/uploads.h"

static struct place *place;
static struct store *store;
static struct ledger *ledger;
static struct uploads *uploads;
static sem_t answered;
static int answer;

static int begin(void **state)
{
    struct buf why;
    uint64_t start;

    if (place_setup(state) != 0)
        return -1;
    place = *state;
    buf_init(&why, 1024);
    assert_int_equal(store_open(place_path(place, "jobs.db"), &store, &why), OK);
    buf_deinit(&why);
    assert_int_equal(store_count_start(store, &start), OK);
    ledger = ledger_new(store_journal(store), start << STORE_SEQ_BITS);
    assert_int_equal(store_start(store, ledger), OK);
    uploads = uploads_new(store, place->disk);
    return sem_init(&answered, 0, 0);
}

static int end(void **state)
{
    uploads_free(uploads);
    store_close(store);
    ledger_free(ledger);
    sem_destroy(&answered);
    return place_teardown(state);
}

static void done(void *context, int err)
{
    assert_ptr_equal(context, &answer);
    answer = err;
    sem_post(&answered);
}

static int wait_for_answer(void)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    assert_int_equal(sem_timedwait(&answered, &deadline), 0);
    return answer;
}

static struct upload of_size(int64_t size)
{
    return (struct upload){ .size = size, .touched_ms = 1000, .file_name = "a.mp4" };
}

static void create(const char *video, int64_t size)
{
    struct upload u = of_size(size);

    assert_int_equal(uploads_create(uploads, video, &u, done, &answer), OK);
    assert_int_equal(wait_for_answer(), OK);
}

/* What is on record; false: nothing. */
static bool stored(const char *video, struct upload *out)
{
    struct work w;

    store_sync(store, done, &answer);
    assert_int_equal(wait_for_answer(), OK);
    if (store_find_work(store, video, &w) != OK)
        return false;
    assert_string_equal(w.step, "upload");
    assert_int_equal(upload_read(w.spec, out), OK);
    work_deinit(&w);
    return true;
}

static struct upload now(const char *video)
{
    struct upload u;

    assert_int_equal(uploads_get(uploads, video, &u), OK);
    return u;
}

static bool is_there(const char *video)
{
    struct upload u;

    return uploads_get(uploads, video, &u) == OK;
}

/* Others use the same disk: what is promised is compared in quarters of it. */
static uint64_t quarter;

static int quarters_free(void)
{
    return (int)((disk_available(place->disk) + quarter / 2) / quarter);
}

static int64_t half_the_disk(void)
{
    quarter = disk_available(place->disk) / 4;
    return (int64_t)(2 * quarter);
}

/* --- beginning --- */

static void a_new_upload_is_on_record(void **state)
{
    struct upload u;

    (void)state;
    create("7", 5);
    assert_int_equal(now("7").state, UPLOAD_OPEN);
    assert_true(stored("7", &u));
    assert_int_equal(u.size, 5);
    assert_int_equal(u.total_chunks, 0);
    assert_string_equal(u.file_name, "a.mp4");
    assert_false(u.has_source);
}

static void an_upload_is_created_once(void **state)
{
    struct upload u = of_size(half_the_disk());

    (void)state;
    create("7", u.size);
    assert_int_equal(quarters_free(), 2);
    assert_int_equal(uploads_create(uploads, "7", &u, done, &answer), FAIL_EXISTS);
    assert_int_equal(quarters_free(), 2);
}

static void what_the_disk_cannot_hold_is_refused_at_the_door(void **state)
{
    struct upload u = of_size(INT64_MAX);
    struct upload kept;

    (void)state;
    assert_int_equal(uploads_create(uploads, "7", &u, done, &answer), FAIL_FULL);
    assert_false(is_there("7"));
    assert_false(stored("7", &kept));
}

static void the_declared_size_is_promised_and_given_back(void **state)
{
    int64_t half = half_the_disk();

    (void)state;
    create("7", half);
    assert_int_equal(quarters_free(), 2);
    assert_int_equal(uploads_enter(uploads, "7"), OK);
    uploads_leave(uploads, "7", quarter); /* a quarter of it has come */
    assert_int_equal(quarters_free(), 3);
    assert_int_equal(uploads_enter(uploads, "7"), OK);
    uploads_leave(uploads, "7", 100 * quarter); /* more than was said */
    assert_int_equal(quarters_free(), 4);
    create("8", half);
    assert_int_equal(uploads_begin(uploads, "8", "a.mp4", 1), OK);
    assert_int_equal(quarters_free(), 4);
    create("9", half);
    uploads_finish(uploads, "9");
    assert_int_equal(quarters_free(), 4);
    create("10", half);
    uploads_free(uploads);
    assert_int_equal(quarters_free(), 4);
    uploads = uploads_new(store, place->disk);
}

/* --- chunks --- */

static void the_first_word_on_the_number_of_chunks_counts(void **state)
{
    struct upload u;
    uint32_t before = 99;

    (void)state;
    create("7", -1);
    assert_int_equal(uploads_plan(uploads, "7", 10, &before), OK);
    assert_int_equal(uploads_plan(uploads, "7", 10, &before), OK);
    assert_int_equal(before, 99);
    assert_int_equal(uploads_plan(uploads, "7", 11, &before), FAIL_EXISTS);
    assert_int_equal(before, 10);
    assert_int_equal(now("7").total_chunks, 10);
    assert_true(stored("7", &u));
    assert_int_equal(u.total_chunks, 10);
}

static void the_first_word_on_the_size_counts(void **state)
{
    struct upload u;

    (void)state;
    assert_int_equal(uploads_declare(uploads, "7", 10), FAIL_MISSING);
    create("7", -1);
    assert_int_equal(uploads_declare(uploads, "7", INT64_MAX), FAIL_FULL);
    assert_int_equal(now("7").size, -1);
    assert_int_equal(uploads_declare(uploads, "7", 10), OK);
    assert_int_equal(uploads_declare(uploads, "7", 10), OK);
    assert_int_equal(uploads_declare(uploads, "7", 11), FAIL_EXISTS);
    assert_int_equal(now("7").size, 10);
    assert_true(stored("7", &u));
    assert_int_equal(u.size, 10);
    assert_int_equal(uploads_begin(uploads, "7", "a", 1), OK);
    assert_int_equal(uploads_declare(uploads, "7", 10), FAIL_STATE);
}

static void what_tus_knows_of_an_upload_is_in_its_record(void **state)
{
    struct upload u = { .size = 5,
                        .is_tus = true,
                        .is_partial = true,
                        .owner = "0123456789abcdef" },
                  again;
    struct buf json;

    (void)state;
    snprintf(u.fields, sizeof(u.fields), "Upload-Metadata name YQ==\nUpload-Concat partial\n");
    buf_init(&json, 16 * 1024);
    upload_write(&u, &json);
    assert_int_equal(upload_read(buf_text(&json), &again), OK);
    assert_true(again.is_tus && again.is_partial);
    assert_string_equal(again.owner, u.owner);
    assert_string_equal(again.fields, u.fields);
    buf_deinit(&json);
    assert_int_equal(upload_read("{\"is_tus\":true,\"owner\":\"0123456789abcdef01234567\"}",
                                 &again),
                     FAIL_SYNTAX);
}

static void an_upload_that_is_not_there_takes_nothing(void **state)
{
    uint32_t before;
    struct upload u;

    (void)state;
    assert_int_equal(uploads_plan(uploads, "7", 10, &before), FAIL_MISSING);
    assert_int_equal(uploads_enter(uploads, "7"), FAIL_MISSING);
    assert_int_equal(uploads_begin(uploads, "7", "a", 1), FAIL_MISSING);
    assert_int_equal(uploads_get(uploads, "7", &u), FAIL_MISSING);
    uploads_leave(uploads, "7", 5);
    uploads_reopen(uploads, "7", &(struct upload){ .has_source = true });
    uploads_save(uploads, "7");
    uploads_finish(uploads, "7");
    assert_false(is_there("7"));
    assert_false(stored("7", &u));
}

static void a_busy_upload_takes_no_chunks(void **state)
{
    uint32_t before;

    (void)state;
    create("7", -1);
    assert_int_equal(uploads_begin(uploads, "7", "b.mp4", 3), OK);
    assert_int_equal(now("7").state, UPLOAD_BUSY);
    assert_int_equal(now("7").total_chunks, 3);
    assert_string_equal(now("7").file_name, "b.mp4");
    assert_int_equal(uploads_enter(uploads, "7"), FAIL_STATE);
    assert_int_equal(uploads_plan(uploads, "7", 3, &before), FAIL_STATE);
    assert_int_equal(uploads_begin(uploads, "7", "b.mp4", 3), FAIL_STATE);
}

static void it_does_not_begin_while_a_chunk_gets_its_name(void **state)
{
    (void)state;
    create("7", -1);
    assert_int_equal(uploads_enter(uploads, "7"), OK);
    assert_int_equal(uploads_enter(uploads, "7"), OK);
    assert_int_equal(uploads_begin(uploads, "7", "a", 2), FAIL_STATE);
    uploads_leave(uploads, "7", 1);
    assert_int_equal(uploads_begin(uploads, "7", "a", 2), FAIL_STATE);
    uploads_leave(uploads, "7", 1);
    assert_int_equal(uploads_begin(uploads, "7", "a", 2), OK);
}

static atomic_int inside;

static void *come_and_go(void *unused)
{
    for (int i = 0; i < 5000; i++)
        if (uploads_enter(uploads, "7") == OK) {
            atomic_fetch_add(&inside, 1);
            atomic_fetch_sub(&inside, 1);
            uploads_leave(uploads, "7", 1);
        }
    return unused;
}

static void beginning_and_chunks_exclude_each_other_on_any_thread(void **state)
{
    pthread_t threads[3];
    unsigned begun = 0;

    (void)state;
    create("7", -1);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, come_and_go, NULL);
    for (int i = 0; i < 2000; i++)
        if (uploads_begin(uploads, "7", "a", 2) == OK) {
            begun += atomic_load(&inside) == 0;
            uploads_reopen(uploads, "7", &(struct upload){ .has_source = false });
        } else {
            begun++;
        }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(begun, 2000);
}

static void its_place_is_set_by_who_knows_it(void **state)
{
    struct upload_place first = { .layout = LAYOUT_DISK }, next = { .layout = LAYOUT_PARTS };
    struct upload u;

    (void)state;
    snprintf(next.multipart, sizeof(next.multipart), "abc");
    assert_int_equal(uploads_place(uploads, "7", &first, &next, done, &answer), FAIL_MISSING);
    create("7", -1);
    assert_int_equal(uploads_place(uploads, "7", &next, &first, done, &answer), FAIL_EXISTS);
    assert_int_equal(uploads_place(uploads, "7", &first, &next, done, &answer), OK);
    assert_int_equal(wait_for_answer(), OK);
    assert_true(stored("7", &u));
    assert_true(upload_place_equals(&u.place, &next));
    assert_int_equal(uploads_place(uploads, "7", &first, &next, done, &answer), FAIL_EXISTS);
    assert_int_equal(uploads_begin(uploads, "7", "a", 2), OK);
    assert_int_equal(uploads_place(uploads, "7", &next, &first, done, &answer), FAIL_STATE);
    u = now("7");
    assert_true(upload_place_equals(&u.place, &next));
}

/* --- mending and ending --- */

static void a_failed_one_is_open_again(void **state)
{
    struct upload u;

    (void)state;
    create("7", -1);
    assert_int_equal(uploads_begin(uploads, "7", "a", 2), OK);
    uploads_save(uploads, "7"); /* what is busy is the pipeline's to write down */
    assert_true(stored("7", &u));
    assert_int_equal(u.total_chunks, 0);
    uploads_reopen(uploads, "7", &(struct upload){ .has_source = true });
    assert_int_equal(now("7").state, UPLOAD_OPEN);
    assert_true(now("7").has_source);
    uploads_save(uploads, "7");
    assert_true(stored("7", &u));
    assert_true(u.has_source);
    assert_int_equal(u.total_chunks, 2);
    assert_int_equal(uploads_enter(uploads, "7"), OK);
    uploads_leave(uploads, "7", 0);
}

static void a_finished_one_is_forgotten_but_its_record_waits_for_the_disk(void **state)
{
    struct upload u;

    (void)state;
    create("7", -1);
    uploads_finish(uploads, "7");
    assert_false(is_there("7"));
    assert_true(stored("7", &u));
    create("7", -1); /* the name is free */
}

static void only_open_ones_that_nobody_touched_are_stale(void **state)
{
    char *names[8];
    int64_t before = clock_wall_ms();
    uint32_t ignored;

    (void)state;
    create("old", -1); /* touched in 1970 */
    create("older", -1);
    create("planned", -1);
    create("inside", -1);
    create("busy", -1);
    assert_int_equal(uploads_plan(uploads, "planned", 3, &ignored), OK);
    assert_int_equal(uploads_enter(uploads, "inside"), OK);
    assert_int_equal(uploads_begin(uploads, "busy", "a", 1), OK);
    assert_int_equal(uploads_stale(uploads, 1000, 8, names), 0);
    assert_int_equal(uploads_stale(uploads, before, 8, names), 2);
    assert_true(strncmp(names[0], "old", 3) == 0 && strncmp(names[1], "old", 3) == 0);
    mem_free(names[0]);
    mem_free(names[1]);
    assert_int_equal(uploads_stale(uploads, before, 1, names), 1);
    mem_free(names[0]);
    uploads_leave(uploads, "inside", 0);
    assert_int_equal(uploads_stale(uploads, INT64_MAX, 8, names), 4);
    for (int i = 0; i < 4; i++)
        mem_free(names[i]);
}

/* --- records --- */

static int restore(const char *spec, int64_t updated_ms, bool is_busy)
{
    struct work w = { .job = (char *)(uintptr_t) "7",
                      .step = (char *)(uintptr_t) "upload",
                      .spec = (char *)(uintptr_t)spec,
                      .updated_ms = updated_ms };

    return uploads_restore(uploads, &w, is_busy);
}

static void a_restart_finds_it_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(restore("{\"total_chunks\":3,\"size\":9,\"touched_ms\":500,"
                             "\"has_source\":true,\"file_name\":\"b \\\"c\\\".mp4\",\"more\":1}",
                             400, false),
                     OK);
    struct upload u = now("7");
    assert_int_equal(u.state, UPLOAD_OPEN);
    assert_int_equal(u.total_chunks, 3);
    assert_int_equal(u.size, 9);
    assert_int_equal(u.touched_ms, 500);
    assert_true(u.has_source);
    assert_string_equal(u.file_name, "b \"c\".mp4");
}

static void one_that_was_being_worked_on_stays_busy(void **state)
{
    (void)state;
    assert_int_equal(restore("{\"step\":\"convert\"}", 700, true), OK);
    struct upload u = now("7");
    assert_int_equal(u.state, UPLOAD_BUSY);
    assert_int_equal(u.total_chunks, 0);
    assert_int_equal(u.size, -1);
    assert_int_equal(u.touched_ms, 700); /* its record was written then */
    assert_string_equal(u.file_name, "");
    assert_int_equal(uploads_enter(uploads, "7"), FAIL_STATE);
}

static void what_was_declared_is_promised_again(void **state)
{
    char spec[64];

    (void)state;
    snprintf(spec, sizeof(spec), "{\"size\":%lld}", (long long)half_the_disk());
    assert_int_equal(restore(spec, 0, false), OK);
    assert_int_equal(quarters_free(), 2);
    uploads_finish(uploads, "7");
    assert_int_equal(quarters_free(), 4);
    snprintf(spec, sizeof(spec), "{\"size\":%lld,\"has_source\":true}", (long long)half_the_disk());
    assert_int_equal(restore(spec, 0, false), OK); /* it is all there */
    assert_int_equal(quarters_free(), 4);
}

static void a_record_that_cannot_be_read_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "{", "[]", "7", "{\"size\":\"9\"}", "{\"total_chunks\":1.5}", "{\"file_name\":7}"
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(restore(bad[i], 0, false), FAIL_SYNTAX);
    assert_false(is_there("7"));
}

static void what_is_written_is_what_is_read(void **state)
{
    struct upload u = { .total_chunks = UINT32_MAX,
                        .size = INT64_MAX,
                        .touched_ms = 123456789012345,
                        .has_source = true,
                        .is_one_shot = true };
    struct upload back;
    struct buf json;

    (void)state;
    memset(u.file_name, '"', sizeof(u.file_name) - 1);
    buf_init(&json, 16384);
    upload_write(&u, &json);
    assert_int_equal(upload_read(buf_text(&json), &back), OK);
    assert_int_equal(back.total_chunks, UINT32_MAX);
    assert_true(back.size == INT64_MAX);
    assert_true(back.touched_ms == u.touched_ms);
    assert_true(back.has_source);
    assert_true(back.is_one_shot);
    assert_string_equal(back.file_name, u.file_name);
    buf_deinit(&json);
}

static void there_are_only_so_many_parts_of_others(void **state)
{
    struct upload u = of_size(1);
    char video[32];

    (void)state;
    u.is_partial = true;
    for (int i = 0; i < PARTIALS_MAX; i++) {
        snprintf(video, sizeof(video), "part-%d", i);
        assert_int_equal(uploads_create(uploads, video, &u, NULL, NULL), OK);
    }
    assert_int_equal(uploads_create(uploads, "part-x", &u, NULL, NULL), FAIL_LIMIT);
    create("whole", 1);
    uploads_finish(uploads, "part-7");
    assert_int_equal(uploads_create(uploads, "part-x", &u, NULL, NULL), OK);
    assert_int_equal(uploads_create(uploads, "part-y", &u, NULL, NULL), FAIL_LIMIT);
}

#define UPLOADS(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPLOADS(a_new_upload_is_on_record),
        UPLOADS(an_upload_is_created_once),
        UPLOADS(what_the_disk_cannot_hold_is_refused_at_the_door),
        UPLOADS(the_declared_size_is_promised_and_given_back),
        UPLOADS(the_first_word_on_the_number_of_chunks_counts),
        UPLOADS(the_first_word_on_the_size_counts),
        UPLOADS(what_tus_knows_of_an_upload_is_in_its_record),
        UPLOADS(an_upload_that_is_not_there_takes_nothing),
        UPLOADS(there_are_only_so_many_parts_of_others),
        UPLOADS(a_busy_upload_takes_no_chunks),
        UPLOADS(it_does_not_begin_while_a_chunk_gets_its_name),
        UPLOADS(beginning_and_chunks_exclude_each_other_on_any_thread),
        UPLOADS(its_place_is_set_by_who_knows_it),
        UPLOADS(a_failed_one_is_open_again),
        UPLOADS(a_finished_one_is_forgotten_but_its_record_waits_for_the_disk),
        UPLOADS(only_open_ones_that_nobody_touched_are_stale),
        UPLOADS(a_restart_finds_it_as_it_was),
        UPLOADS(one_that_was_being_worked_on_stays_busy),
        UPLOADS(what_was_declared_is_promised_again),
        UPLOADS(a_record_that_cannot_be_read_is_refused),
        UPLOADS(what_is_written_is_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
