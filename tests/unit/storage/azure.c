/* What Azure says and what we make up for it; that a server agrees is in contract.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/azure_id.h"
#include "storage/azure_read.h"
#include "storage/http_internal.h"

static void an_id_remembers_what_the_object_will_be(void **state)
{
    char type[AZURE_TYPE_SIZE], cache[AZURE_TYPE_SIZE], name[AZURE_BLOCK_SIZE];
    char *id = azure_id_make("text/plain; charset=\"utf-8\"", "public, max-age=1");
    char *other = azure_id_make("video/mp4", NULL);

    (void)state;
    assert_true(strlen(id) <= STORAGE_UPLOAD_ID_MAX);
    assert_int_equal(azure_id_read(id, type, cache), OK);
    assert_string_equal(type, "text/plain; charset=\"utf-8\"");
    assert_string_equal(cache, "public, max-age=1");
    assert_int_equal(azure_id_read(other, type, cache), OK);
    assert_string_equal(type, "video/mp4");
    assert_string_equal(cache, "");
    /* Blocks of one blob are told apart by their upload, and have one length. */
    assert_int_equal(azure_block_name(id, 9999, name), OK);
    assert_int_equal(strlen(name), AZURE_BLOCK_SIZE - 1);
    assert_int_equal(azure_block_number(id, str_of(name)), 9999);
    assert_int_equal(azure_block_number(other, str_of(name)), 0);
    assert_int_equal(azure_block_name(id, 1, name), OK);
    assert_int_equal(strlen(name), AZURE_BLOCK_SIZE - 1);
    assert_int_equal(azure_block_name(id, 100000, name), FAIL_MISSING);
    mem_free(id);
    mem_free(other);
}

static void what_is_none_of_our_ids_is_missing(void **state)
{
    static const char *const none[] = {
        "",
        ".",
        "..",
        "0123456789abcdef01234567",
        "0123456789abcdef01234567.",
        "0123456789abcdef01234567.dmlk",
        "0123456789ABCDEF01234567.dmlk.",
        "0123456789abcdef0123456.dmlk.",
        "0123456789abcdef012345678.dmlk.",
        "0123456789abcdef01234567.===.",
        "0123456789abcdef01234567.AA.", /* a NUL */
    };
    char type[AZURE_TYPE_SIZE], cache[AZURE_TYPE_SIZE], long_id[1000];

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(azure_id_read(none[i], type, cache), FAIL_MISSING);
    memset(long_id, 'A', sizeof long_id);
    memcpy(long_id, "0123456789abcdef01234567.", 25);
    memcpy(long_id + sizeof long_id - 2, ".", 2);
    assert_int_equal(azure_id_read(long_id, type, cache), FAIL_MISSING);
    assert_int_equal(azure_block_number("0123456789abcdef01234567.dmlk.", STR("AAAA")), 0);
}

static void what_is_too_long_to_be_remembered_makes_no_id(void **state)
{
    char type[AZURE_TYPE_SIZE + 1];

    (void)state;
    memset(type, 'a', sizeof type - 1);
    type[sizeof type - 1] = '\0';
    assert_null(azure_id_make(type, NULL));
    assert_null(azure_id_make("a/b", type));
}

#define HEAD "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>"
#define BLOB(n)                                                                                    \
    "<Blob><Name>" n "</Name><Properties><Last-Modified>Fri, 20 Nov 2026 10:00:00 GMT"             \
    "</Last-Modified><Etag>0x8D1</Etag><Content-Length>12</Content-Length></Properties></Blob>"

static void a_page_is_read(void **state)
{
    struct http_ask ask = { .verb = VERB_LIST };
    struct http_result r = { 0 };

    (void)state;
    assert_int_equal(azure_read(&ask,
                                STR(HEAD
                                    "<EnumerationResults ContainerName=\"c\"><Prefix>p/</Prefix>"
                                    "<Blobs>" BLOB("p/a &amp; b")
                                        BLOB("p/c") "</Blobs><NextMarker>2!next</NextMarker>"
                                                    "</EnumerationResults>"),
                                &r),
                     OK);
    assert_int_equal(r.count, 2);
    assert_string_equal(r.items[0].key, "p/a & b");
    assert_int_equal(r.items[0].size, 12);
    assert_int_equal(r.items[0].modified_s, 1795168800);
    assert_string_equal(r.items[0].etag, "0x8D1");
    assert_string_equal(r.items[1].key, "p/c");
    assert_string_equal(r.after, "2!next");
    http_result_deinit(&r);
}

static void blocks_of_others_are_passed_over(void **state)
{
    char *id = azure_id_make("video/mp4", NULL), ours[AZURE_BLOCK_SIZE];
    struct http_ask ask = { .verb = VERB_PARTS, .id = id };
    struct http_result r = { 0 };
    struct buf text;

    (void)state;
    assert_int_equal(azure_block_name(id, 3, ours), OK);
    buf_init(&text, 4096);
    buf_printf(&text,
               HEAD "<BlockList><CommittedBlocks><Block><Name>%s</Name><Size>1</Size></Block>"
                    "</CommittedBlocks><UncommittedBlocks><Block><Name>AAAA</Name><Size>7</Size>"
                    "</Block><Block><Name>%s</Name><Size>8</Size></Block></UncommittedBlocks>"
                    "</BlockList>",
               ours, ours);
    assert_int_equal(azure_read(&ask, buf_str(&text), &r), OK);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.items[0].number, 3);
    assert_int_equal(r.items[0].size, 8);
    http_result_deinit(&r);
    buf_deinit(&text);
    mem_free(id);
}

static void expect_nonsense(struct str body, const char *after)
{
    struct http_ask ask = { .verb = VERB_LIST, .after = after };
    struct http_result r = { 0 };

    assert_int_equal(azure_read(&ask, body, &r), FAIL_SYNTAX);
    http_result_deinit(&r);
}

static void an_answer_that_is_none_is_told(void **state)
{
    (void)state;
    expect_nonsense(STR(""), NULL);
    expect_nonsense(STR("<html><body>It works!</body></html>"), NULL);
    expect_nonsense(STR(HEAD "<EnumerationResults><Blobs>" BLOB("a")), NULL);
    expect_nonsense(STR(HEAD "<EnumerationResults><Blobs><Blob><Name>a</Name><Properties>"
                             "<Content-Length>-1</Content-Length></Properties></Blob></Blobs>"
                             "</EnumerationResults>"),
                    NULL);
    /* The same page again, for ever */
    expect_nonsense(STR(HEAD "<EnumerationResults><Blobs/><NextMarker>m</NextMarker>"
                             "</EnumerationResults>"),
                    "m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_remembers_what_the_object_will_be),
        cmocka_unit_test(what_is_none_of_our_ids_is_missing),
        cmocka_unit_test(what_is_too_long_to_be_remembered_makes_no_id),
        cmocka_unit_test(a_page_is_read),
        cmocka_unit_test(blocks_of_others_are_passed_over),
        cmocka_unit_test(an_answer_that_is_none_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
