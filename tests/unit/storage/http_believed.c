/* What is not believed although its status is good, or although it says that there is nothing:
 * of who stands in between, or of a storage that answers something else. */
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
#include "scripted_store.h"

#define PAGE(status)                                                                               \
    ANSWER(status, "Content-Type: text/html; charset=utf-8\r\nContent-Length: 4\r\n" TAG, "Hi!\n")
#define HTML "Content-Type: text/html\r\nContent-Length: 4\r\n"

static void start(struct world *w, const struct scripted_answer *script, size_t count)
{
    open_store(w, "s3://key:secret@bucket/below?region=us-east-1&style=path&endpoint=", script,
               count, 1, 20000);
}

static void start_azure(struct world *w, const struct scripted_answer *script, size_t count)
{
    open_store(w, "azure://account:a2V5@account/container?endpoint=", script, count, 1, 20000);
}

static void on_parts(void *context, int err, const char *why, const struct storage_part *parts,
                     size_t count)
{
    struct world *w = context;

    (void)parts;
    hear(w, err, why);
    w->count = count;
}

static bool on_object(void *context, const struct storage_object *object)
{
    struct world *w = context;
    size_t len = strlen(w->listed);

    snprintf(w->listed + len, sizeof(w->listed) - len, "%s ", object->key);
    return true;
}

static bool on_pending(void *context, const struct storage_pending *pending)
{
    struct world *w = context;
    size_t len = strlen(w->listed);

    snprintf(w->listed + len, sizeof(w->listed) - len, "%s %s ", pending->key, pending->id);
    return true;
}

static void head(struct world *w)
{
    storage_head(w->storage, "a", on_head, w);
    wait_for(w);
}

static void put_hello(struct world *w)
{
    struct storage_put put = { .key = "a", .bytes = STR("hello"), .done = on_done, .context = w };

    storage_put(w->storage, &put);
    wait_for(w);
}

static void put_part(struct world *w, const char *id)
{
    struct storage_part_put put = {
        .key = "a", .id = id, .number = 1, .file = w->file, .done = on_done, .context = w
    };

    storage_part_put(w->storage, &put);
    wait_for(w);
}

static void get(struct world *w)
{
    struct storage_get request = { .key = "a", .file = w->file, .done = on_get, .context = w };

    assert_int_equal(ftruncate(w->file, 0), 0);
    storage_get(w->storage, &request);
    wait_for(w);
}

static void assert_file_holds(const struct world *w, const char *text)
{
    char bytes[64] = { 0 };

    assert_true(pread(w->file, bytes, sizeof(bytes) - 1, 0) >= 0);
    assert_string_equal(bytes, text);
}

static void what_is_no_head_of_an_object_is_asked_for_again(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", TAG, "") }, /* of no length */
        { .text = ANSWER("204 No Content", TAG, "") },
        { .text = ANSWER("200 OK", "Content-Length: 77\r\n" TAG, "") },
        { .text = ANSWER("200 OK", "Content-Length: 76\r\n", "") },
        { .text = ANSWER("200 OK", HTML TAG, "") },
        { .text = ANSWER("200 OK", NONE TAG, "") },
    };
    struct world *w = *state;

    start(w, script, 6);
    head(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->size, 77);
    head(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->size, 0);
    stop(w);
}

static void a_page_is_no_object(void **state)
{
    static const char hello[] = ANSWER("200 OK", "Content-Length: 5\r\n" TAG, "hello");
    static const struct scripted_answer script[] = {
        { .text = PAGE("200 OK") },
        { .text = ANSWER("200 OK", "Content-Length: 4\r\n", "Hi!\n") },
        { .text = ANSWER("200 OK", TAG, "hel") }, /* who knows whether that is all of it? */
        { .text = hello },
        { .text = PAGE("200 OK") },
        { .text = ANSWER("200 OK", TAG, "hel") },
        { .text = hello },
        /* Somebody may keep one there. */
        { .text = ANSWER("200 OK", HTML TAG "x-amz-request-id: 1\r\n", "Hi!\n") },
    };
    struct world *w = *state;

    start(w, script, 8);
    get(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->bytes, 5);
    assert_file_holds(w, "hello");
    storage_read(w->storage, "a", 10, on_read, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_string_equal(w->body, "hello");
    get(w);
    assert_int_equal(w->err, OK);
    assert_file_holds(w, "Hi!\n");
    stop(w);
}

static void what_nobody_has_stored_was_not_sent(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("204 No Content", "", "") },
        { .text = PAGE("200 OK") },
        { .text = ANSWER("200 OK", NONE TAG, "") },
        { .text = ANSWER("200 OK", NONE, "") },
        /* Swift's way to say nothing. */
        { .text = ANSWER("200 OK", "Content-Type: text/html\r\n" NONE TAG, "") },
        { .text = PAGE("200 OK") },
        { .text = PAGE("200 OK") },
        { .text = PAGE("200 OK") },
    };
    struct world *w = *state;

    start(w, script, 8);
    put_hello(w);
    assert_int_equal(w->err, OK);
    put_part(w, "id");
    assert_int_equal(w->err, OK);
    storage_remove(w->storage, "a", on_done, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_IO);
    assert_string_equal(
        w->why, "the storage's answer cannot be understood (200, text/html; charset=utf-8)");
    stop(w);
}

static void azure_says_by_the_status_that_it_has_it(void **state)
{
    static const struct storage_part parts[] = { { .number = 1, .size = 5 } };
    static const char id[] = "0123456789abcdef01234567.dmlk.";
    static const char made[] = ANSWER("201 Created", NONE TAG, "");
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", NONE TAG, "") },
        { .text = made },
        { .text = ANSWER("200 OK", NONE, "") },
        { .text = ANSWER("201 Created", NONE, "") }, /* blocks have no tags */
        { .text = ANSWER("204 No Content", "", "") },
        { .text = made },
        { .text = ANSWER("202 Accepted", NONE, "") },
        { .text = made },
    };
    struct world *w = *state;

    start_azure(w, script, 8);
    put_hello(w);
    assert_int_equal(w->err, OK);
    put_part(w, id);
    assert_int_equal(w->err, OK);
    storage_upload_complete(w->storage, "a", id, parts, 1, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    storage_copy(w->storage, "a", "b", on_done, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    stop(w);
}

static void that_the_storage_is_away_is_not_that_an_object_is(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = PAGE("404 Not Found") },
        { .text = ANSWER("404 Not Found", "Content-Type: text/plain\r\nContent-Length: 19\r\n",
                         "404 page not found\n") },
        { .text = ANSWER("200 OK", "Content-Length: 5\r\n" TAG, "hello") },
        { .text = ANSWER("404 Not Found", HTML, "") },
        { .text = ANSWER("404 Not Found", NONE, "") },
        { .text = ANSWER("404 Not Found", "Content-Type: text/plain\r\nContent-Length: 46\r\n",
                         "<Error><Code>NoSuchKey</Code></Error>         ") },
    };
    struct world *w = *state;

    start(w, script, 6);
    get(w);
    assert_int_equal(w->err, OK);
    assert_file_holds(w, "hello");
    head(w);
    assert_int_equal(w->err, FAIL_MISSING);
    get(w);
    assert_int_equal(w->err, FAIL_MISSING);
    stop(w);
}

#define LOGIN "Location: http://127.0.0.1:1/login\r\n" NONE

static void a_portal_is_waited_for(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("302 Found", LOGIN, "") },
        { .text = ANSWER("307 There", LOGIN, "") },
        { .text = ANSWER("511 Network Authentication Required", HTML, "Hi!\n") },
        { .text = ANSWER("200 OK", NONE TAG, "") },
    };
    struct world *w = *state;

    start(w, script, 4);
    put_hello(w);
    assert_int_equal(w->err, OK);
    stop(w);
}

#define REST(range, len, bytes)                                                                    \
    {                                                                                              \
        .text =                                                                                    \
            ANSWER("206 Part",                                                                     \
                   "Content-Range: bytes " range "/11\r\nContent-Length: " len "\r\n" TAG, bytes)  \
    }

static void a_rest_that_ends_too_early_is_gone_on_with(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = ANSWER("200 OK", "Content-Length: 11\r\n" TAG, "hel") },
        REST("3-6", "4", "lo w"),
        REST("7-7", "1", "o"),
        REST("8-8", "1", "r"),
        REST("9-9", "1", "l"),
        REST("10-10", "1", "d"),
    };
    struct world *w = *state;

    start(w, script, 6);
    get(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->bytes, 11);
    assert_file_holds(w, "hello world");
    stop(w);
}

/* Chunked, and what says that it was the last one does not come. */
static void an_answer_whose_end_is_missing_is_asked_for_again(void **state)
{
    static const char chunks[] = "Transfer-Encoding: chunked\r\n" TAG;
    static char cut_part[300], cut[300];
    const struct scripted_answer script[] = {
        { .text = cut_part },
        { .text = ANSWER("206 Part", "Content-Length: 5\r\nContent-Range: bytes 0-4/11\r\n" TAG,
                         "hello") },
        { .text = cut },
        { .text = ANSWER("416 Range Not Satisfiable", NONE, "") },
        { .text = ANSWER("200 OK", "Content-Length: 5\r\n" TAG, "hello") },
    };
    struct world *w = *state;
    struct storage_get request = {
        .key = "a", .length = 5, .file = w->file, .done = on_get, .context = w
    };

    snprintf(cut_part, sizeof(cut_part),
             "HTTP/1.1 206 Part\r\nConnection: close\r\n%s"
             "Content-Range: bytes 0-4/11\r\n\r\n5\r\nhello\r\n",
             chunks);
    snprintf(cut, sizeof(cut), "HTTP/1.1 200 OK\r\nConnection: close\r\n%s\r\n5\r\nhello\r\n",
             chunks);
    start(w, script, 5);
    storage_get(w->storage, &request);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->bytes, 5);
    assert_file_holds(w, "hello");
    get(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->bytes, 5);
    assert_file_holds(w, "hello");
    stop(w);
}

#define LIST(items) ANSWER("200 OK", "", "<ListBucketResult>" items "</ListBucketResult>")
#define KEY(key)    "<Contents><Key>" key "</Key><Size>1</Size></Contents>"

static void nothing_is_removed_that_was_not_asked_for(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = LIST(KEY("below/a/1") KEY("below/b/1")) },
        { .text = LIST(KEY("short")) },
        { .text = LIST(KEY("below/a/1")) },
        { .text = ANSWER("204 No Content", "", "") },
        { .text = LIST("<Contents><Size>1</Size></Contents>") },
        { .text = LIST("<Contents><Key></Key><Size>1</Size></Contents>") },
        { .text = LIST(KEY("elsewhere")) },
    };
    struct world *w = *state;

    start(w, script, 7);
    storage_remove_all(w->storage, "a/", on_done, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_memory_equal(w->server.heard[3], "DELETE /bucket/below/a/1?", 25);
    storage_remove_all(w->storage, "", on_done, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_SYNTAX);
    for (int i = 4; i < 7; i++)
        assert_memory_equal(w->server.heard[i], "GET /bucket?", 12);
    stop(w);
}

static void nothing_is_listed_that_was_not_asked_for(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = LIST(KEY("below/c/1")) },
        { .text = LIST(KEY("below/b/1")) },
        { .text = ANSWER("200 OK", "",
                         "<ListMultipartUploadsResult>"
                         "<Upload><Key>below/a/1</Key></Upload>"
                         "<Upload><Key>below/a/1</Key><UploadId></UploadId></Upload>"
                         "<Upload><UploadId>i</UploadId></Upload>"
                         "<Upload><Key>below/b/1</Key><UploadId>j</UploadId></Upload>"
                         "<Upload><Key>below/a/2</Key><UploadId>k</UploadId></Upload>"
                         "</ListMultipartUploadsResult>") },
    };
    struct world *w = *state;

    start(w, script, 3);
    storage_list(w->storage, "b/", on_object, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_string_equal(w->listed, "b/1 ");
    w->listed[0] = '\0';
    storage_uploads(w->storage, "a/", on_pending, on_done, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_string_equal(w->listed, "a/2 k ");
    stop(w);
}

#define PARTS(items) ANSWER("200 OK", "", "<ListPartsResult>" items "</ListPartsResult>")
#define PART(n, size)                                                                              \
    "<Part><PartNumber>" n "</PartNumber><ETag>e</ETag><Size>" size "</Size></Part>"

static void a_part_is_there_once(void **state)
{
    static const struct scripted_answer script[] = {
        { .text = PARTS(PART("2", "7") PART("1", "5") PART("2", "7")) },
        { .text = PARTS(PART("1", "5") PART("2", "7") PART("2", "8")) },
    };
    struct world *w = *state;

    start(w, script, 2);
    storage_parts(w->storage, "a", "id", on_parts, w);
    wait_for(w);
    assert_int_equal(w->err, OK);
    assert_int_equal(w->count, 2);
    storage_parts(w->storage, "a", "id", on_parts, w);
    wait_for(w);
    assert_int_equal(w->err, FAIL_SYNTAX);
    stop(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_no_head_of_an_object_is_asked_for_again),
        TEST(a_page_is_no_object),
        TEST(what_nobody_has_stored_was_not_sent),
        TEST(azure_says_by_the_status_that_it_has_it),
        TEST(that_the_storage_is_away_is_not_that_an_object_is),
        TEST(a_portal_is_waited_for),
        TEST(a_rest_that_ends_too_early_is_gone_on_with),
        TEST(an_answer_whose_end_is_missing_is_asked_for_again),
        TEST(nothing_is_removed_that_was_not_asked_for),
        TEST(nothing_is_listed_that_was_not_asked_for),
        TEST(a_part_is_there_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
