#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "core/job.h"
#include "core/limits.h"

enum { Q = JOB_QUEUED, P = JOB_PROCESSING, C = JOB_COMPLETED, F = JOB_FAILED, X = JOB_CANCELLED };

static void every_move_is_allowed_or_refused_as_the_diagram_says(void **state)
{
    static const bool allowed[JOB_STATES][JOB_STATES] = {
        /*        Q      P      C      F      X */
        [Q] = { true, true, true, true, true },      [P] = { false, true, true, true, true },
        [C] = { false, false, false, false, false }, [F] = { false, false, false, false, false },
        [X] = { false, false, false, false, false },
    };

    (void)state;
    for (enum job_state from = 0; from < JOB_STATES; from++)
        for (enum job_state to = 0; to < JOB_STATES; to++)
            assert_int_equal(job_may_move(from, to), allowed[from][to]);
}

static void only_a_failed_job_is_tried_again(void **state)
{
    (void)state;
    for (enum job_state from = 0; from < JOB_STATES; from++)
        assert_int_equal(job_may_retry(from), from == JOB_FAILED);
}

static void three_states_are_final(void **state)
{
    (void)state;
    assert_false(job_is_final(JOB_QUEUED));
    assert_false(job_is_final(JOB_PROCESSING));
    assert_true(job_is_final(JOB_COMPLETED));
    assert_true(job_is_final(JOB_FAILED));
    assert_true(job_is_final(JOB_CANCELLED));
}

static void names_and_states_are_each_others_inverse(void **state)
{
    enum job_state back_state = JOB_STATES;
    enum job_kind back_kind = JOB_KINDS;

    (void)state;
    for (enum job_state s = 0; s < JOB_STATES; s++) {
        assert_int_equal(job_state_parse(str_of(job_state_name(s)), &back_state), OK);
        assert_int_equal(back_state, s);
    }
    for (enum job_kind k = 0; k < JOB_KINDS; k++) {
        assert_int_equal(job_kind_parse(str_of(job_kind_name(k)), &back_kind), OK);
        assert_int_equal(back_kind, k);
    }
    assert_string_equal(job_state_name(JOB_PROCESSING), "processing");
    assert_string_equal(job_kind_name(JOB_EXTERNAL), "external");
}

static void an_unknown_name_is_refused(void **state)
{
    enum job_state s = JOB_FAILED;
    enum job_kind k = JOB_UPLOAD;

    (void)state;
    assert_int_equal(job_state_parse(STR("Queued"), &s), FAIL_SYNTAX);
    assert_int_equal(job_state_parse(STR("queue"), &s), FAIL_SYNTAX);
    assert_int_equal(job_state_parse(STR(""), &s), FAIL_SYNTAX);
    assert_int_equal(job_kind_parse(STR("uploads"), &k), FAIL_SYNTAX);
    assert_int_equal(s, JOB_FAILED);
    assert_int_equal(k, JOB_UPLOAD);
}

static void an_id_is_what_can_be_a_path_segment_and_a_folder(void **state)
{
    static const char *const good[] = { "1", "test-job-123",      "dQw4w9WgXcQ", "a.b", "-",
                                        "~", "a:b@c+d=e,f!g$h_i", "Z9" };
    static const char *const bad[] = { "",     ".",   "..",  ".hidden", "a/b",  "a b",      "a\\b",
                                       "a%",   "a?b", "a#",  "a\n",     "\x7f", "\xc3\xa4", "a*",
                                       "a\"b", "a'b", "<a>", "a|b",     "a;b",  "a&b" };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (!job_id_is_valid(str_of(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (job_id_is_valid(str_of(bad[i])))
            fail_msg("taken: %s", bad[i]);
    assert_false(job_id_is_valid(STR("a\0b")));
}

static void an_id_has_a_longest_length(void **state)
{
    char id[JOB_ID_MAX + 1];

    (void)state;
    memset(id, 'a', sizeof(id));
    assert_true(job_id_is_valid((struct str){ id, JOB_ID_MAX }));
    assert_false(job_id_is_valid((struct str){ id, JOB_ID_MAX + 1 }));
}

static void only_canonical_decimals_up_to_2_to_the_53_are_numbers(void **state)
{
    static const char *const numbers[] = { "0", "1", "123", "9007199254740991" };
    static const char *const texts[] = { "",
                                         "-1",
                                         "+1",
                                         "01",
                                         "00",
                                         "1.0",
                                         "1e3",
                                         " 1",
                                         "1a",
                                         "0x1",
                                         "9007199254740992",
                                         "99999999999999999999999999" };

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        assert_true(job_id_is_number(numbers[i]));
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (job_id_is_number(texts[i]))
            fail_msg("taken for a number: %s", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_move_is_allowed_or_refused_as_the_diagram_says),
        cmocka_unit_test(only_a_failed_job_is_tried_again),
        cmocka_unit_test(three_states_are_final),
        cmocka_unit_test(names_and_states_are_each_others_inverse),
        cmocka_unit_test(an_unknown_name_is_refused),
        cmocka_unit_test(an_id_is_what_can_be_a_path_segment_and_a_folder),
        cmocka_unit_test(an_id_has_a_longest_length),
        cmocka_unit_test(only_canonical_decimals_up_to_2_to_the_53_are_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
