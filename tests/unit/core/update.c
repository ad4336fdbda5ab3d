#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "core/update.h"

/* The job under test, and the next thing said about it. */
static struct update *job;
static struct change c;

static int end(void **state)
{
    (void)state;
    update_unref(&job);
    return 0;
}

static void begin(enum job_kind kind, double fraction)
{
    change_init(&c);
    c.state = JOB_PROCESSING;
    c.kind = (int)kind;
    c.fraction = fraction;
    c.text[TEXT_ID] = "job";
    c.text[TEXT_OWNER] = "ann";
    c.text[TEXT_STAGE] = "first";
    assert_int_equal(update_derive(NULL, &c, 1, 1000, &job), OK);
    change_init(&c);
}

/* Applies `c` to the job and forgets it. */
static int next(void)
{
    struct update *u = NULL;
    int err = update_derive(job, &c, job->seq + 1, job->time_ms + 1, &u);

    if (err == OK) {
        update_unref(&job);
        job = u;
    } else {
        assert_null(u);
    }
    change_init(&c);
    return err;
}

static void now(double fraction)
{
    c.fraction = fraction;
    assert_int_equal(next(), OK);
}

static void an_attempt_starts_once(void **state)
{
    (void)state;
    begin(JOB_UPLOAD, 0);
    assert_true(job->is_start);
    now(0.5);
    assert_false(job->is_start);
    c.text[TEXT_STAGE] = "second";
    now(0.6);
    assert_false(job->is_start);
    c.state = JOB_FAILED;
    assert_int_equal(next(), OK);
    assert_false(job->is_start);
    c.state = JOB_QUEUED;
    c.is_retry = true;
    assert_int_equal(next(), OK);
    assert_false(job->is_start);
    c.state = JOB_PROCESSING;
    assert_int_equal(next(), OK);
    assert_true(job->is_start);
}

static void a_new_job_is_queued_and_knows_nothing(void **state)
{
    (void)state;
    change_init(&c);
    c.kind = JOB_EXTERNAL;
    c.text[TEXT_ID] = "job";
    assert_int_equal(update_derive(NULL, &c, 7, 1234, &job), OK);
    assert_int_equal(job->state, JOB_QUEUED);
    assert_int_equal(job->seq, 7);
    assert_int_equal(job->created_ms, 1234);
    assert_int_equal(job->time_ms, 1234);
    assert_true(job->fraction == 0);
    assert_true(job->stage_fraction == 0);
    assert_true(job->speed == -1);
    assert_int_equal(job->eta_ms, -1);
    assert_int_equal(job->bytes_done, -1);
    assert_int_equal(job->bytes_total, -1);
    assert_int_equal(job->file_size, -1);
    assert_string_equal(job->text[TEXT_ID], "job");
    for (int i = 0; i < UPDATE_TEXTS; i++)
        if (i != TEXT_ID)
            assert_null(job->text[i]);
    assert_string_equal(update_text(job, TEXT_STAGE), "");
}

static void a_job_without_a_name_is_none(void **state)
{
    struct update *u = NULL;

    (void)state;
    change_init(&c);
    assert_int_equal(update_derive(NULL, &c, 1, 1, &u), FAIL_STATE);
    assert_null(u);
}

static void fractions_are_clamped_to_their_range(void **state)
{
    (void)state;
    begin(JOB_UPLOAD, 7);
    assert_true(job->fraction == 1);
    update_unref(&job);
    begin(JOB_UPLOAD, -7);
    assert_true(job->fraction == 0);
    c.stage_fraction = 1.5;
    now(0.5);
    assert_true(job->fraction == 0.5);
    assert_true(job->stage_fraction == 1);
}

static void what_is_no_number_changes_nothing(void **state)
{
    static const double odd[] = { NAN, INFINITY, -INFINITY, -0.5 };

    (void)state;
    begin(JOB_EXTERNAL, 0.25);
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        now(odd[i]);
        assert_true(job->fraction == 0.25);
        assert_true(job->stage_fraction == 0.25);
    }
    c.text[TEXT_STAGE] = "second";
    now(NAN); /* also not where a stage begins */
    assert_true(job->fraction == 0.25);
}

static void progress_never_runs_back_within_a_stage(void **state)
{
    enum job_kind kind;

    (void)state;
    for (kind = 0; kind < JOB_KINDS; kind++) {
        begin(kind, 0.5);
        c.stage_fraction = 0.8;
        now(0.6);
        c.stage_fraction = 0.7;
        now(0.55);
        assert_true(job->fraction == 0.6);
        assert_true(job->stage_fraction == 0.8);
        update_unref(&job);
    }
}

static void a_stage_of_an_external_job_may_begin_anew(void **state)
{
    (void)state;
    begin(JOB_EXTERNAL, 0.9);
    c.text[TEXT_STAGE] = "second";
    now(0.1);
    assert_true(job->fraction == 0.1);
    assert_true(job->stage_fraction == 0.1);
    c.text[TEXT_STAGE] = "third"; /* says nothing of progress */
    assert_int_equal(next(), OK);
    assert_true(job->fraction == 0.1);
    assert_true(job->stage_fraction == 0);
    c.text[TEXT_STAGE] = "third"; /* the same again is no new stage */
    now(0.05);
    assert_true(job->fraction == 0.1);
}

static void an_upload_never_runs_back_but_its_stages_begin_at_zero(void **state)
{
    (void)state;
    begin(JOB_UPLOAD, 0.2);
    c.stage_fraction = 1;
    assert_int_equal(next(), OK);
    c.text[TEXT_STAGE] = "second";
    c.stage_fraction = 0;
    now(0.1);
    assert_true(job->fraction == 0.2);
    assert_true(job->stage_fraction == 0);
    c.stage_fraction = 0.5;
    now(0.6);
    assert_true(job->stage_fraction == 0.5);
}

static void a_stage_fraction_of_an_external_job_is_that_of_the_job(void **state)
{
    (void)state;
    begin(JOB_EXTERNAL, 0.4);
    assert_true(job->stage_fraction == 0.4);
    update_unref(&job);
    begin(JOB_UPLOAD, 0.4);
    assert_true(job->stage_fraction == 0);
}

static void an_unknown_fraction_stays_unknown_until_one_is_reported(void **state)
{
    (void)state;
    begin(JOB_DOWNLOAD, UNKNOWN_FRACTION);
    assert_true(job->fraction == UNKNOWN_FRACTION);
    c.text[TEXT_MESSAGE] = "still at it";
    assert_int_equal(next(), OK);
    assert_true(job->fraction == UNKNOWN_FRACTION);
    now(0.3);
    assert_true(job->fraction == 0.3);
    now(UNKNOWN_FRACTION); /* what is known is not forgotten */
    assert_true(job->fraction == 0.3);
}

static void a_completed_job_is_whole(void **state)
{
    (void)state;
    begin(JOB_EXTERNAL, 0.5);
    c.state = JOB_COMPLETED;
    c.fraction = 0.7;
    c.text[TEXT_STAGE] = "rendering";
    c.text[TEXT_RESULT] = "{\"a\":1}";
    assert_int_equal(next(), OK);
    assert_int_equal(job->state, JOB_COMPLETED);
    assert_true(job->fraction == 1);
    assert_true(job->stage_fraction == 1);
    assert_string_equal(job->text[TEXT_STAGE], "complete");
    assert_string_equal(job->text[TEXT_RESULT], "{\"a\":1}");
}

static void a_failed_job_keeps_the_stage_and_progress_it_failed_at(void **state)
{
    static const enum job_state ends[] = { JOB_FAILED, JOB_CANCELLED };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        begin(JOB_UPLOAD, 0.5);
        c.speed = 2;
        c.eta_ms = 9000;
        c.stage_fraction = 0.75;
        assert_int_equal(next(), OK);
        c.state = (int)ends[i];
        c.fraction = 0.9;
        c.stage_fraction = 1;
        c.text[TEXT_ERROR] = "Out of memory";
        assert_int_equal(next(), OK);
        assert_int_equal(job->state, ends[i]);
        assert_true(job->fraction == 0.5);
        assert_true(job->stage_fraction == 0.75);
        assert_string_equal(job->text[TEXT_STAGE], "first");
        assert_string_equal(job->text[TEXT_ERROR], "Out of memory");
        assert_true(job->speed == -1);
        assert_int_equal(job->eta_ms, -1);
        update_unref(&job);
    }
}

static void a_finished_job_refuses_every_move(void **state)
{
    static const enum job_state ends[] = { JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        begin(JOB_UPLOAD, 0.5);
        c.state = (int)ends[i];
        assert_int_equal(next(), OK);
        for (int to = CHANGE_KEEP_STATE; to < JOB_STATES; to++) {
            c.state = to;
            assert_int_equal(next(), FAIL_STATE);
        }
        assert_int_equal(job->state, ends[i]);
        update_unref(&job);
    }
}

static void a_processing_job_is_not_queued_again(void **state)
{
    (void)state;
    begin(JOB_UPLOAD, 0.5);
    c.state = JOB_QUEUED;
    assert_int_equal(next(), FAIL_STATE);
    c.state = JOB_QUEUED;
    c.is_retry = true;
    assert_int_equal(next(), FAIL_STATE);
}

static void fail_it(void)
{
    begin(JOB_UPLOAD, 0.5);
    c.bytes_done = 5;
    c.bytes_total = 10;
    c.file_size = 3;
    c.text[TEXT_TITLE] = "a.mp4";
    c.text[TEXT_METADATA] = "{}";
    c.text[TEXT_MESSAGE] = "Reading chunk 5/10";
    c.text[TEXT_VIDEO_INFO] = "{\"id\":1}";
    assert_int_equal(next(), OK);
    c.state = JOB_FAILED;
    c.text[TEXT_ERROR] = "broken";
    assert_int_equal(next(), OK);
}

static void a_retry_begins_from_the_beginning(void **state)
{
    (void)state;
    fail_it();
    int64_t created = job->created_ms;
    c.state = JOB_QUEUED;
    c.is_retry = true;
    assert_int_equal(next(), OK);
    assert_int_equal(job->state, JOB_QUEUED);
    assert_true(job->fraction == 0);
    assert_true(job->stage_fraction == 0);
    assert_int_equal(job->bytes_done, -1);
    assert_int_equal(job->bytes_total, -1);
    assert_int_equal(job->file_size, -1);
    assert_null(job->text[TEXT_STAGE]);
    assert_null(job->text[TEXT_MESSAGE]);
    assert_null(job->text[TEXT_ERROR]);
    assert_null(job->text[TEXT_METADATA]);
    /* What belongs to the job and not to the attempt stays. */
    assert_string_equal(job->text[TEXT_TITLE], "a.mp4");
    assert_string_equal(job->text[TEXT_OWNER], "ann");
    assert_string_equal(job->text[TEXT_VIDEO_INFO], "{\"id\":1}");
    assert_int_equal(job->created_ms, created);
    assert_int_equal(job->kind, JOB_UPLOAD);
}

static void a_retry_only_leads_to_queued(void **state)
{
    (void)state;
    fail_it();
    for (int to = CHANGE_KEEP_STATE; to < JOB_STATES; to++) {
        if (to == JOB_QUEUED)
            continue;
        c.state = to;
        c.is_retry = true;
        assert_int_equal(next(), FAIL_STATE);
    }
}

static void texts_are_kept_changed_or_cleared(void **state)
{
    (void)state;
    begin(JOB_EXTERNAL, 0);
    c.text[TEXT_MESSAGE] = "one";
    c.text[TEXT_METADATA] = "{}";
    assert_int_equal(next(), OK);
    assert_int_equal(next(), OK);
    assert_string_equal(job->text[TEXT_MESSAGE], "one");
    c.text[TEXT_MESSAGE] = "two, and longer than before";
    c.text[TEXT_METADATA] = "";
    assert_int_equal(next(), OK);
    assert_string_equal(job->text[TEXT_MESSAGE], "two, and longer than before");
    assert_null(job->text[TEXT_METADATA]);
    assert_string_equal(update_text(job, TEXT_METADATA), "");
}

static void texts_are_copies(void **state)
{
    char message[] = "Rendering";

    (void)state;
    begin(JOB_EXTERNAL, 0);
    c.text[TEXT_MESSAGE] = message;
    assert_int_equal(next(), OK);
    memset(message, 'x', sizeof(message) - 1);
    assert_string_equal(job->text[TEXT_MESSAGE], "Rendering");
}

static void id_owner_kind_and_birth_never_change(void **state)
{
    (void)state;
    begin(JOB_UPLOAD, 0);
    c.kind = JOB_EXTERNAL;
    c.text[TEXT_ID] = "other";
    c.text[TEXT_OWNER] = "mallory";
    assert_int_equal(next(), OK);
    assert_string_equal(job->text[TEXT_ID], "job");
    assert_string_equal(job->text[TEXT_OWNER], "ann");
    assert_int_equal(job->kind, JOB_UPLOAD);
    assert_int_equal(job->created_ms, 1000);
    c.text[TEXT_OWNER] = "";
    assert_int_equal(next(), OK);
    assert_string_equal(job->text[TEXT_OWNER], "ann");
}

static void a_job_nobody_owned_is_not_taken_over(void **state)
{
    (void)state;
    change_init(&c);
    c.text[TEXT_ID] = "job";
    assert_int_equal(update_derive(NULL, &c, 1, 1, &job), OK);
    change_init(&c);
    c.text[TEXT_OWNER] = "mallory";
    assert_int_equal(next(), OK);
    assert_null(job->text[TEXT_OWNER]);
}

static void numbers_are_kept_changed_or_unknown(void **state)
{
    (void)state;
    begin(JOB_DOWNLOAD, 0);
    c.bytes_done = 0;
    c.bytes_total = 100;
    assert_int_equal(next(), OK);
    assert_int_equal(next(), OK);
    assert_int_equal(job->bytes_done, 0);
    assert_int_equal(job->bytes_total, 100);
    c.bytes_total = -5;
    assert_int_equal(next(), OK);
    assert_int_equal(job->bytes_total, -1);
}

static void speed_and_eta_belong_to_their_stage(void **state)
{
    (void)state;
    begin(JOB_UPLOAD, 0);
    c.speed = 1.5;
    c.eta_ms = 500;
    assert_int_equal(next(), OK);
    assert_int_equal(next(), OK);
    assert_true(job->speed == 1.5);
    assert_int_equal(job->eta_ms, 500);
    c.text[TEXT_STAGE] = "second";
    assert_int_equal(next(), OK);
    assert_true(job->speed == -1);
    assert_int_equal(job->eta_ms, -1);
}

static void time_never_runs_back_though_the_clock_may(void **state)
{
    struct update *u;

    (void)state;
    begin(JOB_UPLOAD, 0);
    assert_int_equal(update_derive(job, &c, 2, 500, &u), OK);
    assert_int_equal(u->time_ms, 1000);
    update_unref(&u);
}

static void the_number_is_the_one_given(void **state)
{
    struct update *u;

    (void)state;
    begin(JOB_UPLOAD, 0);
    assert_int_equal(update_derive(job, &c, 99, 2000, &u), OK);
    assert_int_equal(u->seq, 99);
    update_unref(&u);
}

static void what_was_stored_comes_back_as_it_was(void **state)
{
    (void)state;
    change_init(&c);
    c.state = JOB_FAILED;
    c.kind = JOB_DOWNLOAD;
    c.fraction = 0.3;
    c.stage_fraction = UNKNOWN_FRACTION;
    c.speed = -1;
    c.eta_ms = 4;
    c.bytes_done = 5;
    c.bytes_total = -1;
    c.file_size = 6;
    for (int i = 0; i < UPDATE_TEXTS; i++)
        c.text[i] = i % 2 ? NULL : "text";
    job = update_restore(&c, 1234, 10, 20);
    assert_int_equal(job->state, JOB_FAILED);
    assert_int_equal(job->kind, JOB_DOWNLOAD);
    assert_int_equal(job->seq, 1234);
    assert_int_equal(job->created_ms, 10);
    assert_int_equal(job->time_ms, 20);
    assert_true(job->fraction == 0.3);
    assert_true(job->stage_fraction == UNKNOWN_FRACTION);
    assert_true(job->speed == -1);
    assert_int_equal(job->eta_ms, 4);
    assert_int_equal(job->bytes_done, 5);
    assert_int_equal(job->bytes_total, -1);
    assert_int_equal(job->file_size, 6);
    for (int i = 0; i < UPDATE_TEXTS; i++)
        assert_string_equal(update_text(job, (enum update_text)i), i % 2 ? "" : "text");
}

static void percents_are_rounded_down_so_that_100_means_done(void **state)
{
    (void)state;
    for (int i = 0; i <= 100; i++)
        assert_int_equal(percent_of(i / 100.0), i); /* 0.29 is a little less than 29/100 */
    assert_int_equal(percent_of(0.9999), 99);
    assert_int_equal(percent_of(nextafter(1, 0)), 99);
    assert_int_equal(percent_of(0.4599), 45);
    assert_int_equal(percent_of(UNKNOWN_FRACTION), 0);
    assert_int_equal(percent_of(NAN), 0);
    assert_int_equal(percent_of(1e300), 100);
}

static void references_are_counted(void **state)
{
    (void)state;
    begin(JOB_UPLOAD, 0);
    struct update *second = update_ref(job);
    update_unref(&job);
    assert_null(job);
    assert_string_equal(second->text[TEXT_ID], "job");
    update_unref(&second);
    update_unref(&second); /* nothing: fine */
}

#define DERIVES(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DERIVES(an_attempt_starts_once),
        DERIVES(a_new_job_is_queued_and_knows_nothing),
        DERIVES(a_job_without_a_name_is_none),
        DERIVES(fractions_are_clamped_to_their_range),
        DERIVES(what_is_no_number_changes_nothing),
        DERIVES(progress_never_runs_back_within_a_stage),
        DERIVES(a_stage_of_an_external_job_may_begin_anew),
        DERIVES(an_upload_never_runs_back_but_its_stages_begin_at_zero),
        DERIVES(a_stage_fraction_of_an_external_job_is_that_of_the_job),
        DERIVES(an_unknown_fraction_stays_unknown_until_one_is_reported),
        DERIVES(a_completed_job_is_whole),
        DERIVES(a_failed_job_keeps_the_stage_and_progress_it_failed_at),
        DERIVES(a_finished_job_refuses_every_move),
        DERIVES(a_processing_job_is_not_queued_again),
        DERIVES(a_retry_begins_from_the_beginning),
        DERIVES(a_retry_only_leads_to_queued),
        DERIVES(texts_are_kept_changed_or_cleared),
        DERIVES(texts_are_copies),
        DERIVES(id_owner_kind_and_birth_never_change),
        DERIVES(a_job_nobody_owned_is_not_taken_over),
        DERIVES(numbers_are_kept_changed_or_unknown),
        DERIVES(speed_and_eta_belong_to_their_stage),
        DERIVES(time_never_runs_back_though_the_clock_may),
        DERIVES(the_number_is_the_one_given),
        DERIVES(what_was_stored_comes_back_as_it_was),
        DERIVES(percents_are_rounded_down_so_that_100_means_done),
        DERIVES(references_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
