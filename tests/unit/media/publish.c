#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "media/publish.h"
#include "storage/disk_dir.h"

#define KEY   "videos/hls/1-00000000000000ff"
#define OTHER "videos/hls/1-00000000000000aa"

enum { PATH_ROOM = 512, TEXT_ROOM = 256, WAIT_MS = 10000 };

struct room {
    uv_loop_t loop;
    struct storage *storage;
    char folder[64]; /* of the test */
    char tree[80];
    unsigned ends;
    int err;
    uint64_t bytes, moved;
};

static void path_of(const struct room *r, const char *where, const char *name, char out[PATH_ROOM])
{
    snprintf(out, PATH_ROOM, "%s/%s/%s", r->folder, where, name);
}

/* A new file, as ffmpeg makes it. */
static void make_at(const char *path, const char *text)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void make(struct room *r, const char *name, const char *text)
{
    char path[PATH_ROOM];

    path_of(r, "tree", name, path);
    make_at(path, text);
}

static void take_away(struct room *r, const char *name)
{
    char path[PATH_ROOM];

    path_of(r, "tree", name, path);
    assert_int_equal(unlink(path), 0);
}

/* What the storage has; "" if it has none. */
static const char *stored(struct room *r, const char *name)
{
    static char text[TEXT_ROOM];
    char path[PATH_ROOM];

    path_of(r, "bucket/" KEY, name, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, TEXT_ROOM - 1);
    text[len < 0 ? 0 : len] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

static int set_up(void **state)
{
    struct room *r = calloc(1, sizeof(*r));
    char path[PATH_ROOM], url[PATH_ROOM + 16];
    struct buf why;

    snprintf(r->folder, sizeof(r->folder), "/tmp/reelay-publish-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    snprintf(r->tree, sizeof(r->tree), "%s/tree", r->folder);
    assert_int_equal(mkdir(r->tree, 0700), 0);
    path_of(r, "tree", "720p", path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/bucket", r->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(url, sizeof(url), "file://%s", path);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    buf_init(&why, TEXT_ROOM);
    assert_int_equal(storage_open(&r->loop,
                                  &(struct storage_settings){ .url = url,
                                                              .public_url = "",
                                                              .parallel = 2,
                                                              .patience_ms = 1000 },
                                  &r->storage, &why),
                     OK);
    buf_deinit(&why);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct room *r = *state;

    storage_close(r->storage);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dir_remove(tmp, r->folder + strlen("/tmp/")), OK);
    close(tmp);
    free(r);
    return 0;
}

static void on_late(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Runs the loop until the storage has that text under the name. */
static void await(struct room *r, const char *name, const char *text)
{
    uv_timer_t late;
    bool is_late = false;

    uv_timer_init(&r->loop, &late);
    late.data = &is_late;
    uv_timer_start(&late, on_late, WAIT_MS, 0);
    while (!is_late && strcmp(stored(r, name), text) != 0)
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&late, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    assert_string_equal(stored(r, name), text);
}

static void on_moved(void *context, uint64_t sent, uint64_t total)
{
    struct room *r = context;

    assert_true(sent <= total);
    r->moved = sent;
}

static void on_done(void *context, int err, const char *why, uint64_t bytes)
{
    struct room *r = context;

    r->ends++;
    r->err = err;
    r->bytes = bytes;
    assert_non_null(why);
}

static const struct publish_events events = { .moved = on_moved, .done = on_done };

static struct publish *begin_with(struct room *r, const char *note)
{
    return publish_begin(&r->loop, r->storage, r->tree, KEY, note);
}

static struct publish *begin(struct room *r)
{
    return begin_with(r, NULL);
}

static int finish(struct room *r, struct publish *p)
{
    struct media_task *task;

    publish_finish(p, &events, r, &task);
    assert_int_equal(r->ends, 0);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(r->ends, 1);
    return r->err;
}

static void make_whole(struct room *r)
{
    make(r, "720p/init_0.mp4", "init");
    make(r, "720p/s00000.m4s", "first");
    make(r, "720p/s00001.m4s", "second");
    make(r, "720p/index.m3u8", "media");
    make(r, "master.m3u8", "master");
}

static void a_segment_goes_when_another_stands_behind_it(void **state)
{
    struct room *r = *state;
    struct publish *p = begin(r);

    make(r, "720p/s00000.m4s", "first");
    make(r, "720p/s00001.m4s", "second");
    make(r, "720p/s00002.m4s.tmp", "half of the th");
    await(r, "720p/s00000.m4s", "first");
    assert_string_equal(stored(r, "720p/s00001.m4s"), "");
    make(r, "720p/s00002.m4s", "third");
    await(r, "720p/s00001.m4s", "second");
    assert_string_equal(stored(r, "720p/s00002.m4s"), "");
    publish_abandon(p);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(r->ends, 0);
}

static void all_of_it_is_there_in_the_end(void **state)
{
    struct room *r = *state;

    make_whole(r);
    make(r, "720p/index.m3u8.tmp", "half of");
    assert_int_equal(finish(r, begin(r)), OK);
    assert_string_equal(stored(r, "720p/init_0.mp4"), "init");
    assert_string_equal(stored(r, "720p/s00001.m4s"), "second");
    assert_string_equal(stored(r, "720p/index.m3u8"), "media");
    assert_string_equal(stored(r, "master.m3u8"), "master");
    assert_string_equal(stored(r, "720p/index.m3u8.tmp"), "");
    assert_int_equal(r->bytes, strlen("init") + strlen("first") + strlen("second") +
                                   strlen("media") + strlen("master"));
    assert_int_equal(r->moved, r->bytes - strlen("master"));
}

static void what_is_made_anew_is_sent_anew(void **state)
{
    struct room *r = *state;
    struct publish *p = begin(r);

    make(r, "720p/s00000.m4s", "first");
    make(r, "720p/s00001.m4s", "second");
    await(r, "720p/s00000.m4s", "first");
    publish_again(p);
    make_whole(r);
    make(r, "720p/s00000.m4s", "anew!"); /* as long */
    await(r, "720p/s00000.m4s", "anew!");
    make(r, "720p/s00000.m4s", "again");
    assert_int_equal(finish(r, p), OK);
    assert_string_equal(stored(r, "720p/s00000.m4s"), "again");
}

static void what_is_not_in_the_tree_is_removed(void **state)
{
    struct room *r = *state;
    struct publish *p = begin(r);

    make_whole(r);
    make(r, "720p/s00002.m4s", "third");
    make(r, "720p/s00003.m4s", "a tail");
    await(r, "720p/s00002.m4s", "third");
    take_away(r, "720p/s00003.m4s");
    take_away(r, "720p/s00002.m4s");
    assert_int_equal(finish(r, p), OK);
    assert_string_equal(stored(r, "720p/s00002.m4s"), "");
    assert_string_equal(stored(r, "720p/s00001.m4s"), "second");
}

static void what_an_earlier_process_left_is_made_good(void **state)
{
    struct room *r = *state;
    char path[PATH_ROOM];

    make_whole(r);
    assert_int_equal(finish(r, begin(r)), OK);
    path_of(r, "bucket/" KEY, "720p/s00000.m4s", path);
    make_at(path, "wrong");
    path_of(r, "bucket/" KEY, "720p/s00009.m4s", path);
    make_at(path, "of an earlier try");
    path_of(r, "bucket/" KEY, "720p/s00001.m4s", path);
    assert_int_equal(unlink(path), 0);
    r->ends = 0;
    assert_int_equal(finish(r, begin(r)), OK);
    assert_string_equal(stored(r, "720p/s00000.m4s"), "first");
    assert_string_equal(stored(r, "720p/s00001.m4s"), "second");
    assert_string_equal(stored(r, "720p/s00009.m4s"), "");
}

static void a_tree_without_a_master_playlist_is_not_published(void **state)
{
    struct room *r = *state;

    make_whole(r);
    take_away(r, "master.m3u8");
    assert_int_equal(finish(r, begin(r)), FAIL_STATE);
    assert_string_equal(stored(r, "720p/index.m3u8"), "");
}

static void what_is_no_file_is_not_published(void **state)
{
    struct room *r = *state;
    char path[PATH_ROOM];

    make_whole(r);
    path_of(r, "tree", "720p/s00002.m4s", path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(finish(r, begin(r)), FAIL_IO); /* never the input's fault */
    assert_string_equal(stored(r, "720p/s00002.m4s"), "");
}

static void one_that_is_cancelled_ends_once(void **state)
{
    struct room *r = *state;
    struct publish *p = begin(r);
    struct media_task *task;

    make_whole(r);
    publish_finish(p, &events, r, &task);
    uv_run(&r->loop, UV_RUN_ONCE);
    media_task_cancel(task);
    assert_int_equal(r->ends, 0);
    media_task_cancel(task);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->err, FAIL_CANCELLED);
}

static void a_note_is_there_until_all_is(void **state)
{
    struct room *r = *state;
    struct publish *p = begin_with(r, "what it is made of");

    await(r, "recipe", "what it is made of");
    make_whole(r);
    await(r, "720p/init_0.mp4", "init");
    assert_int_equal(finish(r, p), OK);
    assert_string_equal(stored(r, "recipe"), "");
    assert_string_equal(stored(r, "master.m3u8"), "master");
}

static void a_note_that_an_earlier_process_left_goes_too(void **state)
{
    struct room *r = *state;
    struct publish *p = begin_with(r, "what it is made of");

    await(r, "recipe", "what it is made of");
    publish_abandon(p);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    make_whole(r);
    assert_int_equal(finish(r, begin(r)), OK);
    assert_string_equal(stored(r, "recipe"), "");
}

/* One that could grow is not: who goes on with it would have to hear a seam. */
static void sound_that_is_whole_goes_as_such(void **state)
{
    struct room *r = *state;
    struct publish *p = begin_with(r, "what it is made of");
    char path[PATH_ROOM];

    path_of(r, "tree", "a0", path);
    assert_int_equal(mkdir(path, 0700), 0);
    make(r, "a0/init.mp4", "init");
    make(r, "a0/s00000.m4s", "first");
    make(r, "a0/s00001.m4s", "last");
    make(r, "a0/index.m3u8", "its playlist");
    await(r, "a0/s00000.m4s", "first");
    assert_string_equal(stored(r, "a0/s00001.m4s"), "");
    assert_string_equal(stored(r, "sound-a0"), "");
    path_of(r, ".", "sound", path);
    make_at(path, "");
    await(r, "sound-a0", "its playlist");
    await(r, "a0/s00001.m4s", "last");
    assert_string_equal(stored(r, "a0/index.m3u8"), "");

    assert_int_equal(unlink(path), 0);
    publish_again(p); /* without it */
    await(r, "sound-a0", "");
    make_at(path, "");
    await(r, "sound-a0", "its playlist");
    make_whole(r);
    assert_int_equal(finish(r, p), OK);
    assert_string_equal(stored(r, "sound-a0"), "");
    assert_string_equal(stored(r, "a0/index.m3u8"), "its playlist");
}

/* What lies under the other key, as long as it is: so that it shows where it came from. */
static void make_other(struct room *r, const char *name, const char *text)
{
    char path[PATH_ROOM];
    const char *const folders[] = { "videos", "videos/hls", OTHER, OTHER "/720p" };

    for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        path_of(r, "bucket", folders[i], path);
        mkdir(path, 0700);
    }
    path_of(r, "bucket/" OTHER, name, path);
    make_at(path, text);
}

static void what_was_inherited_is_copied(void **state)
{
    struct room *r = *state;

    make_other(r, "720p/s00000.m4s", "FIRST");
    make_other(r, "720p/s00001.m4s", "SECOND");
    struct publish *p = begin(r);
    publish_inherit(p, OTHER, 1);
    make_whole(r);
    assert_int_equal(finish(r, p), OK);
    assert_string_equal(stored(r, "720p/s00000.m4s"), "FIRST");
    assert_string_equal(stored(r, "720p/s00001.m4s"), "second");
}

static void what_cannot_be_copied_is_sent(void **state)
{
    struct room *r = *state;
    struct publish *p = begin(r);

    publish_inherit(p, OTHER, 2);
    make_whole(r);
    assert_int_equal(finish(r, p), OK);
    assert_string_equal(stored(r, "720p/s00000.m4s"), "first");
    assert_string_equal(stored(r, "720p/s00001.m4s"), "second");
}

static void what_is_made_anew_is_not_what_was_inherited(void **state)
{
    struct room *r = *state;
    struct publish *p = begin(r);

    make_other(r, "720p/s00000.m4s", "FIRST");
    publish_inherit(p, OTHER, 1);
    make(r, "720p/s00000.m4s", "first");
    make(r, "720p/s00001.m4s", "second");
    await(r, "720p/s00000.m4s", "FIRST");
    publish_again(p);
    make_whole(r);
    assert_int_equal(finish(r, p), OK);
    assert_string_equal(stored(r, "720p/s00000.m4s"), "first");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_segment_goes_when_another_stands_behind_it),
        TEST(all_of_it_is_there_in_the_end),
        TEST(what_is_made_anew_is_sent_anew),
        TEST(what_is_not_in_the_tree_is_removed),
        TEST(what_an_earlier_process_left_is_made_good),
        TEST(a_tree_without_a_master_playlist_is_not_published),
        TEST(what_is_no_file_is_not_published),
        TEST(one_that_is_cancelled_ends_once),
        TEST(a_note_is_there_until_all_is),
        TEST(a_note_that_an_earlier_process_left_goes_too),
        TEST(sound_that_is_whole_goes_as_such),
        TEST(what_was_inherited_is_copied),
        TEST(what_cannot_be_copied_is_sent),
        TEST(what_is_made_anew_is_not_what_was_inherited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
