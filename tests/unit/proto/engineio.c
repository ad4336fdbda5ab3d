#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/engineio.h"

enum { PAYLOAD_MAX = 4096 };

static struct buf binary, out;

static int start(void **state)
{
    (void)state;
    buf_init(&binary, PAYLOAD_MAX);
    buf_init(&out, PAYLOAD_MAX);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    buf_deinit(&binary);
    buf_deinit(&out);
    return 0;
}

static struct str bytes_of(const char *text, size_t len)
{
    return (struct str){ text, len };
}

static void expect(struct str text, enum engineio_type type, bool is_binary, struct str data)
{
    struct engineio_packet packet;

    assert_int_equal(engineio_read(text, &binary, &packet), OK);
    assert_int_equal(packet.type, type);
    assert_int_equal(packet.is_binary, is_binary);
    assert_int_equal(packet.data.len, data.len);
    assert_memory_equal(packet.data.at, data.at, data.len);
}

static void every_type_is_read_with_its_data(void **state)
{
    (void)state;
    for (char type = '0'; type <= '6'; type++) {
        char text[] = { type, 'a', 'b' };
        expect(bytes_of(text, 3), (enum engineio_type)type, false, STR("ab"));
        expect(bytes_of(text, 1), (enum engineio_type)type, false, STR(""));
    }
    expect(STR("2probe"), ENGINEIO_PING, false, STR("probe"));
    expect(STR("4\xe2\x82\xac"), ENGINEIO_MESSAGE, false, STR("\xe2\x82\xac"));
}

static void base64_is_read_as_bytes(void **state)
{
    (void)state;
    expect(STR("bAQIDBA=="), ENGINEIO_MESSAGE, true, STR("\x01\x02\x03\x04"));
    expect(STR("b"), ENGINEIO_MESSAGE, true, STR(""));
    expect(STR("bAP8="), ENGINEIO_MESSAGE, true, bytes_of("\0\xff", 2));
    expect(STR("b+/+/"), ENGINEIO_MESSAGE, true, STR("\xfb\xff\xbf"));
}

static void what_is_no_packet_is_refused(void **state)
{
    static const char *const bad[] = {
        "",      "7",     "a",     "abc",     "\x1e",  " 4",       "bA",         "bAQ",
        "bAQI",  "bA===", "b====", "bAQ=A",   "b-_-_", "bAQIDBA=", "bAR==",      "bAAB=",
        "bAA A", "b\n",   "B",     "bAQID\n", "b=",    "b==",      "bAQIDBA===",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct engineio_packet packet = { .type = ENGINEIO_NOOP };
        assert_int_equal(engineio_read(str_of(bad[i]), &binary, &packet), FAIL_SYNTAX);
        assert_int_equal(packet.type, ENGINEIO_NOOP);
        assert_int_equal(binary.len, 0);
    }
}

static void bytes_beyond_the_maximum_are_refused(void **state)
{
    struct engineio_packet packet;
    struct buf small;

    (void)state;
    buf_init(&small, 3);
    assert_int_equal(engineio_read(STR("bAAAA"), &small, &packet), OK);
    assert_int_equal(engineio_read(STR("bAAAAAAAA"), &small, &packet), FAIL_LIMIT);
    assert_int_equal(engineio_read(STR("bAAAA"), &small, &packet), OK);
    buf_deinit(&small);
}

static void a_payload_falls_into_its_packets(void **state)
{
    struct str rest = STR("4hello\x1e"
                          "2\x1e"
                          "4world"),
               text;

    (void)state;
    assert_true(engineio_next(&rest, &text));
    assert_true(str_equal(text, STR("4hello")));
    assert_true(engineio_next(&rest, &text));
    assert_true(str_equal(text, STR("2")));
    assert_true(engineio_next(&rest, &text));
    assert_true(str_equal(text, STR("4world")));
    assert_false(engineio_next(&rest, &text));
}

/* A separator at an end has an empty packet beside it, which is none. */
static void separators_at_the_ends_leave_empty_texts(void **state)
{
    struct str rest = STR("\x1e"
                          "4a\x1e"),
               text;

    (void)state;
    assert_true(engineio_next(&rest, &text));
    assert_int_equal(text.len, 0);
    assert_true(engineio_next(&rest, &text));
    assert_true(str_equal(text, STR("4a")));
    assert_true(engineio_next(&rest, &text));
    assert_int_equal(text.len, 0);
    assert_false(engineio_next(&rest, &text));
}

static void packets_make_a_payload(void **state)
{
    struct engineio_packet packets[] = {
        { ENGINEIO_MESSAGE, false, STR("hello") },
        { ENGINEIO_MESSAGE, true, STR("\x01\x02\x03\x04") },
        { ENGINEIO_PING, false, STR("") },
        { ENGINEIO_MESSAGE, true, STR("") },
        { ENGINEIO_MESSAGE, true, STR("\xff\xff\xff") },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(packets) / sizeof(*packets); i++)
        engineio_append(&out, &packets[i]);
    assert_string_equal(buf_text(&out), "4hello\x1e"
                                        "bAQIDBA==\x1e"
                                        "2\x1e"
                                        "b\x1e"
                                        "b////");
}

static void base64_comes_back_as_it_was(void **state)
{
    uint8_t bytes[256];
    struct engineio_packet packet;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct engineio_packet sent = { ENGINEIO_MESSAGE, true, { (char *)bytes, len } };
        buf_reset(&out);
        engineio_append(&out, &sent);
        assert_int_equal(engineio_read(buf_str(&out), &binary, &packet), OK);
        assert_int_equal(packet.data.len, len);
        assert_memory_equal(packet.data.at, bytes, len);
    }
}

static void a_packet_is_one_frame(void **state)
{
    struct engineio_packet text = { ENGINEIO_MESSAGE, false, STR("hello") };
    struct engineio_packet bytes = { ENGINEIO_MESSAGE, true, STR("\x01\x02") };

    (void)state;
    engineio_append_frame(&out, &text);
    engineio_append_frame(&out, &bytes);
    assert_int_equal(out.len, 12);
    assert_memory_equal(out.data,
                        "\x81\x06"
                        "4hello"
                        "\x82\x02\x01\x02",
                        12);
}

static void a_long_packet_has_a_long_head(void **state)
{
    char text[200];
    struct engineio_packet packet = { ENGINEIO_MESSAGE, false, { text, sizeof(text) } };

    (void)state;
    memset(text, 'x', sizeof(text));
    engineio_append_frame(&out, &packet);
    assert_int_equal(out.len, 4 + 1 + sizeof(text));
    assert_memory_equal(out.data,
                        "\x81\x7e\x00\xc9"
                        "4x",
                        6);
}

static void the_open_packet_tells_the_terms(void **state)
{
    struct engineio_open open = { "sid", true, 25000, 20000, 1000000 };

    (void)state;
    engineio_append_open(&out, &open);
    assert_string_equal(buf_text(&out),
                        "{\"sid\":\"sid\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
                        "\"pingTimeout\":20000,\"maxPayload\":1000000}");
    open.may_upgrade = false;
    buf_reset(&out);
    engineio_append_open(&out, &open);
    json_t *value = json_loadb(out.data, out.len, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(value, "upgrades")), 0);
    assert_true(json_is_array(json_object_get(value, "upgrades")));
    json_decref(value);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_type_is_read_with_its_data),
        CASE(base64_is_read_as_bytes),
        CASE(what_is_no_packet_is_refused),
        CASE(bytes_beyond_the_maximum_are_refused),
        CASE(a_payload_falls_into_its_packets),
        CASE(separators_at_the_ends_leave_empty_texts),
        CASE(packets_make_a_payload),
        CASE(base64_comes_back_as_it_was),
        CASE(a_packet_is_one_frame),
        CASE(a_long_packet_has_a_long_head),
        CASE(the_open_packet_tells_the_terms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
