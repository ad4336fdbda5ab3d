#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "proto/sigv4.h"
#include "sigv4_cases.h"

enum { AUGUST_30 = 1440938160, MAY_24 = 1369353600, OUT_MAX = 65536 };

static size_t count_of(const struct sign_field *fields)
{
    size_t count = 0;

    while (count < 8 && fields[count].name != NULL)
        count++;
    return count;
}

static void expect_end(const struct buf *out, const char *end, const char *name)
{
    if (!str_ends(buf_str(out), str_of(end)))
        fail_msg("%s: %s does not end with %s", name, buf_text(out), end);
}

static struct sigv4_request request_of(const struct sigv4_case *c)
{
    return (struct sigv4_request){ .method = c->method,
                                   .scheme = "https",
                                   .host = "example.amazonaws.com",
                                   .path = str_of(c->path),
                                   .params = c->params,
                                   .param_count = count_of(c->params),
                                   .headers = c->headers,
                                   .header_count = count_of(c->headers),
                                   .payload = c->payload,
                                   .now_s = AUGUST_30 };
}

static const struct sigv4_key suite_key = { .id = "AKIDEXAMPLE",
                                            .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                            .region = "us-east-1",
                                            .service = "service" };

static void urls_have_the_signatures_of_the_published_suite(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sigv4_cases) / sizeof(*sigv4_cases); i++) {
        const struct sigv4_case *c = &sigv4_cases[i];
        struct sigv4_request request = request_of(c);
        struct sigv4_key key = suite_key;
        struct buf out;
        key.session = c->session;
        buf_init(&out, OUT_MAX);
        assert_int_equal(sigv4_presign(&key, &request, 3600, &out), OK);
        expect_end(&out, c->by_query, c->name);
        buf_deinit(&out);
    }
}

static void headers_have_the_signatures_of_the_published_suite(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sigv4_cases) / sizeof(*sigv4_cases); i++) {
        const struct sigv4_case *c = &sigv4_cases[i];
        struct sigv4_request request = request_of(c);
        struct sign_field headers[12];
        struct buf out;
        size_t count = request.header_count;
        memcpy(headers, c->headers, sizeof(c->headers));
        headers[count++] = (struct sign_field){ "X-Amz-Date", "20150830T123600Z" };
        if (c->session != NULL)
            headers[count++] = (struct sign_field){ "X-Amz-Security-Token", c->session };
        if (c->has_payload_header)
            headers[count++] = (struct sign_field){ "x-amz-content-sha256", c->payload };
        request.headers = headers;
        request.header_count = count;
        buf_init(&out, OUT_MAX);
        assert_int_equal(sigv4_authorize(&suite_key, &request, &out), OK);
        expect_end(&out, c->by_header, c->name);
        buf_deinit(&out);
    }
}

static const struct sigv4_key s3_key = { .id = "AKIAIOSFODNN7EXAMPLE",
                                         .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                         .region = "us-east-1",
                                         .service = "s3" };

#define EMPTY_PAYLOAD "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct sigv4_request s3_request = { .method = "GET",
                                                 .scheme = "https",
                                                 .host = "examplebucket.s3.amazonaws.com",
                                                 .path = { "/test.txt", 9 },
                                                 .now_s = MAY_24 };

static void the_url_of_the_example_in_the_documents_of_s3_is_made(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    assert_int_equal(sigv4_presign(&s3_key, &s3_request, 86400, &out), OK);
    assert_string_equal(
        buf_text(&out),
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_deinit(&out);
}

/* The examples of requests with an Authorization field there. */
static void expect_s3(const char *method, const char *path, const struct sign_field *params,
                      size_t param_count, const struct sign_field *headers, size_t header_count,
                      const char *payload, const char *signature)
{
    struct sigv4_request request = s3_request;
    struct sign_field all[8];
    struct buf out;

    for (size_t i = 0; i < header_count; i++)
        all[i] = headers[i];
    all[header_count++] = (struct sign_field){ "x-amz-date", "20130524T000000Z" };
    all[header_count++] = (struct sign_field){ "x-amz-content-sha256", payload };
    request.method = method;
    request.path = str_of(path);
    request.params = params;
    request.param_count = param_count;
    request.headers = all;
    request.header_count = header_count;
    request.payload = payload;
    buf_init(&out, OUT_MAX);
    assert_int_equal(sigv4_authorize(&s3_key, &request, &out), OK);
    expect_end(&out, signature, path);
    buf_deinit(&out);
}

static void requests_have_the_signatures_in_the_documents_of_s3(void **state)
{
    const struct sign_field range[] = { { "Range", "bytes=0-9" } };
    const struct sign_field put[] = { { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
                                      { "x-amz-storage-class", "REDUCED_REDUNDANCY" } };
    const struct sign_field lifecycle[] = { { "lifecycle", NULL } };
    const struct sign_field list[] = { { "prefix", "J" }, { "max-keys", "2" } };

    (void)state;
    expect_s3("GET", "/test.txt", NULL, 0, range, 1, EMPTY_PAYLOAD,
              "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    expect_s3("PUT", "/test$file.text", NULL, 0, put, 2,
              "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    expect_s3("GET", "/", lifecycle, 1, NULL, 0, EMPTY_PAYLOAD,
              "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    expect_s3("GET", "/", list, 2, NULL, 0, EMPTY_PAYLOAD,
              "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void a_path_is_encoded_once_and_keeps_its_slashes(void **state)
{
    struct sigv4_request request = s3_request;
    struct buf out;

    (void)state;
    request.path = STR("/a b/%41//\xc3\xa4+=&?~");
    buf_init(&out, OUT_MAX);
    assert_int_equal(sigv4_url(&request, &out), OK);
    assert_string_equal(buf_text(&out),
                        "https://examplebucket.s3.amazonaws.com/a%20b/%2541//%C3%A4%2B%3D%26%3F~");
    buf_deinit(&out);
}

static void parameters_stand_in_the_order_of_what_they_are_encoded(void **state)
{
    const struct sign_field params[] = { { "uploadId", "x" }, { "a-", "1" },   { "a", "2" },
                                         { "a/", "3" },       { "acl", NULL }, { "a", "+" } };
    struct sigv4_request request = s3_request;
    struct buf out;

    (void)state;
    request.params = params;
    request.param_count = 6;
    buf_init(&out, OUT_MAX);
    assert_int_equal(sigv4_url(&request, &out), OK);
    expect_end(&out, "/test.txt?a=%2B&a=2&a%2F=3&a-=1&acl=&uploadId=x", "order");
    buf_deinit(&out);
}

static void a_session_a_method_and_a_field_each_change_the_signature(void **state)
{
    const struct sign_field type[] = { { "Content-Type", "video/mp4" } };
    struct sigv4_request put = s3_request, with_type = s3_request;
    struct sigv4_key session = s3_key;
    struct buf out;

    (void)state;
    put.method = "PUT";
    with_type.headers = type;
    with_type.header_count = 1;
    session.session = "t/o+k=";
    buf_init(&out, OUT_MAX);
    assert_int_equal(sigv4_presign(&s3_key, &put, 86400, &out), OK);
    assert_null(strstr(buf_text(&out), "aeeed9bbcc"));
    buf_reset(&out);
    assert_int_equal(sigv4_presign(&s3_key, &with_type, 86400, &out), OK);
    assert_non_null(strstr(buf_text(&out), "X-Amz-SignedHeaders=content-type%3Bhost&"));
    assert_null(strstr(buf_text(&out), "aeeed9bbcc"));
    buf_reset(&out);
    assert_int_equal(sigv4_presign(&session, &s3_request, 86400, &out), OK);
    assert_non_null(strstr(buf_text(&out), "&X-Amz-Security-Token=t%2Fo%2Bk%3D&"));
    assert_null(strstr(buf_text(&out), "aeeed9bbcc"));
    buf_deinit(&out);
}

static void a_url_lives_for_a_second_to_a_week(void **state)
{
    struct buf out, narrow;

    (void)state;
    buf_init(&out, OUT_MAX);
    buf_init(&narrow, 100);
    assert_int_equal(sigv4_presign(&s3_key, &s3_request, 0, &out), FAIL_LIMIT);
    assert_int_equal(sigv4_presign(&s3_key, &s3_request, 604801, &out), FAIL_LIMIT);
    assert_int_equal(out.len, 0);
    assert_int_equal(sigv4_presign(&s3_key, &s3_request, 604800, &out), OK);
    assert_int_equal(sigv4_presign(&s3_key, &s3_request, 1, &out), OK);
    assert_int_equal(sigv4_presign(&s3_key, &s3_request, 1, &narrow), FAIL_LIMIT);
    buf_deinit(&out);
    buf_deinit(&narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_have_the_signatures_of_the_published_suite),
        cmocka_unit_test(headers_have_the_signatures_of_the_published_suite),
        cmocka_unit_test(the_url_of_the_example_in_the_documents_of_s3_is_made),
        cmocka_unit_test(requests_have_the_signatures_in_the_documents_of_s3),
        cmocka_unit_test(a_path_is_encoded_once_and_keeps_its_slashes),
        cmocka_unit_test(parameters_stand_in_the_order_of_what_they_are_encoded),
        cmocka_unit_test(a_session_a_method_and_a_field_each_change_the_signature),
        cmocka_unit_test(a_url_lives_for_a_second_to_a_week),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
