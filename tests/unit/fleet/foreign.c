/* What workers publish by themselves, as it comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/limits.h"
#include "fleet/foreign.h"

static char message[4 * FOREIGN_MESSAGE_MAX], why[FOREIGN_WHY_MAX];

static int reads(const char *text, struct report *out)
{
    return foreign_read(str_of(text), out, why);
}

static void a_message_of_the_jobs_document_is_a_report(void **state)
{
    struct report r;

    (void)state;
    assert_int_equal(reads("{\"job_id\":\"a\",\"status\":\"failed\",\"stage\":\"rendering\","
                           "\"progress\":0.5,\"message\":\"Error: no\",\"error\":\"no\","
                           "\"timestamp\":\"2024-01-01T00:00:00Z\",\"metadata\":{\"f\":1}}",
                           &r),
                     OK);
    assert_int_equal(r.change.state, JOB_FAILED);
    assert_true(r.change.fraction == 0.5);
    assert_string_equal(r.change.text[TEXT_STAGE], "rendering");
    assert_string_equal(r.change.text[TEXT_MESSAGE], "Error: no");
    assert_string_equal(r.change.text[TEXT_ERROR], "no");
    assert_string_equal(r.change.text[TEXT_METADATA], "{\"f\":1}");
    report_deinit(&r);
}

static void bytes_of_the_broadcast_document_are_a_report(void **state)
{
    struct report r;

    (void)state;
    assert_int_equal(reads("{\"percent\":42,\"downloaded_bytes\":4200,\"total_bytes\":null}", &r),
                     OK);
    assert_int_equal(r.change.state, JOB_PROCESSING);
    assert_true(r.change.fraction == 0.42);
    assert_int_equal(r.change.bytes_done, 4200);
    assert_int_equal(r.change.bytes_total, -1);
    report_deinit(&r);
    assert_int_equal(reads("{\"percent\":42}", &r), OK);
    assert_int_equal(r.change.bytes_done, CHANGE_KEEP_NUMBER);
    report_deinit(&r);
}

static void numbers_may_be_in_quotes(void **state)
{
    struct report r;

    (void)state;
    assert_int_equal(reads("{\"percent\":\" 42.5%\",\"downloaded_bytes\":\"7\",\"total_bytes\":-1}",
                           &r),
                     OK);
    assert_true(r.change.fraction == 0.425);
    assert_int_equal(r.change.bytes_done, 7);
    assert_int_equal(r.change.bytes_total, -1);
    report_deinit(&r);
    assert_int_equal(reads("{\"progress\":\"0.7\"}", &r), OK);
    assert_true(r.change.fraction == 0.7);
    report_deinit(&r);
}

static void an_error_that_is_no_text_does_not_cost_the_end(void **state)
{
    struct report r;

    (void)state;
    assert_int_equal(reads("{\"status\":\"failed\",\"stage\":3,\"error\":{\"code\":1},"
                           "\"message\":null,\"progress\":[]}",
                           &r),
                     OK);
    assert_int_equal(r.change.state, JOB_FAILED);
    assert_string_equal(r.change.text[TEXT_STAGE], "3");
    assert_string_equal(r.change.text[TEXT_ERROR], "{\"code\":1}");
    assert_string_equal(r.change.text[TEXT_MESSAGE], "Error: {\"code\":1}");
    report_deinit(&r);
}

static void a_long_traceback_does_not_cost_the_end(void **state)
{
    struct report r;
    size_t len = (size_t)snprintf(message, sizeof(message),
                                  "{\"status\":\"failed\",\"stage\":\"s\",\"error\":\"x");

    (void)state;
    while (len < 3 * JOB_TEXT_MAX)
        len += (size_t)snprintf(message + len, sizeof(message) - len, "\xc3\xa9");
    snprintf(message + len, sizeof(message) - len, "\"}");
    assert_int_equal(reads(message, &r), OK);
    assert_int_equal(r.change.state, JOB_FAILED);
    /* One less: the next character has two bytes. */
    assert_int_equal(strlen(r.change.text[TEXT_ERROR]), JOB_TEXT_MAX - 1);
    assert_string_equal(r.change.text[TEXT_STAGE], "s");
    report_deinit(&r);
}

static void a_large_result_does_not_cost_the_end(void **state)
{
    struct report r;
    size_t len = (size_t)
        snprintf(message, sizeof(message),
                 "{\"status\":\"completed\",\"message\":\"Done\",\"metadata\":[1],\"result\":\"");

    (void)state;
    memset(message + len, 'x', 2 * JOB_JSON_MAX);
    memcpy(message + len + 2 * JOB_JSON_MAX, "\"}", 3);
    assert_int_equal(reads(message, &r), OK);
    assert_int_equal(r.change.state, JOB_COMPLETED);
    assert_string_equal(r.change.text[TEXT_MESSAGE], "Done");
    assert_null(r.change.text[TEXT_RESULT]);
    assert_string_equal(r.change.text[TEXT_METADATA], "");
    report_deinit(&r);
}

static void what_is_no_report_is_refused_with_a_reason(void **state)
{
    static const char *const wrong[] = { "",
                                         "{",
                                         "[]",
                                         "\"ping\"",
                                         "{\"status\":\"unheard of\"}",
                                         "{\"progress\":\"much\"}",
                                         "{\"percent\":4,\"total_bytes\":\"many\"}" };
    struct report r;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        why[0] = '\0';
        assert_int_equal(reads(wrong[i], &r), FAIL_SYNTAX);
        assert_true(why[0] != '\0');
    }
    memset(message, ' ', FOREIGN_MESSAGE_MAX + 1);
    message[FOREIGN_MESSAGE_MAX + 1] = '\0';
    assert_int_equal(reads(message, &r), FAIL_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_of_the_jobs_document_is_a_report),
        cmocka_unit_test(bytes_of_the_broadcast_document_are_a_report),
        cmocka_unit_test(numbers_may_be_in_quotes),
        cmocka_unit_test(an_error_that_is_no_text_does_not_cost_the_end),
        cmocka_unit_test(a_long_traceback_does_not_cost_the_end),
        cmocka_unit_test(a_large_result_does_not_cost_the_end),
        cmocka_unit_test(what_is_no_report_is_refused_with_a_reason),
    };

    return cmocka_run_group_tests_name("fleet/foreign", tests, NULL, NULL);
}
