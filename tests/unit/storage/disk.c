#include "place.h"

#include <inttypes.h>
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
    assert_int_equal(disk_open(p->root, 0, false, &second, &why), FAIL_EXISTS);
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
    assert_int_equal(disk_open(p->root, 0, false, &p->disk, &why), FAIL_EXISTS);
    buf_deinit(&why);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    p->disk = place_open_disk(p->root);
    close(ready[0]);
    close(ready[1]);
}

static void nodes_that_share_a_folder_keep_others_out_and_are_kept_out(void **state)
{
    struct place *p = *state;
    struct disk *a = NULL, *b = NULL, *alone = NULL;
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(disk_open(p->root, 0, true, &a, &why), FAIL_EXISTS);
    assert_non_null(strstr(buf_text(&why), "does not share it"));
    disk_close(p->disk);
    buf_reset(&why);
    assert_int_equal(disk_open(p->root, 0, true, &a, &why), OK);
    assert_int_equal(disk_open(p->root, 0, true, &b, &why), OK);
    disk_close(a);
    assert_int_equal(disk_open(p->root, 0, false, &alone, &why), FAIL_EXISTS);
    assert_non_null(strstr(buf_text(&why), "nodes that share it"));
    disk_close(b);
    p->disk = place_open_disk(p->root);
    buf_deinit(&why);
}

static void what_others_may_be_receiving_is_not_cleaned_away(void **state)
{
    struct place *p = *state;
    struct timespec days[2] = { { .tv_nsec = UTIME_OMIT },
                                { .tv_sec = time(NULL) - 2 * 24 * 3600 } };
    struct buf why;

    buf_init(&why, 1024);
    disk_close(p->disk);
    assert_int_equal(disk_open(p->root, 0, true, &p->disk, &why), OK);
    place_mkdir(p, "uploads/7");
    place_mkdir(p, "uploads/8");
    place_write(p, "uploads/7/000000.0123456789abcdef.tmp", "x");
    place_write(p, "uploads/7/000001.0123456789abcdef.tmp", "x");
    place_write(p, "uploads/7/000002", "x");
    place_mkdir(p, "work/.gone-1");
    assert_int_equal(utimensat(AT_FDCWD, place_path(p, "uploads/7/000001.0123456789abcdef.tmp"),
                               days, 0),
                     0);
    assert_int_equal(disk_clean(p->disk), OK);
    assert_true(place_has(p, "uploads/7/000000.0123456789abcdef.tmp"));
    assert_false(place_has(p, "uploads/7/000001.0123456789abcdef.tmp"));
    assert_true(place_has(p, "uploads/7/000002"));
    assert_true(place_has(p, "uploads/8"));
    assert_true(place_has(p, "work/.gone-1"));
    assert_int_equal(utimensat(AT_FDCWD, place_path(p, "work/.gone-1"), days, 0), 0);
    assert_int_equal(disk_clean(p->disk), OK);
    assert_false(place_has(p, "work/.gone-1"));
    buf_deinit(&why);
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
    assert_int_not_equal(disk_open(place_path(p, "file"), 0, false, &d, &why), OK);
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
    assert_int_equal(disk_open(p->root, UINT64_MAX, false, &d, &why), OK);
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
    assert_int_equal(disk_scratch(p->disk, "job-1", 0, &path), OK);
    assert_string_equal(buf_text(&path), place_path(p, "work/job-1"));
    place_mkdir(p, "work/job-1/deep");
    place_mkdir(p, "work/job-1/deep/er");
    place_write(p, "work/job-1/deep/er/file", "x");
    place_write(p, "outside", "kept");
    assert_int_equal(symlink("../../outside", place_path(p, "work/job-1/link")), 0);
    buf_reset(&path);
    assert_int_equal(disk_scratch(p->disk, "job-1", 0, &path), OK);
    assert_int_equal(disk_scratch_remove(p->disk, "job-1"), OK);
    assert_false(place_has(p, "work/job-1"));
    assert_string_equal(place_read(p, "outside"), "kept");
    assert_int_equal(disk_scratch_remove(p->disk, "job-1"), OK);
    buf_deinit(&path);
}

static void scratch_is_cleared_of_all_but_one_entry(void **state)
{
    struct place *p = *state;

    assert_int_equal(disk_scratch_clear(p->disk, "job-1", 0, "source"), FAIL_MISSING);
    place_mkdir(p, "work/job-1");
    place_mkdir(p, "work/job-1/hls");
    place_write(p, "work/job-1/hls/x", "x");
    place_write(p, "work/job-1/log", "x");
    place_write(p, "work/job-1/source", "kept");
    assert_int_equal(disk_scratch_clear(p->disk, "job-1", 0, "source"), OK);
    assert_string_equal(place_read(p, "work/job-1/source"), "kept");
    assert_false(place_has(p, "work/job-1/hls"));
    assert_false(place_has(p, "work/job-1/log"));
    assert_int_equal(disk_scratch_clear(p->disk, "../media", 0, "x"), FAIL_SYNTAX);
}

static void make_old(struct place *p, const char *path)
{
    const struct timespec then[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

    assert_int_equal(utimensat(AT_FDCWD, place_path(p, path), then, 0), 0);
}

static void only_scratch_that_nothing_was_written_to_is_swept(void **state)
{
    struct place *p = *state;

    place_mkdir(p, "work/old");
    place_mkdir(p, "work/old/deep");
    place_write(p, "work/old/deep/source", "x");
    make_old(p, "work/old/deep/source");
    make_old(p, "work/old/deep");
    make_old(p, "work/old");
    place_mkdir(p, "work/used");
    place_mkdir(p, "work/used/deep");
    place_write(p, "work/used/deep/source", "x");
    make_old(p, "work/used/deep");
    make_old(p, "work/used");
    assert_int_equal(disk_scratch_sweep(p->disk, 1000), OK);
    assert_true(place_has(p, "work/old"));
    assert_int_equal(disk_scratch_sweep(p->disk, 1001), OK);
    assert_false(place_has(p, "work/old"));
    assert_true(place_has(p, "work/used/deep/source"));
}

/* Of nodes that share the folder. */

static const char *scratch_of(const struct place *p, uint64_t token, const char *file)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/work/job-1/%020" PRIu64 "%s%s", p->root, token,
             *file ? "/" : "", file);
    return path;
}

static void take(const struct place *p, uint64_t token)
{
    struct buf path;

    buf_init(&path, 4096);
    assert_int_equal(disk_scratch(p->disk, "job-1", token, &path), OK);
    assert_string_equal(buf_text(&path), scratch_of(p, token, ""));
    buf_deinit(&path);
}

static int write_at(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0)
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static void make_tree(const struct place *p, uint64_t token)
{
    take(p, token);
    close(write_at(scratch_of(p, token, "source"), "the source"));
    assert_int_equal(mkdir(scratch_of(p, token, "convert"), 0700), 0);
    assert_int_equal(mkdir(scratch_of(p, token, "convert/tree"), 0700), 0);
    close(write_at(scratch_of(p, token, "convert/tree/s0"), "a segment"));
    close(write_at(scratch_of(p, token, "convert/tree/master.m3u8"), "a list"));
}

static void a_new_lease_takes_over_what_the_one_before_made(void **state)
{
    struct place *p = *state;

    make_tree(p, 5);
    take(p, 9);
    assert_int_equal(access(scratch_of(p, 5, ""), F_OK), -1);
    assert_int_equal(access(scratch_of(p, 9, "source"), F_OK), 0);
    assert_int_equal(access(scratch_of(p, 9, "convert/tree/s0"), F_OK), 0);
    take(p, 9); /* can be repeated */
    assert_int_equal(access(scratch_of(p, 9, "convert/tree/s0"), F_OK), 0);
    assert_int_equal(disk_scratch_clear(p->disk, "job-1", 9, "source"), OK);
    assert_int_equal(access(scratch_of(p, 9, "source"), F_OK), 0);
    assert_int_equal(access(scratch_of(p, 9, "convert"), F_OK), -1);
    assert_int_equal(disk_scratch_remove(p->disk, "job-1"), OK);
    assert_false(place_has(p, "work/job-1"));
}

static void an_older_lease_gets_no_scratch(void **state)
{
    struct place *p = *state;
    struct buf path;

    make_tree(p, 9);
    buf_init(&path, 4096);
    assert_int_equal(disk_scratch(p->disk, "job-1", 5, &path), FAIL_STALE);
    assert_int_equal(path.len, 0);
    assert_int_equal(access(scratch_of(p, 5, ""), F_OK), -1);
    assert_int_equal(access(scratch_of(p, 9, "convert/tree/s0"), F_OK), 0);
    buf_deinit(&path);
}

static void a_taking_over_that_was_broken_off_is_gone_on_with(void **state)
{
    struct place *p = *state;
    char old[4096];

    make_tree(p, 5);
    assert_true(snprintf(old, sizeof old, "%s.old", scratch_of(p, 5, "")) < (int)sizeof old);
    assert_int_equal(rename(scratch_of(p, 5, ""), old), 0);
    /* 7 had taken the source only, and made one file; 6 never had anything. */
    assert_int_equal(mkdir(scratch_of(p, 7, ""), 0700), 0);
    assert_int_equal(mkdir(scratch_of(p, 7, "convert"), 0700), 0);
    assert_int_equal(mkdir(scratch_of(p, 7, "convert/tree"), 0700), 0);
    close(write_at(scratch_of(p, 7, "convert/tree/master.m3u8"), "the newer"));
    assert_int_equal(mkdir(scratch_of(p, 6, ""), 0700), 0);
    take(p, 8);
    assert_int_equal(access(scratch_of(p, 8, "convert/tree/s0"), F_OK), 0);
    assert_string_equal(place_read(p, "work/job-1/00000000000000000008/convert/tree/master.m3u8"),
                        "the newer");
    assert_false(place_has(p, "work/job-1/00000000000000000007"));
    assert_false(place_has(p, "work/job-1/00000000000000000006"));
    assert_int_equal(access(old, F_OK), -1);
}

/* By path as ffmpeg does, and by folders that are open as our own threads do. */
static void who_was_taken_over_from_changes_nothing_any_more(void **state)
{
    struct place *p = *state;
    struct stat st;

    make_tree(p, 5);
    int folder = open(scratch_of(p, 5, "convert/tree"), O_RDONLY | O_DIRECTORY);
    int file = write_at(scratch_of(p, 5, "convert/tree/s1.tmp"), "half");
    assert_true(folder >= 0 && file >= 0);
    take(p, 9);
    assert_int_equal(write_at(scratch_of(p, 5, "convert/tree/s2.tmp"), "x"), -1);
    assert_int_equal(rename(scratch_of(p, 5, "convert/tree/s1.tmp"),
                            scratch_of(p, 5, "convert/tree/s1")),
                     -1);
    assert_int_equal(openat(folder, "s3", O_WRONLY | O_CREAT, 0600), -1);
    assert_int_equal(unlinkat(folder, "s0", 0), -1);
    assert_int_equal(renameat(folder, "s0", folder, "s4"), -1);
    assert_int_equal(fstatat(AT_FDCWD, scratch_of(p, 9, "convert/tree/s0"), &st, 0), 0);
    assert_int_equal(access(scratch_of(p, 9, "convert/tree/s3"), F_OK), -1);
    close(folder);
    close(file);
}

static void ids_that_could_lead_elsewhere_get_no_scratch(void **state)
{
    static const char *const bad[] = { "", ".", "..", ".hidden", "a/b", "../x", "a b" };
    struct place *p = *state;
    struct buf path;

    buf_init(&path, 4096);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(disk_scratch(p->disk, bad[i], 0, &path), FAIL_SYNTAX);
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
    assert_int_not_equal(disk_scratch(p->disk, "job-1", 0, &path), OK);
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
        CASE(nodes_that_share_a_folder_keep_others_out_and_are_kept_out),
        CASE(what_others_may_be_receiving_is_not_cleaned_away),
        CASE(the_lock_is_free_again_when_its_holder_is_gone),
        CASE(a_lock_that_outlives_its_holder_by_a_moment_is_waited_for),
        CASE(folders_that_are_missing_are_made_all_the_way),
        CASE(a_root_that_is_a_file_is_refused_with_a_reason),
        CASE(what_is_promised_is_not_promised_again),
        CASE(what_must_stay_free_is_never_promised),
        CASE(promises_from_many_threads_add_up),
        CASE(scratch_is_made_and_removed_with_all_that_is_in_it),
        CASE(scratch_is_cleared_of_all_but_one_entry),
        CASE(only_scratch_that_nothing_was_written_to_is_swept),
        CASE(a_new_lease_takes_over_what_the_one_before_made),
        CASE(an_older_lease_gets_no_scratch),
        CASE(a_taking_over_that_was_broken_off_is_gone_on_with),
        CASE(who_was_taken_over_from_changes_nothing_any_more),
        CASE(ids_that_could_lead_elsewhere_get_no_scratch),
        CASE(a_scratch_folder_that_became_a_link_is_not_followed),
        CASE(a_full_disk_says_so_and_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
