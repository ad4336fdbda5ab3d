#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "input/report.h"

static void read_ok(const char *json, struct report *r)
{
    struct fields f;

    assert_true(fields_parse(&f, str_of(json)));
    if (!report_read(&f, r))
        fail_msg("refused: %s", f.message);
    fields_deinit(&f);
}

static void refused(const char *json, const char *code, const char *field, const char *message)
{
    struct report r = { .stage = NULL };
    struct fields f;

    if (fields_parse(&f, str_of(json))) {
        assert_false(report_read(&f, &r));
        fields_deinit(&f);
    }
    assert_string_equal(f.code, code);
    if (field == NULL)
        assert_null(f.field);
    else
        assert_string_equal(f.field, field);
    if (strstr(f.message, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", f.message, message);
}

static void an_empty_report_says_that_the_job_is_being_worked_on(void **state)
{
    struct report r;

    (void)state;
    read_ok("{}", &r);
    assert_int_equal(r.change.state, JOB_PROCESSING);
    assert_int_equal(r.change.kind, JOB_EXTERNAL);
    assert_true(r.change.fraction == CHANGE_KEEP_REAL);
    assert_true(r.change.bytes_done == CHANGE_KEEP_NUMBER);
    assert_null(r.change.text[TEXT_STAGE]);
    assert_null(r.change.text[TEXT_MESSAGE]);
    assert_string_equal(r.change.text[TEXT_METADATA], "");
    report_deinit(&r);
}

static void everything_said_is_taken(void **state)
{
    struct report r;

    (void)state;
    read_ok("{\"status\":\"completed\",\"progress\":0.5,\"stage\":\"render\",\"message\":\"m\","
            "\"error\":\"e\",\"metadata\":{\"a\":[1, 2]},\"result\":\"r\","
            "\"downloaded_bytes\":7,\"total_bytes\":9223372036854775807,\"unheard_of\":{}}",
            &r);
    assert_int_equal(r.change.state, JOB_COMPLETED);
    assert_true(r.change.fraction == 0.5);
    assert_string_equal(r.change.text[TEXT_STAGE], "render");
    assert_string_equal(r.change.text[TEXT_MESSAGE], "m");
    assert_string_equal(r.change.text[TEXT_ERROR], "e");
    assert_string_equal(r.change.text[TEXT_METADATA], "{\"a\":[1,2]}");
    assert_string_equal(r.change.text[TEXT_RESULT], "\"r\"");
    assert_true(r.change.bytes_done == 7);
    assert_true(r.change.bytes_total == INT64_MAX);
    report_deinit(&r);
}

static double fraction_of(const char *json)
{
    struct report r;

    read_ok(json, &r);
    double fraction = r.change.fraction;
    report_deinit(&r);
    return fraction;
}

static void progress_is_a_fraction_and_percent_a_hundredth(void **state)
{
    (void)state;
    assert_true(fraction_of("{\"progress\":1}") == 1);
    assert_true(fraction_of("{\"percent\":25}") == 0.25);
    assert_true(fraction_of("{\"progress\":0.5,\"percent\":10}") == 0.5);
    assert_true(fraction_of("{\"progress\":-3}") == 0);
    assert_true(fraction_of("{\"percent\":-3}") == 0);
    assert_true(fraction_of("{\"progress\":null}") == CHANGE_KEEP_REAL);
    /* -2 stands for "as it was" within, which nobody outside can say. */
    assert_true(fraction_of("{\"progress\":-2.0}") == 0);
}

static void an_ending_without_words_gets_the_reporters(void **state)
{
    struct report r;

    (void)state;
    read_ok("{\"status\":\"completed\"}", &r);
    assert_string_equal(r.change.text[TEXT_MESSAGE], "Job completed");
    report_deinit(&r);
    read_ok("{\"status\":\"failed\",\"error\":\"disk full\"}", &r);
    assert_string_equal(r.change.text[TEXT_MESSAGE], "Error: disk full");
    report_deinit(&r);
    read_ok("{\"status\":\"failed\"}", &r);
    assert_string_equal(r.change.text[TEXT_MESSAGE], "Error: Processing failed");
    report_deinit(&r);
    read_ok("{\"status\":\"processing\"}", &r);
    assert_null(r.change.text[TEXT_MESSAGE]);
    report_deinit(&r);
}

static void a_wrong_type_is_named(void **state)
{
    (void)state;
    refused("{\"status\":1}", "invalid_field", "status", "status must be a string");
    refused("{\"status\":\"asleep\"}", "invalid_field", "status", "processing, completed");
    refused("{\"progress\":\"1\"}", "invalid_field", "progress", "must be a number");
    refused("{\"percent\":[]}", "invalid_field", "percent", "must be a number");
    refused("{\"stage\":{}}", "invalid_field", "stage", "a string of 0 to 4096 bytes");
    refused("{\"metadata\":[]}", "invalid_field", "metadata", "a JSON object");
    refused("{\"total_bytes\":1e300}", "invalid_field", "total_bytes", "a whole number from 0");
    refused("{\"downloaded_bytes\":-1}", "invalid_field", "downloaded_bytes", "from 0");
}

/* `before`, then `unit` so many times, then `after`. */
static char *text_of(const char *before, const char *unit, size_t times, const char *after)
{
    struct buf b;

    buf_init(&b, 256 * 1024);
    buf_puts(&b, before);
    for (size_t i = 0; i < times; i++)
        buf_puts(&b, unit);
    buf_puts(&b, after);
    return buf_take(&b);
}

static void what_is_too_long_is_refused_and_what_just_fits_is_not(void **state)
{
    struct report r;
    char *json;

    (void)state;
    json = text_of("{\"message\":\"", "x", JOB_TEXT_MAX, "\"}");
    read_ok(json, &r);
    report_deinit(&r);
    mem_free(json);
    json = text_of("{\"message\":\"", "x", JOB_TEXT_MAX + 1, "\"}");
    refused(json, "invalid_field", "message", "4096 bytes");
    mem_free(json);
    /* Two quotation marks belong to the value. */
    json = text_of("{\"result\":\"", "x", JOB_JSON_MAX - 2, "\"}");
    read_ok(json, &r);
    report_deinit(&r);
    mem_free(json);
    json = text_of("{\"result\":\"", "x", JOB_JSON_MAX - 1, "\"}");
    refused(json, "invalid_field", "result", "16384 bytes");
    mem_free(json);
}

static char *nested(size_t depth)
{
    char *open = text_of("{\"result\":", "[", depth, "");
    char *json = text_of(open, "]", depth, "}");

    mem_free(open);
    return json;
}

static void what_is_nested_too_deep_is_refused(void **state)
{
    struct report r;
    char *json = nested(JOB_JSON_DEPTH_MAX);

    (void)state;
    read_ok(json, &r);
    report_deinit(&r);
    mem_free(json);
    json = nested(JOB_JSON_DEPTH_MAX + 1);
    refused(json, "invalid_field", "result", "nested at most 32 deep");
    mem_free(json);
}

static void only_one_json_object_is_a_report(void **state)
{
    (void)state;
    refused("", "invalid_json", NULL, "not JSON");
    refused("[]", "invalid_json", NULL, "must be a JSON object");
    refused("{} {}", "invalid_json", NULL, "not JSON");
    refused("{\"stage\":\"a\",\"stage\":\"b\"}", "invalid_json", NULL, "duplicate");
    refused("{\"stage\":\"\\u0000\"}", "invalid_json", NULL, "not JSON");
    refused("{\"stage\":\"\xff\"}", "invalid_json", NULL, "line 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_report_says_that_the_job_is_being_worked_on),
        cmocka_unit_test(everything_said_is_taken),
        cmocka_unit_test(progress_is_a_fraction_and_percent_a_hundredth),
        cmocka_unit_test(an_ending_without_words_gets_the_reporters),
        cmocka_unit_test(a_wrong_type_is_named),
        cmocka_unit_test(what_is_too_long_is_refused_and_what_just_fits_is_not),
        cmocka_unit_test(what_is_nested_too_deep_is_refused),
        cmocka_unit_test(only_one_json_object_is_a_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
