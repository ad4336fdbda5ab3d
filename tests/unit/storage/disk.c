#include "place.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

static void a_second_server_is_refused_and_told_who_has_the_data(void **state)
{
    struct place *p = *state;
    struct disk *second = NULL;
    struct buf why;
    char pid[32];

    buf_init(&why, 1024);
    assert_int_equal(disk_open(p->root, 0, &second, &why), FAIL_EXISTS);
    assert_null(second);
    snprintf(pid, sizeof pid, "process %ld)", (long)getpid());
    assert_non_null(strstr(buf_text(&why), pid));
    buf_deinit(&why);
}

static void the_lock_is_free_again_when_its_holder_is_gone(void **state)
{
    struct place *p = *state;
    int ready[2];

    disk_close(p->disk);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        place_open_disk(p->root);
        if (write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct buf why;
    buf_init(&why, 1024);
    assert_int_equal(disk_open(p->root, 0, &p->disk, &why), FAIL_EXISTS);
    buf_deinit(&why);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    p->disk = place_open_disk(p->root);
    close(ready[0]);
    close(ready[1]);
}

/* What a child has of its parent between fork and exec. */
static void a_lock_that_outlives_its_holder_by_a_moment_is_waited_for(void **state)
{
    struct place *p = *state;
    const struct timespec moment = { .tv_nsec = 100000000 };

    pid_t pid = fork();
    if (pid == 0) {
        nanosleep(&moment, NULL);
        _exit(0);
    }
    disk_close(p->disk);
    p->disk = place_open_disk(p->root);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void folders_that_are_missing_are_made_all_the_way(void **state)
{
    struct place *p = *state;
    struct disk *d = place_open_disk(place_path(p, "a//b/c/"));

    assert_string_equal(disk_root(d), place_path(p, "a/b/c"));
    assert_true(place_has(p, "a/b/c/uploads"));
    assert_true(place_has(p, "a/b/c/work"));
    assert_true(place_has(p, "a/b/c/media"));
    disk_close(d);
}

static void a_root_that_is_a_file_is_refused_with_a_reason(void **state)
{
    struct place *p = *state;
    struct disk *d = NULL;
    struct buf why;

    buf_init(&why, 1024);
    place_write(p, "file", "x");
    assert_int_not_equal(disk_open(place_path(p, "file"), 0, &d, &why), OK);
    assert_null(d);
    assert_non_null(strstr(buf_text(&why), "/file"));
    buf_deinit(&why);
}

/* Others use the same disk while this runs: what is free moves a little. */
static void assert_about(uint64_t a, uint64_t b)
{
    uint64_t apart = a > b ? a - b : b - a;

    assert_true(apart < UINT64_C(2) << 30);
}

static void what_is_promised_is_not_promised_again(void **state)
{
    struct place *p = *state;
    uint64_t free_bytes = disk_available(p->disk);
    uint64_t half = free_bytes / 2;

    assert_int_equal(disk_reserve(p->disk, half), OK);
    assert_about(disk_available(p->disk), free_bytes - half);
    assert_int_equal(disk_reserve(p->disk, free_bytes - half / 2), FAIL_FULL);
    disk_unreserve(p->disk, half);
    assert_about(disk_available(p->disk), free_bytes);
    assert_int_equal(disk_reserve(p->disk, UINT64_MAX), FAIL_FULL);
    disk_unreserve(p->disk, UINT64_MAX);
    assert_about(disk_available(p->disk), free_bytes);
}

static void what_must_stay_free_is_never_promised(void **state)
{
    struct place *p = *state;
    struct disk *d = NULL;
    struct buf why;

    disk_close(p->disk);
    buf_init(&why, 1024);
    assert_int_equal(disk_open(p->root, UINT64_MAX, &d, &why), OK);
    p->disk = d;
    assert_int_equal(disk_available(d), 0);
    assert_int_equal(disk_reserve(d, 1), FAIL_FULL);
    buf_deinit(&why);
}

enum { RESERVERS = 4, RESERVES = 500 };

static void *reserve_often(void *context)
{
    struct disk *d = context;
    uintptr_t kept = 0;

    for (int i = 0; i < RESERVES; i++) {
        if (disk_reserve(d, 1000) != OK)
            continue;
        if (i % 2)
            disk_unreserve(d, 1000);
        else
            kept++;
    }
    return (void *)kept;
}

static void promises_from_many_threads_add_up(void **state)
{
    struct place *p = *state;
    pthread_t threads[RESERVERS];
    uintptr_t kept = 0;

    assert_int_equal(disk_reserve(p->disk, disk_available(p->disk) / 2), OK);
    for (int i = 0; i < RESERVERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reserve_often, p->disk), 0);
    for (int i = 0; i < RESERVERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        kept += (uintptr_t)result;
    }
    assert_int_equal(kept, RESERVERS * RESERVES / 2);
}

static void scratch_is_made_and_removed_with_all_that_is_in_it(void **state)
{
    struct place *p = *state;
    struct buf path;

    buf_init(&path, 4096);
    assert_int_equal(disk_scratch(p->disk, "job-1", &path), OK);
    assert_string_equal(buf_text(&path), place_path(p, "work/job-1"));
    place_mkdir(p, "work/job-1/deep");
    place_mkdir(p, "work/job-1/deep/er");
    place_write(p, "work/job-1/deep/er/file", "x");
    place_write(p, "outside", "kept");
    assert_int_equal(symlink("../../outside", place_path(p, "work/job-1/link")), 0);
    buf_reset(&path);
    assert_int_equal(disk_scratch(p->disk, "job-1", &path), OK);
    assert_int_equal(disk_scratch_remove(p->disk, "job-1"), OK);
    assert_false(place_has(p, "work/job-1"));
    assert_string_equal(place_read(p, "outside"), "kept");
    assert_int_equal(disk_scratch_remove(p->disk, "job-1"), OK);
    buf_deinit(&path);
}

static void scratch_is_cleared_of_all_but_one_entry(void **state)
{
    struct place *p = *state;

    assert_int_equal(disk_scratch_clear(p->disk, "job-1", "source"), FAIL_MISSING);
    place_mkdir(p, "work/job-1");
    place_mkdir(p, "work/job-1/hls");
    place_write(p, "work/job-1/hls/x", "x");
    place_write(p, "work/job-1/log", "x");
    place_write(p, "work/job-1/source", "kept");
    assert_int_equal(disk_scratch_clear(p->disk, "job-1", "source"), OK);
    assert_string_equal(place_read(p, "work/job-1/source"), "kept");
    assert_false(place_has(p, "work/job-1/hls"));
    assert_false(place_has(p, "work/job-1/log"));
    assert_int_equal(disk_scratch_clear(p->disk, "../media", "x"), FAIL_SYNTAX);
}

static void ids_that_could_lead_elsewhere_get_no_scratch(void **state)
{
    static const char *const bad[] = { "", ".", "..", ".hidden", "a/b", "../x", "a b" };
    struct place *p = *state;
    struct buf path;

    buf_init(&path, 4096);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(disk_scratch(p->disk, bad[i], &path), FAIL_SYNTAX);
        assert_int_equal(disk_scratch_remove(p->disk, bad[i]), FAIL_SYNTAX);
    }
    assert_int_equal(path.len, 0);
    buf_deinit(&path);
}

static void a_scratch_folder_that_became_a_link_is_not_followed(void **state)
{
    struct place *p = *state;
    struct buf path;

    buf_init(&path, 4096);
    place_mkdir(p, "elsewhere");
    place_write(p, "elsewhere/file", "kept");
    assert_int_equal(symlink("../elsewhere", place_path(p, "work/job-1")), 0);
    assert_int_not_equal(disk_scratch(p->disk, "job-1", &path), OK);
    assert_int_equal(disk_scratch_remove(p->disk, "job-1"), OK);
    assert_false(place_has(p, "work/job-1"));
    assert_string_equal(place_read(p, "elsewhere/file"), "kept");
    buf_deinit(&path);
}

static void fill(struct disk *d, int *err)
{
    static char block[16 * 1024];
    struct chunk_write w;

    *err = disk_chunk_begin(d, "v", 0, &w);
    while (*err == OK && w.size < UINT64_C(4) << 20)
        *err = disk_chunk_write(&w, block, sizeof block);
    disk_chunk_abort(d, &w);
}

static void a_full_disk_says_so_and_leaves_nothing_behind(void **state)
{
    struct place *p = *state;
    int err = OK;

    place_mkdir(p, "small");
    if (mount("tmpfs", place_path(p, "small"), "tmpfs", 0, "size=1m") != 0) {
        fprintf(stderr, "SKIPPED: cannot mount a tmpfs here, so no full disk was tried\n");
        skip();
    }
    struct disk *d = place_open_disk(place_path(p, "small"));
    assert_int_equal(disk_reserve(d, 2 << 20), FAIL_FULL);
    assert_int_equal(disk_reserve(d, 1 << 19), OK);
    assert_int_equal(disk_reserve(d, 1 << 19), FAIL_FULL);
    disk_unreserve(d, 1 << 19);
    fill(d, &err);
    bool is_left = place_has(p, "small/uploads/v");
    uint64_t available = disk_available(d);
    disk_close(d);
    assert_int_equal(umount(place_path(p, "small")), 0);
    assert_int_equal(err, FAIL_FULL);
    assert_false(is_left);
    assert_true(available > 1 << 19);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_second_server_is_refused_and_told_who_has_the_data),
        CASE(the_lock_is_free_again_when_its_holder_is_gone),
        CASE(a_lock_that_outlives_its_holder_by_a_moment_is_waited_for),
        CASE(folders_that_are_missing_are_made_all_the_way),
        CASE(a_root_that_is_a_file_is_refused_with_a_reason),
        CASE(what_is_promised_is_not_promised_again),
        CASE(what_must_stay_free_is_never_promised),
        CASE(promises_from_many_threads_add_up),
        CASE(scratch_is_made_and_removed_with_all_that_is_in_it),
        CASE(scratch_is_cleared_of_all_but_one_entry),
        CASE(ids_that_could_lead_elsewhere_get_no_scratch),
        CASE(a_scratch_folder_that_became_a_link_is_not_followed),
        CASE(a_full_disk_says_so_and_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
