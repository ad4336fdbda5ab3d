#include "contract.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

enum { MIB = 1024 * 1024, KEYS_BYTES = 4 * MIB, IN_PARALLEL = 32 };

/* A page of the server's own is no part of what is promised, nor is who else is there. */
static void expect_keys(const char *prefix, const char *keys)
{
    struct buf got;

    buf_init(&got, KEYS_BYTES);
    assert_int_equal(list_keys(prefix, &got), OK);
    assert_string_equal(buf_text(&got), keys);
    buf_deinit(&got);
}

static void an_object_comes_back_as_it_was_put(void **state)
{
    struct outcome o;
    int file = file_of(3 * MIB, 1);
    int64_t now_s = clock_wall_ms() / 1000;

    (void)state;
    assert_int_equal(put_text("whole/text", "some bytes"), OK);
    expect_text("whole/text", "some bytes");
    assert_int_equal(head("whole/text", &o), OK);
    assert_int_equal(o.size, 10);
    assert_true(o.etag[0] != '\0' && strchr(o.etag, '"') == NULL);
    assert_true(llabs(o.modified_s - now_s) < 600);
    assert_int_equal(put_range("whole/range", file, 12345, 2 * MIB), OK);
    expect_object("whole/range", file, 12345, 2 * MIB);
    close(file);
}

static void an_object_can_be_empty(void **state)
{
    struct outcome o;
    uint64_t bytes = 1;
    int file = file_empty();

    (void)state;
    assert_int_equal(put_text("empty/text", ""), OK);
    assert_int_equal(put_range("empty/file", file, 0, 0), OK);
    expect_text("empty/text", "");
    expect_text("empty/file", "");
    assert_int_equal(head("empty/file", &o), OK);
    assert_int_equal(o.size, 0);
    assert_int_equal(get_range("empty/text", 0, 0, file, 0, &bytes), OK);
    assert_int_equal(bytes, 0);
    expect_keys("empty/", "empty/file\nempty/text\n");
    close(file);
}

static void what_is_put_again_replaces_what_was_there(void **state)
{
    struct outcome before, after;

    (void)state;
    assert_int_equal(put_text("again", "first and longer"), OK);
    assert_int_equal(head("again", &before), OK);
    assert_int_equal(put_text("again", "second"), OK);
    assert_int_equal(head("again", &after), OK);
    expect_text("again", "second");
    assert_string_not_equal(before.etag, after.etag);
    expect_keys("again", "again\n");
}

static void a_large_object_goes_up_and_comes_down_in_slices(void **state)
{
    uint64_t size = 40 * MIB + 12345;
    int file = file_of(size + 7, 2);
    struct outcome o;

    (void)state;
    assert_int_equal(put_range("large", file, 7, size), OK);
    assert_int_equal(head("large", &o), OK);
    assert_int_equal(o.size, size);
    expect_object("large", file, 7, size);
    close(file);
}

static void a_range_lands_where_it_is_wanted(void **state)
{
    int file = file_of(MIB, 3), got = file_of(100, 4), same = file_of(100, 4);
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(put_range("range", file, 0, MIB), OK);
    assert_int_equal(get_range("range", 1000, 500, got, 60, &bytes), OK);
    assert_int_equal(bytes, 500);
    expect_same(got, 0, same, 0, 60);
    expect_same(got, 60, file, 1000, 500);
    assert_int_equal(get_range("range", MIB - 10, 0, got, 0, &bytes), OK);
    assert_int_equal(bytes, 10);
    expect_same(got, 0, file, MIB - 10, 10);
    expect_same(got, 60, file, 1000, 500);
    /* A range that is not there as a whole */
    assert_int_equal(get_range("range", MIB - 10, 11, got, 0, NULL), FAIL_STATE);
    assert_int_equal(get_range("range", MIB + 1, 10, got, 0, NULL), FAIL_STATE);
    assert_int_equal(get_range("range", MIB + 1, 0, got, 0, NULL), FAIL_STATE);
    close(file);
    close(got);
    close(same);
}

static void what_is_read_has_a_limit(void **state)
{
    struct outcome o;

    (void)state;
    assert_int_equal(put_text("limit", "0123456789"), OK);
    for (size_t max = 9; max <= 10; max++) {
        outcome_init(&o);
        storage_read(contract.place->s, "limit", max, on_body, &o);
        assert_int_equal(settle(&o), max == 9 ? FAIL_LIMIT : OK);
        assert_int_equal(o.body.len, max == 9 ? 0 : 10);
        outcome_deinit(&o);
    }
}

static void what_is_not_there_is_missing(void **state)
{
    int file = file_empty();
    struct outcome o;

    (void)state;
    assert_int_equal(get_range("nothing/here", 0, 0, file, 0, NULL), FAIL_MISSING);
    assert_int_equal(head("nothing/here", &o), FAIL_MISSING);
    outcome_init(&o);
    storage_read(contract.place->s, "nothing/here", 10, on_body, &o);
    assert_int_equal(settle(&o), FAIL_MISSING);
    outcome_deinit(&o);
    assert_int_equal(remove_key("nothing/here"), OK);
    assert_int_equal(remove_below("nothing/"), OK);
    expect_keys("nothing/", "");
    close(file);
}

static void what_is_removed_is_gone(void **state)
{
    struct outcome o;

    (void)state;
    assert_int_equal(put_text("gone/a", "x"), OK);
    assert_int_equal(put_text("gone/b", "y"), OK);
    assert_int_equal(remove_key("gone/a"), OK);
    assert_int_equal(head("gone/a", &o), FAIL_MISSING);
    expect_keys("gone/", "gone/b\n");
    assert_int_equal(remove_key("gone/a"), OK);
}

static const char *const odd_keys[] = {
    "odd/ space /at ends ",
    "odd/100%",
    "odd/a%20b",
    "odd/a+b",
    "odd/#hash?x=1&y=2",
    "odd/(round)[square]{curly}",
    "odd/semi;colon,comma:colon",
    "odd/quote'\"`",
    "odd/at@equals=dollar$",
    "odd/tilde~star*bang!",
    "odd/<xml>&amp;]]>",
    "odd/\xc3\xbcml\xc3\xa4ut",
    "odd/u\xcc\x88 in two",
    "odd/\xf0\x9f\x8e\xac film.mp4",
    "odd/.hidden",
    "odd/...",
    "odd/pipe|caret^",
};
enum { ODD_COUNT = sizeof odd_keys / sizeof *odd_keys };

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void a_key_may_have_odd_characters(void **state)
{
    const char *sorted[ODD_COUNT];
    struct buf keys;
    struct outcome o;

    (void)state;
    buf_init(&keys, KEYS_BYTES);
    memcpy(sorted, odd_keys, sizeof sorted);
    qsort(sorted, ODD_COUNT, sizeof *sorted, compare_texts);
    for (size_t i = 0; i < ODD_COUNT; i++) {
        assert_int_equal(put_text(odd_keys[i], odd_keys[i]), OK);
        buf_printf(&keys, "%s\n", sorted[i]);
    }
    for (size_t i = 0; i < ODD_COUNT; i++) {
        assert_int_equal(head(odd_keys[i], &o), OK);
        expect_text(odd_keys[i], odd_keys[i]);
    }
    expect_keys("odd/", buf_text(&keys));
    expect_keys("odd/a%2", "odd/a%20b\n");
    expect_keys("odd/#hash?x=1&", "odd/#hash?x=1&y=2\n");
    buf_deinit(&keys);
    assert_int_equal(remove_below("odd/"), OK);
    expect_keys("odd/", "");
}

static void parts_and_urls_too_take_odd_keys(void **state)
{
    int file = file_of(1000, 5);
    struct outcome o;
    struct buf url;

    (void)state;
    buf_init(&url, 16 * 1024);
    for (size_t i = 0; i < ODD_COUNT; i++) {
        char id[STORAGE_UPLOAD_ID_MAX + 1];
        const char *key = odd_keys[i];
        assert_int_equal(begin(key, id), OK);
        assert_int_equal(put_part(key, id, 1, file, 0, 1000), OK);
        assert_int_equal(list_parts(key, id, &o), OK);
        assert_int_equal(complete(key, id, o.parts, 1), OK);
        expect_object(key, file, 0, 1000);
        if (!contract.driver->has_urls)
            continue;
        buf_reset(&url);
        assert_int_equal(storage_url(contract.place->s, key, NULL, 60, &url), OK);
        assert_int_equal(plain_get(buf_text(&url), NULL), 200);
    }
    buf_deinit(&url);
    close(file);
}

static void what_is_no_key_is_refused(void **state)
{
    static const char *const none[] = { "",     "/a",  "a/",   "a//b", "../a",
                                        "a/..", "./a", "a\nb", "\xff", "a\x7f" };
    char long_key[1100];
    struct outcome o;

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(put_text(none[i], "x"), FAIL_SYNTAX);
        assert_int_equal(head(none[i], &o), FAIL_SYNTAX);
    }
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = '\0';
    for (size_t i = 200; i < sizeof long_key - 1; i += 200)
        long_key[i] = '/';
    assert_int_equal(put_text(long_key, "x"), FAIL_SYNTAX);
    long_key[900] = '\0';
    assert_int_equal(put_text(long_key, "x"), OK);
    expect_text(long_key, "x");
}

static void a_list_is_in_order_and_keeps_to_its_prefix(void **state)
{
    static const char *const keys[] = { "p/b/c/d", "p/a0", "p/a/b", "p/a-b",
                                        "p/B",     "px",   "o/z",   "p/a/b.c" };

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_int_equal(put_text(keys[i], "x"), OK);
    expect_keys("p/", "p/B\np/a-b\np/a/b\np/a/b.c\np/a0\np/b/c/d\n");
    expect_keys("p", "p/B\np/a-b\np/a/b\np/a/b.c\np/a0\np/b/c/d\npx\n");
    expect_keys("p/a", "p/a-b\np/a/b\np/a/b.c\np/a0\n");
    expect_keys("p/a/", "p/a/b\np/a/b.c\n");
    expect_keys("p/a/b", "p/a/b\np/a/b.c\n");
    expect_keys("", "o/z\np/B\np/a-b\np/a/b\np/a/b.c\np/a0\np/b/c/d\npx\n");
    expect_keys("q", "");
    assert_int_equal(remove_below("p/a/b"), OK);
    assert_int_equal(remove_below("p/a/b"), OK);
    expect_keys("", "o/z\np/B\np/a-b\np/a0\np/b/c/d\npx\n");
}

static void put_crowd(unsigned from, unsigned count)
{
    struct outcome *all = mem_alloc(count * sizeof *all);
    char key[64];

    for (unsigned i = 0; i < count; i++) {
        outcome_init(&all[i]);
        snprintf(key, sizeof key, "crowd/%05u", from + i);
        storage_put(contract.place->s,
                    &(struct storage_put){
                        .key = key, .bytes = STR("x"), .done = on_done, .context = &all[i] });
    }
    settle_all(all, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(all[i].err, OK);
        outcome_deinit(&all[i]);
    }
    mem_free(all);
}

static void a_list_of_many_comes_page_by_page(void **state)
{
    unsigned crowd = contract.driver->crowd;
    struct buf expected;
    struct outcome o;

    (void)state;
    buf_init(&expected, KEYS_BYTES);
    for (unsigned i = 0; i < crowd; i += IN_PARALLEL)
        put_crowd(i, crowd - i < IN_PARALLEL ? crowd - i : IN_PARALLEL);
    for (unsigned i = 0; i < crowd; i++)
        buf_printf(&expected, "crowd/%05u\n", i);
    expect_keys("crowd/", buf_text(&expected));
    outcome_init(&o);
    o.rows_max = crowd - 1;
    storage_list(contract.place->s, "crowd/", on_object, on_done, &o);
    assert_int_equal(settle(&o), OK);
    assert_int_equal(o.rows, crowd - 1);
    outcome_deinit(&o);
    assert_int_equal(remove_below("crowd/"), OK);
    expect_keys("crowd/", "");
    buf_deinit(&expected);
}

static void a_file_that_became_shorter_is_noticed(void **state)
{
    int file = file_of(1000, 6);
    struct outcome o;

    (void)state;
    assert_int_equal(put_range("short", file, 500, 501), FAIL_STATE);
    assert_int_equal(head("short", &o), FAIL_MISSING);
    expect_keys("short", "");
    close(file);
}

static void a_storage_says_what_it_can(void **state)
{
    const struct storage_traits *traits = storage_traits(contract.place->s);
    const struct contract_driver *d = contract.driver;
    struct buf text;

    (void)state;
    assert_string_equal(traits->provider, d->provider);
    assert_int_equal(traits->has_urls, d->has_urls);
    assert_int_equal(traits->has_object_urls, d->has_object_urls);
    assert_true(traits->part_max >= 64 * MIB && traits->parts_max >= 10000);
    buf_init(&text, 4096);
    storage_describe(contract.place->s, &text);
    assert_true(text.len > 0);
    assert_null(strstr(buf_text(&text), "testing"));
    assert_null(strstr(buf_text(&text), "sig="));
    buf_reset(&text);
    assert_int_equal(storage_public_url(contract.place->s, "a b/c.m3u8", &text), OK);
    assert_string_equal(buf_text(&text), "https://cdn.example/media/a%20b/c.m3u8");
    buf_deinit(&text);
}

#define CASE(name) cmocka_unit_test_teardown(name, contract_case_end)

int contract_parts_cases(void);
int contract_urls_cases(void);
int contract_ends_cases(void);

int contract_run(const struct contract_driver *driver)
{
    const struct CMUnitTest tests[] = {
        CASE(a_storage_says_what_it_can),
        CASE(an_object_comes_back_as_it_was_put),
        CASE(an_object_can_be_empty),
        CASE(what_is_put_again_replaces_what_was_there),
        CASE(a_large_object_goes_up_and_comes_down_in_slices),
        CASE(a_range_lands_where_it_is_wanted),
        CASE(what_is_read_has_a_limit),
        CASE(what_is_not_there_is_missing),
        CASE(what_is_removed_is_gone),
        CASE(a_key_may_have_odd_characters),
        CASE(parts_and_urls_too_take_odd_keys),
        CASE(what_is_no_key_is_refused),
        CASE(a_list_is_in_order_and_keeps_to_its_prefix),
        CASE(a_list_of_many_comes_page_by_page),
        CASE(a_file_that_became_shorter_is_noticed),
    };

    contract.driver = driver;
    if (contract_setup(NULL) != 0)
        return 1;
    int failed = cmocka_run_group_tests_name("objects", tests, NULL, NULL);
    failed += contract_parts_cases();
    failed += contract_urls_cases();
    failed += contract_ends_cases();
    contract_teardown(NULL);
    return failed;
}
