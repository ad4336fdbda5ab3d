#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/err.h"
#include "core/frames.h"
#include "proto/deflate.h"
#include "proto/ws.h"

/* How often `render` was called, and what it says. */
static atomic_uint renders;
static unsigned messages;
static const char *said;

static void render(const struct update *u, struct words *out)
{
    (void)u;
    atomic_fetch_add(&renders, 1);
    for (unsigned i = 0; i < messages; i++) {
        buf_puts(&out->bytes, said);
        words_end(out);
    }
}

static const struct dialect first = { .name = "first", .index = 0, .render = render };
static const struct dialect second = { .name = "second",
                                       .index = DIALECTS_MAX - 1,
                                       .render = render };

static struct update *u;

static int begin(void **state)
{
    struct change c;

    (void)state;
    change_init(&c);
    c.text[TEXT_ID] = "job";
    assert_int_equal(update_derive(NULL, &c, 1, 1, &u), OK);
    atomic_store(&renders, 0);
    messages = 1;
    said = "{\"a\":1}";
    return 0;
}

static int end(void **state)
{
    (void)state;
    update_unref(&u);
    return 0;
}

static void an_update_is_rendered_once_for_all(void **state)
{
    struct msg *m = frames_of(u, &first, FRAMING_WS);

    (void)state;
    assert_memory_equal(m->data, "\x81\x07{\"a\":1}", m->len);
    assert_int_equal(m->len, 9);
    for (int i = 0; i < 1000; i++)
        assert_ptr_equal(frames_of(u, &first, FRAMING_WS), m);
    assert_int_equal(renders, 1);
}

static void every_dialect_and_framing_has_its_own(void **state)
{
    struct msg *a = frames_of(u, &first, FRAMING_WS);
    struct msg *b = frames_of(u, &first, FRAMING_WS_DEFLATE);
    struct msg *c = frames_of(u, &second, FRAMING_WS);
    struct msg *d = frames_of(u, &second, FRAMING_WS_DEFLATE);

    (void)state;
    assert_int_equal(renders, 4);
    assert_true(a != b && a != c && a != d && b != c && b != d && c != d);
    assert_ptr_equal(frames_of(u, &second, FRAMING_WS_DEFLATE), d);
    assert_int_equal(renders, 4);
}

static void nothing_to_say_is_remembered_too(void **state)
{
    (void)state;
    messages = 0;
    for (int i = 0; i < 10; i++) {
        assert_null(frames_of(u, &first, FRAMING_WS));
        assert_null(frames_of(u, &first, FRAMING_WS_DEFLATE));
    }
    assert_int_equal(renders, 2);
}

static void several_messages_are_frames_one_after_the_other(void **state)
{
    (void)state;
    messages = 3;
    said = "ab";
    struct msg *m = frames_of(u, &first, FRAMING_WS);
    assert_int_equal(m->len, 12);
    assert_memory_equal(m->data,
                        "\x81\x02"
                        "ab"
                        "\x81\x02"
                        "ab"
                        "\x81\x02"
                        "ab",
                        12);
}

static void without_a_websocket_messages_are_lines_or_records(void **state)
{
    (void)state;
    messages = 3;
    said = "ab";
    struct msg *lines = frames_of(u, &first, FRAMING_LINES);
    struct msg *records = frames_of(u, &first, FRAMING_RECORDS);
    assert_int_equal(lines->len, 9);
    assert_memory_equal(lines->data, "ab\nab\nab\n", 9);
    assert_int_equal(records->len, 8);
    assert_memory_equal(records->data, "ab" FRAMES_SEPARATOR "ab" FRAMES_SEPARATOR "ab", 8);
}

static void long_messages_have_the_longer_heads(void **state)
{
    static char text[70001];

    (void)state;
    memset(text, 'x', 70000);
    said = text;
    struct msg *m = frames_of(u, &first, FRAMING_WS);
    assert_int_equal(m->len, 10 + 70000);
    assert_memory_equal(m->data, "\x81\x7f\0\0\0\0\0\x01\x11\x70x", 11);
    text[1000] = '\0';
    m = frames_of(u, &second, FRAMING_WS);
    assert_int_equal(m->len, 4 + 1000);
    assert_memory_equal(m->data, "\x81\x7e\x03\xe8x", 5);
}

/* The payload of the one frame in `m`, inflated if its RSV1 says so. */
static bool unpack(const struct msg *m, struct buf *out)
{
    const uint8_t *at = (const uint8_t *)m->data;
    size_t head = at[1] == 126 ? 4 : 2;
    size_t len = at[1] == 126 ? (size_t)at[2] << 8 | at[3] : at[1];
    bool is_deflated = (at[0] & WS_RSV1) != 0;

    assert_int_equal(at[0] & ~WS_RSV1, WS_FIN | WS_TEXT);
    assert_int_equal(head + len, m->len);
    if (is_deflated) {
        struct inflater *i = inflater_new();
        assert_int_equal(inflater_feed(i, at + head, len, true, out), OK);
        inflater_free(i);
    } else {
        buf_append(out, at + head, len);
    }
    return is_deflated;
}

static void what_compresses_is_sent_compressed_and_inflates_to_the_same(void **state)
{
    struct buf back;

    (void)state;
    said = "{\"type\":\"progress\",\"stage\":\"assembling\",\"progress\":45,\"message\":\"Reading "
           "chunk "
           "5/10\",\"video_id\":123,\"status\":\"processing\",\"type\":\"progress\",\"stage\":"
           "\"assembling\"}";
    buf_init(&back, 4096);
    struct msg *plain = frames_of(u, &first, FRAMING_WS);
    struct msg *small = frames_of(u, &first, FRAMING_WS_DEFLATE);
    assert_true(small->len < plain->len);
    assert_true(unpack(small, &back));
    assert_string_equal(buf_text(&back), said);
    buf_deinit(&back);
}

static void what_would_grow_is_sent_as_it_is(void **state)
{
    struct buf back;

    (void)state;
    said = "pong";
    buf_init(&back, 4096);
    struct msg *m = frames_of(u, &first, FRAMING_WS_DEFLATE);
    assert_false(unpack(m, &back));
    assert_string_equal(buf_text(&back), "pong");
    assert_int_equal(m->len, 6);
    buf_deinit(&back);
}

static void words_of_a_client_are_framed_the_same_way(void **state)
{
    struct words words;

    (void)state;
    words_init(&words);
    assert_null(frames_pack(&words, FRAMING_WS));
    buf_puts(&words.bytes, "a");
    words_end(&words);
    words_end(&words); /* an empty message */
    struct msg *m = frames_pack(&words, FRAMING_WS);
    assert_int_equal(m->len, 5);
    assert_memory_equal(m->data,
                        "\x81\x01"
                        "a"
                        "\x81\x00",
                        5);
    msg_unref(&m);
    words_reset(&words);
    assert_null(frames_pack(&words, FRAMING_WS));
    buf_puts(&words.bytes, "bc");
    words_end(&words);
    m = frames_pack(&words, FRAMING_WS);
    assert_memory_equal(m->data,
                        "\x81\x02"
                        "bc",
                        4);
    msg_unref(&m);
    words_deinit(&words);
}

static void *fetch(void *unused)
{
    (void)unused;
    return frames_of(u, &first, FRAMING_WS);
}

static void threads_that_race_get_the_same_copy(void **state)
{
    pthread_t threads[8];

    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 8; i++)
            pthread_create(&threads[i], NULL, fetch, NULL);
        for (int i = 0; i < 8; i++) {
            void *m;
            pthread_join(threads[i], &m);
            assert_ptr_equal(m, frames_of(u, &first, FRAMING_WS));
        }
        end(state);
        begin(state);
    }
}

#define FRAMES(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRAMES(an_update_is_rendered_once_for_all),
        FRAMES(every_dialect_and_framing_has_its_own),
        FRAMES(nothing_to_say_is_remembered_too),
        FRAMES(several_messages_are_frames_one_after_the_other),
        FRAMES(without_a_websocket_messages_are_lines_or_records),
        FRAMES(long_messages_have_the_longer_heads),
        FRAMES(what_compresses_is_sent_compressed_and_inflates_to_the_same),
        FRAMES(what_would_grow_is_sent_as_it_is),
        FRAMES(words_of_a_client_are_framed_the_same_way),
        FRAMES(threads_that_race_get_the_same_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
