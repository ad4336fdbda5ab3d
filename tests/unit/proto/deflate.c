#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/deflate.h"

#define BARE "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/* --- negotiation --- */

static bool negotiate(const char *first, const char *second, struct deflate_params *out)
{
    struct http_header headers[] = {
        { STR("Host"), STR("permessage-deflate") },
        { STR("Sec-WebSocket-Extensions"), str_of(first) },
        { STR("sec-websocket-extensions"), str_of(second) },
    };
    struct http_request request = { .headers = headers, .header_count = second ? 3 : 2 };

    return deflate_negotiate(&request, out);
}

static void answers(const char *offer, const char *answer)
{
    struct deflate_params params;
    struct buf out;

    if (!negotiate(offer, NULL, &params)) {
        if (answer != NULL)
            fail_msg("declined: %s", offer);
        return;
    }
    buf_init(&out, 256);
    deflate_answer(&params, &out);
    if (answer == NULL)
        fail_msg("accepted: %s", offer);
    assert_string_equal(buf_text(&out), answer);
    buf_deinit(&out);
}

static void the_answer_never_takes_context_over(void **state)
{
    (void)state;
    answers("permessage-deflate", BARE);
    answers("permessage-deflate; client_no_context_takeover", BARE);
    answers("permessage-deflate; server_no_context_takeover; client_no_context_takeover", BARE);
}

static void window_bits_are_answered_only_when_offered(void **state)
{
    (void)state;
    answers("permessage-deflate; client_max_window_bits", BARE "; client_max_window_bits=15");
    answers("permessage-deflate; client_max_window_bits=8", BARE "; client_max_window_bits=8");
    answers("permessage-deflate; server_max_window_bits=15", BARE "; server_max_window_bits=15");
    answers("permessage-deflate;server_max_window_bits=9;client_max_window_bits=10",
            BARE "; server_max_window_bits=9; client_max_window_bits=10");
}

static void the_params_say_what_was_agreed(void **state)
{
    struct deflate_params params;

    (void)state;
    assert_true(negotiate("permessage-deflate", NULL, &params));
    assert_int_equal(params.server_bits, 15);
    assert_int_equal(params.client_bits, 15);
    assert_false(params.names_client_bits || params.names_server_bits);
    assert_true(negotiate("permessage-deflate; server_max_window_bits=11; "
                          "client_max_window_bits=8",
                          NULL, &params));
    assert_int_equal(params.server_bits, 11);
    assert_int_equal(params.client_bits, 8);
    assert_true(params.names_client_bits && params.names_server_bits);
}

static void quoted_values_are_read(void **state)
{
    (void)state;
    answers("permessage-deflate; server_max_window_bits=\"10\"",
            BARE "; server_max_window_bits=10");
    answers("permessage-deflate; server_max_window_bits=\"\\1\\2\"",
            BARE "; server_max_window_bits=12");
}

static void an_offer_with_a_bad_parameter_is_declined(void **state)
{
    static const char *const bad[] = {
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate2",
        "PERMESSAGE-DEFLATE",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=\"1\"",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=\"09\"",
        "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=+12",
        "permessage-deflate; server_max_window_bits=1e1",
        "permessage-deflate; client_max_window_bits=0",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; client_max_window_bits=115",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=\"\"",
        "permessage-deflate;",
        "permessage-deflate server_no_context_takeover",
        "foo; permessage-deflate",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        answers(bad[i], NULL);
}

static void the_first_acceptable_offer_wins(void **state)
{
    (void)state;
    answers("foo; a=b, permessage-deflate; unknown, permessage-deflate; server_max_window_bits=8, "
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            BARE "; server_max_window_bits=10");
    answers("permessage-deflate; client_max_window_bits=99, permessage-deflate", BARE);
    answers("permessage-deflate, permessage-deflate; client_max_window_bits", BARE);
}

static void every_header_line_is_looked_at(void **state)
{
    struct deflate_params params;

    (void)state;
    assert_true(negotiate("foo", "permessage-deflate; server_max_window_bits=9", &params));
    assert_int_equal(params.server_bits, 9);
    assert_true(negotiate("permessage-deflate; nonsense", "permessage-deflate", &params));
    assert_int_equal(params.server_bits, 15);
    assert_false(negotiate("foo", "bar", &params));
}

/* --- messages --- */

struct bytes {
    const char *at;
    size_t len;
};
#define BYTES(literal) ((struct bytes){ "" literal, sizeof(literal) - 1 })

/* Inflates one message, given in pieces of `piece` bytes. */
static int inflate_in(struct bytes in, size_t piece, struct buf *out)
{
    struct inflater *i = inflater_new();
    int code = OK;

    for (size_t at = 0; code == OK;) {
        size_t len = in.len - at < piece ? in.len - at : piece;
        bool is_last = at + len == in.len;
        char *copy = mem_alloc(len); /* so that reading over its end is noticed */
        memcpy(copy, in.at + at, len);
        code = inflater_feed(i, copy, len, is_last, out);
        mem_free(copy);
        if (is_last)
            break;
        at += len;
    }
    inflater_free(i);
    return code;
}

static void inflates_to(struct bytes in, struct bytes expected)
{
    for (size_t piece = 1; piece <= in.len + 1; piece++) {
        struct buf out;
        buf_init(&out, 1 << 20);
        assert_int_equal(inflate_in(in, piece, &out), OK);
        assert_int_equal(out.len, expected.len);
        assert_memory_equal(buf_text(&out), expected.at, expected.len);
        buf_deinit(&out);
    }
}

static void is_broken(struct bytes in)
{
    for (size_t piece = 1; piece <= in.len + 1; piece++) {
        struct buf out;
        buf_init(&out, 1 << 20);
        assert_int_equal(inflate_in(in, piece, &out), FAIL_SYNTAX);
        buf_deinit(&out);
    }
}

static void the_examples_of_the_standard_inflate(void **state)
{
    (void)state;
    inflates_to(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), BYTES("Hello")); /* 7.2.3.1 */
    inflates_to(BYTES("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), BYTES("Hello")); /* .3 */
    inflates_to(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), BYTES("Hello"));             /* .4 */
    inflates_to(BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),          /* .5 */
                BYTES("Hello"));
    inflates_to(BYTES("\x00"), BYTES("")); /* .6 */
}

static void streams_follow_each_other_within_a_message(void **state)
{
    (void)state;
    inflates_to(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00"
                      "\xf2\x48\xcd\xc9\xc9\x07\x00"),
                BYTES("HelloHelloHello"));
    inflates_to(BYTES("\x03\x00\x03\x00\x00"), BYTES(""));
}

static void a_message_may_end_right_behind_the_final_block(void **state)
{
    (void)state;
    inflates_to(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"), BYTES("Hello"));
    inflates_to(BYTES(""), BYTES(""));
}

static void a_message_depends_on_nothing_before_it(void **state)
{
    (void)state;
    /* 7.2.3.2: the second "Hello" with a window taken over. */
    is_broken(BYTES("\xf2\x00\x11\x00\x00"));
}

static void broken_streams_are_refused(void **state)
{
    (void)state;
    is_broken(BYTES("\x06\x00"));                             /* a block of type 3 */
    is_broken(BYTES("\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c")); /* a length against its complement */
    is_broken(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00garbage"));
    is_broken(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00\x00\x00")); /* garbage behind BFINAL */
}

static void a_stream_that_stops_in_a_block_is_refused(void **state)
{
    struct bytes hello = BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00");
    struct bytes stored = BYTES("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00");

    (void)state;
    for (size_t len = 1; len < hello.len; len++)
        is_broken((struct bytes){ hello.at, len });
    for (size_t len = 2; len < stored.len; len++)
        is_broken((struct bytes){ stored.at, len });
}

static uint32_t dice;

static uint32_t roll(void)
{
    dice = dice * 1664525u + 1013904223u;
    return dice >> 8;
}

/* From runs of one byte to noise. */
static char *make_text(size_t len, uint32_t letters)
{
    char *text = mem_alloc(len);

    for (size_t i = 0; i < len; i++)
        text[i] = (char)(roll() % letters);
    return text;
}

static void goes_round(const char *text, size_t len, int bits)
{
    struct buf packed, out;

    buf_init(&packed, len + len / 2 + 64);
    buf_init(&out, len); /* not a byte more than it needs */
    assert_int_equal(deflate_message(text, len, bits, &packed), OK);
    assert_true(packed.len > 0);
    assert_int_equal(inflate_in((struct bytes){ packed.data, packed.len }, 1 + roll() % 5000, &out),
                     OK);
    assert_int_equal(out.len, len);
    assert_memory_equal(buf_text(&out), text, len);
    buf_deinit(&packed);
    buf_deinit(&out);
}

static void what_is_deflated_inflates_to_the_same(void **state)
{
    static const size_t lens[] = { 1, 5, 249, 250, 251, 300, 4000, 4096, 5000, 70000, 300000 };
    static const uint32_t letters[] = { 1, 3, 60, 256 };

    (void)state;
    dice = 7;
    for (size_t l = 0; l < sizeof(lens) / sizeof(*lens); l++)
        for (size_t a = 0; a < sizeof(letters) / sizeof(*letters); a++) {
            char *text = make_text(lens[l], letters[a]);
            goes_round(text, lens[l], 9 + (int)(roll() % 7));
            goes_round(text, lens[l], 15);
            mem_free(text);
        }
    for (size_t len = 1; len < 600; len++) {
        char *text = make_text(len, 256);
        goes_round(text, len, 9);
        mem_free(text);
    }
}

/* Distances in the stream must not reach behind the agreed window: a text that
 * repeats after 300 bytes gains from 2^10 bytes of window, not from 2^9. */
static void the_window_that_was_agreed_is_kept(void **state)
{
    struct buf small, large;
    char text[1200];

    (void)state;
    dice = 1;
    char *noise = make_text(300, 256);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = noise[i % 300];
    buf_init(&small, 4096);
    buf_init(&large, 4096);
    assert_int_equal(deflate_message(text, sizeof(text), 9, &small), OK);
    assert_int_equal(deflate_message(text, sizeof(text), 10, &large), OK);
    assert_true(small.len > 1000);
    assert_true(large.len < 500);
    mem_free(noise);
    buf_deinit(&small);
    buf_deinit(&large);
}

static void a_message_is_deflated_without_its_tail(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 64);
    assert_int_equal(deflate_message("Hello", 5, 15, &out), OK);
    assert_int_equal(out.len, 7);
    assert_memory_equal(out.data, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    buf_reset(&out);
    assert_int_equal(deflate_message("", 0, 15, &out), OK);
    assert_int_equal(out.len, 1);
    assert_int_equal(out.data[0], 0);
    buf_deinit(&out);
}

static void deflating_into_a_full_buffer_fails(void **state)
{
    struct buf out;

    (void)state;
    for (size_t max = 0; max <= 7; max++) {
        buf_init(&out, max);
        assert_int_equal(deflate_message("Hello", 5, 15, &out), max == 7 ? OK : FAIL_LIMIT);
        assert_true(out.len <= max);
        buf_deinit(&out);
    }
    buf_init(&out, 0);
    assert_int_equal(deflate_message("", 0, 15, &out), FAIL_LIMIT);
    buf_deinit(&out);
}

static void a_bomb_stops_at_the_maximum(void **state)
{
    enum { SIZE = 16 << 20, MAX = 65536 };
    char *zeros = mem_zalloc(SIZE);
    struct buf packed, out;

    (void)state;
    buf_init(&packed, SIZE);
    assert_int_equal(deflate_message(zeros, SIZE, 15, &packed), OK);
    assert_true(packed.len < SIZE / 500);
    buf_init(&out, MAX);
    assert_int_equal(inflate_in((struct bytes){ packed.data, packed.len }, SIZE, &out), FAIL_LIMIT);
    assert_int_equal(out.len, MAX);
    assert_true(out.cap <= MAX + 1);
    buf_deinit(&packed);
    buf_deinit(&out);
    mem_free(zeros);
}

/* Nothing waits inside for the next piece: a fault shows in the piece it is in. */
static void what_has_come_is_inflated_at_once(void **state)
{
    enum { SIZE = 65536 };
    char *zeros = mem_zalloc(SIZE);
    struct buf packed;

    (void)state;
    buf_init(&packed, SIZE);
    assert_int_equal(deflate_message(zeros, SIZE, 15, &packed), OK);
    for (size_t len = 1; len <= packed.len; len++) {
        struct inflater *whole = inflater_new(), *cut = inflater_new();
        struct buf one, other;
        buf_init(&one, SIZE);
        buf_init(&other, SIZE);
        assert_int_equal(inflater_feed(whole, packed.data, len, false, &one), OK);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(inflater_feed(cut, packed.data + i, 1, false, &other), OK);
        assert_int_equal(one.len, other.len);
        buf_deinit(&one);
        buf_deinit(&other);
        inflater_free(whole);
        inflater_free(cut);
    }
    buf_deinit(&packed);
    mem_free(zeros);
}

static void a_message_of_exactly_the_maximum_is_not_a_bomb(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 5);
    assert_int_equal(inflate_in(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), 99, &out), OK);
    buf_deinit(&out);
    buf_init(&out, 4);
    assert_int_equal(inflate_in(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), 99, &out), FAIL_LIMIT);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_never_takes_context_over),
        cmocka_unit_test(window_bits_are_answered_only_when_offered),
        cmocka_unit_test(the_params_say_what_was_agreed),
        cmocka_unit_test(quoted_values_are_read),
        cmocka_unit_test(an_offer_with_a_bad_parameter_is_declined),
        cmocka_unit_test(the_first_acceptable_offer_wins),
        cmocka_unit_test(every_header_line_is_looked_at),
        cmocka_unit_test(the_examples_of_the_standard_inflate),
        cmocka_unit_test(streams_follow_each_other_within_a_message),
        cmocka_unit_test(a_message_may_end_right_behind_the_final_block),
        cmocka_unit_test(a_message_depends_on_nothing_before_it),
        cmocka_unit_test(broken_streams_are_refused),
        cmocka_unit_test(a_stream_that_stops_in_a_block_is_refused),
        cmocka_unit_test(what_is_deflated_inflates_to_the_same),
        cmocka_unit_test(the_window_that_was_agreed_is_kept),
        cmocka_unit_test(a_message_is_deflated_without_its_tail),
        cmocka_unit_test(deflating_into_a_full_buffer_fails),
        cmocka_unit_test(a_bomb_stops_at_the_maximum),
        cmocka_unit_test(what_has_come_is_inflated_at_once),
        cmocka_unit_test(a_message_of_exactly_the_maximum_is_not_a_bomb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
