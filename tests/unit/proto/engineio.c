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

    assert_int_equal(engineio_read(ENGINEIO_V4, text, &binary, &packet), OK);
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
        assert_int_equal(engineio_read(ENGINEIO_V4, str_of(bad[i]), &binary, &packet), FAIL_SYNTAX);
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
    assert_int_equal(engineio_read(ENGINEIO_V4, STR("bAAAA"), &small, &packet), OK);
    assert_int_equal(engineio_read(ENGINEIO_V4, STR("bAAAAAAAA"), &small, &packet), FAIL_LIMIT);
    assert_int_equal(engineio_read(ENGINEIO_V4, STR("bAAAA"), &small, &packet), OK);
    buf_deinit(&small);
}

static void a_payload_falls_into_its_packets(void **state)
{
    struct str rest = STR("4hello\x1e"
                          "2\x1e"
                          "4world"),
               text;

    (void)state;
    assert_true(engineio_next(ENGINEIO_V4, &rest, &text));
    assert_true(str_equal(text, STR("4hello")));
    assert_true(engineio_next(ENGINEIO_V4, &rest, &text));
    assert_true(str_equal(text, STR("2")));
    assert_true(engineio_next(ENGINEIO_V4, &rest, &text));
    assert_true(str_equal(text, STR("4world")));
    assert_false(engineio_next(ENGINEIO_V4, &rest, &text));
}

/* A separator at an end has an empty packet beside it, which is none. */
static void separators_at_the_ends_leave_empty_texts(void **state)
{
    struct str rest = STR("\x1e"
                          "4a\x1e"),
               text;

    (void)state;
    assert_true(engineio_next(ENGINEIO_V4, &rest, &text));
    assert_int_equal(text.len, 0);
    assert_true(engineio_next(ENGINEIO_V4, &rest, &text));
    assert_true(str_equal(text, STR("4a")));
    assert_true(engineio_next(ENGINEIO_V4, &rest, &text));
    assert_int_equal(text.len, 0);
    assert_false(engineio_next(ENGINEIO_V4, &rest, &text));
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
        engineio_append(ENGINEIO_V4, &out, &packets[i]);
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
        engineio_append(ENGINEIO_V4, &out, &sent);
        assert_int_equal(engineio_read(ENGINEIO_V4, buf_str(&out), &binary, &packet), OK);
        assert_int_equal(packet.data.len, len);
        assert_memory_equal(packet.data.at, bytes, len);
    }
}

static void a_packet_is_one_frame(void **state)
{
    struct engineio_packet text = { ENGINEIO_MESSAGE, false, STR("hello") };
    struct engineio_packet bytes = { ENGINEIO_MESSAGE, true, STR("\x01\x02") };

    (void)state;
    engineio_append_frame(ENGINEIO_V4, &out, &text);
    engineio_append_frame(ENGINEIO_V4, &out, &bytes);
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
    engineio_append_frame(ENGINEIO_V4, &out, &packet);
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

static void revision_3_has_lengths_in_utf16_units(void **state)
{
    struct engineio_packet packets[] = {
        { ENGINEIO_MESSAGE, false, STR("hello") },
        { ENGINEIO_NOOP, false, STR("") },
        { ENGINEIO_MESSAGE, false, STR("\xe2\x82\xac\xf0\x9f\x8e\x89:") },
        { ENGINEIO_MESSAGE, true, STR("\x01\x02\x03\x04") },
    };
    static const char payload[] = "6:4hello1:65:4\xe2\x82\xac\xf0\x9f\x8e\x89:10:b4AQIDBA==";

    (void)state;
    for (size_t i = 0; i < 4; i++)
        engineio_append(ENGINEIO_V3, &out, &packets[i]);
    assert_string_equal(buf_text(&out), payload);
    struct str rest = buf_str(&out), text;
    for (size_t i = 0; i < 4; i++) {
        struct engineio_packet packet;
        assert_true(engineio_next(ENGINEIO_V3, &rest, &text));
        assert_int_equal(engineio_read(ENGINEIO_V3, text, &binary, &packet), OK);
        assert_int_equal(packet.type, packets[i].type);
        assert_int_equal(packet.is_binary, packets[i].is_binary);
        assert_true(str_equal(packet.data, packets[i].data));
    }
    assert_false(engineio_next(ENGINEIO_V3, &rest, &text));
}

static void revision_3_refuses_lengths_that_do_not_fit(void **state)
{
    static const char *const bad[] = {
        "",         ":",
        "4hello",   "x:4a",
        "-1:4a",    "3:4a",
        "0:",       "99999999999999999999:4a",
        "2:4a1",    "2:4\xf0\x9f\x8e\x89",
        "1:7",      "3:bAA",
        "6:b4AQI=",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct str rest = str_of(bad[i]), text;
        struct engineio_packet packet;
        int rc = OK;
        while (rc == OK && engineio_next(ENGINEIO_V3, &rest, &text))
            rc = engineio_read(ENGINEIO_V3, text, &binary, &packet);
        assert_int_equal(rc, bad[i][0] == '6' ? OK : FAIL_SYNTAX);
    }
}

static void revision_3_has_a_type_before_bytes(void **state)
{
    struct engineio_packet bytes = { ENGINEIO_MESSAGE, true, STR("\x01\x02") }, packet;

    (void)state;
    engineio_append_frame(ENGINEIO_V3, &out, &bytes);
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.data, "\x82\x03\x04\x01\x02", 5);
    assert_int_equal(engineio_read_bytes(ENGINEIO_V3, STR("\x04\x01\x02"), &packet), OK);
    assert_true(packet.is_binary && str_equal(packet.data, bytes.data));
    assert_int_equal(engineio_read_bytes(ENGINEIO_V3, STR(""), &packet), FAIL_SYNTAX);
    assert_int_equal(engineio_read_bytes(ENGINEIO_V3, STR("\x01\x01"), &packet), FAIL_SYNTAX);
    assert_int_equal(engineio_read_bytes(ENGINEIO_V4, STR("\x01\x02"), &packet), OK);
    assert_true(packet.is_binary && str_equal(packet.data, bytes.data));
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
        CASE(revision_3_has_lengths_in_utf16_units),
        CASE(revision_3_refuses_lengths_that_do_not_fit),
        CASE(revision_3_has_a_type_before_bytes),
        CASE(the_open_packet_tells_the_terms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
