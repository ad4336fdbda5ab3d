#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "proto/storage_url.h"

/* An environment: names and values in turn. */
static const char *get(void *context, const char *name)
{
    for (const char *const *at = context; at != NULL && *at != NULL; at += 2)
        if (strcmp(at[0], name) == 0)
            return at[1];
    return NULL;
}

static const char *const aws[] = { "AWS_ACCESS_KEY_ID", "AKIA", "AWS_SECRET_ACCESS_KEY", "secret",
                                   NULL };

static const char *or_dash(const char *text)
{
    return text != NULL ? text : "-";
}

/* Kind, place, region, and credentials in one line. */
static void expect(const char *text, const char *const *environment, const char *line)
{
    struct storage_url url;
    struct buf out;

    buf_init(&out, 8192);
    int err = storage_url_parse(text, get, (void *)(uintptr_t)environment, &url, &out);
    if (err != OK)
        fail_msg("%s: %s", text, buf_text(&out));
    buf_printf(&out, "%s %s://%s%s/%s %s %s:%s:%s", url.provider, url.is_https ? "https" : "http",
               url.authority, url.root, url.prefix, url.region, or_dash(url.key_id),
               or_dash(url.secret), or_dash(url.session ? url.session : url.sas_token));
    assert_string_equal(buf_text(&out), line);
    storage_url_deinit(&url);
    buf_deinit(&out);
}

static void a_bucket_of_aws_is_part_of_the_host_unless_it_cannot_be(void **state)
{
    (void)state;
    expect("s3://k:s@bucket", NULL,
           "s3 https://bucket.s3.us-east-1.amazonaws.com/ us-east-1 k:s:-");
    expect("s3://k:s@bucket/", NULL,
           "s3 https://bucket.s3.us-east-1.amazonaws.com/ us-east-1 k:s:-");
    expect("S3://k:s@bucket/a/b%20c?region=eu-west-3", NULL,
           "s3 https://bucket.s3.eu-west-3.amazonaws.com/a/b c/ eu-west-3 k:s:-");
    expect("s3://k:s@my.bucket/a/", NULL,
           "s3 https://s3.us-east-1.amazonaws.com/my.bucket/a/ us-east-1 k:s:-");
    expect("s3://k:s@bucket?style=path", NULL,
           "s3 https://s3.us-east-1.amazonaws.com/bucket/ us-east-1 k:s:-");
    expect("s3://k:s@bucket?region=cn-north-1", NULL,
           "s3 https://bucket.s3.cn-north-1.amazonaws.com.cn/ cn-north-1 k:s:-");
}

static void a_bucket_at_an_endpoint_is_part_of_the_path_unless_asked_otherwise(void **state)
{
    (void)state;
    expect("s3://k:s@bucket/p?endpoint=http://127.0.0.1:8080", NULL,
           "s3 http://127.0.0.1:8080/bucket/p/ us-east-1 k:s:-");
    expect("s3://k:s@bucket?endpoint=https%3A%2F%2Fminio%3A443%2Fs3%2F&region=x", NULL,
           "s3 https://minio/s3/bucket/ x k:s:-");
    expect("s3://k:s@bucket?style=virtual&endpoint=http://minio1:9000", NULL,
           "s3 http://bucket.minio1:9000/ us-east-1 k:s:-");
    expect("s3://k:s@bucket?style=virtual&endpoint=http://minio.example:80", NULL,
           "s3 http://bucket.minio.example/ us-east-1 k:s:-");
    expect("s3://k:s@bucket?endpoint=http://[::1]:9000", NULL,
           "s3 http://[::1]:9000/bucket/ us-east-1 k:s:-");
    expect("r2://k:s@0a1b2c/bucket/p", NULL,
           "s3 https://0a1b2c.r2.cloudflarestorage.com/bucket/p/ auto k:s:-");
    expect("gs://k:s@my_bucket/p", NULL,
           "gcs https://storage.googleapis.com/my_bucket/p/ auto k:s:-");
}

static void azure_has_an_account_and_a_container(void **state)
{
    const char *const key[] = { "AZURE_STORAGE_KEY", "a2V5", NULL };
    const char *const token[] = { "AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=x", NULL };

    (void)state;
    expect("azure://account/container/p", key,
           "azure https://account.blob.core.windows.net/container/p/  -:a2V5:-");
    expect("azure://account/container", token,
           "azure https://account.blob.core.windows.net/container/  -:-:sv=1&sig=x");
    expect("azure://:a2%2BleQ%3D%3D@acc/$web?endpoint=http://127.0.0.1:10000/acc", key,
           "azure http://127.0.0.1:10000/acc/$web/  -:a2+leQ==:-");
    expect("azure://acc:a2V5@acc/con", NULL,
           "azure https://acc.blob.core.windows.net/con/  -:a2V5:-");
}

static void what_the_url_does_not_say_comes_from_the_environment(void **state)
{
    const char *const all[] = { "AWS_ACCESS_KEY_ID",
                                "AKIA",
                                "AWS_SECRET_ACCESS_KEY",
                                "s/+",
                                "AWS_SESSION_TOKEN",
                                "token",
                                "AWS_DEFAULT_REGION",
                                "eu-west-1",
                                "AWS_ENDPOINT_URL",
                                "http://minio:9000",
                                NULL };
    const char *const both[] = { "AWS_REGION", "eu-north-1", "AWS_DEFAULT_REGION", "eu-west-1",
                                 NULL };

    (void)state;
    expect("s3://bucket", aws,
           "s3 https://bucket.s3.us-east-1.amazonaws.com/ us-east-1 AKIA:secret:-");
    expect("s3://bucket", all, "s3 http://minio:9000/bucket/ eu-west-1 AKIA:s/+:token");
    expect("s3://k:s%2F%2b%40@bucket?endpoint=http://h&region=r", all,
           "s3 http://h/bucket/ r k:s/+@:-");
    expect("gs://bucket", all, "gcs https://storage.googleapis.com/bucket/ auto AKIA:s/+:token");
    expect("s3://k:s@bucket", both,
           "s3 https://bucket.s3.eu-north-1.amazonaws.com/ eu-north-1 k:s:-");
}

static void a_folder_is_an_absolute_path(void **state)
{
    struct storage_url url;
    struct buf out;

    (void)state;
    buf_init(&out, 1024);
    assert_int_equal(storage_url_parse("file:///srv/v%20ideos//", NULL, NULL, &url, &out), OK);
    assert_int_equal(url.kind, STORAGE_FILE);
    assert_string_equal(url.folder, "/srv/v ideos");
    storage_url_describe(&url, &out);
    assert_string_equal(buf_text(&out), "file:///srv/v ideos");
    storage_url_deinit(&url);
    buf_deinit(&out);
}

static void expect_refusal(const char *text, const char *const *environment, int err,
                           const char *part)
{
    struct storage_url url = { .port = 7 };
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(storage_url_parse(text, get, (void *)(uintptr_t)environment, &url, &why), err);
    if (strstr(buf_text(&why), part) == NULL)
        fail_msg("%s: %s", text, buf_text(&why));
    assert_null(strstr(buf_text(&why), "s3cret"));
    assert_int_equal(url.port, 7);
    buf_deinit(&why);
}

static void what_is_wrong_is_named_and_secrets_are_not(void **state)
{
    const char *const half[] = { "AWS_ACCESS_KEY_ID", "AKIA", NULL };

    (void)state;
    expect_refusal("bucket", aws, FAIL_SYNTAX, "begins with none");
    expect_refusal("s3:/bucket", aws, FAIL_SYNTAX, "begins with none");
    expect_refusal("s3://", aws, FAIL_SYNTAX, "no bucket");
    expect_refusal("s3://ab", aws, FAIL_SYNTAX, "bucket's name");
    expect_refusal("s3://bu%2Fcket", aws, FAIL_SYNTAX, "bucket's name");
    expect_refusal("s3://bu..cket", aws, FAIL_SYNTAX, "bucket's name");
    expect_refusal("s3://key:s3cret/x@bucket", aws, FAIL_SYNTAX, "%2F");
    expect_refusal("s3://key:%s3cret@bucket", aws, FAIL_SYNTAX, "login's secret");
    expect_refusal("s3://s3cret@bucket", aws, FAIL_SYNTAX, "half a login");
    expect_refusal("s3://:s3cret@bucket", aws, FAIL_SYNTAX, "half a login");
    expect_refusal("s3://bucket/a//b", aws, FAIL_SYNTAX, "prefix");
    expect_refusal("s3://bucket/../b", aws, FAIL_SYNTAX, "prefix");
    expect_refusal("s3://bucket/%0a", aws, FAIL_SYNTAX, "prefix");
    expect_refusal("s3://bucket#x", aws, FAIL_SYNTAX, "%23");
    expect_refusal("s3://bucket?secret=s3cret", aws, FAIL_SYNTAX, "parameter");
    expect_refusal("s3://bucket?region=a&region=b", aws, FAIL_SYNTAX, "twice");
    expect_refusal("s3://bucket?region=a/b", aws, FAIL_SYNTAX, "region");
    expect_refusal("s3://bucket?style=new", aws, FAIL_SYNTAX, "style");
    expect_refusal("s3://my.bucket?style=virtual", aws, FAIL_SYNTAX, "style=path");
    expect_refusal("s3://bucket?style=virtual&endpoint=http://127.0.0.1:9000", aws, FAIL_SYNTAX,
                   "style=path");
    expect_refusal("s3://bucket?style=virtual&endpoint=https://[::1]", aws, FAIL_SYNTAX,
                   "style=path");
    expect_refusal("s3://bucket?endpoint=ftp://h", aws, FAIL_SYNTAX, "https://");
    expect_refusal("s3://bucket?endpoint=http://", aws, FAIL_SYNTAX, "host");
    expect_refusal("s3://bucket?endpoint=http://a%0d%0ab", aws, FAIL_SYNTAX, "query");
    expect_refusal("s3://bucket?endpoint=http://h:0", aws, FAIL_SYNTAX, "port");
    expect_refusal("s3://bucket?endpoint=http://h:65536", aws, FAIL_SYNTAX, "port");
    expect_refusal("s3://bucket?endpoint=http://u:s3cret@h", aws, FAIL_SYNTAX, "login");
    expect_refusal("s3://bucket", NULL, FAIL_DENIED, "AWS_ACCESS_KEY_ID");
    expect_refusal("s3://bucket", half, FAIL_DENIED, "AWS_SECRET_ACCESS_KEY");
    expect_refusal("r2://bucket", aws, FAIL_SYNTAX, "no bucket");
    expect_refusal("r2://AC/bucket", aws, FAIL_SYNTAX, "account");
    expect_refusal("azure://account/container", aws, FAIL_DENIED, "AZURE_STORAGE_KEY");
    expect_refusal("azure://:s3cret@account/container", NULL, FAIL_SYNTAX, "base64");
    expect_refusal("azure://other:a2V5@account/container", NULL, FAIL_SYNTAX, "account");
    expect_refusal("azure://account/Container", NULL, FAIL_SYNTAX, "bucket's name");
    expect_refusal("azure://:a2V5@account/container?region=x", NULL, FAIL_SYNTAX, "region");
    expect_refusal("file://host/x", NULL, FAIL_SYNTAX, "absolute");
    expect_refusal("file:///", NULL, FAIL_SYNTAX, "empty");
    expect_refusal("file:///%2F", NULL, FAIL_SYNTAX, "empty");
    expect_refusal("file:///x?region=a", NULL, FAIL_SYNTAX, "parameters");
}

static void it_is_described_without_what_must_not_be_seen(void **state)
{
    struct storage_url url;
    struct buf out;

    (void)state;
    buf_init(&out, 1024);
    assert_int_equal(storage_url_parse("r2://k:s@acc/bucket/p?endpoint=http://h:9000", NULL, NULL,
                                       &url, &out),
                     OK);
    storage_url_describe(&url, &out);
    assert_string_equal(buf_text(&out), "r2://acc/bucket/p/ at http://h:9000");
    storage_url_deinit(&url);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_of_aws_is_part_of_the_host_unless_it_cannot_be),
        cmocka_unit_test(a_bucket_at_an_endpoint_is_part_of_the_path_unless_asked_otherwise),
        cmocka_unit_test(azure_has_an_account_and_a_container),
        cmocka_unit_test(what_the_url_does_not_say_comes_from_the_environment),
        cmocka_unit_test(a_folder_is_an_absolute_path),
        cmocka_unit_test(what_is_wrong_is_named_and_secrets_are_not),
        cmocka_unit_test(it_is_described_without_what_must_not_be_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
