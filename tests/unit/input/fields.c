#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "input/fields.h"

static bool is_taken(struct str text)
{
    struct fields f;

    if (!fields_parse(&f, text)) {
        assert_string_equal(f.code, "invalid_json");
        return false;
    }
    fields_deinit(&f);
    return true;
}

static void one_object_is_a_body(void **state)
{
    (void)state;
    assert_true(is_taken(STR("{}")));
    assert_true(is_taken(STR(" {\"a\":1} ")));
}

static void what_is_not_one_object_is_refused(void **state)
{
    (void)state;
    assert_false(is_taken(STR("")));
    assert_false(is_taken(STR("[]")));
    assert_false(is_taken(STR("1")));
    assert_false(is_taken(STR("{}{}")));
    assert_false(is_taken(STR("{\"a\":1,\"a\":1}")));
    assert_false(is_taken(STR("{\"a\":\"\xff\"}")));
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    assert_false(is_taken(STR("\0{}")));
    assert_false(is_taken(STR("{}\0")));
    assert_false(is_taken(STR("{\"a\":1\0}")));
    assert_false(is_taken(STR("{\"a\":true\0}")));
    assert_false(is_taken(STR("{\"a\":\"\0\"}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_object_is_a_body),
        cmocka_unit_test(what_is_not_one_object_is_refused),
        cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
