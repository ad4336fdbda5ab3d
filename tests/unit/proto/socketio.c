/* The Socket.IO protocol, revision 5: "Packet encoding". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "base/err.h"
#include "proto/socketio.h"

static struct socketio_packet packet;

static int end(void **state)
{
    (void)state;
    socketio_packet_deinit(&packet);
    return 0;
}

static void reads(const char *text)
{
    socketio_packet_deinit(&packet);
    assert_int_equal(socketio_parse(str_of(text), &packet), OK);
}

static void refuses(const char *text)
{
    struct socketio_packet p = { 0 };

    assert_int_equal(socketio_parse(str_of(text), &p), FAIL_SYNTAX);
    assert_null(p.parsed);
}

static void is_text(struct str s, const char *expected)
{
    assert_true(str_equal(s, str_of(expected)));
}

static void encodes_to(const char *expected)
{
    struct buf out;

    buf_init(&out, 4096);
    socketio_encode(&packet, &out);
    assert_string_equal(buf_text(&out), expected);
    buf_deinit(&out);
}

static void a_connection_to_the_main_namespace_is_one_digit(void **state)
{
    (void)state;
    reads("0");
    assert_int_equal(packet.type, SOCKETIO_CONNECT);
    is_text(packet.namespace, "/");
    assert_false(packet.has_id);
    assert_null(packet.parsed);
    encodes_to("0");
}

static void every_example_of_the_document_is_read_and_written_alike(void **state)
{
    static const char *const examples[] = {
        "0",
        "0/admin,{\"sid\":\"oSO0OpakMV_3jnilAAAA\"}",
        "4{\"message\":\"Not authorized\"}",
        "2[\"foo\"]",
        "2/admin,[\"bar\"]",
        "51-[\"baz\",{\"_placeholder\":true,\"num\":0}]",
        "52-/admin,[\"baz\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
        "212[\"foo\"]",
        "3/admin,13[\"bar\"]",
        "61-15[\"bar\",{\"_placeholder\":true,\"num\":0}]",
        "1",
        "1/admin,",
        "2/admin,1[\"tellme\"]",
        "61-/admin,1[{\"_placeholder\":true,\"num\":0}]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
        reads(examples[i]);
        encodes_to(examples[i]);
    }
}

static void a_packet_has_its_namespace_id_and_payload(void **state)
{
    (void)state;
    reads("52-/file-processing,456[\"a\",{\"_placeholder\":true,\"num\":1},"
          "[{\"_placeholder\":true,\"num\":0}]]");
    assert_int_equal(packet.type, SOCKETIO_EVENT);
    assert_int_equal(packet.attachment_count, 2);
    is_text(packet.namespace, "/file-processing");
    assert_true(packet.has_id);
    assert_int_equal(packet.id, 456);
    assert_string_equal(socketio_event(&packet), "a");
    assert_int_equal(json_array_size(packet.parsed), 3);
}

static void the_comma_behind_a_namespace_may_be_missing_at_the_end(void **state)
{
    (void)state;
    reads("0/custom");
    is_text(packet.namespace, "/custom");
    reads("1/custom");
    is_text(packet.namespace, "/custom");
}

static void ids_go_as_far_as_javascript_counts(void **state)
{
    (void)state;
    reads("29007199254740991[\"a\"]");
    assert_int_equal(packet.id, INT64_C(9007199254740991));
    reads("20[\"a\"]");
    assert_true(packet.has_id);
    assert_int_equal(packet.id, 0);
    assert_int_equal(socketio_parse(STR("29007199254740992[\"a\"]"), &packet), FAIL_LIMIT);
    assert_int_equal(socketio_parse(STR("299999999999999999999999[\"a\"]"), &packet), FAIL_LIMIT);
}

static void what_is_no_packet_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",         "a",       "abc",         "7",      "9[]", "-1",    " 2[\"a\"]",
        "x[\"a\"]", "4",       "42",          "2",      "3",   "31",    "2/",
        "2/a,",     "2[\"a",   "2[\"a\"]x",   "2{}",    "2[]", "2[{}]", "2null",
        "2\"a\"",   "2[null]", "2abc[\"a\"]", "2[true]"
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        refuses(wrong[i]);
}

static void a_payload_that_does_not_suit_its_type_is_refused(void **state)
{
    (void)state;
    refuses("0[]");
    refuses("0\"token\"");
    refuses("1{}");
    refuses("1/a,[]");
    refuses("31{}");
    refuses("31\"a\"");
    refuses("3[\"to what?\"]");
    refuses("4[]");
    reads("31[]");
    reads("4\"no\"");
    reads("2[7,\"an event may be a number\"]");
    assert_null(socketio_event(&packet));
    is_text(socketio_arguments(&packet), "\"an event may be a number\"");
}

static void reserved_names_are_no_events(void **state)
{
    (void)state;
    refuses("2[\"connect\"]");
    refuses("2[\"connect_error\"]");
    refuses("2[\"disconnect\",\"x\"]");
    refuses("2[\"disconnecting\"]");
    refuses("2[\"newListener\"]");
    refuses("2[\"removeListener\"]");
    reads("2[\"connected\"]");
}

static void attachments_are_counted_and_placed(void **state)
{
    (void)state;
    refuses("5[\"a\"]");
    refuses("5-[\"a\"]");
    refuses("5x-[\"a\"]");
    refuses("51[\"a\"]");
    refuses("5-1-[\"a\"]");
    refuses("51-[\"a\",{\"_placeholder\":true,\"num\":1}]");
    refuses("51-[\"a\",{\"_placeholder\":true,\"num\":-1}]");
    refuses("51-[\"a\",{\"_placeholder\":true,\"num\":0.5}]");
    refuses("51-[\"a\",[[{\"b\":{\"_placeholder\":true}}]]]");
    assert_int_equal(socketio_parse(STR("511-[\"a\"]"), &packet), FAIL_LIMIT);
    reads("50-[\"a\"]");
    assert_int_equal(packet.attachment_count, 0);
    /* Only in a binary packet does it mean something. */
    reads("2[\"a\",{\"_placeholder\":true,\"num\":7}]");
}

static void names_that_could_break_an_answer_are_refused(void **state)
{
    char text[SOCKETIO_NAMESPACE_MAX + 3];

    (void)state;
    refuses("0/a\x1e"
            "b,");
    refuses("0/\xff,");
    refuses("0/a\n,");
    reads("0/caf\xc3\xa9,");
    memset(text, 'a', sizeof(text));
    memcpy(text, "0/", 2);
    assert_int_equal(socketio_parse((struct str){ text, sizeof(text) }, &packet), FAIL_LIMIT);
    assert_int_equal(socketio_parse((struct str){ text, sizeof(text) - 2 }, &packet), OK);
}

static void json_is_strict_and_its_depth_bounded(void **state)
{
    char deep[2 * SOCKETIO_DEPTH_MAX + 8];
    size_t len = 0;

    (void)state;
    refuses("2['a']");
    refuses("2[\"a\",]");
    refuses("2[\"a\"]]");
    refuses("2[\"a\xff\"]");
    assert_int_equal(socketio_parse((struct str){ "2[\"a\"]\0", 7 }, &packet), FAIL_SYNTAX);
    reads("2[\"a\",\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[\"]");
    for (int extra = 0; extra < 2; extra++) {
        socketio_packet_deinit(&packet);
        int depth = SOCKETIO_DEPTH_MAX - 1 + extra;
        len = (size_t)snprintf(deep, sizeof(deep), "2[\"\",");
        for (int i = 0; i < depth; i++)
            deep[len++] = '[';
        for (int i = 0; i < depth + 1; i++)
            deep[len++] = ']';
        assert_int_equal(socketio_parse((struct str){ deep, len }, &packet),
                         extra ? FAIL_LIMIT : OK);
    }
}

static void arguments_are_given_as_they_stand(void **state)
{
    static const struct {
        const char *text, *arguments;
    } cases[] = {
        { "2[\"m\"]", "" },
        { "2[\"m\",1,\"2\",{\"3\":[true]}]", "1,\"2\",{\"3\":[true]}" },
        { "2[ \"m\" , 1.0 ,[] ] ", "1.0 ,[]" },
        { "2[\"a\\\"],b\",\",\"]", "\",\"" },
        { "2[\"\\\\\",0]", "0" },
        { "27[8,\"x\"]", "\"x\"" },
        { "2[8]", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        reads(cases[i].text);
        is_text(socketio_arguments(&packet), cases[i].arguments);
    }
}

/* --- attachments --- */

static struct socketio_reader reader;

static int open_reader(void **state)
{
    (void)state;
    socketio_reader_init(&reader, 8);
    return 0;
}

static int close_reader(void **state)
{
    (void)state;
    socketio_reader_deinit(&reader);
    return 0;
}

static const struct socketio_packet *feed(bool is_binary, const char *bytes)
{
    const struct socketio_packet *p;
    char copy[256];

    /* What is fed is gone after the call. */
    snprintf(copy, sizeof(copy), "%s", bytes);
    assert_int_equal(socketio_reader_feed(&reader, is_binary, str_of(copy), &p), OK);
    if (p != NULL && p->attachment_count == 0)
        assert_true(p->json.at >= copy && p->json.at < copy + sizeof(copy));
    memset(copy, 'x', sizeof(copy));
    return p;
}

static int feed_fails(bool is_binary, const char *bytes)
{
    const struct socketio_packet *p;

    return socketio_reader_feed(&reader, is_binary, str_of(bytes), &p);
}

static void attachments_make_a_packet_whole(void **state)
{
    const struct socketio_packet *p;

    (void)state;
    assert_null(feed(false, "53-7[\"a\",{\"_placeholder\":true,\"num\":2}]"));
    assert_null(feed(true, "abc"));
    assert_null(feed(true, ""));
    p = feed(true, "defgh");
    assert_non_null(p);
    assert_int_equal(p->id, 7);
    assert_string_equal(socketio_event(p), "a");
    is_text(p->attachments[0], "abc");
    is_text(p->attachments[1], "");
    is_text(p->attachments[2], "defgh");
    assert_non_null(feed(false, "2[\"b\"]"));
    assert_null(feed(false, "51-[\"a\",{\"_placeholder\":true,\"num\":0}]"));
    p = feed(true, "12345678");
    is_text(p->attachments[0], "12345678");
}

static void bytes_that_nobody_waits_for_are_refused(void **state)
{
    (void)state;
    assert_int_equal(feed_fails(true, "abc"), FAIL_SYNTAX);
    assert_null(feed(false, "51-[\"a\"]"));
    assert_non_null(feed(true, "abc"));
    assert_int_equal(feed_fails(true, "abc"), FAIL_SYNTAX);
}

static void text_between_attachments_is_refused(void **state)
{
    (void)state;
    assert_null(feed(false, "52-[\"a\"]"));
    assert_null(feed(true, "abc"));
    assert_int_equal(feed_fails(false, "2[\"b\"]"), FAIL_SYNTAX);
}

static void attachments_are_bounded_together(void **state)
{
    (void)state;
    assert_null(feed(false, "53-[\"a\"]"));
    assert_null(feed(true, "abcd"));
    assert_int_equal(feed_fails(true, "efghi"), FAIL_LIMIT);
}

#define PACKET(test) cmocka_unit_test_teardown(test, end)
#define READER(test) cmocka_unit_test_setup_teardown(test, open_reader, close_reader)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PACKET(a_connection_to_the_main_namespace_is_one_digit),
        PACKET(every_example_of_the_document_is_read_and_written_alike),
        PACKET(a_packet_has_its_namespace_id_and_payload),
        PACKET(the_comma_behind_a_namespace_may_be_missing_at_the_end),
        PACKET(ids_go_as_far_as_javascript_counts),
        PACKET(what_is_no_packet_is_refused),
        PACKET(a_payload_that_does_not_suit_its_type_is_refused),
        PACKET(reserved_names_are_no_events),
        PACKET(attachments_are_counted_and_placed),
        PACKET(names_that_could_break_an_answer_are_refused),
        PACKET(json_is_strict_and_its_depth_bounded),
        PACKET(arguments_are_given_as_they_stand),
        READER(attachments_make_a_packet_whole),
        READER(bytes_that_nobody_waits_for_are_refused),
        READER(text_between_attachments_is_refused),
        READER(attachments_are_bounded_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
