#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "proto/tus.h"

static int note_pair(void *context, struct str key, struct str value)
{
    buf_printf(context, "%.*s=%.*s;", STR_ARG(key), (int)value.len, value.at ? value.at : "");
    return OK;
}

static int read_pairs(const char *text, char *out, size_t size)
{
    struct buf pairs;

    buf_init(&pairs, size - 1);
    int err = tus_metadata_each(str_of(text), note_pair, &pairs);
    snprintf(out, size, "%s", buf_text(&pairs));
    buf_deinit(&pairs);
    return err;
}

/* The first line is the protocol's own example. */
static void metadata_is_read_pair_by_pair(void **state)
{
    static const char *const cases[][2] = {
        { "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential",
          "filename=world_domination_plan.pdf;is_confidential=;" },
        { "", "" },
        { "  ", "" },
        { "a", "a=;" },
        { "a ", "a=;" },
        { "a YQ==", "a=a;" },
        { "a YQ==, b Yg==", "a=a;b=b;" },
        { "x/y:z! YQ==", "x/y:z!=a;" },
    };
    char out[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(read_pairs(cases[i][0], out, sizeof(out)), OK);
        assert_string_equal(out, cases[i][1]);
    }
}

static void metadata_that_is_none_is_refused(void **state)
{
    static const char *const cases[] = {
        ",",       "a YQ==,",       "a YQ",      "a YQ=",         "a !!!!",
        "a Y Q==", "a YQ==,a YQ==", "a\tb YQ==", "\xc3\xa4 YQ==", "a YR==",
    };
    char out[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(read_pairs(cases[i], out, sizeof(out)), FAIL_SYNTAX);
}

static void a_key_is_one_that_fits_into_a_field(void **state)
{
    (void)state;
    assert_true(tus_key_is_valid(STR("file:name!")));
    assert_false(tus_key_is_valid(STR("")));
    assert_false(tus_key_is_valid(STR("a b")));
    assert_false(tus_key_is_valid(STR("a,b")));
    assert_false(tus_key_is_valid(STR("a\r\nX-Other: b")));
    assert_false(tus_key_is_valid(STR("\xc3\xa4")));
}

static void metadata_has_a_bound(void **state)
{
    struct buf text;
    char out[2048];

    (void)state;
    buf_init(&text, 4096);
    for (int i = 0; i < TUS_PAIRS_MAX; i++)
        buf_printf(&text, i ? ",k%d" : "k%d", i);
    assert_int_equal(read_pairs(buf_text(&text), out, sizeof(out)), OK);
    buf_puts(&text, ",more");
    assert_int_equal(read_pairs(buf_text(&text), out, sizeof(out)), FAIL_LIMIT);
    buf_deinit(&text);
}

static void one_value_can_be_asked_for(void **state)
{
    struct buf value;

    (void)state;
    buf_init(&value, 16);
    assert_int_equal(tus_metadata_get(STR("a YQ==,name bmFtZQ=="), "name", &value), OK);
    assert_string_equal(buf_text(&value), "name");
    assert_int_equal(tus_metadata_get(STR("a YQ=="), "name", &value), FAIL_MISSING);
    buf_deinit(&value);
    buf_init(&value, 2);
    assert_int_equal(tus_metadata_get(STR("name bmFtZQ=="), "name", &value), FAIL_LIMIT);
    buf_deinit(&value);
}

static void concatenation_is_partial_or_final(void **state)
{
    struct tus_concat concat = { .count = 99 };

    (void)state;
    assert_int_equal(tus_concat_parse(STR("partial"), &concat), OK);
    assert_int_equal(concat.count, 0);
    assert_int_equal(tus_concat_parse(STR("final;/files/a http://h/files/b"), &concat), OK);
    assert_int_equal(concat.count, 2);
    assert_true(str_equal(concat.urls[0], STR("/files/a")));
    assert_true(str_equal(concat.urls[1], STR("http://h/files/b")));
    assert_int_equal(tus_concat_parse(STR("final; /files/a  /files/a "), &concat), OK);
    assert_int_equal(concat.count, 2);
    assert_int_equal(tus_concat_parse(STR("final;"), &concat), FAIL_SYNTAX);
    assert_int_equal(tus_concat_parse(STR("final"), &concat), FAIL_SYNTAX);
    assert_int_equal(tus_concat_parse(STR("partial;/files/a"), &concat), FAIL_SYNTAX);
    assert_int_equal(tus_concat_parse(STR("Partial"), &concat), FAIL_SYNTAX);
    assert_int_equal(tus_concat_parse(STR(""), &concat), FAIL_SYNTAX);
}

static void a_file_has_a_bounded_number_of_parts(void **state)
{
    struct tus_concat concat;
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    buf_puts(&text, "final;");
    for (int i = 0; i < TUS_PARTIALS_MAX; i++)
        buf_printf(&text, "/f/%d ", i);
    assert_int_equal(tus_concat_parse(buf_str(&text), &concat), OK);
    assert_int_equal(concat.count, TUS_PARTIALS_MAX);
    buf_puts(&text, "/f/more");
    assert_int_equal(tus_concat_parse(buf_str(&text), &concat), FAIL_LIMIT);
    buf_deinit(&text);
}

static void the_id_is_the_last_part_of_a_url(void **state)
{
    (void)state;
    assert_true(str_equal(tus_url_id(STR("/files/a")), STR("a")));
    assert_true(str_equal(tus_url_id(STR("https://h/files/12/")), STR("12")));
    assert_true(str_equal(tus_url_id(STR("/files/a?token=x/y")), STR("a")));
    assert_true(str_equal(tus_url_id(STR("a")), STR("a")));
    assert_int_equal(tus_url_id(STR("/")).len, 0);
    assert_int_equal(tus_url_id(STR("")).len, 0);
}

/* The sums of "hello world", by coreutils. */
static void a_checksum_is_what_the_bytes_give(void **state)
{
    static const char *const said[] = {
        "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
        ("sha512 MJ7MSJwS1utMxA9QyQLytNDtd+5RGnx6m808qG1M2G+"
         "YndNbxf9JlnDaNCVbRbDP2DDoH2Bdz33FVC6TrpzXbw=="),
        "md5 XrY7u+Ae7tCTyyK7j1rNww==",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        struct tus_checksum checksum;
        assert_int_equal(tus_checksum_parse(str_of(said[i]), &checksum), OK);
        struct tus_sum *good = tus_sum_new(checksum.algorithm);
        struct tus_sum *bad = tus_sum_new(checksum.algorithm);
        tus_sum_add(good, "hello ", 6);
        tus_sum_add(good, "world", 5);
        tus_sum_add(bad, "hello worle", 11);
        assert_true(tus_sum_matches(good, &checksum));
        assert_false(tus_sum_matches(bad, &checksum));
        tus_sum_free(good);
        tus_sum_free(bad);
    }
}

static void a_checksum_that_is_none_is_refused(void **state)
{
    struct tus_checksum checksum;

    (void)state;
    assert_int_equal(tus_checksum_parse(STR("crc99 AAAA"), &checksum), FAIL_UNSUPPORTED);
    assert_int_equal(tus_checksum_parse(STR(""), &checksum), FAIL_SYNTAX);
    assert_int_equal(tus_checksum_parse(STR("sha1"), &checksum), FAIL_SYNTAX);
    assert_int_equal(tus_checksum_parse(STR("sha1 AAAA"), &checksum), FAIL_STATE);
    assert_int_equal(tus_checksum_parse(STR("md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), &checksum),
                     FAIL_STATE);
    assert_int_equal(tus_checksum_parse(STR("sha1 Kq5sNclPz7QV2-lfQIuc6R7oRu0="), &checksum),
                     FAIL_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_read_pair_by_pair),
        cmocka_unit_test(metadata_that_is_none_is_refused),
        cmocka_unit_test(a_key_is_one_that_fits_into_a_field),
        cmocka_unit_test(metadata_has_a_bound),
        cmocka_unit_test(one_value_can_be_asked_for),
        cmocka_unit_test(concatenation_is_partial_or_final),
        cmocka_unit_test(a_file_has_a_bounded_number_of_parts),
        cmocka_unit_test(the_id_is_the_last_part_of_a_url),
        cmocka_unit_test(a_checksum_is_what_the_bytes_give),
        cmocka_unit_test(a_checksum_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
