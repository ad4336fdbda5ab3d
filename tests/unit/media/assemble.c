#include "../storage/place.h"

#include "media/assemble.h"

enum { CHUNKS = 4, BIG = 3 * 1024 * 1024 + 17 };

static uint32_t told[16];
static unsigned told_count;
static atomic_bool is_stopped;
static uint32_t stop_at; /* the chunk before which it is stopped, or 0 */
static struct buf why;

static void progress(void *context, uint32_t chunk)
{
    assert_ptr_equal(context, told);
    assert_true(told_count < 16);
    told[told_count++] = chunk;
    if (chunk == stop_at)
        atomic_store(&is_stopped, true);
}

static int begin(void **state)
{
    told_count = 0;
    stop_at = 0;
    atomic_store(&is_stopped, false);
    buf_init(&why, 1024);
    return place_setup(state);
}

static int end(void **state)
{
    buf_deinit(&why);
    return place_teardown(state);
}

static void put_chunk(struct place *p, uint32_t index, const char *bytes, size_t len)
{
    struct chunk_write w;

    assert_int_equal(disk_chunk_begin(p->disk, "7", index, &w), OK);
    assert_int_equal(disk_chunk_write(&w, bytes, len), OK);
    assert_int_equal(disk_chunk_commit(p->disk, &w), OK);
}

/* "one", "", "two", "three": an empty chunk is one, too. */
static void put_chunks(struct place *p)
{
    put_chunk(p, 2, "two", 3);
    put_chunk(p, 0, "one", 3);
    put_chunk(p, 3, "three", 5);
    put_chunk(p, 1, "", 0);
}

static int run(struct place *p, const char *path, uint64_t *size)
{
    struct assembly a = { .disk = p->disk,
                          .video = "7",
                          .total_chunks = CHUNKS,
                          .path = path,
                          .is_stopped = &is_stopped,
                          .progress = progress,
                          .context = told };

    return assemble(&a, size, &why);
}

static void chunks_are_joined_in_the_order_of_their_numbers(void **state)
{
    struct place *p = *state;
    uint64_t size = 0;

    put_chunks(p);
    assert_int_equal(run(p, place_path(p, "source"), &size), OK);
    assert_int_equal(size, 11);
    assert_string_equal(place_read(p, "source"), "onetwothree");
    assert_false(place_has(p, "source.part"));
    assert_int_equal(why.len, 0);
}

static void every_chunk_is_announced_and_then_the_end(void **state)
{
    struct place *p = *state;
    uint64_t size;

    put_chunks(p);
    assert_int_equal(run(p, place_path(p, "source"), &size), OK);
    assert_int_equal(told_count, CHUNKS + 1);
    for (unsigned i = 0; i < told_count; i++)
        assert_int_equal(told[i], i + 1);
}

static void large_chunks_arrive_byte_by_byte(void **state)
{
    struct place *p = *state;
    char *bytes = mem_alloc(BIG), *back = mem_alloc(BIG);
    uint64_t size;

    for (size_t i = 0; i < BIG; i++)
        bytes[i] = (char)(i * 31 + i / 251);
    put_chunks(p);
    put_chunk(p, 1, bytes, BIG);
    assert_int_equal(run(p, place_path(p, "source"), &size), OK);
    assert_int_equal(size, BIG + 11);
    int fd = open(place_path(p, "source"), O_RDONLY);
    assert_int_equal(pread(fd, back, BIG, 3), BIG);
    assert_memory_equal(back, bytes, BIG);
    assert_int_equal(pread(fd, back, 100, 3 + BIG), 8);
    assert_memory_equal(back, "twothree", 8);
    close(fd);
    mem_free(bytes);
    mem_free(back);
}

static void a_missing_chunk_is_named_and_leaves_nothing(void **state)
{
    struct place *p = *state;
    uint64_t size = 99;

    put_chunk(p, 0, "one", 3);
    put_chunk(p, 1, "two", 3);
    put_chunk(p, 3, "four", 4);
    assert_int_equal(run(p, place_path(p, "source"), &size), FAIL_MISSING);
    assert_non_null(strstr(buf_text(&why), "chunk 2 of 4"));
    assert_false(place_has(p, "source"));
    assert_false(place_has(p, "source.part"));
    assert_int_equal(size, 99);
}

static void it_can_be_stopped_between_chunks(void **state)
{
    struct place *p = *state;
    uint64_t size = 99;

    put_chunks(p);
    stop_at = 2;
    assert_int_equal(run(p, place_path(p, "source"), &size), FAIL_CANCELLED);
    assert_int_equal(told_count, 2);
    assert_false(place_has(p, "source"));
    assert_false(place_has(p, "source.part"));
    assert_int_equal(size, 99);
}

static void what_a_crash_left_is_begun_anew(void **state)
{
    struct place *p = *state;
    uint64_t size;

    put_chunks(p);
    place_write(p, "source.part", "half of something that was longer than the whole");
    place_write(p, "source", "an earlier one");
    assert_int_equal(run(p, place_path(p, "source"), &size), OK);
    assert_string_equal(place_read(p, "source"), "onetwothree");
    assert_false(place_has(p, "source.part"));
}

static void an_earlier_file_stays_whole_when_a_later_run_fails(void **state)
{
    struct place *p = *state;
    uint64_t size;

    put_chunk(p, 0, "one", 3);
    place_write(p, "source", "an earlier one");
    assert_int_equal(run(p, place_path(p, "source"), &size), FAIL_MISSING);
    assert_string_equal(place_read(p, "source"), "an earlier one");
}

static int run_one(struct place *p, uint64_t *size)
{
    struct assembly a = { .disk = p->disk,
                          .video = "7",
                          .total_chunks = 1,
                          .path = place_path(p, "source"),
                          .is_stopped = &is_stopped,
                          .progress = progress,
                          .context = told };

    return assemble(&a, size, &why);
}

static ino_t inode_of(const struct place *p, const char *path)
{
    struct stat st;

    assert_int_equal(stat(place_path(p, path), &st), 0);
    return st.st_ino;
}

static void an_only_chunk_is_not_copied(void **state)
{
    struct place *p = *state;
    uint64_t size = 0;

    put_chunk(p, 0, "whole", 5);
    assert_int_equal(run_one(p, &size), OK);
    assert_int_equal(size, 5);
    assert_int_equal(told_count, 2);
    assert_int_equal(inode_of(p, "source"), inode_of(p, "uploads/7/000000"));
    assert_false(place_has(p, "source.part"));
}

static void an_only_chunk_can_be_linked_again(void **state)
{
    struct place *p = *state;
    uint64_t size;

    put_chunk(p, 0, "whole", 5);
    assert_int_equal(run_one(p, &size), OK);
    assert_int_equal(run_one(p, &size), OK);
    assert_string_equal(place_read(p, "uploads/7/000000"), "whole");
    assert_false(place_has(p, "source.part"));
    put_chunk(p, 0, "another", 7);
    assert_string_equal(place_read(p, "source"), "whole");
    assert_int_equal(run_one(p, &size), OK);
    assert_string_equal(place_read(p, "source"), "another");
}

static void a_part_that_is_a_chunk_s_other_name_is_not_truncated(void **state)
{
    struct place *p = *state;
    char part[4096];
    uint64_t size;

    put_chunks(p);
    snprintf(part, sizeof(part), "%s", place_path(p, "source.part"));
    assert_int_equal(link(place_path(p, "uploads/7/000000"), part), 0);
    assert_int_equal(run(p, place_path(p, "source"), &size), OK);
    assert_string_equal(place_read(p, "uploads/7/000000"), "one");
    assert_string_equal(place_read(p, "source"), "onetwothree");
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    struct place *p = *state;
    uint64_t size;

    put_chunks(p);
    assert_int_equal(run(p, place_path(p, "none/source"), &size), FAIL_MISSING);
    assert_true(why.len > 0);
}

#define ASSEMBLES(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ASSEMBLES(chunks_are_joined_in_the_order_of_their_numbers),
        ASSEMBLES(every_chunk_is_announced_and_then_the_end),
        ASSEMBLES(large_chunks_arrive_byte_by_byte),
        ASSEMBLES(a_missing_chunk_is_named_and_leaves_nothing),
        ASSEMBLES(it_can_be_stopped_between_chunks),
        ASSEMBLES(what_a_crash_left_is_begun_anew),
        ASSEMBLES(an_earlier_file_stays_whole_when_a_later_run_fails),
        ASSEMBLES(an_only_chunk_is_not_copied),
        ASSEMBLES(an_only_chunk_can_be_linked_again),
        ASSEMBLES(a_part_that_is_a_chunk_s_other_name_is_not_truncated),
        ASSEMBLES(a_folder_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
