#include "place.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/encode.h"

#define KEY "videos/hls/7"
static const char master[] = "media/" KEY "/master.m3u8";

/* The paths of a small tree; what a file holds is its path. */
static const char *const files[] = { "master.m3u8",     "720p/index.m3u8", "720p/s00000.m4s",
                                     "720p/s00001.m4s", "480p/index.m3u8", "480p/s00000.m4s",
                                     "480p/s00001.m4s" };
enum { FILES = sizeof files / sizeof *files };

static void make_tree(const struct place *p, const char *prefix)
{
    static const char *const folders[] = { "work/7", "work/7/hls", "work/7/hls/720p",
                                           "work/7/hls/480p" };
    char path[128], text[128];

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        mkdir(place_path(p, folders[i]), 0755);
    for (size_t i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "work/7/hls/%s", files[i]);
        snprintf(text, sizeof text, "%s%s", prefix, files[i]);
        place_write(p, path, text);
    }
}

static uint64_t tree_size(const char *prefix)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < FILES; i++)
        bytes += strlen(prefix) + strlen(files[i]);
    return bytes;
}

static int publish(const struct place *p, uint64_t *bytes)
{
    char tree[128];

    snprintf(tree, sizeof tree, "%s/work/7/hls", p->root);
    return disk_publish(p->disk, tree, KEY, "master.m3u8", bytes);
}

static void assert_published(const struct place *p, const char *prefix)
{
    char path[128], text[128];

    for (size_t i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "media/" KEY "/%s", files[i]);
        snprintf(text, sizeof text, "%s%s", prefix, files[i]);
        assert_string_equal(place_read(p, path), text);
    }
}

static void a_tree_with_folders_arrives_whole(void **state)
{
    struct place *p = *state;
    uint64_t bytes = 0;

    make_tree(p, "");
    assert_int_equal(publish(p, &bytes), OK);
    assert_published(p, "");
    assert_int_equal(bytes, tree_size(""));
    assert_false(place_has(p, "work/7/hls"));
    assert_true(place_has(p, "work/7"));
}

static void publishing_again_after_the_end_is_fine(void **state)
{
    struct place *p = *state;
    uint64_t bytes = 0;

    make_tree(p, "");
    assert_int_equal(publish(p, NULL), OK);
    assert_int_equal(publish(p, &bytes), OK);
    assert_int_equal(bytes, tree_size(""));
    place_mkdir(p, "work/7/hls");
    assert_int_equal(publish(p, &bytes), OK);
    assert_published(p, "");
}

static void a_move_broken_off_at_any_file_goes_on(void **state)
{
    struct place *p = *state;
    char from[128], to[128];
    uint64_t bytes = 0;

    /* The order of an earlier call, `last` being files[0]. */
    for (size_t done = 0; done <= FILES; done++) {
        make_tree(p, "");
        mkdir(place_path(p, "media/videos"), 0755);
        mkdir(place_path(p, "media/videos/hls"), 0755);
        mkdir(place_path(p, "media/" KEY), 0755);
        mkdir(place_path(p, "media/" KEY "/720p"), 0755);
        mkdir(place_path(p, "media/" KEY "/480p"), 0755);
        for (size_t i = 1; i <= done; i++) {
            snprintf(from, sizeof from, "%s/work/7/hls/%s", p->root, files[i % FILES]);
            snprintf(to, sizeof to, "%s/media/" KEY "/%s", p->root, files[i % FILES]);
            assert_int_equal(rename(from, to), 0);
        }
        assert_int_equal(publish(p, &bytes), OK);
        assert_int_equal(bytes, tree_size(""));
        assert_published(p, "");
        assert_int_equal(disk_unpublish(p->disk, KEY), OK);
        assert_false(place_has(p, "media/" KEY));
    }
}

static void a_new_tree_replaces_an_old_one_entirely(void **state)
{
    struct place *p = *state;
    uint64_t bytes = 0;

    make_tree(p, "old ");
    place_write(p, "work/7/hls/720p/s00002.m4s", "only in the old one");
    assert_int_equal(publish(p, NULL), OK);
    make_tree(p, "new ");
    assert_int_equal(publish(p, &bytes), OK);
    assert_published(p, "new ");
    assert_int_equal(bytes, tree_size("new "));
    assert_false(place_has(p, "media/" KEY "/720p/s00002.m4s"));
}

static void without_its_last_file_nothing_is_published(void **state)
{
    struct place *p = *state;

    assert_int_equal(publish(p, NULL), FAIL_MISSING);
    make_tree(p, "");
    assert_int_equal(unlink(place_path(p, "work/7/hls/master.m3u8")), 0);
    assert_int_equal(publish(p, NULL), FAIL_MISSING);
    assert_true(place_has(p, "work/7/hls/720p/s00000.m4s"));
    assert_false(place_has(p, "media/" KEY));
}

static void a_tree_with_a_link_in_it_is_refused_before_anything_moves(void **state)
{
    struct place *p = *state;

    make_tree(p, "");
    assert_int_equal(symlink("/etc/passwd", place_path(p, "work/7/hls/480p/x")), 0);
    assert_int_equal(publish(p, NULL), FAIL_UNSUPPORTED);
    for (size_t i = 0; i < FILES; i++) {
        char path[128];
        snprintf(path, sizeof path, "work/7/hls/%s", files[i]);
        assert_true(place_has(p, path));
    }
}

static void keys_that_are_not_normal_are_refused(void **state)
{
    static const char *const bad[] = { "",     "/",    "/a",     "a/", "a//b", "..",
                                       "../a", "a/..", "a/../b", ".",  "./a",  "a/./b" };
    struct place *p = *state;
    struct object object;
    char tree[128];

    make_tree(p, "");
    snprintf(tree, sizeof tree, "%s/work/7/hls", p->root);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(disk_publish(p->disk, tree, bad[i], "master.m3u8", NULL), FAIL_SYNTAX);
        assert_int_equal(disk_unpublish(p->disk, bad[i]), FAIL_SYNTAX);
        assert_int_equal(disk_object_open(p->disk, bad[i], &object), FAIL_MISSING);
    }
    assert_int_equal(disk_publish(p->disk, tree, KEY, "720p/index.m3u8", NULL), FAIL_SYNTAX);
    assert_int_equal(disk_publish(p->disk, tree, KEY, "..", NULL), FAIL_SYNTAX);
}

static void unpublishing_what_is_not_there_is_fine(void **state)
{
    struct place *p = *state;

    assert_int_equal(disk_unpublish(p->disk, KEY), OK);
    make_tree(p, "");
    assert_int_equal(publish(p, NULL), OK);
    assert_int_equal(disk_unpublish(p->disk, "videos/hls/8"), OK);
    assert_published(p, "");
    assert_int_equal(disk_unpublish(p->disk, KEY "/master.m3u8"), OK);
    assert_false(place_has(p, master));
}

static void spin_us(uint64_t us)
{
    struct timespec wait = { .tv_nsec = (long)us * 1000 };

    nanosleep(&wait, NULL);
}

/* The child publishes and is killed somewhere on the way; then whoever finds
 * the last file must find all, and the call must be good for another try. */
static void killed_at_any_moment_it_is_whole_or_can_go_on(void **state)
{
    struct place *p = *state;
    unsigned before = 0, after = 0;

    for (unsigned round = 0; round < 150; round++) {
        make_tree(p, "");
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        if (pid == 0) {
            if (write(ready[1], "x", 1) == 1)
                publish(p, NULL);
            _exit(0);
        }
        char byte;
        assert_int_equal(read(ready[0], &byte, 1), 1);
        spin_us(random_u64() % 3000);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(ready[0]);
        close(ready[1]);
        if (place_has(p, master)) {
            assert_published(p, "");
            after++;
        } else
            before++;
        uint64_t bytes = 0;
        assert_int_equal(publish(p, &bytes), OK);
        assert_published(p, "");
        assert_int_equal(bytes, tree_size(""));
        /* Every other round publishes over what is there. */
        if (round % 2)
            assert_int_equal(disk_unpublish(p->disk, KEY), OK);
    }
    printf("killed before the last file %u times, after it %u times\n", before, after);
}

/* Of nodes that share the folder. */

static void share(struct place *p)
{
    struct buf why;

    disk_close(p->disk);
    buf_init(&why, 1024);
    assert_int_equal(disk_open(p->root, 0, true, &p->disk, &why), OK);
    buf_deinit(&why);
}

static void a_shared_tree_is_published_as_a_whole_and_only_once(void **state)
{
    struct place *p = *state;
    char tree[128];
    uint64_t bytes = 0;

    share(p);
    make_tree(p, "a ");
    snprintf(tree, sizeof tree, "%s/work/7/hls", p->root);
    assert_int_equal(disk_publish(p->disk, tree, KEY, "master.m3u8", &bytes), OK);
    assert_int_equal(bytes, tree_size("a "));
    assert_string_equal(place_read(p, master), "a master.m3u8");
    assert_false(place_has(p, "work/7/hls"));
    /* After a crash before anybody was told. */
    bytes = 0;
    assert_int_equal(disk_publish(p->disk, tree, KEY, "master.m3u8", &bytes), OK);
    assert_int_equal(bytes, tree_size("a "));
    make_tree(p, "b ");
    assert_int_equal(disk_publish(p->disk, tree, KEY, "master.m3u8", NULL), FAIL_EXISTS);
    assert_string_equal(place_read(p, master), "a master.m3u8");
}

static void a_shared_tree_that_is_not_whole_is_not_published(void **state)
{
    struct place *p = *state;
    char tree[128];

    share(p);
    make_tree(p, "a ");
    snprintf(tree, sizeof tree, "%s/work/7/hls", p->root);
    assert_int_equal(unlink(place_path(p, "work/7/hls/master.m3u8")), 0);
    assert_int_equal(disk_publish(p->disk, tree, KEY, "master.m3u8", NULL), FAIL_MISSING);
    assert_false(place_has(p, "media/" KEY));
    assert_int_equal(disk_publish(p->disk, "/nowhere", KEY, "master.m3u8", NULL), FAIL_MISSING);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_shared_tree_is_published_as_a_whole_and_only_once),
        CASE(a_shared_tree_that_is_not_whole_is_not_published),
        CASE(a_tree_with_folders_arrives_whole),
        CASE(publishing_again_after_the_end_is_fine),
        CASE(a_move_broken_off_at_any_file_goes_on),
        CASE(a_new_tree_replaces_an_old_one_entirely),
        CASE(without_its_last_file_nothing_is_published),
        CASE(a_tree_with_a_link_in_it_is_refused_before_anything_moves),
        CASE(keys_that_are_not_normal_are_refused),
        CASE(unpublishing_what_is_not_there_is_fine),
        CASE(killed_at_any_moment_it_is_whole_or_can_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
