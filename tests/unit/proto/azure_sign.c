#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "proto/azure_sign.h"

/* The account that every emulator has. What is expected was made with Azure's own library
 * for Node (@azure/storage-blob). */
static const char account[] = "devstoreaccount1";
static const char account_key[] =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

enum { NOVEMBER_21 = 1795284000, NOVEMBER_22 = 1795305600 };

static struct azure_key the_key(void)
{
    struct azure_key key;

    assert_int_equal(azure_key_init(&key, account, account_key), OK);
    return key;
}

static void expect_sas(const struct azure_sas *sas, const char *text)
{
    struct azure_key key = the_key();
    struct buf out;

    buf_init(&out, 4096);
    assert_int_equal(azure_sas(&key, sas, &out), OK);
    assert_string_equal(buf_text(&out), text);
    buf_deinit(&out);
}

static void a_signature_for_a_blob_is_that_of_azures_library(void **state)
{
    (void)state;
    expect_sas(&(struct azure_sas){ .container = "videos",
                                    .blob = "a/b c.mp4",
                                    .permissions = "r",
                                    .expires_s = NOVEMBER_22 },
               "sv=2020-12-06&sr=b&sp=r&se=2026-11-22T00%3A00%3A00Z"
               "&sig=QkuWQr%2BDqEo8oBB6uSaF%2Fn7%2BbcfVNto1RNQVg3a7Rt0%3D");
    expect_sas(&(struct azure_sas){ .container = "videos",
                                    .blob = "a/\xc3\xa4&.mp4",
                                    .permissions = "cw",
                                    .starts_s = NOVEMBER_21,
                                    .expires_s = NOVEMBER_22,
                                    .is_https_only = true,
                                    .disposition = "attachment; filename=\"x.mp4\"",
                                    .type = "video/mp4" },
               "sv=2020-12-06&sr=b&sp=cw&st=2026-11-21T18%3A00%3A00Z&se=2026-11-22T00%3A00%3A00Z"
               "&spr=https&rscd=attachment%3B%20filename%3D%22x.mp4%22&rsct=video%2Fmp4"
               "&sig=ZL3rl31JvdihXwvjG5lw7pjMkn1HoOx5lKDkA79q2Uw%3D");
}

static void expect_authorization(const struct azure_request *request, const char *text)
{
    struct azure_key key = the_key();
    struct buf out;

    buf_init(&out, 4096);
    assert_int_equal(azure_authorize(&key, request, &out), OK);
    assert_string_equal(buf_text(&out), text);
    buf_deinit(&out);
}

static void a_request_is_signed_as_azures_library_does(void **state)
{
    const struct sign_field put[] = { { "x-ms-version", "2020-12-06" },
                                      { "Content-Type", "video/mp4" },
                                      { "x-ms-date", "Sat, 21 Nov 2026 18:00:00 GMT" } };
    const struct sign_field get[] = { { "X-Ms-Version", "2020-12-06" },
                                      { "If-Match", "\"x\"" },
                                      { "Range", "bytes=0-9" },
                                      { "X-Ms-Date", "Sat, 21 Nov 2026 18:00:00 GMT" } };
    const struct sign_field block[] = { { "comp", "block" }, { "blockid", "QUFB" } };
    const struct sign_field list[] = { { "restype", "container" },
                                       { "comp", "list" },
                                       { "prefix", "a/" } };

    (void)state;
    expect_authorization(&(struct azure_request){ .method = "PUT",
                                                  .path =
                                                      STR("/devstoreaccount1/videos/a/b%20c.mp4"),
                                                  .params = block,
                                                  .param_count = 2,
                                                  .headers = put,
                                                  .header_count = 3,
                                                  .length = 5 },
                         "SharedKey devstoreaccount1:uNLD9tyXlrDwWNdw1ZOfd4gYxwdXfXsydqHEIqncoXg=");
    expect_authorization(&(struct azure_request){ .method = "GET",
                                                  .path = STR("/devstoreaccount1/videos"),
                                                  .params = list,
                                                  .param_count = 3,
                                                  .headers = get,
                                                  .header_count = 4 },
                         "SharedKey devstoreaccount1:FkSkZgPvWgrPhdDAkU6MeLmmkmLJUCZiExZMZPnVP3k=");
}

static void a_line_cannot_be_smuggled_into_what_is_signed(void **state)
{
    struct azure_key key = the_key();
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(azure_sas(&key,
                               &(struct azure_sas){ .container = "videos",
                                                    .blob = "a\nb",
                                                    .permissions = "r",
                                                    .expires_s = NOVEMBER_22 },
                               &out),
                     FAIL_SYNTAX);
    assert_int_equal(out.len, 0);
    buf_deinit(&out);
}

static void a_key_is_base64_of_a_sane_length(void **state)
{
    struct azure_key key = { .len = 7 };
    char longest[181];

    (void)state;
    memset(longest, 'A', sizeof(longest));
    longest[180] = '\0';
    assert_int_equal(azure_key_init(&key, account, ""), FAIL_SYNTAX);
    assert_int_equal(azure_key_init(&key, account, "a"), FAIL_SYNTAX);
    assert_int_equal(azure_key_init(&key, account, "%%%%"), FAIL_SYNTAX);
    assert_int_equal(azure_key_init(&key, account, longest), FAIL_SYNTAX);
    assert_int_equal(key.len, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_for_a_blob_is_that_of_azures_library),
        cmocka_unit_test(a_request_is_signed_as_azures_library_does),
        cmocka_unit_test(a_line_cannot_be_smuggled_into_what_is_signed),
        cmocka_unit_test(a_key_is_base64_of_a_sane_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
