/* Large objects go up in parts, many requests run side by side: how many at a time, and
 * what is left when one of them fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "bucket.h"
#include "storage/storage.h"

enum { MIB = 1 << 20, LARGE = 200 * MIB, PARTS = 7 /* of 32 MiB */ };

struct world {
    uv_loop_t loop;
    struct storage *storage;
    struct bucket bucket;
    int file, calls, err;
    char why[400];
    uint64_t moved;
    bool has_lost_parts, refuses_parts;
};

static struct world *world_of(struct bucket *b)
{
    return (struct world *)((char *)b - offsetof(struct world, bucket));
}

#define ANSWER(status, fields, body)                                                               \
    "HTTP/1.1 " status "\r\nConnection: close\r\n" fields "\r\n" body

static const char *answer(struct bucket *b, const char *line)
{
    struct world *w = world_of(b);

    if (strstr(line, "?uploads=") == NULL && strstr(line, "&uploads=") == NULL &&
        strncmp(line, "POST", 4) == 0)
        return ANSWER("200 OK", "", "<CompleteMultipartUploadResult/>");
    if (strncmp(line, "POST", 4) == 0)
        return ANSWER("200 OK", "",
                      "<InitiateMultipartUploadResult><UploadId>abc</UploadId>"
                      "</InitiateMultipartUploadResult>");
    if (strncmp(line, "DELETE", 6) == 0)
        return ANSWER("204 No Content", "", "");
    if (strncmp(line, "GET", 3) == 0)
        return ANSWER("200 OK", "",
                      "<ListBucketResult><Contents><Key>1</Key></Contents>"
                      "<Contents><Key>2</Key></Contents><Contents><Key>3</Key></Contents>"
                      "<Contents><Key>4</Key></Contents><Contents><Key>5</Key></Contents>"
                      "</ListBucketResult>");
    if (strstr(line, "partNumber=3") != NULL && w->refuses_parts)
        return ANSWER("403 Forbidden", "Content-Length: 0\r\n", "");
    if (strstr(line, "partNumber=2") != NULL && !w->has_lost_parts) {
        w->has_lost_parts = true;
        return NULL;
    }
    return ANSWER("200 OK", "ETag: \"e\"\r\nContent-Length: 0\r\n", "");
}

static int set_up(void **state)
{
    struct world *w = mem_new(struct world);
    char name[] = "/tmp/reelay-parts-XXXXXX", url[256];
    struct buf why;

    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->file = mkstemp(name);
    assert_true(w->file >= 0);
    assert_int_equal(ftruncate(w->file, LARGE), 0);
    unlink(name);
    w->bucket.answer = answer;
    bucket_start(&w->bucket);
    snprintf(url, sizeof(url), "s3://key:secret@bbb?endpoint=%s&region=r&style=path",
             w->bucket.url);
    struct storage_settings settings = {
        .url = url, .public_url = "", .parallel = 3, .patience_ms = 20000
    };
    buf_init(&why, 1000);
    assert_int_equal(storage_open(&w->loop, &settings, &w->storage, &why), OK);
    buf_deinit(&why);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    storage_close(w->storage);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    bucket_stop(&w->bucket);
    close(w->file);
    mem_free(w);
    return 0;
}

static void on_done(void *context, int err, const char *why)
{
    struct world *w = context;

    w->calls++;
    w->err = err;
    snprintf(w->why, sizeof(w->why), "%s", why ? why : "");
}

static void on_moved(void *context, uint64_t bytes)
{
    struct world *w = context;

    assert_true(bytes > w->moved);
    w->moved = bytes;
}

static struct storage_task *put_large(struct world *w)
{
    struct storage_put put = { .key = "large",
                               .has_file = true,
                               .file = w->file,
                               .length = LARGE,
                               .moved = on_moved,
                               .done = on_done,
                               .context = w };

    return storage_put(w->storage, &put);
}

static void wait_for(struct world *w, int calls)
{
    while (w->calls < calls)
        uv_run(&w->loop, UV_RUN_ONCE);
}

static void a_large_object_goes_up_in_parts(void **state)
{
    struct world *w = *state;

    put_large(w);
    wait_for(w, 1);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->moved, LARGE);
    assert_true(w->has_lost_parts);
    assert_int_equal(bucket_count(&w->bucket, "PUT /bbb/large?"), PARTS + 1);
    assert_int_equal(bucket_count(&w->bucket, "POST /bbb/large?"), 2);
    assert_int_equal(bucket_count(&w->bucket, "DELETE"), 0);
    assert_true(w->bucket.bytes >= LARGE + 32 * MIB);
    assert_true(w->bucket.most > 1);
    assert_true(w->bucket.most <= 3);
}

static void nothing_is_left_of_one_that_failed(void **state)
{
    struct world *w = *state;

    w->refuses_parts = true;
    put_large(w);
    wait_for(w, 1);
    assert_int_equal(w->err, FAIL_DENIED);
    assert_string_equal(w->why, "the storage answers 403");
    assert_int_equal(bucket_count(&w->bucket, "DELETE /bbb/large?"), 1);
    assert_int_equal(bucket_count(&w->bucket, "POST /bbb/large?"), 1);
}

static void nor_of_one_that_was_cancelled(void **state)
{
    struct world *w = *state;
    struct storage_task *task = put_large(w);

    while (w->moved == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    storage_cancel(task);
    while (bucket_count(&w->bucket, "DELETE /bbb/large?") == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(w->calls, 0);
}

static void only_so_many_run_at_a_time(void **state)
{
    struct world *w = *state;

    w->bucket.gather = 3; /* are there at once */
    for (int i = 0; i < 12; i++)
        storage_remove(w->storage, "a", on_done, w);
    wait_for(w, 12);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->bucket.most, 3);
    assert_int_equal(w->bucket.count, 12);
}

static void a_tree_is_removed_side_by_side(void **state)
{
    struct world *w = *state;

    storage_remove_all(w->storage, "", on_done, w);
    wait_for(w, 1);
    assert_int_equal(w->err, OK);
    assert_int_equal(bucket_count(&w->bucket, "DELETE /bbb/"), 5);
    assert_int_equal(bucket_count(&w->bucket, "GET /bbb?"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_object_goes_up_in_parts), TEST(nothing_is_left_of_one_that_failed),
        TEST(nor_of_one_that_was_cancelled),   TEST(only_so_many_run_at_a_time),
        TEST(a_tree_is_removed_side_by_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
