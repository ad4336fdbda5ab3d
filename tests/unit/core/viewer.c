#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "core/viewer.h"

static struct update *job_of(const char *owner)
{
    struct change c;
    struct update *u;

    change_init(&c);
    c.text[TEXT_ID] = "job";
    c.text[TEXT_OWNER] = owner;
    assert_int_equal(update_derive(NULL, &c, 1, 1, &u), OK);
    return u;
}

static void sees(const char *subject, bool sees_all, const char *owner, bool expected)
{
    struct viewer *v = viewer_new(subject, sees_all, 0);
    struct update *u = job_of(owner);

    assert_int_equal(viewer_may_see(v, u), expected);
    update_unref(&u);
    viewer_unref(&v);
    assert_null(v);
}

static void one_sees_ones_own_jobs(void **state)
{
    (void)state;
    sees("ann", false, "ann", true);
    sees("ann", false, "bob", false);
    sees("ann", false, "ann2", false);
    sees("ann", false, "Ann", false);
}

static void nobodys_jobs_are_everybodys(void **state)
{
    (void)state;
    sees("ann", false, NULL, true);
    sees("", false, NULL, true);
}

static void who_is_nobody_sees_nobody_elses_jobs(void **state)
{
    (void)state;
    sees("", false, "ann", false);
}

static void who_sees_all_sees_all(void **state)
{
    (void)state;
    sees("", true, "ann", true);
    sees("bob", true, "ann", true);
    sees("bob", true, NULL, true);
}

static void a_viewer_is_shared(void **state)
{
    struct viewer *v = viewer_new("ann", false, 42);
    struct viewer *w = viewer_ref(v);

    (void)state;
    viewer_unref(&v);
    assert_string_equal(w->subject, "ann");
    assert_int_equal(w->expires_ms, 42);
    viewer_unref(&w);
    viewer_unref(&w);
}

static void all_who_came_without_a_token_share_one_viewer(void **state)
{
    struct viewer *v = viewer_anyone(), *w = viewer_anyone();

    (void)state;
    assert_ptr_equal(v, w);
    assert_string_equal(v->subject, "");
    assert_int_equal(v->expires_ms, 0);
    assert_true(v->sees_all);
    viewer_unref(&v);
    viewer_unref(&w);
    v = viewer_anyone();
    assert_true(v->sees_all);
    viewer_unref(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sees_ones_own_jobs),
        cmocka_unit_test(nobodys_jobs_are_everybodys),
        cmocka_unit_test(who_is_nobody_sees_nobody_elses_jobs),
        cmocka_unit_test(who_sees_all_sees_all),
        cmocka_unit_test(a_viewer_is_shared),
        cmocka_unit_test(all_who_came_without_a_token_share_one_viewer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
