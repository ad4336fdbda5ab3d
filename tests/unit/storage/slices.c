#include "place.h"

#include <pthread.h>

#include "core/limits.h"
#include "storage/slices.h"

/* What comes of adding a piece; `out` may be NULL. */
static int add(struct disk *d, const char *video, uint64_t offset, const char *text, bool is_last,
               struct slices *out)
{
    const struct slice_end end = { .offset = offset, .chunk_max = 8, .is_last = is_last };
    struct chunk_write w;
    struct slices s;

    assert_int_equal(disk_chunk_begin(d, video, 0, &w), OK);
    assert_int_equal(disk_chunk_write(&w, text, strlen(text)), OK);
    int err = disk_slice_commit(d, &w, &end, &s);
    assert_int_equal(w.fd, -1);
    if (out != NULL && (err == OK || err == FAIL_STATE))
        *out = s;
    return err;
}

static void of_an_upload_that_has_nothing_nothing_is_there(void **state)
{
    struct place *p = *state;
    struct slices s;

    assert_int_equal(disk_slices(p->disk, "v", &s), OK);
    assert_int_equal(s.bytes, 0);
    assert_int_equal(s.chunks, 0);
}

static void small_pieces_share_a_chunk_until_it_is_full(void **state)
{
    struct place *p = *state;
    struct slices s;

    assert_int_equal(add(p->disk, "v", 0, "abc", false, &s), OK);
    assert_int_equal(add(p->disk, "v", 3, "def", false, &s), OK);
    assert_int_equal(s.chunks, 1);
    assert_int_equal(s.bytes, 6);
    assert_true(place_has(p, "uploads/v/000000.00000000000000000006.part"));
    assert_int_equal(add(p->disk, "v", 6, "ghi", false, &s), OK);
    assert_int_equal(s.chunks, 2);
    assert_string_equal(place_read(p, "uploads/v/000000"), "abcdef");
    assert_int_equal(add(p->disk, "v", 9, "0123456789", false, &s), OK);
    assert_int_equal(s.chunks, 3);
    assert_false(s.grows);
    assert_string_equal(place_read(p, "uploads/v/000001"), "ghi");
    assert_string_equal(place_read(p, "uploads/v/000002"), "0123456789");
    struct slices again;
    assert_int_equal(disk_slices(p->disk, "v", &again), OK);
    assert_int_equal(again.chunks, s.chunks);
    assert_int_equal(again.bytes, s.bytes);
    assert_false(again.grows);
}

static void with_the_last_piece_all_are_chunks(void **state)
{
    struct place *p = *state;
    int64_t sizes[4];
    uint32_t beyond;
    struct slices s;

    assert_int_equal(add(p->disk, "v", 0, "abcdefgh", false, &s), OK);
    assert_int_equal(add(p->disk, "v", 8, "ij", false, &s), OK);
    assert_int_equal(add(p->disk, "v", 10, "k", true, &s), OK);
    assert_int_equal(disk_chunks(p->disk, "v", sizes, 4, &beyond), OK);
    assert_int_equal(sizes[0], 8);
    assert_int_equal(sizes[1], 3);
    assert_int_equal(sizes[2], -1);
    assert_string_equal(place_read(p, "uploads/v/000001"), "ijk");
}

static void the_last_piece_may_be_empty(void **state)
{
    struct place *p = *state;
    struct slices s;

    assert_int_equal(add(p->disk, "v", 0, "abc", false, &s), OK);
    assert_int_equal(add(p->disk, "v", 3, "", true, &s), OK);
    assert_int_equal(s.bytes, 3);
    assert_false(s.grows);
    assert_string_equal(place_read(p, "uploads/v/000000"), "abc");
}

static void a_size_that_is_said_behind_the_last_piece_makes_it_whole(void **state)
{
    struct place *p = *state;
    struct slices s;

    assert_int_equal(disk_slices_of(p->disk, "v", 0, &s), OK);
    assert_int_equal(add(p->disk, "v", 0, "abc", false, &s), OK);
    assert_int_equal(disk_slices_of(p->disk, "v", -1, &s), OK);
    assert_true(s.grows);
    assert_int_equal(disk_slices_of(p->disk, "v", 4, &s), OK);
    assert_true(s.grows);
    assert_int_equal(disk_slices_of(p->disk, "v", 3, &s), OK);
    assert_false(s.grows);
    assert_int_equal(s.chunks, 1);
    assert_int_equal(s.bytes, 3);
    assert_string_equal(place_read(p, "uploads/v/000000"), "abc");
    assert_int_equal(disk_slices_of(p->disk, "v", 3, &s), OK);
    assert_int_equal(s.bytes, 3);
}

static void a_piece_that_belongs_elsewhere_changes_nothing(void **state)
{
    struct place *p = *state;
    struct slices s;

    assert_int_equal(add(p->disk, "v", 0, "abc", false, &s), OK);
    assert_int_equal(add(p->disk, "v", 0, "xyz", false, &s), FAIL_STATE);
    assert_int_equal(s.bytes, 3);
    assert_int_equal(add(p->disk, "v", 4, "xyz", false, &s), FAIL_STATE);
    assert_int_equal(add(p->disk, "v", 3, "", true, &s), OK);
    assert_string_equal(place_read(p, "uploads/v/000000"), "abc");
}

static void what_a_crash_left_behind_the_bytes_that_count_does_not_count(void **state)
{
    struct place *p = *state;
    struct slices s;

    assert_int_equal(add(p->disk, "v", 0, "abc", false, &s), OK);
    place_write(p, "uploads/v/000000.00000000000000000003.part", "abcJUNKJ");
    assert_int_equal(disk_slices(p->disk, "v", &s), OK);
    assert_int_equal(s.bytes, 3);
    assert_int_equal(add(p->disk, "v", 3, "d", false, &s), OK);
    assert_string_equal(place_read(p, "uploads/v/000000.00000000000000000004.part"), "abcd");
    place_write(p, "uploads/v/000000.00000000000000000004.part", "abcdJUNK");
    assert_int_equal(add(p->disk, "v", 4, "", true, &s), OK);
    assert_string_equal(place_read(p, "uploads/v/000000"), "abcd");
}

static void names_that_only_look_like_pieces_do_not_count(void **state)
{
    static const char *const names[] = { "000000.1.part",
                                         "000000.00000000000000000001.par",
                                         "000000.0000000000000000000a.part",
                                         "000000x",
                                         "1",
                                         "000001.00000000000000000001.part",
                                         "000000.00000000000000000001.part.tmp" };
    struct place *p = *state;
    struct slices s;
    char path[128];

    place_mkdir(p, "uploads/v");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "uploads/v/%s", names[i]);
        place_write(p, path, "junk");
    }
    assert_int_equal(disk_slices(p->disk, "v", &s), OK);
    assert_int_equal(s.bytes, 0);
}

static void a_piece_of_a_removed_upload_is_refused(void **state)
{
    const struct slice_end end = { .chunk_max = 8 };
    struct place *p = *state;
    struct chunk_write w;
    struct slices s;

    assert_int_equal(disk_chunk_begin(p->disk, "v", 0, &w), OK);
    assert_int_equal(disk_chunk_write(&w, "abc", 3), OK);
    assert_int_equal(disk_chunks_remove(p->disk, "v"), OK);
    assert_int_equal(disk_slice_commit(p->disk, &w, &end, &s), FAIL_MISSING);
    assert_false(place_has(p, "uploads/v"));
}

static void parts_become_one_in_their_order(void **state)
{
    struct place *p = *state;
    struct slices s;

    add(p->disk, "a", 0, "aaaaaaaa", false, NULL);
    add(p->disk, "a", 8, "AA", true, NULL);
    add(p->disk, "b", 0, "b", true, NULL);
    assert_int_equal(disk_slices_link(p->disk, "b", "v", &s), OK);
    assert_int_equal(disk_slices_link(p->disk, "a", "v", &s), OK);
    assert_int_equal(s.bytes, 11);
    assert_int_equal(s.chunks, 3);
    assert_int_equal(disk_chunks_remove(p->disk, "a"), OK);
    assert_string_equal(place_read(p, "uploads/v/000000"), "b");
    assert_string_equal(place_read(p, "uploads/v/000001"), "aaaaaaaa");
    assert_string_equal(place_read(p, "uploads/v/000002"), "AA");
    assert_int_equal(disk_slices_link(p->disk, "a", "v", &s), OK);
    assert_int_equal(s.bytes, 11);
}

static void a_part_that_grows_is_not_linked(void **state)
{
    struct place *p = *state;
    struct slices s;

    add(p->disk, "a", 0, "aa", false, NULL);
    assert_int_equal(disk_slices_link(p->disk, "a", "v", &s), FAIL_STATE);
}

struct rival {
    struct disk *disk;
    unsigned won;
};

static void *send_all(void *context)
{
    struct rival *r = context;

    for (uint64_t offset = 0; offset < 200;) {
        struct slices s;
        int err = add(r->disk, "v", offset, "x", false, &s);
        assert_true(err == OK || err == FAIL_STATE);
        r->won += err == OK;
        offset = s.bytes;
    }
    return NULL;
}

static void of_several_at_one_place_exactly_one_adds_its_piece(void **state)
{
    struct place *p = *state;
    struct rival rivals[3] = { { p->disk, 0 }, { p->disk, 0 }, { p->disk, 0 } };
    pthread_t threads[3];
    struct slices s;

    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, send_all, &rivals[i]);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(disk_slices(p->disk, "v", &s), OK);
    assert_int_equal(s.bytes, rivals[0].won + rivals[1].won + rivals[2].won);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_an_upload_that_has_nothing_nothing_is_there),
        TEST(small_pieces_share_a_chunk_until_it_is_full),
        TEST(with_the_last_piece_all_are_chunks),
        TEST(the_last_piece_may_be_empty),
        TEST(a_size_that_is_said_behind_the_last_piece_makes_it_whole),
        TEST(a_piece_that_belongs_elsewhere_changes_nothing),
        TEST(what_a_crash_left_behind_the_bytes_that_count_does_not_count),
        TEST(names_that_only_look_like_pieces_do_not_count),
        TEST(a_piece_of_a_removed_upload_is_refused),
        TEST(parts_become_one_in_their_order),
        TEST(a_part_that_grows_is_not_linked),
        TEST(of_several_at_one_place_exactly_one_adds_its_piece),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
