#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "contract.h"

enum { MIB = 1024 * 1024, PART = 5 * MIB };

static void parts_become_an_object_in_the_order_of_their_numbers(void **state)
{
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    int file = file_of(3 * PART, 7), other = file_of(PART, 8);
    struct outcome o;

    (void)state;
    assert_int_equal(begin("parts/film.mp4", id), OK);
    assert_int_equal(put_part("parts/film.mp4", id, 7, file, 2 * PART, 1000), OK);
    assert_int_equal(put_part("parts/film.mp4", id, 1, file, 0, PART), OK);
    /* Of one that is repeated, the last counts. */
    assert_int_equal(put_part("parts/film.mp4", id, 2, other, 0, PART), OK);
    assert_int_equal(put_part("parts/film.mp4", id, 2, file, PART, PART), OK);
    assert_int_equal(head("parts/film.mp4", &o), FAIL_MISSING);
    assert_int_equal(list_parts("parts/film.mp4", id, &o), OK);
    assert_int_equal(o.part_count, 3);
    assert_int_equal(o.parts[0].number, 1);
    assert_int_equal(o.parts[1].number, 2);
    assert_int_equal(o.parts[2].number, 7);
    assert_int_equal(o.parts[0].size, PART);
    assert_int_equal(o.parts[2].size, 1000);
    assert_int_equal(complete("parts/film.mp4", id, o.parts, 3), OK);
    expect_object("parts/film.mp4", file, 0, 2 * PART + 1000);
    /* Whoever did not hear of it asks once more. */
    assert_int_equal(complete("parts/film.mp4", id, o.parts, 3), OK);
    expect_object("parts/film.mp4", file, 0, 2 * PART + 1000);
    close(file);
    close(other);
}

static void an_upload_without_parts_has_none(void **state)
{
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    struct outcome o;

    (void)state;
    assert_int_equal(begin("none/a", id), OK);
    assert_int_equal(list_parts("none/a", id, &o), OK);
    assert_int_equal(o.part_count, 0);
    assert_int_equal(abort_upload("none/a", id), OK);
}

static void uploads_of_one_key_do_not_mix(void **state)
{
    char first[STORAGE_UPLOAD_ID_MAX + 1], second[STORAGE_UPLOAD_ID_MAX + 1];
    int file = file_of(2000, 9);
    struct outcome o;

    (void)state;
    assert_int_equal(begin("same/key", first), OK);
    assert_int_equal(begin("same/key", second), OK);
    assert_string_not_equal(first, second);
    assert_int_equal(put_part("same/key", first, 1, file, 0, 1000), OK);
    assert_int_equal(put_part("same/key", second, 1, file, 1000, 900), OK);
    assert_int_equal(list_parts("same/key", first, &o), OK);
    assert_int_equal(o.part_count, 1);
    assert_int_equal(o.parts[0].size, 1000);
    assert_int_equal(abort_upload("same/key", second), OK);
    assert_int_equal(complete("same/key", first, o.parts, 1), OK);
    expect_object("same/key", file, 0, 1000);
    close(file);
}

static void an_aborted_upload_is_gone(void **state)
{
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    int file = file_of(1000, 10);
    struct outcome o, kept;

    (void)state;
    assert_int_equal(begin("abort/a", id), OK);
    assert_int_equal(put_part("abort/a", id, 1, file, 0, 1000), OK);
    assert_int_equal(list_parts("abort/a", id, &kept), OK);
    assert_int_equal(abort_upload("abort/a", id), OK);
    assert_int_equal(abort_upload("abort/a", id), OK);
    assert_int_equal(head("abort/a", &o), FAIL_MISSING);
    close(file);
    if (contract.driver->has_no_uploads)
        return;
    assert_int_equal(list_parts("abort/a", id, &o), FAIL_MISSING);
    assert_int_equal(complete("abort/a", id, kept.parts, 1), FAIL_MISSING);
}

static void an_upload_that_never_was_is_missing(void **state)
{
    /* As each of the drivers might have made it. */
    static const char *const ids[] = { "0123456789abcdef0123456789abcdef",
                                       "MzFhMGUzMTYtN2Q3My00ODE4LTg1Y2YtODg1MmU1NjAxZjNm" };
    struct storage_part part = { .number = 1,
                                 .size = 1000,
                                 .etag = "0123456789abcdef0123456789abcdef" };
    int file = file_of(1000, 11);
    struct outcome o;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(complete("never/a", ids[i], &part, 1), FAIL_MISSING);
        assert_int_equal(abort_upload("never/a", ids[i]), OK);
        if (contract.driver->has_no_uploads)
            continue;
        assert_int_equal(list_parts("never/a", ids[i], &o), FAIL_MISSING);
        assert_int_equal(put_part("never/a", ids[i], 1, file, 0, 1000), FAIL_MISSING);
    }
    /* What is no id at all */
    assert_int_equal(list_parts("never/a", "a b", &o), FAIL_MISSING);
    assert_int_equal(put_part("never/a", "", 1, file, 0, 1000), FAIL_MISSING);
    assert_int_equal(complete("never/a", "../a", &part, 1), FAIL_MISSING);
    assert_int_equal(head("never/a", &o), FAIL_MISSING);
    close(file);
}

static void what_makes_no_object_is_refused(void **state)
{
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    const struct storage_traits *traits = storage_traits(contract.place->s);
    int file = file_of(3000, 12);
    struct outcome o;

    (void)state;
    assert_int_equal(begin("small/a", id), OK);
    assert_int_equal(put_part("small/a", id, 0, file, 0, 1000), FAIL_LIMIT);
    assert_int_equal(put_part("small/a", id, traits->parts_max + 1, file, 0, 1000), FAIL_LIMIT);
    assert_int_equal(put_part("small/a", id, 1, file, 0, 1000), OK);
    assert_int_equal(put_part("small/a", id, 2, file, 1000, 1000), OK);
    assert_int_equal(list_parts("small/a", id, &o), OK);
    assert_int_equal(o.part_count, 2);
    struct storage_part turned[2] = { o.parts[1], o.parts[0] };
    assert_int_equal(complete("small/a", id, turned, 2), FAIL_SYNTAX);
    assert_int_equal(complete("small/a", id, o.parts, 0), FAIL_LIMIT);
    assert_int_equal(complete("small/a", id, o.parts, 2), traits->part_min > 0 ? FAIL_LIMIT : OK);
    if (traits->part_min > 0) /* it can still be made of what is there */
        assert_int_equal(complete("small/a", id, o.parts, 1), OK);
    expect_object("small/a", file, 0, traits->part_min > 0 ? 1000 : 2000);
    close(file);
}

static void an_object_becomes_a_part(void **state)
{
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    int file = file_of(2 * PART, 13);
    struct outcome o;

    (void)state;
    assert_int_equal(put_range("copy/chunks/00 0+1%", file, 0, PART), OK);
    assert_int_equal(begin("copy/whole", id), OK);
    assert_int_equal(put_part("copy/whole", id, 2, file, PART, 777), OK);
    assert_int_equal(copy_part("copy/whole", id, 1, "copy/chunks/00 0+1%"), OK);
    assert_int_equal(copy_part("copy/whole", id, 3, "copy/chunks/none"), FAIL_MISSING);
    assert_int_equal(list_parts("copy/whole", id, &o), OK);
    assert_int_equal(o.part_count, 2);
    assert_int_equal(o.parts[0].size, PART);
    assert_int_equal(complete("copy/whole", id, o.parts, 2), OK);
    expect_object("copy/whole", file, 0, PART + 777);
    expect_object("copy/chunks/00 0+1%", file, 0, PART);
    close(file);
}

static void an_object_becomes_another(void **state)
{
    int file = file_of(PART + 777, 14);

    (void)state;
    assert_true(storage_traits(contract.place->s)->copy_max > 0);
    assert_int_equal(put_range("from/chunks/00 0+1%", file, 0, PART), OK);
    assert_int_equal(put_range("from/last", file, PART, 777), OK);
    assert_int_equal(put_range("from/nothing", file, 0, 0), OK);
    assert_int_equal(copy_object("onto/chunks/00 1+2%", "from/chunks/00 0+1%"), OK);
    assert_int_equal(copy_object("onto/last", "from/last"), OK);
    assert_int_equal(copy_object("onto/nothing", "from/nothing"), OK);
    assert_int_equal(copy_object("onto/none", "from/none"), FAIL_MISSING);
    expect_object("onto/chunks/00 1+2%", file, 0, PART);
    expect_object("onto/nothing", file, 0, 0);
    /* Once more, onto what is there. */
    assert_int_equal(copy_object("onto/chunks/00 1+2%", "from/last"), OK);
    expect_object("onto/chunks/00 1+2%", file, PART, 777);
    expect_object("from/chunks/00 0+1%", file, 0, PART);
    close(file);
}

static void uploads_under_way_are_listed(void **state)
{
    char ids[3][STORAGE_UPLOAD_ID_MAX + 1];
    char expected[4096];
    struct outcome o;

    (void)state;
    assert_int_equal(begin("way/a", ids[0]), OK);
    assert_int_equal(begin("way/b c", ids[1]), OK);
    assert_int_equal(begin("other/a", ids[2]), OK);
    outcome_init(&o);
    storage_uploads(contract.place->s, "way/", on_pending, on_done, &o);
    assert_int_equal(settle(&o), OK);
    snprintf(expected, sizeof expected, "way/a %s\nway/b c %s\n", ids[0], ids[1]);
    assert_string_equal(buf_text(&o.body), contract.driver->has_no_uploads ? "" : expected);
    if (!contract.driver->has_no_uploads)
        assert_true(llabs(o.modified_s - clock_wall_ms() / 1000) < 600);
    outcome_deinit(&o);
    assert_int_equal(abort_upload("way/a", ids[0]), OK);
    assert_int_equal(abort_upload("way/b c", ids[1]), OK);
    outcome_init(&o);
    storage_uploads(contract.place->s, "way/", on_pending, on_done, &o);
    assert_int_equal(settle(&o), OK);
    assert_string_equal(buf_text(&o.body), "");
    outcome_deinit(&o);
    assert_int_equal(abort_upload("other/a", ids[2]), OK);
}

static void parts_are_no_objects(void **state)
{
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    int file = file_of(1000, 14);
    struct buf keys;

    (void)state;
    buf_init(&keys, 4096);
    assert_int_equal(begin("unseen/a", id), OK);
    assert_int_equal(put_part("unseen/a", id, 1, file, 0, 1000), OK);
    assert_int_equal(list_keys("", &keys), OK);
    assert_string_equal(buf_text(&keys), "");
    assert_int_equal(abort_upload("unseen/a", id), OK);
    buf_deinit(&keys);
    close(file);
}

#define CASE(name) cmocka_unit_test_teardown(name, contract_case_end)

int contract_parts_cases(void);

int contract_parts_cases(void)
{
    const struct CMUnitTest tests[] = {
        CASE(parts_become_an_object_in_the_order_of_their_numbers),
        CASE(an_upload_without_parts_has_none),
        CASE(uploads_of_one_key_do_not_mix),
        CASE(an_aborted_upload_is_gone),
        CASE(an_upload_that_never_was_is_missing),
        CASE(what_makes_no_object_is_refused),
        CASE(an_object_becomes_a_part),
        CASE(an_object_becomes_another),
        CASE(uploads_under_way_are_listed),
        CASE(parts_are_no_objects),
    };

    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
