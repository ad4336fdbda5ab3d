/* What becomes of an operation when the server, or the way to it, is in trouble. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "scripted_store.h"
#include "storage/http_pages.h"

#define MD5_OF_HELLO "5d41402abc4b2a76b9719d911017c592"

static void start(struct world *w, const struct scripted_answer *script, size_t count,
                  uint32_t patience_ms)
{
    open_store(w, "s3://key:secret@bucket/below?region=us-east-1&style=path&endpoint=", script,
               count, 2, patience_ms);
}

static void on_moved(void *context, uint64_t bytes)
{
    struct world *w = context;

    assert_true(bytes > w->moved);
    w->moved = bytes;
}

static void head(struct world *w)
{
    storage_head(w->storage, "a", on_head, w);
    wait_for(w);
}

static void put_hello(struct world *w)
{
    struct storage_put put = { .key = "a",
                               .content_type = "text/plain",
                               .bytes = STR("hello"),
                               .done = on_done,
                               .context = w };

    storage_put(w->storage, &put);
    wait_for(w);
}

static void get(struct world *w)
{
    struct storage_get request = {
        .key = "a", .file = w->file, .at = 100, .moved = on_moved, .done = on_get, .context = w
    };

    storage_get(w->storage, &request);
    wait_for(w);
}

static void complete(struct world *w)
{
    static const struct storage_part parts[] = { { .number = 1, .size = 5 << 20, .etag = "e1" },
                                                 { .number = 2, .size = 10, .etag = "e2" } };

    storage_upload_complete(w->storage, "a", "id", parts, 2, on_done, w);
    wait_for(w);
}

static void assert_file_holds(int file, const char *text)
{
    char bytes[64] = { 0 };

    assert_int_equal(pread(file, bytes, sizeof(bytes) - 1, 100), strlen(text));
    assert_string_equal(bytes, text);
}

static void what_is_unavailable_for_a_while_is_asked_again(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("503 Slow Down", NONE, "") },
        { .text = NULL }, /* reset */
        { .text = ANSWER("500 Oh", NONE, "") },
        { .text = ANSWER("200 OK", "Content-Length: 77\r\n" TAG, "") },
    };
    struct world *w = *state;

    start(w, script, 4, 20000);
    head(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->size, 77);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(w->server.heard[i], "HEAD /bucket/below/a?X-Amz-", 27);
    stop(w);
}

static void a_server_that_stays_unavailable_is_given_up(void **state)
{
    static const char slow[] =
        ANSWER("503 Slow Down", "Content-Length: 71\r\n",
               "<Error><Code>SlowDown</Code><Message>Please\nreduce it</Message></Error>");
    static const struct scripted_answer script[] = { { .text = slow }, { .text = slow } };
    struct world *w = *state;

    start(w, script, 2, 50); /* the second one is where patience ends */
    storage_read(w->storage, "a", 10, on_read, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_CLOSED);
    assert_string_equal(w->why, "the storage says SlowDown (503): Please");
    stop(w);
}

static void it_is_waited_as_long_as_the_server_asks_for(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("429 Too Many", "Retry-After: 1\r\n" NONE, "") },
        { .text = ANSWER("200 OK", NONE TAG, "") },
        { .text = ANSWER("429 Too Many", "Retry-After: 3600\r\n" NONE, "") },
    };
    struct world *w = *state;

    start(w, script, 3, 20000);
    uint64_t begin = clock_mono_ms();
    head(w);
    assert_int_equal(w->err, OK);
    assert_true(clock_mono_ms() - begin >= 1000);
    begin = clock_mono_ms();
    head(w); /* an hour is more than there is patience for */
    assert_int_equal(w->err, FAIL_CLOSED);
    assert_true(clock_mono_ms() - begin < 10000);
    stop(w);
}

static void in_a_hurry_nothing_is_waited_for(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("503 Slow Down", "Retry-After: 30\r\n" NONE, "") },
        { .text = ANSWER("503 Slow Down", "Retry-After: 30\r\n" NONE, "") },
        { .text = ANSWER("200 OK", "Content-Length: 5\r\n" TAG, "hel"), .keeps_open = true },
    };
    struct world *w = *state;
    uint64_t begin = clock_mono_ms();

    start(w, script, 3, 60000);
    storage_head(w->storage, "a", on_head, w);
    while (uv_backend_timeout(&w->loop) < 15000) /* until it waits */
        uv_run(&w->loop, UV_RUN_ONCE);
    storage_hurry(w->storage);
    wait_for(w);
    assert_int_equal(w->err, FAIL_CLOSED);
    get(w); /* a server that says nothing more */
    assert_int_equal(w->err, FAIL_TIMEOUT);
    assert_true(clock_mono_ms() - begin < 15000);
    stop(w);
}

static void what_will_not_pass_is_not_tried_again(void **state)
{
    static const struct {
        struct scripted_answer answer;
        int err;
    } rows[] = {
        { { .text = ANSWER("501 Never", NONE, "") }, FAIL_UNSUPPORTED },
        { { .text = ANSWER("403 No", NONE, "") }, FAIL_DENIED },
        { { .text = ANSWER("404 No", NONE, "") }, FAIL_MISSING },
        { { .text = ANSWER("400 No", NONE, "") }, FAIL_SYNTAX },
        { { .text = ANSWER("413 No", NONE, "") }, FAIL_LIMIT },
        { { .text = ANSWER("507 No", NONE, "") }, FAIL_FULL },
        { { .text = ANSWER("301 There", "Location: http://127.0.0.1:1/\r\n" NONE, "") },
          FAIL_UNSUPPORTED },
    };
    enum { COUNT = sizeof(rows) / sizeof(*rows) };
    struct scripted_answer script[COUNT];
    struct world *w = *state;

    for (size_t i = 0; i < COUNT; i++)
        script[i] = rows[i].answer;
    start(w, script, COUNT, 20000);
    for (size_t i = 0; i < COUNT; i++) {
        head(w);
        assert_int_equal(w->err, rows[i].err);
        assert_true(w->why[0] != '\0');
    }
    stop(w);
}

static void what_was_cut_short_is_gone_on_with(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\nETag: \"v1\"\r\n", "hel") },
        { .text = ANSWER("503 Slow Down", NONE, "") },
        { .text = ANSWER("206 Part",
                         "Content-Length: 8\r\nETag: \"v1\"\r\nContent-Range: bytes 3-10/11\r\n",
                         "lo w") },
        { .text = ANSWER("206 Part",
                         "Content-Length: 4\r\nETag: \"v1\"\r\nContent-Range: bytes 7-10/11\r\n",
                         "orld") },
    };
    struct world *w = *state;

    start(w, script, 4, 20000);
    get(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->bytes, 11);
    assert_int_equal(w->moved, 11);
    assert_file_holds(w->file, "hello world");
    assert_null(strstr(w->server.heard[0], "\r\nRange:"));
    for (int i = 1; i < 4; i++)
        assert_non_null(strstr(w->server.heard[i], "\r\nIf-Match: \"v1\"\r\n"));
    assert_non_null(strstr(w->server.heard[2], "\r\nRange: bytes=3-\r\n"));
    assert_non_null(strstr(w->server.heard[3], "\r\nRange: bytes=7-\r\n"));
    stop(w);
}

static void bytes_that_changed_on_the_way_are_noticed(void **state)
{
    static const char good[] =
        ANSWER("200 OK", "Content-Length: 5\r\nETag: \"" MD5_OF_HELLO "\"\r\n", "hello");
    static const char bad[] =
        ANSWER("200 OK", "Content-Length: 5\r\nETag: \"" MD5_OF_HELLO "\"\r\n", "hellO");
    static const struct scripted_answer script[] = {
        { .text = bad }, { .text = good }, { .text = bad }, { .text = bad }
    };
    struct world *w = *state;

    start(w, script, 4, 20000);
    get(w);
    assert_int_equal(w->err, OK);
    assert_file_holds(w->file, "hello");
    w->moved = 0;
    get(w);
    assert_int_equal(w->err, FAIL_STATE);
    assert_null(strstr(w->server.heard[1], "\r\nRange:"));
    stop(w);
}

static void two_versions_are_never_mixed(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\nETag: \"v1\"\r\n", "hel") },
        { .text = ANSWER("412 Precondition Failed", NONE, "") },
        { .text = ANSWER("200 OK", "Content-Length: 11\r\nETag: \"v1\"\r\n", "hel") },
        /* knows no If-Match */
        { .text = ANSWER("206 Part",
                         "Content-Length: 8\r\nETag: \"v2\"\r\nContent-Range: bytes 3-10/11\r\n",
                         "LO WORLD") },
        { .text = ANSWER("200 OK", "Content-Length: 11\r\nETag: \"v1\"\r\n", "hel") },
        /* knows no ranges */
        { .text = ANSWER("200 OK", "Content-Length: 11\r\nETag: \"v1\"\r\n", "hello world") },
    };
    static const int expected[] = { FAIL_STATE, FAIL_STATE, FAIL_UNSUPPORTED };
    struct world *w = *state;

    start(w, script, 6, 20000);
    for (int i = 0; i < 3; i++) {
        w->moved = 0;
        get(w);
        assert_int_equal(w->err, expected[i]);
        assert_int_equal(w->bytes, 3);
        assert_file_holds(w->file, "hel");
    }
    stop(w);
}

static void a_range_is_never_more_than_was_asked_for(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\n" TAG, "hello world") },
        { .text =
              ANSWER("206 Part", "Content-Length: 2\r\nContent-Range: bytes 0-1/2\r\n" TAG, "he") },
    };
    struct world *w = *state;
    struct storage_get request = {
        .key = "a", .length = 5, .file = w->file, .done = on_get, .context = w
    };

    start(w, script, 2, 20000);
    storage_get(w->storage, &request);
    wait_for(w);
    assert_int_equal(w->err, FAIL_LIMIT);
    storage_get(w->storage, &request);
    wait_for(w);
    assert_int_equal(w->err, FAIL_STATE);
    assert_non_null(strstr(w->server.heard[0], "\r\nRange: bytes=0-4\r\n"));
    stop(w);
}

static void a_server_that_stalls_is_left(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\nETag: \"v1\"\r\n", "hel"),
          .keeps_open = true },
        { .text = ANSWER("206 Part",
                         "Content-Length: 8\r\nETag: \"v1\"\r\nContent-Range: bytes 3-10/11\r\n",
                         "lo world") },
    };
    struct world *w = *state;

    start(w, script, 2, 1500);
    get(w);
    assert_int_equal(w->err, OK);
    assert_file_holds(w->file, "hello world");
    stop(w);
}

static void a_whole_object_goes_up_once_more_after_a_break(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = NULL },
        { .text = ANSWER("200 OK", NONE "ETag: \"" MD5_OF_HELLO "\"\r\n", "") },
    };
    struct world *w = *state;

    start(w, script, 2, 20000);
    put_hello(w);
    assert_int_equal(w->err, OK);
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(w->server.heard[i], "PUT /bucket/below/a?", 20);
        assert_string_equal(strstr(w->server.heard[i], "\r\n\r\n"), "\r\n\r\nhello");
        assert_non_null(strstr(w->server.heard[i], "\r\nContent-Type: text/plain\r\n"));
        assert_null(strcasestr(w->server.heard[i], "\r\nAuthorization:"));
    }
    stop(w);
}

/* What was handed over is still on its way, for longer than a server may be silent. */
static void a_body_has_the_time_that_it_takes(void **state)
{
    enum { BYTES = 256 * 1024 };
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", NONE TAG, ""), .late_ms = 9000 },
    };
    struct world *w = *state;
    struct storage_put put = { .key = "a",
                               .has_file = true,
                               .file = w->file,
                               .length = BYTES,
                               .done = on_done,
                               .context = w };

    assert_int_equal(ftruncate(w->file, BYTES), 0);
    start(w, script, 1, 1000);
    storage_put(w->storage, &put);
    wait_for(w);
    assert_int_equal(w->err, OK);
    stop(w);
}

static void other_bytes_than_were_sent_are_noticed(void **state)
{
    static const char other[] =
        ANSWER("200 OK", NONE "ETag: \"00000000000000000000000000000000\"\r\n", "");
    static const struct scripted_answer script[] = {
        { .text = other },
        { .text = ANSWER("200 OK", NONE "ETag: \"" MD5_OF_HELLO "\"\r\n", "") },
        { .text = other },
        { .text = other },
        { .text = ANSWER("200 OK",
                         NONE "x-amz-server-side-encryption: aws:kms\r\n"
                              "ETag: \"00000000000000000000000000000000\"\r\n",
                         "") },
        { .text = ANSWER("200 OK", NONE "ETag: \"0x8D4BCC2E4835CD0\"\r\n", "") },
    };
    struct world *w = *state;

    start(w, script, 6, 20000);
    put_hello(w);
    assert_int_equal(w->err, OK);
    put_hello(w);
    assert_int_equal(w->err, FAIL_STATE);
    put_hello(w);
    assert_int_equal(w->err, OK);
    put_hello(w);
    assert_int_equal(w->err, OK);
    stop(w);
}

static void what_is_read_is_what_is_there(void **state)
{
    static const char hello[] =
        ANSWER("200 OK", "Content-Length: 5\r\nETag: \"" MD5_OF_HELLO "\"\r\n", "hello");
    static const struct scripted_answer script[] = {
        { .text = ANSWER("204 No Content", "", "") },
        { .text = ANSWER("200 OK", NONE "ETag: \"" MD5_OF_HELLO "\"\r\n", "") },
        { .text = hello },
        { .text = ANSWER("204 No Content", "", "") },
        { .text = hello },
    };
    struct world *w = *state;

    start(w, script, 5, 20000);
    storage_read(w->storage, "a", 10, on_read, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_string_equal(w->body, "hello");
    get(w);
    assert_int_equal(w->err, OK);
    assert_file_holds(w->file, "hello");
    stop(w);
}

static void a_good_status_with_an_error_in_it_is_an_error(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "",
                         "<?xml version=\"1.0\"?>\n\n<Error><Code>InternalError</Code></Error>") },
        { .text = ANSWER("200 OK", "", "<CompleteMultipartUploadResult/>") },
        { .text = ANSWER("200 OK", "", "<Error><Code>InvalidPart</Code></Error>") },
    };
    struct world *w = *state;

    start(w, script, 3, 20000);
    complete(w);
    assert_int_equal(w->err, OK);
    complete(w);
    assert_int_equal(w->err, FAIL_STATE);
    assert_string_equal(w->why, "the storage says InvalidPart (200)");
    assert_non_null(
        strstr(w->server.heard[0], "<Part><PartNumber>2</PartNumber><ETag>\"e2\"</ETag></Part>"));
    stop(w);
}

static void a_completion_whose_answer_was_lost_is_found_out(void **state)
{
    static const char none[] = ANSWER("404 None", "", "<Error><Code>NoSuchUpload</Code></Error>");
    static const struct scripted_answer script[] = {
        { .text = NULL },
        { .text = none },
        { .text = ANSWER("200 OK", "Content-Length: 5242890\r\n" TAG, "") },
        { .text = none },
        { .text = ANSWER("200 OK", "Content-Length: 5242891\r\n" TAG, "") },
        { .text = none },
        { .text = ANSWER("404 None", NONE, "") },
    };
    struct world *w = *state;

    start(w, script, 7, 20000);
    complete(w);
    assert_int_equal(w->err, OK);
    assert_memory_equal(w->server.heard[2], "HEAD /bucket/below/a?", 21);
    for (int i = 0; i < 2; i++) {
        complete(w);
        assert_int_equal(w->err, FAIL_MISSING);
        assert_string_equal(w->why, "the storage says NoSuchUpload (404)");
    }
    stop(w);
}

static void a_wrong_clock_is_set_by_the_servers(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("403 No", NONE "Date: Wed, 01 Jan 2048 10:00:00 GMT\r\n", "") },
        { .text = ANSWER("200 OK", NONE TAG, "") },
        { .text = ANSWER("200 OK", NONE TAG, "") },
        { .text = ANSWER("403 No", NONE "Date: Wed, 01 Jan 2048 10:00:00 GMT\r\n", "") },
    };
    struct world *w = *state;

    start(w, script, 4, 20000);
    head(w);
    assert_int_equal(w->err, OK);
    assert_null(strstr(w->server.heard[0], "X-Amz-Date=20480101T100"));
    assert_non_null(strstr(w->server.heard[1], "X-Amz-Date=20480101T100"));
    head(w);
    assert_non_null(strstr(w->server.heard[2], "X-Amz-Date=20480101T100"));
    head(w); /* it is not the clock */
    assert_int_equal(w->err, FAIL_DENIED);
    stop(w);
}

static bool count_object(void *context, const struct storage_object *object)
{
    struct world *w = context;

    assert_string_equal(object->key, "x");
    return ++w->count < 100;
}

static void a_list_that_does_not_end_is_ended(void **state)
{
    static const char page[] =
        ANSWER("200 OK", "",
               "<ListBucketResult><IsTruncated>true</IsTruncated>"
               "<Contents><Key>below/x</Key><Size>1</Size></Contents>"
               "<NextContinuationToken>t +</NextContinuationToken></ListBucketResult>");
    static const struct scripted_answer script[] = {
        { .text = page }, { .text = page }, { .text = page }, { .text = page }
    };
    struct world *w = *state;

    start(w, script, 4, 20000);
    storage_list(w->storage, "", count_object, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_SYNTAX);
    assert_int_equal(w->count, 1);
    assert_non_null(strstr(w->server.heard[0], "&prefix=below%2F"));
    assert_non_null(strstr(w->server.heard[1], "&continuation-token=t%20%2B&"));
    stop(w);
}

static bool count_pending(void *context, const struct storage_pending *pending)
{
    struct world *w = context;

    assert_string_equal(pending->key, "x");
    w->count++;
    return true;
}

static void on_parts(void *context, int err, const char *why, const struct storage_part *parts,
                     size_t count)
{
    (void)parts, (void)count;
    hear(context, err, why);
}

#define LIST_PAGE(after)                                                                           \
    ANSWER("200 OK", "",                                                                           \
           "<ListBucketResult><IsTruncated>true</IsTruncated>"                                     \
           "<Contents><Key>below/x</Key><Size>1</Size></Contents>"                                 \
           "<NextContinuationToken>" after "</NextContinuationToken></ListBucketResult>")
#define UPLOADS_PAGE(after)                                                                        \
    ANSWER("200 OK", "",                                                                           \
           "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"                           \
           "<Upload><Key>below/x</Key><UploadId>i</UploadId></Upload>"                             \
           "<NextKeyMarker>" after "</NextKeyMarker></ListMultipartUploadsResult>")
#define PARTS_PAGE(after)                                                                          \
    ANSWER("200 OK", "",                                                                           \
           "<ListPartsResult><IsTruncated>true</IsTruncated>"                                      \
           "<NextPartNumberMarker>" after "</NextPartNumberMarker></ListPartsResult>")

static const char again_and_again[] = "the storage gives the same page of a list again and again";

static void pages_that_come_round_again_are_the_end_of_it(void **state)
{
    static const struct scripted_answer objects[] = { { .text = LIST_PAGE("a") },
                                                      { .text = LIST_PAGE("b") },
                                                      { .text = LIST_PAGE("a") },
                                                      { .text = LIST_PAGE("b") } };
    static const struct scripted_answer uploads[] = { { .text = UPLOADS_PAGE("a") },
                                                      { .text = UPLOADS_PAGE("b") },
                                                      { .text = UPLOADS_PAGE("a") },
                                                      { .text = UPLOADS_PAGE("b") } };
    static const struct scripted_answer parts[] = { { .text = PARTS_PAGE("1") },
                                                    { .text = PARTS_PAGE("2") },
                                                    { .text = PARTS_PAGE("1") },
                                                    { .text = PARTS_PAGE("2") } };
    struct world *w = *state;

    start(w, objects, 4, 20000);
    storage_list(w->storage, "", count_object, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_SYNTAX);
    assert_string_equal(w->why, again_and_again);
    assert_int_equal(w->count, 4);
    stop(w);
    start(w, uploads, 4, 20000);
    storage_uploads(w->storage, "", count_pending, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_SYNTAX);
    assert_string_equal(w->why, again_and_again);
    stop(w);
    start(w, parts, 4, 20000);
    storage_parts(w->storage, "x", "i", on_parts, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_SYNTAX);
    assert_string_equal(w->why, again_and_again);
    stop(w);
}

static void a_tree_that_comes_round_again_is_not_removed_for_ever(void **state)
{
    static const char gone[] = ANSWER("204 Gone", "", "");
    static const struct scripted_answer script[] = {
        { .text = LIST_PAGE("a") }, { .text = gone }, { .text = LIST_PAGE("b") }, { .text = gone },
        { .text = LIST_PAGE("a") }, { .text = gone }, { .text = LIST_PAGE("b") }, { .text = gone },
    };
    struct world *w = *state;

    start(w, script, 8, 20000);
    storage_remove_all(w->storage, "", on_done, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_SYNTAX);
    assert_string_equal(w->why, again_and_again);
    stop(w);
}

static void ever_new_pages_come_to_an_end(void **state)
{
    struct http_pages pages = { 0 };
    const char *why = NULL;
    uint32_t turned = 0;
    char after[16];

    (void)state;
    do
        snprintf(after, sizeof(after), "%u", turned++);
    while (turned < 10 * HTTP_PAGES_MAX && http_pages_turn(&pages, after, &why) == OK);
    assert_int_equal(turned, HTTP_PAGES_MAX);
    assert_string_equal(why, "the storage gives a list without end");
    http_pages_deinit(&pages);
}

static void a_circle_of_pages_is_found_however_long_it_is(void **state)
{
    (void)state;
    for (uint32_t before = 0; before < 20; before++) {
        for (uint32_t around = 1; around < 40; around++) {
            struct http_pages pages = { 0 };
            const char *why = NULL;
            uint32_t turned = 0;
            int err = OK;
            while (err == OK && turned < 1000) {
                char after[16];
                uint32_t at = turned < before ? turned : before + (turned - before) % around;
                snprintf(after, sizeof(after), "%u", at);
                err = http_pages_turn(&pages, after, &why);
                turned++;
            }
            assert_int_equal(err, FAIL_SYNTAX);
            assert_true(turned > before + around && turned <= 4 * (before + around) + 1);
            http_pages_deinit(&pages);
        }
    }
}

static void never(void *context, int err, const char *why, uint64_t bytes)
{
    (void)context, (void)err, (void)why, (void)bytes;
    fail();
}

#define HTML "<html><body>Please log in</body></html>"

static void a_good_answer_that_is_spoilt_is_asked_for_again(void **state)
{
    static const char html[] =
        ANSWER("200 OK", "Content-Type: text/html\r\nContent-Length: 40\r\n", HTML "\n");
    static const struct scripted_answer script[] = {
        { .text = html },
        { .text = ANSWER("200 OK", "Content-Length: 27\r\n", "<ListBucketResult><Contents>") },
        { .text = ANSWER("200 OK", "Content-Length: 19\r\n", "<ListBucketResult/>") },
        { .text = html },
        { .text = html },
        { .text = html },
    };
    struct world *w = *state;

    start(w, script, 6, 20000);
    storage_list(w->storage, "", count_object, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(storage_trouble(w->storage), OK);
    storage_list(w->storage, "", count_object, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_SYNTAX);
    assert_string_equal(w->why, "the storage's answer cannot be understood (200, text/html)");
    assert_int_equal(storage_trouble(w->storage), FAIL_SYNTAX);
    stop(w);
}

static void a_range_that_ends_too_early_is_gone_on_with(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("206 Part", "Content-Length: 2\r\nContent-Range: bytes 0-4/11\r\n" TAG,
                         "he") },
        { .text = ANSWER("206 Part", "Content-Length: 3\r\nContent-Range: bytes 2-4/11\r\n" TAG,
                         "llo") },
    };
    struct world *w = *state;
    struct storage_get request = {
        .key = "a", .length = 5, .file = w->file, .at = 100, .done = on_get, .context = w
    };

    start(w, script, 2, 20000);
    storage_get(w->storage, &request);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_file_holds(w->file, "hello");
    stop(w);
}

static void a_bucket_that_is_somewhere_else_is_trouble(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("301 There", "x-amz-bucket-region: eu-central-1\r\n" NONE, "") },
    };
    struct world *w = *state;

    start(w, script, 1, 20000);
    storage_list(w->storage, "", count_object, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_UNSUPPORTED);
    assert_string_equal(w->why, "the storage answers 301 (the bucket is in region eu-central-1)");
    assert_int_equal(storage_trouble(w->storage), FAIL_UNSUPPORTED);
    stop(w);
}

static void a_file_may_be_closed_behind_a_cancellation(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\n" TAG, "hel"), .keeps_open = true },
    };
    struct world *w = *state;
    int file = dup(w->file);
    struct storage_get request = {
        .key = "a", .at = 100, .file = file, .moved = on_moved, .done = never, .context = w
    };

    start(w, script, 1, 20000);
    struct storage_task *task = storage_get(w->storage, &request);
    while (w->moved == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    storage_cancel(task);
    close(file);
    stop(w);
}

static void cancel_it(void *context, uint64_t bytes)
{
    struct storage_task **task = context;

    (void)bytes;
    storage_cancel(*task);
    *task = NULL;
}

static void who_hears_of_progress_may_cancel(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\n" TAG, "hel"), .keeps_open = true },
    };
    struct world *w = *state;
    struct storage_task *task;
    struct storage_get request = {
        .key = "a", .file = w->file, .moved = cancel_it, .done = never, .context = &task
    };

    start(w, script, 1, 20000);
    task = storage_get(w->storage, &request);
    while (task != NULL)
        uv_run(&w->loop, UV_RUN_ONCE);
    stop(w);
}

static void close_it(void *context, int err, const char *why)
{
    struct world *w = context;

    hear(w, err, why);
    storage_close(w->storage);
    w->storage = NULL;
}

static void a_storage_may_be_closed_by_what_it_calls(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("204 Gone", "", "") },
    };
    struct world *w = *state;

    start(w, script, 1, 20000);
    storage_remove(w->storage, "a", close_it, w);
    storage_remove_all(w->storage, "b", close_it, w);
    wait_for(w);
    stop(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_unavailable_for_a_while_is_asked_again),
        TEST(a_server_that_stays_unavailable_is_given_up),
        TEST(it_is_waited_as_long_as_the_server_asks_for),
        TEST(in_a_hurry_nothing_is_waited_for),
        TEST(what_will_not_pass_is_not_tried_again),
        TEST(what_was_cut_short_is_gone_on_with),
        TEST(bytes_that_changed_on_the_way_are_noticed),
        TEST(two_versions_are_never_mixed),
        TEST(a_range_is_never_more_than_was_asked_for),
        TEST(a_server_that_stalls_is_left),
        TEST(a_whole_object_goes_up_once_more_after_a_break),
        TEST(a_body_has_the_time_that_it_takes),
        TEST(other_bytes_than_were_sent_are_noticed),
        TEST(what_is_read_is_what_is_there),
        TEST(a_good_status_with_an_error_in_it_is_an_error),
        TEST(a_completion_whose_answer_was_lost_is_found_out),
        TEST(a_wrong_clock_is_set_by_the_servers),
        TEST(a_list_that_does_not_end_is_ended),
        TEST(pages_that_come_round_again_are_the_end_of_it),
        TEST(a_tree_that_comes_round_again_is_not_removed_for_ever),
        TEST(ever_new_pages_come_to_an_end),
        TEST(a_circle_of_pages_is_found_however_long_it_is),
        TEST(a_good_answer_that_is_spoilt_is_asked_for_again),
        TEST(a_range_that_ends_too_early_is_gone_on_with),
        TEST(a_bucket_that_is_somewhere_else_is_trouble),
        TEST(a_file_may_be_closed_behind_a_cancellation),
        TEST(who_hears_of_progress_may_cancel),
        TEST(a_storage_may_be_closed_by_what_it_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
