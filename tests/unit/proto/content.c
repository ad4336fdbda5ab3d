#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/content.h"
#include "proto/content_date.h"

/* The file asked for: 1000 bytes, tag "e", of Sun, 06 Nov 1994 08:49:37 GMT. */
#define ETAG   "\"e\""
#define EQUAL  "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"
enum { MODIFIED = 784111777, SIZE = 1000, FIELDS = 4 };

struct content_case {
    const char *name;
    enum http_method method;
    const char *fields[FIELDS][2];
    enum content_answer answer;
    uint64_t first, last; /* of CONTENT_PART */
};

#define ANSWERS(name, method, answer, ...)                                                         \
    {                                                                                              \
        name, HTTP_##method, { __VA_ARGS__ }, CONTENT_##answer                                     \
    }
#define PARTS(name, first, last, ...)                                                              \
    {                                                                                              \
        name, HTTP_GET, { __VA_ARGS__ }, CONTENT_PART, first, last                                 \
    }
#define F(name, value)                                                                             \
    {                                                                                              \
        name, value                                                                                \
    }

static const struct content_case cases[] = {
    ANSWERS("without_conditions_all_is_sent", GET, WHOLE, F("Host", "a")),

    ANSWERS("if_match_with_our_tag_goes_on", GET, WHOLE, F("If-Match", ETAG)),
    ANSWERS("if_match_with_another_tag_fails", GET, FAILED, F("If-Match", "\"x\"")),
    ANSWERS("if_match_with_a_star_goes_on", PUT, WHOLE, F("If-Match", "*")),
    ANSWERS("if_match_finds_our_tag_in_a_list", GET, WHOLE, F("If-Match", "\"x\" ,, " ETAG)),
    ANSWERS("if_match_finds_our_tag_on_a_second_line", GET, WHOLE, F("If-Match", "\"x\""),
            F("if-match", ETAG)),
    ANSWERS("if_match_compares_strongly", GET, FAILED, F("If-Match", "W/" ETAG)),
    ANSWERS("if_match_without_quotes_fails", GET, FAILED, F("If-Match", "e")),
    ANSWERS("if_match_does_not_look_into_another_tag", GET, FAILED, F("If-Match", "\"x,\"e\",\"")),
    ANSWERS("a_comma_within_a_tag_separates_nothing", GET, WHOLE, F("If-Match", "\"a,b\"," ETAG)),
    ANSWERS("if_match_wins_over_if_unmodified_since", GET, WHOLE, F("If-Match", ETAG),
            F("If-Unmodified-Since", BEFORE)),
    ANSWERS("a_failed_if_match_is_not_mended_by_a_date", GET, FAILED, F("If-Match", "\"x\""),
            F("If-Unmodified-Since", AFTER)),
    ANSWERS("if_match_comes_before_if_none_match", GET, FAILED, F("If-None-Match", ETAG),
            F("If-Match", "\"x\"")),

    ANSWERS("unmodified_since_the_same_second_goes_on", GET, WHOLE,
            F("If-Unmodified-Since", EQUAL)),
    ANSWERS("modified_since_a_second_before_fails", GET, FAILED, F("If-Unmodified-Since", BEFORE)),
    ANSWERS("if_unmodified_since_counts_for_every_method", DELETE, FAILED,
            F("If-Unmodified-Since", BEFORE)),
    ANSWERS("a_broken_if_unmodified_since_is_ignored", GET, WHOLE,
            F("If-Unmodified-Since", "yesterday")),
    ANSWERS("two_if_unmodified_since_are_ignored", GET, WHOLE, F("If-Unmodified-Since", BEFORE),
            F("If-Unmodified-Since", BEFORE)),
    ANSWERS("a_date_before_1970_is_a_date", GET, FAILED,
            F("If-Unmodified-Since", "Sat, 01 Jan 1960 00:00:00 GMT")),

    ANSWERS("if_none_match_with_our_tag_is_304", GET, NOT_MODIFIED, F("If-None-Match", ETAG)),
    ANSWERS("if_none_match_is_304_for_head", HEAD, NOT_MODIFIED, F("If-None-Match", ETAG)),
    ANSWERS("if_none_match_is_412_for_writes", PUT, FAILED, F("If-None-Match", ETAG)),
    ANSWERS("if_none_match_with_a_star_is_304", GET, NOT_MODIFIED, F("If-None-Match", "*")),
    ANSWERS("if_none_match_compares_weakly", GET, NOT_MODIFIED, F("If-None-Match", "W/" ETAG)),
    ANSWERS("if_none_match_finds_our_tag_in_a_list", GET, NOT_MODIFIED,
            F("If-None-Match", "W/\"x\", " ETAG ", \"y\"")),
    ANSWERS("if_none_match_with_another_tag_goes_on", GET, WHOLE, F("If-None-Match", "\"x\"")),
    ANSWERS("if_none_match_with_a_small_w_matches_nothing", GET, WHOLE,
            F("If-None-Match", "w/" ETAG)),
    ANSWERS("if_none_match_wins_over_if_modified_since", GET, WHOLE, F("If-None-Match", "\"x\""),
            F("If-Modified-Since", EQUAL)),
    ANSWERS("an_equal_tag_is_304_whatever_the_date", GET, NOT_MODIFIED, F("If-None-Match", ETAG),
            F("If-Modified-Since", BEFORE)),

    ANSWERS("not_modified_since_is_304", GET, NOT_MODIFIED, F("If-Modified-Since", EQUAL)),
    ANSWERS("not_modified_since_is_304_for_head", HEAD, NOT_MODIFIED,
            F("If-Modified-Since", AFTER)),
    ANSWERS("modified_since_is_sent", GET, WHOLE, F("If-Modified-Since", BEFORE)),
    ANSWERS("if_modified_since_is_for_reads_alone", POST, WHOLE, F("If-Modified-Since", EQUAL)),
    ANSWERS("the_two_older_forms_of_a_date_count", GET, NOT_MODIFIED,
            F("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")),
    ANSWERS("a_failed_condition_comes_before_a_range", GET, NOT_MODIFIED, F("If-None-Match", ETAG),
            F("Range", "bytes=0-1")),

    PARTS("a_range_is_a_part", 0, 499, F("Range", "bytes=0-499")),
    PARTS("a_range_of_one_byte_is_a_part", 999, 999, F("Range", "bytes=999-999")),
    PARTS("an_open_range_goes_to_the_end", 500, 999, F("Range", "bytes=500-")),
    PARTS("a_suffix_is_counted_from_the_end", 500, 999, F("Range", "bytes=-500")),
    PARTS("a_suffix_longer_than_the_file_is_all_of_it", 0, 999, F("Range", "bytes=-5000")),
    PARTS("a_range_beyond_the_end_is_cut", 10, 999, F("Range", "bytes=10-5000")),
    PARTS("a_number_of_30_digits_is_only_large", 10, 999,
          F("Range", "bytes=10-999999999999999999999999999999")),
    PARTS("units_have_no_case", 0, 1, F("Range", "Bytes=0-1")),
    PARTS("empty_elements_are_no_ranges", 0, 1, F("Range", "bytes=, 0-1 ,")),
    ANSWERS("a_range_behind_the_end_is_416", GET, UNSATISFIABLE, F("Range", "bytes=1000-")),
    ANSWERS("a_range_far_behind_the_end_is_416", GET, UNSATISFIABLE,
            F("Range", "bytes=99999999999999999999-")),
    ANSWERS("an_empty_suffix_is_416", GET, UNSATISFIABLE, F("Range", "bytes=-0")),
    ANSWERS("two_ranges_are_answered_whole", GET, WHOLE, F("Range", "bytes=0-1,3-4")),
    ANSWERS("ranges_on_two_lines_are_answered_whole", GET, WHOLE, F("Range", "bytes=0-1"),
            F("Range", "bytes=3-4")),
    ANSWERS("a_range_backwards_is_ignored", GET, WHOLE, F("Range", "bytes=2-1")),
    ANSWERS("a_range_without_numbers_is_ignored", GET, WHOLE, F("Range", "bytes=-")),
    ANSWERS("a_range_without_a_dash_is_ignored", GET, WHOLE, F("Range", "bytes=5")),
    ANSWERS("a_range_with_two_dashes_is_ignored", GET, WHOLE, F("Range", "bytes=1-2-3")),
    ANSWERS("a_range_with_a_space_is_ignored", GET, WHOLE, F("Range", "bytes=1 -2")),
    ANSWERS("a_range_with_letters_is_ignored", GET, WHOLE, F("Range", "bytes=a-b")),
    ANSWERS("no_range_at_all_is_ignored", GET, WHOLE, F("Range", "bytes=")),
    ANSWERS("another_unit_is_ignored", GET, WHOLE, F("Range", "seconds=0-1")),
    ANSWERS("a_range_without_a_unit_is_ignored", GET, WHOLE, F("Range", "0-1")),
    ANSWERS("a_range_is_for_get_alone", HEAD, WHOLE, F("Range", "bytes=0-1")),

    PARTS("if_range_with_our_tag_keeps_the_range", 0, 1, F("Range", "bytes=0-1"),
          F("If-Range", ETAG)),
    ANSWERS("if_range_with_another_tag_drops_the_range", GET, WHOLE, F("Range", "bytes=0-1"),
            F("If-Range", "\"x\"")),
    ANSWERS("if_range_compares_strongly", GET, WHOLE, F("Range", "bytes=0-1"),
            F("If-Range", "W/" ETAG)),
    PARTS("if_range_with_our_date_keeps_the_range", 0, 1, F("Range", "bytes=0-1"),
          F("If-Range", EQUAL)),
    ANSWERS("if_range_with_a_later_date_drops_the_range", GET, WHOLE, F("Range", "bytes=0-1"),
            F("If-Range", AFTER)),
    ANSWERS("if_range_that_is_broken_drops_the_range", GET, WHOLE, F("Range", "bytes=0-1"),
            F("If-Range", "e")),
    ANSWERS("two_if_ranges_drop_the_range", GET, WHOLE, F("Range", "bytes=0-1"),
            F("If-Range", ETAG), F("If-Range", ETAG)),
    ANSWERS("a_dropped_range_is_not_416", GET, WHOLE, F("Range", "bytes=5000-"),
            F("If-Range", "\"x\"")),
    ANSWERS("if_range_without_a_range_means_nothing", GET, WHOLE, F("If-Range", "\"x\"")),
    PARTS("all_conditions_may_hold_at_once", 0, 1, F("If-Match", ETAG), F("If-None-Match", "\"x\""),
          F("If-Range", EQUAL), F("Range", "bytes=0-1")),
};

static struct http_request request_of(const struct content_case *c, struct http_header *headers)
{
    struct http_request r = { .method = c->method, .headers = headers };

    for (; r.header_count < FIELDS && c->fields[r.header_count][0] != NULL; r.header_count++) {
        headers[r.header_count].name = str_of(c->fields[r.header_count][0]);
        headers[r.header_count].value = str_of(c->fields[r.header_count][1]);
    }
    return r;
}

static void content_case(void **state)
{
    const struct content_case *c = *state;
    struct http_header headers[FIELDS];
    struct http_request r = request_of(c, headers);
    uint64_t first = 7777, last = 7777;

    assert_int_equal(content_evaluate(&r, ETAG, MODIFIED, SIZE, &first, &last), c->answer);
    if (c->answer == CONTENT_PART) {
        assert_int_equal(first, c->first);
        assert_int_equal(last, c->last);
    } else {
        assert_int_equal(first, 7777);
        assert_int_equal(last, 7777);
    }
}

static enum content_answer range_of_nothing(const char *range)
{
    struct http_header header = { STR("Range"), str_of(range) };
    struct http_request r = { .method = HTTP_GET, .headers = &header, .header_count = 1 };
    uint64_t first, last;

    return content_evaluate(&r, ETAG, MODIFIED, 0, &first, &last);
}

static void an_empty_file_has_no_part(void **state)
{
    (void)state;
    assert_int_equal(range_of_nothing("bytes=0-"), CONTENT_UNSATISFIABLE);
    assert_int_equal(range_of_nothing("bytes=0-0"), CONTENT_UNSATISFIABLE);
    assert_int_equal(range_of_nothing("bytes=-1"), CONTENT_WHOLE);
    assert_int_equal(range_of_nothing("bytes=-0"), CONTENT_UNSATISFIABLE);
}

static void the_ending_tells_the_type(void **state)
{
    (void)state;
    static const char *const types[][2] = {
        { "a.m3u8", "application/vnd.apple.mpegurl" },
        { "a.m4s", "video/iso.segment" },
        { "a.mp4", "video/mp4" },
        { "a.b.TS", "video/mp2t" },
        { "a.vtt", "text/vtt; charset=utf-8" },
        { "a.html", "text/html; charset=utf-8" },
        { "a.js", "text/javascript; charset=utf-8" },
        { "a.json", "application/json" },
        { "a.webmanifest", "application/manifest+json" },
        { "a.bin", "application/octet-stream" },
        { "ts", "application/octet-stream" },
        { "", "application/octet-stream" },
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        assert_string_equal(content_type_of(str_of(types[i][0])), types[i][1]);
}

static void dates_have_three_forms(void **state)
{
    (void)state;
    assert_int_equal(content_parse_date(STR(EQUAL)), MODIFIED);
    assert_int_equal(content_parse_date(STR("Sunday, 06-Nov-94 08:49:37 GMT")), MODIFIED);
    assert_int_equal(content_parse_date(STR("Sun Nov  6 08:49:37 1994")), MODIFIED);
    assert_int_equal(content_parse_date(STR("Wed Nov 16 08:49:37 1994")), MODIFIED + 864000);
    assert_int_equal(content_parse_date(STR("Thursday, 01-Jan-26 00:00:00 GMT")), 1767225600);
    assert_int_equal(content_parse_date(STR("Thu, 29 Feb 2024 00:00:00 GMT")), 1709164800);
    assert_int_equal(content_parse_date(STR("Sat, 31 Dec 2016 23:59:60 GMT")), 1483228799);
    assert_int_equal(content_parse_date(STR("Sat, 01 Jan 1960 00:00:00 GMT")), 0);
}

static void anything_else_is_no_date(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Thu, 29 Feb 2023 00:00:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Ovd 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 +8:49:37 GMT",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(content_parse_date(str_of(wrong[i])), -1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_empty_file_has_no_part),
    cmocka_unit_test(the_ending_tells_the_type),
    cmocka_unit_test(dates_have_three_forms),
    cmocka_unit_test(anything_else_is_no_date),
};

enum {
    CASES = sizeof(cases) / sizeof(cases[0]),
    TESTS = sizeof(tests) / sizeof(tests[0]),
};

int main(void)
{
    static struct CMUnitTest all[CASES + TESTS];

    for (size_t i = 0; i < CASES; i++)
        all[i] = (struct CMUnitTest){ .name = cases[i].name,
                                      .test_func = content_case,
                                      .initial_state = (void *)&cases[i] };
    memcpy(all + CASES, tests, sizeof(tests));
    return cmocka_run_group_tests(all, NULL, NULL);
}
