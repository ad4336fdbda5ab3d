#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/ws.h"

/* Every scene is played in one feed and again in small ones: how the bytes
 * were cut must not be seen. What was heard is written down as lines. The file
 * is long because reader, writer and both together need this one stage. */

enum { WIRE_MAX = 64 << 20 };

static const struct ws_settings server = { .message_max = 1000 };
static const struct ws_settings client = { .message_max = 1000, .is_client = true };

/* --- listening --- */

struct ear {
    struct buf heard;
    struct ws_reader *ends; /* set is_over on any event, if not NULL */
    const char *low, *high; /* the fed bytes */
    bool is_in_place;       /* the last message lay in them */
};

static void hear(struct ear *e, const char *what, const char *data, size_t len)
{
    buf_puts(&e->heard, what);
    buf_append(&e->heard, data, len);
    buf_putc(&e->heard, '\n');
    if (e->ends != NULL)
        e->ends->is_over = true;
}

static void on_message(void *context, enum ws_opcode type, char *data, size_t len)
{
    struct ear *e = context;

    assert_non_null(data);
    e->is_in_place = data >= e->low && data + len <= e->high;
    hear(e, type == WS_TEXT ? "text:" : "binary:", data, len);
}

static void on_ping(void *context, const char *data, size_t len)
{
    hear(context, "ping:", data, len);
}

static void on_pong(void *context, const char *data, size_t len)
{
    hear(context, "pong:", data, len);
}

static void on_close(void *context, uint16_t code, struct str reason)
{
    struct ear *e = context;

    buf_printf(&e->heard, "close %u ", code);
    hear(e, "", reason.at, reason.len);
}

static const struct ws_events events = { on_message, on_ping, on_pong, on_close };

/* --- speaking --- */

static struct buf wire;

static int setup(void **state)
{
    (void)state;
    buf_init(&wire, WIRE_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_false(wire.failed);
    buf_deinit(&wire);
    return 0;
}

static void put_head(uint8_t first, unsigned len_bytes, uint64_t len, bool is_masked)
{
    uint8_t mask_bit = is_masked ? 0x80 : 0;

    buf_putc(&wire, (char)first);
    if (len_bytes == 0)
        buf_putc(&wire, (char)(mask_bit | len));
    else
        buf_putc(&wire, (char)(mask_bit | (len_bytes == 2 ? 126 : 127)));
    while (len_bytes-- > 0)
        buf_putc(&wire, (char)(len >> (8 * len_bytes)));
}

/* A client's frame in the shortest form. */
static void put(uint8_t first, const char *data, size_t len)
{
    static const char mask[4] = { 0x37, (char)0xfa, 0x21, 0x3d };

    put_head(first, len < 126 ? 0 : len < 65536 ? 2 : 8, len, true);
    buf_append(&wire, mask, 4);
    for (size_t i = 0; i < len; i++)
        buf_putc(&wire, (char)(data[i] ^ mask[i & 3]));
}

static void say(uint8_t first, const char *text)
{
    put(first, text, strlen(text));
}

static void say_close(unsigned code, const char *reason)
{
    char payload[WS_CONTROL_MAX] = { (char)(code >> 8), (char)code };

    memcpy(payload + 2, reason, strlen(reason));
    put(WS_FIN | WS_CLOSE, payload, 2 + strlen(reason));
}

enum { TEXT = WS_TEXT, BINARY = WS_BINARY, MORE = WS_CONTINUATION };
enum { LAST = WS_FIN | WS_CONTINUATION, WHOLE = WS_FIN | WS_TEXT, DATA = WS_FIN | WS_BINARY };
enum { PING = WS_FIN | WS_PING, PONG = WS_FIN | WS_PONG, SHUT = WS_FIN | WS_CLOSE };

/* --- playing --- */

/* Each piece in memory of its own, so that reading past it is noticed. */
static uint16_t feed_piece(struct ws_reader *r, const struct ws_settings *settings, struct ear *e,
                           const char *bytes, size_t len)
{
    char *copy = mem_alloc(len);

    memcpy(copy, bytes, len);
    e->low = copy;
    e->high = copy + len;
    uint16_t code = ws_reader_feed(r, settings, &events, e, copy, len);
    mem_free(copy);
    return code;
}

static uint16_t feed_all(struct ws_reader *r, const struct ws_settings *settings, struct ear *e,
                         size_t step)
{
    uint16_t code = WS_CLOSE_EMPTY;

    for (size_t at = 0; at < wire.len && code == WS_CLOSE_EMPTY; at += step) {
        size_t len = wire.len - at < step ? wire.len - at : step;
        code = feed_piece(r, settings, e, wire.data + at, len);
    }
    return code;
}

static uint16_t play(const struct ws_settings *settings, bool is_deflate, size_t step,
                     struct ear *e)
{
    struct ws_reader r;

    *e = (struct ear){ 0 };
    buf_init(&e->heard, WIRE_MAX);
    ws_reader_init(&r, is_deflate);
    uint16_t code = feed_all(&r, settings, e, step);
    if (code != WS_CLOSE_EMPTY) {
        assert_true(r.is_over);
        assert_null(r.message);
        assert_null(r.control);
    }
    ws_reader_deinit(&r);
    return code;
}

static void plays(const struct ws_settings *settings, bool is_deflate, const char *heard,
                  uint16_t code)
{
    static const size_t steps[] = { SIZE_MAX, 1, 2, 3, 5, 7, 64 };

    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        struct ear e;
        assert_int_equal(play(settings, is_deflate, steps[i] < wire.len ? steps[i] : wire.len, &e),
                         code);
        assert_string_equal(buf_text(&e.heard), heard);
        buf_deinit(&e.heard);
    }
    buf_reset(&wire);
}

static void hears(const char *heard)
{
    plays(&server, false, heard, WS_CLOSE_EMPTY);
}

static void refuses(uint16_t code)
{
    plays(&server, false, "", code);
}

static void inflates(const char *heard)
{
    plays(&server, true, heard, WS_CLOSE_EMPTY);
}

/* --- frames and messages --- */

static void the_examples_of_the_standard_are_read(void **state)
{
    (void)state;
    buf_append(&wire, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    buf_append(&wire, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    hears("text:Hello\npong:Hello\n");
    buf_append(&wire, "\x81\x05Hello\x01\x03Hel\x80\x02lo\x89\x05Hello", 23);
    plays(&client, false, "text:Hello\ntext:Hello\nping:Hello\n", WS_CLOSE_EMPTY);
}

static void a_message_that_came_whole_is_handed_out_where_it_lies(void **state)
{
    struct ear e;

    (void)state;
    say(WHOLE, "Hello");
    assert_int_equal(play(&server, true, wire.len, &e), WS_CLOSE_EMPTY);
    assert_true(e.is_in_place);
    buf_deinit(&e.heard);
    assert_int_equal(play(&server, true, wire.len - 1, &e), WS_CLOSE_EMPTY);
    assert_false(e.is_in_place);
    buf_deinit(&e.heard);
}

static void several_messages_may_come_in_one_feed(void **state)
{
    (void)state;
    say(WHOLE, "one");
    say(DATA, "two");
    say(WHOLE, "three");
    hears("text:one\nbinary:two\ntext:three\n");
}

static void fragments_become_one_message(void **state)
{
    (void)state;
    say(TEXT, "one ");
    say(MORE, "two ");
    say(LAST, "three");
    say(BINARY, "a");
    say(LAST, "b");
    hears("text:one two three\nbinary:ab\n");
}

static void empty_messages_and_fragments_are_messages_too(void **state)
{
    (void)state;
    say(WHOLE, "");
    say(DATA, "");
    say(TEXT, "");
    say(MORE, "");
    say(LAST, "");
    say(BINARY, "");
    say(MORE, "x");
    say(LAST, "");
    hears("text:\nbinary:\ntext:\nbinary:x\n");
}

static void control_frames_are_heard_between_fragments_at_once(void **state)
{
    (void)state;
    say(TEXT, "one ");
    say(PING, "p");
    say(MORE, "two ");
    say(PONG, "");
    say(PING, "");
    say(LAST, "three");
    hears("ping:p\npong:\nping:\ntext:one two three\n");
}

static void a_close_between_fragments_ends_the_message_unheard(void **state)
{
    (void)state;
    say(TEXT, "one ");
    say_close(1000, "enough");
    say(LAST, "two");
    hears("close 1000 enough\n");
}

static void all_three_forms_of_the_length_are_read(void **state)
{
    static const size_t lens[] = { 0, 125, 126, 127, 65535, 65536, 100000 };
    static const struct ws_settings roomy = { .message_max = 100000 };

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        struct buf expected;
        buf_init(&expected, WIRE_MAX);
        char *text = mem_alloc(lens[i]);
        memset(text, 'a' + (int)i, lens[i]);
        put(WHOLE, text, lens[i]);
        buf_puts(&expected, "text:");
        buf_append(&expected, text, lens[i]);
        buf_putc(&expected, '\n');
        plays(&roomy, false, buf_text(&expected), WS_CLOSE_EMPTY);
        buf_deinit(&expected);
        mem_free(text);
    }
}

static void control_frames_hold_up_to_125_bytes(void **state)
{
    char text[126], heard[140];

    (void)state;
    memset(text, 'x', 125);
    text[125] = '\0';
    snprintf(heard, sizeof(heard), "ping:%s\n", text);
    say(PING, text);
    hears(heard);
    for (int opcode = WS_CLOSE; opcode <= WS_PONG; opcode++) {
        put_head((uint8_t)(WS_FIN | opcode), 2, 126, true);
        refuses(WS_CLOSE_PROTOCOL);
        put_head((uint8_t)(WS_FIN | opcode), 8, 70000, true);
        refuses(WS_CLOSE_PROTOCOL);
    }
}

/* --- broken frames --- */

static void a_client_must_mask(void **state)
{
    (void)state;
    buf_append(&wire, "\x81\x05Hello", 7);
    refuses(WS_CLOSE_PROTOCOL);
    buf_append(&wire, "\x89\x00", 2);
    refuses(WS_CLOSE_PROTOCOL);
}

static void a_server_must_not_mask(void **state)
{
    (void)state;
    say(WHOLE, "Hello");
    plays(&client, false, "", WS_CLOSE_PROTOCOL);
    say(PING, "");
    plays(&client, false, "", WS_CLOSE_PROTOCOL);
}

static void reserved_bits_are_refused(void **state)
{
    static const uint8_t firsts[] = { WHOLE, DATA, PING, PONG, SHUT };

    (void)state;
    for (size_t i = 0; i < sizeof(firsts); i++)
        for (unsigned rsv = 0x10; rsv <= 0x70; rsv += 0x10) {
            say((uint8_t)(firsts[i] | rsv), "");
            refuses(WS_CLOSE_PROTOCOL);
        }
}

static void rsv1_marks_only_the_first_frame_of_compressed_data(void **state)
{
    static const uint8_t firsts[] = { PING, PONG, SHUT };

    (void)state;
    for (size_t i = 0; i < sizeof(firsts); i++) {
        say(firsts[i] | WS_RSV1, "");
        plays(&server, true, "", WS_CLOSE_PROTOCOL);
    }
    for (unsigned rsv = 0x10; rsv <= 0x70; rsv += 0x10) {
        if (rsv == WS_RSV1)
            continue;
        say((uint8_t)(WHOLE | rsv), "");
        plays(&server, true, "", WS_CLOSE_PROTOCOL);
    }
    say(TEXT, "a");
    say(LAST | WS_RSV1, "b");
    plays(&server, true, "", WS_CLOSE_PROTOCOL);
    put(TEXT | WS_RSV1, "\xf2\x48\xcd", 3);
    put(LAST | WS_RSV1, "\xc9\xc9\x07\x00", 4);
    plays(&server, true, "", WS_CLOSE_PROTOCOL);
}

static void reserved_opcodes_are_refused(void **state)
{
    static const uint8_t opcodes[] = { 3, 4, 5, 6, 7, 11, 12, 13, 14, 15 };

    (void)state;
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        say(WS_FIN | opcodes[i], "");
        refuses(WS_CLOSE_PROTOCOL);
        say(opcodes[i], "x");
        refuses(WS_CLOSE_PROTOCOL);
        say(WHOLE, "first");
        say(TEXT, "a");
        say(WS_FIN | opcodes[i], "x");
        plays(&server, false, "text:first\n", WS_CLOSE_PROTOCOL);
    }
}

static void control_frames_are_never_fragmented(void **state)
{
    (void)state;
    for (uint8_t opcode = WS_CLOSE; opcode <= WS_PONG; opcode++) {
        say(opcode, "");
        refuses(WS_CLOSE_PROTOCOL);
    }
}

static void a_continuation_needs_a_start(void **state)
{
    (void)state;
    say(MORE, "x");
    refuses(WS_CLOSE_PROTOCOL);
    say(LAST, "x");
    refuses(WS_CLOSE_PROTOCOL);
    say(TEXT, "a");
    say(LAST, "b");
    say(LAST, "c");
    plays(&server, false, "text:ab\n", WS_CLOSE_PROTOCOL);
}

static void a_new_message_waits_for_the_end_of_the_last(void **state)
{
    (void)state;
    say(TEXT, "a");
    say(WHOLE, "b");
    refuses(WS_CLOSE_PROTOCOL);
    say(BINARY, "");
    say(BINARY, "b");
    refuses(WS_CLOSE_PROTOCOL);
}

static void the_shortest_form_of_a_length_is_the_only_one(void **state)
{
    static const struct ws_settings roomy = { .message_max = 1 << 20 };
    static const struct {
        unsigned bytes;
        uint64_t len;
    } longer[] = { { 2, 0 },     { 2, 125 },        { 8, 0 },         { 8, 126 },
                   { 8, 65535 }, { 8, 1ull << 63 }, { 8, UINT64_MAX } };

    (void)state;
    for (size_t i = 0; i < sizeof(longer) / sizeof(*longer); i++) {
        put_head(WHOLE, longer[i].bytes, longer[i].len, true);
        buf_append(&wire, "mask", 4);
        plays(&roomy, false, "", WS_CLOSE_PROTOCOL);
    }
}

/* --- closing --- */

static void a_close_may_be_empty_or_have_a_code_and_a_reason(void **state)
{
    char reason[124], heard[150];

    (void)state;
    say(SHUT, "");
    hears("close 0 \n");
    say_close(1001, "");
    hears("close 1001 \n");
    say_close(4001, "gr\xc3\xbc\xc3\x9f");
    hears("close 4001 gr\xc3\xbc\xc3\x9f\n");
    memset(reason, 'r', 123);
    reason[123] = '\0';
    snprintf(heard, sizeof(heard), "close 1000 %s\n", reason);
    say_close(1000, reason);
    hears(heard);
}

static bool may_be_sent(unsigned code)
{
    static const uint16_t codes[] = { 1000, 1001, 1002, 1003, 1007, 1008,
                                      1009, 1010, 1011, 1012, 1013, 1014 };

    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
        if (code == codes[i])
            return true;
    return code >= 3000 && code < 5000;
}

static void only_codes_that_may_be_sent_are_taken(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        struct ear e;
        say_close(code, "");
        uint16_t result = play(&server, false, wire.len, &e);
        assert_int_equal(result, may_be_sent(code) ? WS_CLOSE_EMPTY : WS_CLOSE_PROTOCOL);
        assert_int_equal(e.heard.len > 0, may_be_sent(code));
        buf_deinit(&e.heard);
        buf_reset(&wire);
    }
}

static void half_a_code_is_refused(void **state)
{
    (void)state;
    say(SHUT, "\x03");
    refuses(WS_CLOSE_PROTOCOL);
}

static void a_reason_must_be_text(void **state)
{
    (void)state;
    say_close(1000, "\xce\xba\xff");
    refuses(WS_CLOSE_NOT_UTF8);
    say_close(1000, "half a character: \xe2\x82");
    refuses(WS_CLOSE_NOT_UTF8);
}

static void nothing_is_heard_behind_a_close(void **state)
{
    (void)state;
    say_close(1000, "bye");
    say(WHOLE, "still there?");
    say(PING, "");
    say_close(1001, "");
    buf_puts(&wire, "and rubbish");
    hears("close 1000 bye\n");
}

static void nothing_is_heard_behind_an_error(void **state)
{
    struct ear e = { 0 };
    struct ws_reader r;

    (void)state;
    buf_init(&e.heard, 100);
    ws_reader_init(&r, false);
    say(MORE, "");
    say(PING, "");
    assert_int_equal(feed_piece(&r, &server, &e, wire.data, wire.len), WS_CLOSE_PROTOCOL);
    buf_reset(&wire);
    say(PING, "");
    assert_int_equal(feed_piece(&r, &server, &e, wire.data, wire.len), WS_CLOSE_EMPTY);
    assert_int_equal(e.heard.len, 0);
    ws_reader_deinit(&r);
    buf_deinit(&e.heard);
}

static void a_callback_that_has_enough_ends_the_reading(void **state)
{
    static const uint8_t firsts[] = { WHOLE, PING, PONG };

    (void)state;
    for (size_t i = 0; i < sizeof(firsts); i++)
        for (size_t step = 1; step < 100; step += 98) {
            struct ws_reader r;
            struct ear e = { .ends = &r };
            buf_init(&e.heard, 100);
            ws_reader_init(&r, false);
            say(firsts[i], "1");
            say(WHOLE, "2");
            assert_int_equal(feed_all(&r, &server, &e, step), WS_CLOSE_EMPTY);
            assert_string_equal(strchr(buf_text(&e.heard), ':'), ":1\n");
            assert_true(r.is_over);
            ws_reader_deinit(&r);
            buf_deinit(&e.heard);
            buf_reset(&wire);
        }
}

/* --- text --- */

static void characters_may_be_cut_by_fragments(void **state)
{
    (void)state;
    say(TEXT, "\xce");
    say(MORE, "\xba\xf0\x9f");
    say(MORE, "");
    say(PING, "\xff");
    say(MORE, "\x98");
    say(LAST, "\x80");
    hears("ping:\xff\ntext:\xce\xba\xf0\x9f\x98\x80\n");
}

static void a_text_that_is_not_utf8_is_refused(void **state)
{
    static const char *const bad[] = {
        "\xff",
        "a\x80",
        "\xc0\xaf",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xe2\x82",
        "eight letters and then \xfe and more",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        say(WHOLE, bad[i]);
        refuses(WS_CLOSE_NOT_UTF8);
        say(TEXT, bad[i]);
        say(LAST, "");
        refuses(WS_CLOSE_NOT_UTF8);
        say(DATA, bad[i]);
        struct ear e;
        assert_int_equal(play(&server, false, wire.len, &e), WS_CLOSE_EMPTY);
        assert_memory_equal(buf_text(&e.heard), "binary:", 7);
        buf_deinit(&e.heard);
        buf_reset(&wire);
    }
}

static void a_bad_byte_is_refused_before_the_frame_is_whole(void **state)
{
    struct ear e = { 0 };
    struct ws_reader r;

    (void)state;
    say(TEXT, "good so far ");
    say(MORE, "and then \xce\xff and much more");
    buf_init(&e.heard, 100);
    ws_reader_init(&r, false);
    size_t bad = 6 + 12 + 6 + 9 + 1; /* two heads, a fragment, what leads up to it */
    for (size_t at = 0; at < bad; at++)
        assert_int_equal(feed_piece(&r, &server, &e, wire.data + at, 1), WS_CLOSE_EMPTY);
    assert_int_equal(feed_piece(&r, &server, &e, wire.data + bad, 1), WS_CLOSE_NOT_UTF8);
    ws_reader_deinit(&r);
    buf_deinit(&e.heard);
}

static void a_bad_byte_is_refused_in_a_fragment_that_is_not_the_last(void **state)
{
    (void)state;
    say(TEXT, "\xed\xa0");
    refuses(WS_CLOSE_NOT_UTF8);
    say(TEXT, "\xce");
    say(MORE, "\xce");
    refuses(WS_CLOSE_NOT_UTF8);
}

/* --- limits --- */

static void a_message_may_be_as_long_as_the_maximum(void **state)
{
    static const struct ws_settings five = { .message_max = 5 };

    (void)state;
    say(WHOLE, "12345");
    say(TEXT, "123");
    say(LAST, "45");
    say(BINARY, "12345");
    say(LAST, "");
    plays(&five, false, "text:12345\ntext:12345\nbinary:12345\n", WS_CLOSE_EMPTY);
}

static void a_longer_message_is_refused_at_its_head(void **state)
{
    static const struct ws_settings five = { .message_max = 5 };

    (void)state;
    put_head(WHOLE, 0, 6, true);
    buf_append(&wire, "mask", 4);
    plays(&five, false, "", WS_CLOSE_TOO_BIG);
    say(BINARY, "123");
    say(MORE, "45");
    put_head(LAST, 0, 1, true);
    buf_append(&wire, "mask", 4);
    plays(&five, false, "", WS_CLOSE_TOO_BIG);
    put_head(WHOLE, 8, INT64_MAX, true);
    buf_append(&wire, "mask", 4);
    plays(&five, false, "", WS_CLOSE_TOO_BIG);
    say(BINARY, "123");
    put_head(LAST, 8, INT64_MAX, true);
    buf_append(&wire, "mask", 4);
    plays(&five, false, "", WS_CLOSE_TOO_BIG);
}

static void the_maximum_does_not_bind_control_frames(void **state)
{
    static const struct ws_settings none = { .message_max = 0 };

    (void)state;
    say(PING, "ping");
    say(WHOLE, "");
    plays(&none, false, "ping:ping\ntext:\n", WS_CLOSE_EMPTY);
}

static void memory_follows_the_bytes_and_not_the_promise(void **state)
{
    static const struct ws_settings roomy = { .message_max = 16 << 20 };
    struct ear e = { 0 };
    struct ws_reader r;

    (void)state;
    ws_reader_init(&r, false);
    put_head(DATA, 8, 16 << 20, true);
    buf_append(&wire, "mask", 4);
    assert_int_equal(feed_piece(&r, &roomy, &e, wire.data, wire.len), WS_CLOSE_EMPTY);
    assert_null(r.message);
    ws_reader_deinit(&r);
}

static void an_idle_reader_holds_no_memory(void **state)
{
    struct ear e = { 0 };
    struct ws_reader r;

    (void)state;
    buf_init(&e.heard, 100);
    ws_reader_init(&r, true);
    say(TEXT, "a");
    say(PING, "b");
    say(LAST, "c");
    put(WHOLE | WS_RSV1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    assert_int_equal(feed_all(&r, &server, &e, 1), WS_CLOSE_EMPTY);
    assert_string_equal(buf_text(&e.heard), "ping:b\ntext:ac\ntext:Hello\n");
    assert_null(r.message);
    assert_null(r.control);
    buf_deinit(&e.heard);
}

static void a_message_of_65536_fragments_is_read(void **state)
{
    static const struct ws_settings roomy = { .message_max = 1 << 20 };
    struct ear e;

    (void)state;
    say(BINARY, "0123456789abcdef");
    for (int i = 1; i < 65535; i++)
        say(MORE, "0123456789abcdef");
    say(LAST, "0123456789abcdef");
    assert_int_equal(play(&roomy, false, 1000, &e), WS_CLOSE_EMPTY);
    assert_int_equal(e.heard.len, 7 + (1 << 20) + 1);
    assert_memory_equal(e.heard.data + 7 + (1 << 20) - 16, "0123456789abcdef", 16);
    buf_deinit(&e.heard);
}

static void a_message_of_16_mib_is_read(void **state)
{
    enum { SIZE = 16 << 20 };
    static const struct ws_settings roomy = { .message_max = SIZE };
    char *text = mem_alloc(SIZE);
    struct ear e;

    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)('a' + (i * i + i / 1000) % 26);
    put(WHOLE, text, SIZE);
    for (size_t step = 997; step < 2 * SIZE; step += SIZE) {
        assert_int_equal(play(&roomy, false, step, &e), WS_CLOSE_EMPTY);
        assert_int_equal(e.heard.len, 5 + SIZE + 1);
        assert_memory_equal(e.heard.data + 5, text, SIZE);
        buf_deinit(&e.heard);
    }
    mem_free(text);
}

/* --- compressed --- */

#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00"

static void compressed_messages_are_inflated(void **state)
{
    (void)state;
    put(WHOLE | WS_RSV1, HELLO, 7);
    say(WHOLE, "plain");
    put(DATA | WS_RSV1, HELLO, 7);
    put(WHOLE | WS_RSV1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8);
    inflates("text:Hello\ntext:plain\nbinary:Hello\ntext:Hello\n");
}

static void compressed_messages_may_be_fragmented(void **state)
{
    (void)state;
    put(TEXT | WS_RSV1, "\xf2\x48\xcd", 3);
    say(PING, "");
    put(MORE, "", 0);
    put(LAST, "\xc9\xc9\x07\x00", 4);
    put(BINARY | WS_RSV1, "", 0);
    put(MORE, HELLO, 7);
    put(LAST, "", 0);
    inflates("ping:\ntext:Hello\nbinary:Hello\n");
}

static void a_server_may_compress_as_well(void **state)
{
    (void)state;
    buf_append(&wire, "\xc1\x07" HELLO "\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00", 20);
    plays(&client, true, "text:Hello\ntext:Hello\n", WS_CLOSE_EMPTY);
}

static void compressed_messages_may_be_empty(void **state)
{
    (void)state;
    put(WHOLE | WS_RSV1, "\x00", 1);
    put(DATA | WS_RSV1, "", 0);
    put(TEXT | WS_RSV1, "", 0);
    put(LAST, "\x00", 1);
    inflates("text:\nbinary:\ntext:\n");
}

static void each_compressed_message_stands_alone(void **state)
{
    (void)state;
    put(WHOLE | WS_RSV1, HELLO, 7);
    put(WHOLE | WS_RSV1, "\xf2\x00\x11\x00\x00", 5); /* "Hello" again, from a window taken over */
    plays(&server, true, "text:Hello\n", WS_CLOSE_NOT_UTF8);
}

static void a_broken_stream_is_refused(void **state)
{
    (void)state;
    put(DATA | WS_RSV1, "\x06\x00", 2);
    plays(&server, true, "", WS_CLOSE_NOT_UTF8);
    put(DATA | WS_RSV1, HELLO, 4);
    plays(&server, true, "", WS_CLOSE_NOT_UTF8);
}

static void text_is_checked_after_it_was_inflated(void **state)
{
    struct buf packed;

    (void)state;
    buf_init(&packed, 100);
    assert_int_equal(deflate_message("good \xff bad", 10, 15, &packed), OK);
    put(WHOLE | WS_RSV1, packed.data, packed.len);
    plays(&server, true, "", WS_CLOSE_NOT_UTF8);
    put(TEXT | WS_RSV1, packed.data, packed.len); /* fails without its end */
    plays(&server, true, "", WS_CLOSE_NOT_UTF8);
    buf_reset(&packed);
    assert_int_equal(deflate_message("half \xe2\x82", 7, 15, &packed), OK);
    put(WHOLE | WS_RSV1, packed.data, packed.len);
    plays(&server, true, "", WS_CLOSE_NOT_UTF8);
    put(TEXT | WS_RSV1, packed.data, packed.len);
    plays(&server, true, "", WS_CLOSE_EMPTY);
    buf_deinit(&packed);
}

static void a_bomb_is_refused(void **state)
{
    static const struct ws_settings roomy = { .message_max = 65536 };
    char *zeros = mem_zalloc(1 << 20);
    struct buf packed;

    (void)state;
    buf_init(&packed, 1 << 20);
    assert_int_equal(deflate_message(zeros, 1 << 20, 15, &packed), OK);
    put(DATA | WS_RSV1, packed.data, packed.len);
    plays(&roomy, true, "", WS_CLOSE_TOO_BIG);
    put(TEXT | WS_RSV1, packed.data, packed.len / 2); /* before its end */
    plays(&roomy, true, "", WS_CLOSE_TOO_BIG);
    buf_deinit(&packed);
    mem_free(zeros);
}

static void the_maximum_is_of_the_inflated_message(void **state)
{
    static const struct ws_settings five = { .message_max = 5 }, four = { .message_max = 4 };

    (void)state;
    put(WHOLE | WS_RSV1, HELLO, 7);
    plays(&five, true, "text:Hello\n", WS_CLOSE_EMPTY);
    put(WHOLE | WS_RSV1, HELLO, 7);
    plays(&four, true, "", WS_CLOSE_TOO_BIG);
    put(WHOLE | WS_RSV1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        11); /* longer than plain */
    plays(&five, true, "text:Hello\n", WS_CLOSE_EMPTY);
}

static void a_compressed_message_without_content_still_has_an_end(void **state)
{
    static const struct ws_settings five = { .message_max = 5 };

    (void)state;
    put(BINARY | WS_RSV1, "\x00\x00\x00\xff\xff", 5);
    for (int i = 0; i < 100; i++)
        put(MORE, "\x00\x00\x00\xff\xff", 5);
    plays(&five, true, "", WS_CLOSE_TOO_BIG);
    put_head(DATA | WS_RSV1, 8, INT64_MAX, true);
    buf_append(&wire, "mask", 4);
    plays(&five, true, "", WS_CLOSE_TOO_BIG);
}

/* --- writing --- */

static void heads_take_the_shortest_form(void **state)
{
    static const struct {
        uint64_t len;
        size_t size;
        uint8_t head[10];
    } heads[] = {
        { 0, 2, { 0x81, 0 } },
        { 125, 2, { 0x81, 125 } },
        { 126, 4, { 0x81, 126, 0, 126 } },
        { 65535, 4, { 0x81, 126, 0xff, 0xff } },
        { 65536, 10, { 0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0 } },
        { 0x0102030405060708, 10, { 0x81, 127, 1, 2, 3, 4, 5, 6, 7, 8 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        uint8_t out[WS_HEAD_MAX];
        assert_int_equal(ws_head(out, WHOLE, heads[i].len), heads[i].size);
        assert_memory_equal(out, heads[i].head, heads[i].size);
    }
}

static void a_server_frame_is_its_head_and_its_payload(void **state)
{
    (void)state;
    ws_append_frame(&wire, WHOLE, "Hello", 5);
    ws_append_frame(&wire, PING, NULL, 0);
    assert_int_equal(wire.len, 9);
    assert_memory_equal(wire.data, "\x81\x05Hello\x89\x00", 10); /* with its final '\0' */
}

static void a_client_frame_is_read_by_a_server(void **state)
{
    char text[901];

    (void)state;
    memset(text, 'm', sizeof(text));
    text[900] = '\0';
    for (size_t len = 0; len <= 900; len += len < 140 ? 1 : 76) {
        char heard[910];
        ws_append_masked(&wire, WHOLE, text, len);
        snprintf(heard, sizeof(heard), "text:%.*s\n", (int)len, text);
        hears(heard);
    }
}

static void every_client_frame_has_a_mask_of_its_own(void **state)
{
    unsigned equal = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        buf_reset(&wire);
        ws_append_masked(&wire, WHOLE, "Hello", 5);
        ws_append_masked(&wire, WHOLE, "Hello", 5);
        equal += memcmp(wire.data, wire.data + 11, 11) == 0;
    }
    assert_true(equal < 3);
}

static void masking_may_start_anywhere_and_undoes_itself(void **state)
{
    static const uint8_t mask[4] = { 1, 2, 4, 8 };
    char bytes[64] = { 0 };

    (void)state;
    for (unsigned at = 0; at < 4; at++)
        for (size_t len = 0; len <= sizeof(bytes); len++) {
            ws_mask(bytes, len, mask, at);
            for (size_t i = 0; i < sizeof(bytes); i++)
                assert_int_equal(bytes[i], i < len ? mask[(at + i) & 3] : 0);
            ws_mask(bytes, len, mask, at);
        }
}

static void a_frame_that_does_not_fit_leaves_nothing_behind(void **state)
{
    struct buf small;

    (void)state;
    buf_init(&small, 8);
    ws_append_frame(&small, WHOLE, "1234567", 7);
    assert_true(small.failed);
    assert_int_equal(small.len, 0);
    buf_reset(&small);
    ws_append_frame(&small, WHOLE, "123456", 6);
    assert_false(small.failed);
    assert_int_equal(small.len, 8);
    buf_deinit(&small);
}

static void a_close_frame_carries_code_and_reason(void **state)
{
    (void)state;
    ws_append_close(&wire, 1000, "bye", false);
    ws_append_close(&wire, 4001, NULL, false);
    ws_append_close(&wire, WS_CLOSE_EMPTY, "unheard", false);
    assert_int_equal(wire.len, 7 + 4 + 2);
    assert_memory_equal(wire.data,
                        "\x88\x05\x03\xe8"
                        "bye\x88\x02\x0f\xa1\x88\x00",
                        13);
    buf_reset(&wire);
    ws_append_close(&wire, 1013, "later", true);
    hears("close 1013 later\n");
}

static void a_long_reason_is_cut_between_two_characters(void **state)
{
    char reason[200], heard[150];

    (void)state;
    for (size_t lead = 120; lead <= 124; lead++) {
        memset(reason, 'r', lead);
        memcpy(reason + lead, "\xe2\x82\xac more", 9);
        ws_append_close(&wire, 1011, reason, true);
        int kept = lead == 120 ? 123 : lead < 123 ? (int)lead : 123;
        snprintf(heard, sizeof(heard), "close 1011 %.*s\n", kept, reason);
        hears(heard);
    }
}

/* --- any conversation --- */

static uint32_t dice;

static uint32_t roll(uint32_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

static void write_frame(uint8_t first, const char *data, size_t len, bool is_client)
{
    if (is_client)
        ws_append_frame(&wire, first, data, len);
    else
        ws_append_masked(&wire, first, data, len);
}

/* The payload in random fragments, with pings between them. */
static void write_fragments(uint8_t opcode, const char *data, size_t len, bool is_client,
                            struct buf *expected)
{
    for (uint8_t first = opcode;; first = MORE) {
        size_t part = roll(3) == 0 ? len : roll((uint32_t)len + 1);
        bool is_last = part == len && roll(2) == 0;
        write_frame(is_last ? first | WS_FIN : first, data, part, is_client);
        if (is_last)
            return;
        data += part;
        len -= part;
        if (roll(4) == 0) {
            write_frame(PING, "ping", 4, is_client);
            buf_puts(expected, "ping:ping\n");
        }
    }
}

static void write_random_message(bool is_client, bool is_deflate, struct buf *expected)
{
    static const uint32_t sizes[] = { 1, 10, 300, 5000, 70000 };
    static const char *const characters[] = { "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    struct buf text, packed;

    buf_init(&text, 70004);
    buf_init(&packed, 140000);
    for (uint32_t want = roll(sizes[roll(5)]); text.len < want;)
        buf_puts(&text, characters[roll(4)]);
    bool is_text = roll(2) == 0, is_packed = is_deflate && roll(2) == 0;
    if (is_packed)
        assert_int_equal(deflate_message(text.data, text.len, 9 + (int)roll(7), &packed), OK);
    const struct buf *payload = is_packed ? &packed : &text;
    unsigned opcode = (is_text ? WS_TEXT : WS_BINARY) | (is_packed ? WS_RSV1 : 0);
    write_fragments((uint8_t)opcode, buf_text(payload), payload->len, is_client, expected);
    buf_puts(expected, is_text ? "text:" : "binary:");
    buf_append(expected, buf_text(&text), text.len);
    buf_putc(expected, '\n');
    buf_deinit(&text);
    buf_deinit(&packed);
}

static void read_in_random_pieces(const struct ws_settings *settings, bool is_deflate,
                                  struct ear *e)
{
    struct ws_reader r;

    ws_reader_init(&r, is_deflate);
    for (size_t at = 0; at < wire.len;) {
        size_t len = 1 + roll(roll(2) == 0 ? 20 : 20000);
        if (len > wire.len - at)
            len = wire.len - at;
        assert_int_equal(feed_piece(&r, settings, e, wire.data + at, len), WS_CLOSE_EMPTY);
        at += len;
    }
    assert_null(r.message);
    ws_reader_deinit(&r);
}

static void any_conversation_is_read_as_it_was_written(void **state)
{
    (void)state;
    for (dice = 1; dice < 60; dice++) {
        uint32_t seed = dice;
        struct ws_settings settings = { .message_max = 70004, .is_client = roll(2) };
        bool is_deflate = roll(2);
        struct ear e = { 0 };
        struct buf expected;

        buf_init(&e.heard, WIRE_MAX);
        buf_init(&expected, WIRE_MAX);
        for (uint32_t messages = roll(12); messages > 0; messages--)
            write_random_message(settings.is_client, is_deflate, &expected);
        read_in_random_pieces(&settings, is_deflate, &e);
        assert_true(str_equal(buf_str(&e.heard), buf_str(&expected)));
        buf_deinit(&e.heard);
        buf_deinit(&expected);
        buf_reset(&wire);
        dice = seed;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_examples_of_the_standard_are_read),
        TEST(a_message_that_came_whole_is_handed_out_where_it_lies),
        TEST(several_messages_may_come_in_one_feed),
        TEST(fragments_become_one_message),
        TEST(empty_messages_and_fragments_are_messages_too),
        TEST(control_frames_are_heard_between_fragments_at_once),
        TEST(a_close_between_fragments_ends_the_message_unheard),
        TEST(all_three_forms_of_the_length_are_read),
        TEST(control_frames_hold_up_to_125_bytes),
        TEST(a_client_must_mask),
        TEST(a_server_must_not_mask),
        TEST(reserved_bits_are_refused),
        TEST(rsv1_marks_only_the_first_frame_of_compressed_data),
        TEST(reserved_opcodes_are_refused),
        TEST(control_frames_are_never_fragmented),
        TEST(a_continuation_needs_a_start),
        TEST(a_new_message_waits_for_the_end_of_the_last),
        TEST(the_shortest_form_of_a_length_is_the_only_one),
        TEST(a_close_may_be_empty_or_have_a_code_and_a_reason),
        TEST(only_codes_that_may_be_sent_are_taken),
        TEST(half_a_code_is_refused),
        TEST(a_reason_must_be_text),
        TEST(nothing_is_heard_behind_a_close),
        TEST(nothing_is_heard_behind_an_error),
        TEST(a_callback_that_has_enough_ends_the_reading),
        TEST(characters_may_be_cut_by_fragments),
        TEST(a_text_that_is_not_utf8_is_refused),
        TEST(a_bad_byte_is_refused_before_the_frame_is_whole),
        TEST(a_bad_byte_is_refused_in_a_fragment_that_is_not_the_last),
        TEST(a_message_may_be_as_long_as_the_maximum),
        TEST(a_longer_message_is_refused_at_its_head),
        TEST(the_maximum_does_not_bind_control_frames),
        TEST(memory_follows_the_bytes_and_not_the_promise),
        TEST(an_idle_reader_holds_no_memory),
        TEST(a_message_of_65536_fragments_is_read),
        TEST(a_message_of_16_mib_is_read),
        TEST(compressed_messages_are_inflated),
        TEST(compressed_messages_may_be_fragmented),
        TEST(a_server_may_compress_as_well),
        TEST(compressed_messages_may_be_empty),
        TEST(each_compressed_message_stands_alone),
        TEST(a_broken_stream_is_refused),
        TEST(text_is_checked_after_it_was_inflated),
        TEST(a_bomb_is_refused),
        TEST(the_maximum_is_of_the_inflated_message),
        TEST(a_compressed_message_without_content_still_has_an_end),
        TEST(heads_take_the_shortest_form),
        TEST(a_server_frame_is_its_head_and_its_payload),
        TEST(a_client_frame_is_read_by_a_server),
        TEST(every_client_frame_has_a_mask_of_its_own),
        TEST(masking_may_start_anywhere_and_undoes_itself),
        TEST(a_frame_that_does_not_fit_leaves_nothing_behind),
        TEST(a_close_frame_carries_code_and_reason),
        TEST(a_long_reason_is_cut_between_two_characters),
        TEST(any_conversation_is_read_as_it_was_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
