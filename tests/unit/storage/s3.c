/* What is asked of S3, and how its documents are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/http_internal.h"
#include "storage/s3_read.h"
#include "storage/storage.h"

static int read_it(enum http_verb verb, const char *after, const char *text,
                   struct http_result *out)
{
    struct http_ask ask = { .verb = verb, .after = after };

    memset(out, 0, sizeof(*out));
    return s3_read(&ask, str_of(text), out);
}

static void a_page_of_objects_is_read(void **state)
{
    struct http_result page;

    (void)state;
    assert_int_equal(
        read_it(VERB_LIST, NULL,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                "<Name>bucket</Name><Prefix>a/</Prefix><KeyCount>2</KeyCount>"
                "<IsTruncated>true</IsTruncated>"
                "<Contents><Key>a/x &amp; y</Key><LastModified>2009-10-12T17:50:30.000Z"
                "</LastModified><ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag>"
                "<Size>434234</Size><Owner><ID>1</ID></Owner></Contents>"
                "<Contents><Key>a/z</Key><Size>9223372036854775807</Size></Contents>"
                "<CommonPrefixes><Prefix>p</Prefix></CommonPrefixes>"
                "<NextContinuationToken>next==</NextContinuationToken></ListBucketResult>",
                &page),
        OK);
    assert_int_equal(page.count, 2);
    assert_string_equal(page.items[0].key, "a/x & y");
    assert_string_equal(page.items[0].etag, "fba9dede5f27731c9771645a39863328");
    assert_int_equal(page.items[0].size, 434234);
    assert_int_equal(page.items[0].modified_s, 1255369830);
    assert_int_equal(page.items[1].size, INT64_MAX);
    assert_int_equal(page.items[1].modified_s, -1);
    assert_string_equal(page.items[1].etag, "");
    assert_string_equal(page.after, "next==");
    http_result_deinit(&page);
}

static void a_page_of_parts_is_read(void **state)
{
    struct http_result page;

    (void)state;
    assert_int_equal(read_it(VERB_PARTS, NULL,
                             "<ListPartsResult><UploadId>u</UploadId><NextPartNumberMarker>7"
                             "</NextPartNumberMarker><IsTruncated>false</IsTruncated>"
                             "<Part><PartNumber>7</PartNumber><ETag>\"e\"</ETag><Size>5</Size>"
                             "</Part></ListPartsResult>",
                             &page),
                     OK);
    assert_int_equal(page.count, 1);
    assert_int_equal(page.items[0].number, 7);
    assert_int_equal(page.items[0].size, 5);
    assert_null(page.after);
    http_result_deinit(&page);
}

/* As a server of AWS's API for tests (moto) calls it. */
static void a_root_may_be_called_a_response(void **state)
{
    struct http_result page;

    (void)state;
    assert_int_equal(read_it(VERB_PARTS, NULL,
                             "<ListPartsResponse><IsTruncated>false</IsTruncated>"
                             "<Part><PartNumber>7</PartNumber><ETag>\"e\"</ETag><Size>5</Size>"
                             "</Part></ListPartsResponse>",
                             &page),
                     OK);
    assert_int_equal(page.count, 1);
    http_result_deinit(&page);
}

static void a_page_of_uploads_is_read(void **state)
{
    struct http_result page;

    (void)state;
    assert_int_equal(
        read_it(VERB_UPLOADS, NULL,
                "<ListMultipartUploadsResult><NextKeyMarker>k</NextKeyMarker>"
                "<NextUploadIdMarker>i</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
                "<Upload><Key>k</Key><UploadId>i</UploadId><Initiator><ID>x</ID></Initiator>"
                "<Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>"
                "</ListMultipartUploadsResult>",
                &page),
        OK);
    assert_string_equal(page.items[0].id, "i");
    assert_string_equal(page.items[0].key, "k");
    assert_int_equal(page.items[0].modified_s, 1289422113);
    assert_string_equal(page.after, "k\ni");
    http_result_deinit(&page);
}

static void what_is_no_such_document_is_refused(void **state)
{
    static const struct {
        enum http_verb verb;
        const char *text;
    } rows[] = {
        { VERB_LIST, "" },
        { VERB_LIST, "<html/>" },
        { VERB_LIST, "<ListBucket/>" },
        { VERB_LIST, "<ListBucketResult><Contents>" },
        { VERB_LIST, "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents>"
                     "</ListBucketResult>" },
        { VERB_LIST, "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>" },
        { VERB_LIST, "<ListBucketResult><IsTruncated>true</IsTruncated>"
                     "<NextContinuationToken>same</NextContinuationToken></ListBucketResult>" },
        { VERB_PARTS,
          "<ListPartsResult><Part><PartNumber>x</PartNumber></Part></ListPartsResult>" },
        { VERB_BEGIN, "<InitiateMultipartUploadResult/>" },
        { VERB_COMPLETE, "<CopyPartResult/>" },
        { VERB_PART_COPY, "" }, /* who ignores the source has made an empty part */
    };
    struct http_result page;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        assert_int_equal(read_it(rows[i].verb, "same", rows[i].text, &page), FAIL_SYNTAX);
        http_result_deinit(&page);
    }
}

static void times_are_read_in_utc(void **state)
{
    (void)state;
    assert_int_equal(s3_time(STR("1970-01-02T00:00:00.000Z")), 86400);
    assert_int_equal(s3_time(STR(" 2026-07-01T12:00:00Z ")), 1782907200);
    assert_int_equal(s3_time(STR("yesterday")), -1);
    assert_int_equal(s3_time(STR("")), -1);
}

static void url_of(const char *storage, const char *key, const char *file_name, struct buf *out)
{
    struct storage_settings settings = { .url = storage, .public_url = "https://cdn.example/x" };
    struct storage *s;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(storage_open(&loop, &settings, &s, out), OK);
    assert_int_equal(storage_url(s, key, file_name, 60, out), OK);
    buf_putc(out, '\n');
    assert_int_equal(storage_put_url(s, key, 60, out), OK);
    buf_putc(out, '\n');
    assert_int_equal(storage_part_url(s, key, "id/1", 7, 60, out), OK);
    buf_putc(out, '\n');
    assert_int_equal(storage_public_url(s, key, out), OK);
    assert_int_equal(storage_url(s, "../x", NULL, 60, out), FAIL_SYNTAX);
    storage_close(s);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void urls_lead_where_the_storage_is(void **state)
{
    static const struct {
        const char *storage, *expected;
    } rows[] = {
        { "s3://k:s@bucket/pre?region=eu-west-1",
          "https://bucket.s3.eu-west-1.amazonaws.com/pre/" },
        { "s3://k:s@bucket?endpoint=http://127.0.0.1:9000&region=r&style=path",
          "http://127.0.0.1:9000/bucket/" },
        { "s3://k:s@bucket?endpoint=https://s3.example&region=r&style=virtual",
          "https://bucket.s3.example/" },
        { "gs://k:s@bucket/pre", "https://storage.googleapis.com/bucket/pre/" },
        { "r2://k:s@account/bucket", "https://account.r2.cloudflarestorage.com/bucket/" },
    };
    struct buf out;

    (void)state;
    buf_init(&out, 16 * 1024);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        buf_reset(&out);
        url_of(rows[i].storage, "a b/\xc3\xa4.mp4", "\xc3\xa4 \"1\".mp4", &out);
        const char *text = buf_text(&out);
        assert_memory_equal(text, rows[i].expected, strlen(rows[i].expected));
        assert_memory_equal(text + strlen(rows[i].expected), "a%20b/%C3%A4.mp4?X-Amz-", 23);
        assert_non_null(strstr(text, "&X-Amz-Expires=60&"));
        assert_non_null(strstr(text, "response-content-disposition=attachment%3B%20filename%3D"
                                     "%22__%20_1_.mp4%22%3B%20filename%2A%3DUTF-8%27%27"
                                     "%25C3%25A4%2520%25221%2522.mp4"));
        assert_non_null(strstr(text, "partNumber=7&uploadId=id%2F1"));
        assert_non_null(strstr(text, "\nhttps://cdn.example/x/"));
        assert_null(strstr(text, "secret"));
    }
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_of_objects_is_read),
        cmocka_unit_test(a_page_of_parts_is_read),
        cmocka_unit_test(a_root_may_be_called_a_response),
        cmocka_unit_test(a_page_of_uploads_is_read),
        cmocka_unit_test(what_is_no_such_document_is_refused),
        cmocka_unit_test(times_are_read_in_utc),
        cmocka_unit_test(urls_lead_where_the_storage_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
