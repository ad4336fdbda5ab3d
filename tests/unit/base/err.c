#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void every_code_has_its_own_name_and_text(void **state)
{
    (void)state;
    for (int a = -13; a <= 0; a++) {
        assert_string_not_equal(fail_name(a), "UNKNOWN");
        for (int b = -13; b < a; b++) {
            assert_string_not_equal(fail_name(a), fail_name(b));
            assert_string_not_equal(fail_text(a), fail_text(b));
        }
    }
    assert_string_equal(fail_name(OK), "OK");
    assert_string_equal(fail_name(FAIL_LIMIT), "LIMIT");
}

static void a_foreign_code_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(fail_name(1), "UNKNOWN");
    assert_string_equal(fail_name(-1000), "UNKNOWN");
    assert_string_equal(fail_text(INT32_MIN), "unknown error");
}

static void the_systems_errors_are_translated(void **state)
{
    (void)state;
    assert_int_equal(fail_from_errno(0), OK);
    assert_int_equal(fail_from_errno(ENOSPC), FAIL_FULL);
    assert_int_equal(fail_from_errno(EDQUOT), FAIL_FULL);
    assert_int_equal(fail_from_errno(ENOENT), FAIL_MISSING);
    assert_int_equal(fail_from_errno(EACCES), FAIL_DENIED);
    assert_int_equal(fail_from_errno(EMFILE), FAIL_LIMIT);
    assert_int_equal(fail_from_errno(EPIPE), FAIL_CLOSED);
    assert_int_equal(fail_from_errno(EIO), FAIL_IO);
    assert_int_equal(fail_from_errno(99999), FAIL_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_own_name_and_text),
        cmocka_unit_test(a_foreign_code_is_unknown),
        cmocka_unit_test(the_systems_errors_are_translated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
