#include "place.h"

#include "storage/disk_room.h"

static int setup(void **state)
{
    int err = place_setup(state);
    struct place *p = *state;

    place_mkdir(p, "media/videos");
    place_write(p, "media/videos/a.m4s", "segment");
    place_write(p, "secret", "secret");
    return err;
}

static void an_object_is_opened_with_its_size_and_time(void **state)
{
    struct place *p = *state;
    struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 86400 } };
    struct object object;
    char bytes[16] = "";

    assert_int_equal(utimensat(AT_FDCWD, place_path(p, "media/videos/a.m4s"), times, 0), 0);
    assert_int_equal(disk_object_open(p->disk, "videos/a.m4s", &object), OK);
    assert_int_equal(object.size, 7);
    assert_int_equal(object.modified_s, 86400);
    assert_int_equal(read(object.fd, bytes, sizeof bytes), 7);
    assert_string_equal(bytes, "segment");
    close(object.fd);
}

static void etag_of(struct place *p, char out[48])
{
    struct object object;

    assert_int_equal(disk_object_open(p->disk, "videos/a.m4s", &object), OK);
    memcpy(out, object.etag, sizeof object.etag);
    close(object.fd);
}

static void the_etag_is_the_same_until_the_content_is_another(void **state)
{
    struct place *p = *state;
    char first[48], same[48], changed[48], to[128];

    etag_of(p, first);
    etag_of(p, same);
    assert_string_equal(first, same);
    assert_int_equal(first[0], '"');
    assert_int_equal(first[strlen(first) - 1], '"');
    place_write(p, "media/videos/b", "SEGMENT");
    snprintf(to, sizeof to, "%s/media/videos/a.m4s", p->root);
    assert_int_equal(rename(place_path(p, "media/videos/b"), to), 0);
    etag_of(p, changed);
    assert_string_not_equal(first, changed);
}

/* Both ways of opening answer alike. */
static void assert_both(struct place *p, const char *key, int expected)
{
    int media = open(place_path(p, "media"), O_RDONLY | O_DIRECTORY), fd = -1;

    assert_true(media >= 0);
    int err = object_open_beneath(media, key, &fd);
    if (err == OK)
        close(fd);
    assert_int_equal(err, expected);
    err = object_open_by_steps(media, key, &fd);
    if (err == OK)
        close(fd);
    assert_int_equal(err, expected);
    close(media);
}

static void links_lead_nowhere(void **state)
{
    struct place *p = *state;
    struct object object;

    assert_int_equal(symlink("a.m4s", place_path(p, "media/videos/link")), 0);
    assert_int_equal(symlink("videos", place_path(p, "media/linked")), 0);
    assert_int_equal(symlink("../../secret", place_path(p, "media/videos/out")), 0);
    assert_int_equal(symlink("/", place_path(p, "media/root")), 0);
    assert_both(p, "videos/a.m4s", OK);
    assert_both(p, "videos/link", FAIL_MISSING);
    assert_both(p, "linked/a.m4s", FAIL_MISSING);
    assert_both(p, "videos/out", FAIL_MISSING);
    assert_both(p, "root/etc/passwd", FAIL_MISSING);
    assert_int_equal(disk_object_open(p->disk, "videos/link", &object), FAIL_MISSING);
}

static void nothing_above_media_is_reached(void **state)
{
    struct place *p = *state;

    assert_both(p, "../secret", FAIL_MISSING);
    assert_both(p, "videos/../../secret", FAIL_MISSING);
    assert_both(p, "videos/../videos/a.m4s", FAIL_MISSING);
    assert_both(p, "/etc/passwd", FAIL_MISSING);
    assert_both(p, "videos//a.m4s", FAIL_MISSING);
    assert_both(p, "videos/a.m4s/x", FAIL_MISSING);
    assert_both(p, "none", FAIL_MISSING);
}

static void only_regular_files_are_objects(void **state)
{
    struct place *p = *state;
    struct object object;

    assert_int_equal(mkfifo(place_path(p, "media/videos/pipe"), 0644), 0);
    assert_int_equal(disk_object_open(p->disk, "videos/pipe", &object), FAIL_MISSING);
    assert_int_equal(disk_object_open(p->disk, "videos", &object), FAIL_MISSING);
}

static void a_name_that_is_too_long_is_just_missing(void **state)
{
    struct place *p = *state;
    struct object object;
    char key[2000];

    memset(key, 'a', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_int_equal(disk_object_open(p->disk, key, &object), FAIL_MISSING);
    key[300] = '\0';
    assert_int_equal(disk_object_open(p->disk, key, &object), FAIL_MISSING);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_object_is_opened_with_its_size_and_time),
        CASE(the_etag_is_the_same_until_the_content_is_another),
        CASE(links_lead_nowhere),
        CASE(nothing_above_media_is_reached),
        CASE(only_regular_files_are_objects),
        CASE(a_name_that_is_too_long_is_just_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
