#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "contract.h"

enum { MIB = 1024 * 1024, PART = 5 * MIB, URL_BYTES = 16 * 1024, PATIENCE_MS = 30 * 1000 };

static struct buf url_for(const char *key, const char *file_name, uint64_t lifetime_s)
{
    struct buf url;

    buf_init(&url, URL_BYTES);
    assert_int_equal(storage_url(contract.place->s, key, file_name, lifetime_s, &url), OK);
    return url;
}

static bool is_refused(long status)
{
    return status == 403 || status == 401 || status == 400;
}

static void without_urls_none_is_given(void **state)
{
    struct buf url;

    (void)state;
    buf_init(&url, URL_BYTES);
    assert_int_equal(storage_url(contract.place->s, "a", NULL, 60, &url), FAIL_UNSUPPORTED);
    assert_int_equal(storage_head_url(contract.place->s, "a", 60, &url), FAIL_UNSUPPORTED);
    assert_int_equal(storage_part_url(contract.place->s, "a", "b", 1, 60, &url), FAIL_UNSUPPORTED);
    buf_deinit(&url);
}

static void where_a_plain_put_makes_no_object_no_url_for_one_is_given(void **state)
{
    struct buf url;

    (void)state;
    buf_init(&url, URL_BYTES);
    assert_int_equal(storage_put_url(contract.place->s, "a", 60, &url), FAIL_UNSUPPORTED);
    buf_deinit(&url);
}

static void a_url_reads_the_object_with_what_is_known_of_it(void **state)
{
    struct outcome o;
    struct buf url, answer;

    (void)state;
    outcome_init(&o);
    storage_put(contract.place->s,
                &(struct storage_put){ .key = "url/a b.ts",
                                       .content_type = "video/mp2t",
                                       .cache_control = "public, max-age=31536000, immutable",
                                       .bytes = STR("a segment"),
                                       .done = on_done,
                                       .context = &o });
    assert_int_equal(settle(&o), OK);
    outcome_deinit(&o);
    buf_init(&answer, URL_BYTES);
    url = url_for("url/a b.ts", NULL, 60);
    assert_int_equal(plain_get(buf_text(&url), &answer), 200);
    assert_non_null(strstr(buf_text(&answer), "\r\n\r\na segment"));
    assert_non_null(strcasestr(buf_text(&answer), "\r\ncontent-type: video/mp2t"));
    assert_non_null(strcasestr(buf_text(&answer), "max-age=31536000, immutable"));
    buf_deinit(&url);
    buf_deinit(&answer);
}

static void a_url_for_a_head_answers_it(void **state)
{
    struct buf url, answer;

    (void)state;
    assert_int_equal(put_text("url/head", "nine byte"), OK);
    buf_init(&url, URL_BYTES);
    buf_init(&answer, URL_BYTES);
    assert_int_equal(storage_head_url(contract.place->s, "url/head", 60, &url), OK);
    assert_int_equal(plain_head(buf_text(&url), &answer), 200);
    assert_non_null(strcasestr(buf_text(&answer), "\r\ncontent-length: 9\r\n"));
    assert_null(strstr(buf_text(&answer), "nine byte"));
    buf_deinit(&url);
    buf_deinit(&answer);
}

static void a_url_can_name_the_file_that_is_saved(void **state)
{
    struct buf url, answer;

    (void)state;
    assert_int_equal(put_text("url/film", "a film"), OK);
    buf_init(&answer, URL_BYTES);
    url = url_for("url/film", "My \"film\" \xc3\xbc;.mp4", 60);
    assert_int_equal(plain_get(buf_text(&url), &answer), 200);
    assert_non_null(strstr(buf_text(&answer), "\r\n\r\na film"));
    assert_non_null(strcasestr(buf_text(&answer), "content-disposition: attachment"));
    assert_non_null(strcasestr(buf_text(&answer), "filename*=UTF-8''"));
    assert_non_null(strstr(buf_text(&answer), "%C3%BC"));
    buf_deinit(&url);
    buf_deinit(&answer);
}

static void a_url_that_was_changed_is_refused(void **state)
{
    struct buf url;

    (void)state;
    assert_int_equal(put_text("url/one", "1"), OK);
    assert_int_equal(put_text("url/two", "2"), OK);
    url = url_for("url/one", NULL, 60);
    assert_int_equal(plain_get(buf_text(&url), NULL), 200);
    memcpy(strstr(url.data, "url/one"), "url/two", 7);
    assert_true(is_refused(plain_get(buf_text(&url), NULL)));
    memcpy(strstr(url.data, "url/two"), "url/one", 7);
    char *sign = strcasestr(url.data, "sig");
    while (strcasestr(sign + 1, "sig") != NULL)
        sign = strcasestr(sign + 1, "sig");
    sign = strchr(sign, '=') + 1;
    *sign = *sign == 'a' ? 'b' : 'a';
    assert_true(is_refused(plain_get(buf_text(&url), NULL)));
    *strchr(url.data, '?') = '\0';
    assert_true(plain_get(buf_text(&url), NULL) >= 400);
    buf_deinit(&url);
}

static void a_url_has_its_time(void **state)
{
    uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    struct buf url;
    long status;

    (void)state;
    assert_int_equal(put_text("url/short", "1"), OK);
    url = url_for("url/short", NULL, 1);
    do {
        assert_true(clock_mono_ms() < until_ms);
        status = plain_get(buf_text(&url), NULL);
    } while (status == 200);
    assert_true(is_refused(status));
    buf_deinit(&url);
}

static void a_url_to_read_does_not_write(void **state)
{
    int file = file_of(100, 20);
    struct buf url;

    (void)state;
    assert_int_equal(put_text("url/kept", "1"), OK);
    url = url_for("url/kept", NULL, 60);
    assert_true(plain_put(buf_text(&url), file, 0, 100) >= 400);
    expect_text("url/kept", "1");
    buf_deinit(&url);
    close(file);
}

static void a_url_takes_an_object(void **state)
{
    int file = file_of(MIB, 21);
    struct buf url;

    (void)state;
    buf_init(&url, URL_BYTES);
    assert_int_equal(storage_put_url(contract.place->s, "url/chunks/00 0+1", 60, &url), OK);
    assert_int_equal(plain_put(buf_text(&url), file, 5, MIB - 5), 200);
    expect_object("url/chunks/00 0+1", file, 5, MIB - 5);
    assert_true(is_refused(plain_get(buf_text(&url), NULL)));
    buf_deinit(&url);
    close(file);
}

static void urls_take_parts(void **state)
{
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    int file = file_of(PART + 1000, 22);
    struct outcome o;
    struct buf url;

    (void)state;
    buf_init(&url, URL_BYTES);
    assert_int_equal(begin("url/whole", id), OK);
    for (uint32_t number = 2; number >= 1; number--) {
        buf_reset(&url);
        assert_int_equal(storage_part_url(contract.place->s, "url/whole", id, number, 60, &url),
                         OK);
        long status =
            plain_put(buf_text(&url), file, number == 1 ? 0 : PART, number == 1 ? PART : 1000);
        assert_true(status == 200 || status == 201);
    }
    assert_int_equal(list_parts("url/whole", id, &o), OK);
    assert_int_equal(o.part_count, 2);
    assert_int_equal(o.parts[1].size, 1000);
    assert_int_equal(complete("url/whole", id, o.parts, 2), OK);
    expect_object("url/whole", file, 0, PART + 1000);
    buf_deinit(&url);
    close(file);
}

static void a_url_does_not_get_longer_than_its_room(void **state)
{
    struct buf url;

    (void)state;
    buf_init(&url, 50);
    assert_int_equal(storage_url(contract.place->s, "url/a", NULL, 60, &url), FAIL_LIMIT);
    buf_deinit(&url);
}

#define CASE(name) cmocka_unit_test_teardown(name, contract_case_end)

int contract_urls_cases(void);

int contract_urls_cases(void)
{
    const struct CMUnitTest urls[] = {
        CASE(a_url_reads_the_object_with_what_is_known_of_it),
        CASE(a_url_for_a_head_answers_it),
        CASE(a_url_can_name_the_file_that_is_saved),
        CASE(a_url_that_was_changed_is_refused),
        CASE(a_url_has_its_time),
        CASE(a_url_to_read_does_not_write),
        CASE(urls_take_parts),
        CASE(a_url_does_not_get_longer_than_its_room),
    };
    const struct CMUnitTest no_urls[] = { CASE(without_urls_none_is_given) };
    const struct CMUnitTest object_urls[] = { CASE(a_url_takes_an_object) };
    const struct CMUnitTest no_object_urls[] = {
        CASE(where_a_plain_put_makes_no_object_no_url_for_one_is_given),
    };
    const struct contract_driver *d = contract.driver;
    int failed = d->has_urls ? cmocka_run_group_tests_name("urls", urls, NULL, NULL)
                             : cmocka_run_group_tests_name("urls", no_urls, NULL, NULL);

    return failed +
           (d->has_object_urls
                ? cmocka_run_group_tests_name("urls of objects", object_urls, NULL, NULL)
                : cmocka_run_group_tests_name("urls of objects", no_object_urls, NULL, NULL));
}
