#include "../storage/place.h"

#include <uv.h>

#include "base/clock.h"
#include "media/bucket.h"
#include "storage/storage_ops.h"

/* A folder that gives URLs, as a bucket does: of each key its own text. */

enum { PART_MIN = 1000 };

static struct place *place;
static uv_loop_t loop;
static struct storage *storage;
static struct storage_traits traits;
static struct storage_ops ops;
static unsigned uploads_begun, lists_of_parts;
static const struct storage_ops *folder_ops;

static int put_url(const struct storage *s, const char *key, uint64_t lifetime_s, struct buf *out)
{
    (void)s;
    buf_printf(out, "put %s %llu", key, (unsigned long long)lifetime_s);
    return OK;
}

static int part_url(const struct storage *s, const char *key, const char *id, uint32_t number,
                    uint64_t lifetime_s, struct buf *out)
{
    (void)s;
    (void)id;
    (void)lifetime_s;
    buf_printf(out, "part %s %u", key, number);
    return OK;
}

static struct storage_task *begin_counted(struct storage *s, const char *key, const char *type,
                                          void (*done)(void *, int, const char *, const char *),
                                          void *context)
{
    uploads_begun++;
    return folder_ops->upload_begin(s, key, type, done, context);
}

static struct storage_task *parts_counted(struct storage *s, const char *key, const char *id,
                                          void (*done)(void *, int, const char *,
                                                       const struct storage_part *, size_t),
                                          void *context)
{
    lists_of_parts++;
    return folder_ops->parts(s, key, id, done, context);
}

/* One upload on record. */

static struct pipeline_book book;
static struct upload upload;
static bool is_on_record;
static struct upload_place rival; /* says its word before ours, once */
static bool has_rival;
static struct pipelines *pipelines;

static void find(struct pipeline_book *b, const char *video, book_found *found, void *context)
{
    (void)b;
    bool is_it = is_on_record && strcmp(video, "7") == 0;
    found(context, is_it ? OK : FAIL_MISSING, is_it ? &upload : NULL, "a title");
}

static void put_place(struct pipeline_book *b, const struct book_place *p, book_done *done,
                      void *context)
{
    (void)b;
    if (has_rival)
        upload.place = rival;
    has_rival = false;
    if (!upload_place_equals(&upload.place, p->before)) {
        done(context, FAIL_EXISTS);
        return;
    }
    upload.place = *p->after;
    done(context, OK);
}

static const struct book_ops book_of_one = { .name = "one", .find = find, .place = put_place };

static int begin(void **state)
{
    static const struct pipeline_settings settings = { .conversions_max = 1, .public_url = "" };
    struct buf why;
    char url[256];

    if (place_setup(state) != 0 || uv_loop_init(&loop) != 0)
        return -1;
    place = *state;
    snprintf(url, sizeof url, "file://%s/bucket", place->root);
    buf_init(&why, 1024);
    assert_int_equal(storage_open(&loop,
                                  &(struct storage_settings){ .url = url,
                                                              .public_url = "",
                                                              .parallel = 4,
                                                              .patience_ms = 1000 },
                                  &storage, &why),
                     OK);
    buf_deinit(&why);
    folder_ops = storage->ops;
    ops = *storage->ops;
    ops.put_url = put_url;
    ops.part_url = part_url;
    ops.upload_begin = begin_counted;
    ops.parts = parts_counted;
    storage->ops = &ops;
    traits = *storage->traits;
    traits.has_urls = traits.has_object_urls = true;
    traits.part_min = PART_MIN;
    traits.parts_max = 100;
    storage->traits = &traits;
    uploads_begun = lists_of_parts = 0;
    book.ops = &book_of_one;
    upload = (struct upload){ .size = -1, .place = { .layout = LAYOUT_UNDECIDED } };
    is_on_record = true;
    has_rival = false;
    pipelines = pipelines_new(&(struct pipeline_parts){ .loop = &loop,
                                                        .book = &book,
                                                        .disk = place->disk,
                                                        .storage = storage,
                                                        .settings = &settings });
    return 0;
}

static int end(void **state)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    pipelines_free(pipelines);
    storage_close(storage);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return place_teardown(state);
}

/* What is asked */

struct told {
    bool is_done;
    int err;
    char url[256];
};

static void on_url(void *context, int err, const char *why, const char *url)
{
    struct told *t = context;

    (void)why;
    t->is_done = true;
    t->err = err;
    snprintf(t->url, sizeof t->url, "%s", url ? url : "");
}

static void ask(uint32_t index, uint32_t total, struct told *t)
{
    *t = (struct told){ .is_done = false };
    pipelines_chunk_url(pipelines,
                        &(struct chunk_url){
                            .video = "7", .index = index, .total = total, .lifetime_s = 60 },
                        on_url, t);
}

static const char *url_of(uint32_t index, uint32_t total)
{
    static struct told t;

    ask(index, total, &t);
    while (!t.is_done)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(t.err, OK);
    return t.url;
}

static void on_plain(void *context, int err, const char *why)
{
    (void)why;
    assert_int_equal(err, OK);
    *(bool *)context = true;
}

static void wait_for(const bool *is_done)
{
    while (!*is_done)
        uv_run(&loop, UV_RUN_ONCE);
}

static int file_of(size_t size)
{
    int fd = open(place_path(place, "bytes"), O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

/* As a client does with the URL it was given. */
static void put_at(const char *url, size_t size)
{
    char key[200];
    unsigned number;
    bool is_done = false;
    int fd = file_of(size);

    if (sscanf(url, "part %199s %u", key, &number) == 2)
        storage_part_put(storage, &(struct storage_part_put){ .key = key,
                                                              .id = upload.place.multipart,
                                                              .number = number,
                                                              .file = fd,
                                                              .length = size,
                                                              .done = on_plain,
                                                              .context = &is_done });
    else if (sscanf(url, "put %199s", key) == 1)
        storage_put(storage, &(struct storage_put){ .key = key,
                                                    .has_file = true,
                                                    .file = fd,
                                                    .length = size,
                                                    .done = on_plain,
                                                    .context = &is_done });
    else
        fail_msg("no such URL: %s", url);
    wait_for(&is_done);
    close(fd);
}

static void put(uint32_t index, uint32_t total, size_t size)
{
    char url[256];

    snprintf(url, sizeof url, "%s", url_of(index, total));
    put_at(url, size);
}

struct seen {
    bool is_done;
    struct bucket_list list;
    enum bucket_way way;
    uint32_t small;
    char forms[16]; /* of each chunk: - p o s */
    uint64_t sizes[16];
};

static void on_listed(void *context, int err, const char *why, const struct bucket_list *list)
{
    struct seen *s = context;

    (void)why;
    assert_int_equal(err, OK);
    s->list = *list;
    for (uint32_t i = 0; i < list->count && i < 15; i++) {
        s->forms[i] = "-pos"[list->chunks[i].form];
        s->sizes[i] = list->chunks[i].size;
    }
    s->way = bucket_way(list, &traits, &s->small);
    s->is_done = true;
}

static struct seen look(uint32_t count)
{
    struct seen s = { .is_done = false };

    bucket_list(storage, "7", &upload.place, count, on_listed, &s);
    wait_for(&s.is_done);
    return s;
}

/* --- layouts --- */

static void what_was_declared_decides_where_it_can(void **state)
{
    (void)state;
    assert_int_equal(bucket_layout(&traits, -1, 1), LAYOUT_PARTS);
    assert_int_equal(bucket_layout(&traits, -1, 2), LAYOUT_UNDECIDED);
    assert_int_equal(bucket_layout(&traits, 10000, 10), LAYOUT_PARTS);
    assert_int_equal(bucket_layout(&traits, 9991, 10), LAYOUT_PARTS);
    assert_int_equal(bucket_layout(&traits, 9990, 10), LAYOUT_UNDECIDED); /* 999 to 1109 each */
    assert_int_equal(bucket_layout(&traits, 9001, 10), LAYOUT_UNDECIDED);
    assert_int_equal(bucket_layout(&traits, 9000, 10), LAYOUT_OBJECTS);
    assert_int_equal(bucket_layout(&traits, 0, 3), LAYOUT_OBJECTS);
    assert_int_equal(bucket_layout(&traits, 1 << 30, 101), LAYOUT_OBJECTS);
    traits.has_part_copy = false;
    assert_int_equal(bucket_layout(&traits, -1, 2), LAYOUT_OBJECTS);
    assert_int_equal(bucket_layout(&traits, 9990, 10), LAYOUT_OBJECTS);
    assert_int_equal(bucket_layout(&traits, 9991, 10), LAYOUT_PARTS);
    traits.part_min = 0;
    assert_int_equal(bucket_layout(&traits, -1, 5), LAYOUT_PARTS);
    traits.part_min = PART_MIN;
    traits.has_object_urls = false;
    assert_int_equal(bucket_layout(&traits, 10, 5), LAYOUT_PARTS);
}

static void a_place_is_read_as_it_was_written(void **state)
{
    struct upload_place p = { .layout = LAYOUT_PARTS, .multipart = "Ab/9+_-.~=" }, back;
    struct upload u = { .size = 5, .place = p }, read;
    struct buf text;

    (void)state;
    buf_init(&text, 16 * 1024);
    upload_place_write(&p, &text);
    assert_string_equal(buf_text(&text), "parts Ab/9+_-.~=");
    assert_int_equal(upload_place_read(buf_str(&text), &back), OK);
    assert_true(upload_place_equals(&p, &back));
    assert_int_equal(upload_place_read(STR("undecided "), &back), OK);
    assert_string_equal(back.multipart, "");
    assert_int_equal(upload_place_read(STR("elsewhere "), &back), FAIL_SYNTAX);
    memset(p.multipart, 'x', STORAGE_UPLOAD_ID_MAX);
    buf_reset(&text);
    upload_place_write(&p, &text);
    buf_puts(&text, "x");
    assert_int_equal(upload_place_read(buf_str(&text), &back), FAIL_SYNTAX);
    buf_reset(&text);
    upload_write(&u, &text);
    /* What the script of Redis looks for. */
    assert_non_null(strstr(buf_text(&text), "\"place\":\"parts Ab/9+_-.~=\""));
    assert_int_equal(upload_read(buf_text(&text), &read), OK);
    assert_true(upload_place_equals(&u.place, &read.place));
    assert_int_equal(upload_read("{\"size\":3}", &read), OK);
    assert_int_equal(read.place.layout, LAYOUT_DISK);
    buf_deinit(&text);
}

/* --- URLs --- */

static void chunk_0_of_whoever_says_nothing_tells_how_large_they_are(void **state)
{
    (void)state;
    assert_string_equal(url_of(0, 4), "part uploads/7/source 1");
    assert_int_equal(upload.place.layout, LAYOUT_UNDECIDED);
    put(0, 4, PART_MIN);
    assert_string_equal(url_of(1, 4), "part uploads/7/source 2");
    assert_int_equal(upload.place.layout, LAYOUT_PARTS);
    unsigned asked = lists_of_parts;
    assert_string_equal(url_of(3, 4), "part uploads/7/source 4");
    assert_string_equal(url_of(0, 4), "part uploads/7/source 1");
    assert_int_equal(lists_of_parts, asked);
    assert_int_equal(uploads_begun, 1);
}

static void before_chunk_0_has_come_the_others_are_objects(void **state)
{
    (void)state;
    url_of(0, 4);
    assert_string_equal(url_of(2, 4), "put uploads/7/chunks/000002 60");
    assert_string_equal(url_of(3, 4), "put uploads/7/chunks/000003 60");
    assert_int_equal(lists_of_parts, 1);
    assert_int_equal(upload.place.layout, LAYOUT_UNDECIDED);
}

static void small_chunks_become_objects(void **state)
{
    (void)state;
    put(0, 3, PART_MIN - 1);
    assert_string_equal(url_of(1, 3), "put uploads/7/chunks/000001 60");
    assert_int_equal(upload.place.layout, LAYOUT_OBJECTS);
    assert_string_equal(url_of(0, 3), "put uploads/7/chunks/000000 60");
}

static void what_is_declared_needs_no_look(void **state)
{
    (void)state;
    upload.size = 9000;
    assert_string_equal(url_of(3, 10), "put uploads/7/chunks/000003 60");
    assert_int_equal(upload.place.layout, LAYOUT_OBJECTS);
    assert_int_equal(uploads_begun, 0);
    upload = (struct upload){ .size = 30000, .place = { .layout = LAYOUT_UNDECIDED } };
    assert_string_equal(url_of(3, 10), "part uploads/7/source 4");
    assert_int_equal(upload.place.layout, LAYOUT_PARTS);
    assert_int_equal(lists_of_parts, 0);
}

static void many_who_ask_at_once_begin_one_upload(void **state)
{
    struct told told[40];
    size_t parts = 0;

    (void)state;
    for (uint32_t i = 0; i < 40; i++)
        ask(i, 40, &told[i]);
    for (size_t i = 0; i < 40; i++) {
        while (!told[i].is_done)
            uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(told[i].err, OK);
        parts += strncmp(told[i].url, "part", 4) == 0;
    }
    assert_int_equal(uploads_begun, 1);
    assert_int_equal(parts, 1);
    assert_true(lists_of_parts <= 1);
}

static void of_two_nodes_the_second_takes_back_its_own(void **state)
{
    (void)state;
    upload.size = 30000;
    rival = (struct upload_place){ .layout = LAYOUT_PARTS, .multipart = "theirs" };
    has_rival = true;
    assert_string_equal(url_of(3, 10), "part uploads/7/source 4");
    assert_string_equal(upload.place.multipart, "theirs");
    assert_int_equal(uploads_begun, 1);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(rmdir(place_path(place, "bucket/.reelay/uploads")), 0);
}

static void an_upload_that_is_not_open_gets_no_url(void **state)
{
    struct told t;

    (void)state;
    upload.state = UPLOAD_BUSY;
    ask(0, 2, &t);
    assert_true(t.is_done);
    assert_int_equal(t.err, FAIL_STATE);
    is_on_record = false;
    ask(0, 2, &t);
    assert_int_equal(t.err, FAIL_MISSING);
}

static void what_is_on_record_needs_no_desk(void **state)
{
    struct upload_place p = { .layout = LAYOUT_UNDECIDED };
    struct buf url;

    (void)state;
    buf_init(&url, 1024);
    assert_int_equal(upload_chunk_url(storage, "7", &p, 0, 60, &url), FAIL_STATE);
    snprintf(p.multipart, sizeof p.multipart, "m");
    assert_int_equal(upload_chunk_url(storage, "7", &p, 1, 60, &url), FAIL_STATE);
    assert_int_equal(upload_chunk_url(storage, "7", &p, 0, 60, &url), OK);
    p.layout = LAYOUT_PARTS;
    buf_reset(&url);
    assert_int_equal(upload_chunk_url(storage, "7", &p, 8, 60, &url), OK);
    assert_string_equal(buf_text(&url), "part uploads/7/source 9");
    buf_deinit(&url);
}

/* --- what is there --- */

static void a_chunk_that_is_there_twice_counts_once(void **state)
{
    (void)state;
    put(0, 3, 2000);
    put_at("put uploads/7/chunks/000000", 5);
    put_at("put uploads/7/chunks/000002", 7);
    struct seen s = look(3);
    assert_string_equal(s.forms, "p-o");
    assert_int_equal(s.sizes[0], 2000);
    upload.place.layout = LAYOUT_OBJECTS;
    s = look(3);
    assert_string_equal(s.forms, "o-o");
    assert_int_equal(s.sizes[0], 5);
    put_at("put uploads/7/chunks/000009", 7);
    assert_int_equal(look(3).list.beyond, 1);
}

static void the_way_to_one_file_depends_on_sizes(void **state)
{
    (void)state;
    upload.size = 3500;
    put(0, 3, 1500);
    put(1, 3, 1500);
    put(2, 3, 500);
    assert_int_equal(look(3).way, BUCKET_BY_PARTS);
    put(1, 3, 10);
    struct seen s = look(3);
    assert_int_equal(s.way, BUCKET_NO_WAY);
    assert_int_equal(s.small, 1);
    upload = (struct upload){ .size = -1, .place = { .layout = LAYOUT_OBJECTS } };
    put(0, 3, 10);
    put(1, 3, 10);
    put(2, 3, 10);
    assert_int_equal(look(3).way, BUCKET_BY_OBJECTS);
}

static void a_small_chunk_0_that_came_as_a_part_is_made_an_object(void **state)
{
    (void)state;
    put(0, 3, 10);
    put(1, 3, 10);
    put(2, 3, 10);
    struct seen s = look(3);
    assert_string_equal(s.forms, "poo");
    assert_int_equal(s.way, BUCKET_BY_HEAD);
}

/* --- removing --- */

static void clearing_leaves_nothing(void **state)
{
    bool is_done = false;

    (void)state;
    put(0, 3, 2000);
    put_at("put uploads/7/chunks/000001", 5);
    put_at("put uploads/7/source", 5);
    put_at("put uploads/77/source", 5);
    bucket_clear(storage, "7", on_plain, &is_done);
    wait_for(&is_done);
    struct seen s = look(3);
    assert_string_equal(s.forms, "---");
    assert_false(s.list.is_begun);
    assert_false(s.list.has_source);
    assert_int_equal(access(place_path(place, "bucket/uploads/77/source"), F_OK), 0);
}

static void the_sweep_removes_what_belongs_to_no_upload(void **state)
{
    (void)state;
    put(0, 3, 2000);
    put_at("put uploads/8/chunks/000001", 5);
    put_at("put videos/8/chunks/000001", 5);
    bucket_sweep(pipelines, clock_wall_ms() - 3600 * 1000);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(access(place_path(place, "bucket/uploads/8/chunks/000001"), F_OK), 0);
    pipelines_free(pipelines);
    pipelines = pipelines_new(&(struct pipeline_parts){
        .loop = &loop, .book = &book, .disk = place->disk, .storage = storage });
    bucket_sweep(pipelines, clock_wall_ms() + 5000);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_not_equal(access(place_path(place, "bucket/uploads/8/chunks/000001"), F_OK), 0);
    assert_int_equal(access(place_path(place, "bucket/videos/8/chunks/000001"), F_OK), 0);
    assert_string_equal(look(3).forms, "p--"); /* on record */
}

/* A list that ends only where nobody wants more of it. */

static struct endless {
    uv_idle_t idle;
    bool (*each)(void *context, const struct storage_object *object);
    storage_done *done;
    void *context;
    unsigned said;
} endless;

static void say_one_more(uv_idle_t *idle)
{
    struct storage_object object = { .key = "uploads/7/chunks/000001", .etag = "" };

    endless.said++;
    if (endless.each(endless.context, &object))
        return;
    uv_close((uv_handle_t *)idle, NULL);
    endless.done(endless.context, OK, NULL);
}

static struct storage_task *list_without_end(struct storage *s, const char *prefix,
                                             bool (*each)(void *, const struct storage_object *),
                                             storage_done *done, void *context)
{
    static struct storage_task task;

    (void)s, (void)prefix;
    endless.each = each;
    endless.done = done;
    endless.context = context;
    endless.said = 0;
    uv_idle_init(&loop, &endless.idle);
    uv_idle_start(&endless.idle, say_one_more);
    return &task;
}

static void on_drained(void *context)
{
    *(bool *)context = true;
}

static void who_ends_does_not_sweep_to_the_end(void **state)
{
    bool is_drained = false;

    (void)state;
    ops.list = list_without_end;
    endless.said = 0;
    bucket_sweep(pipelines, clock_wall_ms() + 5000);
    while (endless.said < 3)
        uv_run(&loop, UV_RUN_NOWAIT);
    pipelines_drain(pipelines, 60 * 1000, on_drained, &is_drained);
    while (!is_drained && endless.said < 100000)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_true(is_drained);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_declared_decides_where_it_can),
        TEST(a_place_is_read_as_it_was_written),
        TEST(chunk_0_of_whoever_says_nothing_tells_how_large_they_are),
        TEST(before_chunk_0_has_come_the_others_are_objects),
        TEST(small_chunks_become_objects),
        TEST(what_is_declared_needs_no_look),
        TEST(many_who_ask_at_once_begin_one_upload),
        TEST(of_two_nodes_the_second_takes_back_its_own),
        TEST(an_upload_that_is_not_open_gets_no_url),
        TEST(what_is_on_record_needs_no_desk),
        TEST(a_chunk_that_is_there_twice_counts_once),
        TEST(the_way_to_one_file_depends_on_sizes),
        TEST(a_small_chunk_0_that_came_as_a_part_is_made_an_object),
        TEST(clearing_leaves_nothing),
        TEST(the_sweep_removes_what_belongs_to_no_upload),
        TEST(who_ends_does_not_sweep_to_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
