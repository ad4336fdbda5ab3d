#include "place.h"

#include <pthread.h>

static void put(struct disk *d, const char *video, uint32_t index, const char *text)
{
    struct chunk_write w;

    assert_int_equal(disk_chunk_begin(d, video, index, &w), OK);
    assert_int_equal(disk_chunk_write(&w, text, strlen(text)), OK);
    assert_int_equal(w.size, strlen(text));
    assert_int_equal(disk_chunk_commit(d, &w), OK);
    assert_int_equal(w.fd, -1);
}

static void a_chunk_has_its_name_only_once_it_is_whole(void **state)
{
    struct place *p = *state;
    struct chunk_write w;
    int64_t sizes[8];
    uint32_t beyond;

    assert_int_equal(disk_chunk_begin(p->disk, "v", 5, &w), OK);
    assert_int_equal(disk_chunk_write(&w, "hello ", 6), OK);
    assert_int_equal(disk_chunk_write(&w, "world", 5), OK);
    assert_false(place_has(p, "uploads/v/000005"));
    assert_int_equal(disk_chunks(p->disk, "v", sizes, 8, &beyond), FAIL_MISSING);
    assert_int_equal(disk_chunk_commit(p->disk, &w), OK);
    assert_string_equal(place_read(p, "uploads/v/000005"), "hello world");
}

static void what_is_there_is_told_per_index(void **state)
{
    struct place *p = *state;
    int64_t sizes[4];
    uint32_t beyond = 99;

    put(p->disk, "v", 0, "");
    put(p->disk, "v", 2, "abc");
    put(p->disk, "v", 4, "x");
    put(p->disk, "v", 999999, "x");
    assert_int_equal(disk_chunks(p->disk, "v", sizes, 4, &beyond), OK);
    assert_int_equal(sizes[0], 0);
    assert_int_equal(sizes[1], -1);
    assert_int_equal(sizes[2], 3);
    assert_int_equal(sizes[3], -1);
    assert_int_equal(beyond, 2);
}

static void names_that_only_look_like_chunks_do_not_count(void **state)
{
    static const char *const names[] = {
        "1",       "00001",  "0000001",        "+00001", "00000a",
        "000001x", " 00001", "000001.abc.tmp", "-00001", "0x0001"
    };
    struct place *p = *state;
    char path[128];
    int64_t sizes[4];
    uint32_t beyond;

    put(p->disk, "v", 0, "x");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "uploads/v/%s", names[i]);
        place_write(p, path, "junk");
    }
    place_mkdir(p, "uploads/v/000002");
    assert_int_equal(symlink("000000", place_path(p, "uploads/v/000003")), 0);
    assert_int_equal(disk_chunks(p->disk, "v", sizes, 4, &beyond), OK);
    assert_int_equal(sizes[0], 1);
    assert_int_equal(sizes[1], -1);
    assert_int_equal(sizes[2], -1);
    assert_int_equal(sizes[3], -1);
    assert_int_equal(beyond, 0);
}

static void a_chunk_sent_again_replaces_the_first(void **state)
{
    struct place *p = *state;
    char bytes[16] = "";
    uint64_t size;
    int fd;

    put(p->disk, "v", 1, "first");
    put(p->disk, "v", 1, "again!");
    assert_int_equal(disk_chunk_open(p->disk, "v", 1, &fd, &size), OK);
    assert_int_equal(size, 6);
    assert_int_equal(read(fd, bytes, sizeof bytes), 6);
    assert_string_equal(bytes, "again!");
    close(fd);
}

static void two_writers_of_one_index_do_not_mix(void **state)
{
    struct place *p = *state;
    struct chunk_write a, b;

    assert_int_equal(disk_chunk_begin(p->disk, "v", 0, &a), OK);
    assert_int_equal(disk_chunk_begin(p->disk, "v", 0, &b), OK);
    assert_int_equal(disk_chunk_write(&a, "aaa", 3), OK);
    assert_int_equal(disk_chunk_write(&b, "bb", 2), OK);
    assert_int_equal(disk_chunk_commit(p->disk, &b), OK);
    assert_string_equal(place_read(p, "uploads/v/000000"), "bb");
    assert_int_equal(disk_chunk_commit(p->disk, &a), OK);
    assert_string_equal(place_read(p, "uploads/v/000000"), "aaa");
}

static void an_aborted_chunk_leaves_the_earlier_one(void **state)
{
    struct place *p = *state;
    struct chunk_write w;

    put(p->disk, "v", 0, "whole");
    assert_int_equal(disk_chunk_begin(p->disk, "v", 0, &w), OK);
    assert_int_equal(disk_chunk_write(&w, "ha", 2), OK);
    disk_chunk_abort(p->disk, &w);
    disk_chunk_abort(p->disk, &w);
    assert_string_equal(place_read(p, "uploads/v/000000"), "whole");
    assert_int_equal(disk_chunks_remove(p->disk, "v"), OK);
    assert_false(place_has(p, "uploads/v"));
}

static void chunks_that_are_not_there_are_missing(void **state)
{
    struct place *p = *state;
    int64_t sizes[1], when = 7;
    uint32_t beyond = 7;
    uint64_t size = 7;
    int fd = 7;

    assert_int_equal(disk_chunks(p->disk, "v", sizes, 1, &beyond), FAIL_MISSING);
    assert_int_equal(disk_chunk_open(p->disk, "v", 0, &fd, &size), FAIL_MISSING);
    assert_int_equal(disk_chunks_touched(p->disk, "v", &when), FAIL_MISSING);
    put(p->disk, "v", 0, "x");
    assert_int_equal(disk_chunk_open(p->disk, "v", 1, &fd, &size), FAIL_MISSING);
    assert_int_equal(disk_chunk_open(p->disk, "v", 1000000, &fd, &size), FAIL_MISSING);
    assert_true(beyond == 7 && size == 7 && fd == 7 && when == 7);
    assert_int_equal(disk_chunks_remove(p->disk, "none"), OK);
}

static void ids_and_indices_out_of_range_are_refused(void **state)
{
    struct place *p = *state;
    struct chunk_write w;

    assert_int_equal(disk_chunk_begin(p->disk, "../v", 0, &w), FAIL_SYNTAX);
    assert_int_equal(disk_chunk_begin(p->disk, "", 0, &w), FAIL_SYNTAX);
    assert_int_equal(disk_chunk_begin(p->disk, "v", 1000000, &w), FAIL_LIMIT);
    assert_int_equal(disk_chunks_remove(p->disk, ".."), FAIL_SYNTAX);
    assert_false(place_has(p, "uploads/v"));
}

static void a_chunk_whose_upload_was_removed_cannot_be_committed(void **state)
{
    struct place *p = *state;
    struct chunk_write w;

    assert_int_equal(disk_chunk_begin(p->disk, "v", 0, &w), OK);
    assert_int_equal(disk_chunk_write(&w, "x", 1), OK);
    assert_int_equal(disk_chunks_remove(p->disk, "v"), OK);
    assert_int_equal(disk_chunk_commit(p->disk, &w), FAIL_MISSING);
    assert_int_equal(w.fd, -1);
    assert_false(place_has(p, "uploads/v"));
}

static void the_newest_arrival_is_told(void **state)
{
    struct place *p = *state;
    struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    int64_t when;

    put(p->disk, "v", 0, "x");
    assert_int_equal(utimensat(AT_FDCWD, place_path(p, "uploads/v/000000"), old, 0), 0);
    old[1].tv_sec = 2000;
    old[1].tv_nsec = 5000000;
    assert_int_equal(utimensat(AT_FDCWD, place_path(p, "uploads/v"), old, 0), 0);
    assert_int_equal(disk_chunks_touched(p->disk, "v", &when), OK);
    assert_int_equal(when, 2000005);
    put(p->disk, "v", 1, "y");
    assert_int_equal(disk_chunks_touched(p->disk, "v", &when), OK);
    assert_true(when > 1000000000000);
}

static void cleaning_removes_what_was_being_received_and_nothing_else(void **state)
{
    struct place *p = *state;
    struct chunk_write w;

    put(p->disk, "v", 0, "whole");
    assert_int_equal(disk_chunk_begin(p->disk, "v", 1, &w), OK);
    close(w.fd);
    assert_int_equal(disk_chunk_begin(p->disk, "empty", 1, &w), OK);
    close(w.fd);
    place_mkdir(p, "work/.gone-0123");
    place_write(p, "work/.gone-0123/x", "x");
    place_mkdir(p, "work/job");
    disk_close(p->disk);
    p->disk = place_open_disk(p->root);
    assert_int_equal(disk_clean(p->disk), OK);
    assert_string_equal(place_read(p, "uploads/v/000000"), "whole");
    assert_false(place_has(p, "uploads/empty"));
    assert_false(place_has(p, "work/.gone-0123"));
    assert_true(place_has(p, "work/job"));
    assert_int_equal(disk_chunks_remove(p->disk, "v"), OK);
}

enum { WRITERS = 4, ROUNDS = 10, CHUNK = 5000 };

static void *write_often(void *context)
{
    struct disk *d = context;
    static _Atomic char next = 'a';
    char letter = next++, bytes[CHUNK];
    struct chunk_write w;

    memset(bytes, letter, sizeof bytes);
    for (uint32_t i = 0; i < ROUNDS; i++)
        if (disk_chunk_begin(d, "v", i % 3, &w) != OK ||
            disk_chunk_write(&w, bytes, sizeof bytes) != OK || disk_chunk_commit(d, &w) != OK)
            return "failed";
    return NULL;
}

static void writers_on_many_threads_leave_whole_chunks(void **state)
{
    struct place *p = *state;
    pthread_t threads[WRITERS];

    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_often, p->disk), 0);
    for (int i = 0; i < WRITERS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    for (uint32_t i = 0; i < 3; i++) {
        char bytes[CHUNK + 1];
        uint64_t size;
        int fd;
        assert_int_equal(disk_chunk_open(p->disk, "v", i, &fd, &size), OK);
        assert_int_equal(read(fd, bytes, sizeof bytes), CHUNK);
        close(fd);
        for (int k = 1; k < CHUNK; k++)
            assert_int_equal(bytes[k], bytes[0]);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_chunk_has_its_name_only_once_it_is_whole),
        CASE(what_is_there_is_told_per_index),
        CASE(names_that_only_look_like_chunks_do_not_count),
        CASE(a_chunk_sent_again_replaces_the_first),
        CASE(two_writers_of_one_index_do_not_mix),
        CASE(an_aborted_chunk_leaves_the_earlier_one),
        CASE(chunks_that_are_not_there_are_missing),
        CASE(ids_and_indices_out_of_range_are_refused),
        CASE(a_chunk_whose_upload_was_removed_cannot_be_committed),
        CASE(the_newest_arrival_is_told),
        CASE(cleaning_removes_what_was_being_received_and_nothing_else),
        CASE(writers_on_many_threads_leave_whole_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
