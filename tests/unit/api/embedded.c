#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "api/embedded.h"

static const struct embedded_file *find(const char *path)
{
    for (const struct embedded_file *f = embedded_files; f->path; f++)
        if (strcmp(f->path, path) == 0)
            return f;
    fail_msg("%s is not embedded", path);
    return NULL;
}

static void the_page_and_all_it_needs_is_there(void **state)
{
    (void)state;
    const struct embedded_file *page = find("/");
    assert_string_equal(page->type, "text/html; charset=utf-8");
    assert_memory_equal(page->bytes, "<!doctype html>", 15);
    assert_string_equal(find("/main.js")->type, "text/javascript; charset=utf-8");
    assert_string_equal(find("/hls.mjs")->type, "text/javascript; charset=utf-8");
    assert_string_equal(find("/style.css")->type, "text/css; charset=utf-8");
    find("/licenses/hls.js.txt");
}

static void paths_are_absolute_and_unique(void **state)
{
    (void)state;
    for (const struct embedded_file *f = embedded_files; f->path; f++) {
        assert_int_equal(f->path[0], '/');
        assert_ptr_equal(find(f->path), f);
        assert_true(f->len > 0);
    }
}

static void both_codings_hold_the_same_bytes(void **state)
{
    (void)state;
    for (const struct embedded_file *f = embedded_files; f->path; f++) {
        if (!f->gzip)
            continue;
        unsigned char *plain = malloc(f->len + 1);
        assert_non_null(plain);
        z_stream z = { .next_in = (unsigned char *)(uintptr_t)f->gzip,
                       .avail_in = (uInt)f->gzip_len,
                       .next_out = plain,
                       .avail_out = (uInt)f->len + 1 };
        assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, f->len);
        assert_memory_equal(plain, f->bytes, f->len);
        inflateEnd(&z);
        free(plain);
    }
}

static void tags_are_quoted_and_differ_between_codings(void **state)
{
    (void)state;
    for (const struct embedded_file *f = embedded_files; f->path; f++) {
        size_t len = strlen(f->etag);
        assert_true(len > 2 && f->etag[0] == '"' && f->etag[len - 1] == '"');
        assert_string_not_equal(f->etag, f->gzip_etag);
        assert_int_equal(f->gzip == NULL, f->gzip_etag[0] == '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_and_all_it_needs_is_there),
        cmocka_unit_test(paths_are_absolute_and_unique),
        cmocka_unit_test(both_codings_hold_the_same_bytes),
        cmocka_unit_test(tags_are_quoted_and_differ_between_codings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
