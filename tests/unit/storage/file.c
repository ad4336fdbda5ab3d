/* What is special to the storage that is a folder; all else is in contract.c. */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

enum { PATH_SIZE = 512, LONG = 300 * 1000, SHORT = 200 * 1000, ROUNDS = 30 };

static const char *path_of(const char *below)
{
    static char path[PATH_SIZE];

    snprintf(path, sizeof path, "%s/objects/%s", contract.folder, below);
    return path;
}

static bool is_there(const char *below)
{
    struct stat st;

    return lstat(path_of(below), &st) == 0;
}

static unsigned entries_of(const char *below)
{
    struct stat st;

    /* Of a folder on most file systems: one for each folder in it, and two. */
    assert_int_equal(stat(path_of(below), &st), 0);
    return (unsigned)st.st_nlink;
}

static void a_link_is_never_followed(void **state)
{
    char outside[PATH_SIZE], target[PATH_SIZE + 16];
    struct outcome o;
    struct buf keys;
    int file = file_empty();

    (void)state;
    snprintf(outside, sizeof outside, "%s/outside", contract.folder);
    assert_int_equal(mkdir(outside, 0700), 0);
    snprintf(target, sizeof target, "%s/secret", outside);
    close(open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(symlink(outside, path_of("folder")), 0);
    assert_int_equal(symlink(target, path_of("object")), 0);
    buf_init(&keys, 4096);
    assert_int_equal(get_range("object", 0, 0, file, 0, NULL), FAIL_MISSING);
    assert_int_equal(head("folder/secret", &o), FAIL_MISSING);
    assert_int_equal(put_text("folder/new", "x"), FAIL_EXISTS);
    assert_int_equal(remove_key("folder/secret"), OK);
    assert_int_equal(list_keys("", &keys), OK);
    assert_string_equal(buf_text(&keys), "");
    /* What is put over a link replaces the link, not what it leads to. */
    assert_int_equal(put_text("object", "x"), OK);
    struct stat st;
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(unlink(path_of("folder")), 0);
    assert_int_equal(unlink(target), 0);
    assert_int_equal(rmdir(outside), 0);
    buf_deinit(&keys);
    close(file);
}

static void what_is_its_own_has_no_key(void **state)
{
    struct outcome o;

    (void)state;
    assert_int_equal(put_text(".reelay/new/x", "x"), FAIL_SYNTAX);
    assert_int_equal(put_text(".reelay", "x"), FAIL_SYNTAX);
    assert_int_equal(head(".reelay/uploads", &o), FAIL_MISSING);
    assert_int_equal(remove_key(".reelay/uploads"), FAIL_SYNTAX);
    assert_int_equal(put_text(".reelayed/x", "x"), OK);
    assert_int_equal(remove_below(""), OK);
    assert_true(is_there(".reelay/uploads"));
}

static void an_object_is_no_folder_and_the_other_way_round(void **state)
{
    struct outcome o;

    (void)state;
    assert_int_equal(put_text("a", "x"), OK);
    assert_int_equal(put_text("a/b", "y"), FAIL_EXISTS);
    assert_int_equal(put_text("c/d", "z"), OK);
    assert_int_equal(put_text("c", "y"), FAIL_EXISTS);
    assert_int_equal(head("c", &o), FAIL_MISSING);
    assert_int_equal(remove_key("c"), OK);
    expect_text("a", "x");
    expect_text("c/d", "z");
    assert_int_equal(entries_of(".reelay/new"), 2);
}

static void folders_without_objects_go(void **state)
{
    (void)state;
    assert_int_equal(put_text("deep/er/and/deeper", "x"), OK);
    assert_int_equal(put_text("deep/other", "x"), OK);
    assert_int_equal(remove_key("deep/er/and/deeper"), OK);
    assert_false(is_there("deep/er"));
    assert_true(is_there("deep"));
    assert_int_equal(remove_key("deep/other"), OK);
    assert_false(is_there("deep"));
}

static void what_a_crash_left_goes_when_it_is_old(void **state)
{
    struct timespec long_ago[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
    struct place place;

    (void)state;
    close(open(path_of(".reelay/new/old"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(utimensat(AT_FDCWD, path_of(".reelay/new/old"), long_ago, 0), 0);
    close(open(path_of(".reelay/new/young"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    place_enter(&place, contract.url, 1000);
    place_leave();
    assert_false(is_there(".reelay/new/old"));
    assert_true(is_there(".reelay/new/young"));
    assert_int_equal(unlink(path_of(".reelay/new/young")), 0);
}

static void expect_one_of_both(const struct outcome *o)
{
    const char *text = buf_text(&o->body);

    assert_int_equal(o->err, OK);
    assert_true(o->body.len == LONG || o->body.len == SHORT);
    char c = o->body.len == LONG ? 'l' : 's';
    for (size_t i = 0; i < o->body.len; i++)
        assert_true(text[i] == c);
}

static void who_reads_while_it_is_replaced_sees_one_or_the_other(void **state)
{
    static char texts[2][LONG];
    struct outcome puts[ROUNDS], reads[ROUNDS];

    (void)state;
    memset(texts[0], 'l', LONG);
    memset(texts[1], 's', SHORT);
    assert_int_equal(put_text("race", "to be replaced"), OK);
    outcome_init(&puts[0]);
    storage_put(contract.place->s, &(struct storage_put){ .key = "race",
                                                          .bytes = { texts[0], LONG },
                                                          .done = on_done,
                                                          .context = &puts[0] });
    settle_all(puts, 1);
    outcome_deinit(&puts[0]);
    for (unsigned i = 0; i < ROUNDS; i++) {
        outcome_init(&puts[i]);
        outcome_init(&reads[i]);
        storage_put(contract.place->s,
                    &(struct storage_put){ .key = "race",
                                           .bytes = { texts[i % 2], i % 2 ? SHORT : LONG },
                                           .done = on_done,
                                           .context = &puts[i] });
        storage_read(contract.place->s, "race", LONG, on_body, &reads[i]);
    }
    settle_all(puts, ROUNDS);
    settle_all(reads, ROUNDS);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(puts[i].err, OK);
        expect_one_of_both(&reads[i]);
        outcome_deinit(&puts[i]);
        outcome_deinit(&reads[i]);
    }
}

static void a_full_disk_is_told_and_nothing_is_left(void **state)
{
    char folder[PATH_SIZE], url[PATH_SIZE + 16], id[STORAGE_UPLOAD_ID_MAX + 1];
    int file = file_of(2 << 20, 40);
    struct place place;
    struct outcome o;
    struct buf keys;

    (void)state;
    snprintf(folder, sizeof folder, "%s/small", contract.folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    if (mount("tmpfs", folder, "tmpfs", 0, "size=1m") != 0) {
        fprintf(stderr, "SKIPPED: cannot mount a tmpfs here, so no full disk was tried\n");
        close(file);
        skip();
    }
    snprintf(url, sizeof url, "file://%s", folder);
    buf_init(&keys, 4096);
    place_enter(&place, url, 1000);
    assert_int_equal(put_range("large", file, 0, 2 << 20), FAIL_FULL);
    assert_int_equal(head("large", &o), FAIL_MISSING);
    /* Its room is free again, so this fits, and a part beside it does not. */
    assert_int_equal(put_range("fits", file, 0, 700 * 1000), OK);
    assert_int_equal(begin("film", id), OK);
    assert_int_equal(put_part("film", id, 1, file, 0, 700 * 1000), FAIL_FULL);
    assert_int_equal(list_parts("film", id, &o), OK);
    assert_int_equal(o.part_count, 0);
    /* A part that fits, but not the object made of it. */
    assert_int_equal(put_part("film", id, 1, file, 0, 200 * 1000), OK);
    assert_int_equal(list_parts("film", id, &o), OK);
    assert_int_equal(complete("film", id, o.parts, 1), FAIL_FULL);
    assert_int_equal(list_keys("", &keys), OK);
    assert_string_equal(buf_text(&keys), "fits\n");
    assert_int_equal(remove_key("fits"), OK);
    assert_int_equal(complete("film", id, o.parts, 1), OK);
    expect_object("film", file, 0, 200 * 1000);
    place_leave();
    buf_deinit(&keys);
    assert_int_equal(umount(folder), 0);
    close(file);
}

static void expect_refusal(const char *url, int expected)
{
    struct storage_settings settings = { .url = url, .public_url = "", .parallel = 1 };
    struct storage *s = NULL;
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(storage_open(&contract.place->loop, &settings, &s, &why), expected);
    assert_true(why.len > 0);
    assert_null(s);
    buf_deinit(&why);
}

static void what_is_no_folder_is_no_storage(void **state)
{
    char url[PATH_SIZE + 16];

    (void)state;
    expect_refusal("file://host/folder", FAIL_SYNTAX);
    expect_refusal("file:folder", FAIL_SYNTAX);
    expect_refusal("file:///no/such/folder/here", FAIL_MISSING);
    assert_int_equal(put_text("thing", "x"), OK);
    snprintf(url, sizeof url, "file://%s", path_of("thing"));
    expect_refusal(url, FAIL_EXISTS);
    expect_refusal("ftp://host/folder", FAIL_SYNTAX);
}

#define CASE(name) cmocka_unit_test_teardown(name, contract_case_end)

int main(void)
{
    static const struct contract_driver driver = { .provider = "disk" };
    const struct CMUnitTest tests[] = {
        CASE(a_link_is_never_followed),
        CASE(what_is_its_own_has_no_key),
        CASE(an_object_is_no_folder_and_the_other_way_round),
        CASE(folders_without_objects_go),
        CASE(what_a_crash_left_goes_when_it_is_old),
        CASE(who_reads_while_it_is_replaced_sees_one_or_the_other),
        CASE(a_full_disk_is_told_and_nothing_is_left),
        CASE(what_is_no_folder_is_no_storage),
    };

    contract.driver = &driver;
    return cmocka_run_group_tests_name("file", tests, contract_setup, contract_teardown);
}
